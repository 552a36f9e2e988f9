//! Large buffers between two messages. To allocate such a buffer anew is expensive: the kernel
//! hands it out page by page, each with a fault and zeroed.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use adieu_proto::Pool;
use bytes::Bytes;

/// Messages below this are small change for any allocator.
const SMALLEST: usize = 64 * 1024;

/// Bytes that a pool keeps at most: enough for a few messages of 1 MiB under way, and too little
/// to be missed.
const KEEP: usize = 8 * 1024 * 1024;

/// Buffers of messages that are gone.
#[derive(Default)]
pub(crate) struct Buffers(Mutex<Vec<Vec<u8>>>);

/// The payload of a message. Its buffer goes back when the last who shares it lets go.
struct Pooled {
    bytes: Vec<u8>,
    pool: Weak<Buffers>,
}

impl Buffers {
    fn lock(&self) -> MutexGuard<'_, Vec<Vec<u8>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Buffers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.lock().iter().map(Vec::capacity)).finish()
    }
}

impl Pool for Buffers {
    fn take(&self, len: usize) -> Option<Vec<u8>> {
        if len < SMALLEST {
            return None;
        }
        let mut buffers = self.lock();
        let fits = |buffer: &Vec<u8>| (len..=len.saturating_mul(2)).contains(&buffer.capacity());
        // The one that came back last is warm.
        let found = buffers.iter().rposition(fits)?;
        Some(buffers.swap_remove(found))
    }

    fn share(self: Arc<Self>, bytes: Vec<u8>) -> Bytes {
        // A small one is not worth it, and one in far too large a buffer is not what comes next.
        if bytes.len() < SMALLEST || bytes.capacity() > 2 * bytes.len() {
            return bytes.into();
        }
        Bytes::from_owner(Pooled { bytes, pool: Arc::downgrade(&self) })
    }
}

impl AsRef<[u8]> for Pooled {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Pooled {
    fn drop(&mut self) {
        let Some(pool) = self.pool.upgrade() else { return };
        let mut buffers = pool.lock();
        let kept: usize = buffers.iter().map(Vec::capacity).sum();
        if kept + self.bytes.capacity() <= KEEP {
            buffers.push(std::mem::take(&mut self.bytes));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_when_the_last_lets_go() {
        let pool = Arc::new(Buffers::default());
        assert_eq!(pool.take(SMALLEST), None);
        let message = pool.clone().share(vec![7; SMALLEST]);
        let shared = message.clone();
        drop(message);
        assert_eq!((pool.take(SMALLEST), shared[0]), (None, 7));
        drop(shared);
        assert_eq!(pool.take(SMALLEST / 2), None, "small messages");
        assert_eq!(pool.take(2 * SMALLEST), None, "too small");
        let buffer = pool.take(SMALLEST).unwrap();
        assert_eq!((buffer.len(), buffer.capacity()), (SMALLEST, SMALLEST), "ready to be read to");
    }

    #[test]
    fn no_more_than_a_few_megabytes_are_kept_and_nothing_outlives_the_pool() {
        let pool = Arc::new(Buffers::default());
        let many: Vec<_> = (0..20).map(|_| pool.clone().share(vec![0; KEEP / 8])).collect();
        drop(many);
        assert_eq!(pool.lock().len(), 8);
        assert_eq!(pool.take(SMALLEST), None, "far too large");
        let late = pool.clone().share(vec![0; SMALLEST]);
        drop(pool);
        drop(late);
    }
}
