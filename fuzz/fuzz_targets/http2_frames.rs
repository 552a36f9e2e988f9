//! Frames of HTTP/2 that pass beneath the library that judges them: whose DATA they are, and what a
//! GOAWAY says.
//!
//! What must hold for any bytes, in pieces of any size:
//! - What is seen does not depend on how the bytes are cut, but for a DATA frame being seen in
//!   parts.
//! - It is what a parser says that has all bytes at once, and is written down here once more.

#![no_main]

use adieu::http2_fuzzing::{Passed, frames};
use libfuzzer_sys::fuzz_target;

/// What a client sends first (RFC 9113 §3.4).
const PREFACE: usize = 24;

fuzz_target!(|input: (bool, u8, &[u8])| {
    let (of_client, piece, bytes) = input;
    let expected = whole(bytes.get(if of_client { PREFACE } else { 0 }..).unwrap_or_default());
    for piece in [usize::from(piece), usize::MAX] {
        let mut seen = sums(frames(bytes, of_client, piece));
        // An empty frame says that it is there, and one that is cut says what came of it.
        seen.retain(|it| !matches!(it, Passed::Data(_, 0, false)));
        assert_eq!(seen, expected, "pieces of {piece}");
    }
});

/// The parts of each DATA frame, added up. Two frames of one stream in a row are one here.
fn sums(seen: Vec<Passed>) -> Vec<Passed> {
    let mut sums: Vec<Passed> = Vec::new();
    for new in seen {
        match (sums.last_mut(), &new) {
            (Some(Passed::Data(stream, bytes, end @ false)), Passed::Data(same, more, ends))
                if stream == same =>
            {
                *bytes += more;
                *end = *ends;
            }
            _ => sums.push(new),
        }
    }
    sums
}

fn whole(mut bytes: &[u8]) -> Vec<Passed> {
    let mut all = Vec::new();
    while let [a, b, c, kind, flags, s0, s1, s2, s3, rest @ ..] = bytes {
        let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
        let stream = u32::from_be_bytes([s0 & 0x7f, *s1, *s2, *s3]);
        let there = length.min(rest.len());
        match kind {
            0 => all.push(Passed::Data(stream, there as u64, there == length && flags & 1 == 1)),
            7 if there == length && length >= 8 => {
                let code = rest[4..8].try_into().expect("four bytes");
                all.push(Passed::GoAway(u32::from_be_bytes(code)));
            }
            _ => {}
        }
        bytes = &rest[there..];
    }
    let mut sums = sums(all);
    sums.retain(|it| !matches!(it, Passed::Data(_, 0, false)));
    sums
}
