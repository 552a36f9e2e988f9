//! Looking at the sessions of all nodes.

use adieu_engine::Counts;

use super::{Cluster, ClusterError};
use crate::session::{SLOTS, SessionId, Slot, Timestamp, View};

/// Slots that are looked at in one request.
const SLOTS_AT_ONCE: usize = 128;

impl Cluster {
    pub(crate) async fn view(
        &self,
        id: SessionId,
        now: Timestamp,
    ) -> Result<Option<View>, ClusterError> {
        Ok(self.engine.look(id, now).await?.map(|looked| looked.view))
    }

    pub(crate) async fn views_of(
        &self,
        user: &str,
        now: Timestamp,
    ) -> Result<Vec<View>, ClusterError> {
        let all = self.engine.look_at_user(user, now).await?;
        Ok(all.into_iter().map(|looked| looked.view).collect())
    }

    /// Sessions in the order of their names, above this one, so many at most.
    pub(crate) async fn list(
        &self,
        after: Option<SessionId>,
        most: usize,
        now: Timestamp,
    ) -> Result<Vec<View>, ClusterError> {
        let first = after.map_or(0, |id| id.slot().number());
        let slots: Vec<_> = (first..SLOTS).map(Slot::new).collect();
        let mut all = Vec::new();
        for some in slots.chunks(SLOTS_AT_ONCE) {
            if all.len() >= most {
                break;
            }
            let some = self.engine.list(some, after, most - all.len(), now).await?;
            all.extend(some.into_iter().map(|looked| looked.view));
        }
        all.truncate(most);
        Ok(all)
    }

    pub(crate) async fn count(&self) -> Result<Counts, ClusterError> {
        let slots: Vec<_> = (0..SLOTS).map(Slot::new).collect();
        let mut all = Counts::default();
        for some in slots.chunks(SLOTS_AT_ONCE) {
            let counts = self.engine.count(some).await?;
            all.attached += counts.attached;
            all.away += counts.away;
            all.users += counts.users;
            all.queues += counts.queues;
        }
        Ok(all)
    }
}
