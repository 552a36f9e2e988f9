//! What is kept of sessions, and how it changes: what a store has to hold.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::SessionId;

/// All that a store holds. Values are written by who uses them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// Sessions.
    pub sessions: BTreeMap<SessionId, Bytes>,
    /// Messages that a client has not acknowledged, by session and sequence id.
    pub messages: BTreeMap<(SessionId, u64), Bytes>,
    /// Events that the backend has not taken, by what orders them (a session, a user) and number.
    pub events: BTreeMap<(Bytes, u64), Bytes>,
    /// Events that the gateway has given up or set aside, by a number that grows with time.
    pub dead_letters: BTreeMap<u64, Bytes>,
    /// What is there once: the key of the tokens, the last sign of life.
    pub meta: BTreeMap<String, Bytes>,
}

/// Changes that belong together: all of them are kept, or none.
pub type Batch = Vec<Change>;

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A session is new or changed.
    PutSession {
        /// Which.
        id: SessionId,
        /// What it is now.
        session: Bytes,
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
        /// As it goes on the wire.
        message: Bytes,
    },
    /// Messages up to this one are acknowledged or let go.
    TrimMessages {
        /// Of this session.
        id: SessionId,
        /// The last of them.
        up_to: u64,
    },
    /// An event waits for the backend.
    PutEvent {
        /// What it is ordered by.
        stream: Bytes,
        /// Its number there.
        sequence: u64,
        /// The event.
        event: Bytes,
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

impl Change {
    /// Bytes that it takes while it waits, about.
    #[must_use]
    pub fn size(&self) -> usize {
        let bytes = match self {
            Change::PutSession { session, .. } => session.len(),
            Change::PutMessage { message, .. } => message.len(),
            Change::PutEvent { stream, event, .. } => stream.len() + event.len(),
            Change::DeleteEvent { stream, .. } => stream.len(),
            Change::PutMeta { name, value } => name.len() + value.len(),
            Change::PutDeadLetter { letter, .. } => letter.len(),
            Change::DeleteSession { .. }
            | Change::TrimMessages { .. }
            | Change::DeleteDeadLetter { .. } => 0,
        };
        CHANGE + bytes
    }
}

impl Contents {
    /// Applies a change.
    pub fn apply(&mut self, change: Change) {
        match change {
            Change::PutSession { id, session } => {
                self.sessions.insert(id, session);
            }
            Change::DeleteSession { id } => {
                self.sessions.remove(&id);
                self.trim(id, u64::MAX);
            }
            Change::PutMessage { id, sequence, message } => {
                self.messages.insert((id, sequence), message);
            }
            Change::TrimMessages { id, up_to } => self.trim(id, up_to),
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
