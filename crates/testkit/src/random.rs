//! Chance that can be had again: the same seed gives the same numbers on every machine.

/// SplitMix64: small, and good enough to choose faults.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// What follows from this seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Random(seed)
    }

    /// Another source that follows from this one and a number, whatever else is drawn.
    #[must_use]
    pub fn fork(&self, number: u64) -> Self {
        let mut random = Random(self.0 ^ number.wrapping_mul(0xD6E8_FEB8_6659_FD93));
        Random(random.next())
    }

    /// The next number.
    #[allow(clippy::should_implement_trait, reason = "it never ends")]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below this one, which is not 0.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// Whether something happens that does so once in so many times.
    pub fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    /// A number up to this one, small ones far more often: every size has its turn.
    pub fn size(&mut self, most: u64) -> u64 {
        let bits = self.below(u64::from(u64::BITS - most.leading_zeros()) + 1);
        self.below(1 << bits).min(most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_and_another_another() {
        let draw = |seed| {
            let mut random = Random::new(seed);
            [(); 8].map(|()| random.next())
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
        let mut sizes = Random::new(1);
        let sizes: Vec<_> = (0..1000).map(|_| sizes.size(1000)).collect();
        assert!(sizes.iter().all(|size| *size <= 1000));
        assert!(sizes.contains(&0) && sizes.iter().any(|size| *size > 500));
    }
}
