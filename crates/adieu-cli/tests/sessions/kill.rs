//! `kill -9` of the gateway at random moments under load: each end is announced, once apart from
//! repeats, and what was acknowledged is there.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde_json::json;
use testkit::Random;
use tokio::task::JoinSet;

use crate::world::{Backend, Gateway, Page, Scratch, Seen, figure, other_backend, seed};

/// Pages at a time.
const PAGES: u64 = 12;

/// Rounds of kill and restart: 200 in the long form.
fn rounds() -> u64 {
    if std::env::var_os("ADIEU_LONG").is_some() { 200 } else { 20 }
}

/// What a page knows when it is over.
struct Story {
    session: String,
    said: Vec<String>,
    acknowledged: usize,
    /// It has said goodbye or gone for good; otherwise it may still be here.
    left: bool,
}

/// Pages come, talk, are cut, come back, and leave, until they are told to stop.
async fn people(url: String, mut random: Random, stop: Arc<AtomicBool>) -> Vec<Story> {
    let mut stories = Vec::new();
    let mut page = Page::default();
    let mut before = String::new();
    while !stop.load(Ordering::Relaxed) {
        let wait = Duration::from_millis(random.below(20));
        let Ok(connected) = page.try_connect(&url).await else {
            page.socket = None;
            tokio::time::sleep(wait).await;
            continue;
        };
        assert!(
            before.is_empty() || connected.resumed,
            "a session that was to be resumed was not: {connected:?}"
        );
        before = page.session.clone();
        for _ in 0..random.below(8) {
            page.say(&format!("{} says {}", page.session, page.said.len())).await;
        }
        // Some of the acknowledgements come, or the gateway is killed.
        let some = tokio::time::timeout(wait, page.all_acknowledged_or_over()).await;
        let leaves = random.once_in(6) && some.is_ok();
        if leaves {
            page.close(1000).await;
            stories.push(page.story(true));
            page = Page::default();
            before.clear();
        } else if random.once_in(2) {
            page.hide().await;
        } else {
            page.socket = None;
        }
    }
    if !page.session.is_empty() {
        stories.push(page.story(false));
    }
    stories
}

impl Page {
    async fn all_acknowledged_or_over(&mut self) {
        while self.acknowledged < self.said.len() && self.next().await.is_some() {}
    }

    fn story(&self, left: bool) -> Story {
        Story {
            session: self.session.clone(),
            said: self.said.clone(),
            acknowledged: self.acknowledged,
            left,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whenever_it_is_killed_each_end_is_told_once_and_nothing_acknowledged_is_lost() {
    let seed = seed();
    let random = Random::new(seed);
    let mut kills = random.fork(1_000);
    let backend = Backend::start().await;
    let scratch = Scratch::new();
    // Nobody is away for that long: whoever is announced has left, or is gone at the end.
    let waits = ["--wait-hidden", "30s", "--wait-lost", "30s", "--wait-restart", "30s"];
    let mut gateway = Gateway::start(Some(scratch.path()), &backend, &waits);
    let listen = gateway.addr.to_string();
    let stop = Arc::new(AtomicBool::new(false));
    let mut all = JoinSet::new();
    for n in 0..PAGES {
        all.spawn(people(gateway.url(), random.fork(n), stop.clone()));
    }
    for _ in 0..rounds() {
        tokio::time::sleep(Duration::from_millis(20 + kills.below(300))).await;
        gateway.kill_9();
        gateway = Gateway::start_at(&listen, Some(scratch.path()), Some(&backend), &waits);
    }
    stop.store(true, Ordering::Relaxed);
    let stories: Vec<Story> = all.join_all().await.into_iter().flatten().collect();
    // The rest is gone for good, in a gateway that does not wait long.
    gateway.kill_9();
    let short = ["--wait-hidden", "1s", "--wait-lost", "1s", "--wait-restart", "1s"];
    let ends: Vec<_> = stories.iter().map(|story| story.session.clone()).collect();
    let again = Gateway::start_at(&listen, Some(scratch.path()), Some(&backend), &short);
    // Those of 30 s are kept: a wait is never made shorter. So they are ended by hand.
    for story in stories.iter().filter(|story| !story.left) {
        let (status, body) =
            again.request("DELETE", &format!("/api/sessions/{}", story.session), "").await;
        assert!(matches!(status, 204 | 404), "{status} {body}");
    }
    let every = |backend: &Backend| {
        let ended = backend.ended();
        ends.iter().all(|session| ended.contains(session))
    };
    backend.until("each end is told", every).await;
    let told = backend.stories();
    let mut acknowledged = 0;
    for Story { session, said, acknowledged: taken, .. } in &stories {
        let events = &told[session];
        let types: Vec<_> = events.iter().map(|seen| &*seen.r#type).collect();
        let heard: Vec<_> =
            events.iter().filter(|seen| seen.r#type == "message").map(Seen::text).collect();
        acknowledged += taken;
        assert!(heard.len() >= *taken, "{session}: {taken} acknowledged, {} heard", heard.len());
        assert_eq!(heard[..], said[..heard.len()], "{session}: in order, none twice");
        let ends = types.iter().filter(|kind| **kind == "session.ended").count();
        assert_eq!(ends, 1, "{session}: {types:?}");
        assert_eq!(types.first(), Some(&"session.started"), "{session}: {types:?}");
        assert_eq!(types.last(), Some(&"session.ended"), "{session}: {types:?}");
        let numbers: Vec<_> = events.iter().map(|s| (s.sequence, s.generation)).collect();
        let gapless = numbers.iter().map(|(n, _)| *n).eq((1..=events.len() as u64).map(Some));
        assert!(gapless, "{session}: {numbers:?}");
        assert!(numbers.is_sorted_by_key(|(_, generation)| *generation), "{session}: {numbers:?}");
    }
    let (all, once) = (backend.all().len(), backend.seen().len());
    let (events, repeats) = (once, all - once);
    let measured = format!(
        "{} rounds: {} sessions that their pages knew, {} told to have ended, each once; \
         {acknowledged} messages acknowledged and none lost; {events} events, {repeats} repeats \
         with the same id (seed {seed})",
        rounds(),
        stories.len(),
        backend.ended().len()
    );
    figure("kill -9 of the gateway", &measured);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_sent_once_when_the_gateway_is_killed_while_the_page_acknowledges_it() {
    const MESSAGES: usize = 64;
    let send: Vec<_> = (0..MESSAGES).map(|n| json!({ "text": format!("answer {n}") })).collect();
    let url = other_backend(move |kind, _| match &*kind {
        "message" => axum::Json(json!({ "send": send })).into_response(),
        _ => StatusCode::NO_CONTENT.into_response(),
    })
    .await;
    let scratch = Scratch::new();
    let options = ["--data", scratch.path().to_str().unwrap()];
    let gateway = Gateway::start_with(&testkit::own_address().to_string(), &url, &options);
    let listen = gateway.addr.to_string();
    let mut page = Page::default();
    page.connect(&gateway.url()).await;
    page.say("hello").await;
    // The first of the answer's messages are settled while the last are not written down yet, where
    // each is written down for itself.
    page.receive(MESSAGES / 8).await;
    page.acknowledge().await;
    page.receive(MESSAGES / 4).await;
    gateway.kill_9();
    let gateway = Gateway::start_with(&listen, &url, &options);
    page.connect(&gateway.url()).await;
    page.receive(MESSAGES).await;
    // Whatever is told again has been answered again.
    gateway.until_no_more("adieu_events_queued", 0.0).await;
    gateway.send(&page.session, "the end").await;
    while page.received.last().is_some_and(|last| last != "the end") {
        page.next().await.expect("more comes");
    }
    let answer = (0..MESSAGES).map(|n| format!("answer {n}"));
    let expected: Vec<_> = answer.chain(["the end".to_owned()]).collect();
    assert_eq!(page.received, expected);
}
