//! A client comes back while another of its tries, the backend or the gateway is slow.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use adieu::{Client, Close, Socket};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde_json::json;

use crate::world::{Backend, Gateway, Mode, Page, Scratch, other_backend};

/// How connections end here whose page goes.
const HIDDEN: &str = r#"initiator="client",mechanism="close_frame",code="4001""#;

/// A try that its page has given up by the time it is answered.
async fn a_try(gateway: &Gateway, token: Option<&str>) -> Socket {
    let mut client = Client::new().subprotocol("adieu.v1");
    if let Some(token) = token {
        client = client.subprotocol(format!("adieu.resume.{token}.0"));
    }
    client.connect(&gateway.url()).await.unwrap()
}

/// Waits until the backend has been asked once more.
async fn asked(backend: &Backend, times: usize) {
    backend.until("it is asked", |backend| backend.being_asked() >= times).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_try_does_not_take_the_session_from_a_newer_one() {
    let backend = Backend::start().await;
    let gateway = Gateway::start(None, &backend, &["--ask-resume", "always"]);
    let mut page = Page::default();
    page.connect(&gateway.url()).await;
    page.hide().await;
    // The first try: the backend thinks, and the page gives it up.
    backend.answers(Mode::UntilReleased);
    let first = a_try(&gateway, page.token.as_deref()).await;
    asked(&backend, 2).await;
    first.close(Close::new(4001, "").unwrap()).await;
    backend.answers(Mode::Well);
    assert!(page.connect(&gateway.url()).await.resumed);
    backend.release();
    // The first try has been judged, and has come to nothing: its handler is over.
    gateway.until_metric(&format!("adieu_connection_endings_total{{{HIDDEN}}}"), 2.0).await;
    let (resumed, view) = (r#"result="resumed",reason="""#, gateway.view(&page.session).await);
    assert_eq!(gateway.metric(&format!("adieu_session_resumes_total{{{resumed}}}")).await, 1.0);
    assert_eq!(view["generation"], 2, "{view}");
    page.say("here").await;
    page.all_acknowledged().await;
    assert_eq!(backend.of_type("session.ended").len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_late_does_not_take_over_from_one_that_has_spoken() {
    let backend = Backend::start().await;
    let gateway = Gateway::start(None, &backend, &[]);
    let mut page = Page::default();
    page.connect(&gateway.url()).await;
    let token = page.token.clone().unwrap();
    page.hide().await;
    assert!(page.connect(&gateway.url()).await.resumed);
    // It has its new token, and nothing else to say.
    page.tell(&json!({ "type": "heartbeat" })).await;
    assert_eq!(page.next().await.unwrap()["type"], "heartbeat");
    let late = a_try(&gateway, Some(&token)).await;
    late.close(Close::new(4001, "").unwrap()).await;
    gateway.until_metric(&format!("adieu_connection_endings_total{{{HIDDEN}}}"), 2.0).await;
    page.say("here").await;
    page.all_acknowledged().await;
    assert_eq!(backend.of_type("session.ended").len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_gone_before_the_backend_answered_is_not_announced() {
    let backend = Backend::start().await;
    let gateway = Gateway::start(None, &backend, &["--wait-hidden", "100ms"]);
    backend.answers(Mode::UntilReleased);
    let first = a_try(&gateway, None).await;
    asked(&backend, 1).await;
    // Refreshed while it connects.
    first.close(Close::new(1001, "").unwrap()).await;
    backend.release();
    let mut page = Page::default();
    page.connect(&gateway.url()).await;
    backend.until("the page is announced", |backend| !backend.seen().is_empty()).await;
    page.close(1000).await;
    backend.end_of(&page.session).await;
    assert_eq!(backend.seen().len(), 2, "{:?}", backend.seen());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_turned_away_by_the_drain_is_not_announced() {
    let backend = Backend::start().await;
    let scratch = Scratch::new();
    let gateway = Gateway::start(Some(scratch.path()), &backend, &[]);
    backend.answers(Mode::UntilReleased);
    let mut first = a_try(&gateway, None).await;
    asked(&backend, 1).await;
    gateway.terminate();
    while first.recv().await.is_some() {}
    backend.release();
    assert!(gateway.ended().await.success());
    assert_eq!(backend.seen().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_failure_of_the_resume_hook_does_not_cost_the_session() {
    let fails = Arc::new(AtomicUsize::new(1));
    let url = other_backend(move |kind, _| {
        if kind == "resume" && fails.swap(0, Ordering::SeqCst) == 1 {
            return StatusCode::SERVICE_UNAVAILABLE.into_response();
        }
        StatusCode::NO_CONTENT.into_response()
    })
    .await;
    let options = ["--ask-resume", "always", "--backend", &url];
    let gateway = Gateway::start_at("127.0.0.1:0", None, None, &options);
    let mut page = Page::default();
    page.connect(&gateway.url()).await;
    page.hide().await;
    page.try_connect(&gateway.url()).await.unwrap_err();
    assert_eq!(page.closed_with().await, (1013, "the backend did not answer".into()));
    assert!(page.connect(&gateway.url()).await.resumed);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_told_to_come_back_because_the_backend_hangs_is_waited_for() {
    let backend = Backend::start().await;
    let options = ["--ask-resume", "always", "--backend-timeout", "3s", "--wait-hidden", "30s"];
    let gateway = Gateway::start(None, &backend, &options);
    let mut page = Page::default();
    page.connect(&gateway.url()).await;
    let mut other = Page { token: page.token.clone(), ..Page::default() };
    other.session = page.session.clone();
    backend.answers(Mode::Hangs);
    let asked = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis() as u64;
    other.try_connect(&gateway.url()).await.unwrap_err();
    assert!(other.retry_after.is_some_and(|after| after <= 2_000), "{:?}", other.retry_after);
    // The page that it had goes for good while the new one waits: 15 s more than it was told.
    page.close(1000).await;
    gateway.until_metric("adieu_sessions_away", 1.0).await;
    let view = gateway.view(&other.session).await;
    assert!(view["until"].as_u64().unwrap() > asked + 10_000, "{view}, asked at {asked}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_back_in_time_is_not_announced_while_the_backend_thinks() {
    let backend = Backend::start().await;
    let options = ["--ask-resume", "always", "--backend-timeout", "1m", "--wait-hidden", "4s"];
    let gateway = Gateway::start(None, &backend, &options);
    let mut page = Page::default();
    page.connect(&gateway.url()).await;
    page.hide().await;
    backend.answers(Mode::UntilReleased);
    let thinks = async {
        asked(&backend, 2).await;
        // Until the wait is over.
        tokio::time::sleep(Duration::from_secs(5)).await;
        backend.release();
    };
    let url = gateway.url();
    let (connected, ()) = tokio::join!(page.connect(&url), thinks);
    assert!(connected.resumed);
    assert_eq!(backend.of_type("session.ended").len(), 0);
}
