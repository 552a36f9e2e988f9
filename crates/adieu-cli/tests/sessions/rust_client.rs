//! The client of the crate `adieu` against the gateway.

use std::time::Duration;

use adieu::session::Session;

use crate::world::{Backend, Gateway, Member, Mode, Scratch, figure};

#[tokio::test]
async fn a_gateway_that_is_killed_and_started_again_costs_no_message() {
    let backend = Backend::start().await;
    let scratch = Scratch::new();
    let gateway = Gateway::start(Some(scratch.path()), &backend, &[]);
    let (url, listen) = (gateway.url(), gateway.addr.to_string());
    let mut member = Member::start(&url).await;
    member.say("before");
    gateway.send(&member.id, "one").await;
    member.receive(1).await;
    member.all_committed().await;
    gateway.kill_9();
    member.say("while it is down");
    member.is_interrupted().await;
    member.say("still");
    let gateway = Gateway::start_at(&listen, Some(scratch.path()), Some(&backend), &[]);
    gateway.send(&member.id, "two").await;
    member.receive(2).await;
    member.all_committed().await;
    assert_eq!((&member.received[..], member.resumed), (&["one".into(), "two".into()][..], 1));
    let all = |backend: &Backend| backend.said(&member.id).len() == 3;
    backend.until("all is heard", all).await;
    assert_eq!(backend.said(&member.id), member.said);
    let id = member.id.clone();
    let ended = member.goodbye().await;
    assert_eq!((ended.reason.word(), ended.code, ended.unacknowledged.len()), ("goodbye", 1000, 0));
    let told = backend.end_of(&id).await;
    assert_eq!(told.json()["cause"], "goodbye");
    assert_eq!(told.json()["unacknowledged"], 0, "it has acknowledged what it received");
}

/// 64 MiB of messages have room while the backend takes none, and 64 MiB may wait for room.
#[tokio::test(flavor = "multi_thread")]
async fn messages_that_wait_for_room_have_a_limit_and_what_is_above_it_is_said_again() {
    const MEMBERS: usize = 150;
    let backend = Backend::start().await;
    // On a busy machine a client may find the gateway silent, and take long to come back.
    let gateway = Gateway::start(None, &backend, &["--wait-lost", "10m", "--wait-hidden", "10m"]);
    let mut members = Vec::new();
    for _ in 0..MEMBERS {
        members.push(Member::start(&gateway.url()).await);
    }
    // It refuses none: to sign all of them over and over would keep a busy machine from all else.
    backend.takes_events(Mode::Hangs);
    let text = "x".repeat(1024 * 1024);
    members.iter_mut().for_each(|member| member.say(&text));
    gateway.until_metric(r#"adieu_refused_total{by="waiting"}"#, 15.0).await;
    backend.takes_events(Mode::Well);
    for member in &mut members {
        member.all_committed().await;
    }
    let all = |backend: &Backend| backend.of_type("message").len() >= MEMBERS;
    backend.until("all is heard", all).await;
    for member in &members {
        assert_eq!(backend.said(&member.id).len(), 1, "heard once");
    }
}

#[tokio::test]
async fn another_process_goes_on_with_what_was_saved() {
    let backend = Backend::start().await;
    let scratch = Scratch::new();
    let gateway = Gateway::start(Some(scratch.path()), &backend, &["--tell-connections"]);
    let (url, listen) = (gateway.url(), gateway.addr.to_string());
    let mut member = Member::start(&url).await;
    gateway.send(&member.id, "one").await;
    member.receive(1).await;
    let gone = member.gone().await;
    let lost = |backend: &Backend| !backend.of_type("connection.lost").is_empty();
    backend.until("it is away", lost).await;
    assert_eq!(backend.of_type("connection.lost")[0].json()["departure"], "hidden");
    let mut member = gone.back(Session::builder(&url));
    gateway.send(&member.id, "two").await;
    member.receive(2).await;
    // It lets go of the session without a connection, and of what it has said since.
    gateway.kill_9();
    member.is_interrupted().await;
    member.say("kept");
    let mut member = member.replaced(Session::builder(&url)).await;
    let gateway = Gateway::start_at(&listen, Some(scratch.path()), Some(&backend), &[]);
    gateway.send(&member.id, "three").await;
    member.receive(3).await;
    member.all_committed().await;
    assert_eq!(member.received, ["one", "two", "three"]);
    backend.until("it is heard", |backend| backend.said(&member.id) == ["kept"]).await;
    assert_eq!(backend.of_type("session.started").len(), 1);
}

#[tokio::test]
async fn a_session_that_is_over_for_the_gateway_ends_and_another_one_begins() {
    let backend = Backend::start().await;
    let waits = ["--wait-hidden", "100ms"];
    let gateway = Gateway::start(None, &backend, &waits);
    let member = Member::start(&gateway.url()).await;
    let old = member.id.clone();
    let saved = member.detach().await;
    backend.end_of(&old).await;
    let mut member = Member::new(Session::builder(&gateway.url()).resume(saved));
    let ended = member.is_over().await;
    assert_eq!((ended.reason.word(), ended.restarts, &ended.session_id), ("expired", true, &old));
    member.begins().await;
    assert_ne!(member.id, old);
    member.say("anew");
    member.all_committed().await;
    backend.until("it is heard", |backend| backend.said(&member.id) == ["anew"]).await;
}

#[tokio::test]
async fn who_is_refused_superseded_or_ended_by_the_backend_does_not_come_back() {
    let backend = Backend::start().await;
    let gateway = Gateway::start(None, &backend, &[]);
    let url = gateway.url();
    let mut member = Member::start(&url).await;
    let (status, _) = gateway
        .request("DELETE", &format!("/api/sessions/{}?code=4321&reason=enough", member.id), "")
        .await;
    assert_eq!(status, 204);
    let ended = member.is_over().await;
    let told = (ended.reason.word(), ended.code, &*ended.text, ended.restarts);
    assert_eq!(told, ("backend", 4321, "enough", false));

    let saved = Member::start(&url).await.detach().await;
    let mut first = Member::new(Session::builder(&url).resume(saved.clone()));
    first.is_resumed(1).await;
    let mut second = Member::new(Session::builder(&url).resume(saved));
    second.is_resumed(1).await;
    let ended = first.is_over().await;
    assert_eq!((ended.reason.word(), ended.code, ended.restarts), ("superseded", 4002, false));
    second.say("here");
    second.all_committed().await;

    backend.answers(Mode::Says(403, r#"{"reason":"not you"}"#));
    let auth = || async { Ok::<_, String>("a token".to_owned()) };
    let mut refused = Member::new(Session::builder(&url).auth(auth));
    let ended = refused.is_over().await;
    let told = (ended.reason.word(), ended.code, &*ended.text, ended.restarts);
    assert_eq!(told, ("refused", 4004, "not you", false));
    backend.answers(Mode::Well);
    let mut member = Member::new(Session::builder(&url).auth(auth));
    member.begins().await;
    assert_eq!(backend.asked().last().unwrap()["token"], "a token");
}

#[tokio::test]
async fn messages_of_both_ways_come_in_order_while_it_is_drained() {
    const EACH: usize = 1_000;
    let backend = Backend::start().await;
    let scratch = Scratch::new();
    let options = ["--drain-window", "100ms"];
    let gateway = Gateway::start(Some(scratch.path()), &backend, &options);
    let (url, listen) = (gateway.url(), gateway.addr.to_string());
    let mut member = Member::start(&url).await;
    for n in 0..EACH {
        member.say(&n.to_string());
        if n % 10 == 0 {
            gateway.send(&member.id, &n.to_string()).await;
        }
    }
    gateway.terminate();
    let (code, retry_in) = member.is_interrupted().await;
    assert_eq!(code, 1001);
    assert!(retry_in <= Duration::from_millis(100), "as it was told: {retry_in:?}");
    assert!(gateway.ended().await.success());
    let gateway = Gateway::start_at(&listen, Some(scratch.path()), Some(&backend), &options);
    member.is_resumed(1).await;
    member.receive(EACH / 10).await;
    member.all_committed().await;
    let all = |backend: &Backend| backend.said(&member.id).len() == EACH;
    backend.until("all is heard", all).await;
    assert_eq!(backend.said(&member.id), member.said);
    let numbers = (0..EACH).step_by(10).map(|n| n.to_string());
    assert!(numbers.eq(member.received.iter().cloned()), "{:?}", member.received);
    figure("a drain under load, as the Rust client sees it", &format!("back after {retry_in:?}"));
    drop(gateway);
}
