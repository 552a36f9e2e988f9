//! Room for what people say: where there is none, no more is read of a session.

use std::sync::Arc;

use bytes::Bytes;

use super::Deliveries;
use super::budget::Held;
use crate::session::SessionId;
use crate::session::event::session_stream as stream;

/// Room that is kept for a message: its event takes it over, or it is given back.
#[derive(Debug)]
pub(crate) struct Room {
    deliveries: Arc<Deliveries>,
    stream: Bytes,
    held: Option<Held>,
}

impl Room {
    /// The event of the message takes it over.
    pub(super) fn hand_over(mut self) -> Option<Held> {
        self.held.take()
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let Some(held) = self.held.take() else { return };
        self.deliveries.state().scheduler.release(&self.stream, &held);
        self.deliveries.tell_freed();
    }
}

impl Deliveries {
    /// Room for a message of this session with so many bytes, if there is some. It is kept until
    /// the event of the message takes it over or, without one, until the message is committed.
    pub(crate) fn try_room(self: &Arc<Self>, id: SessionId, bytes: usize) -> Option<Room> {
        let stream = stream(id);
        let held = Some(self.state().scheduler.reserve(&stream, bytes)?);
        Some(Room { deliveries: self.clone(), stream, held })
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
                if let Some(held) = state.scheduler.reserve(&stream, bytes) {
                    return Room { deliveries: self.clone(), stream, held: Some(held) };
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
