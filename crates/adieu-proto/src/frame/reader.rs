//! From bytes to what they say: frames of either family become messages and control verbs.

use std::sync::Arc;

use bytes::Bytes;

use crate::close::{Close, Truncation};
use crate::close_code::CloseCode;
use crate::config::defaults::FRAGMENT_COST;
use crate::error::ProtocolError;
#[cfg(feature = "legacy")]
use crate::frame::hixie;
use crate::frame::hybi::{self, Header, Parsed, Piece};
use crate::frame::{Opcode, mask};
use crate::message::{Assembler, Message, in_one_frame};
use crate::pool::Pool;
use crate::utf8::Utf8Bytes;

/// What the peer said.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Received {
    Message(Message),
    /// The payload of a message that is compressed, and whether it is one of text.
    #[cfg(feature = "deflate")]
    Compressed(bool, Bytes),
    Ping(Bytes),
    Pong(Vec<u8>),
    Close(Close),
}

/// How it broke the protocol, and what its Close said if that was the offence.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    pub(crate) error: ProtocolError,
    pub(crate) said: Option<Close>,
}

impl From<ProtocolError> for Violation {
    fn from(error: ProtocolError) -> Self {
        Violation { error, said: None }
    }
}

/// Reads one direction of a connection.
#[derive(Clone, Debug, Hash)]
pub(crate) enum Reader {
    Hybi(Hybi),
    #[cfg(feature = "legacy")]
    Hixie(hixie::Decoder),
}

impl Reader {
    /// `masked`: whether the peer has to mask its frames.
    pub(crate) fn hybi(masked: bool) -> Self {
        Reader::Hybi(Hybi {
            decoder: hybi::Decoder::new(masked),
            control: Vec::new(),
            assembler: Assembler::default(),
        })
    }

    #[cfg(feature = "legacy")]
    pub(crate) fn hixie() -> Self {
        Reader::Hixie(hixie::Decoder::new())
    }

    /// Where the input stands.
    pub(crate) fn truncation(&self) -> Truncation {
        match self {
            #[cfg(feature = "deflate")]
            Reader::Hybi(hybi) if hybi.decoder.is_waiting() => Truncation::BetweenMessages,
            Reader::Hybi(hybi) if hybi.decoder.in_frame() => Truncation::MidFrame,
            Reader::Hybi(hybi) if hybi.assembler.in_message() => Truncation::MidMessage,
            #[cfg(feature = "legacy")]
            Reader::Hixie(hixie) if hixie.in_frame() => Truncation::MidFrame,
            _ => Truncation::BetweenMessages,
        }
    }

    /// Bytes of a message that is not whole yet.
    pub(crate) fn held(&self) -> usize {
        match self {
            Reader::Hybi(hybi) => hybi.assembler.held(),
            #[cfg(feature = "legacy")]
            Reader::Hixie(hixie) => hixie.held(),
        }
    }

    /// Nobody reads what comes: of the message under way no more is kept than its checks need.
    #[inline]
    pub(crate) fn discard(&mut self) {
        match self {
            Reader::Hybi(hybi) => hybi.assembler.discard(),
            #[cfg(feature = "legacy")]
            Reader::Hixie(hixie) => hixie.discard(),
        }
    }

    /// Bytes of the frame under way that are still to come, where it says.
    pub(crate) fn to_come(&self) -> u64 {
        match self {
            Reader::Hybi(hybi) => hybi.decoder.to_come(),
            #[cfg(feature = "legacy")]
            Reader::Hixie(_) => 0,
        }
    }

    /// Takes the messages that stand whole at the front of `input`, each in one frame: most come
    /// like this, and need no state. What is left is for [`next`](Self::next).
    #[inline]
    pub(crate) fn whole_messages(
        &self,
        input: &mut &mut [u8],
        limit: u64,
        mut deliver: impl FnMut(Message),
    ) -> Result<(), ProtocolError> {
        #[cfg_attr(not(feature = "legacy"), allow(irrefutable_let_patterns))]
        let Reader::Hybi(hybi) = self else { return Ok(()) };
        if hybi.decoder.in_frame() || hybi.assembler.in_message() {
            return Ok(());
        }
        // What is wrong with a header is told by `next`, which parses it again.
        while let Ok(Parsed::Header(header, at)) = hybi::parse(input, hybi.decoder.masked()) {
            let is_here = (input.len() - at) as u64 >= header.len;
            if !(header.is_whole_message(limit) && is_here) {
                break;
            }
            let (frame, rest) = std::mem::take(input).split_at_mut(at + header.len as usize);
            *input = rest;
            let payload = match header.mask {
                Some(key) => mask::unmasked(key, &frame[at..]),
                None => frame[at..].to_vec(),
            };
            deliver(in_one_frame(header.opcode == Opcode::Text, payload.into())?);
        }
        Ok(())
    }

    /// Where payload of the frame under way may be read to without a copy; empty if it may not.
    pub(crate) fn room(&mut self) -> &mut [u8] {
        match self {
            Reader::Hybi(hybi) if hybi.decoder.in_data() => {
                hybi.assembler.room(hybi.decoder.to_come())
            }
            _ => &mut [],
        }
    }

    /// So many bytes were read to the [`room`](Self::room).
    pub(crate) fn filled(
        &mut self,
        n: usize,
        pool: Option<&Arc<dyn Pool>>,
    ) -> Result<Option<Received>, Violation> {
        #[cfg_attr(not(feature = "legacy"), allow(irrefutable_let_patterns))]
        let Reader::Hybi(hybi) = self else { return Ok(None) };
        let room = hybi.assembler.room(hybi.decoder.to_come());
        let n = n.min(room.len());
        let Some((header, left)) = hybi.decoder.payload(&mut room[..n]) else { return Ok(None) };
        hybi.assembler.filled(n)?;
        Ok(hybi.end_of_data(header, left, pool)?)
    }

    /// Takes the next thing said off the front of `input`; `None` if more bytes are needed.
    pub(crate) fn next(
        &mut self,
        input: &mut &mut [u8],
        limit: u64,
        pool: Option<&Arc<dyn Pool>>,
    ) -> Result<Option<Received>, Violation> {
        match self {
            Reader::Hybi(hybi) => hybi.next(input, limit, pool),
            #[cfg(feature = "legacy")]
            Reader::Hixie(hixie) => {
                let mut rest: &[u8] = input;
                let piece = hixie.next(&mut rest, limit);
                let taken = input.len() - rest.len();
                *input = &mut std::mem::take(input)[taken..];
                Ok(piece?.map(|piece| match piece {
                    hixie::Piece::Text(text) => Received::Message(Message::from(text)),
                    hixie::Piece::Close => Received::Close(Close::empty()),
                }))
            }
        }
    }
}

#[cfg(feature = "deflate")]
impl Reader {
    fn decoder(&mut self) -> Option<&mut hybi::Decoder> {
        #[cfg_attr(not(feature = "legacy"), allow(irrefutable_let_patterns))]
        let Reader::Hybi(hybi) = self else { return None };
        Some(&mut hybi.decoder)
    }

    /// From now on messages may be compressed.
    pub(crate) fn compresses(&mut self) {
        self.decoder().into_iter().for_each(hybi::Decoder::compresses);
    }

    /// No frame is read until the reader [goes on](Self::goes_on). It is called between frames.
    pub(crate) fn waits(&mut self) {
        self.decoder().into_iter().for_each(hybi::Decoder::waits);
    }

    pub(crate) fn goes_on(&mut self) {
        self.decoder().into_iter().for_each(hybi::Decoder::goes_on);
    }

    /// Takes a compressed message that stands whole at the front of `input`, in one frame: its
    /// payload where it lies, and whether it is one of text.
    pub(crate) fn whole_compressed<'a>(
        &self,
        input: &mut &'a mut [u8],
        limit: u64,
    ) -> Option<(bool, &'a mut [u8])> {
        #[cfg_attr(not(feature = "legacy"), allow(irrefutable_let_patterns))]
        let Reader::Hybi(hybi) = self else { return None };
        let in_message = hybi.assembler.in_message();
        let whole = hybi.decoder.whole_compressed(input, packed(limit));
        let (header, at) = whole.filter(|_| !in_message)?;
        let (frame, rest) = std::mem::take(input).split_at_mut(at + header.len as usize);
        *input = rest;
        let payload = &mut frame[at..];
        if let Some(key) = header.mask {
            mask::apply(key, 0, payload);
        }
        Some((header.opcode == Opcode::Text, payload))
    }
}

/// What a message within this limit may have while it is compressed: what does not shrink grows, by
/// an eighth at most where a byte takes nine bits (RFC 1951 §3.2.6), and peers compress that, too.
#[cfg(feature = "deflate")]
fn packed(limit: u64) -> u64 {
    limit.saturating_add(limit / 8).saturating_add(64)
}

/// The same error, of this limit.
#[cfg(feature = "deflate")]
fn with_limit(error: ProtocolError, limit: u64) -> ProtocolError {
    match error {
        ProtocolError::MessageTooBig { .. } => ProtocolError::MessageTooBig { limit },
        ProtocolError::TooManyFragments { fragments, .. } => {
            ProtocolError::TooManyFragments { fragments, limit }
        }
        other => other,
    }
}

/// The reader for RFC 6455 and its drafts.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Hybi {
    decoder: hybi::Decoder,
    /// The payload of a control frame under way: 125 bytes at most.
    control: Vec<u8>,
    assembler: Assembler,
}

impl Hybi {
    fn next(
        &mut self,
        input: &mut &mut [u8],
        limit: u64,
        pool: Option<&Arc<dyn Pool>>,
    ) -> Result<Option<Received>, Violation> {
        loop {
            match self.decoder.next(input)? {
                None => return Ok(None),
                Some(Piece::Header(header)) => self.begin(header, limit)?,
                Some(Piece::Payload(header, bytes, left)) => {
                    let received = if header.opcode.is_control() {
                        self.control(header, bytes, left)?
                    } else {
                        self.data(header, bytes, left, pool)?
                    };
                    if received.is_some() {
                        return Ok(received);
                    }
                }
            }
        }
    }

    fn begin(&mut self, header: Header, limit: u64) -> Result<(), ProtocolError> {
        if header.opcode.is_control() {
            return Ok(());
        }
        let first = header.opcode != Opcode::Continuation;
        #[cfg(feature = "deflate")]
        if header.compressed || self.assembler.compressed().is_some() {
            let frame = self.assembler.frame(first, header.len, packed(limit), FRAGMENT_COST);
            return frame.map_err(|error| with_limit(error, limit));
        }
        self.assembler.frame(first, header.len, limit, FRAGMENT_COST)
    }

    fn data(
        &mut self,
        header: Header,
        bytes: &[u8],
        left: u64,
        pool: Option<&Arc<dyn Pool>>,
    ) -> Result<Option<Received>, ProtocolError> {
        let text = header.opcode == Opcode::Text;
        #[cfg(feature = "deflate")]
        if header.compressed {
            // What is compressed is no text yet.
            self.assembler.payload(false, bytes, left, pool)?;
            self.assembler.is_compressed(text);
            return self.end_of_data(header, left, pool);
        }
        self.assembler.payload(text, bytes, left, pool)?;
        self.end_of_data(header, left, pool)
    }

    /// The message, if this was the end of its last frame.
    fn end_of_data(
        &mut self,
        header: Header,
        left: u64,
        pool: Option<&Arc<dyn Pool>>,
    ) -> Result<Option<Received>, ProtocolError> {
        if left > 0 || !header.fin {
            return Ok(None);
        }
        #[cfg(feature = "deflate")]
        if let Some(text) = self.assembler.compressed() {
            let payload = self.assembler.finish(pool)?;
            return Ok(payload.map(|payload| Received::Compressed(text, payload.into_bytes())));
        }
        Ok(self.assembler.finish(pool)?.map(Received::Message))
    }

    fn control(
        &mut self,
        header: Header,
        bytes: &[u8],
        left: u64,
    ) -> Result<Option<Received>, Violation> {
        self.control.extend_from_slice(bytes);
        if left > 0 {
            return Ok(None);
        }
        let body = std::mem::take(&mut self.control);
        Ok(Some(match header.opcode {
            Opcode::Ping => Received::Ping(body.into()),
            Opcode::Close => Received::Close(parse_close(&body)?),
            _ => Received::Pong(body),
        }))
    }
}

/// RFC 6455 §5.5.1, §7.4.
fn parse_close(body: &[u8]) -> Result<Close, Violation> {
    let (code, reason) = match body {
        [] => return Ok(Close::empty()),
        [_] => return Err(ProtocolError::CloseBodyTooShort.into()),
        [a, b, reason @ ..] => (CloseCode::new(u16::from_be_bytes([*a, *b])), reason),
    };
    let text = String::from_utf8_lossy(reason);
    let said = Close::as_said(Some(code), Utf8Bytes::from(&*text));
    if !code.is_allowed_on_wire() {
        return Err(Violation { error: ProtocolError::CloseCode(code), said: Some(said) });
    }
    if simdutf8::basic::from_utf8(reason).is_err() {
        return Err(Violation { error: ProtocolError::CloseReason, said: Some(said) });
    }
    Ok(said)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(frames: &[&[u8]], step: usize) -> (Vec<Received>, Option<Violation>, Truncation) {
        let mut reader = Reader::hybi(false);
        let mut all = Vec::new();
        for chunk in frames.concat().chunks_mut(step) {
            let mut input = chunk;
            loop {
                match reader.next(&mut input, 100, None) {
                    Ok(Some(received)) => all.push(received),
                    Ok(None) => break,
                    Err(violation) => return (all, Some(violation), reader.truncation()),
                }
            }
        }
        (all, None, reader.truncation())
    }

    #[test]
    fn control_frames_may_stand_between_fragments() {
        let frames: &[&[u8]] = &[b"\x01\x02ab", b"\x89\x01p", b"\x80\x01c", b"\x88\x02\x03\xe8"];
        for step in 1..16 {
            let (all, violation, truncation) = read(frames, step);
            assert_eq!(violation, None);
            assert_eq!(
                all,
                [
                    Received::Ping(Bytes::from_static(b"p")),
                    Received::Message("abc".into()),
                    Received::Close(Close::with(CloseCode::NORMAL)),
                ]
            );
            assert_eq!(truncation, Truncation::BetweenMessages);
        }
    }

    #[test]
    fn the_truncation_is_where_the_bytes_stop() {
        assert_eq!(read(&[b"\x01\x02ab"], 9).2, Truncation::MidMessage);
        assert_eq!(read(&[b"\x01\x02a"], 9).2, Truncation::MidFrame);
        assert_eq!(read(&[b"\x81"], 9).2, Truncation::MidFrame);
        assert_eq!(read(&[b"\x81\x01a"], 9).2, Truncation::BetweenMessages);
    }

    #[test]
    fn what_a_bad_close_said_is_kept() {
        let violation = read(&[b"\x88\x04\x03\xedhi"], 9).1.unwrap();
        assert_eq!(violation.error, ProtocolError::CloseCode(CloseCode::NO_STATUS));
        assert_eq!(violation.said.unwrap().to_string(), "1005 (no status) \"hi\"");
        let violation = read(&[b"\x88\x03\x03\xe8\xff"], 9).1.unwrap();
        assert_eq!(violation.error, ProtocolError::CloseReason);
        let violation = read(&[b"\x88\x01\x03"], 9).1.unwrap();
        assert_eq!(violation, ProtocolError::CloseBodyTooShort.into());
    }

    #[test]
    fn a_length_above_the_limit_fails_at_its_header() {
        let frame = b"\x82\x7f\x00\x00\x01\x00\x00\x00\x00\x00";
        let violation = read(&[frame], 1).1.unwrap();
        assert_eq!(violation.error, ProtocolError::MessageTooBig { limit: 100 });
    }

    /// Masked texts of these lengths, one behind the other.
    fn texts(lengths: &[usize]) -> Vec<u8> {
        let mut frames = Vec::new();
        for (i, len) in lengths.iter().enumerate() {
            let payload = vec![b'a' + (i % 26) as u8; *len];
            hybi::write_frame(&mut frames, Opcode::Text, &payload, Some([1, 2, 3, i as u8]));
        }
        frames
    }

    fn taken(bytes: &mut [u8]) -> (Vec<Message>, usize, Result<(), ProtocolError>) {
        let reader = Reader::hybi(true);
        let mut messages = Vec::new();
        let mut input = bytes;
        let result = reader.whole_messages(&mut input, 5000, |message| messages.push(message));
        (messages, input.len(), result)
    }

    #[test]
    fn all_that_are_whole_are_taken_and_nothing_else() {
        let lengths = [0, 1, 125, 126, 3000, 1000, 5000, 7];
        let frames = texts(&lengths);
        for cut in 0..=frames.len() {
            let (messages, left, result) = taken(&mut frames[..cut].to_vec());
            assert_eq!(result, Ok(()));
            let whole = (0..=lengths.len()).rfind(|n| texts(&lengths[..*n]).len() <= cut).unwrap();
            let want: Vec<Message> = (0..whole)
                .map(|i| String::from_utf8(vec![b'a' + (i % 26) as u8; lengths[i]]).unwrap().into())
                .collect();
            assert_eq!(messages, want, "cut at {cut}");
            assert_eq!(left, cut - texts(&lengths[..whole]).len(), "cut at {cut}");
        }
    }

    #[test]
    fn a_bad_text_among_others_ends_it_behind_the_good_ones() {
        let mut frames = texts(&[2, 3]);
        hybi::write_frame(&mut frames, Opcode::Text, b"\xFF", Some([1, 2, 3, 4]));
        frames.extend(texts(&[1]));
        let (messages, _, result) = taken(&mut frames);
        assert_eq!((messages.len(), result), (2, Err(ProtocolError::InvalidUtf8)));
    }

    #[test]
    fn what_the_decoder_has_to_judge_is_left_to_it() {
        // A fragment, a Ping, reserved bits, no mask, a length in too long a form, too large.
        let cases: [&[u8]; 6] = [
            &[0x01, 0x80, 0, 0, 0, 0],
            &[0x89, 0x80, 0, 0, 0, 0],
            &[0xC1, 0x80, 0, 0, 0, 0],
            &[0x81, 0x01, b'x'],
            &[0x81, 0xFE, 0, 1, 0, 0, 0, 0, b'x'],
            &texts(&[5001]),
        ];
        for case in cases {
            let (messages, left, result) = taken(&mut case.to_vec());
            assert_eq!((messages.len(), left, result), (0, case.len(), Ok(())), "{case:x?}");
        }
    }
}
