//! What has a limit, and what becomes of that which is above it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::post;
use tokio::task::JoinSet;

use crate::world::{Backend, Gateway, Mode, Page, other_backend, type_of};

const MIB: usize = 1024 * 1024;

#[tokio::test]
async fn the_largest_message_that_the_api_takes_reaches_the_client() {
    let backend = Backend::start().await;
    let gateway = Gateway::start(None, &backend, &[]);
    let mut page = Page::default();
    page.connect(&gateway.url()).await;
    // As JSON they are six times as long.
    for _ in 0..2 {
        gateway.send(&page.session, &"\u{1}".repeat(MIB)).await;
    }
    page.receive(2).await;
    assert_eq!(page.received[1].len(), MIB);
    page.acknowledge().await;
    page.say("still here").await;
    page.all_acknowledged().await;
}

#[tokio::test]
async fn a_message_of_a_client_has_a_mebibyte_at_most_however_long_its_json_is() {
    let backend = Backend::start().await;
    let gateway = Gateway::start(None, &backend, &[]);
    let mut page = Page::default();
    page.connect(&gateway.url()).await;
    // As JSON it is six times as long.
    page.say(&"\u{1}".repeat(MIB)).await;
    page.all_acknowledged().await;
    backend.until("it is heard", |backend| backend.said(&page.session) == page.said).await;
    let tell =
        |text: String| serde_json::json!({ "type": "message", "sequenceId": 2, "text": text });
    page.tell(&tell("x".repeat(MIB + 1))).await;
    let (code, reason) = page.closed_with().await;
    assert_eq!((code, &*reason), (1009, "a message has 1048576 bytes at most, 1048577 came"));
    let mut plain = adieu::connect(&gateway.url()).await.unwrap();
    plain.send("x".repeat(MIB + 1)).await.unwrap();
    assert!(plain.recv().await.is_none());
    let ending = plain.ended().await;
    let close = ending.closing_handshake.received().expect("a Close");
    assert_eq!(close.code().map(|code| code.get()), Some(1009));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bound_of_a_session_holds_across_its_connections() {
    let mut backend = Backend::start().await;
    let gateway = Gateway::start(None, &backend, &[]);
    let mut page = Page::default();
    page.connect(&gateway.url()).await;
    backend.stop().await;
    for round in 0..5 {
        for n in 0..1_000 {
            page.say(&format!("{round}.{n}")).await;
        }
        page.hide().await;
        let (session, token) = (page.session.clone(), page.token.clone());
        let mut next = Page { session, token, ..Page::default() };
        assert!(next.connect(&gateway.url()).await.resumed);
        // Its next message follows those that were taken.
        next.said = page.said[..next.acknowledged].to_vec();
        page = next;
    }
    let queued = gateway.metric("adieu_events_queued").await;
    assert!(queued <= 257.0, "{queued} events wait");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bytes_of_all_events_that_wait_have_a_limit() {
    let backend = Backend::start().await;
    backend.takes_events(Mode::Says(503, ""));
    let gateway = Gateway::start(None, &backend, &[]);
    let (mut tasks, sent) = (JoinSet::new(), Arc::new(AtomicUsize::new(0)));
    for _ in 0..30 {
        let (url, sent) = (gateway.url(), sent.clone());
        tasks.spawn(async move {
            let mut page = Page::default();
            page.connect(&url).await;
            for _ in 0..4 {
                page.say(&"x".repeat(MIB)).await;
                sent.fetch_add(1, Ordering::SeqCst);
            }
            page.all_acknowledged().await;
        });
    }
    // As many as fit are taken, and no more, however long one looks.
    let bytes = async || gateway.metric("adieu_events_queued_bytes").await;
    gateway.until_metric("adieu_events_queued_bytes", (63 * MIB) as f64).await;
    for _ in 0..50 {
        let now = bytes().await;
        assert!(now <= (65 * MIB) as f64, "{now} bytes wait");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    backend.takes_events(Mode::Well);
    tasks.join_all().await;
    assert_eq!(sent.load(Ordering::SeqCst), 120);
    backend.until("all is heard", |backend| backend.of_type("message").len() == 120).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_refused_for_good_does_not_hide_that_the_person_left() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let hears = told.clone();
    let url = other_backend(move |kind, body| {
        if kind == "message" && body.len() > 100_000 {
            return StatusCode::PAYLOAD_TOO_LARGE.into_response();
        }
        hears.lock().unwrap().push(kind);
        StatusCode::NO_CONTENT.into_response()
    })
    .await;
    let gateway = Gateway::start_told_at("127.0.0.1:0", &url);
    let mut page = Page::default();
    page.connect(&gateway.url()).await;
    page.say(&"x".repeat(150_000)).await;
    page.all_acknowledged().await;
    page.close(1000).await;
    gateway.until_metric("adieu_events_rejected", 1.0).await;
    gateway.until_metric("adieu_events_delivered", 2.0).await;
    let told: Vec<String> = told.lock().unwrap().clone();
    assert_eq!(told, ["connect", "session.started", "session.ended"]);
}

#[tokio::test]
async fn a_page_hears_that_the_gateway_is_there_while_the_backend_is_down() {
    let mut backend = Backend::start().await;
    let gateway = Gateway::start(None, &backend, &[]);
    let mut page = Page::default();
    page.connect(&gateway.url()).await;
    backend.stop().await;
    for n in 0..300 {
        page.say(&format!("{n}")).await;
    }
    page.tell(&serde_json::json!({ "type": "heartbeat" })).await;
    // A client gives up after 10 s without a word.
    let heard = tokio::time::timeout(Duration::from_secs(9), async {
        while page.next().await.expect("the connection stays")["type"] != "heartbeat" {}
    });
    heard.await.expect("a heartbeat");
    assert!(page.acknowledged < 300);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_api_took_reaches_a_slow_client_before_the_end_does() {
    let backend = Backend::start().await;
    let gateway = Gateway::start(None, &backend, &[]);
    let request = testkit::Request::rfc6455().target("/ws");
    let request = request.field("Sec-WebSocket-Protocol", "adieu.v1");
    let mut slow = testkit::Peer::open_with(gateway.addr, &request);
    let connected: serde_json::Value = serde_json::from_slice(&slow.read_frame().payload).unwrap();
    let session = connected["sessionId"].as_str().unwrap().to_owned();
    // More than the sockets and the library's queue take at once.
    let count = 8;
    for _ in 0..count {
        gateway.send(&session, &"x".repeat(900_000)).await;
    }
    let (status, _) = gateway.request("DELETE", &format!("/api/sessions/{session}"), "").await;
    assert_eq!(status, 204);
    let mut came = 0;
    let code = loop {
        let frame = slow.read_frame();
        match frame.close_code() {
            Some(code) => break code,
            None => came += usize::from(frame.payload.len() > 900_000),
        }
    };
    assert_eq!((came, code), (count, 4003));
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_to_the_backend_have_a_limit() {
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let (n, m) = (now.clone(), most.clone());
    // None is answered before 64 have been asked.
    let (opens, opened) = tokio::sync::watch::channel(false);
    let opens = Arc::new(opens);
    let hook = async move |body: Bytes| {
        if type_of(&body) != "connect" {
            return StatusCode::NO_CONTENT;
        }
        let asked = n.fetch_add(1, Ordering::SeqCst) + 1;
        m.fetch_max(asked, Ordering::SeqCst);
        let mut opened = opened.clone();
        if asked == 64 {
            // Time for more questions to come, if there could be more.
            tokio::time::sleep(Duration::from_millis(500)).await;
            opens.send_replace(true);
        }
        let _ = opened.wait_for(|opened| *opened).await;
        n.fetch_sub(1, Ordering::SeqCst);
        StatusCode::NO_CONTENT
    };
    let app = Router::new().route("/", post(hook));
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    let gateway = Gateway::start_with("127.0.0.1:0", &url, &["--backend-timeout", "60s"]);
    let mut all = JoinSet::new();
    for _ in 0..200 {
        let url = gateway.url();
        all.spawn(async move {
            let mut page = Page::default();
            page.connect(&url).await;
        });
    }
    all.join_all().await;
    assert_eq!(most.load(Ordering::SeqCst), 64, "at a time");
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_of_a_user_and_requests_with_the_key_have_a_rate() {
    let backend = Backend::start().await;
    let options = ["--max-messages-per-user", "3", "--max-api-requests", "4"];
    let gateway = Gateway::start(None, &backend, &options);
    let mut page = Page::of("anna");
    page.connect(&gateway.url()).await;
    // Fifteen are heard at once. The connection ends, and the client says the rest again.
    for n in 0..20 {
        page.say(&n.to_string()).await;
    }
    let (code, reason) = page.closed_with().await;
    let said = "this user sends more messages in a second than one may";
    assert_eq!((code, &*reason), (1013, said));
    gateway.until_metric(r#"adieu_limit_reached_total{limit="messages_per_user"}"#, 1.0).await;
    while page.acknowledged < 20 {
        page.connect(&gateway.url()).await;
        while page.acknowledged < 20 && page.next().await.is_some() {}
    }
    backend.until("all is heard", |backend| backend.said(&page.session) == page.said).await;
    let mut statuses = Vec::new();
    // One after the other they are far more than four in a second, on a busy machine as well.
    while !(statuses.contains(&429) && statuses.contains(&200)) {
        assert!(statuses.len() < 10_000, "no request is refused, or none is answered");
        statuses.push(gateway.request("GET", "/api/sessions", "").await.0);
    }
}
