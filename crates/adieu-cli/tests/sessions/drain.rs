//! The gateway is replaced: everybody is told when to come back, and nobody is said to have left.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::task::JoinSet;

use crate::world::{
    Backend, Gateway, Member, PATIENT, Page, Process, Scratch, figure, holds_a_stop_up, request,
};

/// Sessions that come back at once, in the long form and otherwise. All clients run on two threads
/// of the test: where they are too many for a busy machine to answer a Close within the 2 s that
/// a stopping gateway gives, the gateway lets go of them, as it says, and they may see 1006.
fn sessions() -> usize {
    if std::env::var_os("ADIEU_LONG").is_some() { 5_000 } else { 200 }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_sessions_are_resumed_by_the_next_process_and_their_return_is_spread() {
    let backend = Backend::start().await;
    let scratch = Scratch::new();
    let window = Duration::from_secs(5);
    let options = ["--drain-window", "5s"];
    let gateway = Gateway::start(Some(scratch.path()), &backend, &options);
    let (url, addr) = (gateway.url(), gateway.addr);
    let mut members = JoinSet::new();
    for _ in 0..sessions() {
        let url = url.clone();
        members.spawn(async move { Member::start(&url).await });
        if members.len() % 100 == 0 {
            tokio::task::yield_now().await;
        }
    }
    let members = members.join_all().await;
    let all = |backend: &Backend| backend.of_type("session.started").len() == sessions();
    backend.until("all have started", all).await;

    let stopped = Instant::now();
    gateway.terminate();
    let mut back = JoinSet::new();
    for mut member in members {
        back.spawn(async move {
            let (code, retry_after) = member.is_interrupted().await;
            assert_eq!(code, 1001);
            // The next process may not listen yet: the client tries again by itself.
            member.is_resumed(1).await;
            (retry_after, stopped.elapsed(), member)
        });
    }
    let status = gateway.ended().await;
    let down = stopped.elapsed();
    assert!(status.success(), "{status}");
    let listen = addr.to_string();
    let next = Gateway::start_at(&listen, Some(scratch.path()), Some(&backend), &options);
    let up = stopped.elapsed();
    let back = back.join_all().await;
    let mut told: Vec<_> = back.iter().map(|(retry_after, ..)| *retry_after).collect();
    told.sort();
    assert!(told.last().unwrap() <= &window && told[told.len() / 2] > window / 4, "spread");
    assert!(told[told.len() / 2] < window * 3 / 4 && told[0] < window / 4, "spread");
    let mut seconds = std::collections::BTreeMap::new();
    for (_, at, _) in &back {
        *seconds.entry(at.as_secs()).or_insert(0) += 1;
    }
    let peak = seconds.values().max().unwrap();
    let measured = format!(
        "{} sessions: old process gone after {down:.2?}, next ready after {up:.2?}; all back after \
         {:.2?}, at most {peak} a second: {seconds:?}",
        back.len(),
        back.iter().map(|(_, at, _)| *at).max().unwrap()
    );
    figure("drain to a new process", &measured);
    // They are heard where they left off.
    let mut members: Vec<Member> = back.into_iter().map(|(.., member)| member).collect();
    let last = members.last_mut().unwrap();
    last.say("back");
    last.all_committed().await;
    backend.until("it is heard", |backend| backend.said(&last.id) == ["back"]).await;
    assert_eq!(backend.of_type("session.ended").len(), 0, "nobody left");
    assert_eq!(next.metric("adieu_sessions_attached").await, sessions() as f64);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_it_stops_it_is_not_ready() {
    let backend = Backend::start().await;
    let gateway = Gateway::start(None, &backend, &PATIENT);
    let request_ws = testkit::Request::rfc6455().target("/ws");
    let mut silent = testkit::Peer::open_with(gateway.addr, &request_ws);
    let asked_about = holds_a_stop_up(gateway.addr, &backend).await;
    gateway.terminate();
    while silent.read_frame().close_code().is_none() {}
    let (status, body) = request(gateway.addr, "GET", "/readyz", "", "").await;
    assert_eq!((status, body.as_str()), (503, "stopping\n"));
    let (status, _) = request(gateway.addr, "GET", "/healthz", "", "").await;
    assert_eq!(status, 200);
    silent.send(&testkit::Frame::close(1001, ""));
    silent.read_to_end();
    backend.release();
    drop((silent, asked_about));
    gateway.ended().await;
    let told = backend.of_type("session.ended");
    assert_eq!(told[0].json()["cause"], "drained", "a client that cannot come back");
}

#[tokio::test]
async fn time_in_which_the_gateway_was_down_counts_against_nobody() {
    let backend = Backend::start().await;
    let scratch = Scratch::new();
    let waits = ["--wait-lost", "9s", "--wait-hidden", "800ms", "--wait-restart", "2s"];
    let tells = [&waits[..], &["--tell-connections"]].concat();
    let gateway = Gateway::start(Some(scratch.path()), &backend, &tells);
    let (mut here, mut away) = (Page::default(), Page::default());
    here.connect(&gateway.url()).await;
    away.connect(&gateway.url()).await;
    away.hide().await;
    // What the backend was told is on the disk.
    let lost = |backend: &Backend| !backend.of_type("connection.lost").is_empty();
    backend.until("it is away", lost).await;
    let addr = gateway.addr.to_string();
    gateway.kill_9();
    let long = std::env::var_os("ADIEU_LONG").is_some();
    tokio::time::sleep(Duration::from_secs(if long { 60 } else { 1 })).await;
    let started = Instant::now();
    let gateway = Gateway::start_at(&addr, Some(scratch.path()), Some(&backend), &waits);
    // 404 on a machine that stood still until it was over.
    let (status, view) =
        gateway.request("GET", &format!("/api/sessions/{}", away.session), "").await;
    let seen = SystemTime::now();
    assert!(here.connect(&gateway.url()).await.resumed, "it was open when the gateway was killed");
    // The other one does not come back: it is over when its fresh window is, and not before.
    let ended = backend.end_of(&away.session).await;
    assert!(ended.at >= started + Duration::from_secs(2));
    if status == 200 {
        let view: serde_json::Value = serde_json::from_str(&view).unwrap();
        let until = UNIX_EPOCH + Duration::from_millis(view["until"].as_u64().unwrap());
        // A quarter more for the last of those that wait.
        assert!(until <= seen + Duration::from_millis(2_500), "{view}, seen at {seen:?}");
        assert!(SystemTime::now() >= until);
    }
    assert_eq!(ended.json()["cause"], "hidden");
    assert_eq!(backend.of_type("session.ended").len(), 1);
    let down = if long { 60 } else { 1 };
    let measured = format!("{down} s, with waits of 0.8 s and 9 s: no false departure");
    figure("the gateway down", &measured);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_on_its_way_when_the_gateway_stops_is_answered() {
    let backend = Backend::start().await;
    let mut gateway = Process::told_to(&backend, &PATIENT);
    let healthz = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let readyz = healthz.replace("healthz", "readyz");
    let mut kept = testkit::Peer::connect(gateway.addr);
    kept.write(healthz);
    assert_eq!(kept.read_head().status(), 200);
    kept.read_exact(3);
    let mut on_its_way = testkit::Peer::connect(gateway.addr);
    // Connections are accepted in their order: this one behind it is open.
    let request_ws = testkit::Request::rfc6455().target("/ws");
    let mut open = testkit::Peer::open_with(gateway.addr, &request_ws);
    let asked_about = holds_a_stop_up(gateway.addr, &backend).await;
    gateway.signal("TERM");
    while open.read_frame().close_code().is_none() {}
    on_its_way.write(readyz);
    let head = on_its_way.read_head();
    assert_eq!((head.status(), head.field("Connection")), (503, Some("close")));
    assert_eq!(on_its_way.read_to_end().text(), "stopping\n");
    // One that has had its answer owes nothing.
    kept.read_to_end();
    backend.release();
    drop((open, asked_about));
    gateway.ended();
}
