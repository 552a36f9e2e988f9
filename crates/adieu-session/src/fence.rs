//! The fence of a session: by which a store tells a write of the session's owner from a write of
//! the owner before, from the same write once more, and from a write that builds on what the store
//! has lost.

use serde::{Deserialize, Serialize};

use super::SessionId;

/// Which owner a session has, and which of that owner's writes was the last.
///
/// An owner keeps the fence of its last write. Each write names the fence that it builds on and
/// brings the next. A new owner *claims* the session first: a write that raises the epoch, after
/// which whatever the owner before still writes is refused.
///
/// ```
/// use adieu_session::fence::{Fence, Refused, Verdict};
///
/// let first = Fence { epoch: 1, nonce: 7 };
/// let second = Fence { epoch: 1, nonce: 8 };
/// // The store has the first write: the second builds on it.
/// assert_eq!(Fence::judge(first, first, second), Verdict::Apply);
/// // Another owner has claimed the session meanwhile.
/// let claimed = Fence { epoch: 2, nonce: 9 };
/// assert_eq!(Fence::judge(claimed, first, second), Verdict::Refuse(Refused::Fenced));
/// ```
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Fence {
    /// Raised by each claim; 0: the store has no such session.
    pub epoch: u32,
    /// Of the last write: a number that no other write is likely to have. A store that has lost
    /// writes gives the same epoch out twice, and never the same nonce.
    pub nonce: u64,
}

/// What a store does with a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Makes all of its changes.
    Apply,
    /// Nothing: it has made them. The answer to the first time was lost.
    Repeated,
    /// Nothing: the writer does not own the session.
    Refuse(Refused),
}

/// Why a write is refused. Nothing of it was done, and the writer has to let the session go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refused {
    /// Another owner has claimed the session, or the session is over.
    Fenced,
    /// The store does not have the write before: it has lost writes.
    RolledBack,
    /// The user has no room for a session more, of all nodes that share the store.
    Full,
    /// The page has begun this session before, and had not heard of it.
    Began(SessionId),
}

impl Fence {
    /// What a store that has `kept` does with a write that builds on `after` and brings `next`.
    #[must_use]
    pub fn judge(kept: Fence, after: Fence, next: Fence) -> Verdict {
        match kept {
            kept if kept == after => Verdict::Apply,
            kept if kept == next => Verdict::Repeated,
            // A session that is over is not there any more.
            Fence { epoch: 0, .. } => Verdict::Refuse(Refused::Fenced),
            kept if kept.epoch > after.epoch => Verdict::Refuse(Refused::Fenced),
            _ => Verdict::Refuse(Refused::RolledBack),
        }
    }
}

/// Numbers for the writes of one owner. They are no secret, and have only to differ from those of
/// another owner: each begins with another seed.
#[derive(Clone, Debug)]
pub(crate) struct Nonces(u64);

impl Nonces {
    pub(crate) fn new(seed: u64) -> Self {
        Nonces(seed)
    }

    /// The next one: splitmix64, which has each of 2^64 numbers once.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEW: Fence = Fence { epoch: 0, nonce: 0 };

    impl Fence {
        fn claimed(self, nonce: u64) -> Self {
            Fence { epoch: self.epoch + 1, nonce }
        }

        fn next(self, nonce: u64) -> Self {
            Fence { nonce, ..self }
        }
    }

    #[test]
    fn a_write_is_made_behind_the_one_that_it_names() {
        let first = NEW.claimed(1);
        assert_eq!(Fence::judge(NEW, NEW, first), Verdict::Apply);
        assert_eq!(Fence::judge(first, first, first.next(2)), Verdict::Apply);
        assert_eq!(Fence::judge(first, first, first.claimed(3)), Verdict::Apply);
    }

    #[test]
    fn a_write_that_comes_twice_is_made_once() {
        let first = NEW.claimed(1);
        assert_eq!(Fence::judge(first, NEW, first), Verdict::Repeated);
        let second = first.next(2);
        assert_eq!(Fence::judge(second, first, second), Verdict::Repeated);
    }

    #[test]
    fn an_owner_before_and_the_owner_of_a_session_that_is_over_are_refused() {
        let first = NEW.claimed(1);
        let (theirs, ours) = (first.claimed(2), first.next(3));
        assert_eq!(Fence::judge(theirs, first, ours), Verdict::Refuse(Refused::Fenced));
        assert_eq!(Fence::judge(NEW, first, ours), Verdict::Refuse(Refused::Fenced));
        // Two that claim at once: the second is refused as well.
        assert_eq!(Fence::judge(theirs, first, first.claimed(4)), Verdict::Refuse(Refused::Fenced));
    }

    #[test]
    fn a_store_that_has_lost_writes_is_seen_whatever_its_epoch() {
        let first = NEW.claimed(1);
        let second = first.next(2);
        let lost = Verdict::Refuse(Refused::RolledBack);
        // The second write is lost, or the claim, or it was lost and made by another owner.
        assert_eq!(Fence::judge(first, second, second.next(3)), lost);
        assert_eq!(Fence::judge(first, first.claimed(4), first.claimed(4).next(5)), lost);
        let (ours, theirs) = (first.claimed(6), first.claimed(7));
        assert_eq!(Fence::judge(theirs, ours, ours.next(8)), lost);
    }

    #[test]
    fn two_owners_have_no_nonce_in_common() {
        let (mut one, mut two) = (Nonces::new(1), Nonces::new(2));
        let of_one: std::collections::HashSet<_> = (0..1000).map(|_| one.next()).collect();
        assert_eq!(of_one.len(), 1000);
        assert!((0..1000).all(|_| !of_one.contains(&two.next())));
    }
}
