//! Messages that stand whole in the input, each in one frame. Most come like this: they need no
//! state.

use crate::error::ProtocolError;
use crate::frame::mask;
use crate::message::{self, Message};

/// Where a message stands.
#[derive(Clone, Copy)]
struct Whole {
    text: bool,
    key: Option<[u8; 4]>,
    begin: usize,
    end: usize,
}

impl Whole {
    /// Looks at the front of `input`. `None` if it is anything but a whole message of at most
    /// `limit` bytes: that is for the decoder to judge.
    #[inline]
    fn at(input: &[u8], masked: bool, limit: u64) -> Option<Self> {
        let (first, second) = match input {
            [first @ (0x81 | 0x82), second, ..] => (*first, *second),
            _ => return None,
        };
        if masked != (second & 0x80 != 0) {
            return None;
        }
        let (len, at) = match (second & 0x7F, &input[2..]) {
            (126, [a, b, ..]) => (usize::from(u16::from_be_bytes([*a, *b])), 4),
            (short @ ..=125, _) => (usize::from(short), 2),
            _ => return None,
        };
        let begin = at + if masked { 4 } else { 0 };
        let shortest = at == 2 || len > 125;
        if !shortest || input.len() < begin + len || len as u64 > limit {
            return None;
        }
        let key = if masked { input[at..].first_chunk().copied() } else { None };
        Some(Whole { text: first == 0x81, key, begin, end: begin + len })
    }
}

/// Takes the messages that stand whole at the front of `input`, which begins between two frames
/// and two messages.
#[inline]
pub(crate) fn take(
    input: &mut &mut [u8],
    masked: bool,
    limit: u64,
    mut deliver: impl FnMut(Message),
) -> Result<(), ProtocolError> {
    while let Some(Whole { text, key, begin, end }) = Whole::at(input, masked, limit) {
        let (message, rest) = std::mem::take(input).split_at_mut(end);
        *input = rest;
        let payload = &message[begin..];
        let payload = match key {
            Some(key) => mask::unmasked(key, payload),
            None => payload.to_vec(),
        };
        deliver(message::whole(text, payload.into())?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{Opcode, hybi};

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
        let mut messages = Vec::new();
        let mut input = bytes;
        let result = take(&mut input, true, 5000, |message| messages.push(message));
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
