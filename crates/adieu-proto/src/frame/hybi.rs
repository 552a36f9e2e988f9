//! RFC 6455 §5: frame headers, incremental decoding, encoding.

use crate::error::ProtocolError;
use crate::frame::{Opcode, mask};

/// The longest header: two bytes, an eight-byte length, a mask.
const MAX_HEADER: usize = 14;

/// Payload bytes of a control frame at most (§5.5).
pub(crate) const MAX_CONTROL: usize = 125;

/// A frame's header, checked as far as the frame alone allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Header {
    pub(crate) fin: bool,
    pub(crate) opcode: Opcode,
    pub(crate) len: u64,
    pub(crate) mask: Option<[u8; 4]>,
    /// The frame begins a message that is compressed (RFC 7692 §6): RSV1 is set.
    #[cfg(feature = "deflate")]
    pub(crate) compressed: bool,
}

impl Header {
    /// Whether the frame is a whole message of at most `limit` bytes.
    #[inline]
    pub(crate) fn is_whole_message(&self, limit: u64) -> bool {
        let data = matches!(self.opcode, Opcode::Text | Opcode::Binary);
        self.fin && data && self.len <= limit
    }
}

/// The next piece of the input.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece<'a> {
    Header(Header),
    /// Payload of this frame, unmasked in place, and how much is still to come. The frame is
    /// complete at 0.
    Payload(Header, &'a mut [u8], u64),
}

/// Reads frames from bytes that come in any pieces. Holds at most one header.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Decoder {
    /// Whether the peer has to mask (§5.1): a client has to, a server must not.
    masked: bool,
    /// Whether RSV1 may be set.
    #[cfg(feature = "deflate")]
    compresses: bool,
    state: State,
}

#[derive(Clone, Debug, Hash)]
enum State {
    Header {
        bytes: [u8; MAX_HEADER],
        have: u8,
    },
    Payload {
        header: Header,
        done: u64,
    },
    /// Between two frames: the next waits until what came before it is inflated.
    #[cfg(feature = "deflate")]
    Waits,
}

const EMPTY: State = State::Header { bytes: [0; MAX_HEADER], have: 0 };

impl Decoder {
    pub(crate) fn new(masked: bool) -> Self {
        Decoder {
            masked,
            #[cfg(feature = "deflate")]
            compresses: false,
            state: EMPTY,
        }
    }

    /// Whether the peer has to mask.
    pub(crate) fn masked(&self) -> bool {
        self.masked
    }

    /// Whether the input stops inside a frame.
    pub(crate) fn in_frame(&self) -> bool {
        !matches!(self.state, State::Header { have: 0, .. })
    }

    /// Bytes of the frame under way that are still to come.
    pub(crate) fn to_come(&self) -> u64 {
        match &self.state {
            State::Payload { header, done } => header.len - done,
            _ => 0,
        }
    }

    /// Takes the next piece off the front of `input`; `None` if more bytes are needed.
    pub(crate) fn next<'a>(
        &mut self,
        input: &mut &'a mut [u8],
    ) -> Result<Option<Piece<'a>>, ProtocolError> {
        match &mut self.state {
            State::Header { bytes, have } => {
                #[cfg(feature = "deflate")]
                let header = if self.compresses {
                    gather(parse_compressed, self.masked, bytes, have, input)?
                } else {
                    gather(parse, self.masked, bytes, have, input)?
                };
                #[cfg(not(feature = "deflate"))]
                let header = gather(parse, self.masked, bytes, have, input)?;
                let Some(header) = header else { return Ok(None) };
                self.state = State::Payload { header, done: 0 };
                Ok(Some(Piece::Header(header)))
            }
            State::Payload { header, done } => {
                let left = header.len - *done;
                if input.is_empty() && left > 0 {
                    return Ok(None);
                }
                let n = usize::try_from(left).unwrap_or(usize::MAX).min(input.len());
                let (payload, rest) = std::mem::take(input).split_at_mut(n);
                *input = rest;
                Ok(self
                    .payload(payload)
                    .map(|(header, left)| Piece::Payload(header, payload, left)))
            }
            #[cfg(feature = "deflate")]
            State::Waits => Ok(None),
        }
    }

    /// Unmasks bytes of the payload under way, no more than are to come. Gives its header and how
    /// much is still to come; `None` between two frames.
    pub(crate) fn payload(&mut self, bytes: &mut [u8]) -> Option<(Header, u64)> {
        let State::Payload { header, done } = &mut self.state else { return None };
        if let Some(key) = header.mask {
            mask::apply(key, *done, bytes);
        }
        *done += bytes.len() as u64;
        let (header, left) = (*header, header.len - *done);
        if left == 0 {
            self.state = EMPTY;
        }
        Some((header, left))
    }

    /// Whether the frame under way is one of data.
    pub(crate) fn in_data(&self) -> bool {
        matches!(&self.state, State::Payload { header, .. } if !header.opcode.is_control())
    }
}

#[cfg(feature = "deflate")]
impl Decoder {
    /// From now on messages may be compressed.
    pub(crate) fn compresses(&mut self) {
        self.compresses = true;
    }

    /// No frame is read until the decoder [goes on](Self::goes_on). It is called between frames.
    pub(crate) fn waits(&mut self) {
        self.state = State::Waits;
    }

    pub(crate) fn is_waiting(&self) -> bool {
        matches!(self.state, State::Waits)
    }

    pub(crate) fn goes_on(&mut self) {
        if self.is_waiting() {
            self.state = EMPTY;
        }
    }

    /// The header of a compressed message that stands whole at the front of `input`, and where its
    /// payload begins.
    pub(crate) fn whole_compressed(&self, input: &[u8], limit: u64) -> Option<(Header, usize)> {
        if !self.compresses || self.in_frame() {
            return None;
        }
        match parse_compressed(input, self.masked) {
            Ok(Parsed::Header(header, at)) if header.compressed && header.fin => {
                let is_here = (input.len() - at) as u64 >= header.len;
                (is_here && header.len <= limit).then_some((header, at))
            }
            _ => None,
        }
    }
}

/// Gathers a header that may come in pieces.
fn gather(
    parse: impl Fn(&[u8], bool) -> Result<Parsed, ProtocolError>,
    masked: bool,
    bytes: &mut [u8; MAX_HEADER],
    have: &mut u8,
    input: &mut &mut [u8],
) -> Result<Option<Header>, ProtocolError> {
    if *have == 0 {
        if let Parsed::Header(header, len) = parse(input, masked)? {
            *input = &mut std::mem::take(input)[len..];
            return Ok(Some(header));
        }
    }
    loop {
        let need = match parse(&bytes[..usize::from(*have)], masked)? {
            Parsed::Header(header, _) => return Ok(Some(header)),
            Parsed::Needs(need) => need,
        };
        let missing = need - usize::from(*have);
        let n = missing.min(input.len());
        let (front, rest) = std::mem::take(input).split_at_mut(n);
        bytes[usize::from(*have)..][..n].copy_from_slice(front);
        *input = rest;
        *have += n as u8;
        if n < missing {
            return Ok(None);
        }
    }
}

/// What the bytes at the front of a frame come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Parsed {
    /// A header takes so many bytes at least.
    Needs(usize),
    /// A header of so many bytes.
    Header(Header, usize),
}

/// Parses a header where compression was agreed on: RSV1 may be set in the first frame of a message
/// (RFC 7692 §6.1).
#[cfg(feature = "deflate")]
fn parse_compressed(bytes: &[u8], masked: bool) -> Result<Parsed, ProtocolError> {
    const RSV1: u8 = 0x40;
    let parsed = parse(bytes, masked);
    if parsed != Err(ProtocolError::ReservedBits(RSV1 >> 4)) {
        return parsed;
    }
    let mut head = [0; MAX_HEADER];
    let n = bytes.len().min(MAX_HEADER);
    head[..n].copy_from_slice(&bytes[..n]);
    head[0] &= !RSV1;
    if matches!(Opcode::from_bits(head[0] & 0xF), Some(opcode) if !opcode.begins_message()) {
        return parsed;
    }
    Ok(match parse(&head[..n], masked)? {
        Parsed::Header(header, len) => Parsed::Header(Header { compressed: true, ..header }, len),
        needs => needs,
    })
}

/// Parses a header. Each rule is checked as soon as the bytes that break it are there.
/// `masked`: whether the peer has to mask.
#[inline(always)]
pub(crate) fn parse(bytes: &[u8], masked: bool) -> Result<Parsed, ProtocolError> {
    let [first, second, rest @ ..] = bytes else { return Ok(Parsed::Needs(2)) };
    let (first, second) = (*first, *second);
    let Some(opcode) = Opcode::from_bits(first & 0xF).filter(|_| first & 0x70 == 0) else {
        return Err(bad_first(first));
    };
    if masked != (second & 0x80 != 0) {
        return Err(if masked { ProtocolError::Unmasked } else { ProtocolError::Masked });
    }
    let short = second & 0x7F;
    if opcode.is_control() && (first & 0x80 == 0 || usize::from(short) > MAX_CONTROL) {
        return Err(bad_control(first, short, rest));
    }
    let extended = match short {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    let len = 2 + extended + if masked { 4 } else { 0 };
    if bytes.len() < len {
        return Ok(Parsed::Needs(len));
    }
    let payload = if extended == 0 { u64::from(short) } else { long_length(&rest[..extended])? };
    let mask = if masked { rest[extended..].first_chunk().copied() } else { None };
    let header = Header {
        fin: first & 0x80 != 0,
        opcode,
        len: payload,
        mask,
        #[cfg(feature = "deflate")]
        compressed: false,
    };
    Ok(Parsed::Header(header, len))
}

/// What is wrong with a first byte.
#[cold]
fn bad_first(first: u8) -> ProtocolError {
    match (first >> 4) & 0x7 {
        0 => ProtocolError::ReservedOpcode(first & 0xF),
        reserved => ProtocolError::ReservedBits(reserved),
    }
}

#[cold]
fn bad_control(first: u8, short: u8, rest: &[u8]) -> ProtocolError {
    if first & 0x80 == 0 {
        return ProtocolError::FragmentedControl;
    }
    // What it claims, as far as its length has arrived.
    ProtocolError::ControlTooLong(match (short, rest) {
        (126, [a, b, ..]) => u64::from(u16::from_be_bytes([*a, *b])),
        _ => u64::from(short),
    })
}

/// A length of two or of eight bytes; it has to be the shortest form (§5.2).
#[inline]
fn long_length(bytes: &[u8]) -> Result<u64, ProtocolError> {
    let (len, shortest) = match *bytes {
        [a, b] => {
            let len = u64::from(u16::from_be_bytes([a, b]));
            (len, len > 125)
        }
        [a, b, c, d, e, f, g, h] => {
            let len = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
            // §5.2: "the most significant bit MUST be 0".
            (len, len > 0xFFFF && len >> 63 == 0)
        }
        _ => (0, false),
    };
    if shortest { Ok(len) } else { Err(ProtocolError::InvalidLength(len)) }
}

/// Appends a frame header.
pub(crate) fn write_header(
    out: &mut Vec<u8>,
    fin: bool,
    opcode: Opcode,
    len: usize,
    mask: Option<[u8; 4]>,
) {
    let first = opcode.bits() | if fin { 0x80 } else { 0 };
    let masked = if mask.is_some() { 0x80 } else { 0 };
    // Arrays of a known length: a few bytes are stored faster than a copy is called for.
    match len {
        0..=125 => out.extend_from_slice(&[first, masked | len as u8]),
        126..=0xFFFF => {
            let [a, b] = (len as u16).to_be_bytes();
            out.extend_from_slice(&[first, masked | 126, a, b]);
        }
        _ => {
            let [a, b, c, d, e, f, g, h] = (len as u64).to_be_bytes();
            out.extend_from_slice(&[first, masked | 127, a, b, c, d, e, f, g, h]);
        }
    }
    if let Some(key) = mask {
        out.extend_from_slice(&key);
    }
}

/// Appends a whole frame, its payload copied and, for a client, masked.
pub(crate) fn write_frame(
    out: &mut Vec<u8>,
    opcode: Opcode,
    payload: &[u8],
    mask: Option<[u8; 4]>,
) {
    out.reserve(MAX_HEADER + payload.len());
    write_header(out, true, opcode, payload.len(), mask);
    let start = out.len();
    out.extend_from_slice(payload);
    if let Some(key) = mask {
        mask::apply(key, 0, &mut out[start..]);
    }
}

/// The same with a payload that is compressed.
#[cfg(feature = "deflate")]
pub(crate) fn write_compressed(
    out: &mut Vec<u8>,
    opcode: Opcode,
    payload: &[u8],
    mask: Option<[u8; 4]>,
) {
    let start = out.len();
    write_frame(out, opcode, payload, mask);
    out[start] |= 0x40;
}

/// A server's header of a payload that is compressed.
#[cfg(feature = "deflate")]
pub(crate) fn write_compressed_header(out: &mut Vec<u8>, opcode: Opcode, len: usize) {
    let start = out.len();
    write_header(out, true, opcode, len, None);
    out[start] |= 0x40;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(
        masked: bool,
        bytes: &[u8],
        step: usize,
    ) -> Result<Vec<(Header, Vec<u8>)>, ProtocolError> {
        let mut decoder = Decoder::new(masked);
        let mut frames: Vec<(Header, Vec<u8>)> = Vec::new();
        for chunk in bytes.to_vec().chunks_mut(step) {
            let mut input = chunk;
            while let Some(piece) = decoder.next(&mut input)? {
                match piece {
                    Piece::Header(header) => frames.push((header, Vec::new())),
                    Piece::Payload(_, bytes, _) => {
                        frames.last_mut().unwrap().1.extend_from_slice(bytes);
                    }
                }
            }
        }
        Ok(frames)
    }

    #[test]
    fn the_examples_of_the_rfc() {
        // §5.7: unmasked and masked "Hello".
        let plain = [0x81, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f];
        let masked = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
        for step in 1..12 {
            let frames = decode(false, &plain, step).unwrap();
            assert_eq!(frames[0].1, b"Hello");
            let frames = decode(true, &masked, step).unwrap();
            assert_eq!(frames[0].1, b"Hello", "step {step}");
        }
        let mut out = Vec::new();
        write_frame(&mut out, Opcode::Text, b"Hello", Some([0x37, 0xfa, 0x21, 0x3d]));
        assert_eq!(out, masked);
    }

    #[test]
    fn what_is_written_is_read_at_every_length_form_and_step() {
        for len in [0, 1, 125, 126, 127, 65535, 65536, 70000] {
            let payload: Vec<u8> = (0..len).map(|i| i as u8).collect();
            for key in [None, Some([1, 2, 3, 4])] {
                let mut out = Vec::new();
                write_frame(&mut out, Opcode::Binary, &payload, key);
                for step in [1, 2, 7, 4096, usize::MAX] {
                    let frames = decode(key.is_some(), &out, step.min(out.len())).unwrap();
                    assert_eq!(frames.len(), 1);
                    assert_eq!(frames[0].1, payload, "length {len}, step {step}");
                }
            }
        }
    }

    #[test]
    fn each_rule_is_checked_at_the_first_byte_that_breaks_it() {
        use ProtocolError as P;
        let cases: &[(&[u8], P)] = &[
            (&[0xC1, 0x80], P::ReservedBits(4)),
            (&[0x83, 0x80], P::ReservedOpcode(3)),
            (&[0x8B, 0x80], P::ReservedOpcode(0xB)),
            (&[0x81, 0x05], P::Unmasked),
            (&[0x09, 0x80], P::FragmentedControl),
            (&[0x88, 0xFE], P::ControlTooLong(126)),
            (&[0x81, 0xFE, 0, 125, 0, 0, 0, 0], P::InvalidLength(125)),
            (&[0x82, 0xFF, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF, 0, 0, 0, 0], P::InvalidLength(0xFFFF)),
            (
                &[0x82, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFC, 0, 0, 0, 0],
                P::InvalidLength(0xFFFF_FFFF_FFFF_FFFC),
            ),
        ];
        for (bytes, error) in cases {
            assert_eq!(decode(true, bytes, 1).unwrap_err(), *error, "{bytes:x?}");
        }
        assert_eq!(decode(false, &[0x81, 0x85], 2).unwrap_err(), P::Masked);
    }
}
