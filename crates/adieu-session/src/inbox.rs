//! Messages of the client: each is taken once, in order.

use serde::{Deserialize, Serialize};

/// One direction of a session, from the client. Messages count from 1.
///
/// ```
/// use adieu_session::inbox::{Inbox, Verdict};
///
/// let mut inbox = Inbox::default();
/// assert_eq!(inbox.judge(1), Verdict::New);
/// assert_eq!(inbox.judge(1), Verdict::Duplicate);
/// assert_eq!(inbox.judge(3), Verdict::Gap { expected: 2 });
/// assert_eq!(inbox.judge(0), Verdict::Gap { expected: 2 }, "they count from 1");
/// assert_eq!(inbox.received(), 1);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Inbox {
    received: u64,
}

/// What to do with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
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
    /// As it was kept.
    #[must_use]
    pub fn restore(received: u64) -> Self {
        Inbox { received }
    }

    /// The highest sequence id that was taken; 0 = none.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Judges a message by its sequence id, and counts it if it is the one that is due.
    pub fn judge(&mut self, sequence: u64) -> Verdict {
        let expected = self.received + 1;
        if sequence == 0 || sequence > expected {
            return Verdict::Gap { expected };
        }
        if sequence < expected {
            return Verdict::Duplicate;
        }
        self.received = expected;
        Verdict::New
    }
}
