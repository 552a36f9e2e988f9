//! What the Close of a connection means for the session.

use crate::wire::{REFUSED, SUPERSEDED, ends_session};

/// What the Close of a connection means for the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// Nothing: the client comes back.
    Again,
    /// One side said what the other must refuse. Coming back may heal it, but not three times.
    Violation,
    /// A newer connection has the session: its token is never used again.
    Superseded,
    /// The backend does not want this client.
    Refused,
    /// The backend ended the session.
    Ended,
}

impl Meaning {
    /// Of a Close with this code; 1005 for an empty one, 1006 for none.
    ///
    /// ```
    /// use adieu_session::client::Meaning;
    /// assert_eq!(Meaning::of(1001), Meaning::Again);
    /// assert_eq!(Meaning::of(4002), Meaning::Superseded);
    /// ```
    #[must_use]
    pub fn of(code: u16) -> Self {
        match code {
            SUPERSEDED => Meaning::Superseded,
            REFUSED => Meaning::Refused,
            code if ends_session(code) => Meaning::Ended,
            1002 | 1003 | 1007 | 1008 | 1009 => Meaning::Violation,
            _ => Meaning::Again,
        }
    }

    /// As the vectors call it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Meaning::Again => "again",
            Meaning::Violation => "violation",
            Meaning::Superseded => "superseded",
            Meaning::Refused => "refused",
            Meaning::Ended => "ended",
        }
    }
}
