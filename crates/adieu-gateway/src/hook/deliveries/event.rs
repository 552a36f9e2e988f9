//! What the queue has to know of an event; the rest of it is only carried.

use crate::session::event::EventType;

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
}

impl Kind {
    pub(super) fn of(r#type: EventType) -> Self {
        match r#type {
            EventType::SessionStarted
            | EventType::SessionEnded
            | EventType::UserJoined
            | EventType::UserLeft => Kind::Presence,
            EventType::ConnectionLost | EventType::ConnectionResumed => Kind::Connection,
            EventType::Message => Kind::Message,
        }
    }

    pub(super) fn lane(self) -> Lane {
        match self {
            Kind::Presence | Kind::Connection => Lane::Lifecycle,
            Kind::Message => Lane::Messages,
        }
    }

    /// Whether it is kept whatever happens.
    pub(super) fn is_never_let_go(self) -> bool {
        self == Kind::Presence
    }
}
