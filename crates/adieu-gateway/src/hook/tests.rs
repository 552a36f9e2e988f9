//! The backend over real sockets: one that dies, is slow, or answers wrongly.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use adieu::tls::rustls::client::WantsClientCert;
use adieu::tls::rustls::{ClientConfig, ConfigBuilder, RootCertStore, crypto};
use hyper::StatusCode;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::client::KEEP;
use super::*;
use crate::session::event::{Data, Event, EventType};
use crate::session::wire::Payload;
use crate::session::{SessionId, Timestamp};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// TLS that trusts nobody. The provider is named: with all features there are two.
fn no_roots() -> ConfigBuilder<ClientConfig, WantsClientCert> {
    let provider = Arc::new(crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider);
    let config = config.with_safe_default_protocol_versions().unwrap();
    config.with_root_certificates(RootCertStore::empty())
}

/// A request as a backend sees it.
#[derive(Clone)]
struct Seen {
    /// On which connection, and which one on it; from 0.
    at: (usize, usize),
    head: String,
    body: Vec<u8>,
}

impl Seen {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    fn field(&self, name: &str) -> &str {
        let field = |line: &str| line.split_once(": ").is_some_and(|(n, _)| n == name);
        let line = self.head.lines().find(|line| field(line)).expect(name);
        &line[name.len() + 2..]
    }
}

/// A backend of which each request is answered with what `answer` gives, or with the end of its
/// connection. A body that is a whole answer is written as it is, and the connection ended.
struct Server {
    addr: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    /// Connections that the gateway has ended.
    ended: Arc<tokio::sync::Semaphore>,
}

impl Server {
    async fn start(
        answer: impl Fn(&Seen) -> Option<(u16, String)> + Clone + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (seen, ended) = (Arc::default(), Arc::new(tokio::sync::Semaphore::new(0)));
        let server = Server { addr, seen: Arc::clone(&seen), ended: ended.clone() };
        tokio::spawn(async move {
            for connection in 0.. {
                let (tcp, _) = listener.accept().await.unwrap();
                let (answer, seen, ended) = (answer.clone(), seen.clone(), ended.clone());
                tokio::spawn(async move {
                    if serve(tcp, connection, answer, &seen).await.is_none() {
                        ended.add_permits(1);
                    }
                });
            }
        });
        server
    }

    fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    fn backend(&self) -> Backend {
        self.with(|_| {}, KEEP)
    }

    fn with(&self, change: impl Fn(&mut BackendOptions), keep: Duration) -> Backend {
        let tls = no_roots();
        let mut options = BackendOptions {
            url: format!("http://{}/hooks?key=hidden", self.addr),
            secret: Secret::read(SECRET).unwrap(),
            timeout: Duration::from_secs(30),
            tls: Arc::new(tls.with_no_client_auth()),
            format: EventFormat::Structured,
            batches: true,
        };
        change(&mut options);
        Backend::keeping(options, keep).unwrap()
    }
}

/// Answers the requests of a connection; `None` if the gateway ended it between two requests.
async fn serve(
    mut tcp: TcpStream,
    connection: usize,
    answer: impl Fn(&Seen) -> Option<(u16, String)>,
    seen: &Mutex<Vec<Seen>>,
) -> Option<()> {
    for n in 0.. {
        let (head, body) = read_request(&mut tcp).await?;
        let request = Seen { at: (connection, n), head, body };
        seen.lock().unwrap().push(request.clone());
        let Some((status, body)) = answer(&request) else { break };
        if body.starts_with("HTTP/1.1 ") {
            tcp.write_all(body.as_bytes()).await.unwrap();
            break;
        }
        let head = format!("HTTP/1.1 {status} x\r\ncontent-length: {}\r\n\r\n", body.len());
        tcp.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
    }
    Some(())
}

async fn read_request(tcp: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
        if tcp.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
            return None;
        }
    };
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "))?;
    let length: usize = length.parse().unwrap();
    while bytes.len() < end + length {
        assert!(tcp.read_buf(&mut bytes).await.unwrap() > 0, "a whole body");
    }
    Some((head, bytes[end..].to_vec()))
}

fn event(n: u64, text: &str) -> Arc<Event> {
    Arc::new(Event {
        id: format!("x_{n}_message"),
        r#type: EventType::Message,
        session_id: SessionId::new([7; 16]),
        user: None,
        meta: None,
        generation: 1,
        sequence: Some(n),
        time: Timestamp(1_700_000_000_123),
        data: Data::Text(text.into()),
    })
}

fn ok(body: &Value) -> Option<(u16, String)> {
    Some((200, body.to_string()))
}

#[tokio::test]
async fn what_meets_a_kept_connection_that_has_died_is_sent_once_more_at_once() {
    // As a server that closes what it kept while the next request is on its way.
    let server = Server::start(|seen| (seen.at.1 == 0).then(|| (200, String::new()))).await;
    let backend = server.backend();
    let question = Question::default();
    for _ in 0..3 {
        assert!(matches!(backend.connect(&question).await, Decision::Accepted(_)));
        let id = SessionId::new([1; 16]);
        let resumed = backend.resume(id, Some("anna"), &question).await;
        assert!(matches!(resumed, Decision::Accepted(_)));
        backend.deliver(&event(1, "hello")).await.unwrap();
    }
    let seen = server.seen();
    let of = |seen: &Seen| (seen.field("webhook-id").to_owned(), seen.at.1);
    let seen: Vec<_> = seen.iter().map(of).collect();
    assert_eq!(seen.len(), 9 + 8, "each but the first is sent twice");
    for twice in seen[1..].chunks(2) {
        assert_eq!((twice[0].1, twice[1].1), (1, 0), "first over the kept connection");
        assert_eq!(twice[0].0, twice[1].0, "with the same id");
    }
    assert_eq!(backend.counts().connections_died, 8);
}

#[tokio::test]
async fn requests_one_after_the_other_leave_nothing_behind() {
    let server = Server::start(|_| Some((204, String::new()))).await;
    let backend = server.backend();
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    for n in 0..200 {
        backend.deliver(&event(n, "hello")).await.unwrap();
        // What was begun beside it runs.
        tokio::task::yield_now().await;
    }
    assert!(server.seen().iter().all(|seen| seen.at.0 == 0), "over one connection");
    assert!(tasks() < 10, "{} tasks", tasks());
}

/// Answers the first connection before it has read the body, of which it reads nothing, and leaves
/// it open.
async fn answers_early() -> SocketAddr {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(8).unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut early, _) = listener.accept().await.unwrap();
        early.read_exact(&mut [0; 16]).await.unwrap();
        let refused = b"HTTP/1.1 413 x\r\ncontent-length: 0\r\n\r\n";
        early.write_all(refused).await.unwrap();
        let (tcp, _) = listener.accept().await.unwrap();
        serve(tcp, 1, |_| Some((204, String::new())), &Mutex::default()).await;
        drop(early);
    });
    addr
}

#[tokio::test]
async fn a_backend_that_answers_before_it_has_read_the_body_delays_no_other_request() {
    let server = Server { addr: answers_early().await, ..Server::start(|_| None).await };
    // Without the mend the second request waits for so long, and then the backend is thought gone.
    let backend = server.with(|options| options.timeout = Duration::from_secs(10), KEEP);
    // More than any kernel takes off our hands.
    let large = event(1, &"x".repeat(8 << 20));
    let refused = backend.deliver(&large).await.unwrap_err();
    assert!(matches!(refused.kind(), FailureKind::Answered(StatusCode::PAYLOAD_TOO_LARGE)));
    backend.deliver(&event(2, "hello")).await.unwrap();
}

#[tokio::test]
async fn what_a_new_connection_dies_of_is_not_sent_again() {
    let server = Server::start(|_| None).await;
    let backend = server.backend();
    let error = backend.deliver(&event(1, "poison")).await.unwrap_err();
    assert_eq!(error.kind(), FailureKind::NoAnswer);
    assert_eq!(server.seen().len(), 1);
    let Decision::Unavailable(error) = backend.connect(&Question::default()).await else {
        panic!("no verdict");
    };
    assert_eq!(error.for_clients(), "the backend did not answer");
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test]
async fn a_connection_is_kept_for_the_next_request_and_closed_when_its_time_is_up() {
    assert!(KEEP < Duration::from_secs(5), "Node closes idle connections after 5 s");
    let server = Server::start(|_| Some((204, String::new()))).await;
    let backend = server.with(|_| {}, Duration::from_millis(200));
    for n in 0..3 {
        backend.deliver(&event(n, "")).await.unwrap();
    }
    // The gateway ends all of them by itself: this waits for it.
    let connections = 1 + server.seen().last().unwrap().at.0;
    let _ended = server.ended.acquire_many(connections.try_into().unwrap()).await.unwrap();
    backend.deliver(&event(4, "")).await.unwrap();
    assert_eq!(server.seen().last().unwrap().at, (connections, 0));
    // With a longer time they share one.
    let server = Server::start(|_| Some((204, String::new()))).await;
    let backend = server.with(|_| {}, Duration::from_secs(600));
    for n in 0..3 {
        backend.deliver(&event(n, "")).await.unwrap();
    }
    assert_eq!(server.seen().last().unwrap().at, (0, 2));
}

#[tokio::test]
async fn a_failure_names_the_event_and_the_address_without_its_query() {
    let server = Server::start(|_| Some((401, "bad signature".into()))).await;
    let backend = server.backend();
    let error = backend.deliver(&event(1, "hello")).await.unwrap_err();
    assert_eq!(error.kind(), FailureKind::BadSignature);
    let start = format!("message to http://{}/hooks: the backend answered 401", server.addr);
    assert!(error.to_string().starts_with(&start), "{error}");
    assert!(!error.to_string().contains("hidden"), "{error}");
    assert!(server.seen()[0].head.starts_with("POST /hooks?key=hidden HTTP/1.1\r\n"));
    let Decision::Unavailable(error) = backend.connect(&Question::default()).await else {
        panic!("no verdict on a person");
    };
    assert_eq!(error.kind(), FailureKind::BadSignature);
    assert!(error.to_string().contains("ADIEU_BACKEND_SECRET"), "{error}");
    assert_eq!(backend.counts().bad_signatures, 2);
}

#[tokio::test]
async fn a_backend_that_is_not_there_or_hangs_is_told_apart() {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let server = Server::start(|_| None).await;
    let there = |options: &mut BackendOptions| options.url = format!("http://{gone}/");
    let error = server.with(there, KEEP).deliver(&event(1, "")).await.unwrap_err();
    assert_eq!(error.kind(), FailureKind::Unreachable);
    // It takes connections and says nothing.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = listener.local_addr().unwrap();
    let hangs = |options: &mut BackendOptions| {
        options.url = format!("http://{silent}/");
        options.timeout = Duration::from_millis(50);
    };
    let error = server.with(hangs, KEEP).deliver(&event(1, "")).await.unwrap_err();
    assert_eq!(error.kind(), FailureKind::NoAnswer);
}

#[tokio::test]
async fn an_event_of_which_the_backend_may_have_died_is_told_apart_from_one_that_was_not_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let backend =
        Server { addr, seen: Arc::default(), ended: Arc::new(tokio::sync::Semaphore::new(0)) }
            .backend();
    let dies = tokio::spawn(async move {
        let (mut tcp, _) = listener.accept().await.unwrap();
        read_request(&mut tcp).await.unwrap();
        tcp.write_all(b"HTTP/1.1 204 x\r\n\r\n").await.unwrap();
        let (_, body) = read_request(&mut tcp).await.unwrap();
        drop(listener);
        body
    });
    assert!(backend.deliver(&event(1, "hello")).await.is_ok());
    let error = backend.deliver(&event(2, "poison")).await.unwrap_err();
    let read = String::from_utf8(dies.await.unwrap()).unwrap();
    assert!(read.contains("poison"));
    assert_eq!(error.kind(), FailureKind::Died, "{error}");
    assert_eq!(error.for_clients(), "the backend did not answer");
    // The next has no connection from the beginning.
    let error = backend.deliver(&event(3, "hello")).await.unwrap_err();
    assert_eq!(error.kind(), FailureKind::Unreachable, "{error}");
}

#[tokio::test]
async fn an_event_is_answered_with_messages_and_an_end() {
    let server = Server::start(|seen| match seen.json()["data"].as_str().unwrap() {
        "hello" => ok(&json!({ "send": [{ "text": "you" }], "close": { "code": 4000 } })),
        "wrong" => ok(&json!({ "send": [{ "text": 5 }] })),
        "long" => Some((200, format!("{{\"x\":\"{}\"}}", "x".repeat(MAX_ANSWER)))),
        _ => Some((200, "OK".into())),
    })
    .await;
    let backend = server.backend();
    let answer = backend.deliver(&event(1, "hello")).await.unwrap();
    assert_eq!(answer.send, [Payload::Text("you".into())]);
    assert_eq!(answer.close, Some(crate::session::wire::FinalClose::new(4000, "").unwrap()));
    for (n, text) in [(2, "wrong"), (3, "long"), (4, "other")] {
        let taken = backend.deliver(&event(n, text)).await;
        assert_eq!(taken.unwrap(), Answer::default(), "{text} is taken, and nothing done");
    }
    assert_eq!(backend.counts().bad_answers, 2);
}

#[tokio::test]
async fn an_answer_that_is_cut_off_is_none() {
    let cut = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"send\":[";
    let server = Server::start(move |_| Some((200, cut.to_owned()))).await;
    let backend = server.backend();
    let error = backend.deliver(&event(1, "hello")).await.unwrap_err();
    assert_eq!(error.kind(), FailureKind::NoAnswer);
    assert!(error.to_string().contains("cut off"), "{error}");
    let Decision::Unavailable(error) = backend.connect(&Question::default()).await else {
        panic!("no verdict");
    };
    assert_eq!(error.for_clients(), "the backend did not answer");
    assert_eq!(server.seen().len(), 2, "some of the answer had come: it is not sent again at once");
}

#[tokio::test]
async fn an_answer_that_is_too_long_is_judged_by_its_status() {
    for (status, kind) in [
        (200, FailureKind::Answered(StatusCode::OK)),
        (401, FailureKind::BadSignature),
        (503, FailureKind::Answered(StatusCode::SERVICE_UNAVAILABLE)),
    ] {
        let server = Server::start(move |_| Some((status, "x".repeat(100_000)))).await;
        let backend = server.with(|options| options.timeout = Duration::MAX, KEEP);
        let Decision::Unavailable(error) = backend.connect(&Question::default()).await else {
            panic!("no verdict");
        };
        assert_eq!(error.kind(), kind);
    }
}

#[tokio::test]
async fn two_secrets_sign_each_request_twice() {
    let server = Server::start(|_| Some((204, String::new()))).await;
    let new = "whsec_dGhlIG5ldyBvbmUgaXMgMzIgYnl0ZXMgbG9uZyBub3c=";
    let both = Secret::read(&format!("{SECRET} {new}")).unwrap();
    let backend = server.with(|options| options.secret = both.clone(), KEEP);
    backend.deliver(&event(1, "hello")).await.unwrap();
    backend.connect(&Question::default()).await;
    for seen in server.seen() {
        let (id, time) = (seen.field("webhook-id"), seen.field("webhook-timestamp"));
        let sign =
            |secret| Secret::read(secret).unwrap().sign(id, time.parse().unwrap(), &seen.body);
        let want = format!("{} {}", sign(SECRET), sign(new));
        assert_eq!(seen.field("webhook-signature"), want);
    }
}

#[tokio::test]
async fn a_question_is_an_event_too() {
    let meta = json!({ "room": "blue" });
    let answer = json!({ "userId": "7", "meta": meta });
    let server = Server::start(move |_| ok(&answer)).await;
    let backend = server.backend();
    let question =
        Question { path: "/ws".into(), token: Some("jwt".into()), ..Question::default() };
    let Decision::Accepted(Accepted { user, meta: given, .. }) = backend.connect(&question).await
    else {
        panic!("accepted");
    };
    assert_eq!((user.as_deref(), given.map(Value::Object)), (Some("7"), Some(meta)));
    let id = SessionId::new([1; 16]);
    backend.resume(id, Some("anna"), &question).await;
    let [connect, resume] = &server.seen()[..] else { panic!("two") };
    assert_eq!(connect.field("content-type"), "application/cloudevents+json");
    let asked = connect.json();
    assert_eq!((&asked["type"], &asked["data"]["token"]), (&json!("connect"), &json!("jwt")));
    assert_eq!(asked.get("sessionid"), None);
    let asked = resume.json();
    let (id, anna) = (json!(id), json!("anna"));
    assert_eq!((&asked["sessionid"], &asked["data"]["sessionId"]), (&id, &id));
    assert_eq!((&asked["userid"], &asked["data"]["userId"]), (&anna, &anna));
}

#[tokio::test]
async fn a_batch_is_one_request_with_a_verdict_for_each_event() {
    let server = Server::start(|seen| {
        let verdict = |event: &Value| match event["data"].as_str().unwrap() {
            "forgotten" => None,
            "wrong" => Some(json!({ "id": event["id"], "status": 422 })),
            text => {
                let send = json!([{ "text": format!("echo: {text}") }]);
                Some(json!({ "id": event["id"], "status": 200, "send": send }))
            }
        };
        let verdicts = seen.json().as_array().unwrap().iter().filter_map(verdict).collect();
        ok(&Value::Array(verdicts))
    })
    .await;
    let backend = server.backend();
    let events = [event(1, "hello"), event(2, "wrong"), event(3, "forgotten")];
    let taken = backend.deliver_batch(&events).await;
    assert_eq!(taken[0].as_ref().unwrap().send, [Payload::Text("echo: hello".into())]);
    let kind = |n: usize| taken[n].as_ref().unwrap_err().kind();
    assert_eq!(kind(1), FailureKind::Answered(StatusCode::UNPROCESSABLE_ENTITY));
    assert_eq!(kind(2), FailureKind::Answered(StatusCode::OK));
    let seen = server.seen();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].field("content-type"), "application/cloudevents-batch+json");
    let (id, time) = (seen[0].field("webhook-id"), seen[0].field("webhook-timestamp"));
    let signed = Secret::read(SECRET).unwrap().sign(id, time.parse().unwrap(), &seen[0].body);
    assert_eq!(seen[0].field("webhook-signature"), signed);
    // Too many for one, and too long for one.
    let many: Vec<_> = (0..100).map(|n| event(n, "x")).collect();
    assert_eq!(
        backend.deliver_batch(&many).await.iter().filter(|taken| taken.is_ok()).count(),
        100
    );
    let long: Vec<_> = (0..3).map(|n| event(n, &"x".repeat(600_000))).collect();
    assert_eq!(backend.deliver_batch(&long).await.len(), 3);
    let counts: Vec<_> =
        server.seen()[1..].iter().map(|s| s.json().as_array().unwrap().len()).collect();
    assert_eq!(counts, [64, 36, 1, 1, 1]);
}

#[tokio::test]
async fn a_batch_that_is_answered_otherwise_is_not_taken_at_all() {
    for (status, body, kind) in [
        (500, "[]", FailureKind::Answered(StatusCode::INTERNAL_SERVER_ERROR)),
        (401, "", FailureKind::BadSignature),
        (204, "", FailureKind::Answered(StatusCode::NO_CONTENT)),
        (200, "OK", FailureKind::Answered(StatusCode::OK)),
    ] {
        let server = Server::start(move |_| Some((status, body.to_owned()))).await;
        let events = [event(1, "a"), event(2, "b")];
        let taken = server.backend().deliver_batch(&events).await;
        assert_eq!(taken.len(), 2);
        for taken in taken {
            assert_eq!(taken.unwrap_err().kind(), kind, "{status} {body}");
        }
    }
}

#[tokio::test]
async fn an_address_with_a_password_is_refused_without_naming_it() {
    let server = Server::start(|_| None).await;
    for (url, why) in [
        ("http://anna:s3cret@backend/", "a user name or a password"),
        ("ftp://backend/", "is not http://HOST/PATH"),
        ("backend", "is not http://HOST/PATH"),
        ("http://a b/", "cannot be read as a URL"),
    ] {
        let tls = no_roots();
        let options = BackendOptions {
            url: url.into(),
            secret: Secret::read(SECRET).unwrap(),
            timeout: Duration::from_secs(1),
            tls: Arc::new(tls.with_no_client_auth()),
            format: EventFormat::Structured,
            batches: false,
        };
        let error = Backend::new(options).unwrap_err();
        assert!(error.contains(why) && !error.contains("s3cret"), "{error}");
    }
    drop(server);
}
