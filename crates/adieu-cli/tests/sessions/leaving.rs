//! A person leaves: told once, with the cause, after the wait that fits it and never before.

use std::time::{Duration, Instant};

use adieu::Client;
use serde_json::json;

use crate::world::{Backend, Gateway, Page, figure};

const WAITS: &[&str] = &["--wait-hidden", "400ms", "--wait-lost", "900ms"];

/// Longer than any test waits.
const FOREVER: &str = "10m";

#[tokio::test(flavor = "multi_thread")]
async fn each_way_to_go_is_told_once_with_its_cause_after_its_wait() {
    let backend = Backend::start().await;
    let waits = |hidden, lost| {
        Gateway::start(None, &backend, &["--wait-hidden", hidden, "--wait-lost", lost])
    };
    // Only the wait that fits comes to an end in a test.
    let (at_once, hidden, lost) = (
        (waits(FOREVER, FOREVER), Duration::ZERO),
        (waits("400ms", FOREVER), Duration::from_millis(400)),
        (waits(FOREVER, "900ms"), Duration::from_millis(900)),
    );
    let mut measured = Vec::new();
    for (way, (gateway, wait), cause, initiator, mechanism, code) in [
        ("goodbye", &at_once, "goodbye", "client", "goodbye", None),
        ("1000", &at_once, "left", "client", "close_frame", Some(1000)),
        ("4123", &at_once, "left", "client", "close_frame", Some(4123)),
        ("4001", &hidden, "hidden", "client", "close_frame", Some(4001)),
        ("1001", &hidden, "hidden", "client", "close_frame", Some(1001)),
        ("rst", &lost, "lost", "unknown", "rst", None),
        ("fin", &lost, "lost", "unknown", "fin", None),
    ] {
        let mut page = Page::default();
        let went = match way {
            "rst" | "fin" => {
                let mut peer = raw(gateway.addr);
                page.session = first(&mut peer);
                let went = Instant::now();
                if way == "rst" {
                    peer.reset();
                } else {
                    peer.fin_and_wait();
                }
                went
            }
            "goodbye" => {
                page.connect(&gateway.url()).await;
                let went = Instant::now();
                page.tell(&json!({ "type": "goodbye" })).await;
                assert_eq!(page.closed_with().await.0, 1000);
                went
            }
            code => {
                page.connect(&gateway.url()).await;
                let went = Instant::now();
                page.close(code.parse().unwrap()).await;
                went
            }
        };
        let ended = backend.end_of(&page.session).await;
        let after = ended.at - went;
        assert!(after >= *wait, "{way}: told after {after:?}");
        measured.push(format!("{way} {after:.0?} (wait {wait:?})"));
        let told = ended.json();
        assert_eq!(told["cause"], cause, "{way}: {told}");
        assert_eq!(told["initiator"], initiator, "{way}: {told}");
        assert_eq!(told["mechanism"], mechanism, "{way}: {told}");
        assert_eq!(told["ending"]["code"], json!(code), "{way}: {told}");
        assert_eq!(told["connections"], 1, "{way}");
        assert_eq!(backend.story(&page.session), ["session.started", "session.ended"], "{way}");
        assert_eq!(gateway.metric("adieu_sessions_attached").await, 0.0, "{way}");
    }
    figure("session.ended after the person went", &measured.join(", "));
}

fn raw(addr: std::net::SocketAddr) -> testkit::Peer {
    let mut request = testkit::Request::rfc6455();
    request = request.target("/ws").field("Sec-WebSocket-Protocol", "adieu.v1");
    testkit::Peer::open_with(addr, &request)
}

/// The session in the first message.
fn first(peer: &mut testkit::Peer) -> String {
    let text = String::from_utf8(peer.read_frame().payload).unwrap();
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    json["sessionId"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_user_is_gone_with_the_last_tab_and_a_refresh_is_nothing() {
    let backend = Backend::start().await;
    let gateway = Gateway::start(None, &backend, WAITS);
    let (mut one, mut two) = (Page::of("anna"), Page::of("anna"));
    one.connect(&gateway.url()).await;
    two.connect(&gateway.url()).await;
    assert_ne!(one.session, two.session, "two tabs are two sessions");
    one.hide().await;
    one.connect(&gateway.url()).await;
    one.close(1000).await;
    backend.end_of(&one.session).await;
    assert_eq!(backend.of_type("user.left").len(), 0, "a tab of two");
    two.hide().await;
    two.connect(&gateway.url()).await;
    two.close(1000).await;
    backend.until("the user left", |backend| !backend.of_type("user.left").is_empty()).await;
    let of_user: Vec<_> =
        backend.seen().into_iter().filter(|seen| seen.sequence.is_none()).collect();
    let told: Vec<_> = of_user.iter().map(|seen| (&*seen.r#type, seen.user.as_deref())).collect();
    assert_eq!(told, [("user.joined", Some("anna")), ("user.left", Some("anna"))]);
}

#[tokio::test]
async fn a_client_without_the_subprotocol_is_a_session_of_one_connection() {
    let backend = Backend::start().await;
    // It has no token to come back with, so it is not waited for.
    let waits = ["--wait-hidden", FOREVER, "--wait-lost", FOREVER];
    let gateway = Gateway::start(None, &backend, &waits);
    let url = format!("{}?user=carl", gateway.url());
    let mut socket = Client::new().subprotocol("chat").connect(&url).await.unwrap();
    assert_eq!(socket.subprotocol(), None, "the backend has chosen none");
    socket.send("hello").await.unwrap();
    socket.send(vec![1, 2, 3]).await.unwrap();
    backend.until("both are heard", |backend| backend.of_type("message").len() == 2).await;
    let told = backend.of_type("message");
    assert_eq!((told[0].text(), &told[1].body[..]), ("hello", &[1, 2, 3][..]));
    let session = told[0].session.clone();
    gateway.send(&session, "{\"anything\": true}").await;
    let came = socket.recv().await.unwrap();
    assert_eq!(came.as_text(), Some("{\"anything\": true}"), "as it is");
    let _ = socket.close(adieu::Close::new(1001, "").unwrap()).await;
    let ended = backend.end_of(&session).await;
    assert_eq!(ended.json()["userId"], "carl");
}

#[tokio::test]
async fn the_backend_ends_a_session_with_its_own_words() {
    let backend = Backend::start().await;
    let gateway = Gateway::start(None, &backend, &[]);
    let mut page = Page::default();
    page.connect(&gateway.url()).await;
    let path = format!("/api/sessions/{}", page.session);
    let (status, body) =
        gateway.request("DELETE", &format!("{path}?code=4321&reason=kicked"), "").await;
    assert_eq!(status, 204, "{body}");
    assert_eq!(page.closed_with().await, (4321, "kicked".into()));
    let told = backend.end_of(&page.session).await.json();
    assert_eq!(
        (&told["cause"], &told["initiator"]),
        (&json!("ended_by_backend"), &json!("backend"))
    );
    // It cannot come back.
    let again = page.connect(&gateway.url()).await;
    assert_eq!(again.reason.as_deref(), Some("expired"));
    // Away, too.
    page.hide().await;
    let (status, _) =
        gateway.request("DELETE", &format!("/api/sessions/{}", page.session), "").await;
    assert_eq!(status, 204);
    backend.end_of(&page.session).await;
}
