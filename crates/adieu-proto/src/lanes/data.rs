//! The lane of data: messages and our Close, in order. Small frames share a buffer, large payloads
//! are not copied.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, Bytes};

/// A payload of this many bytes or more keeps its own buffer; a copy would cost more than the
/// extra slice of the write.
pub(crate) const OWN_BUFFER: usize = 8 * 1024;

/// Bytes that have left are moved out of the way when there are this many, and at least as many
/// as those that wait behind them: each byte is moved once at most.
pub(crate) const COMPACT: usize = 64 * 1024;

/// Frames that wait, one behind the other.
#[derive(Clone, Debug, Default, Hash)]
pub(crate) struct DataLane {
    /// Headers and small payloads, and how much of them has left.
    pub(crate) small: Vec<u8>,
    small_gone: usize,
    /// Large payloads.
    large: VecDeque<Large>,
}

#[derive(Clone, Debug, Hash)]
struct Large {
    /// How much of `small` leaves before it.
    at: usize,
    bytes: Bytes,
}

impl DataLane {
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.large.is_empty() && self.small.len() == self.small_gone
    }

    /// Memory that it keeps while it is empty.
    pub(crate) fn capacity(&self) -> usize {
        self.small.capacity() + size_of::<Large>() * self.large.capacity()
    }

    /// Queues a large payload, shared.
    pub(crate) fn push_large(&mut self, bytes: Bytes) {
        self.large.push_back(Large { at: self.small.len(), bytes });
    }

    /// All that waits, if it lies in one piece.
    #[inline]
    pub(crate) fn in_one_piece(&self) -> Option<&[u8]> {
        self.large.is_empty().then(|| &self.small[self.small_gone..])
    }

    /// What waits, in order: fills `slices` and says how many it filled.
    pub(crate) fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
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

    /// What waits, in order, piece by piece.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        let mut from = self.small_gone;
        let large = self.large.iter().flat_map(move |large| {
            let before = &self.small[from..large.at];
            from = large.at;
            [before, &large.bytes[..]]
        });
        let last = self.large.back().map_or(self.small_gone, |large| large.at);
        large.chain([&self.small[last..]]).filter(|piece| !piece.is_empty())
    }

    /// `n` bytes have left. Payloads that are no longer needed go to `done`: what they run when
    /// they are dropped is not ours.
    #[inline]
    pub(crate) fn advance(&mut self, n: usize, done: &mut Vec<Bytes>) {
        if self.large.is_empty() {
            self.small_gone += n;
        } else {
            self.advance_large(n, done);
        }
        self.forget_what_left();
    }

    fn advance_large(&mut self, n: usize, done: &mut Vec<Bytes>) {
        let mut n = n;
        while let Some(large) = self.large.front_mut() {
            let step = n.min(large.at - self.small_gone);
            self.small_gone += step;
            n -= step;
            if n < large.bytes.len() {
                large.bytes.advance(n);
                return;
            }
            n -= large.bytes.len();
            if let Some(large) = self.large.pop_front() {
                done.push(large.bytes);
            }
        }
        self.small_gone += n;
    }

    #[inline]
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

    /// All that waited has left: the same for all of it.
    #[inline]
    pub(crate) fn all_left(&mut self, done: &mut Vec<Bytes>) {
        while let Some(large) = self.large.pop_front() {
            done.push(large.bytes);
        }
        self.small.clear();
        self.small_gone = 0;
    }

    /// Nothing can leave any more: gives the payloads away and frees the rest.
    pub(crate) fn discard(&mut self, done: &mut Vec<Bytes>) {
        done.extend(self.large.drain(..).map(|large| large.bytes));
        *self = DataLane::default();
    }
}

/// Fills `slices` with these pieces; how many were filled.
pub(crate) fn fill<'a>(
    slices: &mut [IoSlice<'a>],
    pieces: impl Iterator<Item = &'a [u8]>,
) -> usize {
    let mut filled = 0;
    for (slot, piece) in slices.iter_mut().zip(pieces) {
        *slot = IoSlice::new(piece);
        filled += 1;
    }
    filled
}
