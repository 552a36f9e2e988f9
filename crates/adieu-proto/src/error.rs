//! Errors by blame: the peer's ([`ProtocolError`], [`HandshakeError`]) and the caller's
//! ([`UsageError`]). How a connection ended is no error: that is [`Ending`](crate::Ending).

use std::{error, fmt};

use crate::code::CloseCode;
use crate::handshake::Version;

/// How the peer broke the protocol after the handshake. Each knows its close code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ProtocolError {
    /// A Close frame whose body is one byte (RFC 6455 §5.5.1).
    CloseBodyTooShort,
    /// A Close frame with a code that must not be on the wire (§7.4).
    CloseCode(CloseCode),
    /// A Close frame whose reason is not UTF-8 (§5.5.1).
    CloseReason,
    /// A control frame that claims more than 125 bytes (§5.5).
    ControlTooLong(u64),
    /// A new message inside an unfinished one (§5.4).
    ExpectedContinuation,
    /// A control frame in fragments (§5.4).
    FragmentedControl,
    /// A hixie frame whose length never ends or overflows.
    HixieLength,
    /// Text that is not UTF-8 (§8.1).
    InvalidUtf8,
    /// A length of 2^63 or more, or one not in its shortest form (§5.2).
    InvalidLength(u64),
    /// A server masked its frame (§5.1).
    Masked,
    /// A message above the limit, fragments' charges included.
    MessageTooBig {
        /// The limit in bytes.
        limit: u64,
    },
    /// An opcode that nobody defined (§5.2).
    ReservedOpcode(u8),
    /// Reserved bits are set though no extension is in use (§5.2).
    ReservedBits(u8),
    /// A continuation of nothing (§5.4).
    UnexpectedContinuation,
    /// A client did not mask its frame (§5.1).
    Unmasked,
    /// TLS records that cannot be read, after the handshake: corrupt, or forged on the path.
    UnreadableTls,
}

impl ProtocolError {
    /// The code that tells the peer (RFC 6455 §7.4.1).
    #[must_use]
    pub fn close_code(self) -> CloseCode {
        match self {
            ProtocolError::InvalidUtf8 | ProtocolError::CloseReason => CloseCode::INVALID_PAYLOAD,
            ProtocolError::MessageTooBig { .. } => CloseCode::MESSAGE_TOO_BIG,
            _ => CloseCode::PROTOCOL_ERROR,
        }
    }
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use ProtocolError as P;
        match self {
            P::CloseBodyTooShort => f.write_str("a Close frame with a body of one byte"),
            P::CloseCode(code) => {
                write!(f, "a Close frame with code {code}, which must not be on the wire")
            }
            P::CloseReason => f.write_str("a Close frame whose reason is not UTF-8"),
            P::ControlTooLong(len) => {
                write!(f, "a control frame of {len} bytes, more than the 125 allowed")
            }
            P::ExpectedContinuation => f.write_str("a new message inside an unfinished one"),
            P::FragmentedControl => f.write_str("a control frame in fragments"),
            P::HixieLength => f.write_str("a frame length that does not end or is too large"),
            P::InvalidUtf8 => f.write_str("text that is not UTF-8"),
            P::InvalidLength(len) => write!(f, "an impossible frame length, {len:#x}"),
            P::Masked => f.write_str("a masked frame from a server"),
            P::MessageTooBig { limit } => {
                write!(f, "a message above the limit of {limit} bytes")
            }
            P::ReservedOpcode(opcode) => write!(f, "a frame with the reserved opcode {opcode:#x}"),
            P::ReservedBits(bits) => write!(f, "a frame with reserved bits set ({bits:#05b})"),
            P::UnexpectedContinuation => f.write_str("a continuation of no message"),
            P::Unmasked => f.write_str("an unmasked frame from a client"),
            P::UnreadableTls => f.write_str("TLS records that cannot be read"),
        }
    }
}

impl error::Error for ProtocolError {}

/// What the caller asked for and cannot have.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UsageError {
    /// Nothing can be sent any more: the connection is closing or over.
    Closed,
    /// Nothing can be sent yet: the handshake is not complete.
    NotOpen,
    /// This code must not be in a Close frame (RFC 6455 §7.4).
    CloseCode(CloseCode),
    /// A reason of so many bytes; 123 fit (§5.5).
    CloseReason(usize),
    /// The hixie versions carry text only.
    NoBinary(Version),
    /// A request for the client handshake that cannot be written; says what is wrong.
    Request {
        /// Which part: `"host"`, `"target"`, a field's name, …
        part: &'static str,
        /// The value given.
        value: String,
    },
    /// The answer names a subprotocol that the client did not offer.
    Subprotocol(String),
}

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UsageError::Closed => f.write_str("the connection is closing or over"),
            UsageError::NotOpen => f.write_str("the opening handshake is not complete"),
            UsageError::CloseCode(code) => write!(
                f,
                "close code {code} must not be sent; use 1000-1003, 1007-1014 or 3000-4999"
            ),
            UsageError::CloseReason(len) => {
                write!(f, "a close reason of {len} bytes; at most 123 fit into a Close frame")
            }
            UsageError::NoBinary(version) => {
                write!(f, "{version} has no binary messages; send text")
            }
            UsageError::Request { part, value } => {
                write!(f, "the request's {part} cannot be sent: {value:?}")
            }
            UsageError::Subprotocol(name) => {
                write!(f, "the client did not offer the subprotocol {name:?}")
            }
        }
    }
}

impl error::Error for UsageError {}

/// Why an opening handshake came to nothing.
///
/// As a server each has the HTTP status of its refusal ([`status`](Self::status)).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HandshakeError {
    /// The deadline passed before the handshake was complete.
    TimedOut,
    /// The peer ended TCP before the handshake was complete.
    Incomplete,
    /// The peer reset TCP before the handshake was complete.
    Reset,
    /// Our side dropped the connection before the handshake was complete.
    Abandoned,
    /// Not HTTP, or HTTP that breaks its grammar; says which part.
    BadHttp(&'static str),
    /// TLS failed: no TLS at all, no common version, a certificate that was not trusted, …
    Tls,
    /// The head is longer than the limit in bytes.
    HeadTooLong(usize),
    /// The head has more fields than the limit.
    TooManyFields(usize),
    /// Only GET opens a WebSocket (RFC 6455 §4.1); hixie and hybi alike.
    Method,
    /// HTTP, but no request for a WebSocket.
    NotUpgrade,
    /// A required field is missing.
    Missing(&'static str),
    /// A field has a value that cannot be.
    BadField(&'static str),
    /// A version that is not served (or not switched on).
    Version(String),
    /// A version that is served by `adieu::Server` only: its clients compare the answer byte by
    /// byte, and the HTTP library that has read the request writes it in its own way.
    NotThroughHttp(Version),
    /// The hixie-76 challenge is not one: which rule of its draft it breaks.
    Challenge(&'static str),
    /// Bytes where none may be, such as a body in a hixie-75 request.
    UnexpectedBytes,
    /// The server's policy does not allow this Origin.
    Origin(String),
    /// Our application refused, with this status.
    Refused(u16),
    /// The server has as many connections as it may.
    Full,
    /// The peer's address has as many connections as one may have.
    TooManyFromAddress,
    /// What stands in front of the request is no PROXY header (version 2), though the peer is a
    /// proxy that has to send one; says which part of it is wrong.
    ProxyHeader(&'static str),
    /// The server answered our request with this status (client only).
    Status(u16),
    /// The server's answer does not fit our request: which field (client only).
    BadAnswer(&'static str),
}

impl HandshakeError {
    /// The HTTP status of the refusal, where there is still somebody to tell.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        use HandshakeError as H;
        match self {
            H::Incomplete | H::Reset | H::Abandoned | H::Tls | H::Status(_) | H::BadAnswer(_) => {
                None
            }
            H::ProxyHeader(_) => None,
            H::Full => Some(503),
            H::TooManyFromAddress => Some(429),
            H::TimedOut => Some(408),
            H::HeadTooLong(_) | H::TooManyFields(_) => Some(431),
            H::Method => Some(405),
            H::NotUpgrade | H::Version(_) => Some(426),
            H::Origin(_) => Some(403),
            H::Refused(status) => Some(*status),
            H::BadHttp(_)
            | H::NotThroughHttp(_)
            | H::Missing(_)
            | H::BadField(_)
            | H::Challenge(_)
            | H::UnexpectedBytes => Some(400),
        }
    }
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use HandshakeError as H;
        match self {
            H::TimedOut => f.write_str("the opening handshake was not finished in time"),
            H::Incomplete => f.write_str("the peer ended TCP before the handshake was complete"),
            H::Reset => f.write_str("the peer reset TCP before the handshake was complete"),
            H::Abandoned => f.write_str("we gave up before the handshake was complete"),
            H::BadHttp(part) => write!(f, "the peer does not speak HTTP/1.1: bad {part}"),
            H::Tls => f.write_str("the TLS handshake failed"),
            H::HeadTooLong(limit) => write!(f, "the head is longer than {limit} bytes"),
            H::TooManyFields(limit) => write!(f, "the head has more than {limit} fields"),
            H::Method => f.write_str("the method is not GET"),
            H::NotUpgrade => f.write_str("the request does not ask for a WebSocket"),
            H::Missing(field) => write!(f, "the field {field} is missing"),
            H::BadField(field) => write!(f, "the field {field} has an invalid value"),
            H::Version(version) => {
                write!(f, "WebSocket version {version} is not served here")
            }
            H::NotThroughHttp(version) => write!(
                f,
                "{version} needs adieu::Server: its clients compare the answer byte by byte, and \
                 here an HTTP library writes it"
            ),
            H::Challenge(rule) => write!(f, "the hixie-76 challenge is wrong: {rule}"),
            H::UnexpectedBytes => f.write_str("bytes follow where the handshake has none"),
            H::Origin(origin) => write!(f, "the origin {origin:?} is not allowed"),
            H::Full => f.write_str("the server has as many connections as it may have"),
            H::TooManyFromAddress => {
                f.write_str("the peer's address has as many connections as one may have")
            }
            H::ProxyHeader(part) => {
                write!(f, "the proxy sent no PROXY header of version 2: bad {part}")
            }
            H::Refused(status) => write!(f, "the application refused with status {status}"),
            H::Status(status) => write!(f, "the server answered with status {status}"),
            H::BadAnswer(field) => {
                write!(f, "the server's answer does not fit the request: {field}")
            }
        }
    }
}

impl error::Error for HandshakeError {}
