//! A backend that fails in each way that backends do, for as long as they do: the departures of all
//! sessions are told, once by id and in order. `cargo xtask failing-backend` has the long form, in
//! which each trouble lasts a minute and one of them ten; the short one runs with all tests.

mod crowd;
mod process;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::world::{Backend, Gateway, Mode, Page, Scratch, long_form, people, report};
use crowd::Order::{InOrder, OrOvertaking};
use crowd::{Verdict, all_ended, leave_over, talk, told_to, visitors, visitors_who};
use process::{MortalBackend, POISON};

const FORM: &str = "failing-backend";

const MIB: usize = 1024 * 1024;

/// How long a trouble lasts, and how many leave meanwhile.
struct Extent {
    trouble: Duration,
    people: usize,
    /// Between two visitors.
    every: Duration,
    options: Vec<&'static str>,
}

/// The long form has the gateway's own settings, but for the wait for a page.
fn extent() -> Extent {
    let mut options = vec!["--wait-hidden", "500ms"];
    if long_form(FORM) {
        let (trouble, every) = (Duration::from_secs(60), Duration::from_millis(100));
        return Extent { trouble, people: 200, every, options };
    }
    options.extend(["--backend-spread", "1s", "--backend-patience", "300ms"]);
    let (trouble, every) = (Duration::from_secs(2), Duration::from_millis(50));
    Extent { trouble, people: 20, every, options }
}

/// In the long form the time is worth a figure.
fn tell(what: &str, measured: &str) {
    report(FORM, what, measured);
}

/// Waits until the backend has been told all of so many who came: each a session and a user.
async fn all_are_there(backend: &Backend, count: usize) {
    backend.until("all are there", |of| of.seen().len() == 2 * count).await;
}

/// While the backend takes no event, all leave; then it is well, and is told all of it.
async fn takes_none(what: &str, mode: Mode) {
    let Extent { mut trouble, people: count, mut options, .. } = extent();
    if !long_form(FORM) && matches!(mode, Mode::Hangs) {
        // The questions of those who come have this time, too.
        options.extend(["--backend-timeout", "2s"]);
        trouble = Duration::from_secs(5);
    }
    // Behind a message that had no answer an end waits for longer than this trouble.
    let order = if matches!(mode, Mode::Hangs) { InOrder } else { OrOvertaking };
    let backend = Backend::start().await;
    let scratch = Scratch::new();
    let gateway = Gateway::start(Some(scratch.path()), &backend, &options);
    let pages = people(&gateway, count).await;
    all_are_there(&backend, count).await;
    backend.answers(mode.clone());
    backend.takes_events(mode);
    let (before, tries) = (backend.told(), backend.tries().len());
    let began = Instant::now();
    let visits = leave_over(pages, trouble).await;
    assert_eq!(backend.told(), before, "it takes none");
    let tried: Vec<_> = backend.tried_at().split_off(tries);
    backend.answers(Mode::Well);
    backend.takes_events(Mode::Well);
    let tries = tries_and_gap(began, &tried);
    all_ended(&visits, || told_to(&backend)).await;
    let first = backend.all()[before].at;
    let verdict = Verdict::of(&visits, told_to(&backend), order, |_| first);
    tell(what, &format!("{trouble:?}: {verdict}the first event that was taken; {tries}"));
}

/// How often the gateway tried meanwhile: once a minute at least.
fn tries_and_gap(began: Instant, tried: &[Instant]) -> String {
    let lasted = began.elapsed();
    let mut last = began;
    let gaps = tried.iter().map(|at| at.duration_since(std::mem::replace(&mut last, *at)));
    let longest = gaps.max().unwrap_or(lasted).max(lasted.saturating_sub(last - began));
    let minutes = lasted.as_secs() / 60;
    assert!(tried.len() as u64 >= minutes, "{} tries in {lasted:?}", tried.len());
    format!("{} tries meanwhile, at most {longest:.1?} between two", tried.len())
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_answers_400_to_everything() {
    takes_none("400 to everything", Mode::Says(400, "bad signature")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_hangs() {
    takes_none("it hangs", Mode::Hangs).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_answers_500_to_one_message_with_64_mib_behind_it() {
    let Extent { trouble, every, options, .. } = extent();
    let backend = Backend::start().await;
    let gateway = Gateway::start(None, &backend, &options);
    backend.takes_events(Mode::OnMessage(POISON, Box::new(Mode::Says(500, "a bug"))));
    let flooders = people(&gateway, 10).await;
    let sessions: Vec<String> = flooders.iter().map(|of| of.session.clone()).collect();
    for mut flooder in flooders {
        tokio::spawn(async move {
            flooder.say(POISON).await;
            // When there is no more room the gateway stops reading: what is said then stands in
            // the buffers of the kernel, or waits for those.
            for _ in 0..10 {
                flooder.say(&"x".repeat(MIB)).await;
            }
            std::future::pending::<()>().await;
        });
    }
    gateway.until_metric("adieu_events_queued_bytes", (62 * MIB) as f64).await;
    let visits = visitors(&gateway, trouble, every).await;
    all_ended(&visits, || told_to(&backend)).await;
    let verdict = Verdict::of(&visits, told_to(&backend), InOrder, |due| due);
    let queued = gateway.metric("adieu_events_queued_bytes").await as usize / MIB;
    assert!(queued >= 62, "{queued} MiB");
    let of_a_flooder =
        |id: &&String| sessions.iter().any(|of| id.starts_with(&format!("{of}_2_message")));
    let tries = backend.tries().iter().filter(of_a_flooder).count();
    let measured = format!(
        "{trouble:?}, {queued} MiB wait behind 10 of them to the end: others' {verdict}their \
         wait; {tries} tries of the first messages"
    );
    tell("500 to a message for ever", &measured);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_a_message_crashes() {
    let Extent { trouble, every, options, .. } = extent();
    let backend = MortalBackend::start();
    let scratch = Scratch::new();
    let data = scratch.path().to_str().unwrap();
    let gateway = Gateway::start_with(
        "127.0.0.1:0",
        &backend.url(),
        &[&options[..], &["--data", data]].concat(),
    );
    let mut crasher = Page::of("crasher");
    crasher.connect(&gateway.url()).await;
    crasher.say(POISON).await;
    crasher.all_acknowledged().await;
    let mut visits = visitors(&gateway, trouble, every).await;
    // The one that crashes it is told to have gone as well.
    crasher.hide().await;
    all_ended(&visits, || backend.told()).await;
    let verdict = Verdict::of(&visits, backend.told(), OrOvertaking, |due| due);
    visits.clear();
    let gone = || {
        let told = backend.told();
        told.iter().any(|told| told.session == crasher.session && told.kind == "session.ended")
    };
    let started = Instant::now();
    while !gone() {
        assert!(started.elapsed() < crowd::PATIENCE, "the crasher's end is never told");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let deaths = backend.deaths();
    assert!(deaths > 0);
    let measured = format!(
        "{trouble:?}, its process died {deaths} times and was started again each time: {verdict}\
         their wait; the end of the session that said it told as well"
    );
    tell("a message crashes it", &measured);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_whose_requests_for_messages_are_all_busy() {
    let Extent { trouble, every, people: count, options } = extent();
    let busy = if long_form(FORM) { 5 } else { 1 };
    let backend = Backend::start().await;
    let gateway = Gateway::start(None, &backend, &options);
    let talkers = people(&gateway, count.max(80)).await;
    backend.takes_events(Mode::OnMessage(
        "another thing",
        Box::new(Mode::Slow(Duration::from_secs(busy))),
    ));
    let stop = Arc::<AtomicBool>::default();
    let talkers: JoinSet<_> = talkers.into_iter().map(|of| talk(of, stop.clone())).collect();
    let is_busy =
        |of: &Backend| of.tries().iter().filter(|id| id.ends_with("message")).count() >= 48;
    backend.until("all requests for messages are busy", is_busy).await;
    // Who says nothing waits for no message; who does, for those that wait already.
    let silent = visitors_who(&gateway, trouble, every, false);
    let speaking = visitors_who(&gateway, trouble, every, true);
    let (silent, speaking) = tokio::join!(silent, speaking);
    all_ended(&silent, || told_to(&backend)).await;
    all_ended(&speaking, || told_to(&backend)).await;
    let silent = Verdict::of(&silent, told_to(&backend), InOrder, |due| due);
    let speaking = Verdict::of(&speaking, told_to(&backend), InOrder, |due| due);
    stop.store(true, Ordering::Relaxed);
    let talkers = talkers.join_all().await;
    let measured = format!(
        "{trouble:?}, {} sessions talk without end and each answer takes {busy}s: of others that \
         say nothing {silent}their wait; of others that say something, which waits for its turn, \
         {speaking}their wait",
        talkers.len()
    );
    tell("all requests for messages busy", &measured);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_knows_another_secret_until_the_gateway_has_two() {
    const NEW: &str = "whsec_dGhlIG5ldyBvbmUgaXMgMzIgYnl0ZXMgbG9uZyBub3c=";
    let Extent { trouble, people: count, mut options, .. } = extent();
    // The last of them are away still when the gateway is killed.
    options.extend(["--wait-restart", "500ms"]);
    let backend = Backend::start().await;
    let scratch = Scratch::new();
    let gateway = Gateway::start(Some(scratch.path()), &backend, &options);
    let pages = people(&gateway, count).await;
    all_are_there(&backend, count).await;
    backend.knows(NEW);
    let (before, tries) = (backend.told(), backend.tries().len());
    let began = Instant::now();
    let visits = leave_over(pages, trouble).await;
    let tries = tries_and_gap(began, &backend.tried_at().split_off(tries));
    let bad = gateway.metric("adieu_backend_bad_signatures").await;
    assert!(bad > 0.0);
    assert_eq!(backend.told(), before, "it takes none");
    assert_eq!(gateway.metric("adieu_dead_letters").await, 0.0);
    gateway.kill_9();
    let both = format!("{} {NEW}", Backend::SECRET);
    let data = scratch.path().to_str().unwrap();
    let url = backend.url();
    let options = [&options[..], &["--data", data, "--backend", &url]].concat();
    let gateway = Gateway::start_with_secret(&both, &options);
    all_ended(&visits, || told_to(&backend)).await;
    let first = backend.all()[before].at;
    let verdict = Verdict::of(&visits, told_to(&backend), InOrder, |_| first);
    assert_eq!(gateway.metric("adieu_backend_bad_signatures").await, 0.0);
    let measured = format!(
        "{trouble:?}, then a start of the gateway with two: {verdict}the first event that was \
         taken; {tries}, {bad} of them counted as bad signatures"
    );
    tell("a wrong secret", &measured);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_away() {
    let Extent { mut trouble, people: count, options, .. } = extent();
    if long_form(FORM) {
        trouble *= 10;
    }
    let mut backend = Backend::start().await;
    let scratch = Scratch::new();
    let gateway = Gateway::start(Some(scratch.path()), &backend, &options);
    let pages = people(&gateway, count).await;
    all_are_there(&backend, count).await;
    let (before, failures) = (backend.told(), gateway.metric("adieu_event_failures").await);
    backend.stop().await;
    let visits = leave_over(pages, trouble).await;
    let failures = gateway.metric("adieu_event_failures").await - failures;
    let minutes = (trouble.as_secs() / 60) as f64;
    assert!(failures >= minutes, "{failures} tries in {trouble:?}");
    assert_eq!(gateway.metric("adieu_backend_reachable").await, 0.0);
    backend.start_again().await;
    let back = Instant::now();
    all_ended(&visits, || told_to(&backend)).await;
    let first = backend.all()[before].at;
    let verdict = Verdict::of(&visits, told_to(&backend), InOrder, |_| first);
    let noticed = first.duration_since(back);
    let measured = format!(
        "{trouble:?}: {verdict}the first event that was taken, {noticed:.1?} after it was back; \
         {failures} tries meanwhile"
    );
    tell("away, its port closed", &measured);
}
