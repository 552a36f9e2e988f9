//! What happens to a session, for people: what the page draws and the metrics count.

use std::sync::Arc;

use super::ending::{ConnectionEnding, SessionEnding};
use super::wait::Departure;
use super::{SessionId, Timestamp};

/// One thing that happened to a session.
#[derive(Clone, Debug, PartialEq)]
pub struct Transition {
    /// To which session.
    pub session_id: SessionId,
    /// When.
    pub at: Timestamp,
    /// What happened.
    pub kind: TransitionKind,
}

/// What can happen to a session.
#[derive(Clone, Debug, PartialEq)]
pub enum TransitionKind {
    /// It began.
    Started {
        /// Who it is.
        user: Option<Arc<str>>,
        /// Its client does not speak adieu.v1.
        plain: bool,
    },
    /// Its connection ended; the person may come back.
    Away {
        /// What the end said.
        departure: Departure,
        /// How long that is waited for.
        until: Timestamp,
        /// How the connection ended; not where the gateway was down.
        ending: Option<Arc<ConnectionEnding>>,
    },
    /// The person is back.
    Resumed {
        /// Of the new connection.
        generation: u32,
        /// What the end of the connection before said. `None`: that one was still open, as far as
        /// we knew.
        after: Option<Departure>,
        /// Messages that were sent again.
        replayed: usize,
    },
    /// It is over.
    Ended {
        /// What the backend is told.
        ending: Arc<SessionEnding>,
    },
}
