//! When the gateway stops: the last events are told while the backend takes them.

use std::time::Duration;

use super::options::STILL_TAKING;
use super::{Deliveries, Left, now};

/// What the backend refused is tried once more within this time.
const ONCE_MORE: Duration = Duration::from_secs(1);

impl Deliveries {
    /// Ready when nothing waits.
    pub(crate) async fn settled(&self) {
        self.until(|left| left == Left::default()).await;
    }

    /// Waits while the backend takes events: until nothing waits, until it has taken nothing for
    /// [`STILL_TAKING`] (and, while a request is open, for as long as an answer may take), or until
    /// the limit. What is left then, and will be told by the next start if the store outlives the
    /// process.
    pub async fn finish(&self, limit: Duration) -> Left {
        let Some(answer) = self.backend.as_ref().map(crate::hook::Backend::timeout) else {
            return Left::default();
        };
        self.state().scheduler.hurry(now().at, ONCE_MORE);
        self.sooner.notify_one();
        let stalled = async {
            let began = now().at;
            loop {
                let (since, patience) = {
                    let state = self.state();
                    let busy = state.scheduler.in_flight() > 0;
                    let patience = STILL_TAKING + if busy { answer } else { Duration::ZERO };
                    (state.scheduler.last_taken.max(began), patience)
                };
                if now().at >= since + patience || self.state().closed {
                    return;
                }
                tokio::select! {
                    () = tokio::time::sleep_until((since + patience).into()) => {}
                    () = self.settled.notified() => {}
                }
            }
        };
        let over = async {
            tokio::select! { () = self.settled() => {}, () = stalled => {} }
        };
        let _ = tokio::time::timeout(limit, over).await;
        self.state().scheduler.left()
    }

    async fn until(&self, is: impl Fn(Left) -> bool) {
        loop {
            // First the place among those who are told, then the look: nothing is missed.
            let mut settled = std::pin::pin!(self.settled.notified());
            settled.as_mut().enable();
            if is(self.state().scheduler.left()) {
                return;
            }
            settled.await;
        }
    }
}
