//! Random bytes of a client, all from one seed that the driver gives (RFC 6455 §5.3, §10.3).

use sha1::{Digest, Sha1};

/// SHA-1 of the secret seed and a counter: nobody who sees masks can tell the next one.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Seed {
    secret: [u8; 32],
    counter: u64,
    block: [u8; 20],
    used: usize,
}

impl Seed {
    pub(crate) fn new(secret: [u8; 32]) -> Self {
        Seed { secret, counter: 0, block: [0; 20], used: 20 }
    }

    /// The next mask.
    pub(crate) fn mask(&mut self) -> [u8; 4] {
        if self.used == self.block.len() {
            let counter = self.counter.to_be_bytes();
            self.block =
                Sha1::new().chain_update(self.secret).chain_update(counter).finalize().into();
            self.counter += 1;
            self.used = 0;
        }
        let mut mask = [0; 4];
        mask.copy_from_slice(&self.block[self.used..][..4]);
        self.used += 4;
        mask
    }

    /// The nonce of the opening handshake.
    pub(crate) fn nonce(&mut self) -> [u8; 16] {
        let mut nonce = [0; 16];
        nonce.chunks_exact_mut(4).for_each(|chunk| chunk.copy_from_slice(&self.mask()));
        nonce
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_do_not_repeat_and_follow_the_seed() {
        let (mut a, mut b) = (Seed::new([1; 32]), Seed::new([1; 32]));
        let masks: Vec<_> = (0..1000).map(|_| a.mask()).collect();
        assert!(masks.iter().all(|mask| *mask == b.mask()));
        let distinct: std::collections::HashSet<_> = masks.iter().collect();
        assert!(distinct.len() > 990);
        assert_ne!(Seed::new([2; 32]).mask(), masks[0]);
    }
}
