//! A session as it is kept.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::super::ending::ConnectionEnding;
use super::super::event::Meta;
use super::super::rate::Rate;
use super::super::token::Digest;
use super::super::wire::Tag;
use super::super::{Session, Timestamp};

/// What is known of a session, apart from its numbers and its unacknowledged messages.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    /// Where it is.
    pub session: Session,
    /// Its client does not speak adieu.v1: its one connection is all of it.
    pub plain: bool,
    /// As whom the backend knows the person.
    pub user: Option<Arc<str>>,
    /// Where its page is from; only that site may come back to it.
    pub origin: Option<Arc<str>>,
    /// With which credentials it came last.
    pub credentials: Digest,
    /// The nonce of the page that began it, until that page is known to have heard of it.
    pub first: Option<Digest>,
    /// What the backend said of it when it accepted it.
    pub meta: Option<Arc<Meta>>,
    /// When it began.
    pub started: Timestamp,
    /// Connections that it has had.
    pub connections: u32,
    /// How the last connection ended, if it has.
    pub ending: Option<Arc<ConnectionEnding>>,
    /// When its client was told to come back, if the gateway stops.
    pub promised: Option<Timestamp>,
    /// Since when it is waited for: since its last connection ended, or since the last restart.
    pub away_since: Option<Timestamp>,
    /// How long it was waited for before that, in milliseconds: restarts do not renew its time for
    /// ever. Time in which the gateway was down is none of it.
    #[serde(default)]
    pub waited_ms: u64,
}

/// The numbers of a session: all that most messages change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// The highest sequence id of the client that was taken.
    pub received: u64,
    /// The highest sequence id that was given to a message to the client.
    pub sent: u64,
    /// Events that were numbered.
    pub events: u64,
    /// The tag of the last message that is not kept any more.
    pub settled: Tag,
}

/// What is known of the newest connection as long as it lasts.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Live {
    /// The highest sequence id that was sent on it, or that its client had before.
    pub(super) wired: u64,
    /// Since when the page owes an acknowledgement and has said nothing.
    pub(super) owes_since: Option<Timestamp>,
    /// Of the messages of a session that is nobody's.
    pub(super) rate: Rate,
    /// How long the page took to load, as it says, in milliseconds.
    pub(super) load_ms: u32,
}
