//! Looking at sessions.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::engine::Job;
use super::{Gateway, GatewayError};
use crate::session::command::Query;
use crate::session::fence::Fence;
use crate::session::shard::{Answer, Counts};
use crate::session::{SessionId, Slot, View};

impl Gateway {
    /// One session.
    pub(crate) async fn view(&self, id: SessionId) -> Result<Option<View>, GatewayError> {
        if let Some(cluster) = self.cluster() {
            return Ok(cluster.view(id, self.now()).await?);
        }
        Ok(self.views(id.slot(), Query::Session(id)).await?.pop())
    }

    /// The sessions of a user.
    pub(crate) async fn views_of(&self, user: Arc<str>) -> Result<Vec<View>, GatewayError> {
        if let Some(cluster) = self.cluster() {
            return Ok(cluster.views_of(&user, self.now()).await?);
        }
        self.views(Slot::of_user(&user), Query::User(user)).await
    }

    async fn views(&self, slot: Slot, query: Query) -> Result<Vec<View>, GatewayError> {
        let shard = slot.shard(self.inner.shards.len());
        match self.look(shard, query).await? {
            Answer::Sessions(views) => Ok(views),
            Answer::Counts(_) | Answer::Held(_) => Ok(Vec::new()),
        }
    }

    /// Sessions in the order of their names, above this one, so many at most: the slots of a shard
    /// lie side by side, and names begin with their slot.
    pub(crate) async fn list(
        &self,
        after: Option<SessionId>,
        most: usize,
    ) -> Result<Vec<View>, GatewayError> {
        if let Some(cluster) = self.cluster() {
            return Ok(cluster.list(after, most, self.now()).await?);
        }
        let shards = self.inner.shards.len();
        let first = after.map_or(0, |id| id.slot().shard(shards));
        let mut all = Vec::new();
        for shard in first..shards {
            let query = Query::Sessions(after, most - all.len());
            if let Answer::Sessions(views) = self.look(shard, query).await? {
                all.extend(views);
            }
            if all.len() >= most {
                break;
            }
        }
        Ok(all)
    }

    /// How many sessions there are.
    ///
    /// # Errors
    /// If the gateway has stopped or its store has failed.
    pub async fn count(&self) -> Result<Counts, GatewayError> {
        if let Some(cluster) = self.cluster() {
            let counts = cluster.count().await?;
            let (attached, away, users) = (counts.attached, counts.away, counts.users);
            // What clients have not acknowledged is known of this node.
            let kept = self.counted_here().kept;
            return Ok(Counts { attached, away, users, kept });
        }
        let mut all = Counts::default();
        for shard in 0..self.inner.shards.len() {
            if let Answer::Counts(counts) = self.look(shard, Query::Counts).await? {
                all = all + counts;
            }
        }
        Ok(all)
    }

    /// What the shards of this node hold, for the audit.
    pub(crate) async fn held(&self) -> Result<Vec<(SessionId, Fence, u64)>, GatewayError> {
        let mut all = Vec::new();
        for shard in 0..self.inner.shards.len() {
            if let Answer::Held(held) = self.look(shard, Query::Held).await? {
                all.extend(held);
            }
        }
        Ok(all)
    }

    async fn look(&self, shard: usize, query: Query) -> Result<Answer, GatewayError> {
        let (tell, told) = oneshot::channel();
        let asked = self.inner.shards[shard].send(Job::Query(query, tell)).await;
        asked.map_err(|_| GatewayError::Stopped)?;
        told.await.map_err(|_| GatewayError::Stopped)
    }
}
