//! Frames as bytes (RFC 6455 §5.2), valid ones and others: every bit can be set wrong.
//!
//! The raw peers of `adieu check` and those of the testkit (which includes this file) speak with
//! it: never with the code that they judge.

/// The mask that raw clients use.
pub const MASK: [u8; 4] = [0x37, 0xFA, 0x21, 0x3D];

/// One frame. What [`bytes`](Frame::bytes) writes need not be allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The last fragment of its message.
    pub fin: bool,
    /// The three reserved bits.
    pub reserved: u8,
    /// The four bits of the opcode.
    pub opcode: u8,
    /// The payload, unmasked.
    pub payload: Vec<u8>,
    /// The length that the header claims, where it is not the payload's.
    pub claims: Option<u64>,
}

impl Frame {
    /// A whole frame of any opcode.
    #[must_use]
    pub fn new(opcode: u8, payload: impl AsRef<[u8]>) -> Self {
        let payload = payload.as_ref().to_vec();
        Frame { fin: true, reserved: 0, opcode, payload, claims: None }
    }

    /// A continuation.
    #[must_use]
    pub fn continuation(payload: impl AsRef<[u8]>) -> Self {
        Self::new(0x0, payload)
    }

    /// Text, or bytes that claim to be.
    #[must_use]
    pub fn text(payload: impl AsRef<[u8]>) -> Self {
        Self::new(0x1, payload)
    }

    /// Binary data.
    #[must_use]
    pub fn binary(payload: impl AsRef<[u8]>) -> Self {
        Self::new(0x2, payload)
    }

    /// A Close with a code and a reason.
    #[must_use]
    pub fn close(code: u16, reason: impl AsRef<[u8]>) -> Self {
        Self::new(0x8, [&code.to_be_bytes(), reason.as_ref()].concat())
    }

    /// A Close with no body.
    #[must_use]
    pub fn close_empty() -> Self {
        Self::new(0x8, "")
    }

    /// A Ping.
    #[must_use]
    pub fn ping(payload: impl AsRef<[u8]>) -> Self {
        Self::new(0x9, payload)
    }

    /// A Pong.
    #[must_use]
    pub fn pong(payload: impl AsRef<[u8]>) -> Self {
        Self::new(0xA, payload)
    }

    /// The same, with more of its message to come.
    #[must_use]
    pub fn unfinished(mut self) -> Self {
        self.fin = false;
        self
    }

    /// The same with reserved bits set (`0b100` is RSV1).
    #[must_use]
    pub fn reserved(mut self, bits: u8) -> Self {
        self.reserved = bits;
        self
    }

    /// The same with a header that claims another length than the payload's.
    #[must_use]
    pub fn claiming(mut self, len: u64) -> Self {
        self.claims = Some(len);
        self
    }

    /// The code of a Close that has one.
    #[must_use]
    pub fn close_code(&self) -> Option<u16> {
        match (self.opcode, &self.payload[..]) {
            (0x8, [a, b, ..]) => Some(u16::from_be_bytes([*a, *b])),
            _ => None,
        }
    }

    /// The bytes, masked or not; the length in its shortest form.
    #[must_use]
    pub fn bytes(&self, mask: Option<[u8; 4]>) -> Vec<u8> {
        let len = self.claims.unwrap_or(self.payload.len() as u64);
        let bit = if mask.is_some() { 0x80 } else { 0 };
        let mut out = vec![u8::from(self.fin) << 7 | (self.reserved & 7) << 4 | self.opcode & 0xF];
        match len {
            0..=125 => out.push(bit | len as u8),
            126..=0xFFFF => {
                out.push(bit | 126);
                out.extend((len as u16).to_be_bytes());
            }
            _ => {
                out.push(bit | 127);
                out.extend(len.to_be_bytes());
            }
        }
        match mask {
            None => out.extend_from_slice(&self.payload),
            Some(key) => {
                out.extend(key);
                out.extend(self.payload.iter().enumerate().map(|(i, byte)| byte ^ key[i % 4]));
            }
        }
        out
    }

    /// As a client sends it.
    #[must_use]
    pub fn masked(&self) -> Vec<u8> {
        self.bytes(Some(MASK))
    }

    /// As a server sends it.
    #[must_use]
    pub fn unmasked(&self) -> Vec<u8> {
        self.bytes(None)
    }

    /// The frame at the front of `bytes` and how long it is there; `None` if it is not whole.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<(Self, usize)> {
        let (&first, &second) = (bytes.first()?, bytes.get(1)?);
        let (len, mut at) = match second & 0x7F {
            126 => (u64::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?)), 4),
            127 => (u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?), 10),
            short => (u64::from(short), 2),
        };
        let mut mask = [0; 4];
        if second & 0x80 != 0 {
            mask = bytes.get(at..at + 4)?.try_into().ok()?;
            at += 4;
        }
        let end = at.checked_add(usize::try_from(len).ok()?)?;
        let mut payload = bytes.get(at..end)?.to_vec();
        if mask != [0; 4] {
            payload.iter_mut().enumerate().for_each(|(i, byte)| *byte ^= mask[i % 4]);
        }
        let frame = Frame {
            fin: first & 0x80 != 0,
            reserved: first >> 4 & 7,
            opcode: first & 0xF,
            payload,
            claims: None,
        };
        Some((frame, end))
    }

    /// All whole frames of `bytes`. Panics if something is left over.
    #[must_use]
    pub fn parse_all(mut bytes: &[u8]) -> Vec<Self> {
        let mut frames = Vec::new();
        while let Some((frame, len)) = Self::parse(bytes) {
            frames.push(frame);
            bytes = &bytes[len..];
        }
        assert!(bytes.is_empty(), "a frame is cut: {bytes:x?} behind {frames:?}");
        frames
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_rfc() {
        // RFC 6455 §5.7.
        assert_eq!(Frame::text("Hello").unmasked(), b"\x81\x05Hello");
        assert_eq!(Frame::text("Hello").masked(), b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58");
        assert_eq!(Frame::text("Hel").unfinished().unmasked(), b"\x01\x03Hel");
        let long = Frame::binary(vec![7; 0x10000]);
        assert_eq!(&long.unmasked()[..10], b"\x82\x7F\0\0\0\0\0\x01\0\0");
        for frame in [Frame::close(1001, "é"), Frame::binary(vec![1; 300]), long] {
            for bytes in [frame.masked(), frame.unmasked()] {
                assert_eq!(Frame::parse(&bytes), Some((frame.clone(), bytes.len())));
                assert_eq!(Frame::parse(&bytes[..bytes.len() - 1]), None);
            }
        }
    }
}
