//! What a process leaves to the next one.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::limits::DEFAULT_WINDOW;
use crate::Timestamp;
use crate::wire::Tag;

/// What a process has to keep to go on with its session after a restart: the token, the numbers,
/// and the messages that the gateway has not acknowledged. Whoever has it has the session: keep it
/// as you keep a password. It is written by serde; its form may get more fields.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Saved {
    /// 128 random bits, offered until there is a token.
    pub(super) nonce: Option<[u8; 16]>,
    /// When the nonce was made.
    pub(super) nonce_made_at: Timestamp,
    pub(super) session_id: Option<String>,
    pub(super) token: Option<String>,
    /// The highest number that the application has received, and the tag of that message.
    pub(super) received: u64,
    pub(super) tag: Option<Tag>,
    /// The highest number of ours that was acknowledged.
    pub(super) acknowledged: u64,
    /// For how long the gateway keeps the session, ms.
    pub(super) window: u64,
    /// Ends of messages, in order.
    pub(super) messages: Vec<String>,
}

impl Default for Saved {
    fn default() -> Self {
        Saved {
            nonce: None,
            nonce_made_at: Timestamp(0),
            session_id: None,
            token: None,
            received: 0,
            tag: None,
            acknowledged: 0,
            window: DEFAULT_WINDOW.as_secs() * 1_000,
            messages: Vec::new(),
        }
    }
}

impl Saved {
    /// The session, if the gateway has named one.
    #[must_use]
    pub fn session_id(&self) -> Option<&str> {
        self.session_id.as_deref()
    }

    /// How many messages wait for the gateway's acknowledgement.
    #[must_use]
    pub fn unacknowledged(&self) -> usize {
        self.messages.len()
    }
}

impl fmt::Debug for Saved {
    /// Without the token and the messages.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Saved")
            .field("session_id", &self.session_id)
            .field("received", &self.received)
            .field("acknowledged", &self.acknowledged)
            .field("unacknowledged", &self.messages.len())
            .finish_non_exhaustive()
    }
}
