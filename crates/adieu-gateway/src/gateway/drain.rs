//! Stopping so that everybody comes back: each client is told its own time.

use std::time::Duration;

use super::engine::random;
use super::{Gateway, GatewayError};
use crate::session::hub::Step;

/// How long the last events may take to the backend: those that stay are told by the next start.
const LAST_DELIVERIES: Duration = Duration::from_secs(2);

impl Gateway {
    /// Whether it has begun to stop: not ready for more.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        *self.inner.draining.borrow()
    }

    /// Tells every client to come back, each at a time of its own, drawn over the window; how many.
    /// The connections are closed by who has opened them.
    ///
    /// # Errors
    /// If it cannot be written down.
    pub async fn tell_closing(&self) -> Result<usize, GatewayError> {
        self.inner.draining.send_replace(true);
        self.inner.metrics.draining();
        let window = self.inner.drain_window;
        self.act(move |scene, now| {
            let ids: Vec<_> = scene.hub.ids().collect();
            let mut step = Step::default();
            for id in ids {
                let share = f64::from(u32::from_le_bytes(random())) / f64::from(u32::MAX);
                step.append(scene.hub.closing(now, id, window.mul_f64(share)));
            }
            (step.effects.len(), step)
        })
        .await
    }

    /// Ends the gateway: what has happened is committed, and the store is closed, so that the next
    /// process can open it.
    ///
    /// # Errors
    /// If the store has failed.
    pub async fn stop(&self) -> Result<(), GatewayError> {
        let _ = tokio::time::timeout(LAST_DELIVERIES, self.inner.deliveries.settled()).await;
        self.inner.stop.send_replace(true);
        self.over().await
    }
}
