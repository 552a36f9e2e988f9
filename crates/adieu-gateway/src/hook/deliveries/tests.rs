//! The queue in simulated time: days pass at once, and each wait is exact.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::json;

use super::event::Lane;
use super::failure::{Failure, FailureKind};
use super::options::{CONNECTION_EVENTS, DeliveryOptions};
use super::pending::Now;
use super::scheduler::{Job, Scheduler};
use crate::session::event::{Data, Event, EventType};
use crate::session::{Change, Contents, SessionId, Timestamp};

use EventType::{ConnectionLost, Message, SessionEnded, SessionStarted};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// What the backend does with an event, and after how long.
type Answer = (Duration, Result<(), FailureKind>);

/// A queue, a backend, a store and a clock.
struct World {
    queue: Scheduler,
    now: Now,
    start: Instant,
    /// Requests that are open, with what will come of them.
    open: Vec<(Instant, Job, Result<(), Failure>)>,
    /// What was sent, when, and whether it was taken.
    sent: Vec<(Duration, String, bool)>,
    store: Contents,
    /// Whose events happen.
    user: Option<Arc<str>>,
    /// The most requests that were open at a time, of each lane.
    most: [usize; 2],
}

impl World {
    /// Chance takes nothing away.
    fn new(options: DeliveryOptions) -> Self {
        World::with(options, || 1.0)
    }

    fn with(options: DeliveryOptions, draw: fn() -> f64) -> Self {
        let at = Instant::now();
        World {
            queue: Scheduler::new(options, at, draw),
            now: Now { at, wall: Timestamp(1_700_000_000_000) },
            start: at,
            open: Vec::new(),
            sent: Vec::new(),
            store: Contents::default(),
            user: None,
            most: [0; 2],
        }
    }

    /// An event of this session happens.
    fn happens(&mut self, session: u8, sequence: u64, r#type: EventType) {
        self.happens_with(session, sequence, r#type, Data::Resumed);
    }

    fn happens_with(&mut self, session: u8, sequence: u64, r#type: EventType, data: Data) {
        let event = Event {
            id: format!("{session}.{sequence}"),
            r#type,
            session_id: SessionId::new([session; 16]),
            user: self.user.clone(),
            meta: None,
            generation: 1,
            sequence: Some(sequence),
            time: self.now.wall,
            data,
        };
        let event = Arc::new(event);
        let stream = Bytes::from(vec![session]);
        let row = Change::PutEvent { stream: stream.clone(), sequence, event: event.clone() };
        self.store.apply(row);
        let batch = self.queue.push(self.now, stream, sequence, event);
        batch.into_iter().for_each(|change| self.store.apply(change));
    }

    fn advance(&mut self, to: Instant) {
        let passed = to.saturating_duration_since(self.now.at);
        self.now = Now { at: self.now.at + passed, wall: self.now.wall + passed };
    }

    /// So much time passes.
    fn pass(&mut self, time: Duration, backend: impl Fn(&Event, Duration) -> Answer) {
        let end = self.now.at + time;
        loop {
            let since = self.now.at - self.start;
            for job in self.queue.poll(self.now.at) {
                let (after, result) = backend(&job.event, since);
                self.sent.push((since, job.event.id.clone(), result.is_ok()));
                let result = result.map_err(|kind| Failure { kind, why: "no".into() });
                self.open.push((self.now.at + after, job, result));
            }
            for lane in Lane::ALL {
                let open = self.open.iter().filter(|(_, job, _)| job.lane == lane).count();
                self.most[lane as usize] = self.most[lane as usize].max(open);
            }
            self.open.sort_by_key(|(at, ..)| *at);
            let answered = self.open.first().map(|(at, ..)| *at);
            let wake = self.queue.next_wake(self.now.at);
            let Some(next) = answered.into_iter().chain(wake).min().filter(|at| *at <= end) else {
                self.advance(end);
                return;
            };
            self.advance(next);
            if answered == Some(next) {
                let (_, job, result) = self.open.remove(0);
                let batch = self.queue.done(self.now, &job, result);
                batch.into_iter().for_each(|change| self.store.apply(change));
            }
        }
    }

    fn taken(&self) -> Vec<&str> {
        self.sent.iter().filter(|(_, _, taken)| *taken).map(|(_, id, _)| &**id).collect()
    }

    /// When this event was sent.
    fn tries(&self, id: &str) -> Vec<Duration> {
        self.sent.iter().filter(|(_, of, _)| of == id).map(|(at, ..)| *at).collect()
    }

    fn when_taken(&self, id: &str) -> Option<Duration> {
        self.sent.iter().find(|(_, of, taken)| of == id && *taken).map(|(at, ..)| *at)
    }
}

fn options() -> DeliveryOptions {
    DeliveryOptions::default()
}

const QUICK: Duration = Duration::from_millis(1);

fn takes(_: &Event, _: Duration) -> Answer {
    (QUICK, Ok(()))
}

fn refuses(kind: FailureKind) -> Answer {
    (QUICK, Err(kind))
}

#[test]
fn events_of_a_session_go_in_order_one_at_a_time() {
    let mut world = World::new(options());
    for (sequence, r#type) in
        [SessionStarted, Message, Message, ConnectionLost, Message, SessionEnded]
            .into_iter()
            .enumerate()
    {
        world.happens(1, sequence as u64 + 1, r#type);
    }
    world.pass(SECOND, takes);
    assert_eq!(world.taken(), ["1.1", "1.2", "1.3", "1.4", "1.5", "1.6"]);
    assert_eq!(world.most, [1, 1]);
    assert_eq!(world.store, Contents::default());
}

#[test]
fn a_backend_that_refuses_all_for_a_minute_is_told_all_within_half_a_minute_of_the_first() {
    for kind in [FailureKind::Final, FailureKind::Refused, FailureKind::BadSignature] {
        let mut world = World::new(options());
        for session in 0..200 {
            world.happens(session, 1, SessionStarted);
            world.happens(session, 2, Message);
            world.happens(session, 3, SessionEnded);
        }
        let backend = |_: &Event, at: Duration| {
            if at < MINUTE { refuses(kind) } else { takes_now() }
        };
        world.pass(10 * MINUTE, backend);
        let taken = world.taken();
        assert_eq!(taken.len(), 600, "each once");
        for session in 0..200 {
            let of: Vec<_> =
                taken.iter().filter(|id| id.starts_with(&format!("{session}."))).collect();
            let want: Vec<_> = (1..=3).map(|n| format!("{session}.{n}")).collect();
            assert_eq!(of, want.iter().collect::<Vec<_>>(), "in order");
        }
        let times: Vec<_> =
            world.sent.iter().filter(|(_, _, taken)| *taken).map(|(at, ..)| *at).collect();
        let (first, last) = (times.iter().min().unwrap(), times.iter().max().unwrap());
        assert!(*last - *first <= 31 * SECOND, "{first:?} to {last:?}");
        assert_eq!(world.store, Contents::default(), "nothing is a dead letter");
    }
}

fn takes_now() -> Answer {
    (QUICK, Ok(()))
}

#[test]
fn a_refused_message_holds_up_the_end_of_its_session_for_its_patience_and_no_other_session() {
    let mut world = World::new(options());
    world.happens(1, 1, Message);
    world.happens(1, 2, Message);
    world.happens(1, 3, SessionEnded);
    world.happens(2, 1, SessionEnded);
    let backend = |about: &Event, _: Duration| {
        if about.id == "1.1" { refuses(FailureKind::Refused) } else { takes_now() }
    };
    world.pass(MINUTE, backend);
    world.happens(3, 1, Message);
    world.pass(HOUR, backend);
    assert_eq!(world.when_taken("2.1"), Some(Duration::ZERO));
    // The message is asked once more before it is overtaken.
    assert_eq!(world.when_taken("1.3"), Some(10 * SECOND + QUICK));
    // The message behind waits until that which is refused is a dead letter.
    assert!(world.when_taken("1.2") >= Some(5 * MINUTE), "{:?}", world.when_taken("1.2"));
    let tries = world.tries("1.1").len();
    assert!((10..=15).contains(&tries), "{tries} tries");
    assert_eq!((world.store.events.len(), world.store.dead_letters.len()), (0, 1));
}

thread_local! {
    static SEED: std::cell::Cell<u64> = const { std::cell::Cell::new(7) };
}

/// Chance that is the same in each run (a linear congruential generator).
fn chance() -> f64 {
    SEED.with(|seed| {
        let next = seed.get().wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        seed.set(next);
        (next >> 11) as f64 / (1u64 << 53) as f64
    })
}

#[test]
fn a_backend_that_refused_everything_and_is_well_again_hears_each_session_in_order() {
    for unwell in [
        refuses(FailureKind::Final),
        refuses(FailureKind::Unreachable),
        (10 * SECOND, Err(FailureKind::NoAnswer)),
        (3 * SECOND, Err(FailureKind::NoAnswer)),
    ] {
        refused_everything(&unwell);
    }
}

/// A minute of this, while people come, speak and leave.
fn refused_everything(unwell: &Answer) {
    let mut world = World::with(options(), chance);
    let backend = |_: &Event, at: Duration| {
        if (MINUTE..2 * MINUTE).contains(&at) { *unwell } else { takes_now() }
    };
    for session in 0..250 {
        world.happens(session, 1, SessionStarted);
    }
    world.pass(50 * SECOND, backend);
    // People speak and leave before, during and after.
    let mut next = [2; 250];
    while world.now.at - world.start < 130 * SECOND {
        let session = (chance() * 250.0) as u8;
        let n = &mut next[usize::from(session)];
        *n += 1;
        let r#type = if *n < 5 { Message } else { SessionEnded };
        if *n <= 5 {
            world.happens(session, *n - 1, r#type);
        }
        world.pass(Duration::from_millis(100), backend);
    }
    world.pass(2 * MINUTE, backend);
    let taken = world.taken();
    for session in 0..250u8 {
        let of: Vec<_> = taken.iter().filter(|id| id.starts_with(&format!("{session}."))).collect();
        let want: Vec<_> =
            (1..next[usize::from(session)].min(5)).map(|n| format!("{session}.{n}")).collect();
        assert_eq!(of, want.iter().collect::<Vec<_>>(), "in order");
    }
    assert_eq!(world.store, Contents::default());
}

#[test]
fn the_messages_of_others_flow_while_one_is_refused_with_growing_waits() {
    let mut world = World::new(options());
    world.happens(1, 1, Message);
    // It has no answer: the backend crashes of it, or hangs.
    let backend = |about: &Event, _: Duration| {
        if about.id == "1.1" { refuses(FailureKind::NoAnswer) } else { takes_now() }
    };
    for n in 0..1_000 {
        world.happens(2, n, Message);
        world.pass(Duration::from_millis(10), backend);
    }
    assert_eq!(world.taken().len(), 1_000);
    let tries = world.tries("1.1").len();
    assert!((4..=7).contains(&tries), "{tries} tries in 10 s");
    world.pass(HOUR, backend);
    // The hour without any other event is no reason to try it oftener than once a minute.
    let at = world.tries("1.1");
    let waits: Vec<_> = at.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(waits.is_sorted(), "{waits:?}");
    assert_eq!(world.store.dead_letters.len(), 1);
}

#[test]
fn a_message_that_is_wrong_is_a_dead_letter_after_five_answers_that_say_so() {
    let mut world = World::new(options());
    world.happens(1, 1, Message);
    world.happens(1, 2, Message);
    let backend = |about: &Event, at: Duration| match &*about.id {
        // 503 six times is no verdict.
        "1.1" if at < 20 * SECOND => refuses(FailureKind::Refused),
        "1.1" => refuses(FailureKind::Final),
        _ => takes_now(),
    };
    world.happens(2, 1, SessionStarted);
    world.pass(SECOND, backend);
    world.happens(2, 2, SessionEnded);
    world.pass(20 * SECOND, backend);
    assert!(world.tries("1.1").len() >= 6, "{:?}", world.tries("1.1"));
    world.pass(30 * SECOND, backend);
    assert!(world.store.dead_letters.is_empty(), "one answer is not enough");
    world.pass(30 * MINUTE, backend);
    assert_eq!(world.store.dead_letters.len(), 1);
    assert!(world.when_taken("1.2").is_some());
    let finals = world.tries("1.1").into_iter().filter(|at| *at >= 20 * SECOND).count();
    assert_eq!(finals, 5);
}

#[test]
fn while_the_backend_takes_nothing_for_half_an_hour_no_message_is_given_up() {
    let mut world = World::new(options());
    world.happens(1, 1, Message);
    world.happens(1, 2, Message);
    let backend = |_: &Event, at: Duration| {
        if at < HOUR / 2 { refuses(FailureKind::Refused) } else { takes_now() }
    };
    world.pass(HOUR, backend);
    assert_eq!(world.taken(), ["1.1", "1.2"]);
}

#[test]
fn while_the_backend_takes_no_message_who_left_is_told_and_no_message_is_given_up() {
    let mut world = World::new(options());
    for session in 0..20 {
        world.happens(session, 1, SessionStarted);
        world.happens(session, 2, Message);
        world.happens(session, 3, Message);
    }
    let backend = |about: &Event, at: Duration| {
        let unwell = about.r#type == Message && at < HOUR / 2;
        if unwell { refuses(FailureKind::Refused) } else { takes_now() }
    };
    for session in 0..10 {
        world.pass(MINUTE, backend);
        world.happens(session, 4, SessionEnded);
        world.pass(11 * SECOND, backend);
        assert!(world.when_taken(&format!("{session}.4")).is_some());
    }
    world.pass(HOUR / 2, backend);
    assert_eq!(world.taken().len(), 70);
    assert_eq!(world.store, Contents::default());
}

#[test]
fn a_backend_that_refused_who_left_and_took_messages_is_told_within_half_a_minute() {
    let mut world = World::new(options());
    let backend = |about: &Event, at: Duration| {
        let unwell = about.r#type == SessionEnded && at < 10 * MINUTE;
        if unwell { refuses(FailureKind::Refused) } else { takes_now() }
    };
    for n in 0..100 {
        world.happens(n, 1, SessionEnded);
        world.happens(200, u64::from(n), Message);
        world.pass(6 * SECOND, backend);
    }
    world.pass(MINUTE + 31 * SECOND, backend);
    assert_eq!(world.taken().len(), 200);
}

#[test]
fn a_lifecycle_event_is_tried_for_a_day_then_parked_and_holds_up_its_own_session_alone() {
    let mut world = World::new(options());
    world.happens(1, 1, SessionStarted);
    world.happens(1, 2, SessionEnded);
    world.happens(2, 1, SessionStarted);
    let backend = |about: &Event, _: Duration| {
        if about.id == "1.1" { refuses(FailureKind::Final) } else { takes_now() }
    };
    let day = 24 * HOUR;
    world.pass(day - SECOND, backend);
    assert_eq!(world.taken(), ["2.1"]);
    let at = world.tries("1.1");
    let waits: Vec<_> = at.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(waits.iter().all(|wait| *wait <= 5 * MINUTE), "{waits:?}");
    world.pass(5 * MINUTE, backend);
    assert_eq!(world.taken(), ["2.1", "1.2"], "its session goes on");
    assert_eq!((world.store.events.len(), world.store.dead_letters.len()), (0, 1));
    let list = serde_json::to_value(world.queue.letters.list(0, 10)).unwrap();
    let letter = &list["deadLetters"][0];
    assert_eq!((&letter["state"], &letter["eventId"]), (&json!("parked"), &json!("1.1")));
    // The next start tries it again; it stays in the store until it is taken.
    let mut next = World::new(options());
    next.store = world.store.clone();
    for (id, row) in world.store.dead_letters {
        next.queue.letters.restore(id, &row);
    }
    for id in next.queue.letters.parked() {
        assert!(next.queue.retry(next.now, id));
    }
    next.pass(SECOND, |_, _| refuses(FailureKind::Refused));
    assert_eq!(next.store.dead_letters.len(), 1);
    next.pass(MINUTE, takes);
    assert_eq!(next.taken(), ["1.1"]);
    assert_eq!(next.store, Contents::default());
}

#[test]
fn however_long_the_backend_fails_an_event_is_tried_each_minute() {
    for kind in [FailureKind::Refused, FailureKind::Unreachable, FailureKind::NoAnswer] {
        let mut world = World::new(options());
        for session in 0..3 {
            world.happens(session, 1, SessionEnded);
        }
        world.pass(12 * HOUR, |_, _| refuses(kind));
        let at: Vec<_> = world.sent.iter().map(|(at, ..)| *at).collect();
        let longest = at.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
        assert!(longest <= MINUTE + SECOND, "{kind:?}: {longest:?}");
        assert!(at.len() < 5_000, "{kind:?}: {} tries", at.len());
        assert_eq!(world.store.events.len(), 3);
    }
}

#[test]
fn a_backend_that_cannot_be_reached_is_found_out_by_one_and_then_all_follow() {
    let mut world = World::new(options());
    for session in 0..250 {
        world.happens(session, 1, Message);
        world.happens(session, 2, SessionEnded);
    }
    let back = 10 * MINUTE;
    let backend = |_: &Event, at: Duration| {
        if at < back { refuses(FailureKind::Unreachable) } else { (10 * QUICK, Ok(())) }
    };
    world.pass(back, backend);
    let tries = world.sent.len();
    assert!(tries < 64 + 30, "{tries} tries in 10 minutes of 500 events");
    world.pass(MINUTE, backend);
    assert_eq!(world.taken().len(), 500);
    let last = world.sent.last().unwrap().0;
    assert!(last <= back + 31 * SECOND, "{last:?}");
    for session in 0..250 {
        let [said, left] = [1, 2].map(|n| world.when_taken(&format!("{session}.{n}")).unwrap());
        assert!(said < left, "in order");
    }
}

#[test]
fn an_unreachable_backend_makes_no_dead_letters_and_parks_nothing() {
    let mut world = World::new(options());
    world.happens(1, 1, SessionStarted);
    world.happens(2, 1, Message);
    let days = 48 * HOUR;
    let backend = |_: &Event, at: Duration| {
        if at < days { refuses(FailureKind::Unreachable) } else { takes_now() }
    };
    world.pass(days + MINUTE, backend);
    assert_eq!(world.taken().len(), 2);
}

#[test]
fn messages_never_take_the_requests_that_are_kept_for_who_left() {
    let mut world = World::new(options());
    for session in 0..200 {
        world.happens(session, 1, Message);
    }
    let backend = |about: &Event, _: Duration| {
        if about.r#type == Message { (5 * SECOND, Ok(())) } else { takes_now() }
    };
    world.pass(SECOND, backend);
    for session in 200..=255 {
        world.happens(session, 1, SessionEnded);
    }
    world.pass(SECOND, backend);
    for session in 200..=255 {
        assert!(world.when_taken(&format!("{session}.1")).is_some(), "{session}");
    }
    assert_eq!(world.most[Lane::Messages as usize], 48);
    // Nor do lifecycle events take those of messages.
    let mut world = World::new(options());
    for session in 0..200 {
        world.happens(session, 1, SessionEnded);
    }
    world.pass(SECOND, |_, _| (5 * SECOND, Ok(())));
    assert_eq!(world.most[Lane::Lifecycle as usize], 48);
}

#[test]
fn two_requests_at_a_time_are_one_of_each_lane() {
    let mut world = World::new(DeliveryOptions { concurrency: 2, ..options() });
    for session in 0..20 {
        world.happens(session, 1, Message);
        world.happens(100 + session, 1, SessionEnded);
    }
    world.pass(SECOND, |_, _| (10 * QUICK, Ok(())));
    assert_eq!((world.taken().len(), world.most), (40, [1, 1]));
}

#[test]
fn a_client_that_comes_and_goes_all_day_leaves_a_bounded_queue_and_no_departure_is_dropped() {
    let mut world = World::new(options());
    world.happens(1, 1, SessionStarted);
    let count = 2 * CONNECTION_EVENTS as u64;
    for n in 2..2 + count {
        let r#type = if n % 2 == 0 { ConnectionLost } else { EventType::ConnectionResumed };
        world.happens(1, n, r#type);
    }
    world.happens(1, 2 + count, SessionEnded);
    let counts = world.queue.counts();
    assert_eq!(counts.dropped, CONNECTION_EVENTS as u64);
    assert_eq!(counts.events, CONNECTION_EVENTS + 2);
    assert_eq!(world.store.events.len(), counts.events, "the store has no more of them");
    world.pass(SECOND, takes);
    let taken = world.taken();
    assert_eq!((taken[0], taken[1]), ("1.1", "1.18"), "the oldest are dropped");
    assert_eq!(*taken.last().unwrap(), format!("1.{}", 2 + count));
    assert_eq!(world.store, Contents::default());
}

#[test]
fn a_dead_letter_is_sent_again_or_discarded_and_stays_until_it_is_taken() {
    let mut world = World::new(options());
    for session in 0..2 {
        world.happens(session, 1, Message);
    }
    let poison = |about: &Event, _: Duration| {
        if about.r#type == Message { refuses(FailureKind::Final) } else { takes_now() }
    };
    world.pass(QUICK, poison);
    world.happens(9, 1, SessionStarted);
    world.pass(10 * MINUTE, poison);
    let ids: Vec<u64> = world.store.dead_letters.keys().copied().collect();
    assert_eq!(ids.len(), 2);
    assert!(world.queue.retry(world.now, ids[0]));
    assert!(world.queue.retry(world.now, ids[0]), "twice is once");
    assert!(!world.queue.retry(world.now, 7), "there is none of this number");
    world.pass(QUICK, poison);
    assert_eq!(world.store.dead_letters.len(), 2, "it is refused, and stays");
    world.pass(MINUTE, takes);
    assert_eq!(world.store.dead_letters.keys().copied().collect::<Vec<_>>(), ids[1..]);
    // One that waits to be sent again is not sent any more once it is discarded.
    assert!(world.queue.retry(world.now, ids[1]));
    let change = world.queue.discard(ids[1]).unwrap();
    world.store.apply(change);
    let sent = world.sent.len();
    world.pass(MINUTE, takes);
    assert_eq!((world.sent.len(), world.queue.counts().events), (sent, 0));
    assert!(world.queue.discard(ids[1]).is_none());
    assert_eq!(world.store, Contents::default());
}

#[test]
fn a_flood_of_one_person_leaves_room_for_others_and_for_small_messages() {
    let mut world = World::new(options());
    let large = || Data::Text("x".repeat(1024 * 1024));
    let key = |session: u8| Bytes::from(vec![session]);
    // Three tabs of one person: who that is, their events say.
    for (session, n) in (1..=3).flat_map(|session| (1..=6).map(move |n| (session, n))) {
        world.user = Some("anna".into());
        world.happens_with(session, n, Message, large());
    }
    let mut room = |session: u8, bytes: usize| {
        let pool = world.queue.reserve(&key(session), bytes)?;
        world.queue.release(&key(session), pool, bytes);
        Some(())
    };
    assert_eq!(room(1, 1024 * 1024), None, "18 MiB are more than a quarter");
    assert_eq!(room(1, 100), Some(()), "what is small is taken");
    assert_eq!(room(4, 1024 * 1024), Some(()), "somebody else");
    world.pass(MINUTE, takes);
    assert!(world.queue.reserve(&key(1), 1024 * 1024).is_some(), "all of it comes back");
}
