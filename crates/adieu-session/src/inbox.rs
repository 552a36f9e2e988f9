//! Messages of the client: each is taken once, in order.

use serde::{Deserialize, Serialize};

/// One direction of a session, from the client. Messages count from 1.
///
/// ```
/// use adieu_session::inbox::{Inbox, Judged};
///
/// let mut inbox = Inbox::default();
/// assert_eq!(inbox.judge(1), Judged::New);
/// assert_eq!(inbox.judge(1), Judged::Duplicate);
/// assert_eq!(inbox.judge(3), Judged::Gap { expected: 2 });
/// assert_eq!(inbox.judge(0), Judged::Gap { expected: 2 }, "they count from 1");
/// assert_eq!(inbox.received(), 1);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Inbox {
    received: u64,
}

/// What to do with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judged {
    /// Take it.
    New,
    /// It was taken before: drop it, and acknowledge again.
    Duplicate,
    /// One before it is missing, or it is 0, which none has: the client breaks the protocol.
    Gap {
        /// The one that is due.
        expected: u64,
    },
}

impl Inbox {
    /// The highest sequence id that was taken; 0 = none.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Judges a message by its sequence id, and counts it if it is the one that is due.
    pub fn judge(&mut self, sequence: u64) -> Judged {
        let expected = self.received + 1;
        if sequence == 0 || sequence > expected {
            return Judged::Gap { expected };
        }
        if sequence < expected {
            return Judged::Duplicate;
        }
        self.received = expected;
        Judged::New
    }
}
