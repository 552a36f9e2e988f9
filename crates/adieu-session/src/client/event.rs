//! What a client tells its application.

use std::fmt;
use std::time::Duration;

use adieu_proto::Message;

/// What happened to a session, in order.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// A new session begins.
    Started {
        /// Its name.
        session_id: String,
    },
    /// The session goes on with a new connection.
    Resumed {
        /// Its name.
        session_id: String,
        /// Counts its connections, from 1.
        generation: u32,
    },
    /// A message came.
    Message(Message),
    /// There is no connection; it will be tried again.
    Interrupted {
        /// Of the Close; 1006 if there was none.
        code: u16,
        /// What was said about it, or the error.
        reason: String,
        /// Until the next try.
        retry_in: Duration,
    },
    /// A session is over.
    Ended(Ended),
    /// What a restart of this process should survive could not be kept. It is sent all the same,
    /// and this is told once until keeping succeeds again.
    NotKept {
        /// Why.
        error: String,
    },
}

/// How a session ended.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Ended {
    /// Empty if there was none yet.
    pub session_id: String,
    /// Why.
    pub reason: EndedReason,
    /// Of the Close; 1006 if there was none.
    pub code: u16,
    /// What was said about it; may be empty.
    pub text: String,
    /// A new session begins now: the gateway could not resume the old one.
    pub restarts: bool,
    /// What was sent and not acknowledged, in order: it may have arrived or not.
    pub unacknowledged: Vec<Message>,
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the session is over: {} (code {}", self.reason, self.code)?;
        if !self.text.is_empty() {
            write!(f, ", {:?}", self.text)?;
        }
        f.write_str(")")
    }
}

/// Why a session is over for this client.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EndedReason {
    /// The client said goodbye. Code 1006: the gateway did not answer.
    Goodbye,
    /// The client closed it. Code 1006: the gateway did not answer.
    Closed,
    /// The backend ended it.
    Backend,
    /// The backend refused the connection, or (`restarts`) to resume the session.
    Refused,
    /// Another client has it.
    Superseded,
    /// The server did not select adieu.v1.
    Unsupported,
    /// Three connections in a row ended because one side sent what the other must refuse.
    Violation,
    /// It could not be resumed: too late.
    Expired,
    /// It could not be resumed: the gateway does not know the token.
    Invalid,
    /// It could not be resumed: a newer token of the session is in use.
    Stale,
    /// It could not be resumed: messages are missing that are not kept any more.
    Lost,
    /// It could not be resumed: the backend knows the client as another user now.
    Replaced,
    /// It could not be resumed: it began on another site.
    Origin,
    /// It could not be resumed, for a reason of a later version.
    Other(String),
}

impl EndedReason {
    /// As `connected` says it.
    #[must_use]
    pub fn not_resumed(word: &str) -> Self {
        match word {
            "expired" => EndedReason::Expired,
            "invalid" => EndedReason::Invalid,
            "stale" => EndedReason::Stale,
            "lost" => EndedReason::Lost,
            "refused" => EndedReason::Refused,
            "replaced" => EndedReason::Replaced,
            "origin" => EndedReason::Origin,
            other => EndedReason::Other(other.to_owned()),
        }
    }

    /// As the browser's client calls it.
    #[must_use]
    pub fn word(&self) -> &str {
        match self {
            EndedReason::Goodbye => "goodbye",
            EndedReason::Closed => "closed",
            EndedReason::Backend => "backend",
            EndedReason::Refused => "refused",
            EndedReason::Superseded => "superseded",
            EndedReason::Unsupported => "unsupported",
            EndedReason::Violation => "violation",
            EndedReason::Expired => "expired",
            EndedReason::Invalid => "invalid",
            EndedReason::Stale => "stale",
            EndedReason::Lost => "lost",
            EndedReason::Replaced => "replaced",
            EndedReason::Origin => "origin",
            EndedReason::Other(word) => word,
        }
    }
}

impl fmt::Display for EndedReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}
