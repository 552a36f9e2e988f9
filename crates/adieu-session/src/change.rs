//! What is kept of sessions, and how it changes: what a store has to hold.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::aggregate::{Counters, Row};
use crate::event::Event;
use crate::fence::{Fence, Refused, Verdict};
use crate::wire::{Tag, Tail};
use crate::{Digest, SessionId, Slot, Timestamp};

/// All that a store holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Contents {
    /// Sessions.
    pub sessions: BTreeMap<SessionId, (Row, Counters)>,
    /// Which write of its owner was the last of each session.
    pub fences: BTreeMap<SessionId, Fence>,
    /// Messages that a client has not acknowledged, by session and sequence id.
    pub messages: BTreeMap<(SessionId, u64), Message>,
    /// Users whose last session is over, and until when their next one is waited for.
    pub leaving: BTreeMap<Arc<str>, Leaving>,
    /// Events that the backend has not taken, by what orders them (a session, a user) and number.
    pub events: BTreeMap<(Bytes, u64), Arc<Event>>,
    /// Events that the gateway has given up or set aside, by a number that grows with time.
    pub dead_letters: BTreeMap<u64, Bytes>,
    /// What is there once: the key of the tokens, the last sign of life.
    pub meta: BTreeMap<String, Bytes>,
}

/// A message that a client has not acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Tells it from another of its number.
    pub tag: Tag,
    /// By which a second request for it is known.
    pub key: Option<Digest>,
    /// What is sent behind its number and its tag.
    pub tail: Tail,
}

/// A user whose last session is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leaving {
    /// When `user.left` is told.
    pub until: Timestamp,
    /// The last session.
    pub session: SessionId,
    /// Of its last connection.
    pub generation: u32,
}

/// Changes that belong together: all of them are kept, or none.
pub type Batch = Vec<Change>;

/// One change.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// What the batch changes of a session is a write of the session's owner: it is made if the
    /// store has the write that it builds on, and otherwise left out ([`Fence::judge`]).
    Write {
        /// Of this session.
        id: SessionId,
        /// The write that it builds on.
        after: Fence,
        /// This write.
        next: Fence,
    },
    /// A session is new or changed.
    PutSession {
        /// Which.
        id: SessionId,
        /// What it is now.
        row: Box<Row>,
        /// Its numbers.
        counters: Counters,
    },
    /// Only the numbers of a session have changed: what each message does.
    PutCounters {
        /// Which.
        id: SessionId,
        /// Its numbers.
        counters: Counters,
    },
    /// A session is gone, and its messages.
    DeleteSession {
        /// Which.
        id: SessionId,
    },
    /// A message waits for its acknowledgement.
    PutMessage {
        /// Of this session.
        id: SessionId,
        /// Its number.
        sequence: u64,
        /// Its tag.
        tag: Tag,
        /// By which a second request for it is known.
        key: Option<Digest>,
        /// The rest of it.
        tail: Tail,
    },
    /// Messages up to this one are acknowledged or let go.
    TrimMessages {
        /// Of this session.
        id: SessionId,
        /// The last of them.
        up_to: u64,
        /// Its tag: a store that has lost a message may have another of this number.
        tag: Tag,
    },
    /// A user has a session more. The store knows whether it is the first ([`Settings::shared`]).
    ///
    /// [`Settings::shared`]: crate::Settings::shared
    Join {
        /// The session.
        id: SessionId,
        /// The user.
        user: Arc<str>,
        /// What is told of the first.
        event: Option<Arc<Event>>,
        /// Sessions that the user may have.
        most: usize,
    },
    /// A user has a session less. The store knows whether it was the last.
    Leave {
        /// The session.
        id: SessionId,
        /// The user.
        user: Arc<str>,
        /// What is told of the last.
        event: Option<Arc<Event>>,
        /// How long the user is waited for before that: its client has no token to come back with.
        linger: Duration,
    },
    /// The last session of a user is over, and the next one is waited for.
    PutLeaving {
        /// The user.
        user: Arc<str>,
        /// How long, and what to tell then.
        leaving: Leaving,
    },
    /// The user is back, or has been told as gone.
    DeleteLeaving {
        /// The user.
        user: Arc<str>,
    },
    /// An event waits for the backend.
    PutEvent {
        /// What it is ordered by.
        stream: Bytes,
        /// Its number there.
        sequence: u64,
        /// The event.
        event: Arc<Event>,
    },
    /// The backend has taken an event.
    DeleteEvent {
        /// What it is ordered by.
        stream: Bytes,
        /// Its number there.
        sequence: u64,
    },
    /// An event is kept apart from those that wait: the backend would not take it.
    PutDeadLetter {
        /// Its number.
        id: u64,
        /// The event, and what the backend said.
        letter: Bytes,
    },
    /// A dead letter was taken after all, discarded, or let go.
    DeleteDeadLetter {
        /// Its number.
        id: u64,
    },
    /// Something that is there once.
    PutMeta {
        /// Its name.
        name: String,
        /// What it is now.
        value: Bytes,
    },
}

/// What a change costs beside its bytes: itself, its key, its row in the store. Rather too much, so
/// that changes without bytes count as well.
const CHANGE: usize = 128;

/// What the row of a session takes, about.
const ROW: usize = 512;

impl Change {
    /// The session whose owner makes it. What the backend has taken, and what is of no session,
    /// anybody may change.
    #[must_use]
    pub fn session(&self) -> Option<SessionId> {
        match self {
            Change::Write { id, .. }
            | Change::PutSession { id, .. }
            | Change::PutCounters { id, .. }
            | Change::DeleteSession { id }
            | Change::PutMessage { id, .. }
            | Change::TrimMessages { id, .. }
            | Change::Join { id, .. }
            | Change::Leave { id, .. } => Some(*id),
            Change::PutEvent { event, .. } => Some(event.session_id),
            Change::PutLeaving { leaving, .. } => Some(leaving.session),
            Change::DeleteLeaving { .. }
            | Change::DeleteEvent { .. }
            | Change::PutDeadLetter { .. }
            | Change::DeleteDeadLetter { .. }
            | Change::PutMeta { .. } => None,
        }
    }

    /// Bytes that it takes while it waits, about.
    #[must_use]
    pub fn size(&self) -> usize {
        let bytes = match self {
            Change::PutSession { row, .. } => {
                ROW + row.meta.as_deref().map_or(0, crate::event::meta_size)
            }
            Change::PutMessage { tail, .. } => tail.bytes().len(),
            Change::PutEvent { stream, event, .. } => stream.len() + event.size(),
            Change::DeleteEvent { stream, .. } => stream.len(),
            Change::PutMeta { name, value } => name.len() + value.len(),
            Change::PutDeadLetter { letter, .. } => letter.len(),
            Change::PutLeaving { user, .. } | Change::DeleteLeaving { user } => user.len(),
            Change::Join { user, event, .. } | Change::Leave { user, event, .. } => {
                user.len() + event.as_ref().map_or(0, |event| event.size())
            }
            Change::Write { .. }
            | Change::DeleteSession { .. }
            | Change::PutCounters { .. }
            | Change::TrimMessages { .. }
            | Change::DeleteDeadLetter { .. } => 0,
        };
        CHANGE + bytes
    }
}

impl Contents {
    /// For each of so many shards what it owns, in the order of the slots.
    #[must_use]
    pub fn split(self, shards: usize) -> Vec<Contents> {
        let mut parts: Vec<_> = (0..shards).map(|_| Contents::default()).collect();
        for (id, session) in self.sessions {
            parts[id.slot().shard(shards)].sessions.insert(id, session);
        }
        for (id, fence) in self.fences {
            parts[id.slot().shard(shards)].fences.insert(id, fence);
        }
        for ((id, sequence), message) in self.messages {
            parts[id.slot().shard(shards)].messages.insert((id, sequence), message);
        }
        for (user, leaving) in self.leaving {
            parts[Slot::of_user(&user).shard(shards)].leaving.insert(user, leaving);
        }
        for ((stream, sequence), event) in self.events {
            let slot = crate::event::slot_of_stream(&stream);
            let shard = slot.map_or(0, |slot| slot.shard(shards));
            parts[shard].events.insert((stream, sequence), event);
        }
        parts
    }

    /// Commits a batch, but for what is written by those who do not own its session. Says which
    /// writes were refused.
    pub fn commit(&mut self, batch: Batch) -> Vec<(SessionId, Refused)> {
        let kept = |id| self.fences.get(&id).copied().unwrap_or_default();
        let judged = Judged::of(&batch, kept);
        for change in batch {
            if judged.makes(&change) {
                self.apply(change);
            }
        }
        judged.refused
    }

    /// Applies a change, whoever writes it.
    pub fn apply(&mut self, change: Change) {
        match change {
            Change::Write { id, next, .. } => {
                self.fences.insert(id, next);
            }
            Change::PutSession { id, row, counters } => {
                self.sessions.insert(id, (*row, counters));
            }
            Change::PutCounters { id, counters } => {
                if let Some((_, kept)) = self.sessions.get_mut(&id) {
                    *kept = counters;
                }
            }
            Change::DeleteSession { id } => {
                self.sessions.remove(&id);
                self.fences.remove(&id);
                self.trim(id, u64::MAX);
            }
            Change::PutMessage { id, sequence, tag, key, tail } => {
                self.messages.insert((id, sequence), Message { tag, key, tail });
            }
            Change::PutLeaving { user, leaving } => {
                self.leaving.insert(user, leaving);
            }
            Change::DeleteLeaving { user } => {
                self.leaving.remove(&user);
            }
            Change::TrimMessages { id, up_to, .. } => self.trim(id, up_to),
            // For stores that are shared; in this one the shard has decided.
            Change::Join { .. } | Change::Leave { .. } => {}
            Change::PutEvent { stream, sequence, event } => {
                self.events.insert((stream, sequence), event);
            }
            Change::DeleteEvent { stream, sequence } => {
                self.events.remove(&(stream, sequence));
            }
            Change::PutDeadLetter { id, letter } => {
                self.dead_letters.insert(id, letter);
            }
            Change::DeleteDeadLetter { id } => {
                self.dead_letters.remove(&id);
            }
            Change::PutMeta { name, value } => {
                self.meta.insert(name, value);
            }
        }
    }

    fn trim(&mut self, id: SessionId, up_to: u64) {
        let gone = self.messages.range((id, 0)..=(id, up_to)).map(|(key, _)| *key);
        for key in gone.collect::<Vec<_>>() {
            self.messages.remove(&key);
        }
    }
}

/// The writes of a batch, judged.
#[derive(Debug, Default)]
pub struct Judged {
    /// Sessions of which the batch changes nothing.
    left_out: Vec<SessionId>,
    /// Those whose writer has to let go of them.
    pub refused: Vec<(SessionId, Refused)>,
}

impl Judged {
    /// Judges the writes of a batch by what the store has of each session.
    pub fn of(batch: &Batch, mut kept: impl FnMut(SessionId) -> Fence) -> Self {
        let mut judged = Judged::default();
        for change in batch {
            let Change::Write { id, after, next } = change else { continue };
            match Fence::judge(kept(*id), *after, *next) {
                Verdict::Apply => {}
                Verdict::Repeated => judged.left_out.push(*id),
                Verdict::Refuse(why) => {
                    judged.left_out.push(*id);
                    judged.refused.push((*id, why));
                }
            }
        }
        judged
    }

    /// Whether this change of the batch is made.
    #[must_use]
    pub fn makes(&self, change: &Change) -> bool {
        self.left_out.is_empty() || !change.session().is_some_and(|id| self.left_out.contains(&id))
    }
}
