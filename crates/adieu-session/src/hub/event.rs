//! What the backend is told: CloudEvents 1.0.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::super::wire::{Payload, PayloadText};
use super::super::{SessionId, Timestamp};

/// What an event tells (`type` of CloudEvents).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
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
    /// The first session of a user has started.
    #[serde(rename = "user.joined")]
    UserJoined,
    /// The last session of a user has ended.
    #[serde(rename = "user.left")]
    UserLeft,
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            EventType::SessionStarted => "session.started",
            EventType::SessionEnded => "session.ended",
            EventType::ConnectionLost => "connection.lost",
            EventType::ConnectionResumed => "connection.resumed",
            EventType::Message => "message",
            EventType::UserJoined => "user.joined",
            EventType::UserLeft => "user.left",
        })
    }
}

/// What an event carries.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Data {
    /// What the gateway says.
    Json(Value),
    /// A text message, as the client wrote it.
    Text(String),
    /// A binary message, in base64.
    Binary(String),
}

impl From<&Payload> for Data {
    fn from(payload: &Payload) -> Self {
        match PayloadText::from(payload) {
            PayloadText::Text(text) => Data::Text(text.to_owned()),
            PayloadText::Binary(base64) => Data::Binary(base64),
        }
    }
}

/// An event. It is written down until the backend has taken it, and sent again as it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// Names the event, and in it the session, its number and its type; a repeat has the same.
    pub id: String,
    /// What it tells.
    pub r#type: EventType,
    /// Whose it is; of a user's event, whose start or end brought it about.
    pub session_id: SessionId,
    /// Who that is, where the backend has said so.
    pub user: Option<String>,
    /// Of the connection that counts.
    pub generation: u32,
    /// Its number in the session, from 1, without gaps. `None` for a user's event.
    pub sequence: Option<u64>,
    /// When it happened.
    pub time: Timestamp,
    /// The rest.
    pub data: Data,
}
