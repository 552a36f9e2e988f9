//! Events on their way to the backend: in the order of their session, one at a time of each, until
//! they are taken.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Notify, Semaphore};

use super::{Answer, Backend, NotTaken};
use crate::random::a_share_of;
use crate::session::SessionId;
use crate::session::hub::stream;

/// Requests to the backend at a time: a backend that is slow should not have one open for each
/// session.
const AT_A_TIME: usize = 64;

/// Events of one session that wait for the backend before no more is read of it.
const PER_SESSION: usize = 256;

/// Bytes of all events that wait before no more is read of any session.
const BYTES: usize = 64 * 1024 * 1024;

/// How often an event is sent to a backend that answers that it is wrong in itself (400, 410, 413,
/// 415, 422), before it is set aside: what is behind it has to be told too.
const WRONG_TRIES: u32 = 5;

/// The first wait after a failure, doubled with each, up to the longest.
const BACK_OFF: Duration = Duration::from_millis(250);
const MAX_BACK_OFF: Duration = Duration::from_secs(30);

/// Where events are kept until they are taken.
pub(crate) trait EventLog: Clone + Send + Sync + 'static {
    /// The backend has answered this event so.
    fn answered(&self, event: &[u8], answer: Answer) -> impl Future<Output = ()> + Send;

    /// The backend has taken this event, or it was set aside: it need not be kept.
    fn done_with(&self, stream: Bytes, sequence: u64) -> impl Future<Output = ()> + Send;
}

/// Events that wait for the backend.
#[derive(Debug)]
pub struct Deliveries {
    backend: Option<Backend>,
    queue: Mutex<Queue>,
    slots: Arc<Semaphore>,
    /// The backend has taken something.
    taken: Notify,
    /// Nothing waits.
    empty: Notify,
    /// There is room again where all of it had been taken.
    freed: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    streams: HashMap<Bytes, Stream>,
    counts: Waiting,
    /// Bytes that room is kept for.
    reserved: usize,
    /// Somebody waits because all sessions together have too much.
    pressed: bool,
}

#[derive(Debug, Default)]
struct Stream {
    /// While there are some, a task delivers them.
    events: VecDeque<(u64, Bytes)>,
    /// Messages that room is kept for.
    reserved: usize,
    /// Who waits for room.
    room: Arc<Notify>,
}

/// Room that is kept for a message until its event waits, or there is none.
#[derive(Debug)]
pub(crate) struct Room {
    deliveries: Arc<Deliveries>,
    stream: Bytes,
    bytes: usize,
}

impl Drop for Room {
    fn drop(&mut self) {
        let mut queue = self.deliveries.queue();
        queue.reserved -= self.bytes;
        if let Some(of) = queue.streams.get_mut(&self.stream) {
            of.reserved -= 1;
            of.room.notify_waiters();
        }
        queue.forget_if_empty(&self.stream);
        self.deliveries.tell_freed(&mut queue);
    }
}

impl Queue {
    fn reserve(&mut self, stream: &Bytes, bytes: usize) -> bool {
        let all = self.counts.bytes + self.reserved;
        if all > 0 && all + bytes > BYTES {
            self.pressed = true;
            return false;
        }
        let of = self.streams.entry(stream.clone()).or_default();
        let fits = of.events.len() + of.reserved < PER_SESSION;
        if fits {
            of.reserved += 1;
            self.reserved += bytes;
        }
        fits
    }

    fn forget_if_empty(&mut self, stream: &Bytes) {
        let empty = |of: &Stream| of.events.is_empty() && of.reserved == 0;
        if self.streams.get(stream).is_some_and(empty) {
            self.streams.remove(stream);
        }
    }
}

/// What waits for the backend, and what has become of the rest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// Events that wait.
    pub events: usize,
    /// Their bytes.
    pub bytes: usize,
    /// Events that the backend has taken since the start.
    pub delivered: u64,
    /// Tries that failed since the start.
    pub failed: u64,
    /// Events that were set aside since the start, because the backend said that they are wrong.
    pub rejected: u64,
}

impl Deliveries {
    pub(crate) fn new(backend: Option<Backend>) -> Self {
        Deliveries {
            backend,
            queue: Mutex::default(),
            slots: Arc::new(Semaphore::new(AT_A_TIME)),
            taken: Notify::new(),
            empty: Notify::new(),
            freed: Notify::new(),
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What waits.
    #[must_use]
    pub fn waiting(&self) -> Waiting {
        self.queue().counts
    }

    /// Delivers an event behind those of its stream.
    pub(crate) fn push(
        self: &Arc<Self>,
        log: &impl EventLog,
        stream: Bytes,
        sequence: u64,
        event: Bytes,
    ) {
        let mut queue = self.queue();
        queue.counts.events += 1;
        queue.counts.bytes += event.len();
        let of = queue.streams.entry(stream.clone()).or_default();
        let begins = of.events.is_empty();
        of.events.push_back((sequence, event));
        drop(queue);
        if begins {
            tokio::spawn(deliver(self.clone(), log.clone(), stream));
        }
    }

    /// Room for a message of this session with so many bytes, if there is some. It is kept as long
    /// as what is given lives: until its event waits for the backend or, without one, until the
    /// message is committed.
    pub(crate) fn try_room(self: &Arc<Self>, id: SessionId, bytes: usize) -> Option<Room> {
        let stream = stream(id);
        let reserved = self.queue().reserve(&stream, bytes);
        reserved.then(|| Room { deliveries: self.clone(), stream, bytes })
    }

    /// Ready when there is room.
    pub(crate) async fn room(self: &Arc<Self>, id: SessionId, bytes: usize) -> Room {
        let stream = stream(id);
        loop {
            // First the place among those who are told, then the look: nothing is missed.
            let mut freed = std::pin::pin!(self.freed.notified());
            freed.as_mut().enable();
            let own = {
                let mut queue = self.queue();
                if queue.reserve(&stream, bytes) {
                    return Room { deliveries: self.clone(), stream, bytes };
                }
                queue.streams.get(&stream).map(|of| of.room.clone().notified_owned())
            };
            match own {
                Some(own) => tokio::select! { () = own => {}, () = freed => {} },
                None => freed.await,
            }
        }
    }

    fn tell_freed(&self, queue: &mut Queue) {
        if std::mem::replace(&mut queue.pressed, false) {
            self.freed.notify_waiters();
        }
    }

    /// Ready when nothing waits.
    pub(crate) async fn settled(&self) {
        loop {
            let mut empty = std::pin::pin!(self.empty.notified());
            empty.as_mut().enable();
            if self.queue().counts.events == 0 {
                return;
            }
            empty.await;
        }
    }

    fn first(&self, stream: &Bytes) -> Option<(u64, Bytes)> {
        self.queue().streams.get(stream)?.events.front().cloned()
    }

    /// The first of a stream is taken, or set aside; false if it was the last.
    fn pop(&self, stream: &Bytes, taken: bool) -> bool {
        let mut queue = self.queue();
        let Some(of) = queue.streams.get_mut(stream) else { return false };
        let bytes = of.events.pop_front().map_or(0, |(_, event)| event.len());
        of.room.notify_waiters();
        let more = !of.events.is_empty();
        queue.forget_if_empty(stream);
        queue.counts.events -= 1;
        queue.counts.bytes -= bytes;
        queue.counts.delivered += u64::from(taken);
        queue.counts.rejected += u64::from(!taken);
        self.tell_freed(&mut queue);
        if queue.counts.events == 0 {
            self.empty.notify_waiters();
        }
        more
    }
}

/// Delivers what is in a stream, until it is empty.
async fn deliver(deliveries: Arc<Deliveries>, log: impl EventLog, stream: Bytes) {
    let Some(backend) = deliveries.backend.clone() else { return };
    let mut failures = 0;
    while let Some((sequence, event)) = deliveries.first(&stream) {
        let result = {
            // Closed never.
            let _slot = deliveries.slots.acquire().await;
            backend.deliver(&event).await
        };
        let taken = match result {
            Ok(answer) => {
                log.answered(&event, answer).await;
                deliveries.taken.notify_waiters();
                true
            }
            Err(error) if error.is_final() && failures >= WRONG_TRIES => {
                tracing::error!(
                    "the backend will not take an event; set aside after {failures} tries: {}",
                    error.why
                );
                false
            }
            Err(error) => {
                deliveries.queue().counts.failed += 1;
                wait(&deliveries, failures, &error).await;
                failures += 1;
                continue;
            }
        };
        failures = 0;
        log.done_with(stream.clone(), sequence).await;
        if !deliveries.pop(&stream, taken) {
            return;
        }
    }
}

/// Waits before an event is sent again.
async fn wait(deliveries: &Deliveries, failures: u32, error: &NotTaken) {
    tracing::warn!("the backend has not taken an event, it is sent again: {}", error.why);
    let back_off = tokio::time::sleep(back_off(failures));
    if error.was_answered() {
        return back_off.await;
    }
    tokio::select! {
        () = back_off => {}
        // It could not be reached, and now it can: no need to wait longer.
        () = deliveries.taken.notified() => {}
    }
}

/// Full jitter: anything up to twice the wait before.
fn back_off(failures: u32) -> Duration {
    a_share_of(BACK_OFF.saturating_mul(1 << failures.min(16)).min(MAX_BACK_OFF))
}
