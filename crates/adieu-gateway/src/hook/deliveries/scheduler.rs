//! What is sent next: all events that wait, without I/O. Time and chance come in as arguments.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::agenda::Agenda;
use super::breaker::{Breaker, Input};
use super::budget::{Budget, Full, Pool, Share};
use super::counts::{Left, Waiting};
use super::event::{Kind, Lane};
use super::failure::{Failure, FailureKind};
use super::letters::{Head, Letters};
use super::options::{
    AT_LEAST_EVERY, CONNECTION_BYTES, CONNECTION_EVENTS, DeliveryOptions, SMALL, SMALL_EVENT,
};
use super::pending::{Fate, Hope, Now, Pending, Taken};
use super::stream::Stream;
use crate::session::event::Event;
use crate::session::{Batch, Change};

/// Something to send.
#[derive(Clone, Debug)]
pub(super) struct Job {
    pub(super) stream: Bytes,
    pub(super) lane: Lane,
    pub(super) event: Arc<Event>,
    sent_at: Instant,
    /// It finds out whether the backend can be reached.
    probe: bool,
}

/// All events that wait.
#[derive(Debug)]
pub(super) struct Scheduler {
    options: DeliveryOptions,
    /// From 0 to 1, by chance.
    draw: fn() -> f64,
    streams: HashMap<Bytes, Stream>,
    /// One of each lane.
    agendas: [Agenda; 2],
    in_flight: [usize; 2],
    breaker: Breaker,
    taken: Taken,
    /// Lanes of streams to try again when the backend takes anything.
    hopeful: HashSet<(Bytes, Lane)>,
    /// Streams to try again when the backend takes an event of this lane.
    hopeful_of: [HashSet<Bytes>; 2],
    budget: Budget,
    pub(super) letters: Letters,
    counts: Waiting,
    connection_bytes: usize,
    last_sent: Instant,
    pub(super) last_taken: Instant,
    /// When the backend took an event for the first time after it had taken none.
    recovered: Instant,
    /// Somebody waits for room that others have.
    pub(super) pressed: bool,
    /// Room was given back that others wait for.
    pub(super) freed: bool,
}

impl Scheduler {
    pub(super) fn new(options: DeliveryOptions, now: Instant, draw: fn() -> f64) -> Self {
        let concurrency = options.concurrency.max(2);
        Scheduler {
            options: DeliveryOptions { concurrency, ..options },
            draw,
            streams: HashMap::new(),
            agendas: Default::default(),
            in_flight: [0; 2],
            breaker: Breaker::Closed,
            taken: Taken::default(),
            hopeful: HashSet::new(),
            hopeful_of: Default::default(),
            budget: Budget::default(),
            letters: Letters::default(),
            counts: Waiting::default(),
            connection_bytes: 0,
            last_sent: now,
            last_taken: now,
            recovered: now,
            pressed: false,
            freed: false,
        }
    }

    /// What waits.
    pub(super) fn counts(&self) -> Waiting {
        let (dead_letters, parked) = self.letters.counts();
        Waiting {
            dead_letters,
            parked,
            dead_letter_bytes: self.letters.bytes(),
            let_go: self.letters.let_go,
            reachable: self.breaker.reached(),
            ..self.counts
        }
    }

    pub(super) fn left(&self) -> Left {
        let Waiting { lifecycle, events, .. } = self.counts;
        Left { lifecycle, messages: events - lifecycle }
    }

    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.iter().sum()
    }

    /// An event waits, behind those of its stream. What has to be written down.
    pub(super) fn push(
        &mut self,
        now: Now,
        stream: Bytes,
        sequence: u64,
        event: Arc<Event>,
    ) -> Batch {
        let (kind, age) = (Kind::of(event.r#type), now.wall.since(event.time));
        let mut batch = Batch::new();
        if kind == Kind::Connection && !self.room_for_connection(&stream, event.size(), &mut batch)
        {
            self.counts.dropped += 1;
            return vec![Change::DeleteEvent { stream, sequence }];
        }
        let user = event.user.clone();
        self.insert(
            &stream,
            user,
            Pending {
                sequence,
                event,
                kind,
                letter: None,
                came: now.at,
                age,
                pool: Pool::Main,
                trouble: None,
            },
        );
        batch
    }

    /// Makes room for one more `connection.*`; false if there is none.
    fn room_for_connection(&mut self, key: &Bytes, bytes: usize, batch: &mut Batch) -> bool {
        if self.connection_bytes + bytes > CONNECTION_BYTES {
            return false;
        }
        let Some(stream) = self.streams.get_mut(key) else { return true };
        if stream.connection_events < CONNECTION_EVENTS {
            return true;
        }
        let Some(dropped) = stream.drop_connection_event() else { return false };
        batch.push(Change::DeleteEvent { stream: key.clone(), sequence: dropped.sequence });
        self.counts.dropped += 1;
        self.gone(&dropped);
        true
    }

    fn insert(&mut self, key: &Bytes, user: Option<Arc<str>>, mut pending: Pending) {
        let stream = self.streams.entry(key.clone()).or_default();
        // Of a session it does not change.
        stream.user = stream.user.take().or(user);
        let (lane, bytes) = (pending.lane(), pending.event.size());
        if lane == Lane::Messages && pending.letter.is_none() {
            let (share, user) = (&mut stream.share, stream.user.as_ref());
            let room = self.budget.room(share, user, bytes, bytes <= SMALL_EVENT);
            pending.pool = room.unwrap_or(Pool::Main);
            self.budget.take(share, user, pending.pool, bytes);
        }
        let connection = pending.kind == Kind::Connection;
        stream.connection_events += usize::from(connection);
        self.connection_bytes += if connection { bytes } else { 0 };
        self.counts.events += 1;
        self.counts.lifecycle += usize::from(lane == Lane::Lifecycle);
        self.counts.bytes += bytes;
        stream.line_mut(lane).events.push_back(pending);
        self.plan(key);
    }

    /// It waits no more.
    fn gone(&mut self, pending: &Pending) {
        let bytes = pending.event.size();
        self.counts.events -= 1;
        self.counts.lifecycle -= usize::from(pending.lane() == Lane::Lifecycle);
        self.counts.bytes -= bytes;
        self.connection_bytes -= if pending.kind == Kind::Connection { bytes } else { 0 };
    }

    /// Looks when a stream may go on.
    fn plan(&mut self, key: &Bytes) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        for lane in Lane::ALL {
            let due = stream.due(lane, self.options.patience, self.recovered);
            self.agendas[lane as usize].plan(&mut stream.line_mut(lane).entry, due, key);
        }
        if stream.is_empty() {
            self.streams.remove(key);
        }
    }

    /// What may be sent now.
    pub(super) fn poll(&mut self, now: Instant) -> Vec<Job> {
        self.hear(now, Input::Tick);
        let mut jobs = Vec::new();
        while let Some((lane, key)) = self.next(now) {
            let Some(stream) = self.streams.get_mut(&key) else { break };
            let line = stream.line_mut(lane);
            let Some(first) = line.events.front() else { break };
            let probe = matches!(self.breaker, Breaker::HalfOpen { .. });
            let event = first.event.clone();
            jobs.push(Job { stream: key.clone(), lane, event, sent_at: now, probe });
            line.in_flight = true;
            self.in_flight[lane as usize] += 1;
            self.last_sent = now;
            self.hear(now, Input::Sent);
            self.plan(&key);
        }
        jobs
    }

    fn next(&self, now: Instant) -> Option<(Lane, Bytes)> {
        let slots = self.options.concurrency;
        let allowed = match self.breaker {
            Breaker::Closed => slots,
            Breaker::Recovering { allowed, .. } => allowed.min(slots),
            // One, whatever is still under way from before.
            Breaker::HalfOpen { probing: false, .. } => slots + self.in_flight(),
            Breaker::HalfOpen { .. } | Breaker::Open { .. } => return None,
        };
        // A quarter is the other lane's, whatever waits in this one.
        let of_lane = allowed - (allowed / 4).max(1);
        let free = |lane: Lane| {
            self.in_flight() < allowed && self.in_flight[lane as usize] < of_lane.max(1)
        };
        let overdue = self.in_flight() == 0 && now >= self.last_sent + AT_LEAST_EVERY;
        let due = |lane: Lane, whatever: bool| {
            let (due, key) = self.agendas[lane as usize].first()?;
            (whatever || due <= now).then(|| (lane, key.clone()))
        };
        let lanes = || Lane::ALL.into_iter().filter(|lane| free(*lane));
        let regular = lanes().find_map(|lane| due(lane, false));
        regular.or_else(|| lanes().find_map(|lane| due(lane, overdue)))
    }

    /// When to [`poll`](Self::poll) again, if nothing else happens before.
    pub(super) fn next_wake(&self, now: Instant) -> Option<Instant> {
        if self.agendas.iter().all(|agenda| agenda.first().is_none()) {
            return None;
        }
        if let Some(until) = self.breaker.until() {
            return Some(until);
        }
        let next = self.agendas.iter().filter_map(|agenda| agenda.next_after(now)).min();
        let at_least = (self.in_flight() == 0).then(|| self.last_sent + AT_LEAST_EVERY);
        next.into_iter().chain(at_least).min()
    }

    /// What came of a job. What has to be written down.
    pub(super) fn done(&mut self, now: Now, job: &Job, result: Result<(), Failure>) -> Batch {
        self.in_flight[job.lane as usize] -= 1;
        self.judge(now.at, job, &result);
        let Some(stream) = self.streams.get_mut(&job.stream) else { return Batch::new() };
        let line = stream.line_mut(job.lane);
        line.in_flight = false;
        let Some(first) = line.events.front_mut() else { return Batch::new() };
        let batch = match result {
            Ok(()) => {
                self.counts.delivered += 1;
                self.last_taken = now.at;
                self.taken.0[job.lane as usize] += 1;
                self.hope_again(now.at, job.lane);
                let batch = self.pop(&job.stream, job.lane).map(|taken| self.taken(job, &taken));
                batch.unwrap_or_default()
            }
            Err(failure) if failure.kind == FailureKind::Unreachable => {
                self.counts.failed += 1;
                Batch::new()
            }
            Err(failure) => {
                self.counts.failed += 1;
                let (taken, draw) = (self.taken, (self.draw)());
                match first.refused((job.sent_at, now), &failure, taken, draw, &self.options) {
                    Fate::Again(hope) => {
                        log_refusal(first);
                        self.hope(job, hope);
                        Batch::new()
                    }
                    Fate::SetAside => self.set_aside(now, job),
                }
            }
        };
        self.plan(&job.stream);
        batch
    }

    fn judge(&mut self, now: Instant, job: &Job, result: &Result<(), Failure>) {
        let before = self.breaker;
        let input = match result.as_ref().map_err(|failure| failure.kind) {
            Err(FailureKind::Unreachable) => {
                Input::Unreachable { probe: job.probe, draw: (self.draw)() }
            }
            Err(FailureKind::NoAnswer) => Input::NoAnswer,
            Ok(()) | Err(_) => Input::Answered,
        };
        self.hear(now, input);
        if let (Breaker::Closed, Breaker::Open { .. }, Err(failure)) =
            (before, self.breaker, result)
        {
            tracing::warn!("the backend cannot be reached, events wait: {}", failure.why);
        }
        if !before.reached() && self.breaker.reached() {
            tracing::info!("the backend can be reached again");
        }
    }

    fn hear(&mut self, now: Instant, input: Input) {
        self.breaker = self.breaker.on(now, self.options.concurrency, input);
    }

    fn taken(&mut self, job: &Job, taken: &Pending) -> Batch {
        match taken.letter {
            Some(id) => self.letters.remove(id).into_iter().collect(),
            None => {
                vec![Change::DeleteEvent { stream: job.stream.clone(), sequence: taken.sequence }]
            }
        }
    }

    fn hope(&mut self, job: &Job, hope: Hope) {
        match hope {
            Hope::Anything => {
                self.hopeful.insert((job.stream.clone(), job.lane));
            }
            Hope::SameLane => {
                self.hopeful_of[job.lane as usize].insert(job.stream.clone());
            }
            Hope::Nothing => {}
        }
    }

    /// The backend takes events: those that it refused while it took none are tried again.
    fn hope_again(&mut self, now: Instant, lane: Lane) {
        if !self.hopeful.is_empty() {
            self.recovered = now;
        }
        let of_lane = std::mem::take(&mut self.hopeful_of[lane as usize]);
        let of_lane = of_lane.into_iter().map(|key| (key, lane));
        for (key, lane) in std::mem::take(&mut self.hopeful).into_iter().chain(of_lane) {
            let soon = now + self.options.spread.mul_f64((self.draw)());
            self.bring_forward(&key, lane, soon);
        }
    }

    fn bring_forward(&mut self, key: &Bytes, lane: Lane, at: Instant) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        let line = stream.line_mut(lane);
        if let Some(first) = line.events.front_mut().filter(|_| !line.in_flight) {
            first.bring_forward(at);
            self.plan(key);
        }
    }

    /// The gateway stops: what waits is tried once more, within this time.
    pub(super) fn hurry(&mut self, now: Instant, within: Duration) {
        self.hear(now, Input::Hurry);
        for key in self.streams.keys().cloned().collect::<Vec<_>>() {
            for lane in Lane::ALL {
                self.bring_forward(&key, lane, now + within.mul_f64((self.draw)()));
            }
        }
    }

    /// Takes the first of a line out.
    fn pop(&mut self, key: &Bytes, lane: Lane) -> Option<Pending> {
        let stream = self.streams.get_mut(key)?;
        let first = stream.line_mut(lane).events.pop_front()?;
        stream.connection_events -= usize::from(first.kind == Kind::Connection);
        if lane == Lane::Messages && first.letter.is_none() {
            let (share, user) = (&mut stream.share, stream.user.as_ref());
            self.budget.give_back(share, user, first.pool, first.event.size());
            self.freed |= std::mem::take(&mut self.pressed);
            if let Some(room) = &stream.room {
                room.notify_waiters();
            }
        }
        self.gone(&first);
        Some(first)
    }

    fn set_aside(&mut self, now: Now, job: &Job) -> Batch {
        let Some(mut pending) = self.pop(&job.stream, job.lane) else { return Batch::new() };
        let Some(trouble) = pending.trouble.take() else { return Batch::new() };
        match job.lane {
            Lane::Messages => {
                self.counts.rejected += 1;
                tracing::error!(
                    "the backend does not take a message: a dead letter after {} tries: {}",
                    trouble.tries,
                    trouble.error
                );
            }
            Lane::Lifecycle => tracing::error!(
                "the backend does not take an event of a session or a user: parked after {} tries, \
                 to be sent again at the next start or by POST /api/dead-letters/retry: {}",
                trouble.tries,
                trouble.error
            ),
        }
        let head = Head {
            error: trouble.error,
            tries: trouble.tries,
            first_failed_at: trouble.first_failed_at,
            last_tried_at: trouble.last_tried_at,
        };
        if let Some(id) = pending.letter {
            return self.letters.refused(id, head);
        }
        let Pending { event, sequence, .. } = pending;
        let mut batch = self.letters.bury(now.wall, head, event);
        batch.push(Change::DeleteEvent { stream: job.stream.clone(), sequence });
        batch
    }

    /// A dead letter is sent again; false if there is none of this number.
    pub(super) fn retry(&mut self, now: Now, id: u64) -> bool {
        match self.letters.retry(id) {
            None => false,
            Some(None) => true,
            Some(Some(event)) => {
                let kind = Kind::of(event.r#type);
                // A stream of its own: it holds nothing up, and nothing holds it up.
                self.insert(
                    &letter_stream(id),
                    None,
                    Pending {
                        sequence: 0,
                        event,
                        kind,
                        letter: Some(id),
                        came: now.at,
                        age: Duration::ZERO,
                        pool: Pool::Main,
                        trouble: None,
                    },
                );
                true
            }
        }
    }

    /// A dead letter is thrown away; what has to be written down. `None`: there is none.
    pub(super) fn discard(&mut self, id: u64) -> Option<Change> {
        let change = self.letters.remove(id)?;
        let key = letter_stream(id);
        for lane in Lane::ALL {
            let waits = self.streams.get(&key).is_some_and(|of| !of.line(lane).in_flight);
            // What is on its way can be taken still.
            if waits && self.pop(&key, lane).is_some() {
                self.plan(&key);
            }
        }
        Some(change)
    }

    /// Keeps room for a message of so many bytes.
    pub(super) fn reserve(&mut self, key: &Bytes, bytes: usize) -> Option<Pool> {
        let empty = Share::default();
        let stream = self.streams.get(key);
        let (share, user) = stream.map_or((&empty, None), |of| (&of.share, of.user.as_ref()));
        match self.budget.room(share, user, bytes, bytes <= SMALL) {
            Ok(pool) => {
                let stream = self.streams.entry(key.clone()).or_default();
                // Of a user only what waits is counted: who that is, an event says.
                self.budget.take(&mut stream.share, None, pool, bytes);
                Some(pool)
            }
            Err(Full::Session) => None,
            Err(Full::Others) => {
                self.pressed = true;
                None
            }
        }
    }

    pub(super) fn release(&mut self, key: &Bytes, pool: Pool, bytes: usize) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        self.budget.give_back(&mut stream.share, None, pool, bytes);
        if let Some(room) = &stream.room {
            room.notify_waiters();
        }
        self.freed |= std::mem::take(&mut self.pressed);
        self.plan(key);
    }

    /// Tells when something of this stream is gone.
    pub(super) fn told(&mut self, key: &Bytes) -> Option<Arc<tokio::sync::Notify>> {
        let stream = self.streams.get_mut(key)?;
        Some(stream.room.get_or_insert_default().clone())
    }
}

fn letter_stream(id: u64) -> Bytes {
    [b"d", &id.to_be_bytes()[..]].concat().into()
}

/// The first refusal of an event, and then ever fewer: a backend that refuses all should not fill
/// the disk with lines.
fn log_refusal(event: &Pending) {
    if let Some(trouble) = event.trouble.as_ref().filter(|of| of.tries.is_power_of_two()) {
        let (tries, error) = (trouble.tries, &trouble.error);
        tracing::warn!("the backend has not taken an event, try {tries}; sent again: {error}");
    }
}
