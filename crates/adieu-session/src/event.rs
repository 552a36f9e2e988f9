//! What the backend is told: CloudEvents 1.0.

use std::fmt::{self, Write as _};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::ending::{ConnectionEnding, SessionEnding};
use super::wait::Departure;
use super::wire::Payload;
use super::{SessionId, Slot, Timestamp};

/// What a backend has said of a session when it accepted it: each event of the session carries it.
pub type Meta = Map<String, Value>;

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

/// What `session.started` says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionStart {
    /// As whom the backend knows the person.
    pub user_id: Option<Arc<str>>,
    /// Its client does not speak adieu.v1.
    pub plain: bool,
    /// The path of the request that began it.
    #[serde(default)]
    pub path: Arc<str>,
    /// The query behind it.
    #[serde(default)]
    pub query: Option<Arc<str>>,
    /// The id of the `connect` question that was asked about it.
    #[serde(default)]
    pub connect_id: Option<Arc<str>>,
}

/// What `connection.lost` says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConnectionLost {
    /// What the end of the connection said.
    pub departure: Departure,
    /// Until when the person may come back.
    pub until: Timestamp,
    /// How the connection ended; `null` where the gateway was down.
    pub ending: Option<Arc<ConnectionEnding>>,
}

/// What an event carries.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Data {
    /// Of `session.started`.
    Started(Box<SessionStart>),
    /// Of `session.ended`.
    Ended(Arc<SessionEnding>),
    /// Of `connection.lost`.
    Lost(Box<ConnectionLost>),
    /// Of `connection.resumed`.
    Resumed,
    /// Of `user.joined` and `user.left`.
    User {
        /// The user.
        user_id: Arc<str>,
    },
    /// A text message, as the client wrote it.
    Text(String),
    /// A binary message, in base64.
    Binary(String),
}

impl Data {
    /// What the gateway says, as JSON. `None` for a message of the client.
    #[must_use]
    pub fn to_json(&self) -> Option<Vec<u8>> {
        // Strings and numbers: nothing in it can fail.
        Some(match self {
            Data::Started(start) => serde_json::to_vec(start).unwrap_or_default(),
            Data::Ended(ending) => serde_json::to_vec(ending).unwrap_or_default(),
            Data::Lost(lost) => serde_json::to_vec(lost).unwrap_or_default(),
            Data::Resumed => b"{}".to_vec(),
            Data::User { user_id } => {
                serde_json::to_vec(&serde_json::json!({ "userId": user_id })).unwrap_or_default()
            }
            Data::Text(_) | Data::Binary(_) => return None,
        })
    }
}

impl From<Payload> for Data {
    fn from(payload: Payload) -> Self {
        match payload {
            Payload::Text(text) => Data::Text(text),
            Payload::Binary(bytes) => Data::Binary(STANDARD.encode(bytes)),
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
    pub user: Option<Arc<str>>,
    /// What the backend said of the session when it accepted it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub meta: Option<Arc<Meta>>,
    /// Of the connection that counts.
    pub generation: u32,
    /// Its number in the session, from 1, without gaps. `None` for a user's event.
    pub sequence: Option<u64>,
    /// When it happened.
    pub time: Timestamp,
    /// The rest.
    pub data: Data,
}

impl Event {
    /// Bytes that it takes while it waits, about.
    #[must_use]
    pub fn size(&self) -> usize {
        /// What an event takes beside its message: itself, its id, its place in a queue.
        const EVENT: usize = 256;
        let data = match &self.data {
            Data::Text(text) | Data::Binary(text) => text.len(),
            Data::Ended(_) | Data::Lost(_) => 3 * EVENT,
            _ => 0,
        };
        EVENT + data + self.meta.as_deref().map_or(0, meta_size)
    }
}

/// Bytes that it takes as JSON, about.
pub(crate) fn meta_size(meta: &Meta) -> usize {
    meta.iter().map(|(name, value)| name.len() + 4 + value_size(value)).sum()
}

fn value_size(value: &Value) -> usize {
    /// What a number takes, about.
    const NUMBER: usize = 8;
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => NUMBER,
        Value::String(text) => text.len() + 2,
        Value::Array(all) => 2 + all.iter().map(|value| 1 + value_size(value)).sum::<usize>(),
        Value::Object(object) => 2 + meta_size(object),
    }
}

/// What orders events: those of one stream are told one after the other.
#[must_use]
pub fn session_stream(id: SessionId) -> Bytes {
    [b"s", &id.to_bytes()[..]].concat().into()
}

/// What events of a user are ordered by.
#[must_use]
pub fn user_stream(user: &str) -> Bytes {
    [b"u", user.as_bytes()].concat().into()
}

/// Which slot has a stream. `None`: it is none of ours.
#[must_use]
pub fn slot_of_stream(stream: &[u8]) -> Option<Slot> {
    match stream.split_first()? {
        (b's', id) => Some(SessionId::new(id.try_into().ok()?).slot()),
        (b'u', user) => Some(Slot::of_user(std::str::from_utf8(user).ok()?)),
        _ => None,
    }
}

/// The signature of a hook covers this and the body, so this says which event it is.
/// `nonce`: of the write before, where the store may lose writes and give the number out again.
pub(crate) fn event_id(
    id: SessionId,
    sequence: Option<u64>,
    r#type: EventType,
    nonce: Option<u64>,
) -> String {
    let r#type = r#type.to_string().replace('.', "-");
    let mut name = match sequence {
        Some(sequence) => format!("{id}_{sequence}_{type}"),
        None => format!("{id}_{type}"),
    };
    if let Some(nonce) = nonce {
        // A string: writing to it cannot fail.
        let _ = write!(name, "_{nonce:016x}");
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Change;

    #[test]
    fn what_the_backend_said_of_a_session_counts_with_each_of_its_events() {
        let meta = serde_json::json!({ "a": "x".repeat(3_000), "b": [{ "c": "y".repeat(900) }] });
        let event = |meta: Option<&Value>| Event {
            id: String::new(),
            r#type: EventType::Message,
            session_id: SessionId::new([0; 16]),
            user: None,
            meta: meta.and_then(Value::as_object).cloned().map(Arc::new),
            generation: 1,
            sequence: Some(1),
            time: Timestamp(0),
            data: Data::Text("hello".into()),
        };
        let written = serde_json::to_vec(&meta).unwrap().len();
        let of = |meta| {
            let event = Arc::new(event(meta));
            let put = Change::PutEvent { stream: Bytes::new(), sequence: 1, event: event.clone() };
            (event.size(), put.size())
        };
        let (with, without) = (of(Some(&meta)), of(None));
        for counted in [with.0 - without.0, with.1 - without.1] {
            assert!(counted.abs_diff(written) < 50, "{counted} of {written}");
        }
    }
}
