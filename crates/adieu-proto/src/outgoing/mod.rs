//! What waits to leave, and in which order the two lanes leave: a control frame at the next frame
//! boundary (RFC 6455 §5.5.2: a Pong as soon as is practical), our Close behind all data.

use std::io::IoSlice;

use bytes::Bytes;

use crate::lanes::{OWN_BUFFER, Queue, fill};
use crate::scratch::Scratch;

/// What a connection has to send: a queue while something waits.
#[derive(Clone, Debug, Default, Hash)]
pub(crate) struct Outgoing {
    /// Whether frames are masked: those of a client.
    masked: bool,
    pub(crate) framing: Framing,
    /// Lent while it holds anything.
    queue: Option<Box<Queue>>,
}

/// How messages are written: one look tells the usual way from all others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum Framing {
    #[default]
    Hybi,
    #[cfg(feature = "legacy")]
    Hixie,
    /// Like `Hybi`, and some are compressed.
    #[cfg(feature = "deflate")]
    Deflate,
}

impl Outgoing {
    pub(crate) fn new(masked: bool) -> Self {
        Outgoing { masked, framing: Framing::Hybi, queue: None }
    }

    /// Bytes that have not left, of both lanes.
    #[inline]
    pub(crate) fn unsent(&self) -> u64 {
        self.queue.as_ref().map_or(0, |queue| queue.unsent())
    }

    /// Whether there is nothing to write: all was taken, or was discarded.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.queue.as_ref().is_none_or(|queue| queue.is_empty())
    }

    /// Messages that have not left whole.
    pub(crate) fn messages(&self) -> u64 {
        self.queue.as_ref().map_or(0, |queue| queue.messages.len() as u64)
    }

    #[inline]
    fn queue(&mut self, scratch: &mut Scratch) -> &mut Queue {
        self.queue.get_or_insert_with(|| scratch.queue.take().unwrap_or_default())
    }

    /// Queues a head of the opening handshake, or what follows it there.
    pub(crate) fn head(&mut self, bytes: &[u8], scratch: &mut Scratch) {
        let queue = self.queue(scratch);
        queue.data.small.extend_from_slice(bytes);
        queue.queued += bytes.len() as u64;
        queue.head = queue.queued;
    }

    /// Queues data by letting `write` append it.
    #[inline]
    pub(crate) fn append(&mut self, scratch: &mut Scratch, write: impl FnOnce(&mut Vec<u8>)) {
        let queue = self.queue(scratch);
        let before = queue.data.small.len();
        write(&mut queue.data.small);
        queue.queued += (queue.data.small.len() - before) as u64;
    }

    /// Queues what `write` appends, and a payload of [`OWN_BUFFER`] bytes or more behind it.
    #[inline]
    pub(crate) fn append_large(
        &mut self,
        payload: Bytes,
        scratch: &mut Scratch,
        write: impl FnOnce(&mut Vec<u8>),
    ) {
        let queue = self.queue(scratch);
        let before = queue.data.small.len();
        write(&mut queue.data.small);
        queue.queued += (queue.data.small.len() - before + payload.len()) as u64;
        queue.data.push_large(payload);
    }

    /// Queues a payload behind what is there.
    pub(crate) fn payload(&mut self, payload: Bytes, scratch: &mut Scratch) {
        if payload.len() < OWN_BUFFER {
            return self.append(scratch, |small| small.extend_from_slice(&payload));
        }
        let queue = self.queue(scratch);
        queue.queued += payload.len() as u64;
        queue.data.push_large(payload);
    }

    /// What was queued last completes a message.
    #[inline]
    pub(crate) fn message_ends(&mut self) {
        if let Some(queue) = &mut self.queue {
            queue.messages.push_back(queue.queued);
        }
    }

    /// Of so many bytes it is known that they will be queued: they count among those that have not
    /// left. Nothing else is queued as data meanwhile.
    #[cfg(feature = "deflate")]
    pub(crate) fn announce(&mut self, bytes: usize, scratch: &mut Scratch) {
        self.queue(scratch).queued += bytes as u64;
    }

    /// What was announced is about to be queued.
    #[cfg(feature = "deflate")]
    pub(crate) fn recall(&mut self, bytes: usize, scratch: &mut Scratch) {
        let queue = self.queue(scratch);
        queue.queued = queue.queued.saturating_sub(bytes as u64);
    }

    /// Queues our Close behind all data.
    pub(crate) fn close(&mut self, scratch: &mut Scratch, write: impl FnOnce(&mut Vec<u8>)) {
        let queue = self.queue(scratch);
        queue.close = Some(queue.queued);
        self.append(scratch, write);
    }

    /// Whether a control frame may still be queued: our Close has not begun to leave (§5.5.1).
    pub(crate) fn takes_control(&self) -> bool {
        let begun = |queue: &Queue| queue.close.is_some_and(|at| queue.taken > at);
        !self.queue.as_deref().is_some_and(begun)
    }

    /// Queues our Ping.
    pub(crate) fn ping(&mut self, mask: Option<[u8; 4]>, scratch: &mut Scratch) {
        self.queue(scratch).control.ping(mask);
    }

    /// Queues a Ping of the application.
    pub(crate) fn ping_with(&mut self, load: &[u8], mask: Option<[u8; 4]>, scratch: &mut Scratch) {
        self.queue(scratch).control.ping_with(load, mask);
    }

    /// Queues a Pong.
    pub(crate) fn pong(&mut self, payload: &[u8], mask: Option<[u8; 4]>, scratch: &mut Scratch) {
        self.queue(scratch).control.pong(payload, mask);
    }

    /// Whether our Ping has not left.
    pub(crate) fn holds_ping(&self) -> bool {
        self.queue.as_ref().is_some_and(|queue| queue.control.holds_ping())
    }

    /// The transport takes nothing for now.
    pub(crate) fn blocked(&mut self) {
        if let Some(queue) = &mut self.queue {
            queue.control.blocked();
        }
    }

    /// What a write may take, in order: fills `slices` and says how many it filled.
    #[inline]
    pub(crate) fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let Some(queue) = &self.queue else { return 0 };
        if queue.control.is_empty() {
            if let (Some(bytes), Some(first)) = (queue.data.in_one_piece(), slices.first_mut()) {
                *first = IoSlice::new(bytes);
                return usize::from(!bytes.is_empty());
            }
            return queue.data.slices(slices);
        }
        if let (true, Some(first)) = (queue.data.is_empty(), slices.first_mut()) {
            *first = IoSlice::new(queue.control.waiting());
            return 1;
        }
        slices_of_both(queue, slices)
    }

    /// The transport took `n` bytes. `held`: it keeps them until it is flushed.
    #[inline]
    pub(crate) fn advance(&mut self, n: usize, held: bool, scratch: &mut Scratch) {
        let Some(queue) = &mut self.queue else { return };
        debug_assert!(n as u64 <= queue.unsent());
        if n as u64 == queue.unsent() && !held && queue.control.is_empty() {
            // Nearly always: nothing is left, and there is nothing to work out.
            return self.all_left(scratch);
        }
        if queue.control.is_empty() {
            queue.advance_data(n, held, &mut scratch.done);
        } else {
            advance_both(queue, n, held, self.masked, scratch);
        }
        self.give_back_when_done(scratch);
    }

    /// All that was queued has left: data, for the control lane is empty.
    #[inline(never)]
    fn all_left(&mut self, scratch: &mut Scratch) {
        if let Some(mut queue) = self.queue.take() {
            queue.data.all_left(&mut scratch.done);
            queue.messages.clear();
            give_back(queue, scratch);
        }
    }

    /// What the transport held has left: how many bytes.
    pub(crate) fn flushed(&mut self, scratch: &mut Scratch) -> u64 {
        let Some(queue) = &mut self.queue else { return 0 };
        let before = queue.unsent();
        queue.left = queue.taken;
        queue.forget_messages();
        queue.control.flushed();
        let left = before - queue.unsent();
        self.give_back_when_done(scratch);
        left
    }

    #[inline]
    fn give_back_when_done(&mut self, scratch: &mut Scratch) {
        if let Some(queue) = self.queue.take_if(|queue| queue.is_done()) {
            give_back(queue, scratch);
        }
    }

    /// Nothing can leave any more: frees the memory, keeps the counts.
    pub(crate) fn discard(&mut self, scratch: &mut Scratch) {
        if let Some(queue) = &mut self.queue {
            queue.data.discard(&mut scratch.done);
            queue.control.discard();
        }
    }
}

/// A queue that is done is left for the next connection.
#[inline]
fn give_back(mut queue: Box<Queue>, scratch: &mut Scratch) {
    queue.renew();
    if queue.may_be_kept() {
        scratch.queue = Some(queue);
    }
}

/// The same where both lanes have something.
#[inline(never)]
fn slices_of_both<'a>(queue: &'a Queue, slices: &mut [IoSlice<'a>]) -> usize {
    let mut left = queue.to_boundary();
    let mut control = Some(queue.control.waiting());
    let pieces = queue.data.pieces().map(Some).chain([None]);
    let pieces = pieces.flat_map(move |piece| {
        let piece = piece.unwrap_or_default();
        if control.is_none() || (left >= piece.len() && left > 0) {
            left = left.saturating_sub(piece.len());
            return [piece, &[], &[]];
        }
        let (before, behind) = piece.split_at(std::mem::take(&mut left));
        [before, control.take().unwrap_or_default(), behind]
    });
    fill(slices, pieces.filter(|piece| !piece.is_empty()))
}

#[inline(never)]
fn advance_both(queue: &mut Queue, n: usize, held: bool, masked: bool, scratch: &mut Scratch) {
    let before = n.min(queue.to_boundary());
    if before > 0 {
        queue.advance_data(before, held, &mut scratch.done);
    }
    let control = (n - before).min(queue.control.waiting().len());
    queue.control.advance(control, held, masked);
    let behind = n - before - control;
    if behind > 0 {
        queue.advance_data(behind, held, &mut scratch.done);
    }
}

#[cfg(test)]
mod tests;
