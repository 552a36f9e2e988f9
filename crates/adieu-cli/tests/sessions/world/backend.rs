//! A backend that writes down what it is told, and can be slow, wrong, or gone.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use adieu_gateway::hook::Secret;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// How long anything that is waited for may take.
const PATIENCE: Duration = Duration::from_secs(300);

/// How often a condition is looked at while the backend hears nothing: it may be about something
/// else than the backend.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// What it does when it is told or asked.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Mode {
    /// It takes events, and lets everybody in as who they say (see `user_of`).
    Well,
    /// It answers with this status and body.
    Says(u16, &'static str),
    /// It is slow, and well.
    Slow(Duration),
    /// It answers when it is released, and is well.
    UntilReleased,
    /// It never answers.
    Hangs,
    /// It ends the connection without an answer, as a worker does that crashes.
    Crashes,
    /// It does this with messages that have this in them, and is well otherwise.
    OnMessage(&'static str, Box<Mode>),
}

/// Something that it was told.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) id: String,
    pub(crate) r#type: String,
    pub(crate) session: String,
    pub(crate) user: Option<String>,
    pub(crate) generation: u32,
    pub(crate) sequence: Option<u64>,
    pub(crate) body: Bytes,
    pub(crate) at: Instant,
}

impl Seen {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

#[derive(Clone)]
struct Shared(Arc<Mutex<Inner>>);

struct Inner {
    /// In the order in which it took them.
    seen: Vec<Seen>,
    /// What it was asked, and has answered.
    asked: Vec<Value>,
    /// How often it was asked.
    questions: usize,
    /// The ids of all requests, in order, and when they came.
    tries: Vec<(String, Instant)>,
    mode: Mode,
    asked_mode: Mode,
    secret: Secret,
    /// What it knows no signature of is answered with 401; else that fails the test.
    refuses_signatures: bool,
    /// See `Mode::UntilReleased`.
    released: watch::Sender<bool>,
    /// Counts the changes of all this, so that a test that waits looks after a change and not all
    /// the time: the tests share a few cores with the programs that they test.
    changes: watch::Sender<usize>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes something down, and wakes the tests that wait for it.
    fn write_down<T>(&self, change: impl FnOnce(&mut Inner) -> T) -> T {
        let mut inner = self.lock();
        let done = change(&mut inner);
        inner.changes.send_modify(|count| *count += 1);
        done
    }
}

pub(crate) struct Backend {
    addr: SocketAddr,
    shared: Shared,
    serving: Option<JoinHandle<()>>,
}

impl Backend {
    pub(crate) const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind(testkit::own_address()).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let inner = Inner {
            seen: Vec::new(),
            asked: Vec::new(),
            questions: 0,
            tries: Vec::new(),
            mode: Mode::Well,
            asked_mode: Mode::Well,
            secret: Secret::read(Self::SECRET).unwrap(),
            refuses_signatures: false,
            released: watch::Sender::new(false),
            changes: watch::Sender::new(0),
        };
        let shared = Shared(Arc::new(Mutex::new(inner)));
        let serving = Some(tokio::spawn(serve(listener, shared.clone())));
        Backend { addr, shared, serving }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/hooks", self.addr)
    }

    /// It is gone: its port answers with RST.
    pub(crate) async fn stop(&mut self) {
        if let Some(serving) = self.serving.take() {
            serving.abort();
            let _ = serving.await;
        }
    }

    /// It is back, where it was.
    pub(crate) async fn start_again(&mut self) {
        let listener = TcpListener::bind(self.addr).await.unwrap();
        self.serving = Some(tokio::spawn(serve(listener, self.shared.clone())));
    }

    /// How it takes events from now on.
    pub(crate) fn takes_events(&self, mode: Mode) {
        self.shared.lock().mode = mode;
    }

    /// How it answers questions from now on.
    pub(crate) fn answers(&self, mode: Mode) {
        self.shared.lock().asked_mode = mode;
    }

    /// All that waits for this is answered, and all that comes.
    pub(crate) fn release(&self) {
        self.shared.lock().released.send_replace(true);
    }

    /// How often it was asked, answered or not yet.
    pub(crate) fn being_asked(&self) -> usize {
        self.shared.lock().questions
    }

    /// The ids of all requests, in order, whatever became of them.
    pub(crate) fn tries(&self) -> Vec<String> {
        self.shared.lock().tries.iter().map(|(id, _)| id.clone()).collect()
    }

    /// When they came.
    pub(crate) fn tried_at(&self) -> Vec<Instant> {
        self.shared.lock().tries.iter().map(|(_, at)| *at).collect()
    }

    /// From now on it knows this secret alone, and answers other signatures with 401.
    pub(crate) fn knows(&self, secret: &str) {
        let mut inner = self.shared.lock();
        inner.secret = Secret::read(secret).unwrap();
        inner.refuses_signatures = true;
    }

    pub(crate) fn asked(&self) -> Vec<Value> {
        self.shared.lock().asked.clone()
    }

    /// All that it was told, repeats too.
    pub(crate) fn all(&self) -> Vec<Seen> {
        self.shared.lock().seen.clone()
    }

    /// What it was told, without repeats.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        let mut ids = std::collections::HashSet::new();
        self.all().into_iter().filter(|seen| ids.insert(seen.id.clone())).collect()
    }

    pub(crate) fn of_type(&self, r#type: &str) -> Vec<Seen> {
        self.seen().into_iter().filter(|seen| seen.r#type == r#type).collect()
    }

    /// The types of what it was told of a session, in order.
    pub(crate) fn story(&self, session: &str) -> Vec<String> {
        let of = |seen: &Seen| seen.session == session && seen.sequence.is_some();
        self.seen().into_iter().filter(of).map(|seen| seen.r#type).collect()
    }

    /// What a session said, in the order in which it was told.
    pub(crate) fn said(&self, session: &str) -> Vec<String> {
        let of = |seen: &Seen| seen.session == session && seen.r#type == "message";
        self.seen().iter().filter(|seen| of(seen)).map(|seen| seen.text().to_owned()).collect()
    }

    /// How much it was told.
    pub(crate) fn told(&self) -> usize {
        self.shared.lock().seen.len()
    }

    /// How many different sessions it was told to have ended.
    pub(crate) fn ended(&self) -> std::collections::HashSet<String> {
        let inner = self.shared.lock();
        let ended = inner.seen.iter().filter(|seen| seen.r#type == "session.ended");
        ended.map(|seen| seen.session.clone()).collect()
    }

    /// What it was told, without repeats, by session.
    pub(crate) fn stories(&self) -> std::collections::HashMap<String, Vec<Seen>> {
        let mut stories = std::collections::HashMap::<_, Vec<Seen>>::new();
        for seen in self.seen().into_iter().filter(|seen| seen.sequence.is_some()) {
            stories.entry(seen.session.clone()).or_default().push(seen);
        }
        stories
    }

    /// Waits until what it was told is so.
    pub(crate) async fn until(&self, what: &str, is: impl Fn(&Self) -> bool) {
        let started = Instant::now();
        let mut changes = self.shared.lock().changes.subscribe();
        while !is(self) {
            if started.elapsed() > PATIENCE {
                let types: Vec<_> = self.seen().into_iter().map(|seen| seen.r#type).collect();
                panic!("never: {what}; it was told {types:?}");
            }
            let _ = tokio::time::timeout(LOOK_AGAIN, changes.changed()).await;
        }
    }

    /// Waits for the end of a session.
    pub(crate) async fn end_of(&self, session: &str) -> Seen {
        let find = |backend: &Self| {
            let ended = backend.of_type("session.ended");
            ended.into_iter().find(|seen| seen.session == session)
        };
        self.until("the session is over", |backend| find(backend).is_some()).await;
        find(self).unwrap()
    }
}

async fn serve(listener: TcpListener, shared: Shared) {
    // A message of 1 MiB, as JSON.
    let limit = DefaultBodyLimit::max(8 * 1024 * 1024);
    let app = Router::new().route("/hooks", post(hook)).with_state(shared).layer(limit);
    axum::serve(listener, app).await.unwrap();
}

/// What stands in an event of CloudEvents' structured mode, and its data as bytes.
fn read_event(body: &[u8]) -> (Value, Bytes) {
    let event: Value = serde_json::from_slice(body).unwrap();
    let data = match (&event["data"], &event["data_base64"], &event["datacontenttype"]) {
        (Value::String(text), Value::Null, kind) if kind != "application/json" => {
            text.clone().into_bytes()
        }
        (Value::Null, Value::String(base64), _) => STANDARD.decode(base64).unwrap(),
        (json, Value::Null, _) => serde_json::to_vec(json).unwrap(),
        _ => panic!("data or data_base64: {event}"),
    };
    (event, data.into())
}

/// The type of an event.
pub(crate) fn type_of(body: &[u8]) -> String {
    read_event(body).0["type"].as_str().unwrap().to_owned()
}

async fn hook(State(shared): State<Shared>, headers: HeaderMap, body: Bytes) -> Response {
    let field = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let (id, time) = (field("webhook-id").unwrap(), field("webhook-timestamp").unwrap());
    let signed = shared.lock().secret.sign(id, time.parse().unwrap(), &body);
    let signatures = field("webhook-signature").unwrap();
    if !signatures.split(' ').any(|signature| signature == signed) {
        let refuses = shared.write_down(|inner| {
            inner.tries.push((id.to_owned(), Instant::now()));
            inner.refuses_signatures
        });
        assert!(refuses, "the signature: {signatures}, not {signed}");
        return (StatusCode::UNAUTHORIZED, "bad signature").into_response();
    }
    assert_eq!(field("content-type"), Some("application/cloudevents+json"));
    let (event, data) = read_event(&body);
    assert_eq!((event["id"].as_str(), event["specversion"].as_str()), (Some(id), Some("1.0")));
    let text = |name: &str| event[name].as_str().map(str::to_owned);
    let r#type = text("type").unwrap();
    let question = matches!(&*r#type, "connect" | "resume");
    let mode = shared.write_down(|inner| {
        inner.questions += usize::from(question);
        if question { inner.asked_mode.clone() } else { inner.mode.clone() }
    });
    let mode = match mode {
        Mode::OnMessage(part, then) if r#type == "message" && contains(&body, part) => *then,
        Mode::OnMessage(..) => Mode::Well,
        mode => mode,
    };
    shared.write_down(|inner| inner.tries.push((id.to_owned(), Instant::now())));
    match mode {
        Mode::Well | Mode::OnMessage(..) => {}
        Mode::Hangs => std::future::pending().await,
        // Without the report that a panic makes.
        Mode::Crashes => std::panic::resume_unwind(Box::new("it crashes")),
        Mode::UntilReleased => {
            let mut released = shared.lock().released.subscribe();
            let _ = released.wait_for(|released| *released).await;
        }
        Mode::Slow(time) => tokio::time::sleep(time).await,
        Mode::Says(status, body) => {
            return (StatusCode::from_u16(status).unwrap(), body).into_response();
        }
    }
    if question {
        let asked = event["data"].clone();
        let user = user_of(&asked);
        shared.write_down(|inner| inner.asked.push(asked));
        return match user {
            Some(user) => axum::Json(serde_json::json!({ "userId": user })).into_response(),
            None => StatusCode::NO_CONTENT.into_response(),
        };
    }
    let seen = Seen {
        id: id.to_owned(),
        r#type,
        session: text("sessionid").unwrap(),
        user: text("userid"),
        generation: event["generation"].as_u64().unwrap().try_into().unwrap(),
        sequence: event["sequence"].as_u64(),
        body: data,
        at: Instant::now(),
    };
    shared.write_down(|inner| inner.seen.push(seen));
    StatusCode::NO_CONTENT.into_response()
}

/// Whose question it is: the query names the user, or a token does (`anna.3`, in the query or
/// apart), or a cookie.
fn user_of(asked: &Value) -> Option<String> {
    let query = asked["query"].as_str().unwrap_or_default();
    let named = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name));
    let token = asked["token"].as_str().or_else(|| named("token="));
    let fields = asked["headers"].as_array().into_iter().flatten();
    let cookies = fields.filter(|field| field[0] == "cookie").filter_map(|field| field[1].as_str());
    let cookie = cookies
        .flat_map(|cookies| cookies.split("; "))
        .find_map(|cookie| cookie.strip_prefix("login="));
    let of_token = token.and_then(|token| token.split('.').next());
    named("user=").or(of_token).or(cookie).map(str::to_owned)
}

fn contains(body: &[u8], part: &str) -> bool {
    std::str::from_utf8(body).is_ok_and(|body| body.contains(part))
}

/// A backend that answers each hook by its type and body.
pub(crate) async fn other_backend(
    hook: impl Fn(String, Bytes) -> Response + Clone + Send + Sync + 'static,
) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hooks", listener.local_addr().unwrap());
    let app = Router::new().route(
        "/hooks",
        post(move |body: Bytes| {
            let answer = hook(type_of(&body), body);
            async move {
                tokio::time::sleep(Duration::from_millis(10)).await;
                answer
            }
        }),
    );
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    url
}
