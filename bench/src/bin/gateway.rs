//! The gateway: what a message costs that goes to a backend and comes back, and what a session
//! costs that is idle. `gateway MODE [WAY]`; prints its port. Its backend is a process of its own,
//! which says each message back through the API or, with `reply` and `batch`, in its answer.
//! Sessions are in memory, with `redb` on the disk.

use std::process::{Command, Stdio};
use std::time::Duration;

use adieu_gateway::gateway::{Gateway, Options};
use adieu_gateway::hook::{Backend, BackendOptions, EventFormat, Secret};
use adieu_gateway::http::{self, Access, Origins};
use adieu_gateway::session::Settings;
use adieu_gateway::session::command::Limits;
use adieu_gateway::store::{Disk, Memory};
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bench::peer::{self, Mode};
use http_body_util::Full;
use hyper::Request;
use hyper::service::{Service, service_fn};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use serde_json::{Value, json};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const KEY: &str = "a-key-for-the-measurements";

/// How the backend says a message back, and where sessions are kept.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    Api,
    Reply,
    Batch,
    Redb,
}

impl Way {
    fn read(word: Option<String>) -> Self {
        match word.as_deref() {
            Some("reply") => Way::Reply,
            Some("batch") => Way::Batch,
            Some("redb") => Way::Redb,
            _ => Way::Api,
        }
    }
}

fn main() {
    let mut words = std::env::args().skip(1);
    let word = words.next().unwrap_or_default();
    let fan_out = word == Mode::FanOut.word();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    if word == "backend" {
        let port = words.next().expect("the gateway's port");
        let answers = words.next().as_deref() == Some("answers");
        let fan_out = words.next().as_deref() == Some("fanout");
        return runtime.block_on(backend(&port, answers, fan_out));
    }
    runtime.block_on(gateway(Way::read(words.next()), fan_out));
}

async fn gateway(way: Way, fan_out: bool) {
    let listener = adieu::listen("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    let says = if matches!(way, Way::Reply | Way::Batch) { "answers" } else { "asks" };
    let mut child = Command::new(std::env::current_exe().expect("this program"))
        .args(["backend", &port.to_string(), says, if fan_out { "fanout" } else { "echo" }])
        .stdout(Stdio::piped())
        .spawn()
        .expect("a backend");
    let mut line = String::new();
    let mut out = std::io::BufReader::new(child.stdout.take().expect("its output"));
    std::io::BufRead::read_line(&mut out, &mut line).expect("its port");
    let options = BackendOptions {
        url: format!("http://127.0.0.1:{}/", line.trim()),
        secret: Secret::read(SECRET).expect("a secret"),
        timeout: Duration::from_secs(10),
        tls: adieu::tls::client_config().expect("certificates"),
        format: EventFormat::Structured,
        batches: way == Way::Batch,
    };
    let limits = Limits { sessions_per_user: 100_000, ..Limits::default() };
    let options = Options {
        sessions: Settings { limits, ..Settings::default() },
        backend: Some(Backend::new(options).expect("an address")),
        drain_window: Duration::ZERO,
        ..Options::default()
    };
    let gateway = match way {
        Way::Redb => {
            let dir = std::env::temp_dir().join(format!("adieu-bench-{port}"));
            let disk = Disk::open(&dir).expect("a store");
            Gateway::start(disk, options).await
        }
        _ => Gateway::start(Memory, options).await,
    };
    let gateway = gateway.expect("a gateway");
    let access = Access::new(Some(KEY)).expect("a key");
    let endpoint = adieu::Endpoint::new();
    let app = http::websocket(gateway.clone(), endpoint, Origins::default(), false, false);
    let app = app.merge(http::api(gateway, access));
    println!("{port}");
    loop {
        let (tcp, _) = listener.accept().await.expect("a connection");
        tokio::spawn(serve(tcp, app.clone()));
    }
}

/// The generator asks for `/`.
async fn serve(tcp: tokio::net::TcpStream, app: Router) {
    let app = TowerToHyperService::new(app);
    let service = service_fn(move |mut request: Request<hyper::body::Incoming>| {
        if request.uri().path() == "/" {
            *request.uri_mut() = Uri::from_static("/ws");
        }
        app.call(request)
    });
    let served = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(tcp), service)
        .with_upgrades();
    let _ = served.await;
}

/// Where the backend asks, or that it answers.
#[derive(Clone)]
struct Api {
    client: Client<HttpConnector, Full<Bytes>>,
    url: String,
    answers: bool,
    /// All are one user, and each message goes to all of that user's sessions.
    fan_out: bool,
}

async fn backend(gateway: &str, answers: bool, fan_out: bool) {
    let listener = peer::listen();
    let client = Client::builder(TokioExecutor::new()).build_http();
    let url = format!("http://127.0.0.1:{gateway}/api");
    let api = Api { client, url, answers, fan_out };
    let app = Router::new().route("/", post(hook)).with_state(api);
    // The gateway that has started it ends it by its own end.
    tokio::spawn(async {
        loop {
            tokio::time::sleep(Duration::from_millis(200)).await;
            if std::os::unix::process::parent_id() == 1 {
                std::process::exit(0);
            }
        }
    });
    axum::serve(listener, app).await.expect("it serves");
}

async fn hook(State(api): State<Api>, body: Bytes) -> Response {
    let event: Value = serde_json::from_slice(&body).expect("JSON");
    if let Value::Array(events) = event {
        let verdict = |event: &Value| {
            let mut verdict = answer(event);
            verdict["id"] = event["id"].clone();
            verdict["status"] = json!(200);
            verdict
        };
        return Json(events.iter().map(verdict).collect::<Vec<_>>()).into_response();
    }
    if api.answers {
        return Json(answer(&event)).into_response();
    }
    match event["type"].as_str() {
        Some("message") => api.send(&event).await,
        Some("connect") if api.fan_out => return Json(json!({ "userId": "all" })).into_response(),
        _ => {}
    }
    StatusCode::NO_CONTENT.into_response()
}

/// A message is said back, in its answer.
fn answer(event: &Value) -> Value {
    let said = |kind: &str, field: &str| json!({ "send": [{ kind: event[field] }] });
    match event["type"].as_str() {
        Some("message") if event["data"].is_string() => said("text", "data"),
        Some("message") => said("binary", "data_base64"),
        _ => json!({}),
    }
}

impl Api {
    /// A message is said back, by a request.
    async fn send(&self, event: &Value) {
        let to = if self.fan_out {
            "users/all".to_owned()
        } else {
            format!("sessions/{}", event["sessionid"].as_str().expect("a session"))
        };
        let (kind, body) = match event["data"].as_str() {
            Some(text) => ("text/plain", text.as_bytes().to_vec()),
            None => {
                let base64 = event["data_base64"].as_str().expect("a message");
                ("application/octet-stream", STANDARD.decode(base64).expect("base64"))
            }
        };
        let request = Request::post(format!("{}/{to}/messages", self.url))
            .header("authorization", format!("Bearer {KEY}"))
            .header("content-type", kind)
            .body(Full::new(Bytes::from(body)));
        let sent = self.client.request(request.expect("a request")).await;
        assert!(sent.is_ok_and(|answer| answer.status() == StatusCode::ACCEPTED));
    }
}
