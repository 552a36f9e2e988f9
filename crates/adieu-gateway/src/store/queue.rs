//! What waits for its commit. The thread that commits is woken by a batch that a task waits for; a
//! batch that nothing waits for goes with that, or a moment later: a wake costs about as much as
//! the change.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::{Refusals, StoreError};
use crate::session::Batch;

/// Batches in one commit at most: what waits behind it should not wait for long.
const GROUP: usize = 1024;

/// Bytes from which on a commit takes no further batch, for the same reason.
pub(super) const GROUP_BYTES: usize = 4 << 20;

/// How long a batch that nothing waits for may wait for others to join. After a crash as much of it
/// is done again: an event that was taken is told once more, with the same id.
const LATER: Duration = Duration::from_millis(20);

/// A batch that waits.
pub(super) struct Waiting {
    pub(super) batch: Batch,
    pub(super) bytes: usize,
    /// To tell the task that waits for it, if one does.
    pub(super) tell: Option<oneshot::Sender<Result<Refusals, StoreError>>>,
    /// Given back once it is told.
    pub(super) room: OwnedSemaphorePermit,
}

/// The batches that wait. No bound of its own: what is in it has its room.
#[derive(Debug, Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Waiting>,
    /// How many of them a task waits for.
    awaited: usize,
    /// Since when the first of them waits.
    since: Option<Instant>,
    closed: bool,
}

impl std::fmt::Debug for Waiting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Waiting({} bytes)", self.bytes)
    }
}

/// What goes into one commit.
#[derive(Default)]
pub(super) struct Group {
    pub(super) batches: Vec<Batch>,
    pub(super) tell: Vec<Tell>,
}

/// How the end of a batch is told, and its room.
pub(super) type Tell =
    (Option<oneshot::Sender<Result<Refusals, StoreError>>>, OwnedSemaphorePermit);

impl Queue {
    /// Adds a batch behind the others; false if the store is closed.
    pub(super) fn push(&self, one: Waiting) -> bool {
        let mut state = self.state();
        if state.closed {
            return false;
        }
        let (first, awaited) = (state.waiting.is_empty(), one.tell.is_some());
        if first {
            state.since = Some(Instant::now());
        }
        state.awaited += usize::from(awaited);
        state.waiting.push_back(one);
        // The first one starts its clock.
        let wakes = first || awaited || state.waiting.len() == GROUP;
        drop(state);
        if wakes {
            self.changed.notify_one();
        }
        true
    }

    /// Nothing more comes: what waits is committed at once.
    pub(super) fn close(&self) {
        self.state().closed = true;
        self.changed.notify_one();
    }

    /// What goes into the next commit, when it is due. `None` if nothing will come any more.
    pub(super) fn next(&self) -> Option<Group> {
        let mut state = self.state();
        loop {
            let wait = match state.since {
                None if state.closed => return None,
                None => None,
                Some(_) if state.is_due() => return Some(state.take()),
                Some(since) => match LATER.checked_sub(since.elapsed()) {
                    Some(left) => Some(left),
                    None => return Some(state.take()),
                },
            };
            state = match wait {
                None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(left) => {
                    let woken = self.changed.wait_timeout(state, left);
                    woken.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Whether the next commit waits for nothing more.
    fn is_due(&self) -> bool {
        self.awaited > 0 || self.closed || self.waiting.len() >= GROUP
    }

    /// As much as fits into one commit.
    fn take(&mut self) -> Group {
        let (mut group, mut bytes) = (Group::default(), 0);
        while group.batches.len() < GROUP && bytes < GROUP_BYTES {
            let Some(one) = self.waiting.pop_front() else { break };
            bytes += one.bytes;
            self.awaited -= usize::from(one.tell.is_some());
            group.batches.push(one.batch);
            group.tell.push((one.tell, one.room));
        }
        if self.waiting.is_empty() {
            self.since = None;
        }
        group
    }
}
