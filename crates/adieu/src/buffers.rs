//! The buffers of a thread. An idle connection owns none: the driver that is awake borrows them.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::Arc;

use adieu_proto::{Message, Spare};

use crate::pool::Buffers;
use crate::shared::State;

/// A read takes so many bytes at most: what a socket buffer usually holds, and no more than a
/// handler that is behind may get at once.
const READ: usize = 64 * 1024;

/// In the middle of a large message, which is one message however it is read.
const LARGE_READ: usize = 512 * 1024;

/// Messages that fit into an inbox that is kept for the next connection; a burst's room is freed.
const KEEP_MESSAGES: usize = 1024;

thread_local! {
    static RECEIVE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    static SPARE: RefCell<(Spare, VecDeque<Message>)> = {
        RefCell::new((Spare::with_pool(Arc::<Buffers>::default()), VecDeque::new()))
    };
}

/// Lends the thread's receive buffer, for a read while `to_come` bytes of a frame are expected.
/// It is taken away meanwhile: a stream of the application's own may drive another connection in
/// the middle of its read, which then gets a buffer of its own.
pub(crate) fn receive<T>(to_come: u64, read: impl FnOnce(&mut [u8]) -> T) -> T {
    let len = if to_come > READ as u64 { LARGE_READ } else { READ };
    let mut buffer = RECEIVE.take();
    if buffer.len() < len {
        buffer = vec![0; len];
    }
    let result = read(&mut buffer[..len]);
    RECEIVE.set(buffer);
    result
}

impl State {
    /// There is work to do: takes the thread's spare buffers.
    pub(crate) fn borrow_buffers(&mut self) {
        SPARE.with_borrow_mut(|(spare, messages)| {
            self.connection.borrow_buffers(spare);
            if self.inbox.messages.capacity() == 0 {
                std::mem::swap(&mut self.inbox.messages, messages);
            }
        });
    }

    /// For now there is not: leaves what holds nothing to the next.
    pub(crate) fn give_back_buffers(&mut self) {
        SPARE.with_borrow_mut(|(spare, messages)| {
            self.connection.give_back_buffers(spare);
            if self.inbox.messages.is_empty() {
                let own = std::mem::take(&mut self.inbox.messages);
                if (messages.capacity()..=KEEP_MESSAGES).contains(&own.capacity()) {
                    *messages = own;
                }
            }
        });
    }
}
