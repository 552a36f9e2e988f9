//! Large buffers between two messages.

use std::fmt::Debug;
use std::sync::Arc;

use bytes::Bytes;

/// Where the buffers of large messages come from and go to. Who drives connections may have one
/// ([`Scratch::with_pool`](crate::Scratch::with_pool)); without, each message is allocated anew.
pub trait Pool: Debug + Send + Sync {
    /// A buffer for a message of this length, if there is one that is not far too large: who keeps
    /// a message keeps its buffer. What it holds means nothing; as far as it is filled, bytes can
    /// be read to it without a copy: [`read_buffer`](crate::Connection::read_buffer).
    fn take(&self, len: usize) -> Option<Vec<u8>>;

    /// Shares the bytes of a message. The buffer may come back when the last lets go of it.
    fn share(self: Arc<Self>, bytes: Vec<u8>) -> Bytes;
}
