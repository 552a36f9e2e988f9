//! What a caller may ask for and cannot have.

use std::{error, fmt};

use crate::close_code::CloseCode;
use crate::version::Version;

/// What the caller asked for and cannot have.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UsageError {
    /// Nothing can be sent any more: the connection is closing or over.
    Closed,
    /// Nothing can be sent yet: the handshake is not complete.
    NotOpen,
    /// This code must not be in a Close frame (RFC 6455 §7.4).
    CloseCode(CloseCode),
    /// A reason of so many bytes; 123 fit (§5.5).
    CloseReason(usize),
    /// The hixie versions carry text only.
    NoBinary(Version),
    /// The hixie versions have no Ping.
    NoPing(Version),
    /// So many Pings wait for their Pong that another is not sent.
    TooManyPings(u64),
    /// A request for the client handshake that cannot be written; says what is wrong.
    Request {
        /// Which part: `"host"`, `"target"`, a field's name, …
        part: &'static str,
        /// The value given; for a field's value and for a query, which may be secret, the field's
        /// name and the path.
        value: String,
    },
    /// A field of the client's request that is not the caller's to set.
    Field {
        /// Its name, as it was given.
        name: String,
        /// Why, and what to do.
        why: &'static str,
    },
    /// The answer names a subprotocol that the client did not offer.
    Subprotocol(String),
    /// This field cannot stand in the answer: its name or its value breaks the grammar (RFC 9110
    /// §5.5, §5.6.2).
    AnswerField(String),
}

impl UsageError {
    /// A short word for it that stays the same in all versions, for searches and for programs; the
    /// FAQ of the documentation (`docs/faq/`) has a heading for each.
    #[must_use]
    pub fn id(&self) -> &'static str {
        match self {
            UsageError::Closed => "usage-closed",
            UsageError::NotOpen => "usage-not-open",
            UsageError::CloseCode(_) => "usage-close-code",
            UsageError::CloseReason(_) => "usage-close-reason",
            UsageError::NoBinary(_) => "usage-no-binary",
            UsageError::NoPing(_) => "usage-no-ping",
            UsageError::TooManyPings(_) => "usage-too-many-pings",
            UsageError::Request { .. } => "usage-request",
            UsageError::Field { .. } => "usage-field",
            UsageError::Subprotocol(_) => "usage-subprotocol",
            UsageError::AnswerField(_) => "usage-answer-field",
        }
    }
}

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UsageError::Closed => f.write_str("the connection is closing or over"),
            UsageError::NotOpen => f.write_str("the opening handshake is not complete"),
            UsageError::CloseCode(code) => write!(
                f,
                "close code {code} must not be sent; use 1000-1003, 1007-1014 or 3000-4999"
            ),
            UsageError::CloseReason(len) => {
                write!(f, "a close reason of {len} bytes; at most 123 fit into a Close frame")
            }
            UsageError::NoBinary(version) => {
                write!(f, "{version} has no binary messages; send text")
            }
            UsageError::NoPing(version) => write!(f, "{version} has no Ping"),
            UsageError::TooManyPings(n) => {
                write!(f, "{n} Pings wait for their Pong; wait for one before the next")
            }
            UsageError::Request { part, value } => {
                write!(f, "the request's {part} cannot be sent: {value:?}")
            }
            UsageError::Field { name, why } => {
                write!(f, "the field {name} cannot be set: {why}")
            }
            UsageError::Subprotocol(name) => {
                write!(f, "the client did not offer the subprotocol {name:?}")
            }
            UsageError::AnswerField(name) => {
                write!(f, "the field {name:?} cannot stand in the answer")
            }
        }
    }
}

impl error::Error for UsageError {}
