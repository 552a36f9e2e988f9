//! The backend is down, slow, or answers nonsense: nothing is lost, the order is kept, and what
//! waits has a limit.

use std::time::Duration;

use crate::world::{Backend, Gateway, Mode, Page, Scratch, figure};

/// Messages of one session that may be taken while the backend takes none: what the gateway keeps
/// for it, and what was under way.
const BOUND: usize = 256 + 2 * 16;

/// How long the backend is away: a minute in the long form.
fn away() -> Duration {
    let long = std::env::var_os("ADIEU_LONG").is_some();
    Duration::from_secs(if long { 60 } else { 2 })
}

#[tokio::test]
async fn while_the_backend_is_down_nothing_is_lost_and_no_more_is_taken_than_the_bound() {
    let mut backend = Backend::start().await;
    let scratch = Scratch::new();
    let gateway = Gateway::start(Some(scratch.path()), &backend, &["--wait-hidden", "100ms"]);
    let (mut page, mut leaver) = (Page::default(), Page::default());
    page.connect(&gateway.url()).await;
    leaver.connect(&gateway.url()).await;
    page.say("before").await;
    page.all_acknowledged().await;
    backend.until("it is heard", |backend| backend.said(&page.session).len() == 1).await;
    backend.stop().await;
    // More than is taken: the rest waits in the page.
    let (count, mut last) = (1_000, 0);
    for n in 0..count {
        page.say(&format!("message {n}")).await;
    }
    // An end is not bounded by the queue: it is one for each session.
    leaver.close(1001).await;
    let down = tokio::time::Instant::now() + away();
    while tokio::time::timeout_at(down, page.next()).await.is_ok() {
        last = page.acknowledged;
    }
    assert!(last > 1 && last <= 1 + BOUND, "{last} were acknowledged");
    let queued = gateway.metric("adieu_events_queued").await;
    assert!(queued >= last as f64, "{queued} of {last}");
    assert!(gateway.metric("adieu_event_failures").await > 0.0);
    backend.start_again().await;
    page.all_acknowledged().await;
    let all = |backend: &Backend| backend.said(&page.session).len() == page.said.len();
    backend.until("all is heard", all).await;
    assert_eq!(backend.said(&page.session), page.said, "the order is kept");
    backend.end_of(&leaver.session).await;
    assert_eq!(backend.story(&leaver.session), ["session.started", "session.ended"]);
    assert_eq!(gateway.metric("adieu_events_queued").await, 0.0);
    let measured = format!(
        "{:?}: {last} of {count} messages of a session acknowledged meanwhile, all delivered in \
         order afterwards",
        away()
    );
    figure("the backend down", &measured);
}

#[tokio::test]
async fn errors_and_slow_answers_lose_nothing_and_keep_the_order() {
    let backend = Backend::start().await;
    // The question of the page has this time, too.
    let gateway = Gateway::start(None, &backend, &["--backend-timeout", "3s"]);
    let mut page = Page::default();
    page.connect(&gateway.url()).await;
    for (n, mode) in [
        Mode::Says(500, "boom"),
        Mode::Well,
        Mode::Says(404, "gone"),
        Mode::Hangs,
        Mode::Says(302, ""),
        Mode::Slow(Duration::from_millis(20)),
    ]
    .into_iter()
    .enumerate()
    {
        let fails = !matches!(mode, Mode::Well | Mode::Slow(_));
        backend.takes_events(mode);
        let before = gateway.metric("adieu_event_failures").await;
        for i in 0..5 {
            page.say(&format!("{n}.{i}")).await;
        }
        page.all_acknowledged().await;
        if fails {
            gateway.until_metric("adieu_event_failures", before + 1.0).await;
        }
    }
    backend.takes_events(Mode::Well);
    let all = |backend: &Backend| backend.said(&page.session).len() == page.said.len();
    backend.until("all is heard", all).await;
    assert_eq!(backend.said(&page.session), page.said);
}

#[tokio::test]
async fn what_waits_for_the_backend_outlives_the_gateway() {
    let mut backend = Backend::start().await;
    let scratch = Scratch::new();
    let waits = ["--wait-restart", "500ms"];
    let gateway = Gateway::start(Some(scratch.path()), &backend, &waits);
    let mut page = Page::of("anna");
    page.connect(&gateway.url()).await;
    backend.until("it started", |backend| !backend.of_type("session.started").is_empty()).await;
    backend.stop().await;
    page.say("nobody hears this yet").await;
    page.all_acknowledged().await;
    gateway.kill_9();
    let gateway = Gateway::start(Some(scratch.path()), &backend, &waits);
    assert!(gateway.metric("adieu_events_queued").await >= 1.0);
    backend.start_again().await;
    let told = backend.end_of(&page.session).await.json();
    assert_eq!(
        (told["cause"].as_str(), told["mechanism"].as_str()),
        (Some("gateway_down"), Some("crash"))
    );
    assert_eq!(backend.said(&page.session), page.said);
    assert_eq!(backend.story(&page.session), ["session.started", "message", "session.ended"]);
    backend.until("the user left", |backend| !backend.of_type("user.left").is_empty()).await;
}
