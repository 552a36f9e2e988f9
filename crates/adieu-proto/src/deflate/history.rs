//! The text that went before on a connection: the end of its window, as plain bytes.

/// A history begins with so much room, and doubles it as it grows.
const FIRST_ROOM: usize = 1024;

/// The last bytes of what was compressed in one direction, `keep` at most. It owns nothing while it
/// is empty.
#[derive(Clone, Debug, Default, Hash)]
pub(super) struct History {
    bytes: Vec<u8>,
    keep: u16,
}

impl History {
    /// Keeps so many bytes at most: none, or up to 32 KiB.
    pub(super) fn new(keep: usize) -> Self {
        History { bytes: Vec::new(), keep: keep.min(super::MAX_WINDOW) as u16 }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Adds a message.
    pub(super) fn push(&mut self, message: &[u8]) {
        let keep = usize::from(self.keep);
        let message = &message[message.len().saturating_sub(keep)..];
        let gone = (self.bytes.len() + message.len()).saturating_sub(keep);
        self.bytes.drain(..gone.min(self.bytes.len()));
        let len = self.bytes.len() + message.len();
        if len > self.bytes.capacity() {
            let room = len.next_power_of_two().clamp(FIRST_ROOM.min(keep), keep);
            self.bytes.reserve_exact(room - self.bytes.len());
        }
        self.bytes.extend_from_slice(message);
    }

    /// Forgets all of it, and frees its memory.
    pub(super) fn forget(&mut self) {
        self.bytes = Vec::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_end_of_all_that_was_added_and_no_longer_than_asked() {
        for keep in [0, 1, 250, 4096, super::super::MAX_WINDOW] {
            let mut history = History::new(keep);
            let mut all = Vec::new();
            for (i, len) in [3, 0, 500, 4096, 5000, 1, 4095, 40_000, 7, 33_000].iter().enumerate() {
                let message: Vec<u8> = (0..*len).map(|b| (b * 7 + i) as u8).collect();
                history.push(&message);
                all.extend(message);
                assert_eq!(history.bytes(), &all[all.len().saturating_sub(keep)..]);
                assert!(history.bytes.capacity() <= keep, "{} bytes", history.bytes.capacity());
            }
            history.forget();
            assert_eq!(history.bytes.capacity(), 0);
        }
    }
}
