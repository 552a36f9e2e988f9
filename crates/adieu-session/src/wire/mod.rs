//! adieu.v1: JSON in text messages. docs/sessions.md describes it for who writes a client.

mod fault;
mod final_close;
mod offer;
mod tag;

use std::borrow::Cow;
use std::fmt;

use adieu_proto::Message;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

pub use fault::{Fault, close};
pub(crate) use final_close::ends_session;
pub use final_close::{FinalClose, NotFinal};
pub use offer::{Nonce, Offer, Resume};
pub use tag::Tag;

use super::token::SessionId;

/// The subprotocol (RFC 6455 §1.9).
pub const SUBPROTOCOL: &str = "adieu.v1";

/// Offered beside it: `adieu.resume.TOKEN.N.TAG.A`. Header fields are not logged as URLs are.
pub const RESUME: &str = "adieu.resume.";

/// Offered beside it by a page that has no token yet: `adieu.first.NONCE`.
pub const FIRST: &str = "adieu.first.";

/// Offered beside it: `adieu.auth.BASE64URL`, a credential for the backend.
pub const AUTH: &str = "adieu.auth.";

/// Offered beside it by a client that wants its messages uncompressed, although the WebSocket that
/// carries them offers compression: a browser's page cannot change what its browser offers.
pub const UNCOMPRESSED: &str = "adieu.uncompressed";

/// The page is hidden or going, and may return; a program is detached.
pub const MAY_RETURN: u16 = 4001;
/// A newer connection has the session.
pub const SUPERSEDED: u16 = 4002;
/// The backend ended the session, without a code of its own.
pub const SESSION_ENDED: u16 = 4003;
/// The backend refused the connection.
pub const REFUSED: u16 = 4004;
/// The client gave the connection up, because nothing was heard on it.
pub const CONNECTION_LOST: u16 = 4005;
/// Come back later (the IANA registry of close codes): the backend has not answered.
pub const TRY_AGAIN_LATER: u16 = 1013;
/// More waits for the client than is kept: 1008, and what it lacks may be `lost`.
pub const TOO_SLOW: u16 = 1008;

/// Bytes of a payload at most, either way.
pub const MAX_PAYLOAD: usize = 1024 * 1024;

/// Bytes of a message at most: JSON writes some characters in six, and says more than the payload.
pub const MAX_MESSAGE: usize = 6 * MAX_PAYLOAD + 1024;

/// A payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// `text`.
    Text(String),
    /// `binary`, base64 on the wire.
    Binary(Vec<u8>),
}

impl Payload {
    /// What a client that does not speak adieu.v1 said.
    ///
    /// # Errors
    /// [`Fault::TooLarge`].
    pub fn of(message: &Message) -> Result<Self, Fault> {
        match message {
            Message::Text(text) => Payload::Text(text.to_string()),
            Message::Binary(bytes) => Payload::Binary(bytes.to_vec()),
        }
        .fits()
    }

    /// Bytes that it carries.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Payload::Text(text) => text.len(),
            Payload::Binary(bytes) => bytes.len(),
        }
    }

    /// Whether it carries none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn fits(self) -> Result<Self, Fault> {
        let came = self.len();
        if came > MAX_PAYLOAD { Err(Fault::TooLarge { came }) } else { Ok(self) }
    }
}

/// What a client says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FromClient {
    /// A message to the backend.
    Message {
        /// Its number, from 1.
        sequence_id: u64,
        /// What it carries.
        payload: Payload,
    },
    /// All up to this one have come.
    SequenceAck {
        /// The highest.
        sequence_id: u64,
    },
    /// It leaves for good.
    Goodbye,
    /// The page lives.
    Heartbeat,
    /// The page is there after a load: how long that took.
    Loaded {
        /// Milliseconds.
        ms: u64,
    },
    /// A type of a later version: ignored.
    Unknown,
}

/// What decides how the rest is read.
#[derive(Deserialize)]
pub(crate) struct Typed<'a> {
    #[serde(borrow)]
    pub(crate) r#type: Cow<'a, str>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawMessage<'a, T> {
    sequence_id: Option<u64>,
    text: Option<WellFormed>,
    #[serde(borrow)]
    binary: Option<Cow<'a, str>>,
    tag: Option<T>,
}

/// Reads a message of either side: its number, what it carries, and its tag.
pub(crate) fn numbered<'a, T: Deserialize<'a>>(
    text: &'a str,
) -> Result<(u64, Payload, Option<T>), Fault> {
    let raw: RawMessage<'_, T> = object(text)?;
    let sequence_id = raw.sequence_id.ok_or(Fault::Missing("sequenceId"))?;
    let payload = match (raw.text, raw.binary) {
        (Some(WellFormed(text)), None) => Payload::Text(text),
        (None, Some(binary)) => {
            Payload::Binary(STANDARD.decode(&*binary).map_err(|_| Fault::NotBase64)?)
        }
        (None, None) => return Err(Fault::Missing("text or binary")),
        (Some(_), Some(_)) => return Err(Fault::TwoPayloads),
    };
    Ok((sequence_id, payload.fits()?, raw.tag))
}

/// A text in which half of a surrogate pair is U+FFFD, as `WebSocket.send` makes it: JavaScript's
/// strings may have one (when an emoji is cut in two), and `JSON.stringify` writes it as it is.
struct WellFormed(String);

impl<'de> Deserialize<'de> for WellFormed {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl serde::de::Visitor<'_> for Text {
            type Value = WellFormed;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<WellFormed, E> {
                Ok(WellFormed(well_formed(bytes)))
            }
        }
        // As bytes, for there halves of pairs are let through, in the form of three bytes each.
        deserializer.deserialize_bytes(Text)
    }
}

fn well_formed(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Err(error) = std::str::from_utf8(rest) {
        let (good, bad) = rest.split_at(error.valid_up_to());
        text.push_str(std::str::from_utf8(good).unwrap_or_default());
        text.push(char::REPLACEMENT_CHARACTER);
        rest = &bad[bad.len().min(3)..];
    }
    text.push_str(std::str::from_utf8(rest).unwrap_or_default());
    text
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawAck {
    sequence_id: Option<u64>,
}

#[derive(Deserialize)]
struct RawLoaded {
    /// JavaScript's clocks have fractions of a millisecond.
    ms: Option<f64>,
}

/// Reads an object: serde would take an array of its fields too.
pub(crate) fn object<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, Fault> {
    if !text.trim_start().starts_with('{') {
        return Err(Fault::NotJson("it does not begin with {".into()));
    }
    serde_json::from_str(text).map_err(|error| Fault::NotJson(error.to_string()))
}

impl FromClient {
    /// Reads a message of the connection.
    ///
    /// # Errors
    /// [`Fault`]: what is wrong with it.
    pub fn of(message: &Message) -> Result<Self, Fault> {
        message.as_text().ok_or(Fault::Binary).and_then(Self::read)
    }

    /// Reads a message.
    ///
    /// # Errors
    /// [`Fault`]: what is wrong with it.
    pub fn read(text: &str) -> Result<Self, Fault> {
        let Typed { r#type } = object(text)?;
        Ok(match &*r#type {
            "message" => {
                // A client's has no tag: it is ignored like all that is unknown.
                let (sequence_id, payload, _) = numbered::<serde::de::IgnoredAny>(text)?;
                FromClient::Message { sequence_id, payload }
            }
            "sequenceAck" => {
                let sequence_id = object::<RawAck>(text)?.sequence_id;
                let sequence_id = sequence_id.ok_or(Fault::Missing("sequenceId"))?;
                FromClient::SequenceAck { sequence_id }
            }
            "goodbye" => FromClient::Goodbye,
            "heartbeat" => FromClient::Heartbeat,
            "loaded" => {
                let ms = object::<RawLoaded>(text)?.ms.ok_or(Fault::Missing("ms"))?;
                FromClient::Loaded { ms: ms as u64 }
            }
            _ => FromClient::Unknown,
        })
    }
}

/// Why a session was not resumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NotResumed {
    /// It came back too late, or the session is over.
    Expired,
    /// No token of this gateway.
    Invalid,
    /// A newer token of the session is in use.
    Stale,
    /// What the client lacks is not kept any more, or it claims what was never sent.
    Lost,
    /// The backend said no.
    Refused,
    /// The backend said that another user is there now: that user's session begins.
    Replaced,
    /// Another site's page.
    Origin,
}

impl NotResumed {
    /// As it stands in `connected`.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            NotResumed::Expired => "expired",
            NotResumed::Invalid => "invalid",
            NotResumed::Stale => "stale",
            NotResumed::Lost => "lost",
            NotResumed::Refused => "refused",
            NotResumed::Replaced => "replaced",
            NotResumed::Origin => "origin",
        }
    }
}

/// What the gateway says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum ToClient<'a> {
    /// The first message.
    Connected {
        /// The session.
        session_id: SessionId,
        /// What to come back with.
        reconnection_token: &'a str,
        /// Of this connection.
        generation: u32,
        /// Whether it goes on.
        resumed: bool,
        /// If a resume was asked for: why it is a new one.
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<NotResumed>,
        /// Milliseconds to come back after a loss.
        window: u64,
        /// The highest of the client's that is committed.
        sequence_ack: u64,
        /// Milliseconds between two heartbeats of the page; 0 = none.
        heartbeat: u64,
    },
    /// All up to this one are committed.
    SequenceAck {
        /// The highest.
        sequence_id: u64,
    },
    /// We go away: come back in so many milliseconds.
    Closing {
        /// Milliseconds.
        retry_after: u64,
    },
    /// The backend does not want this client.
    Refused {
        /// What it said.
        reason: &'a str,
    },
    /// The answer to the page's.
    Heartbeat,
}

/// A message to a client, as it is kept and sent: its payload is written as JSON once, however many
/// sessions it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tail(Bytes);

impl Tail {
    /// `"text":"…"}` or `"binary":"…"}`: what stands behind the number and the tag.
    #[must_use]
    pub fn of(payload: &Payload) -> Self {
        let tail = match payload {
            Payload::Text(text) => text_tail(text),
            Payload::Binary(bytes) => binary_tail(bytes),
        };
        Tail(tail.into())
    }

    /// As it was kept.
    #[must_use]
    pub fn restored(bytes: Bytes) -> Self {
        Tail(bytes)
    }

    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.0
    }

    /// As a client gets it that does not speak adieu.v1. `None`: it is none of ours.
    #[must_use]
    pub fn plain(&self) -> Option<Message> {
        #[derive(Deserialize)]
        #[serde(rename_all = "lowercase")]
        enum Of {
            Text(String),
            Binary(String),
        }
        let json = [b"{", &self.0[..]].concat();
        Some(match serde_json::from_slice(&json).ok()? {
            Of::Text(text) => Message::from(text),
            Of::Binary(base64) => Message::from(STANDARD.decode(base64).ok()?),
        })
    }

    /// The whole message.
    #[must_use]
    pub fn message(&self, sequence_id: u64, tag: Tag) -> Message {
        // Written by us as text.
        let tail = std::str::from_utf8(&self.0).unwrap_or_default();
        Message::from(format!(
            "{{\"type\":\"message\",\"sequenceId\":{sequence_id},\"tag\":\"{tag}\",{tail}"
        ))
    }
}

/// How a message with a text ends.
pub(crate) fn text_tail(text: &str) -> String {
    // A string: nothing in it can fail.
    format!("\"text\":{}}}", serde_json::to_string(text).unwrap_or_default())
}

/// How a message with bytes ends.
pub(crate) fn binary_tail(bytes: &[u8]) -> String {
    format!("\"binary\":\"{}\"}}", STANDARD.encode(bytes))
}

impl ToClient<'_> {
    /// As text.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Strings and numbers: nothing in it can fail.
        serde_json::to_string(self).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use adieu_proto::CloseCode;

    use super::fault::MAX_REASON;
    use super::*;

    #[test]
    fn what_a_client_says_is_read() {
        let message = |sequence_id, payload| Ok(FromClient::Message { sequence_id, payload });
        let cases = [
            (
                r#"{"type":"message","sequenceId":5,"text":"grüß \"Gott\"","more":[1]}"#,
                message(5, Payload::Text("grüß \"Gott\"".into())),
            ),
            (
                r#"{"type":"message","sequenceId":1,"text":"a\ud83d b\udc00\ud83d\ude00"}"#,
                message(1, Payload::Text("a\u{FFFD} b\u{FFFD}\u{1F600}".into())),
            ),
            (
                r#"{"sequenceId":1,"type":"message","binary":"AQID"}"#,
                message(1, Payload::Binary(vec![1, 2, 3])),
            ),
            (
                r#"{"type":"sequenceAck","sequenceId":9}"#,
                Ok(FromClient::SequenceAck { sequence_id: 9 }),
            ),
            (r#"{"type":"goodbye"}"#, Ok(FromClient::Goodbye)),
            (r#"{"type":"heartbeat"}"#, Ok(FromClient::Heartbeat)),
            (r#"{"type":"loaded","ms":812.5}"#, Ok(FromClient::Loaded { ms: 812 })),
            (r#"{"type":"of tomorrow"}"#, Ok(FromClient::Unknown)),
            (r#"{"type":"later","text":1,"sequenceId":"a"}"#, Ok(FromClient::Unknown)),
        ];
        for (text, want) in cases {
            assert_eq!(FromClient::read(text), want, "{text}");
        }
    }

    #[test]
    fn what_is_no_message_has_a_clear_fault_and_a_close() {
        let cases = [
            ("", "no JSON object"),
            ("[]", "no JSON object"),
            (r#"["goodbye",null,null,null]"#, "no JSON object"),
            ("{}", "missing field `type`"),
            (r#"{"type":"message","text":"a"}"#, "sequenceId is missing"),
            (r#"{"type":"message","sequenceId":-1,"text":"a"}"#, "invalid value"),
            (r#"{"type":"message","sequenceId":1}"#, "text or binary is missing"),
            (r#"{"type":"message","sequenceId":1,"text":7}"#, "expected a string"),
            (r#"{"type":"message","sequenceId":1,"text":[65]}"#, "expected a string"),
            (r#"{"type":"message","sequenceId":1,"text":"a","binary":""}"#, "not both"),
            (r#"{"type":"message","sequenceId":1,"binary":"*"}"#, "no base64"),
            (r#"{"type":"sequenceAck"}"#, "sequenceId is missing"),
        ];
        for (text, want) in cases {
            let fault = FromClient::read(text).unwrap_err();
            assert!(fault.to_string().contains(want), "{text}: {fault}");
            assert_eq!(fault.close().code(), Some(CloseCode::INVALID_PAYLOAD), "{text}");
        }
        let gap = Fault::Gap { expected: 2, came: 4 }.close();
        assert_eq!(gap.to_string(), "1008 (policy violation) \"message 2 is missing before 4\"");
        let long = Fault::NotJson("é".repeat(100)).close();
        assert!(long.reason().len() <= MAX_REASON, "{long}");
    }

    #[test]
    fn what_the_gateway_says_is_written_as_documented() {
        let connected = ToClient::Connected {
            session_id: SessionId::new([0; 16]),
            reconnection_token: "t",
            generation: 2,
            resumed: false,
            reason: Some(NotResumed::Stale),
            window: 15_000,
            sequence_ack: 12,
            heartbeat: 20_000,
        };
        assert_eq!(
            connected.to_json(),
            [
                r#"{"type":"connected","sessionId":"AAAAAAAAAAAAAAAAAAAAAA","#,
                r#""reconnectionToken":"t","generation":2,"resumed":false,"reason":"stale","#,
                r#""window":15000,"sequenceAck":12,"heartbeat":20000}"#
            ]
            .concat()
        );
        let message = Tail::of(&Payload::Binary(vec![1, 2, 3])).message(1, Tag::new([0; 6]));
        let want = r#"{"type":"message","sequenceId":1,"tag":"AAAAAAAA","binary":"AQID"}"#;
        assert_eq!(message.as_text(), Some(want));
        let message = Tail::of(&Payload::Text("\"a".into())).message(2, Tag::new([0; 6]));
        let want = r#"{"type":"message","sequenceId":2,"tag":"AAAAAAAA","text":"\"a"}"#;
        assert_eq!(message.as_text(), Some(want));
        let cases = [
            (ToClient::SequenceAck { sequence_id: 3 }, r#"{"type":"sequenceAck","sequenceId":3}"#),
            (ToClient::Closing { retry_after: 42 }, r#"{"type":"closing","retryAfter":42}"#),
            (ToClient::Refused { reason: "no" }, r#"{"type":"refused","reason":"no"}"#),
            (ToClient::Heartbeat, r#"{"type":"heartbeat"}"#),
        ];
        for (said, want) in cases {
            assert_eq!(said.to_json(), want);
        }
    }
}
