//! A session as it stands in the store.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::super::inbox::Inbox;
use super::super::outbox::Outbox;
use super::super::{Session, Timestamp};

/// The first byte of a row: what an older version would misread has another.
const VERSION: u8 = 1;

/// What is known of a session, apart from its unacknowledged messages.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Row {
    pub(super) session: Session,
    /// Its client does not speak adieu.v1: its one connection is all of it.
    pub(super) plain: bool,
    pub(super) user: Option<String>,
    /// Where its page is from; only that site may come back to it.
    pub(super) origin: Option<String>,
    pub(super) started: Timestamp,
    /// Connections that it has had.
    pub(super) connections: u32,
    /// Messages of the client that were taken.
    pub(super) inbox: Inbox,
    /// The highest sequence id that was given to a message to the client.
    pub(super) sent: u64,
    /// Events that were numbered.
    pub(super) events: u64,
    /// The account of the last connection, if that has ended.
    pub(super) account: Option<Value>,
    /// When its client was told to come back, if the gateway stops.
    pub(super) promised: Option<Timestamp>,
}

impl Row {
    pub(super) fn to_bytes(&self) -> Bytes {
        let mut bytes = vec![VERSION];
        // Strings, numbers and JSON: nothing in it can fail.
        bytes.extend(serde_json::to_vec(self).unwrap_or_default());
        bytes.into()
    }

    /// `None` if it is not one of this version's.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let (version, json) = bytes.split_first()?;
        (*version == VERSION).then(|| serde_json::from_slice(json).ok())?
    }
}

/// A session in memory.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) row: Row,
    pub(super) outbox: Outbox,
    pub(super) live: Live,
}

/// What is known of the newest connection as long as it lasts.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Live {
    /// The highest sequence id that was sent on it, or that its client had before.
    pub(super) wired: u64,
    /// Since when the page owes an acknowledgement and has said nothing.
    pub(super) owes_since: Option<Timestamp>,
}
