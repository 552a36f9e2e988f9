//! Text where only text is expected.

use std::fmt;

use adieu_proto::{Close, CloseCode};
use bytes::Bytes;

/// A binary message came where only text is expected ([`Socket::recv_text`]).
///
/// A handler that returns it ends the connection with Close 1003, which is for "an endpoint that
/// understands only text data" (RFC 6455 §7.4.1).
///
/// [`Socket::recv_text`]: crate::Socket::recv_text
#[derive(Clone, PartialEq, Eq)]
pub struct NotText {
    bytes: Bytes,
}

impl NotText {
    pub(super) fn new(bytes: Bytes) -> Self {
        NotText { bytes }
    }

    /// The payload of the binary message.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }

    /// What the peer is told, if the handler fails with it.
    pub(crate) fn close(&self) -> Close {
        let code = CloseCode::UNSUPPORTED_DATA;
        Close::new(code, "only text is understood").unwrap_or_else(|_| code.into())
    }
}

impl fmt::Debug for NotText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NotText({} bytes)", self.bytes.len())
    }
}

impl fmt::Display for NotText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a binary message of {} bytes came where text is expected", self.bytes.len())
    }
}

impl std::error::Error for NotText {}
