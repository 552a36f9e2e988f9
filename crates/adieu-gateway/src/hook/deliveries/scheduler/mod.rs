//! What is sent next: all events that wait, without I/O. Time and chance come in as arguments.

mod letters;
mod room;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::agenda::Agenda;
use super::breaker::{Breaker, FIRST, Input};
use super::budget::{Budget, Held, Pool};
use super::counts::{Left, Waiting};
use super::event::{Kind, Lane};
use super::failure::{Failure, FailureKind};
use super::letters::Letters;
use super::options::{
    AT_LEAST_EVERY, BATCH_BYTES, CONNECTION_BYTES, CONNECTION_EVENTS, DeliveryOptions, GATHER,
    SMALL_EVENT,
};
use super::pending::{Fate, Hope, Now, Pending, Sent, Taken};
use super::spell::Spells;
use super::stream::{Patience, Stream};
use crate::hook::failure::Seldom;
use crate::session::event::Event;
use crate::session::{Batch, Change};

/// A request to send: one event, or a batch of different streams.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) lane: Lane,
    pub(super) jobs: Vec<Job>,
    sent: Sent,
    /// How often the breaker had opened before.
    epoch: u64,
}

/// An event to send.
#[derive(Clone, Debug)]
pub(super) struct Job {
    pub(super) stream: Bytes,
    pub(super) event: Arc<Event>,
    /// What says in the store that it is taken.
    pub(super) written_off: Change,
}

/// All events that wait.
#[derive(Debug)]
pub(super) struct Scheduler {
    options: DeliveryOptions,
    /// Events in a request at most; 1: there are no batches.
    batch: usize,
    /// How long an event waits for others, so that they are a batch.
    gather: Duration,
    /// From 0 to 1, by chance.
    draw: fn() -> f64,
    streams: HashMap<Bytes, Stream>,
    /// One of each lane.
    agendas: [Agenda; 2],
    in_flight: [usize; 2],
    breaker: Breaker,
    /// How often the breaker has opened: what comes of a request from before tells nothing of the
    /// backend now, unless that answers.
    epoch: u64,
    /// Requests that are open, of those that were sent since the breaker last opened.
    current: [usize; 2],
    taken: Taken,
    /// Lanes of streams to try again when the backend takes anything.
    hopeful: HashSet<(Bytes, Lane)>,
    /// Streams to try again when the backend takes an event of this lane.
    hopeful_of: [HashSet<Bytes>; 2],
    /// Since when the gateway stops.
    stops: Option<Instant>,
    budget: Budget,
    pub(super) letters: Letters,
    counts: Waiting,
    refusals: Seldom,
    connection_bytes: usize,
    last_sent: Instant,
    pub(super) last_taken: Instant,
    /// When the last request was sent of which the backend has taken an event.
    well_at: Instant,
    spells: Spells,
    /// Somebody waits for room that others have.
    pub(super) pressed: bool,
    /// Room was given back that others wait for.
    pub(super) freed: bool,
}

impl Scheduler {
    pub(super) fn new(
        options: DeliveryOptions,
        batch: usize,
        now: Instant,
        draw: fn() -> f64,
    ) -> Self {
        let gather = if batch > 1 { GATHER } else { Duration::ZERO };
        let concurrency = options.concurrency.max(2);
        Scheduler {
            options: DeliveryOptions { concurrency, ..options },
            batch,
            gather,
            draw,
            streams: HashMap::new(),
            agendas: Default::default(),
            in_flight: [0; 2],
            breaker: Breaker::Closed,
            epoch: 0,
            current: [0; 2],
            taken: Taken::default(),
            hopeful: HashSet::new(),
            hopeful_of: Default::default(),
            stops: None,
            budget: Budget::default(),
            letters: Letters::default(),
            counts: Waiting::default(),
            refusals: Seldom::default(),
            connection_bytes: 0,
            last_sent: now,
            last_taken: now,
            well_at: now,
            spells: Spells::default(),
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

    /// An event waits, behind those of its stream, in the room that is held for it. What has to be
    /// written down.
    pub(super) fn push(
        &mut self,
        now: Now,
        stream: Bytes,
        sequence: u64,
        event: Arc<Event>,
        held: Option<Held>,
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
            held,
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

    fn insert(
        &mut self,
        key: &Bytes,
        user: Option<Arc<str>>,
        mut pending: Pending,
        held: Option<Held>,
    ) {
        let stream = self.streams.entry(key.clone()).or_default();
        // Of a session it does not change.
        stream.user = stream.user.take().or(user);
        let (lane, bytes) = (pending.lane(), pending.event.size());
        if lane == Lane::Messages && pending.letter.is_none() {
            let (share, user) = (&mut stream.share, stream.user.as_ref());
            pending.pool = match held {
                // Its own room is no reason that there is none for it.
                Some(Held { pool, bytes }) => {
                    self.budget.give_back(share, None, pool, bytes);
                    pool
                }
                // The store had it: it waits, whether there is room or not.
                None => {
                    let room = self.budget.room(share, user, bytes, bytes <= SMALL_EVENT);
                    room.unwrap_or(Pool::Main)
                }
            };
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
        let patience = Patience { wait: self.options.patience, stops: self.stops };
        for lane in Lane::ALL {
            let due = stream.due(lane, patience, self.spells.last());
            self.agendas[lane as usize].plan(&mut stream.line_mut(lane).entry, due, key);
        }
        if stream.is_empty() {
            self.streams.remove(key);
        }
    }

    /// What may be sent now.
    pub(super) fn poll(&mut self, now: Instant) -> Vec<Request> {
        self.hear(now, Input::Tick);
        let mut requests = Vec::new();
        while let Some((lane, key)) = self.next(now) {
            let probe = matches!(self.breaker, Breaker::HalfOpen { .. });
            let alone = probe || self.is_suspect(&key, lane);
            let Some(first) = self.take_up(&key, lane) else { break };
            let mut bytes = first.event.size();
            let mut jobs = vec![first];
            while !alone && jobs.len() < self.batch {
                let Some(job) = self.another(now, lane, &mut bytes) else { break };
                jobs.push(job);
            }
            self.in_flight[lane as usize] += 1;
            self.current[lane as usize] += 1;
            self.last_sent = now;
            self.hear(now, Input::Sent);
            let sent = Sent { at: now, taken: self.taken, well_at: self.well_at };
            requests.push(Request { lane, jobs, sent, epoch: self.epoch });
        }
        requests
    }

    /// Another event for the same batch, if there is one and it fits.
    fn another(&mut self, now: Instant, lane: Lane, bytes: &mut usize) -> Option<Job> {
        let (due, key) = self.agendas[lane as usize].first()?;
        let key = key.clone();
        let first = self.streams.get(&key)?.line(lane).events.front()?;
        let all = *bytes + first.event.size();
        if due > now || all > BATCH_BYTES || self.is_suspect(&key, lane) {
            return None;
        }
        *bytes = all;
        self.take_up(&key, lane)
    }

    /// Whether the first of a line was refused before: it goes alone, so that it harms no other.
    fn is_suspect(&self, key: &Bytes, lane: Lane) -> bool {
        let first = self.streams.get(key).and_then(|stream| stream.line(lane).events.front());
        first.is_some_and(|event| event.trouble.is_some())
    }

    /// The first of a line is on its way.
    fn take_up(&mut self, key: &Bytes, lane: Lane) -> Option<Job> {
        let line = self.streams.get_mut(key)?.line_mut(lane);
        let first = line.events.front()?;
        let (event, written_off) = (first.event.clone(), first.written_off(key));
        line.in_flight = true;
        self.plan(key);
        Some(Job { stream: key.clone(), event, written_off })
    }

    fn next(&self, now: Instant) -> Option<(Lane, Bytes)> {
        let slots = self.options.concurrency;
        let allowed = match self.breaker {
            Breaker::Closed => slots,
            Breaker::Recovering { allowed, .. } => allowed.min(slots),
            Breaker::HalfOpen { probing: false, .. } => 1,
            Breaker::HalfOpen { .. } | Breaker::Open { .. } => return None,
        };
        // A quarter is the other lane's, whatever waits in this one.
        let of_lane = allowed - (allowed / 4).max(1);
        let current: usize = self.current.iter().sum();
        // Requests from before the breaker opened have slots, but none that keeps the first ones
        // from finding out that the backend is back.
        let any = current < allowed && (self.in_flight() < slots || current < FIRST);
        let free = |lane: Lane| any && self.current[lane as usize] < of_lane.max(1);
        let overdue = self.in_flight() == 0 && now >= self.last_sent + AT_LEAST_EVERY;
        let due = |lane: Lane, whatever: bool| {
            let agenda = &self.agendas[lane as usize];
            let (due, key) = agenda.first()?;
            let gathered = || self.gather.is_zero() || agenda.has_due(now, self.batch);
            let is_due = due + self.gather <= now || due <= now && gathered();
            (whatever || is_due).then(|| (lane, key.clone()))
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
        let before = now.checked_sub(self.gather).unwrap_or(now);
        let next = self.agendas.iter().filter_map(|agenda| agenda.next_after(before)).min();
        let next = next.map(|due| due + self.gather);
        let at_least = (self.in_flight() == 0).then(|| self.last_sent + AT_LEAST_EVERY);
        next.into_iter().chain(at_least).min()
    }

    /// What came of a request: a result for each of its events. What has to be written down.
    pub(super) fn done(
        &mut self,
        now: Now,
        request: &Request,
        results: Vec<Result<(), Failure>>,
    ) -> Batch {
        self.in_flight[request.lane as usize] -= 1;
        if request.epoch == self.epoch {
            self.current[request.lane as usize] -= 1;
        }
        self.judge(now.at, request, &results);
        let mut batch = Batch::new();
        for (job, result) in request.jobs.iter().zip(results) {
            batch.append(&mut self.job_done(now, request, job, result));
        }
        batch
    }

    fn job_done(
        &mut self,
        now: Now,
        request: &Request,
        job: &Job,
        result: Result<(), Failure>,
    ) -> Batch {
        let lane = request.lane;
        let Some(stream) = self.streams.get_mut(&job.stream) else { return Batch::new() };
        let line = stream.line_mut(lane);
        line.in_flight = false;
        // It has waited for others already: no longer for those of a batch.
        line.turn = now.at.checked_sub(self.gather);
        let Some(first) = line.events.front_mut() else { return Batch::new() };
        let batch = match result {
            Ok(()) => {
                self.counts.delivered += 1;
                self.last_taken = now.at;
                self.well_at = self.well_at.max(request.sent.at);
                self.taken.0[lane as usize] += 1;
                self.hope_again(now.at, lane);
                if let Some(id) = self.pop(&job.stream, lane).and_then(|taken| taken.letter) {
                    self.letters.remove(id);
                }
                vec![job.written_off.clone()]
            }
            Err(_) if first.letter.is_some_and(|id| !self.letters.has(id)) => {
                // It was thrown away while it was on its way.
                self.counts.failed += 1;
                self.pop(&job.stream, lane);
                Batch::new()
            }
            Err(failure) if failure.kind == FailureKind::Unreachable => {
                self.counts.failed += 1;
                Batch::new()
            }
            Err(failure) => {
                self.counts.failed += 1;
                let (taken, draw) = (self.taken, (self.draw)());
                match first.refused((request.sent, now), &failure, taken, draw, &self.options) {
                    Fate::Again(hope) => {
                        log_refusal(&self.refusals, now.at, first);
                        if hope == Hope::Anything && request.sent.at >= self.last_taken {
                            self.spells.failed(request.sent.at);
                        }
                        self.hope(job, lane, hope);
                        Batch::new()
                    }
                    Fate::SetAside => self.set_aside(now, job, lane),
                }
            }
        };
        self.plan(&job.stream);
        batch
    }

    fn judge(&mut self, now: Instant, request: &Request, results: &[Result<(), Failure>]) {
        let before = self.breaker;
        let failure = |result: &Result<(), Failure>| result.as_ref().err().map(|of| of.kind);
        let silent = |kind: FailureKind| match kind {
            FailureKind::Unreachable | FailureKind::Died | FailureKind::NoAnswer => true,
            FailureKind::BadSignature | FailureKind::Refused | FailureKind::Final => false,
        };
        let answered = results.iter().any(|result| !failure(result).is_some_and(silent));
        let input = match results.first().and_then(failure) {
            _ if answered => Input::Answered,
            // It was begun before the breaker opened.
            _ if request.epoch != self.epoch => return,
            Some(FailureKind::Unreachable | FailureKind::Died) => {
                Input::Unreachable { draw: (self.draw)() }
            }
            _ => Input::NoAnswer,
        };
        self.hear(now, input);
        if let (Breaker::Closed, Breaker::Open { .. }, Some(Err(failure))) =
            (before, self.breaker, results.first())
        {
            // FAQ: backend-unreachable
            tracing::warn!("the backend cannot be reached, events wait: {}", failure.why);
        }
        if !before.reached() && self.breaker.reached() {
            tracing::info!("the backend can be reached again");
        }
    }

    fn hear(&mut self, now: Instant, input: Input) {
        let before = self.breaker;
        self.breaker = before.on(now, self.options.concurrency, input);
        if self.breaker.until().is_some() && before.until().is_none() {
            self.epoch += 1;
            self.current = [0; 2];
        }
    }

    fn hope(&mut self, job: &Job, lane: Lane, hope: Hope) {
        match hope {
            Hope::Anything => {
                self.hopeful.insert((job.stream.clone(), lane));
            }
            Hope::SameLane => {
                self.hopeful_of[lane as usize].insert(job.stream.clone());
            }
            Hope::Nothing => {}
        }
    }

    /// The backend takes events: those that it refused while it took none are tried again.
    fn hope_again(&mut self, now: Instant, lane: Lane) {
        self.spells.taken(now);
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

    /// The gateway stops: what waits is tried once more, within this time, and no event waits
    /// longer for another.
    pub(super) fn hurry(&mut self, now: Instant, within: Duration) {
        self.hear(now, Input::Hurry);
        // Another call is no reason to wait again.
        self.stops.get_or_insert(now);
        for key in self.streams.keys().cloned().collect::<Vec<_>>() {
            for lane in Lane::ALL {
                self.bring_forward(&key, lane, now + within.mul_f64((self.draw)()));
            }
            self.plan(&key);
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
}

/// Seldom: a backend that refuses all should not fill the disk with lines.
fn log_refusal(refusals: &Seldom, now: Instant, event: &Pending) {
    let Some(trouble) = &event.trouble else { return };
    let Some(more) = refusals.line_at(now) else { return };
    let (tries, error) = (trouble.tries, &trouble.error);
    // FAQ: backend-not-taken
    tracing::warn!("the backend has not taken an event, try {tries}; sent again: {error}{more}");
}
