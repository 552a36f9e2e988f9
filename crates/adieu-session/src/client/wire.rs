//! What the gateway says, read, and what a client says, written.

use std::time::Duration;

use adieu_proto::Message;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde::Deserialize;

use crate::wire::{AUTH, FIRST, Fault, FromClient, Payload, RESUME, Tag, binary_tail, object};
use crate::wire::{Typed, text_tail};

/// The first message of the gateway on a connection.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Connected {
    /// The session.
    pub session_id: String,
    /// What to come back with.
    pub reconnection_token: String,
    /// Counts its connections.
    pub generation: u32,
    /// Whether it goes on.
    pub resumed: bool,
    /// If a resume was asked for: why it is a new one.
    #[serde(default)]
    pub reason: Option<String>,
    /// Milliseconds to come back after a loss.
    pub window: u64,
    /// The highest number of the client's that is committed.
    pub sequence_ack: u64,
    /// Milliseconds between two heartbeats; 0 = none.
    #[serde(default)]
    pub heartbeat: u64,
}

impl std::fmt::Debug for Connected {
    /// Without the token.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (id, generation) = (&self.session_id, self.generation);
        write!(f, "Connected({id}, generation {generation}, resumed: {})", self.resumed)
    }
}

/// What the gateway says.
#[derive(Clone, Debug, PartialEq)]
pub enum FromGateway {
    /// The first message.
    Connected(Box<Connected>),
    /// A message of the backend.
    Message {
        /// Its number, from 1.
        sequence_id: u64,
        /// Tells it from another of its number; older gateways have none.
        tag: Option<Tag>,
        /// What it carries.
        message: Message,
    },
    /// All up to this one are committed.
    SequenceAck {
        /// The highest.
        sequence_id: u64,
    },
    /// The gateway goes away: come back in this time.
    Closing {
        /// From now.
        retry_after: Duration,
    },
    /// The backend does not want this client.
    Refused {
        /// What it said.
        reason: String,
    },
    /// The answer to a heartbeat.
    Heartbeat,
    /// A type of a later version: ignored.
    Unknown,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawClosing {
    retry_after: u64,
}

#[derive(Deserialize)]
struct RawRefused {
    #[serde(default)]
    reason: String,
}

impl FromGateway {
    /// Reads a message.
    ///
    /// # Errors
    /// [`Fault`]: what is wrong with it.
    pub fn read(text: &str) -> Result<Self, Fault> {
        let Typed { r#type } = object(text)?;
        Ok(match &*r#type {
            "connected" => FromGateway::Connected(Box::new(connected(text)?)),
            "message" => message(text)?,
            // Both directions write these in the same way.
            "sequenceAck" => match FromClient::read(text)? {
                FromClient::SequenceAck { sequence_id } => FromGateway::SequenceAck { sequence_id },
                _ => FromGateway::Unknown,
            },
            "closing" => {
                let RawClosing { retry_after } = object(text)?;
                FromGateway::Closing { retry_after: Duration::from_millis(retry_after) }
            }
            "refused" => FromGateway::Refused { reason: object::<RawRefused>(text)?.reason },
            "heartbeat" => FromGateway::Heartbeat,
            _ => FromGateway::Unknown,
        })
    }
}

fn connected(text: &str) -> Result<Connected, Fault> {
    let connected: Connected = object(text)?;
    // It becomes part of a header field.
    if is_token(&connected.reconnection_token) {
        Ok(connected)
    } else {
        Err(Fault::NotJson("reconnectionToken is no base64url".into()))
    }
}

fn message(text: &str) -> Result<FromGateway, Fault> {
    let (sequence_id, payload, tag) = crate::wire::numbered::<String>(text)?;
    let tag = tag.and_then(|tag| Tag::read(&tag));
    let message = match payload {
        Payload::Text(text) => Message::from(text),
        Payload::Binary(bytes) => Message::from(bytes),
    };
    Ok(FromGateway::Message { sequence_id, tag, message })
}

/// Characters of a token: what a header field may carry, and no dot.
pub(super) fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|c| c.is_ascii_alphanumeric() || b"-_".contains(&c))
}

/// What a client says, but for messages: those are written by [`numbered`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ToGateway {
    /// All up to this one have come.
    SequenceAck {
        /// The highest.
        sequence_id: u64,
    },
    /// It leaves for good.
    Goodbye,
    /// It lives.
    Heartbeat,
}

impl ToGateway {
    /// As text.
    #[must_use]
    pub fn to_json(self) -> String {
        match self {
            ToGateway::SequenceAck { sequence_id } => {
                format!("{{\"type\":\"sequenceAck\",\"sequenceId\":{sequence_id}}}")
            }
            ToGateway::Goodbye => r#"{"type":"goodbye"}"#.to_owned(),
            ToGateway::Heartbeat => r#"{"type":"heartbeat"}"#.to_owned(),
        }
    }
}

/// The end of a message, which is kept without its number: a message that has not left yet may
/// still get another one.
#[must_use]
pub fn tail(message: &Message) -> String {
    match message.as_text() {
        Some(text) => text_tail(text),
        None => binary_tail(message.as_bytes()),
    }
}

/// A whole message.
#[must_use]
pub fn numbered(sequence_id: u64, tail: &str) -> String {
    format!("{{\"type\":\"message\",\"sequenceId\":{sequence_id},{tail}")
}

#[derive(Deserialize)]
struct RawTail {
    text: Option<String>,
    binary: Option<String>,
}

/// What a kept end of a message carries; `None` if it is not one.
pub(super) fn payload(tail: &str) -> Option<Message> {
    let RawTail { text, binary } = object(&format!("{{{tail}")).ok()?;
    match (text, binary) {
        (Some(text), None) => Some(text.into()),
        (None, Some(binary)) => Some(STANDARD.decode(binary).ok()?.into()),
        _ => None,
    }
}

/// Offered by a client that comes back: with the last message that it received and the last
/// acknowledgement that it was given.
#[must_use]
pub fn resume(token: &str, received: u64, tag: Option<Tag>, acknowledged: u64) -> String {
    let tag = tag.map_or_else(|| "-".to_owned(), |tag| tag.to_string());
    format!("{RESUME}{token}.{received}.{tag}.{acknowledged}")
}

/// Offered by a client that has no token yet.
#[must_use]
pub fn first(nonce: [u8; 16]) -> String {
    format!("{FIRST}{}", URL_SAFE_NO_PAD.encode(nonce))
}

/// Offered by a client that proves who it is.
#[must_use]
pub fn auth(credential: &str) -> String {
    format!("{AUTH}{}", URL_SAFE_NO_PAD.encode(credential))
}
