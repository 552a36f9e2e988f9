//! What a peer may do wrong after the opening handshake.

use std::{error, fmt};

use crate::close_code::CloseCode;
use crate::config::defaults::FRAGMENT_COST;

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
    /// A compressed message that is cut or is no DEFLATE data (RFC 7692 §7.2.2).
    CompressedData,
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
    /// A message whose payload is above the limit.
    MessageTooBig {
        /// The limit in bytes.
        limit: u64,
    },
    /// An opcode that nobody defined (§5.2).
    ReservedOpcode(u8),
    /// Reserved bits are set though no extension that is in use gives them a meaning there (§5.2).
    ReservedBits(u8),
    /// A message in so many fragments that what they cost beside their payload
    /// ([`FRAGMENT_COST`](crate::defaults::FRAGMENT_COST) each) brings it above the limit, though
    /// its payload is not.
    TooManyFragments {
        /// The fragments so far.
        fragments: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// A continuation of nothing (§5.4).
    UnexpectedContinuation,
    /// A client did not mask its frame (§5.1).
    Unmasked,
    /// TLS records that cannot be read, after the handshake: corrupt, or forged on the path.
    UnreadableTls,
}

impl ProtocolError {
    /// A short word for it that stays the same in all versions, for searches and for programs; the
    /// FAQ of the documentation (`docs/faq/`) has a heading for each.
    #[must_use]
    pub fn id(self) -> &'static str {
        use ProtocolError as P;
        match self {
            P::CloseBodyTooShort => "violation-close-body",
            P::CloseCode(_) => "violation-close-code",
            P::CloseReason => "violation-close-reason",
            P::CompressedData => "violation-compressed-data",
            P::ControlTooLong(_) => "violation-control-too-long",
            P::ExpectedContinuation => "violation-expected-continuation",
            P::FragmentedControl => "violation-fragmented-control",
            P::HixieLength => "violation-hixie-length",
            P::InvalidUtf8 => "violation-invalid-utf8",
            P::InvalidLength(_) => "violation-invalid-length",
            P::Masked => "violation-masked",
            P::MessageTooBig { .. } => "violation-message-too-big",
            P::ReservedOpcode(_) => "violation-reserved-opcode",
            P::ReservedBits(_) => "violation-reserved-bits",
            P::TooManyFragments { .. } => "violation-too-many-fragments",
            P::UnexpectedContinuation => "violation-unexpected-continuation",
            P::Unmasked => "violation-unmasked",
            P::UnreadableTls => "violation-unreadable-tls",
        }
    }

    /// The code that tells the peer (RFC 6455 §7.4.1).
    #[must_use]
    pub fn close_code(self) -> CloseCode {
        match self {
            ProtocolError::InvalidUtf8
            | ProtocolError::CloseReason
            | ProtocolError::CompressedData => CloseCode::INVALID_PAYLOAD,
            ProtocolError::MessageTooBig { .. } | ProtocolError::TooManyFragments { .. } => {
                CloseCode::MESSAGE_TOO_BIG
            }
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
            P::CompressedData => f.write_str("a compressed message that cannot be inflated"),
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
            P::TooManyFragments { fragments, limit } => write!(
                f,
                "a message of {fragments} fragments, too many for the limit of {limit} bytes in \
                 which each fragment costs {FRAGMENT_COST}"
            ),
            P::ReservedOpcode(opcode) => write!(f, "a frame with the reserved opcode {opcode:#x}"),
            P::ReservedBits(bits) => write!(f, "a frame with reserved bits set ({bits:#05b})"),
            P::UnexpectedContinuation => f.write_str("a continuation of no message"),
            P::Unmasked => f.write_str("an unmasked frame from a client"),
            P::UnreadableTls => f.write_str("TLS records that cannot be read"),
        }
    }
}

impl error::Error for ProtocolError {}
