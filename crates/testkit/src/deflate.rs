//! Compressed messages (RFC 7692), by a DEFLATE library that Adieu does not use.

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

/// What ends each message, and is left out of it (§7.2.1).
const TAIL: [u8; 4] = [0x00, 0x00, 0xFF, 0xFF];

/// Inflates the messages of one side, which may refer to those before them.
#[derive(Debug)]
pub struct Inflater(Decompress);

impl Default for Inflater {
    fn default() -> Self {
        Inflater(Decompress::new(false))
    }
}

impl Inflater {
    /// The next message, of this payload.
    ///
    /// # Panics
    /// If it cannot be inflated.
    pub fn message(&mut self, payload: &[u8]) -> Vec<u8> {
        let bytes = [payload, &TAIL].concat();
        let (start, mut message) = (self.0.total_in(), Vec::new());
        loop {
            message.reserve(64 * 1024);
            let (read, written) = ((self.0.total_in() - start) as usize, message.len());
            let rest = &bytes[read..];
            let step = self.0.decompress_vec(rest, &mut message, FlushDecompress::Sync);
            match step {
                // A call that moves nothing, without want of room, is the last.
                Ok(Status::BufError) if rest.is_empty() => return message,
                Ok(_) if rest.is_empty() && message.len() == written => return message,
                Ok(Status::Ok) => {}
                other => panic!("{other:?}: {payload:x?}"),
            }
        }
    }

    /// The same as text.
    ///
    /// # Panics
    /// If it is none.
    pub fn text(&mut self, payload: &[u8]) -> String {
        String::from_utf8(self.message(payload)).expect("text")
    }
}

/// The payload of a message that refers to no other.
///
/// # Panics
/// Never, as far as is known.
#[must_use]
pub fn deflated(message: impl AsRef<[u8]>) -> Vec<u8> {
    let message = message.as_ref();
    let mut out = Vec::with_capacity(message.len() + 64);
    let mut deflater = Compress::new(Compression::default(), false);
    deflater.compress_vec(message, &mut out, FlushCompress::Sync).expect("it deflates");
    assert_eq!(deflater.total_in(), message.len() as u64, "there was room");
    assert!(out.ends_with(&TAIL), "{out:x?}");
    out.truncate(out.len() - TAIL.len());
    out
}
