//! The queue in simulated time: days pass at once, and each wait is exact.

mod events;
mod failing;
mod written;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::json;

use super::budget::Held;
use super::event::Lane;
use super::failure::{Failure, FailureKind};
use super::letters::{Order, Part};
use super::options::DeliveryOptions;
use super::pending::Now;
use super::scheduler::{Request, Scheduler};
use crate::session::event::{Data, Event, EventType};
use crate::session::{Change, Contents, SessionId, Timestamp};

use EventType::{ConnectionLost, Message, SessionEnded, SessionStarted};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// What the backend does with an event, and after how long.
type Answer = (Duration, Result<(), FailureKind>);

/// A request, when it ends, and what comes of it.
type Open = (Instant, Request, Vec<Result<(), Failure>>);

/// A queue, a backend, a store and a clock.
struct World {
    queue: Scheduler,
    now: Now,
    start: Instant,
    /// Requests that are open, with what will come of them.
    open: Vec<Open>,
    /// How many events each request had.
    batches: Vec<usize>,
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
        World::with(options, 1, || 1.0)
    }

    fn with(options: DeliveryOptions, batch: usize, draw: fn() -> f64) -> Self {
        let at = Instant::now();
        World {
            queue: Scheduler::new(options, batch, at, draw),
            now: Now { at, wall: Timestamp(1_700_000_000_000) },
            start: at,
            open: Vec::new(),
            batches: Vec::new(),
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
        self.happens_in(None, session, sequence, r#type, data);
    }

    /// A session says something if there is room for it, which is kept as the engine keeps it.
    fn says(&mut self, session: u8, sequence: u64, text: &str) -> bool {
        let Some(held) = self.queue.reserve(&Bytes::from(vec![session]), text.len()) else {
            return false;
        };
        self.happens_in(Some(held), session, sequence, Message, Data::Text(text.into()));
        true
    }

    fn happens_in(
        &mut self,
        held: Option<Held>,
        session: u8,
        sequence: u64,
        r#type: EventType,
        data: Data,
    ) {
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
        let batch = self.queue.push(self.now, stream, sequence, event, held);
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
            for request in self.queue.poll(self.now.at) {
                let (mut longest, mut results) = (Duration::ZERO, Vec::new());
                for job in &request.jobs {
                    let (after, result) = backend(&job.event, since);
                    longest = longest.max(after);
                    self.sent.push((since, job.event.id.clone(), result.is_ok()));
                    results.push(result.map_err(|kind| Failure { kind, why: "no".into() }));
                }
                self.batches.push(request.jobs.len());
                self.open.push((self.now.at + longest, request, results));
            }
            for lane in Lane::ALL {
                let open = self.open.iter().filter(|(_, of, _)| of.lane == lane).count();
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
                let (_, request, results) = self.open.remove(0);
                let batch = self.queue.done(self.now, &request, results);
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

fn takes_now() -> Answer {
    (QUICK, Ok(()))
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
