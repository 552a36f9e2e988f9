//! What the backend is told: CloudEvents 1.0.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::super::{SessionId, Timestamp};

/// What an event tells (`type` of CloudEvents).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EventType {
    /// A person is here: before all else of the session.
    #[serde(rename = "session.started")]
    SessionStarted,
    /// The person left: once, last.
    #[serde(rename = "session.ended")]
    SessionEnded,
    /// The connection is gone, the person may come back. Told only if asked for.
    #[serde(rename = "connection.lost")]
    ConnectionLost,
    /// The person came back. Told only if asked for.
    #[serde(rename = "connection.resumed")]
    ConnectionResumed,
    /// The person said something.
    #[serde(rename = "message")]
    Message,
}

/// An event. It is written down until the backend has taken it, and sent again as it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// Names the event; a repeat has the same.
    pub id: String,
    /// What it tells.
    pub r#type: EventType,
    /// Whose it is.
    pub session_id: SessionId,
    /// Of the connection that counts.
    pub generation: u32,
    /// Its number in the session, from 1, without gaps.
    pub sequence: u64,
    /// When it happened.
    pub time: Timestamp,
    /// The rest.
    pub data: Value,
}
