//! What is mostly done at once.

use std::future::Future;
use std::pin::Pin;

/// Something that is done, or a wait for it: in a box of its own, so that a task that does it again
/// and again does not keep the room of a wait while it is idle.
pub(super) enum Soon<'s, T> {
    Now(T),
    Later(Pin<Box<dyn Future<Output = T> + Send + 's>>),
}

impl<'s, T: 's> Soon<'s, T> {
    pub(super) fn later(wait: impl Future<Output = T> + Send + 's) -> Self {
        Soon::Later(Box::pin(wait))
    }

    pub(super) async fn done(self) -> T {
        match self {
            Soon::Now(done) => done,
            Soon::Later(wait) => wait.await,
        }
    }
}
