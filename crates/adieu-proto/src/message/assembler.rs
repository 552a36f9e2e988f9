//! How fragments become one message (RFC 6455 §5.4).

use std::sync::Arc;

use bytes::Bytes;

use crate::error::ProtocolError;
use crate::message::Message;
use crate::pool::Pool;
use crate::utf8::Utf8Bytes;

/// Gathers the fragments of one message into one buffer and checks text as its bytes arrive.
#[derive(Clone, Debug, Default, Hash)]
pub(crate) struct Assembler {
    /// The message under way, if any.
    current: Option<Box<Partial>>,
}

#[derive(Clone, Debug, Hash)]
struct Partial {
    text: bool,
    /// Its bytes are compressed: whether it is one of text.
    #[cfg(feature = "deflate")]
    compressed: Option<bool>,
    /// Its first bytes are the message so far, as many as `filled` says; what follows is room, left
    /// from another message where the pool gave the buffer.
    bytes: Vec<u8>,
    filled: usize,
    /// How much of a text is known to be whole characters.
    checked: usize,
    /// What its frames have announced, and how many followed the first.
    payload: u64,
    fragments: u64,
}

/// A buffer grows with the bytes that arrived, never with the length that was announced: at most
/// this much is reserved ahead, or as much again as is there.
const RESERVE_AHEAD: usize = 64 * 1024;

impl Assembler {
    pub(crate) fn in_message(&self) -> bool {
        self.current.is_some()
    }

    /// Bytes of the message under way.
    pub(crate) fn held(&self) -> usize {
        self.current.as_ref().map_or(0, |partial| partial.filled)
    }

    /// A data frame begins. `first` is whether it begins a message, `len` what it announced,
    /// `limit` what a message may cost.
    pub(crate) fn frame(
        &mut self,
        first: bool,
        len: u64,
        limit: u64,
        fragment_cost: u64,
    ) -> Result<(), ProtocolError> {
        let (payload, fragments) = match (first, &mut self.current) {
            (true, None) => (len, 0),
            (false, Some(partial)) => {
                partial.payload = partial.payload.saturating_add(len);
                partial.fragments += 1;
                (partial.payload, partial.fragments)
            }
            (true, Some(_)) => return Err(ProtocolError::ExpectedContinuation),
            (false, None) => return Err(ProtocolError::UnexpectedContinuation),
        };
        if payload > limit {
            Err(ProtocolError::MessageTooBig { limit })
        } else if payload.saturating_add(fragments.saturating_mul(fragment_cost)) > limit {
            Err(ProtocolError::TooManyFragments { fragments: fragments + 1, limit })
        } else {
            Ok(())
        }
    }

    /// Bytes of the frame's payload; `to_come` is what it announced and has not delivered yet.
    /// `text` counts in the first frame of a message.
    pub(crate) fn payload(
        &mut self,
        text: bool,
        bytes: &[u8],
        to_come: u64,
        pool: Option<&Arc<dyn Pool>>,
    ) -> Result<(), ProtocolError> {
        let to_come = usize::try_from(to_come).unwrap_or(usize::MAX);
        let partial = self.current.get_or_insert_with(|| {
            let len = bytes.len().saturating_add(to_come);
            let buffer = pool.and_then(|pool| pool.take(len)).unwrap_or_default();
            let payload = len as u64;
            let (filled, checked, fragments) = (0, 0, 0);
            Box::new(Partial {
                text,
                #[cfg(feature = "deflate")]
                compressed: None,
                bytes: buffer,
                filled,
                checked,
                payload,
                fragments,
            })
        });
        partial.append(bytes, to_come);
        partial.check()
    }

    /// The message under way is compressed; `text` is whether it is one of text.
    #[cfg(feature = "deflate")]
    pub(crate) fn is_compressed(&mut self, text: bool) {
        if let Some(partial) = &mut self.current {
            partial.compressed = Some(text);
        }
    }

    /// Of a message under way that is compressed: whether it is one of text.
    #[cfg(feature = "deflate")]
    pub(crate) fn compressed(&self) -> Option<bool> {
        self.current.as_ref().and_then(|partial| partial.compressed)
    }

    /// Where the next bytes may be put without a copy, `to_come` at most: the room that is there.
    pub(crate) fn room(&mut self, to_come: u64) -> &mut [u8] {
        let to_come = usize::try_from(to_come).unwrap_or(usize::MAX);
        let Some(partial) = &mut self.current else { return &mut [] };
        let room = &mut partial.bytes[partial.filled..];
        let n = room.len().min(to_come);
        &mut room[..n]
    }

    /// So many bytes were put there.
    pub(crate) fn filled(&mut self, n: usize) -> Result<(), ProtocolError> {
        let Some(partial) = &mut self.current else { return Ok(()) };
        partial.filled += n;
        partial.check()
    }

    /// Nobody reads the message under way: of its bytes only the beginning of a character is kept
    /// whose other bytes are still to come. What comes is checked all the same.
    pub(crate) fn discard(&mut self) {
        if let Some(partial) = &mut self.current {
            partial.discard();
        }
    }

    /// The last frame is complete: the message.
    pub(crate) fn finish(
        &mut self,
        pool: Option<&Arc<dyn Pool>>,
    ) -> Result<Option<Message>, ProtocolError> {
        let Some(mut partial) = self.current.take() else { return Ok(None) };
        if partial.text && partial.checked < partial.filled {
            return Err(ProtocolError::InvalidUtf8);
        }
        partial.bytes.truncate(partial.filled);
        let bytes = match pool {
            Some(pool) => pool.clone().share(partial.bytes),
            None => partial.bytes.into(),
        };
        Ok(Some(match partial.text {
            true => Message::Text(Utf8Bytes::checked(bytes)),
            false => Message::Binary(bytes),
        }))
    }
}

impl Partial {
    fn append(&mut self, bytes: &[u8], to_come: usize) {
        let room = &mut self.bytes[self.filled..];
        let fits = room.len().min(bytes.len());
        let (bytes, rest) = bytes.split_at(fits);
        room[..fits].copy_from_slice(bytes);
        let free = self.bytes.capacity() - self.bytes.len();
        if free < rest.len() {
            let ahead = self.bytes.len().max(RESERVE_AHEAD);
            self.bytes.reserve_exact(rest.len() + ahead.min(to_come));
        }
        self.bytes.extend_from_slice(rest);
        self.filled += fits + rest.len();
    }

    #[cold]
    #[inline(never)]
    fn discard(&mut self) {
        let unchecked = if self.text { self.checked } else { self.filled };
        self.bytes = self.bytes[unchecked..self.filled].to_vec();
        self.filled = self.bytes.len();
        self.checked = 0;
    }

    /// Checks what is new. A character that is not whole yet is no fault; a byte that can begin
    /// or continue none is, at once (RFC 6455 §8.1; Autobahn 6.4).
    fn check(&mut self) -> Result<(), ProtocolError> {
        if !self.text {
            return Ok(());
        }
        match simdutf8::compat::from_utf8(&self.bytes[self.checked..self.filled]) {
            Ok(_) => self.checked = self.filled,
            Err(e) if e.error_len().is_none() => self.checked += e.valid_up_to(),
            Err(_) => return Err(ProtocolError::InvalidUtf8),
        }
        Ok(())
    }
}

/// A whole message that came in one frame and one read.
#[inline]
pub(crate) fn in_one_frame(text: bool, bytes: Bytes) -> Result<Message, ProtocolError> {
    if text && simdutf8::basic::from_utf8(&bytes).is_err() {
        return Err(ProtocolError::InvalidUtf8);
    }
    Ok(if text { Message::Text(Utf8Bytes::checked(bytes)) } else { Message::Binary(bytes) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gather(pieces: &[&[u8]]) -> Result<Message, ProtocolError> {
        let mut assembler = Assembler::default();
        for (i, piece) in pieces.iter().enumerate() {
            assembler.frame(i == 0, piece.len() as u64, 1 << 20, 1)?;
            assembler.payload(true, piece, 0, None)?;
        }
        Ok(assembler.finish(None)?.expect("a message is under way"))
    }

    #[test]
    fn a_character_may_be_cut_by_fragments() {
        let text = "aé€𝄞z";
        for cut in 0..text.len() {
            let (a, b) = text.as_bytes().split_at(cut);
            assert_eq!(gather(&[a, b]), Ok(Message::from(text)), "cut at {cut}");
        }
    }

    #[test]
    fn a_bad_byte_is_found_before_the_message_is_whole() {
        // Surrogate, above U+10FFFF, overlong, stray continuation, bad continuation.
        for bad in [&b"\xED\xA0"[..], b"\xF4\x90", b"\xC0", b"a\x80", b"\xE2\x28"] {
            let mut assembler = Assembler::default();
            assembler.frame(true, 100, 1000, 1).unwrap();
            assert_eq!(
                assembler.payload(true, bad, 98, None),
                Err(ProtocolError::InvalidUtf8),
                "{bad:x?}"
            );
        }
    }

    #[test]
    fn what_nobody_reads_is_not_kept_and_is_checked_all_the_same() {
        let discarded = |pieces: &[&[u8]]| {
            let mut assembler = Assembler::default();
            for (i, piece) in pieces.iter().enumerate() {
                assembler.frame(i == 0, piece.len() as u64, 1 << 20, 1)?;
                assembler.payload(true, piece, 0, None)?;
                assembler.discard();
                assert!(assembler.held() < 4, "{}", assembler.held());
            }
            assembler.finish(None).map(drop)
        };
        let text = "aé€𝄞z".repeat(100);
        for cut in 0..text.len() {
            let (a, b) = text.as_bytes().split_at(cut);
            assert_eq!(discarded(&[a, b]), Ok(()), "cut at {cut}");
        }
        for bad in [[&b"a\xE2\x82"[..], b"z"], [b"a", b"\xC0"], [b"a", b"\xE2\x82"]] {
            assert_eq!(discarded(&bad), Err(ProtocolError::InvalidUtf8), "{bad:x?}");
        }
    }

    #[test]
    fn a_cut_character_at_the_end_is_a_fault() {
        assert_eq!(gather(&[b"a\xE2\x82"]), Err(ProtocolError::InvalidUtf8));
    }

    #[test]
    fn memory_follows_what_arrived_not_what_was_announced() {
        let mut assembler = Assembler::default();
        assembler.frame(true, 1 << 40, u64::MAX, 1).unwrap();
        assembler.payload(false, &[0; 10], (1 << 40) - 10, None).unwrap();
        let capacity = assembler.current.as_ref().unwrap().bytes.capacity();
        assert!(capacity <= 2 * RESERVE_AHEAD, "{capacity}");
    }

    #[test]
    fn empty_fragments_are_charged() {
        let mut assembler = Assembler::default();
        assembler.frame(true, 0, 1000, 32).unwrap();
        assembler.payload(false, &[], 0, None).unwrap();
        let all = (0..).take_while(|_| assembler.frame(false, 0, 1000, 32).is_ok()).count();
        assert_eq!(all, 31);
    }

    #[test]
    fn a_short_text_is_shown_and_of_a_long_one_the_beginning() {
        assert_eq!(format!("{:?}", Message::from("a \"b\"\n")), r#"Text("a \"b\"\n")"#);
        let long = format!("{:?}", Message::from("é".repeat(100)));
        assert_eq!(long, format!("Text({:?}…, 200 bytes)", "é".repeat(32)));
        assert_eq!(format!("{:?}", Message::from(vec![1, 2])), "Binary(2 bytes)");
    }
}
