//! Room for what people say.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::Notify;

use super::super::budget::{Full, Held, Share};
use super::super::options::{BESIDE_MESSAGE, SMALL};
use super::Scheduler;

impl Scheduler {
    /// Keeps room for a message of so many bytes.
    pub(in super::super) fn reserve(&mut self, key: &Bytes, bytes: usize) -> Option<Held> {
        let empty = Share::default();
        let stream = self.streams.get(key);
        let (share, user) = stream.map_or((&empty, None), |of| (&of.share, of.user.as_ref()));
        let (small, bytes) = (bytes <= SMALL, bytes + BESIDE_MESSAGE);
        match self.budget.room(share, user, bytes, small) {
            Ok(pool) => {
                let stream = self.streams.entry(key.clone()).or_default();
                // Of a user only what waits is counted: who that is, an event says.
                self.budget.take(&mut stream.share, None, pool, bytes);
                Some(Held { pool, bytes })
            }
            Err(Full::Session) => None,
            Err(Full::Others) => {
                self.pressed = true;
                None
            }
        }
    }

    pub(in super::super) fn release(&mut self, key: &Bytes, held: &Held) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        self.budget.give_back(&mut stream.share, None, held.pool, held.bytes);
        if let Some(room) = &stream.room {
            room.notify_waiters();
        }
        self.freed |= std::mem::take(&mut self.pressed);
        self.plan(key);
    }

    /// Tells when something of this stream is gone.
    pub(in super::super) fn told(&mut self, key: &Bytes) -> Option<Arc<Notify>> {
        let stream = self.streams.get_mut(key)?;
        Some(stream.room.get_or_insert_default().clone())
    }
}
