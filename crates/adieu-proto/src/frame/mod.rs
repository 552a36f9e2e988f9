//! Frames of both families: RFC 6455 with its drafts ([`hybi`]), and hixie ([`hixie`]).

#[cfg(feature = "legacy")]
pub(crate) mod hixie;
pub(crate) mod hybi;
mod mask;
mod reader;

pub(crate) use reader::{Reader, Received, Violation};

/// What a frame carries (RFC 6455 §5.2, §11.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Opcode {
    /// The next fragment of a message.
    Continuation = 0x0,
    /// Text, or its first fragment.
    Text = 0x1,
    /// Bytes, or their first fragment.
    Binary = 0x2,
    /// The closing handshake.
    Close = 0x8,
    /// Asks for a Pong.
    Ping = 0x9,
    /// Answers a Ping.
    Pong = 0xA,
}

impl Opcode {
    /// By its number; `None` for the reserved ones.
    #[must_use]
    #[inline]
    pub fn from_bits(bits: u8) -> Option<Self> {
        Some(match bits {
            0x0 => Opcode::Continuation,
            0x1 => Opcode::Text,
            0x2 => Opcode::Binary,
            0x8 => Opcode::Close,
            0x9 => Opcode::Ping,
            0xA => Opcode::Pong,
            _ => return None,
        })
    }

    /// Its number.
    #[must_use]
    #[inline]
    pub fn bits(self) -> u8 {
        self as u8
    }

    /// Whether it is that of the first frame of a message.
    #[cfg(feature = "deflate")]
    pub(crate) fn begins_message(self) -> bool {
        matches!(self, Opcode::Text | Opcode::Binary)
    }

    /// Whether it is a control frame (RFC 6455 §5.5).
    #[must_use]
    #[inline]
    pub fn is_control(self) -> bool {
        self.bits() & 0x8 != 0
    }
}
