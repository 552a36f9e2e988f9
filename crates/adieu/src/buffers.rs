//! The buffers of a thread. An idle connection owns none: who works on one borrows them.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::sync::Arc;

use adieu_proto::{Message, Spare};

use crate::pool::Buffers;
use crate::shared::State;

/// A read takes so many bytes at most: what a socket buffer usually holds, and no more than a
/// handler that is behind may get at once.
pub(crate) const READ: usize = 64 * 1024;

/// In the middle of a large message, which is one message however it is read.
const LARGE_READ: usize = 512 * 1024;

/// Messages that fit into an inbox that is kept for the next connection; a burst's room is freed.
const KEEP_MESSAGES: usize = 1024;

/// Messages in order, in a place that can be handed on.
pub(crate) type Messages = Option<Box<VecDeque<Message>>>;

thread_local! {
    static RECEIVE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
    static SPARE: RefCell<(Spare, Messages)> = {
        RefCell::new((Spare::with_pool(Arc::<Buffers>::default()), None))
    };
}

/// Lends the thread's receive buffer, for a read while `to_come` bytes of a frame are expected. It
/// is taken, not borrowed: a stream of the application's own may drive or drop another connection
/// when it is read.
pub(crate) fn receive<T>(to_come: u64, read: impl FnOnce(&mut [u8]) -> T) -> T {
    let mut buffer = RECEIVE.try_with(Cell::take).unwrap_or_default();
    // What follows the frame is no part of it, and counts for the handler that is behind.
    let len = usize::try_from(to_come).unwrap_or(LARGE_READ).clamp(READ, LARGE_READ);
    if buffer.len() < len {
        buffer = vec![0; if len > READ { LARGE_READ } else { READ }];
    }
    let result = read(&mut buffer[..len]);
    // A thread that is on its way out keeps nothing.
    let _ = RECEIVE.try_with(|kept| kept.set(buffer));
    result
}

impl State {
    /// There is work to do: takes the thread's spare buffers.
    pub(crate) fn borrow_buffers(&mut self) {
        let _ = SPARE.try_with(|spare| {
            let (spare, messages) = &mut *spare.borrow_mut();
            self.connection.borrow_buffers(spare);
            if self.inbox.messages.is_none() {
                self.inbox.messages = messages.take();
            }
        });
    }

    /// For now there is not: leaves what holds nothing to the next.
    pub(crate) fn give_back_buffers(&mut self) {
        let _ = SPARE.try_with(|spare| {
            let (spare, messages) = &mut *spare.borrow_mut();
            self.connection.give_back_buffers(spare);
            if self.inbox.is_empty()
                && let Some(own) = self.inbox.messages.take()
                && own.capacity() <= KEEP_MESSAGES
            {
                *messages = Some(own);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    /// Whether this thread has its pool.
    fn has_pool() -> bool {
        SPARE.with_borrow(|(spare, _)| format!("{spare:?}").contains("pool: Some"))
    }

    #[tokio::test]
    async fn a_connection_that_is_over_keeps_nothing_that_was_lent() {
        assert!(has_pool());
        let server = crate::Server::new(
            async |mut socket: crate::Socket| {
                while socket.recv().await.is_some() {}
            },
        );
        let (mut client, stream) = tokio::io::duplex(1024);
        client.write_all(b"GET / HTTP/1.0\r\n\r\n").await.unwrap();
        let serving = server.connection(stream);
        drop(client);
        serving.await;
        assert!(has_pool());
    }

    #[test]
    fn a_large_read_is_no_larger_than_what_is_to_come() {
        assert_eq!(receive(1, |buffer| buffer.len()), READ);
        assert_eq!(receive(READ as u64 + 1, |buffer| buffer.len()), READ + 1);
        assert_eq!(receive(u64::MAX, |buffer| buffer.len()), LARGE_READ);
    }
}
