//! What waits to leave, in order: small frames share a buffer, large payloads are not copied.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, Bytes};

/// A payload of this many bytes or more keeps its own buffer; a copy would cost more than the
/// extra slice of the write.
const OWN_BUFFER: usize = 8 * 1024;

/// The growing chunk is closed at this size, so that what has left of it can be freed.
const CHUNK: usize = 64 * 1024;

/// A drained buffer larger than this is given back: an idle connection owns next to nothing.
const KEEP: usize = 256;

#[derive(Clone, Debug, Default, Hash)]
pub(crate) struct Outgoing {
    /// Closed chunks, oldest first.
    chunks: VecDeque<Bytes>,
    /// The chunk that still grows, and how much of it has left.
    tail: Vec<u8>,
    tail_gone: usize,
    /// Bytes ever queued and ever gone.
    queued: u64,
    gone: u64,
    /// Where each waiting message ends, counted in bytes ever queued.
    messages: VecDeque<u64>,
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
        self.chunks.is_empty() && self.tail.len() == self.tail_gone
    }

    /// Messages that have not left whole.
    pub(crate) fn messages(&self) -> u64 {
        self.messages.len() as u64
    }

    /// Queues bytes by letting `write` append them.
    pub(crate) fn append(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        if self.tail.len() >= CHUNK {
            self.close_tail();
        }
        let before = self.tail.len();
        write(&mut self.tail);
        self.queued += (self.tail.len() - before) as u64;
    }

    /// Queues a payload behind what is there.
    pub(crate) fn payload(&mut self, payload: Bytes) {
        if payload.len() < OWN_BUFFER {
            return self.append(|tail| tail.extend_from_slice(&payload));
        }
        self.close_tail();
        self.queued += payload.len() as u64;
        self.chunks.push_back(payload);
    }

    /// What was queued last completes a message.
    pub(crate) fn message_ends(&mut self) {
        self.messages.push_back(self.queued);
    }

    fn close_tail(&mut self) {
        let mut chunk = Bytes::from(std::mem::take(&mut self.tail));
        chunk.advance(std::mem::take(&mut self.tail_gone));
        if !chunk.is_empty() {
            self.chunks.push_back(chunk);
        }
    }

    /// What a write may take, in order: fills `slices` and says how many it filled.
    pub(crate) fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let tail = &self.tail[self.tail_gone..];
        let all = self.chunks.iter().map(|chunk| &chunk[..]).chain(Some(tail));
        let mut filled = 0;
        for (slot, bytes) in slices.iter_mut().zip(all.filter(|bytes| !bytes.is_empty())) {
            *slot = IoSlice::new(bytes);
            filled += 1;
        }
        filled
    }

    /// `n` bytes have left.
    pub(crate) fn advance(&mut self, n: usize) {
        debug_assert!(n as u64 <= self.len());
        self.gone += n as u64;
        let mut n = n;
        while n > 0 {
            let Some(chunk) = self.chunks.front_mut() else {
                self.tail_gone += n;
                break;
            };
            let step = n.min(chunk.len());
            chunk.advance(step);
            n -= step;
            if chunk.is_empty() {
                self.chunks.pop_front();
            }
        }
        while self.messages.front().is_some_and(|end| *end <= self.gone) {
            self.messages.pop_front();
        }
        if self.is_empty() {
            self.forget_buffers();
        }
    }

    fn forget_buffers(&mut self) {
        self.tail.clear();
        self.tail_gone = 0;
        if self.tail.capacity() > KEEP {
            self.tail = Vec::new();
        }
        if self.chunks.capacity() > 0 {
            self.chunks = VecDeque::new();
        }
        if self.messages.capacity() > KEEP / 8 {
            self.messages = VecDeque::new();
        }
    }

    /// Nothing can leave any more: frees the memory, keeps the counts.
    pub(crate) fn discard(&mut self) {
        self.chunks = VecDeque::new();
        self.tail = Vec::new();
        self.tail_gone = 0;
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
}
