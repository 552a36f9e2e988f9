//! Messages in JSON (RFC 8259).

use std::fmt;
use std::future::Future;

use adieu_proto::{Close, CloseCode, Utf8Bytes};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::closed::Closed;
use crate::link::Link;
use crate::socket::sender::send as send_message;
use crate::socket::text::NotText;

/// What can be wrong with a message in JSON.
///
/// A handler may return it. Then the peer is told 1003 for a binary message and 1007 for a text
/// that is not the JSON that was expected: RFC 6455 §7.4.1 has 1007 for "data within a message that
/// was not consistent with the type of the message". A value of our own that cannot be written is
/// 1011, and a connection that is closing anyway is no failure.
#[derive(Debug)]
#[non_exhaustive]
pub enum JsonError {
    /// A binary message came.
    NotText(NotText),
    /// The text that came is no JSON, or not the value that was expected.
    Malformed(serde_json::Error),
    /// The value that was to be sent cannot be written in JSON.
    Unserializable(serde_json::Error),
    /// Nothing can be sent any more.
    Closed(Closed),
}

impl JsonError {
    /// What the peer is told, if the handler fails with it and that does not follow from what it
    /// came from.
    pub(crate) fn close(&self) -> Option<Close> {
        let JsonError::Malformed(_) = self else { return None };
        let code = CloseCode::INVALID_PAYLOAD;
        Some(Close::new(code, "not the JSON that is expected").unwrap_or_else(|_| code.into()))
    }
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JsonError::NotText(error) => error.fmt(f),
            JsonError::Malformed(_) => f.write_str("a message is not the JSON that is expected"),
            JsonError::Unserializable(_) => f.write_str("a value cannot be written in JSON"),
            JsonError::Closed(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for JsonError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(match self {
            JsonError::NotText(error) => error,
            JsonError::Malformed(error) | JsonError::Unserializable(error) => error,
            JsonError::Closed(error) => error,
        })
    }
}

impl From<NotText> for JsonError {
    fn from(error: NotText) -> Self {
        JsonError::NotText(error)
    }
}

impl From<Closed> for JsonError {
    fn from(error: Closed) -> Self {
        JsonError::Closed(error)
    }
}

/// The value that a text says.
pub(super) fn read<T: DeserializeOwned>(text: &Utf8Bytes) -> Result<T, JsonError> {
    serde_json::from_slice(text.as_bytes()).map_err(JsonError::Malformed)
}

/// The value is written at once, so that it need not be kept while the message waits.
pub(super) fn send<'l, T: Serialize + ?Sized>(
    link: &'l Link,
    value: &T,
) -> Result<impl Future<Output = Result<(), JsonError>> + Send + use<'l, T>, JsonError> {
    let text = serde_json::to_string(value).map_err(JsonError::Unserializable)?;
    let sending = send_message(link, text.into());
    Ok(async move { Ok(sending.await?) })
}
