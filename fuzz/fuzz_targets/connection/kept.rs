//! What a connection keeps between two calls, with the buffers of its driver: it is bounded by
//! limits that have a name, whatever the peer sends.

use std::sync::Arc;

use adieu_proto::{Config, Pool, defaults};
use bytes::Bytes;

/// What one read brings at most: what stood behind a head in one is kept until it is decided on.
const READ: usize = 64 * 1024;

/// Buffers of a driver that are kept for the next connection: room for 1,024 messages and as many
/// outputs.
const DRIVERS: usize = 128 * 1024;

/// The connection itself, what it notes of its ending, and events that it has told.
const ITSELF: usize = 16 * 1024;

/// Output that has left is moved out of the way when there are so many bytes.
const COMPACT: usize = 64 * 1024;

/// Bytes of the longest message that the application sends, with its header.
const SENT: usize = 16 * 1024 + 14;

/// Bytes that are kept, counted, and how many there may be.
pub(crate) struct Kept {
    bytes: isize,
    most: usize,
}

impl Kept {
    pub(crate) fn new(config: &Config) -> Self {
        // A buffer that grows has up to twice the room that it needs.
        let head = 2 * (config.max_head + READ);
        let refusal = 2 * (defaults::MAX_REFUSAL_BODY + READ);
        let message = 2 * usize::try_from(config.max_message).expect("a small limit");
        let control = 2 * defaults::PONG_QUEUE;
        // The application sends none while too much waits; where each message ends is noted too.
        let output = 4 * (config.send_queue + SENT) + 2 * COMPACT;
        let most = ITSELF + DRIVERS + head + refusal + message + control + output;
        Kept { bytes: 0, most }
    }

    /// So much more, or less, is kept.
    pub(crate) fn add(&mut self, bytes: isize) {
        self.bytes += bytes;
    }

    pub(crate) fn check(&self) {
        let most = self.most.cast_signed();
        assert!(self.bytes <= most, "{} bytes are kept, and {most} may be", self.bytes);
    }
}

/// Buffers as long as they are asked for.
#[derive(Debug)]
struct AsAsked;

impl Pool for AsAsked {
    fn take(&self, len: usize) -> Option<Vec<u8>> {
        // What it holds means nothing.
        Some(vec![0xAA; len])
    }

    fn share(self: Arc<Self>, bytes: Vec<u8>) -> Bytes {
        bytes.into()
    }
}

/// A pool for the buffers of large messages.
pub(crate) fn pool() -> Arc<dyn Pool> {
    Arc::new(AsAsked)
}
