//! What waits to leave, in order: small frames share a buffer, large payloads are not copied.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, Bytes};

/// A payload of this many bytes or more keeps its own buffer; a copy would cost more than the
/// extra slice of the write.
pub(crate) const OWN_BUFFER: usize = 8 * 1024;

/// Bytes that have left are moved out of the way when there are this many, and at least as many
/// as those that wait behind them: each byte is moved once at most.
const COMPACT: usize = 64 * 1024;

/// An empty queue with more room than this is freed, not kept for the next connection.
const KEEP: usize = 256 * 1024;

/// Counts for the whole life of a connection, and a queue while something waits.
#[derive(Clone, Debug, Default, Hash)]
pub(crate) struct Outgoing {
    /// Bytes ever queued and ever gone.
    queued: u64,
    gone: u64,
    /// Lent while it holds anything.
    queue: Option<Box<Queue>>,
}

/// What waits.
#[derive(Clone, Debug, Default, Hash)]
pub(crate) struct Queue {
    /// Headers and small payloads, one behind the other, and how much of them has left.
    small: Vec<u8>,
    small_gone: usize,
    /// Large payloads.
    large: VecDeque<Large>,
    /// Where each message ends, counted in bytes ever queued.
    messages: VecDeque<u64>,
}

#[derive(Clone, Debug, Hash)]
struct Large {
    /// How much of `small` leaves before it.
    at: usize,
    bytes: Bytes,
}

impl Outgoing {
    /// Bytes that have not left.
    pub(crate) fn len(&self) -> u64 {
        self.queued - self.gone
    }

    /// Bytes that were ever queued.
    pub(crate) fn ever_queued(&self) -> u64 {
        self.queued
    }

    /// Bytes that ever left.
    pub(crate) fn ever_gone(&self) -> u64 {
        self.gone
    }

    /// Whether there is nothing to write: all has left, or was discarded.
    pub(crate) fn is_empty(&self) -> bool {
        self.queue.as_ref().is_none_or(|queue| queue.is_empty())
    }

    /// Messages that have not left whole.
    pub(crate) fn messages(&self) -> u64 {
        self.queue.as_ref().map_or(0, |queue| queue.messages.len() as u64)
    }

    /// Queues bytes by letting `write` append them.
    pub(crate) fn append(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let small = &mut self.queue.get_or_insert_default().small;
        let before = small.len();
        write(small);
        self.queued += (small.len() - before) as u64;
    }

    /// Queues a payload behind what is there.
    pub(crate) fn payload(&mut self, payload: Bytes) {
        if payload.len() < OWN_BUFFER {
            return self.append(|small| small.extend_from_slice(&payload));
        }
        self.queued += payload.len() as u64;
        let queue = self.queue.get_or_insert_default();
        queue.large.push_back(Large { at: queue.small.len(), bytes: payload });
    }

    /// What was queued last completes a message.
    pub(crate) fn message_ends(&mut self) {
        self.queue.get_or_insert_default().messages.push_back(self.queued);
    }

    /// What a write may take, in order: fills `slices` and says how many it filled.
    pub(crate) fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        self.queue.as_ref().map_or(0, |queue| queue.slices(slices))
    }

    /// The same, if it lies in one piece.
    pub(crate) fn in_one_piece(&self) -> Option<&[u8]> {
        let queue = self.queue.as_ref().filter(|queue| queue.large.is_empty())?;
        Some(&queue.small[queue.small_gone..])
    }

    /// `n` bytes have left.
    pub(crate) fn advance(&mut self, n: usize) {
        debug_assert!(n as u64 <= self.len());
        self.gone += n as u64;
        if let Some(queue) = &mut self.queue {
            queue.advance(n);
            while queue.messages.front().is_some_and(|end| *end <= self.gone) {
                queue.messages.pop_front();
            }
        }
    }

    /// Takes a spare queue where it has none.
    pub(crate) fn borrow(&mut self, spare: &mut Option<Box<Queue>>) {
        if self.queue.is_none() {
            self.queue = spare.take();
        }
    }

    /// Leaves its queue to the next if nothing waits.
    pub(crate) fn give_back(&mut self, spare: &mut Option<Box<Queue>>) {
        if self.messages() == 0
            && self.is_empty()
            && let Some(queue) = self.queue.take()
            && queue.may_be_kept()
        {
            *spare = Some(queue);
        }
    }

    /// Nothing can leave any more: frees the memory, keeps the counts.
    pub(crate) fn discard(&mut self) {
        if let Some(queue) = &mut self.queue {
            let messages = std::mem::take(&mut queue.messages);
            **queue = Queue { messages, ..Queue::default() };
        }
    }
}

impl Queue {
    fn is_empty(&self) -> bool {
        self.large.is_empty() && self.small.len() == self.small_gone
    }

    /// A burst's room is freed.
    fn may_be_kept(&self) -> bool {
        let entries = size_of::<Large>() * self.large.capacity() + 8 * self.messages.capacity();
        self.small.capacity() + entries <= KEEP
    }

    fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut filled = 0;
        let mut put = |bytes: &'a [u8]| {
            if let (false, Some(slot)) = (bytes.is_empty(), slices.get_mut(filled)) {
                *slot = IoSlice::new(bytes);
                filled += 1;
            }
            filled < slices.len()
        };
        let mut from = self.small_gone;
        for large in &self.large {
            if !put(&self.small[from..large.at]) || !put(&large.bytes) {
                return filled;
            }
            from = large.at;
        }
        put(&self.small[from..]);
        filled
    }

    fn advance(&mut self, n: usize) {
        let mut n = n;
        while n > 0 {
            let before_large = self.large.front().map_or(self.small.len(), |large| large.at);
            let step = n.min(before_large - self.small_gone);
            self.small_gone += step;
            n -= step;
            let Some(large) = self.large.front_mut() else { break };
            let step = n.min(large.bytes.len());
            large.bytes.advance(step);
            n -= step;
            if large.bytes.is_empty() {
                self.large.pop_front();
            }
        }
        self.forget_what_left();
    }

    fn forget_what_left(&mut self) {
        let gone = self.small_gone;
        if self.is_empty() {
            self.small.clear();
            self.small_gone = 0;
        } else if gone >= COMPACT && gone >= self.small.len() - gone {
            self.small.drain(..gone);
            self.small_gone = 0;
            self.large.iter_mut().for_each(|large| large.at -= gone);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contents(out: &Outgoing) -> Vec<u8> {
        let mut slices = [IoSlice::new(&[]); 8];
        let n = out.slices(&mut slices);
        slices[..n].iter().flat_map(|s| s.to_vec()).collect()
    }

    #[test]
    fn bytes_leave_in_order_in_any_steps() {
        let big = Bytes::from(vec![b'x'; OWN_BUFFER]);
        for step in [1, 3, 1000, OWN_BUFFER, 3 * OWN_BUFFER] {
            let mut out = Outgoing::default();
            out.append(|tail| tail.extend_from_slice(b"head"));
            out.payload(big.clone());
            out.message_ends();
            out.payload(Bytes::from_static(b"tail"));
            out.message_ends();
            let want = [&b"head"[..], &big, b"tail"].concat();
            let mut got = Vec::new();
            while !out.is_empty() {
                let now = contents(&out);
                let n = step.min(now.len());
                got.extend_from_slice(&now[..n]);
                out.advance(n);
            }
            assert_eq!(got, want, "step {step}");
            assert_eq!(out.messages(), 0);
        }
    }

    #[test]
    fn a_message_counts_until_its_last_byte_left() {
        let mut out = Outgoing::default();
        for _ in 0..3 {
            out.payload(Bytes::from_static(b"12345"));
            out.message_ends();
        }
        out.advance(9);
        assert_eq!((out.messages(), out.len()), (2, 6));
        out.discard();
        assert_eq!((out.messages(), out.len()), (2, 6), "discarded output stays counted");
    }

    #[test]
    fn what_left_does_not_pile_up_behind_a_queue_that_is_never_empty() {
        let mut out = Outgoing::default();
        let mut waiting = VecDeque::new();
        for i in 0..1000u32 {
            let small = [i as u8; 1000];
            out.append(|buffer| buffer.extend_from_slice(&small));
            waiting.extend(small);
            if i % 100 == 0 {
                let large = vec![!(i as u8); OWN_BUFFER];
                waiting.extend(&large);
                out.payload(large.into());
            }
            while waiting.len() > 150_000 {
                let now = contents(&out);
                let n = now.len().min(7_777);
                assert!(waiting.drain(..n).eq(now[..n].iter().copied()), "after {i} frames");
                out.advance(n);
            }
            assert_eq!(out.len(), waiting.len() as u64);
            assert!(
                out.queue.as_ref().unwrap().small.len() <= 150_000 + 2 * COMPACT.max(150_000),
                "{}",
                out.queue.as_ref().unwrap().small.len()
            );
        }
    }
}
