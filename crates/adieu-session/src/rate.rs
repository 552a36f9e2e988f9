//! How many in a second: a token bucket.

use super::time::Timestamp;

/// So many seconds' worth may come at once: what a client has kept while it was away, say.
pub const BURST: u32 = 5;

/// What is left of a rate.
///
/// ```
/// use adieu_session::rate::Rate;
/// use adieu_session::Timestamp;
///
/// let mut rate = Rate::default();
/// // Ten in a second, and fifty at once.
/// let taken = (0..100).filter(|_| rate.takes(Timestamp(1_000), 10)).count();
/// assert_eq!(taken, 50);
/// assert!(rate.takes(Timestamp(1_100), 10), "a tenth of a second later there is one more");
/// assert!(!rate.takes(Timestamp(1_100), 10));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Thousandths of one that were taken and have not come back.
    taken: u64,
    at: Timestamp,
}

impl Default for Rate {
    fn default() -> Self {
        Rate { taken: 0, at: Timestamp(0) }
    }
}

impl Rate {
    /// Takes one, if there is one: of `per_second`, and [`BURST`] seconds' worth at once.
    pub fn takes(&mut self, now: Timestamp, per_second: u32) -> bool {
        let per_second = u64::from(per_second);
        let back = now.0.saturating_sub(self.at.0).saturating_mul(per_second);
        self.taken = self.taken.saturating_sub(back);
        self.at = self.at.max(now);
        let fits = self.taken + 1_000 <= per_second * u64::from(BURST) * 1_000;
        if fits {
            self.taken += 1_000;
        }
        fits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn over_a_long_time_it_is_the_rate_whatever_the_order_of_the_clock() {
        let (mut rate, mut taken) = (Rate::default(), 0);
        for ms in 0..60_000 {
            // A clock that goes back gives nothing twice.
            let now = Timestamp(if ms % 7 == 0 { ms / 2 } else { ms });
            taken += (0..3).filter(|_| rate.takes(now, 20)).count();
        }
        assert!(
            (1_290..=1_300).contains(&taken),
            "{taken}: a burst of 100, and 20 for each second"
        );
        let (mut never, mut always) = (Rate::default(), Rate::default());
        assert!(!never.takes(Timestamp(5), 0));
        assert!((0..1_000_000).all(|_| always.takes(Timestamp(5), u32::MAX)));
    }
}
