//! What a report tells of HTTP/2 (RFC 9113): the stream that carried a WebSocket (RFC 8441), and
//! the connection below it.

use std::fmt;

use crate::close::End;

/// The error code of an RST_STREAM or of a GOAWAY (RFC 9113 §7).
///
/// ```
/// use adieu_proto::Http2ErrorCode;
/// assert_eq!(Http2ErrorCode::CANCEL.to_string(), "CANCEL");
/// assert_eq!(Http2ErrorCode(0x99).to_string(), "unknown code 0x99");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Http2ErrorCode(pub u32);

/// Names of the codes, in the order of their numbers.
const NAMES: [&str; 14] = [
    "NO_ERROR",
    "PROTOCOL_ERROR",
    "INTERNAL_ERROR",
    "FLOW_CONTROL_ERROR",
    "SETTINGS_TIMEOUT",
    "STREAM_CLOSED",
    "FRAME_SIZE_ERROR",
    "REFUSED_STREAM",
    "CANCEL",
    "COMPRESSION_ERROR",
    "CONNECT_ERROR",
    "ENHANCE_YOUR_CALM",
    "INADEQUATE_SECURITY",
    "HTTP_1_1_REQUIRED",
];

impl Http2ErrorCode {
    /// Nothing is wrong: the stream, or the connection, is not needed any more.
    pub const NO_ERROR: Self = Http2ErrorCode(0);
    /// The stream is not needed any more. Chromium says this of a page that is reloaded or closed.
    pub const CANCEL: Self = Http2ErrorCode(8);

    /// Its name in RFC 9113 §7; `None` for a code that has none.
    #[must_use]
    pub fn name(self) -> Option<&'static str> {
        NAMES.get(usize::try_from(self.0).ok()?).copied()
    }
}

impl fmt::Display for Http2ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "unknown code {:#x}", self.0),
        }
    }
}

/// What is known of the HTTP/2 stream that carried a WebSocket, and of the HTTP/2 connection that
/// the stream was a part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Http2 {
    /// The connection's number in this process: reports with the same number were streams of one
    /// connection, and may have ended with it.
    pub connection: u64,
    /// The stream's identifier (RFC 9113 §5.1.1).
    pub stream: u32,
    /// The code of the peer's RST_STREAM, if one came.
    pub reset: Option<Http2ErrorCode>,
    /// The code of the peer's last GOAWAY, if one had come by then.
    pub goaway: Option<Http2ErrorCode>,
    /// How the connection ended, if it ended the stream. `None`: the stream ended by itself, or
    /// our side let go of it.
    pub connection_end: Option<End>,
}

impl Http2 {
    /// A stream of which nothing has happened.
    #[must_use]
    pub fn new(connection: u64, stream: u32) -> Self {
        Http2 { connection, stream, reset: None, goaway: None, connection_end: None }
    }
}
