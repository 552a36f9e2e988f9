//! How much has come on all connections of an endpoint together and was not taken by a handler yet:
//! messages that are not whole, and those that wait. Each connection has limits of its own; many of
//! them at once have this one.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes of a connection that do not count: what is small passes however much of the large is on
/// its way.
pub(crate) const FREE: usize = 64 * 1024;

/// The limit of an endpoint and what is counted. A clone of the endpoint counts together with it.
pub(crate) struct Receiving {
    most: usize,
    now: AtomicUsize,
}

impl Receiving {
    pub(crate) fn new(most: usize) -> Arc<Self> {
        Arc::new(Receiving { most, now: AtomicUsize::new(0) })
    }

    /// A connection holds so much; false if that is too much.
    pub(crate) fn hold(self: &Arc<Self>, share: &mut Option<Share>, bytes: usize) -> bool {
        let bytes = bytes.saturating_sub(FREE);
        if bytes == 0 {
            *share = None;
            return true;
        }
        let share = share.get_or_insert_with(|| Share { of: self.clone(), bytes: 0 });
        let grown = bytes.saturating_sub(share.bytes);
        let before = self.now.fetch_add(grown, Ordering::Relaxed);
        self.now.fetch_sub(share.bytes.saturating_sub(bytes), Ordering::Relaxed);
        share.bytes = bytes;
        grown == 0 || before.saturating_add(grown) <= self.most
    }
}

/// What one connection has of it, until it is dropped.
pub(crate) struct Share {
    of: Arc<Receiving>,
    bytes: usize,
}

impl Drop for Share {
    fn drop(&mut self) {
        self.of.now.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_counts_once_and_is_given_back() {
        let all = Receiving::new(1_000_000);
        let (mut one, mut two) = (None, None);
        assert!(all.hold(&mut one, FREE));
        assert!(one.is_none());
        assert!(all.hold(&mut one, FREE + 600_000));
        assert!(all.hold(&mut one, FREE + 700_000));
        assert!(all.hold(&mut two, FREE + 300_000));
        assert!(!all.hold(&mut two, FREE + 300_001));
        assert!(all.hold(&mut two, FREE), "what is small passes");
        assert!(all.hold(&mut one, 0));
        assert_eq!(all.now.load(Ordering::Relaxed), 0);
    }
}
