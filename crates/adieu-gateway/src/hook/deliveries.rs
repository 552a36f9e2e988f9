//! Events on their way to the backend: in the order of their session, one at a time of each, until
//! they are taken.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Notify, Semaphore};

use super::Backend;
use crate::gateway::{Gateway, random};
use crate::session::SessionId;
use crate::session::hub::stream;

/// Requests to the backend at a time: a backend that is slow should not have one open for each
/// session.
const AT_A_TIME: usize = 64;

/// Events of one session that wait for the backend before no more is read of it.
const PER_SESSION: usize = 256;

/// Bytes of all events that wait before no more is read of any session.
const BYTES: usize = 64 * 1024 * 1024;

/// The first wait after a failure, doubled with each, up to the longest.
const BACK_OFF: Duration = Duration::from_millis(250);
const MAX_BACK_OFF: Duration = Duration::from_secs(30);

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
}

#[derive(Debug, Default)]
struct Queue {
    streams: HashMap<Bytes, Stream>,
    counts: Waiting,
}

#[derive(Debug, Default)]
struct Stream {
    events: VecDeque<(u64, Bytes)>,
    /// Who waits for room.
    room: Arc<Notify>,
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
}

impl Deliveries {
    pub(crate) fn new(backend: Option<Backend>) -> Self {
        Deliveries {
            backend,
            queue: Mutex::default(),
            slots: Arc::new(Semaphore::new(AT_A_TIME)),
            taken: Notify::new(),
            empty: Notify::new(),
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
        gateway: &Gateway,
        stream: Bytes,
        sequence: u64,
        event: Bytes,
    ) {
        let mut queue = self.queue();
        queue.counts.events += 1;
        queue.counts.bytes += event.len();
        let begins = !queue.streams.contains_key(&stream);
        queue.streams.entry(stream.clone()).or_default().events.push_back((sequence, event));
        drop(queue);
        if begins {
            tokio::spawn(deliver(self.clone(), gateway.clone(), stream));
        }
    }

    /// Ready when there is room for more of this session.
    pub(crate) async fn room(&self, id: SessionId) {
        let stream = stream(id);
        loop {
            let room = {
                let queue = self.queue();
                let Some(waiting) = queue.streams.get(&stream) else { return };
                if waiting.events.len() < PER_SESSION && queue.counts.bytes < BYTES {
                    return;
                }
                waiting.room.clone().notified_owned()
            };
            room.await;
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

    /// The first of a stream is taken; false if it was the last.
    fn pop(&self, stream: &Bytes) -> bool {
        let mut queue = self.queue();
        let full = queue.counts.bytes >= BYTES;
        let Some(of) = queue.streams.get_mut(stream) else { return false };
        let bytes = of.events.pop_front().map_or(0, |(_, event)| event.len());
        of.room.notify_waiters();
        let more = !of.events.is_empty();
        if !more {
            queue.streams.remove(stream);
        }
        queue.counts.events -= 1;
        queue.counts.bytes -= bytes;
        queue.counts.delivered += 1;
        if full && queue.counts.bytes < BYTES {
            queue.streams.values().for_each(|stream| stream.room.notify_waiters());
        }
        if queue.counts.events == 0 {
            self.empty.notify_waiters();
        }
        more
    }
}

/// Delivers what is in a stream, until it is empty.
async fn deliver(deliveries: Arc<Deliveries>, gateway: Gateway, stream: Bytes) {
    let Some(backend) = deliveries.backend.clone() else { return };
    let mut failures = 0;
    while let Some((sequence, event)) = deliveries.first(&stream) {
        let result = {
            // Closed never.
            let _slot = deliveries.slots.acquire().await;
            backend.deliver(&event).await
        };
        match result {
            Ok(()) => {
                failures = 0;
                deliveries.taken.notify_waiters();
                gateway.delivered(stream.clone(), sequence).await;
                if !deliveries.pop(&stream) {
                    return;
                }
            }
            Err(error) => {
                deliveries.queue().counts.failed += 1;
                tracing::warn!("the backend has not taken an event, it is sent again: {error}");
                tokio::select! {
                    () = tokio::time::sleep(back_off(failures)) => failures += 1,
                    // It is back: no need to wait longer.
                    () = deliveries.taken.notified() => failures = 0,
                }
            }
        }
    }
}

/// Full jitter: anything up to twice the wait before.
fn back_off(failures: u32) -> Duration {
    let longest = BACK_OFF.saturating_mul(1 << failures.min(16)).min(MAX_BACK_OFF);
    let share = f64::from(u32::from_le_bytes(random())) / f64::from(u32::MAX);
    longest.mul_f64(share)
}
