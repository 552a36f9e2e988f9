//! DEFLATE for the raw peers: an inflater that is as strict as the agreement, and what the
//! messages of a client are made with.

use miniz_oxide::deflate::core::{
    CompressorOxide, TDEFLFlush, compress, create_comp_flags_from_zip_params,
};
use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::inflate_flags::TINFL_FLAG_HAS_MORE_INPUT;
use miniz_oxide::inflate::core::{DecompressorOxide, decompress};

/// What the sender took off the end of a message (RFC 7692 §7.2.1).
const TAIL: [u8; 4] = [0, 0, 0xFF, 0xFF];

/// The tail, and a last block: only a message that ends where a block ends gets to its end.
const END: [u8; 9] = [0, 0, 0xFF, 0xFF, 1, 0, 0, 0xFF, 0xFF];

/// The size of a message of which no more is unpacked.
const LIMIT: usize = 1 << 20;

/// Unpacks the messages of one direction. Its buffer is as large as the window that was agreed on,
/// so that a reference behind it fails.
pub(super) struct Inflater {
    window: Vec<u8>,
    at: usize,
    state: Box<DecompressorOxide>,
}

impl Inflater {
    /// For a window of 2^`bits` bytes.
    pub(super) fn new(bits: u8) -> Self {
        let state = Box::new(DecompressorOxide::new());
        Inflater { window: vec![0; 1 << bits], at: 0, state }
    }

    /// Forgets what came before: the next message stands alone.
    pub(super) fn forget(&mut self) {
        self.window.fill(0);
        self.at = 0;
    }

    /// Unpacks a message; an error says what is wrong with it.
    pub(super) fn message(&mut self, payload: &[u8]) -> Result<Vec<u8>, &'static str> {
        let all = [payload, &END].concat();
        let mut rest = &all[..];
        let mut out = Vec::new();
        self.state.init();
        loop {
            let (window, at) = (&mut self.window[..], self.at);
            let (status, read, written) =
                decompress(&mut self.state, rest, window, at, TINFL_FLAG_HAS_MORE_INPUT);
            out.extend_from_slice(&self.window[at..at + written]);
            self.at = (at + written) % self.window.len();
            rest = &rest[read..];
            if out.len() > LIMIT {
                return Err("it unpacks to more than 1 MiB");
            }
            match status {
                // A last block may end right before the tail that its sender took off.
                TINFLStatus::Done if rest.is_empty() || rest == END => return Ok(out),
                // A sender may set BFINAL and go on (RFC 7692 §7.2.3.4).
                TINFLStatus::Done => self.state.init(),
                TINFLStatus::HasMoreOutput => {}
                TINFLStatus::NeedsMoreInput => return Err("it ends inside a block"),
                _ => {
                    return Err(
                        "it is cut, or is no DEFLATE data within the window that was agreed on",
                    );
                }
            }
        }
    }
}

/// A message, compressed without regard to others. It refers back no farther than its length.
pub(super) fn deflated(text: &[u8]) -> Vec<u8> {
    // A negative window stands for DEFLATE without zlib's header.
    let mut state = CompressorOxide::new(create_comp_flags_from_zip_params(6, -15, 0));
    let mut out = vec![0; text.len() + text.len() / 8 + 64];
    let (_, read, written) = compress(&mut state, text, &mut out, TDEFLFlush::Sync);
    assert_eq!(read, text.len(), "the space is enough for any text");
    out.truncate(written);
    assert!(out.ends_with(&TAIL), "a flush ends with an empty block");
    out.truncate(written - TAIL.len());
    out
}

/// So many MiB of zero bytes, compressed to about a thousandth.
pub(super) fn zeros(mebibytes: usize) -> Vec<u8> {
    // What follows a flush begins on a byte, and refers to nothing before it: it can be repeated.
    let one = [&deflated(&vec![0; 1 << 20])[..], &TAIL].concat();
    let mut all = one.repeat(mebibytes);
    all.truncate(all.len() - TAIL.len());
    all
}

/// Text of so many bytes that has words again and again, some hundred to some thousand bytes
/// apart, and no longer repetition: always the same.
pub(super) fn prose(bytes: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let mut next = |below: u32| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 16) % below
    };
    let mut word = || (0..8).map(|_| b'a' + next(26) as u8).chain([b' ']).collect::<Vec<u8>>();
    let words: Vec<Vec<u8>> = (0..256).map(|_| word()).collect();
    let mut text: Vec<u8> = Vec::with_capacity(bytes + 9);
    while text.len() < bytes {
        text.extend(&words[next(256) as usize]);
    }
    text.truncate(bytes);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inflated(bits: u8, payload: &[u8]) -> Result<Vec<u8>, &'static str> {
        Inflater::new(bits).message(payload)
    }

    #[test]
    fn the_examples_of_the_rfc_are_unpacked() {
        // RFC 7692 §7.2.3.
        let mut inflater = Inflater::new(15);
        for payload in [
            &b"\xf2\x48\xcd\xc9\xc9\x07\x00"[..],
            b"\xf2\x00\x11\x00\x00",
            b"\x00\x05\x00\xfa\xffHello\x00",
            b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00",
            b"\xf3\x48\xcd\xc9\xc9\x07\x00",
            b"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00",
        ] {
            assert_eq!(inflater.message(payload).unwrap(), b"Hello", "{payload:x?}");
        }
        inflater.forget();
        assert_ne!(inflater.message(b"\xf2\x00\x11\x00\x00").unwrap_or_default(), b"Hello");
    }

    #[test]
    fn what_is_cut_or_wrong_is_told() {
        let stored = b"\x00\x05\x00\xfa\xffHe";
        for payload in [&b"\xf2\x48\xcd"[..], b"\xf2\x48\xcd\xc9\xc9", stored, b"\x07"] {
            assert!(inflated(15, payload).is_err(), "{payload:x?}");
        }
    }

    #[test]
    fn what_was_deflated_is_inflated_in_any_window_that_is_large_enough() {
        for bits in 8..=15 {
            for len in [0, 1, 255, 256, 1 << bits, 20_000_usize.min(1 << bits)] {
                let text = prose(len);
                assert_eq!(inflated(bits, &deflated(&text)), Ok(text.clone()), "{bits} {len}");
            }
        }
    }

    #[test]
    fn a_reference_behind_the_window_is_an_error() {
        let text = prose(20_000);
        let payload = deflated(&text);
        assert_eq!(inflated(15, &payload), Ok(text));
        for bits in 8..=10 {
            assert!(inflated(bits, &payload).unwrap_err().contains("window"), "{bits}");
        }
    }

    #[test]
    fn zeros_are_many_and_their_message_is_small() {
        assert!(zeros(64).len() < 80_000, "{}", zeros(64).len());
        let one = zeros(1);
        assert_eq!(inflated(15, &one), Ok(vec![0; 1 << 20]));
        assert_eq!(inflated(15, &zeros(2)), Err("it unpacks to more than 1 MiB"));
        assert!(one.len() * 64 < 80_000);
    }
}
