//! A newer connection has the session, whatever becomes of the older.

use std::time::Instant;

use serde_json::{Value, json};

use crate::world::{Backend, Gateway, Page, figure};

/// A second connection of the same tab.
fn second(page: &Page) -> Page {
    Page {
        session: page.session.clone(),
        token: page.token.clone(),
        received: page.received.clone(),
        said: page.said.clone(),
        ..Page::default()
    }
}

#[tokio::test]
async fn it_is_served_at_once_while_the_older_is_open_and_that_ones_end_changes_nothing() {
    let backend = Backend::start().await;
    let waits = ["--wait-lost", "300ms", "--wait-hidden", "300ms"];
    let gateway = Gateway::start(None, &backend, &waits);
    let mut old = Page::default();
    old.connect(&gateway.url()).await;
    let mut new = second(&old);
    let asked = Instant::now();
    assert!(new.connect(&gateway.url()).await.resumed);
    let served = asked.elapsed();
    let (code, reason) = old.closed_with().await;
    assert_eq!((code, &*reason), (4002, "a newer connection has the session"));
    // The older one's end is accounted for, and nobody is waited for because of it.
    let superseded = r#"initiator="gateway",mechanism="close_frame",code="4002""#;
    gateway.until_metric(&format!("adieu_connection_endings_total{{{superseded}}}"), 1.0).await;
    let view = gateway.view(&new.session).await;
    assert_eq!((&view["attached"], &view["until"]), (&json!(true), &Value::Null), "{view}");
    new.say("here").await;
    new.all_acknowledged().await;
    backend.until("it is heard", |backend| backend.said(&new.session) == ["here"]).await;
    assert_eq!(backend.story(&new.session), ["session.started", "message"]);
    figure("takeover while the older connection is open", &format!("served after {served:.1?}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_connection_that_says_nothing_more_and_ends_late_changes_nothing() {
    let backend = Backend::start().await;
    let gateway = Gateway::start(None, &backend, &["--wait-lost", "200ms"]);
    // One that neither reads nor answers: half-open, as far as the gateway can see.
    let request = testkit::Request::rfc6455().target("/ws");
    let request = request.field("Sec-WebSocket-Protocol", "adieu.v1");
    let mut silent = testkit::Peer::open_with(gateway.addr, &request);
    let connected = String::from_utf8(silent.read_frame().payload).unwrap();
    let connected: Value = serde_json::from_str(&connected).unwrap();
    let mut page = Page {
        session: connected["sessionId"].as_str().unwrap().into(),
        token: connected["reconnectionToken"].as_str().map(str::to_owned),
        ..Page::default()
    };
    assert!(page.connect(&gateway.url()).await.resumed);
    // What it still says counts for nothing.
    let late = r#"{"type":"message","sequenceId":1,"text":"late"}"#;
    silent.try_write(testkit::Frame::text(late).masked());
    silent.try_write(testkit::Frame::text(r#"{"type":"goodbye"}"#).masked());
    page.say("first").await;
    page.all_acknowledged().await;
    silent.reset();
    page.say("second").await;
    page.all_acknowledged().await;
    let both = |backend: &Backend| backend.said(&page.session) == ["first", "second"];
    backend.until("both are heard", both).await;
    assert_eq!(backend.story(&page.session), ["session.started", "message", "message"]);
}

#[tokio::test]
async fn two_tabs_with_one_token_do_not_fight() {
    let backend = Backend::start().await;
    let gateway = Gateway::start(None, &backend, &[]);
    let mut one = Page::default();
    one.connect(&gateway.url()).await;
    let mut two = second(&one);
    two.connect(&gateway.url()).await;
    // The one that was superseded begins a session of its own, as the document says.
    assert_eq!(one.closed_with().await.0, 4002);
    let mut one = Page::default();
    assert!(!one.connect(&gateway.url()).await.resumed);
    two.say("two").await;
    one.say("one").await;
    two.all_acknowledged().await;
    one.all_acknowledged().await;
    assert_ne!(one.session, two.session);
    let (status, list) = gateway.request("GET", "/api/sessions", "").await;
    assert_eq!(status, 200);
    assert!(list.contains("\"total\":2"), "{list}");
}
