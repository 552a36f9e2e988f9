//! adieu.v1: JSON in text messages. docs/sessions.md describes it for who writes a client.

use std::borrow::Cow;
use std::fmt;

use adieu_proto::{Close, CloseCode, Message};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::token::SessionId;

/// The subprotocol (RFC 6455 §1.9).
pub const SUBPROTOCOL: &str = "adieu.v1";

/// Offered beside it: `adieu.resume.TOKEN.N`. Header fields are not logged as URLs are.
pub const RESUME: &str = "adieu.resume.";

/// A newer connection has the session.
pub const SUPERSEDED: u16 = 4002;
/// The backend ended the session, without a code of its own.
pub const SESSION_ENDED: u16 = 4003;
/// The backend refused the connection.
pub const REFUSED: u16 = 4004;
/// More waits for the client than is kept: 1008, and what it lacks may be `lost`.
pub const TOO_SLOW: u16 = 1008;

/// Bytes of a payload at most, either way.
pub const MAX_PAYLOAD: usize = 1024 * 1024;

/// Bytes of a message at most: JSON writes some characters in six, and says more than the payload.
pub const MAX_MESSAGE: usize = 6 * MAX_PAYLOAD + 1024;

/// What a client offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// To come back to a session.
    pub resume: Option<Resume>,
}

/// How a client wants to come back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resume {
    /// Its token, not verified.
    pub token: String,
    /// The highest sequence id that it has received.
    pub received: u64,
}

impl Offer {
    /// Reads the subprotocols of a request. `None` if adieu.v1 is not among them. What is not
    /// written as it should be has a token that is none, so that the client hears `invalid`.
    ///
    /// ```
    /// use adieu_session::wire::Offer;
    /// let offer = Offer::read(["adieu.v1", "adieu.resume.abc.7"]).unwrap();
    /// assert_eq!(offer.resume.unwrap().received, 7);
    /// assert_eq!(Offer::read(["chat"]), None);
    /// ```
    pub fn read<'a>(offered: impl IntoIterator<Item = &'a str> + Clone) -> Option<Self> {
        offered.clone().into_iter().find(|name| *name == SUBPROTOCOL)?;
        let resume = offered.into_iter().find_map(|name| name.strip_prefix(RESUME));
        let resume = resume.map(|resume| {
            let parts = resume.split_once('.');
            let read = parts.and_then(|(token, n)| Some((token, number(n)?)));
            let (token, received) = read.unwrap_or_default();
            Resume { token: token.to_owned(), received }
        });
        Some(Offer { resume })
    }
}

/// Digits alone: what `parse` takes beside them (`+5`) is no number here.
fn number(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

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

    fn fits(self) -> Result<Self, Fault> {
        let came = match &self {
            Payload::Text(text) => text.len(),
            Payload::Binary(bytes) => bytes.len(),
        };
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
    /// A type of a later version: ignored.
    Unknown,
}

/// What is no message of adieu.v1, or breaks its rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A binary message: adieu.v1 is text.
    Binary,
    /// No JSON object; what the parser said.
    NotJson(String),
    /// This field is missing.
    Missing(&'static str),
    /// Both `text` and `binary`.
    TwoPayloads,
    /// `binary` is no base64.
    NotBase64,
    /// A payload of more than [`MAX_PAYLOAD`].
    TooLarge {
        /// Its bytes.
        came: usize,
    },
    /// A message is missing before this one.
    Gap {
        /// The one that was due.
        expected: u64,
        /// The one that came.
        came: u64,
    },
    /// An acknowledgement of what was never sent.
    Future {
        /// The highest that was sent.
        sent: u64,
        /// What was acknowledged.
        came: u64,
    },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Binary => f.write_str("adieu.v1 is text; a binary message came"),
            Fault::NotJson(error) => write!(f, "no JSON object with a type: {error}"),
            Fault::Missing(field) => write!(f, "{field} is missing"),
            Fault::TwoPayloads => f.write_str("a message has text or binary, not both"),
            Fault::NotBase64 => f.write_str("binary is no base64"),
            Fault::TooLarge { came } => {
                write!(f, "a message has {MAX_PAYLOAD} bytes at most, {came} came")
            }
            Fault::Gap { came: 0, .. } => f.write_str("sequenceIds count from 1; 0 came"),
            Fault::Gap { expected, came } => {
                write!(f, "message {expected} is missing before {came}")
            }
            Fault::Future { sent, came } => {
                write!(f, "{came} acknowledged, but only {sent} sent")
            }
        }
    }
}

/// Bytes of a Close's reason at most (RFC 6455 §5.5).
const MAX_REASON: usize = 123;

impl Fault {
    /// The Close that answers it: 1007 for what cannot be read, 1008 for what breaks the rules,
    /// 1009 for what is too large.
    #[must_use]
    pub fn close(&self) -> Close {
        let code = match self {
            Fault::Gap { .. } | Fault::Future { .. } => CloseCode::POLICY_VIOLATION,
            Fault::TooLarge { .. } => CloseCode::MESSAGE_TOO_BIG,
            _ => CloseCode::INVALID_PAYLOAD,
        };
        close(code.get(), &self.to_string())
    }
}

/// A Close with as much of the reason as fits; 1000 without one if the code may not be sent.
pub fn close(code: u16, reason: &str) -> Close {
    let mut end = reason.len().min(MAX_REASON);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    Close::new(code, &reason[..end]).unwrap_or_else(|_| CloseCode::NORMAL.into())
}

/// What decides how the rest is read.
#[derive(Deserialize)]
struct Typed<'a> {
    #[serde(borrow)]
    r#type: Cow<'a, str>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawMessage<'a> {
    sequence_id: Option<u64>,
    text: Option<WellFormed>,
    #[serde(borrow)]
    binary: Option<Cow<'a, str>>,
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

/// Reads an object: serde would take an array of its fields too.
fn object<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, Fault> {
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
                let raw: RawMessage<'_> = object(text)?;
                FromClient::Message {
                    sequence_id: raw.sequence_id.ok_or(Fault::Missing("sequenceId"))?,
                    payload: match (raw.text, raw.binary) {
                        (Some(WellFormed(text)), None) => Payload::Text(text),
                        (None, Some(binary)) => Payload::Binary(
                            STANDARD.decode(&*binary).map_err(|_| Fault::NotBase64)?,
                        ),
                        (None, None) => return Err(Fault::Missing("text or binary")),
                        (Some(_), Some(_)) => return Err(Fault::TwoPayloads),
                    }
                    .fits()?,
                }
            }
            "sequenceAck" => {
                let sequence_id = object::<RawAck>(text)?.sequence_id;
                let sequence_id = sequence_id.ok_or(Fault::Missing("sequenceId"))?;
                FromClient::SequenceAck { sequence_id }
            }
            "goodbye" => FromClient::Goodbye,
            "heartbeat" => FromClient::Heartbeat,
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
    /// A message of the backend.
    Message {
        /// Its number, from 1.
        sequence_id: u64,
        /// What it carries.
        #[serde(flatten)]
        payload: PayloadText<'a>,
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

/// A payload as it stands in JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum PayloadText<'a> {
    /// As it is.
    Text(&'a str),
    /// In base64.
    Binary(String),
}

impl<'a> From<&'a Payload> for PayloadText<'a> {
    fn from(payload: &'a Payload) -> Self {
        match payload {
            Payload::Text(text) => PayloadText::Text(text),
            Payload::Binary(bytes) => PayloadText::Binary(STANDARD.encode(bytes)),
        }
    }
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
    use super::*;

    #[test]
    fn an_offer_is_read_from_the_subprotocols() {
        let resume = |token: &str, received| Some(Resume { token: token.into(), received });
        let read = |second| Offer::read(["chat", second, SUBPROTOCOL]).unwrap().resume;
        assert_eq!(read("other"), None);
        assert_eq!(read("adieu.resume.t0k-en_.12"), resume("t0k-en_", 12));
        for wrong in [
            "adieu.resume.",
            "adieu.resume.t",
            "adieu.resume.t.",
            "adieu.resume.t.-1",
            "adieu.resume.t.+1",
        ] {
            assert_eq!(read(wrong), resume("", 0), "{wrong}");
        }
        assert_eq!(Offer::read(["adieu.resume.t.1"]), None, "without the protocol itself");
    }

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
        let payload = Payload::Binary(vec![1, 2, 3]);
        let message = ToClient::Message { sequence_id: 1, payload: (&payload).into() };
        assert_eq!(message.to_json(), r#"{"type":"message","sequenceId":1,"binary":"AQID"}"#);
        let payload = Payload::Text("a".into());
        let message = ToClient::Message { sequence_id: 2, payload: (&payload).into() };
        assert_eq!(message.to_json(), r#"{"type":"message","sequenceId":2,"text":"a"}"#);
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
