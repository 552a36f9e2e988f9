//! The two lanes of what waits to leave: data with our Close behind it, and control frames.

mod control;
mod data;

use std::collections::VecDeque;

use bytes::Bytes;

pub(crate) use control::ControlLane;
#[cfg(test)]
pub(crate) use data::COMPACT;
pub(crate) use data::{DataLane, OWN_BUFFER, fill};

/// An empty queue with more room than this is freed, not kept for the next connection.
const KEEP: usize = 256 * 1024;

/// What waits. Offsets are those of the data lane, counted since the queue was lent.
#[derive(Clone, Debug, Default, Hash)]
pub(crate) struct Queue {
    /// Bytes that were queued, that the transport took, and that went on from it.
    pub(crate) queued: u64,
    pub(crate) taken: u64,
    pub(crate) left: u64,
    /// Where the frame begins in which `taken` stands.
    pub(crate) frame: u64,
    /// Where the heads of the opening handshake end: they are no frames.
    pub(crate) head: u64,
    pub(crate) data: DataLane,
    pub(crate) control: ControlLane,
    /// Where each message ends that has not left.
    pub(crate) messages: VecDeque<u64>,
    /// Where our Close begins. Nothing is queued behind it.
    pub(crate) close: Option<u64>,
}

impl Queue {
    /// Whether there is nothing to write: all was taken, or was discarded.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.data.is_empty() && self.control.is_empty()
    }

    /// Whether all has left, and nothing is to be remembered.
    #[inline]
    pub(crate) fn is_done(&self) -> bool {
        self.left == self.queued && self.is_empty() && self.control.unsent() == 0
    }

    /// Bytes that have not left, of both lanes.
    #[inline]
    pub(crate) fn unsent(&self) -> u64 {
        self.queued - self.left + self.control.unsent() as u64
    }

    /// A burst's room is freed.
    #[inline]
    pub(crate) fn may_be_kept(&self) -> bool {
        self.data.capacity() + 8 * self.messages.capacity() <= KEEP
    }

    /// A queue that is done, as new: it keeps its room.
    #[inline]
    pub(crate) fn renew(&mut self) {
        (self.queued, self.taken, self.left) = (0, 0, 0);
        (self.frame, self.head, self.close) = (0, 0, None);
    }

    /// How much data leaves before a control frame may: the rest of a frame that has begun.
    pub(crate) fn to_boundary(&self) -> usize {
        let between_frames = self.taken == self.frame && self.taken >= self.head;
        if self.control.is_mid_frame() || between_frames {
            return 0;
        }
        let next = if self.taken < self.head {
            Some(self.head)
        } else {
            let at = self.messages.partition_point(|end| *end <= self.taken);
            self.messages.get(at).copied()
        };
        // Behind the last message there is only our Close.
        (next.unwrap_or(self.queued) - self.taken) as usize
    }

    /// The transport took `n` bytes of data.
    #[inline]
    pub(crate) fn advance_data(&mut self, n: usize, held: bool, done: &mut Vec<Bytes>) {
        self.data.advance(n, done);
        self.taken += n as u64;
        if held {
            let at = self.messages.partition_point(|end| *end <= self.taken);
            if let Some(end) = at.checked_sub(1).and_then(|at| self.messages.get(at)) {
                self.frame = *end;
            }
        } else {
            self.left = self.taken;
            self.forget_messages();
        }
        self.frame = self.frame.max(self.head.min(self.taken));
        if self.close.is_some_and(|at| self.taken > at) {
            self.control.close();
        }
    }

    /// Messages that have left whole are not remembered.
    #[inline]
    pub(crate) fn forget_messages(&mut self) {
        while let Some(end) = self.messages.front().filter(|end| **end <= self.left) {
            self.frame = *end;
            self.messages.pop_front();
        }
    }
}
