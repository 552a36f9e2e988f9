//! Broadcast: one message, encoded once, to every member of a group.

use std::collections::BTreeMap;
use std::fmt;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use adieu_proto::{Cause, Close, Prepared};

use crate::into_message::IntoMessage;
use crate::link::{Link, SendOutcome};
use crate::socket::Socket;

/// What happens to a member whose queue is full when a message is broadcast
/// ([`Config::send_queue`](crate::Config::send_queue)).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SlowConsumer {
    /// The broadcast waits for it: nobody misses a message, and the slowest sets the pace. One
    /// that reads nothing at all is ended by its write clock after 20 s.
    Wait,
    /// It misses this message.
    Skip,
    /// It is ended with this Close, behind what it was sent: 1008 and a reason, as a rule.
    End(Close),
}

/// Members that a broadcast writes to before the other tasks of its thread have their turn: each
/// write takes some 5 us.
const MEMBERS_PER_TURN: usize = 128;

/// Connections that hear the same. A clone is the same group.
///
/// A message is encoded once and written to each member by the task that broadcasts it: no
/// channel, no task to be woken for each recipient.
///
/// ```
/// use adieu::{Close, Group, SlowConsumer, Socket};
///
/// # fn main() -> Result<(), adieu::UsageError> {
/// let room = Group::new(SlowConsumer::End(Close::new(1008, "too slow for this room")?));
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
    slow: SlowConsumer,
    /// One broadcast after the other, so that all members hear all messages in one order.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Members {
    next: u64,
    /// In the order in which they joined, which is mostly that of their places in memory: with
    /// thousands of them none is in the processor's caches, and the next one is easier to guess.
    all: BTreeMap<u64, Arc<Link>>,
}

impl Members {
    fn all_but(&self, one: Option<u64>) -> Vec<Arc<Link>> {
        let others = self.all.iter().filter(|(id, _)| Some(**id) != one);
        others.map(|(_, link)| link.clone()).collect()
    }
}

/// What became of a broadcast.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct BroadcastStats {
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
    pub fn new(slow: SlowConsumer) -> Self {
        let (members, turn) = (Mutex::default(), tokio::sync::Mutex::default());
        Group { inner: Arc::new(Inner { members, slow, turn }) }
    }

    /// Adds a connection, until the [`Member`] is dropped. One that is to be
    /// [split](Socket::split) joins before that.
    #[must_use = "the connection leaves the group when the member is dropped"]
    pub fn join(&self, socket: &Socket) -> Member {
        let mut members = self.members();
        members.next += 1;
        let id = members.next;
        members.all.insert(id, socket.link().clone());
        Member { group: self.clone(), id }
    }

    /// The number of members.
    #[must_use]
    pub fn len(&self) -> usize {
        self.members().all.len()
    }

    /// Whether it has no members.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Sends a message to all members. Members that are closing are passed over. After each 128
    /// members the other tasks of the thread have their turn.
    pub async fn broadcast(&self, message: impl IntoMessage) -> BroadcastStats {
        self.send(Prepared::new(message.into_message()), None).await
    }

    /// Sends it to all members but one.
    async fn send(&self, prepared: Prepared, but: Option<u64>) -> BroadcastStats {
        let _turn = self.inner.turn.lock().await;
        let members: Vec<_> = self.members().all_but(but);
        let mut result = BroadcastStats::default();
        let mut full = Vec::new();
        for (i, member) in members.into_iter().enumerate() {
            if i % MEMBERS_PER_TURN == MEMBERS_PER_TURN - 1 {
                tokio::task::yield_now().await;
            }
            match member.try_send(&prepared) {
                SendOutcome::Queued => result.sent += 1,
                SendOutcome::Full => full.push(member),
                SendOutcome::NoBinary => result.skipped += 1,
                SendOutcome::Closed => {}
            }
        }
        for member in full {
            self.slow(&member, &prepared, &mut result).await;
        }
        result
    }

    async fn slow(&self, member: &Link, prepared: &Prepared, result: &mut BroadcastStats) {
        match &self.inner.slow {
            SlowConsumer::Wait => {
                let mut place = None;
                let room = poll_fn(|cx| member.poll_reserve(cx, &mut place)).await;
                if room != SendOutcome::Queued {
                    return;
                }
                // What was encoded, and compressed, for the others.
                match member.send_reserved(prepared) {
                    SendOutcome::Queued => result.sent += 1,
                    SendOutcome::NoBinary => result.skipped += 1,
                    SendOutcome::Full | SendOutcome::Closed => {}
                }
            }
            SlowConsumer::Skip => result.skipped += 1,
            SlowConsumer::End(close) => {
                member.close(Cause::SlowConsumer, close.clone());
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

impl Member {
    /// The group.
    #[must_use]
    pub fn group(&self) -> &Group {
        &self.group
    }

    /// Sends a message to all other members, else as [`Group::broadcast`] does: for what the
    /// member itself knows already.
    ///
    /// ```
    /// # async fn handler(room: adieu::Group, mut socket: adieu::Socket) {
    /// let member = room.join(&socket);
    /// while let Some(message) = socket.recv().await {
    ///     member.broadcast_to_others(message).await;
    /// }
    /// # }
    /// ```
    pub async fn broadcast_to_others(&self, message: impl IntoMessage) -> BroadcastStats {
        self.group.send(Prepared::new(message.into_message()), Some(self.id)).await
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.group.members().all.remove(&self.id);
    }
}
