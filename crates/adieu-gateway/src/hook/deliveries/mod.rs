//! Events on their way to the backend: in the order of their session, one at a time of each, until
//! they are taken.
//!
//! ```text
//!          ┌ stream of a session ─ lifecycle line ┐   agenda of the lane    ┌─────────┐
//!   push ─►│                     └ messages line  ├─► (who is due, when) ──►│ breaker ├─► backend
//!          └ stream of a user ──── lifecycle line ┘   slots of the lane     └─────────┘
//!                     ▲                                       │ refused
//!                     └──────── back-off of this event ◄──────┤
//!                                      dead letter, parked ◄──┘
//! ```
//!
//! `scheduler` is all of it without I/O: time, chance and what came of a request come in, what to
//! send and what to write down come out. `worker` sends.

mod agenda;
mod breaker;
mod budget;
mod counts;
mod event;
mod failure;
mod letters;
mod options;
mod pending;
mod room;
mod scheduler;
mod spell;
mod stop;
mod stream;
#[cfg(test)]
mod tests;
mod worker;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use tokio::sync::Notify;

pub use counts::{Left, Waiting};
pub(crate) use letters::{DeadLetterList, Order, Part};
pub use options::DeliveryOptions;
use pending::Now;
pub(crate) use room::Room;
use scheduler::Scheduler;

use super::{Answer, Backend, MAX_BATCH};
use crate::random::a_share_of;
use crate::session::event::Event;
use crate::session::{Batch, Change, Contents, Timestamp};

/// Where events are kept until they are taken.
pub(crate) trait EventLog: Clone + Send + Sync + 'static {
    /// The backend has answered so, each to an event of another session. Ready when what it asks
    /// for is done, and with it that the event is taken is written down. False if the log is
    /// closed: then another start tells the events again.
    fn answered(&self, answers: Vec<Answered>) -> impl Future<Output = bool> + Send;

    /// Writes down what has become of events. It is not waited for that this is durable: told again
    /// after a crash, an event has the same id. False if the log is closed: then nothing more is
    /// delivered.
    fn write(&self, batch: Batch) -> impl Future<Output = bool> + Send;
}

/// An event that the backend has taken, and answered with something to do.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) event: Arc<Event>,
    pub(crate) answer: Answer,
    /// What says that the event is taken, to be written down with the rest.
    pub(crate) written_off: Batch,
}

/// Events that wait for the backend, and those that it would not take.
#[derive(Debug)]
pub struct Deliveries {
    backend: Option<Backend>,
    state: Mutex<State>,
    /// There is something to do before the time that the timer waits for.
    sooner: Notify,
    /// Something was taken or set aside.
    settled: Notify,
    /// Held while what is decided is written down: in the order in which it was decided.
    writing: tokio::sync::Mutex<()>,
    /// There is room again where all of it had been taken.
    freed: Notify,
}

#[derive(Debug)]
struct State {
    scheduler: Scheduler,
    /// What is decided, and not written down yet.
    unwritten: Batch,
    /// What the timer waits for, while it runs.
    timer: Option<Instant>,
    /// The gateway is over: nothing more is sent.
    closed: bool,
}

impl Deliveries {
    pub(crate) fn new(backend: Option<Backend>, options: DeliveryOptions) -> Self {
        let batches = backend.as_ref().is_some_and(Backend::batches);
        let batch = if batches { MAX_BATCH } else { 1 };
        let scheduler = Scheduler::new(options, batch, now().at, draw);
        Deliveries {
            backend,
            state: Mutex::new(State {
                scheduler,
                unwritten: Batch::new(),
                timer: None,
                closed: false,
            }),
            sooner: Notify::new(),
            settled: Notify::new(),
            writing: tokio::sync::Mutex::default(),
            freed: Notify::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What waits.
    #[must_use]
    pub fn waiting(&self) -> Waiting {
        self.state().scheduler.counts()
    }

    /// Takes what the store holds: events that wait, and dead letters. Those of sessions and users
    /// are tried again. Without a backend all of it stays in the store.
    pub(crate) fn restore(self: &Arc<Self>, log: &impl EventLog, contents: &Contents) {
        {
            let mut state = self.state();
            for (id, row) in &contents.dead_letters {
                state.scheduler.letters.restore(*id, row);
            }
            if self.backend.is_none() {
                return;
            }
            for id in state.scheduler.letters.parked() {
                state.scheduler.retry(now(), id);
            }
        }
        for ((stream, sequence), event) in &contents.events {
            self.push(log, stream.clone(), *sequence, event.clone(), None);
        }
        self.go_on(log);
    }

    /// Delivers an event behind those of its stream; a message takes over the room that was kept
    /// for it.
    pub(crate) fn push(
        self: &Arc<Self>,
        log: &impl EventLog,
        stream: Bytes,
        sequence: u64,
        event: Arc<Event>,
        room: Option<Room>,
    ) {
        let held = room.and_then(Room::hand_over);
        let writes = {
            let mut state = self.state();
            let batch = state.scheduler.push(now(), stream, sequence, event, held);
            state.decided(batch)
        };
        if writes {
            let (deliveries, log) = (self.clone(), log.clone());
            tokio::spawn(async move { deliveries.write_down(&log).await });
        }
        self.go_on(log);
    }

    /// Other nodes have dead letters too: this is the one of this number.
    pub(crate) fn shared(&self, node: u64) {
        self.state().scheduler.letters.shared(node);
    }

    /// The dead letters are these, of all nodes.
    pub(crate) fn dead_letters_are(&self, all: &BTreeMap<u64, Bytes>) {
        self.state().scheduler.letters.are_now(all);
    }

    /// Some of the dead letters.
    pub(crate) fn dead_letters(&self, part: Part) -> DeadLetterList {
        self.state().scheduler.letters.list(part)
    }

    /// Sends a dead letter again; false if there is none of this number.
    pub(crate) fn retry(self: &Arc<Self>, log: &impl EventLog, id: u64) -> bool {
        let found = self.state().scheduler.retry(now(), id);
        self.go_on(log);
        found
    }

    /// Sends all dead letters again; how many those are.
    pub(crate) fn retry_all(self: &Arc<Self>, log: &impl EventLog) -> usize {
        let count = {
            let mut state = self.state();
            let ids = state.scheduler.letters.ids();
            ids.into_iter().filter(|id| state.scheduler.retry(now(), *id)).count()
        };
        self.go_on(log);
        count
    }

    /// Throws a dead letter away; what has to be written down. `None`: there is none.
    pub(crate) async fn discard(&self, log: &impl EventLog, id: u64) -> Option<Change> {
        let change = self.state().scheduler.discard(id)?;
        // That it is a dead letter is written down before that it is none any more.
        self.write_down(log).await;
        Some(change)
    }

    /// Whether there is a backend, so that something can be sent.
    pub(crate) fn has_backend(&self) -> bool {
        self.backend.is_some()
    }

    /// Writes down what is decided up to now; false if the log is closed.
    async fn write_down(&self, log: &impl EventLog) -> bool {
        let _writing = self.writing.lock().await;
        let batch = std::mem::take(&mut self.state().unwritten);
        batch.is_empty() || log.write(batch).await
    }
}

impl State {
    /// Keeps what has to be written down; whether there is something.
    fn decided(&mut self, mut batch: Batch) -> bool {
        let some = !batch.is_empty();
        self.unwritten.append(&mut batch);
        some
    }
}

/// Times in tests are those of the runtime.
fn now() -> Now {
    Now { at: tokio::time::Instant::now().into_std(), wall: Timestamp::from(SystemTime::now()) }
}

/// From 0 to 1, by chance.
fn draw() -> f64 {
    a_share_of(Duration::from_secs(1)).as_secs_f64()
}
