//! Buffers that a connection needs only while it has work to do. The driver passes one [`Scratch`]
//! in with every call: an idle connection owns no buffer, and a thread that drives many
//! connections needs one set for all of them.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use crate::lanes::Queue;
use crate::message::Message;
use crate::output::Output;
use crate::pool::Pool;

/// Outputs and messages that fit into a buffer that is kept; a burst's room is freed.
const KEEP_ENTRIES: usize = 1024;

/// A read takes so many bytes at most: what a socket's buffer usually holds, and no more than an
/// application that is behind may get at once.
pub(crate) const READ: usize = 64 * 1024;

/// In the middle of a large message, which is one message however it is read.
const LARGE_READ: usize = 512 * 1024;

/// Messages in order, in a place that can be handed on.
pub type Messages = Option<Box<VecDeque<Message>>>;

/// The buffers of a driver: one for a thread, or one for all, as the driver likes.
///
/// ```
/// let mut scratch = adieu_proto::Scratch::default();
/// assert!(scratch.messages.is_none());
/// ```
#[derive(Debug, Default)]
pub struct Scratch {
    /// Messages that [`Connection::received`](crate::Connection::received) has read, or
    /// [`Connection::decide`](crate::Connection::decide) in what came behind the request: to be
    /// taken after each of these calls. They came before what the outputs tell of the same bytes,
    /// but for [`Event::Opened`](crate::Event::Opened), which comes before all messages. An empty
    /// buffer may be left here for the next.
    pub messages: Messages,
    /// Where bytes of the peer are read to.
    pub(crate) receive: Vec<u8>,
    pub(crate) outputs: VecDeque<Output>,
    pub(crate) queue: Option<Box<Queue>>,
    pub(crate) pool: Option<Arc<dyn Pool>>,
    /// Payloads that have left.
    pub(crate) done: Vec<Bytes>,
    /// The contexts of compression, made on demand.
    #[cfg(feature = "deflate")]
    pub(crate) contexts: Option<Box<crate::deflate::Contexts>>,
}

impl Scratch {
    /// With a pool for the buffers of large messages.
    #[must_use]
    pub fn with_pool(pool: Arc<dyn Pool>) -> Self {
        Scratch { pool: Some(pool), ..Scratch::default() }
    }

    /// Drops payloads that have left. A payload may run code of the application's when it is
    /// dropped ([`Bytes::from_owner`]): call this where no lock is held.
    #[inline]
    pub fn drop_payloads(&mut self) {
        if !self.done.is_empty() {
            self.done.clear();
        }
    }

    /// Leaves an empty buffer for the messages of the next read.
    pub fn keep_messages(&mut self, messages: Box<VecDeque<Message>>) {
        if messages.capacity() <= KEEP_ENTRIES {
            self.messages = Some(messages);
        }
    }

    /// Where to read to while so much of a frame is still to come. What follows the frame is no
    /// part of it, and counts for an application that is behind.
    #[inline]
    pub(crate) fn read_buffer(&mut self, to_come: u64) -> &mut [u8] {
        let len = usize::try_from(to_come).unwrap_or(LARGE_READ).clamp(READ, LARGE_READ);
        if self.receive.len() < len {
            self.receive = vec![0; if len > READ { LARGE_READ } else { READ }];
        }
        &mut self.receive[..len]
    }

    /// Keeps the larger of two buffers for the next connection.
    #[inline]
    pub(crate) fn keep_outputs(&mut self, outputs: &mut VecDeque<Output>) {
        if outputs.capacity() > 0 {
            let outputs = std::mem::take(outputs);
            if (self.outputs.capacity()..=KEEP_ENTRIES).contains(&outputs.capacity()) {
                self.outputs = outputs;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_read_is_no_larger_than_what_is_to_come() {
        let mut scratch = Scratch::default();
        assert_eq!(scratch.read_buffer(1).len(), READ);
        assert_eq!(scratch.read_buffer(READ as u64 + 1).len(), READ + 1);
        assert_eq!(scratch.read_buffer(u64::MAX).len(), LARGE_READ);
    }
}
