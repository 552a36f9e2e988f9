//! Chance from one seed.

use sha2::{Digest as _, Sha256};

/// Nobody can tell what comes next without the seed: a nonce may be made of it.
pub(super) struct Chance {
    seed: [u8; 32],
    drawn: u64,
}

impl Chance {
    pub(super) fn new(seed: [u8; 32]) -> Self {
        Chance { seed, drawn: 0 }
    }

    fn next(&mut self) -> [u8; 32] {
        self.drawn += 1;
        let hash = Sha256::new().chain_update(self.seed).chain_update(self.drawn.to_be_bytes());
        hash.finalize().into()
    }

    pub(super) fn number(&mut self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.next();
        u64::from_be_bytes([a, b, c, d, e, f, g, h])
    }

    pub(super) fn nonce(&mut self) -> [u8; 16] {
        let mut nonce = [0; 16];
        nonce.copy_from_slice(&self.next()[..16]);
        nonce
    }
}
