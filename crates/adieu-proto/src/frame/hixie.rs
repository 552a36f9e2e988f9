//! Frames of hixie-75 and hixie-76 (draft-ietf-hybi-thewebsocketprotocol-00 §4.2, §5.3).

use crate::error::ProtocolError;

/// `FF 00`: the closing handshake of hixie-76.
pub(crate) const CLOSE: [u8; 2] = [0xFF, 0x00];

/// Digits of a length at most: 9 × 7 bits fit into 63. An endless run of `80` is a zero that
/// never ends.
const MAX_LENGTH_BYTES: u8 = 9;

/// What came out of the input.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// A text, with bad UTF-8 replaced by U+FFFD as the draft says.
    Text(String),
    /// `FF 00`.
    Close,
}

/// Reads frames from bytes that come in any pieces.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Decoder {
    state: State,
}

#[derive(Clone, Debug, Hash)]
enum State {
    /// Between frames.
    Type,
    /// Type 00: text up to FF.
    Text(Lossy),
    /// Types 01 to 7F, which nobody defined, and a text that nobody reads: skipped up to FF. Counts
    /// what was skipped.
    SkipToFf(u64),
    /// Types 80 to FF: a length in base 128, then as many bytes that are skipped.
    Length {
        closing: bool,
        len: u64,
        bytes: u8,
    },
    Skip(u64),
}

impl Decoder {
    /// Bytes of a text that is not whole yet.
    pub(crate) fn held(&self) -> usize {
        if let State::Text(text) = &self.state { text.len() } else { 0 }
    }

    /// Nobody reads the text under way: it is skipped, and still counts against the limit.
    pub(crate) fn discard(&mut self) {
        if let State::Text(text) = &self.state {
            self.state = State::SkipToFf(text.len() as u64);
        }
    }

    pub(crate) fn new() -> Self {
        Decoder { state: State::Type }
    }

    /// Whether the input stops inside a frame.
    pub(crate) fn in_frame(&self) -> bool {
        !matches!(self.state, State::Type)
    }

    /// Takes the next piece off the front of `input`; `None` if more bytes are needed. `limit`
    /// is what a frame may have in bytes, and a text with its bad UTF-8 replaced.
    pub(crate) fn next(
        &mut self,
        input: &mut &[u8],
        limit: u64,
    ) -> Result<Option<Piece>, ProtocolError> {
        while let Some((&first, rest)) = input.split_first() {
            match &mut self.state {
                State::Type => {
                    *input = rest;
                    self.state = match first {
                        0x00 => State::Text(Lossy::default()),
                        0x01..=0x7F => State::SkipToFf(0),
                        _ => State::Length { closing: first == 0xFF, len: 0, bytes: 0 },
                    };
                }
                State::Text(text) => {
                    let (part, whole) = up_to_ff(input);
                    text.push(part, limit)?;
                    if whole {
                        let text = std::mem::take(text).end(limit)?;
                        self.state = State::Type;
                        return Ok(Some(Piece::Text(text)));
                    }
                }
                State::SkipToFf(skipped) => {
                    let (part, whole) = up_to_ff(input);
                    *skipped += part.len() as u64;
                    within(limit, *skipped)?;
                    if whole {
                        self.state = State::Type;
                    }
                }
                State::Length { closing, len, bytes } => {
                    *input = rest;
                    *bytes += 1;
                    *len = *len << 7 | u64::from(first & 0x7F);
                    if first & 0x80 != 0 && *bytes >= MAX_LENGTH_BYTES {
                        return Err(ProtocolError::HixieLength);
                    }
                    within(limit, *len)?;
                    if first & 0x80 == 0 {
                        let (closing, len) = (*closing, *len);
                        self.state = if len == 0 { State::Type } else { State::Skip(len) };
                        if closing && len == 0 {
                            return Ok(Some(Piece::Close));
                        }
                    }
                }
                State::Skip(left) => {
                    let n = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len());
                    *input = &input[n..];
                    *left -= n as u64;
                    if *left == 0 {
                        self.state = State::Type;
                    }
                }
            }
        }
        Ok(None)
    }
}

fn within(limit: u64, len: u64) -> Result<(), ProtocolError> {
    if len > limit { Err(ProtocolError::MessageTooBig { limit }) } else { Ok(()) }
}

/// A text under way. Bad UTF-8 is replaced as it comes, and grows by that: the limit is kept by the
/// text as it is delivered.
#[derive(Clone, Debug, Default, Hash)]
struct Lossy {
    text: String,
    /// The beginning of a character whose other bytes are still to come: three bytes at most.
    cut: Vec<u8>,
}

impl Lossy {
    fn len(&self) -> usize {
        self.text.len() + self.cut.len()
    }

    fn push(&mut self, bytes: &[u8], limit: u64) -> Result<(), ProtocolError> {
        if self.cut.is_empty() {
            return self.push_behind_whole(bytes, limit);
        }
        let bytes = [&std::mem::take(&mut self.cut), bytes].concat();
        self.push_behind_whole(&bytes, limit)
    }

    /// The same where all characters so far are whole.
    fn push_behind_whole(&mut self, bytes: &[u8], limit: u64) -> Result<(), ProtocolError> {
        let mut chunks = bytes.utf8_chunks().peekable();
        while let Some(chunk) = chunks.next() {
            self.append(chunk.valid(), limit)?;
            let bad = chunk.invalid();
            if chunks.peek().is_none() && may_go_on(bad) {
                self.cut = bad.to_vec();
            } else if !bad.is_empty() {
                self.append(REPLACEMENT, limit)?;
            }
        }
        within(limit, self.len() as u64)
    }

    fn append(&mut self, text: &str, limit: u64) -> Result<(), ProtocolError> {
        within(limit, (self.text.len() + text.len()) as u64)?;
        self.text.push_str(text);
        Ok(())
    }

    /// No more bytes follow.
    fn end(mut self, limit: u64) -> Result<String, ProtocolError> {
        if !self.cut.is_empty() {
            self.append(REPLACEMENT, limit)?;
        }
        Ok(self.text)
    }
}

const REPLACEMENT: &str = "\u{FFFD}";

/// Whether bytes that are no UTF-8 are only the beginning of a character.
fn may_go_on(bad: &[u8]) -> bool {
    std::str::from_utf8(bad).is_err_and(|error| error.error_len().is_none())
}

/// Takes what stands before the next FF, and the FF; says whether there was one.
fn up_to_ff<'a>(input: &mut &'a [u8]) -> (&'a [u8], bool) {
    match input.iter().position(|byte| *byte == 0xFF) {
        Some(end) => {
            let part = &input[..end];
            *input = &input[end + 1..];
            (part, true)
        }
        None => (std::mem::take(input), false),
    }
}

/// Appends a text frame.
pub(crate) fn write_text(out: &mut Vec<u8>, text: &[u8]) {
    out.push(0x00);
    out.extend_from_slice(text);
    out.push(0xFF);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(bytes: &[u8], step: usize) -> Result<Vec<Piece>, ProtocolError> {
        let mut decoder = Decoder::new();
        let mut pieces = Vec::new();
        for mut chunk in bytes.chunks(step) {
            while let Some(piece) = decoder.next(&mut chunk, 1000)? {
                pieces.push(piece);
            }
        }
        Ok(pieces)
    }

    #[test]
    fn the_framing_rules_of_the_draft() {
        let text = |s: &str| Piece::Text(s.to_owned());
        let cases: &[(&[u8], Vec<Piece>)] = &[
            (b"\x00hi\xff", vec![text("hi")]),
            (b"\x00\xff\x00a\xff", vec![text(""), text("a")]),
            // Unknown types are discarded, lengths skipped by count even over an FF.
            (b"\x01xyz\xff\x00a\xff", vec![text("a")]),
            (b"\x80\x03\xff\xff\xff\x00a\xff", vec![text("a")]),
            (b"\x80\x80\x80\x03abc\x00a\xff", vec![text("a")]),
            (b"\xff\x01x\x00a\xff", vec![text("a")]),
            (b"\x00a\xff\xff\x00", vec![text("a"), Piece::Close]),
            (b"\xff\x80\x00", vec![Piece::Close]),
            (b"\x00a\xc3\xff", vec![text("a\u{FFFD}")]),
        ];
        for (bytes, want) in cases {
            for step in 1..=bytes.len() {
                assert_eq!(decode(bytes, step).as_ref(), Ok(want), "{bytes:x?} in steps of {step}");
            }
        }
    }

    /// Each bad byte becomes U+FFFD, which has three: what is delivered counts, not what came.
    #[test]
    fn the_limit_holds_for_a_text_whose_bad_bytes_were_replaced() {
        let too_big = ProtocolError::MessageTooBig { limit: 1000 };
        let frame = |bytes: &[u8]| [&[0x00], bytes, &[0xFF]].concat();
        for step in [1, 7, 5000] {
            // 999 bytes of it, and a thousand with a letter.
            let replaced = "\u{FFFD}".repeat(333);
            let text = decode(&frame(&[0x80; 333]), step).unwrap();
            assert_eq!(text, [Piece::Text(replaced.clone())]);
            let whole = decode(&frame(&[&[0x80; 333][..], b"a"].concat()), step).unwrap();
            assert_eq!(whole, [Piece::Text(replaced + "a")]);
            for bad in [&[0x80; 334][..], &[&[b'a'; 998][..], b"\x80"].concat()] {
                assert_eq!(decode(&frame(bad), step), Err(too_big), "in steps of {step}");
            }
            // The beginning of a character that does not go on is replaced at the end.
            let cut = [&[b'a'; 998][..], b"\xE2\x82"].concat();
            assert_eq!(decode(&frame(&cut), step), Err(too_big), "in steps of {step}");
        }
    }

    #[test]
    fn bad_bytes_are_replaced_the_same_wherever_the_text_is_cut() {
        let bytes = b"a\xE2\x82\xACb\xF0\x9F\xE2\x82c\x80\xF0\x9F\x98\x80\xC3(\xED\xA0\x80\xF4";
        let want = String::from_utf8_lossy(bytes).into_owned();
        let frame = [&[0x00], &bytes[..], &[0xFF]].concat();
        for step in 1..=frame.len() {
            let text = decode(&frame, step).unwrap();
            assert_eq!(text, [Piece::Text(want.clone())], "in steps of {step}");
        }
    }

    #[test]
    fn nothing_is_endless() {
        use ProtocolError as P;
        let too_big = P::MessageTooBig { limit: 1000 };
        assert_eq!(decode(&[0x00; 1002], 10), Err(too_big));
        assert_eq!(decode(&[0x01; 1003], 10), Err(too_big));
        assert_eq!(decode(&[0x80; 20], 1), Err(P::HixieLength));
        let huge = [0xFE, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F];
        assert!(decode(&huge, 3).is_err());
    }
}
