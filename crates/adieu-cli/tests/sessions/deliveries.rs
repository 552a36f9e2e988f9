//! Whatever the backend does with one event, and whatever it does with all for a while: who left is
//! told, once, in order, and nobody waits for somebody else.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Json;
use serde_json::{Value, json};

use crate::world::{Backend, Gateway, Mode, Page, Scratch, people};

/// People who leave at once say so, and are not waited for.
const QUICK: [&str; 4] = ["--backend-spread", "1s", "--backend-patience", "300ms"];

const MIB: usize = 1024 * 1024;

/// How long anything that is waited for may take.
const PATIENCE: Duration = Duration::from_secs(300);

/// Each of them speaks and leaves.
async fn speak_and_leave(pages: &mut [Page]) {
    for page in pages {
        page.say("good-bye").await;
        page.all_acknowledged().await;
        page.close(1000).await;
    }
}

/// Each was told to have come, spoken and left, in this order; an event that the backend took and
/// whose answer did not arrive is told again with its id.
async fn all_told_once(backend: &Backend, pages: &[Page]) {
    for page in pages {
        backend.end_of(&page.session).await;
    }
    let joined_and_left = |backend: &Backend| {
        backend.of_type("user.joined").len() + backend.of_type("user.left").len() == 2 * pages.len()
    };
    backend.until("all users joined and left", joined_and_left).await;
    for page in pages {
        let story = backend.story(&page.session);
        assert_eq!(story, ["session.started", "message", "session.ended"]);
    }
    assert_eq!(backend.seen().len(), 5 * pages.len());
}

async fn dead_letters(gateway: &Gateway) -> Vec<Value> {
    let (status, body) = gateway.request("GET", "/api/dead-letters", "").await;
    assert_eq!(status, 200, "{body}");
    let list: Value = serde_json::from_str(&body).unwrap();
    list["deadLetters"].as_array().unwrap().clone()
}

#[tokio::test]
async fn a_backend_that_answers_400_for_a_while_misses_no_departure() {
    let backend = Backend::start().await;
    // Nothing overtakes: the order is looked at.
    let patient = ["--backend-spread", "1s", "--backend-patience", "10m"];
    let gateway = Gateway::start(None, &backend, &patient);
    let mut pages = people(&gateway, 20).await;
    // As examples do that find a signature wrong: a clock or a secret of the operator.
    backend.takes_events(Mode::Says(400, "bad signature"));
    speak_and_leave(&mut pages).await;
    // Oftener than a message is tried that is wrong in itself.
    let refused = |backend: &Backend| {
        let tries = backend.tries();
        let of_type = |kind: &str| tries.iter().filter(|id| id.contains(kind)).count();
        of_type("_user-left") >= 6 * pages.len()
    };
    backend.until("it has refused each six times", refused).await;
    backend.takes_events(Mode::Well);
    all_told_once(&backend, &pages).await;
    assert_eq!(backend.all().len(), backend.seen().len(), "each is taken once");
    assert!(dead_letters(&gateway).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_refused_for_ever_holds_up_nobody_else() {
    let backend = Backend::start().await;
    let gateway = Gateway::start(None, &backend, &QUICK);
    backend.takes_events(Mode::OnMessage("poison", Box::new(Mode::Says(500, "a bug"))));
    let mut flooders = people(&gateway, 10).await;
    for flooder in &mut flooders {
        flooder.say("poison").await;
        for _ in 0..10 {
            flooder.say(&"x".repeat(MIB)).await;
        }
    }
    // All that may wait does.
    let full = (62 * MIB) as f64;
    gateway.until_metric("adieu_events_queued_bytes", full).await;
    let mut plain = Page::of("somebody-else");
    plain.connect(&gateway.url()).await;
    plain.say("hello").await;
    plain.all_acknowledged().await;
    plain.close(1000).await;
    backend.end_of(&plain.session).await;
    assert_eq!(backend.story(&plain.session), ["session.started", "message", "session.ended"]);
    // Not even their own departures wait for what they said.
    for flooder in &mut flooders {
        let socket = flooder.socket.take().unwrap();
        drop(socket);
    }
    let left = |backend: &Backend| flooders.iter().all(|of| backend.ended().contains(&of.session));
    drop(gateway.request("DELETE", "/api/users/person-0", "").await);
    for n in 1..flooders.len() {
        gateway.request("DELETE", &format!("/api/users/person-{n}"), "").await;
    }
    backend.until("the flooders left", left).await;
    assert_eq!(backend.of_type("message").len(), 1, "their messages wait still");
}

/// How often an event is tried in this time at most: the first wait is 250 ms and each is twice as
/// long as the one before, half of it by chance.
fn most_tries(time: Duration) -> usize {
    let (mut tries, mut wait, mut at) = (1, Duration::from_millis(125), Duration::ZERO);
    while at + wait <= time {
        (tries, at, wait) = (tries + 1, at + wait, wait * 2);
    }
    tries
}

#[tokio::test]
async fn a_message_that_crashes_the_backend_is_tried_a_handful_of_times_while_others_flow() {
    let backend = Backend::start().await;
    let gateway = Gateway::start(None, &backend, &QUICK);
    backend.takes_events(Mode::OnMessage("poison", Box::new(Mode::Crashes)));
    let (mut crasher, mut talker) = (Page::default(), Page::default());
    crasher.connect(&gateway.url()).await;
    talker.connect(&gateway.url()).await;
    let began = Instant::now();
    crasher.say("poison").await;
    crasher.all_acknowledged().await;
    let poison = format!("{}_2_message", crasher.session);
    let is_poison = |id: &String| id.starts_with(&poison);
    let tries = || backend.tries().iter().filter(|id| is_poison(id)).count();
    while tries() < 6 || talker.said.len() < 60 {
        assert!(began.elapsed() < PATIENCE, "{} tries", tries());
        talker.say("hello").await;
        talker.all_acknowledged().await;
        backend.until("it is heard", |of| of.said(&talker.session) == talker.said).await;
    }
    let (all, lasted) = (backend.tries(), began.elapsed());
    let at: Vec<_> = (0..all.len()).filter(|n| is_poison(&all[*n])).collect();
    // The first refusal, and one after which nothing was taken before the next, may be the
    // backend's fault: the message is tried again when another one is taken.
    let hopeful = 1 + at.windows(2).filter(|pair| pair[1] - pair[0] < 3).count();
    let most = most_tries(lasted) + hopeful;
    assert!(at.len() <= most, "{} tries, not {most} at most, in {lasted:?}", at.len());
    crasher.close(1000).await;
    backend.end_of(&crasher.session).await;
}

#[tokio::test]
async fn a_backend_that_hangs_for_a_while_misses_no_departure() {
    let backend = Backend::start().await;
    // The questions of those who come have this time, too.
    let options = [&QUICK[..], &["--backend-timeout", "2s"]].concat();
    let gateway = Gateway::start(None, &backend, &options);
    let mut pages = people(&gateway, 20).await;
    backend.until("all are there", |of| of.of_type("user.joined").len() == 20).await;
    backend.takes_events(Mode::Hangs);
    speak_and_leave(&mut pages).await;
    // A message and a departure of each, and most of them again.
    gateway.until_metric("adieu_event_failures", 60.0).await;
    backend.takes_events(Mode::Well);
    all_told_once(&backend, &pages).await;
}

#[tokio::test]
async fn who_left_is_told_while_messages_have_all_their_requests() {
    let backend = Backend::start().await;
    let options = ["--backend-concurrency", "4", "--backend-timeout", "10m"];
    let gateway = Gateway::start(None, &backend, &options);
    backend.takes_events(Mode::OnMessage("", Box::new(Mode::Hangs)));
    let mut busy = people(&gateway, 8).await;
    for page in &mut busy {
        page.say("this takes long").await;
        page.all_acknowledged().await;
    }
    let asked = |backend: &Backend| {
        backend.tries().iter().filter(|id| id.contains("_message")).count() == 3
    };
    backend.until("three of four requests are for messages", asked).await;
    let mut others = people(&gateway, 10).await;
    for page in &mut others {
        page.close(1000).await;
    }
    for page in &others {
        backend.end_of(&page.session).await;
    }
    assert!(asked(&backend), "the fourth is for who came and left alone");
}

#[tokio::test]
async fn a_backend_that_was_away_is_tried_by_one_and_told_all() {
    let mut backend = Backend::start().await;
    let gateway = Gateway::start(None, &backend, &QUICK);
    let mut pages = people(&gateway, 50).await;
    backend.until("all are there", |of| of.of_type("user.joined").len() == 50).await;
    backend.stop().await;
    speak_and_leave(&mut pages).await;
    let queued = 3.0 * 50.0;
    gateway.until_metric("adieu_events_queued", queued).await;
    assert_eq!(gateway.metric("adieu_backend_reachable").await, 0.0);
    // All that was under way when it went, and then the one that looks whether it is back.
    gateway.until_metric("adieu_event_failures", 4.0).await;
    let failures = gateway.metric("adieu_event_failures").await;
    assert!(failures < queued / 2.0, "{failures} failures");
    backend.start_again().await;
    all_told_once(&backend, &pages).await;
    assert_eq!(gateway.metric("adieu_backend_reachable").await, 1.0);
}

#[tokio::test]
async fn what_is_set_aside_is_listed_and_sent_again_or_discarded_also_after_a_restart() {
    let backend = Backend::start().await;
    let scratch = Scratch::new();
    let quick = ["--dead-letter-tries", "2", "--dead-letter-age", "0s"];
    let options = [&QUICK[..], &quick, &["--wait-restart", "0s"]].concat();
    let gateway = Gateway::start(Some(scratch.path()), &backend, &options);
    backend.takes_events(Mode::OnMessage("poison", Box::new(Mode::Says(500, "a bug"))));
    let (mut page, mut other) = (Page::of("anna"), Page::default());
    page.connect(&gateway.url()).await;
    other.connect(&gateway.url()).await;
    for text in ["poison 1", "poison 2", "poison 3", "fine"] {
        page.say(text).await;
    }
    page.all_acknowledged().await;
    // That others are taken shows that it is not the backend.
    let began = Instant::now();
    while gateway.metric("adieu_dead_letters").await < 3.0 {
        assert!(began.elapsed() < PATIENCE, "they are never set aside");
        other.say("hello").await;
        other.all_acknowledged().await;
    }
    backend.until("it goes on", |of| of.said(&page.session) == ["fine"]).await;
    let letters = dead_letters(&gateway).await;
    let of = |letter: &Value| (letter["sequence"].as_u64(), letter["state"].clone());
    assert_eq!(
        letters.iter().map(of).collect::<Vec<_>>(),
        [(Some(2), "dead".into()), (Some(3), "dead".into()), (Some(4), "dead".into())]
    );
    assert_eq!(letters[0]["userId"], "anna");
    assert!(letters[0]["error"].as_str().unwrap().contains("500"), "{}", letters[0]);
    let id = |n: usize| letters[n]["id"].as_str().unwrap();

    // Killed it might not have written the last of them down yet, and would try that message again.
    gateway.terminate();
    gateway.ended().await;
    let gateway = Gateway::start(Some(scratch.path()), &backend, &options);
    assert_eq!(dead_letters(&gateway).await, letters, "they outlive the gateway");
    let (status, _) = gateway.request("DELETE", &format!("/api/dead-letters/{}", id(0)), "").await;
    assert_eq!(status, 204);
    backend.takes_events(Mode::Well);
    let one = format!("/api/dead-letters/{}/retry", id(1));
    assert_eq!(gateway.request("POST", &one, "").await.0, 202);
    backend.until("the second is heard", |of| of.said(&page.session).len() == 2).await;
    let (status, body) = gateway.request("POST", "/api/dead-letters/retry", "").await;
    assert_eq!(status, 202, "{body}");
    let want = ["fine", "poison 2", "poison 3"];
    backend.until("the third is heard", |of| of.said(&page.session) == want).await;
    let began = Instant::now();
    while !dead_letters(&gateway).await.is_empty() {
        assert!(began.elapsed() < PATIENCE, "they are never gone");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // What is not there is said so, and so is what is no number.
    assert_eq!(gateway.request("POST", &one, "").await.0, 404);
    for wrong in ["?after=x", "?limit=0", "?order=random"] {
        let path = format!("/api/dead-letters{wrong}");
        let (status, body) = gateway.request("GET", &path, "").await;
        assert!(status == 400 && body.contains("error"), "{status} {body}");
    }
    // In order again, for the same reason.
    gateway.terminate();
    gateway.ended().await;
    let gateway = Gateway::start(Some(scratch.path()), &backend, &options);
    assert!(dead_letters(&gateway).await.is_empty(), "nor do they come back");
}

#[tokio::test]
async fn a_departure_that_was_parked_is_told_by_the_next_start() {
    let backend = Backend::start().await;
    let scratch = Scratch::new();
    let options = [&QUICK[..], &["--park-after", "0s"]].concat();
    let gateway = Gateway::start(Some(scratch.path()), &backend, &options);
    let mut page = Page::default();
    page.connect(&gateway.url()).await;
    backend.until("it started", |backend| !backend.of_type("session.started").is_empty()).await;
    backend.takes_events(Mode::Says(400, "no"));
    page.close(1000).await;
    gateway.until_metric("adieu_events_parked", 1.0).await;
    let letters = dead_letters(&gateway).await;
    assert_eq!(
        (&letters[0]["state"], &letters[0]["type"]),
        (&"parked".into(), &"session.ended".into())
    );
    assert_eq!(gateway.metric("adieu_events_queued").await, 0.0);
    gateway.kill_9();
    backend.takes_events(Mode::Well);
    let gateway = Gateway::start(Some(scratch.path()), &backend, &options);
    backend.end_of(&page.session).await;
    assert_eq!(backend.story(&page.session), ["session.started", "session.ended"]);
    gateway.until_no_more("adieu_events_parked", 0.0).await;
}

/// A backend that takes batches and answers with a verdict on each event: it refuses poison, and
/// echoes the rest.
async fn echo_of_batches(sizes: Arc<Mutex<Vec<usize>>>) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let hook = async move |body: Json<Value>| {
        let Some(events) = body.as_array() else { return Json(json!({})) };
        sizes.lock().unwrap().push(events.len());
        let verdict = |event: &Value| {
            let id = &event["id"];
            match (event["type"].as_str().unwrap(), event["data"].as_str()) {
                (_, Some("poison")) => json!({ "id": id, "status": 500 }),
                ("message", Some(text)) => {
                    json!({ "id": id, "status": 200, "send": [{ "text": text }] })
                }
                _ => json!({ "id": id, "status": 200 }),
            }
        };
        Json(events.iter().map(verdict).collect())
    };
    let app = axum::Router::new().route("/", axum::routing::post(hook));
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    url
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_are_answered_event_by_event_and_keep_the_order_of_each_session() {
    let sizes = Arc::new(Mutex::new(Vec::new()));
    let url = echo_of_batches(sizes.clone()).await;
    let gateway = Gateway::start_with("127.0.0.1:0", &url, &["--batch"]);
    let mut refused = Page::default();
    refused.connect(&gateway.url()).await;
    refused.say("poison").await;
    refused.say("behind it").await;
    let mut pages = people(&gateway, 20).await;
    for n in 0..50 {
        for page in &mut pages {
            page.say(&format!("{n}")).await;
        }
    }
    for page in &mut pages {
        page.receive(50).await;
        assert_eq!(page.received, page.said);
    }
    refused.all_acknowledged().await;
    assert!(refused.received.is_empty(), "what is behind the refused one waits");
    let sizes = sizes.lock().unwrap().clone();
    assert!(sizes.iter().all(|size| *size <= 64));
    assert!(sizes.iter().any(|size| *size > 1), "{sizes:?}");
}
