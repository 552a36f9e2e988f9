//! Chance: what nobody may guess, and what is to be spread.

use std::time::Duration;

/// Random bytes of the operating system.
pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    // Without randomness a token could be guessed: there is nothing to go on with.
    getrandom::fill(&mut bytes).expect("the operating system gives randomness");
    bytes
}

/// A length of time up to this one, drawn evenly.
pub(crate) fn a_share_of(longest: Duration) -> Duration {
    longest.mul_f64(f64::from(u32::from_le_bytes(random())) / f64::from(u32::MAX))
}
