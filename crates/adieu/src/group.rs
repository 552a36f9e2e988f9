//! Broadcast: one message, encoded once, to every member of a group.

use std::collections::BTreeMap;
use std::fmt;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use adieu_proto::{Cause, Close, Message, Prepared};

use crate::shared::{Shared, Taken};
use crate::socket::Socket;

/// What happens to a member whose queue is full when a message is broadcast
/// ([`Config::send_queue`](crate::Config::send_queue)).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Slow {
    /// The broadcast waits for it: nobody misses a message, and the slowest sets the pace. One
    /// that reads nothing at all is ended by its write clock after 20 s.
    Wait,
    /// It misses this message.
    Skip,
    /// It is ended with this Close, behind what it was sent: 1008 and a reason, as a rule.
    End(Close),
}

/// Connections that hear the same. A clone is the same group.
///
/// A message is encoded once and written to each member by the task that broadcasts it: no
/// channel, no task to be woken for each recipient.
///
/// ```
/// use adieu::{Close, Group, Slow, Socket};
///
/// # fn main() -> Result<(), adieu::UsageError> {
/// let room = Group::new(Slow::End(Close::new(1008, "too slow for this room")?));
/// let handler = move |mut socket: Socket| {
///     let room = room.clone();
///     async move {
///         let _member = room.join(&socket); // until it is dropped
///         while let Some(message) = socket.recv().await {
///             room.broadcast(message).await;
///         }
///     }
/// };
/// # let _ = adieu::Server::new(handler);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Group {
    inner: Arc<Inner>,
}

struct Inner {
    members: Mutex<Members>,
    slow: Slow,
    /// One broadcast after the other, so that all members hear all messages in one order.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Members {
    next: u64,
    /// In the order in which they joined, which is mostly that of their places in memory: with
    /// thousands of them none is in the processor's caches, and the next one is easier to guess.
    all: BTreeMap<u64, Arc<Shared>>,
}

/// What became of a broadcast.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Broadcast {
    /// Members that have it in their queue, or further.
    pub sent: usize,
    /// Members that miss it: too slow, or of a version that cannot carry it.
    pub skipped: usize,
    /// Members that were ended for being slow.
    pub ended: usize,
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Group({} members)", self.len())
    }
}

impl Group {
    /// An empty group.
    #[must_use]
    pub fn new(slow: Slow) -> Self {
        let (members, turn) = (Mutex::default(), tokio::sync::Mutex::default());
        Group { inner: Arc::new(Inner { members, slow, turn }) }
    }

    /// Adds a connection, until the [`Member`] is dropped.
    #[must_use = "the connection leaves the group when the member is dropped"]
    pub fn join(&self, socket: &Socket) -> Member {
        let mut members = self.members();
        members.next += 1;
        let id = members.next;
        members.all.insert(id, socket.shared().clone());
        Member { group: self.clone(), id }
    }

    /// How many are in it.
    #[must_use]
    pub fn len(&self) -> usize {
        self.members().all.len()
    }

    /// Whether nobody is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Sends a message to all members. Members that are closing are passed over.
    pub async fn broadcast(&self, message: impl Into<Message>) -> Broadcast {
        let prepared = Prepared::new(message);
        let _turn = self.inner.turn.lock().await;
        let members: Vec<_> = self.members().all.values().cloned().collect();
        let mut result = Broadcast::default();
        let mut full = Vec::new();
        for member in members {
            match member.send_prepared(&prepared) {
                Taken::Queued => result.sent += 1,
                Taken::Full => full.push(member),
                Taken::Refused => result.skipped += 1,
                Taken::Closed => {}
            }
        }
        for member in full {
            self.slow(&member, &prepared, &mut result).await;
        }
        result
    }

    async fn slow(&self, member: &Shared, prepared: &Prepared, result: &mut Broadcast) {
        match &self.inner.slow {
            Slow::Wait => {
                let mut message = Some(prepared.message().clone());
                if poll_fn(|cx| member.poll_send(cx, &mut message)).await.is_ok() {
                    result.sent += 1;
                }
            }
            Slow::Skip => result.skipped += 1,
            Slow::End(close) => {
                member.close(close.clone(), Cause::Application);
                result.ended += 1;
            }
        }
    }

    fn members(&self) -> MutexGuard<'_, Members> {
        self.inner.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection's place in a [`Group`]; dropped, it leaves.
#[derive(Debug)]
pub struct Member {
    group: Group,
    id: u64,
}

impl Drop for Member {
    fn drop(&mut self) {
        self.group.members().all.remove(&self.id);
    }
}
