//! Stopping so that everybody comes back: each client is told its own time.

use std::time::Duration;

use tokio::sync::oneshot;

use super::engine::{Done, With};
use super::{Gateway, GatewayError};
use crate::random::{a_share_of, random};
use crate::session::{Command, Reply, SessionId};

/// How long the store may take over the last commits before the process ends without them: they
/// were acknowledged to nobody.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// How long it may take to write down what clients are promised, before they are closed all the
/// same.
const PROMISES: Duration = Duration::from_secs(2);

/// How long the last events may take to the backend where a store keeps them: those that stay are
/// told by the next start.
const LAST_DELIVERIES: Duration = Duration::from_secs(2);

/// The same where nobody tells them later. Orchestrators give 30 s from SIGTERM to SIGKILL, and the
/// connections had some of them.
const LAST_CHANCE: Duration = Duration::from_secs(20);

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
        let told = tokio::time::timeout(PROMISES, self.tell_all_closing()).await;
        told.unwrap_or(Err(GatewayError::Stuck))
    }

    async fn tell_all_closing(&self) -> Result<usize, GatewayError> {
        let (window, seed) = (self.inner.drain_window, u64::from_le_bytes(random()));
        let closing = |after| Command::Closing { after, window, seed };
        let told = self.of_all(closing).await?;
        // The Closes come behind it.
        self.inner.writers.flush().await;
        Ok(told)
    }

    /// Asks each shard until it has no more to do; how many had something to do.
    async fn of_all(
        &self,
        command: impl Fn(Option<SessionId>) -> Command,
    ) -> Result<usize, GatewayError> {
        let mut all = 0;
        for shard in 0..self.inner.shards.len() {
            let mut after = None;
            loop {
                let (tell, told) = oneshot::channel();
                let with = With { tell: Some(tell), ..With::default() };
                self.submit_to(shard, command(after), with).done().await?;
                let done = told.await.map_err(|_| GatewayError::Stopped)?;
                let Done::Replied(Reply::More(last, had)) = done else { break };
                all += had;
                if last.is_none() {
                    break;
                }
                after = last;
            }
        }
        Ok(all)
    }

    /// When a client that comes while we stop is to come back.
    pub(super) fn a_time_to_come_back(&self) -> Duration {
        a_share_of(self.inner.drain_window)
    }

    /// Ends the gateway: what has happened is committed, and the store is closed, so that the next
    /// process can open it. Without a store that outlives the process the backend is waited for
    /// while it takes events; [`never_told`](Self::never_told) says what is lost then.
    ///
    /// # Errors
    /// If the store has failed.
    pub async fn stop(&self) -> Result<(), GatewayError> {
        let limit = if self.inner.durable {
            LAST_DELIVERIES
        } else {
            // Nobody can come back to them.
            in_time(self.of_all(|_| Command::GiveUp)).await?;
            LAST_CHANCE
        };
        self.inner.deliveries.finish(limit).await;
        self.inner.stop.send_replace(true);
        in_time(self.over()).await
    }

    /// Events that no backend has taken, and that the next process will not know of.
    #[must_use]
    pub fn never_told(&self) -> usize {
        if self.inner.durable { 0 } else { self.deliveries().waiting().events }
    }
}

/// Within what the last commits may take.
async fn in_time<T>(
    done: impl Future<Output = Result<T, GatewayError>>,
) -> Result<T, GatewayError> {
    tokio::time::timeout(LAST_WORDS, done).await.unwrap_or(Err(GatewayError::Stuck))
}
