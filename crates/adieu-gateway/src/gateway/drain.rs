//! Stopping so that everybody comes back: each client is told its own time.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::engine::{Done, With};
use super::{Gateway, GatewayError};
use crate::random::{a_share_of, random};
use crate::session::{Command, Reply, SessionId};

/// How long the store may take over the last commits before the process ends without them: they
/// were acknowledged to nobody.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// How long it may take to write down what the next clients are promised, before all others are
/// closed without a time: a store that takes so long for a few sessions hangs.
const PROMISES_STALLED: Duration = Duration::from_secs(2);

/// How long it may take to write down all promises, while it goes on. Orchestrators give 30 s from
/// SIGTERM to SIGKILL, and the Closes and the last events come behind it. A store on a disk writes
/// down some hundred thousand meanwhile.
const PROMISES_IN_ALL: Duration = Duration::from_secs(15);

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
    /// If it cannot be written down: those that were not told by then have to be closed without a
    /// time of their own.
    pub async fn tell_closing(&self) -> Result<usize, GatewayError> {
        self.inner.draining.send_replace(true);
        self.inner.metrics.draining();
        let (window, seed) = (self.inner.drain_window, u64::from_le_bytes(random()));
        let closing = move |after| Command::Closing { after, window, seed };
        let told = self.of_all(closing, PROMISES_STALLED, PROMISES_IN_ALL).await;
        // The Closes come behind it.
        let flushed = tokio::time::timeout(PROMISES_STALLED, self.inner.writers.flush()).await;
        told.and_then(|told| flushed.map(|()| told).map_err(|_| GatewayError::Stuck))
    }

    /// Asks all shards at the same time, each until it has no more to do; how many had something
    /// to do. Given up when none of them has done a part for as long as `stalled`, or when it has
    /// taken longer than `in_all`.
    async fn of_all(
        &self,
        command: impl Fn(Option<SessionId>) -> Command + Clone + Send + 'static,
        stalled: Duration,
        in_all: Duration,
    ) -> Result<usize, GatewayError> {
        let until = Instant::now() + in_all;
        let (progress, mut parts) = mpsc::channel(1);
        for shard in 0..self.inner.shards.len() {
            let (gateway, command, progress) = (self.clone(), command.clone(), progress.clone());
            tokio::spawn(async move {
                if let Err(error) = gateway.of_shard(shard, command, &progress).await {
                    let _ = progress.send(Err(error)).await;
                }
            });
        }
        drop(progress);
        let mut all = 0;
        loop {
            let now = Instant::now();
            match tokio::time::timeout_at(until.min(now + stalled), parts.recv()).await {
                Ok(Some(had)) => all += had?,
                Ok(None) => return Ok(all),
                Err(_) if now + stalled < until => return Err(GatewayError::Stuck),
                Err(_) => return Err(GatewayError::TooSlow),
            }
        }
    }

    /// Asks one shard until it has no more to do, or nobody hears of its progress any more.
    async fn of_shard(
        &self,
        shard: usize,
        command: impl Fn(Option<SessionId>) -> Command,
        progress: &mpsc::Sender<Result<usize, GatewayError>>,
    ) -> Result<(), GatewayError> {
        let mut after = None;
        loop {
            let (tell, told) = oneshot::channel();
            let with = With { tell: Some(tell), ..With::default() };
            self.submit_to(shard, command(after), with).done().await?;
            let done = told.await.map_err(|_| GatewayError::Stopped)?;
            let Done::Replied(Reply::More(last, had)) = done else { return Ok(()) };
            if progress.send(Ok(had)).await.is_err() || last.is_none() {
                return Ok(());
            }
            after = last;
        }
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
            self.of_all(|_| Command::GiveUp, LAST_WORDS, LAST_WORDS).await?;
            LAST_CHANCE
        };
        self.inner.deliveries.finish(limit).await;
        self.inner.stop.send_replace(true);
        let over = in_time(self.over()).await;
        if let Some(cluster) = self.cluster() {
            let _ = tokio::time::timeout(LAST_WORDS, cluster.leave()).await;
        }
        over
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

#[cfg(test)]
mod tests;
