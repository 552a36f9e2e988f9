//! How a backend is told, and what it may answer to an event.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use adieu_gateway::hook::Secret;
use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::routing::post;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::world::{Backend, Gateway, Page, Scratch, other_backend};

#[tokio::test(flavor = "multi_thread")]
async fn in_binary_mode_a_message_is_the_body_as_it_is_and_signed() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let hears = told.clone();
    let hook = async move |headers: HeaderMap, body: Bytes| {
        let field = |name: &str| headers[name].to_str().unwrap().to_owned();
        let time = field("webhook-timestamp").parse().unwrap();
        let signed = Secret::read(Backend::SECRET).unwrap().sign(&field("ce-id"), time, &body);
        assert_eq!(field("webhook-signature"), signed);
        let kind = field("content-type");
        hears.lock().unwrap().push((field("ce-type"), kind, body));
        StatusCode::NO_CONTENT
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        axum::serve(listener, Router::new().route("/", post(hook))).await.unwrap();
    });
    let options = ["--event-format", "binary", "--backend", &url];
    let gateway = Gateway::start_with_secret(Backend::SECRET, &options);
    let mut page = Page::default();
    page.connect(&gateway.url()).await;
    page.say("grüß").await;
    page.tell(&json!({ "type": "message", "sequenceId": 2, "binary": "AP8=" })).await;
    gateway.until_metric("adieu_events_delivered", 3.0).await;
    let told = told.lock().unwrap();
    let of = |kind: &str, body: &[u8]| {
        ("message".to_owned(), kind.to_owned(), Bytes::copy_from_slice(body))
    };
    assert_eq!((&*told[0].0, &*told[1].0), ("connect", "session.started"));
    assert_eq!(told[2], of("text/plain; charset=utf-8", "grüß".as_bytes()));
    assert_eq!(told[3], of("application/octet-stream", &[0, 0xFF]));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_to_an_event_sends_messages_and_ends_the_session() {
    let url = other_backend(|kind, body| {
        let event: Value = serde_json::from_slice(&body).unwrap();
        let answer = match (&*kind, event["data"].as_str()) {
            ("session.started", _) => json!({ "send": [{ "text": "welcome" }] }),
            ("message", Some("malformed")) => json!({ "send": [{ "txt": "lost" }] }),
            ("message", Some("bye")) => json!({
                "send": [{ "text": "one" }, { "text": "two" }],
                "close": { "code": 4321, "reason": "you said bye" },
            }),
            _ => return StatusCode::NO_CONTENT.into_response(),
        };
        axum::Json(answer).into_response()
    })
    .await;
    let gateway = Gateway::start_told_at("127.0.0.1:0", &url);
    let mut page = Page::default();
    page.connect(&gateway.url()).await;
    page.receive(1).await;
    page.say("malformed").await;
    page.say("bye").await;
    page.receive(3).await;
    assert_eq!(page.received, ["welcome", "one", "two"]);
    assert_eq!(page.closed_with().await, (4321, "you said bye".into()));
    assert_eq!(gateway.metric("adieu_backend_bad_answers").await, 1.0);
    assert_eq!(gateway.metric("adieu_event_failures").await, 0.0, "all of them are taken");
}

#[tokio::test]
async fn a_page_may_bring_a_token_that_no_url_and_no_log_has() {
    let backend = Backend::start().await;
    let gateway = Gateway::start(None, &backend, &[]);
    let token = URL_SAFE_NO_PAD.encode("a.b.c");
    let client = adieu::Client::new().subprotocol("adieu.v1").subprotocol("chat");
    let client = client.subprotocol(format!("adieu.auth.{token}"));
    let client = client.subprotocol("adieu.first.bm9uY2U").subprotocol("adieu.resume.forged.0");
    let mut socket = client.connect(&gateway.url()).await.unwrap();
    assert!(socket.recv().await.is_some());
    let asked = backend.asked().remove(0);
    assert_eq!(asked["token"], "a.b.c");
    assert_eq!(asked["subprotocols"], json!(["adieu.v1", "chat"]));
    assert!(!asked.to_string().contains(&token), "{asked}");
    assert!(asked["peer"].as_str().unwrap().starts_with("127.0.0.1:"), "{asked}");
}

/// A backend in Node that says its port, and takes everything.
const OVER_TLS: &str = "
    const [cert, key] = process.argv.slice(1).map((file) => require('fs').readFileSync(file));
    const server = require('https').createServer({ cert, key }, (request, response) => {
        request.resume().on('end', () => response.writeHead(204).end());
    });
    server.listen(0, '127.0.0.1', () => console.log(server.address().port));
";

#[tokio::test(flavor = "multi_thread")]
async fn the_backend_may_be_reached_by_tls_with_a_certificate_of_its_own() {
    let scratch = Scratch::new();
    std::fs::create_dir_all(scratch.path()).unwrap();
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let (cert, key) = (scratch.path().join("cert.pem"), scratch.path().join("key.pem"));
    std::fs::write(&cert, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let mut node = Command::new("node");
    node.args(["-e", OVER_TLS]).arg(&cert).arg(&key).stdout(Stdio::piped());
    let mut node = node.spawn().unwrap();
    let mut port = String::new();
    BufReader::new(node.stdout.take().unwrap()).read_line(&mut port).unwrap();
    let url = format!("https://127.0.0.1:{}/", port.trim());
    let options = ["--backend", &url, "--backend-ca", cert.to_str().unwrap()];
    let gateway = Gateway::start_with_secret(Backend::SECRET, &options);
    let mut page = Page::default();
    page.connect(&gateway.url()).await;
    page.say("hello").await;
    gateway.until_metric("adieu_events_delivered", 2.0).await;
    // Without its certificate it is not believed.
    let gateway = Gateway::start_with_secret(Backend::SECRET, &["--backend", &url]);
    page.session.clear();
    page.token = None;
    page.try_connect(&gateway.url()).await.unwrap_err();
    assert_eq!(page.closed_with().await, (1011, "the backend did not answer".into()));
    node.kill().unwrap();
    node.wait().unwrap();
}
