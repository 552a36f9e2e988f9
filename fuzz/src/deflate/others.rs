//! What other inflaters say of a message.

use flate2::{Decompress, FlushDecompress, Status};
use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::{DecompressorOxide, decompress, inflate_flags};

use super::{SYNC, strict};

/// The largest window of DEFLATE.
const WINDOW: usize = 32 * 1024;

/// A message with more last blocks (BFINAL) than this is refused by a limit of ours.
const MOST_LAST: usize = 256;

/// What a message of the peer has to come to.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is whole, and this is its text.
    Whole(Vec<u8>),
    /// It is longer than the limit, and whole as far as was looked.
    TooLong,
    /// It is cut or wrong.
    Broken(&'static str),
    /// Whole, with more last blocks than any sender has: it may be refused.
    ManyLast(Vec<u8>),
}

/// A message of a peer behind this text, by the letter of RFC 7692 §7.2.2: with the four bytes
/// behind it, it is blocks that end where it ends. Two habits of peers are tolerated: the four
/// bytes were not taken off, and nothing stands behind a last block (BFINAL) that ends the message.
#[must_use]
pub fn of_peer(payload: &[u8], before: &[u8], limit: usize) -> Verdict {
    if payload.is_empty() {
        return Verdict::Whole(Vec::new());
    }
    let forms = [(true, payload), (false, payload)].into_iter();
    let untouched = payload.strip_suffix(&SYNC).map(|payload| (false, payload));
    let mut why = "";
    for (tail, bytes) in forms.chain(untouched) {
        let all = [bytes, if tail { &SYNC[..] } else { &[] }].concat();
        match strict::blocks(&all, before, WINDOW, limit) {
            Ok(blocks) => {
                let kept = bytes.len() == payload.len() && payload.ends_with(&SYNC);
                if tail || blocks.ends_with_last || kept {
                    let many = blocks.last >= MOST_LAST;
                    return if many { Verdict::ManyLast } else { Verdict::Whole }(blocks.out);
                }
            }
            Err(strict::TOO_LONG) => return Verdict::TooLong,
            Err(other) => why = other,
        }
    }
    Verdict::Broken(why)
}

/// What a message of ours holds behind this text; it may not refer further back than the window.
///
/// # Panics
/// Where it is none of permessage-deflate.
#[must_use]
pub fn strictly(payload: &[u8], before: &[u8], window: usize) -> Vec<u8> {
    strict::inflate(payload, before, window).expect("a legal message").0
}

/// What zlib in C makes of a message: all that comes out, whether it is whole or not.
#[must_use]
pub fn zlib(payload: &[u8], before: &[u8], limit: usize) -> Vec<u8> {
    let bytes = [payload, &SYNC].concat();
    let (mut rest, mut out) = (&bytes[..], before[before.len().saturating_sub(WINDOW)..].to_vec());
    let start = out.len();
    let mut stream = begun(&out);
    let mut room = [0; 4096];
    while out.len() - start <= limit {
        let (taken, given) = (stream.total_in(), stream.total_out());
        let status = stream.decompress(rest, &mut room, FlushDecompress::None);
        let taken = (stream.total_in() - taken) as usize;
        let given = (stream.total_out() - given) as usize;
        out.extend_from_slice(&room[..given]);
        rest = &rest[taken..];
        match status {
            Err(_) => break,
            Ok(Status::StreamEnd) if !rest.is_empty() => {
                stream = begun(&out[out.len().saturating_sub(WINDOW)..]);
            }
            Ok(Status::StreamEnd) => break,
            Ok(_) if taken == 0 && given == 0 => break,
            Ok(_) => {}
        }
    }
    out.split_off(start)
}

fn begun(dictionary: &[u8]) -> Decompress {
    let mut stream = Decompress::new(false);
    if !dictionary.is_empty() {
        stream.set_dictionary(dictionary).expect("a dictionary");
    }
    stream
}

/// What miniz_oxide makes of a message of ours, `len` bytes long.
///
/// # Panics
/// Where it finds something wrong.
#[must_use]
pub fn miniz(payload: &[u8], before: &[u8], len: usize) -> Vec<u8> {
    // The four bytes, and a last block: without one it waits for more.
    let bytes = [payload, &SYNC, &[0x01], &SYNC].concat();
    let mut out = before.to_vec();
    out.resize(before.len() + len, 0);
    let flags = inflate_flags::TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
    let mut decompressor = DecompressorOxide::new();
    let (status, taken, given) =
        decompress(&mut decompressor, &bytes, &mut out, before.len(), flags);
    assert_eq!((status, taken, given), (TINFLStatus::Done, bytes.len(), len));
    out.split_off(before.len())
}
