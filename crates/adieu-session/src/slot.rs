//! Slots: the parts into which all sessions are divided.

use sha2::{Digest as _, Sha256};

/// How many there are.
pub const SLOTS: u16 = 1024;

/// One of 1,024 parts of all sessions. The sessions of a user, the set of these sessions, their
/// deadlines and their events are in one slot; so whatever owns a slot decides about them alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(u16);

impl Slot {
    /// By its number; above the last it begins anew.
    #[must_use]
    pub fn new(number: u16) -> Self {
        Slot(number % SLOTS)
    }

    /// Its number, below [`SLOTS`].
    #[must_use]
    pub fn number(self) -> u16 {
        self.0
    }

    /// The slot of a user.
    #[must_use]
    pub fn of_user(user: &str) -> Self {
        let digest = Sha256::digest(user.as_bytes());
        Slot::of_bits([digest[0], digest[1]])
    }

    /// Of the first ten bits.
    pub(crate) fn of_bits(bytes: [u8; 2]) -> Self {
        Slot(u16::from_be_bytes(bytes) >> 6)
    }

    /// As the first ten bits.
    pub(crate) fn to_bits(self) -> [u8; 2] {
        (self.0 << 6).to_be_bytes()
    }

    /// Which of so many shards has it: each has as many slots as the others, or one more.
    #[must_use]
    pub fn shard(self, shards: usize) -> usize {
        usize::from(self.0) * shards / usize::from(SLOTS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_shard_has_its_part_of_the_slots() {
        for shards in [1, 2, 3, 7, 16] {
            let mut slots = vec![0u16; shards];
            (0..SLOTS).for_each(|slot| slots[Slot::new(slot).shard(shards)] += 1);
            let (least, most) = (slots.iter().min().unwrap(), slots.iter().max().unwrap());
            assert!(most - least <= 1, "{slots:?}");
        }
    }

    #[test]
    fn a_user_stays_in_one_slot_over_versions() {
        assert_eq!(Slot::of_user("anna"), Slot::new(341));
        assert_eq!(Slot::of_bits(Slot::new(1023).to_bits()), Slot::new(1023));
    }
}
