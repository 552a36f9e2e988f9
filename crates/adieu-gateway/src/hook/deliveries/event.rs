//! What the queue has to know of an event; the rest of it is only carried.

use serde::Deserialize;

use crate::session::hub::EventType;
use crate::session::{SessionId, Timestamp};

/// Which queue an event is in. Neither can use all requests to the backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Lane {
    /// Who came and left.
    Lifecycle,
    /// What people said.
    Messages,
}

impl Lane {
    /// Who left is told first.
    pub(super) const ALL: [Lane; 2] = [Lane::Lifecycle, Lane::Messages];
}

/// What an event is, as far as its delivery depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `session.*` and `user.*`: never dropped.
    Presence,
    /// `connection.*`: so many of a session at most.
    Connection,
    /// A message.
    Message,
    /// Another version of Adieu wrote it. It is kept for that version, and not sent.
    Unreadable,
}

impl Kind {
    pub(super) fn lane(self) -> Lane {
        match self {
            Kind::Presence | Kind::Connection | Kind::Unreadable => Lane::Lifecycle,
            Kind::Message => Lane::Messages,
        }
    }

    /// Whether it is kept whatever happens.
    pub(super) fn is_never_let_go(self) -> bool {
        matches!(self, Kind::Presence | Kind::Unreadable)
    }
}

/// The attributes of an event that the queue and the list of dead letters look at.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct About {
    pub(super) id: String,
    pub(super) r#type: EventType,
    pub(super) session_id: SessionId,
    pub(super) user: Option<String>,
    pub(super) sequence: Option<u64>,
    pub(super) time: Timestamp,
}

impl About {
    /// `None` if another version wrote it.
    pub(super) fn read(event: &[u8]) -> Option<Self> {
        serde_json::from_slice(event).ok()
    }

    pub(super) fn kind(&self) -> Kind {
        match self.r#type {
            EventType::SessionStarted
            | EventType::SessionEnded
            | EventType::UserJoined
            | EventType::UserLeft => Kind::Presence,
            EventType::ConnectionLost | EventType::ConnectionResumed => Kind::Connection,
            EventType::Message => Kind::Message,
        }
    }
}
