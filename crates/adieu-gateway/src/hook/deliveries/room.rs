//! Room for what people say: where there is none, no more is read of a session.

use std::sync::Arc;

use bytes::Bytes;

use super::Deliveries;
use super::budget::Pool;
use crate::session::SessionId;
use crate::session::event::session_stream as stream;

/// Room that is kept for a message until its event waits, or there is none.
#[derive(Debug)]
pub(crate) struct Room {
    deliveries: Arc<Deliveries>,
    stream: Bytes,
    pool: Pool,
    bytes: usize,
}

impl Drop for Room {
    fn drop(&mut self) {
        self.deliveries.state().scheduler.release(&self.stream, self.pool, self.bytes);
        self.deliveries.tell_freed();
    }
}

impl Deliveries {
    /// Room for a message of this session with so many bytes, if there is some. It is kept as long
    /// as what is given lives: until its event waits for the backend or, without one, until the
    /// message is committed.
    pub(crate) fn try_room(self: &Arc<Self>, id: SessionId, bytes: usize) -> Option<Room> {
        let stream = stream(id);
        let pool = self.state().scheduler.reserve(&stream, bytes)?;
        Some(Room { deliveries: self.clone(), stream, pool, bytes })
    }

    /// Ready when there is room.
    pub(crate) async fn room(self: &Arc<Self>, id: SessionId, bytes: usize) -> Room {
        let stream = stream(id);
        loop {
            // First the place among those who are told, then the look: nothing is missed.
            let mut freed = std::pin::pin!(self.freed.notified());
            freed.as_mut().enable();
            let own = {
                let mut state = self.state();
                if let Some(pool) = state.scheduler.reserve(&stream, bytes) {
                    return Room { deliveries: self.clone(), stream, pool, bytes };
                }
                state.scheduler.told(&stream).map(tokio::sync::Notify::notified_owned)
            };
            match own {
                Some(own) => tokio::select! { () = own => {}, () = freed => {} },
                None => freed.await,
            }
        }
    }

    /// Wakes those who wait for room that others had.
    pub(super) fn tell_freed(&self) {
        if std::mem::take(&mut self.state().scheduler.freed) {
            self.freed.notify_waiters();
        }
    }
}
