//! This gateway beside others that share its sessions: what the gateway gives to its part of the
//! cluster, and what that asks of the gateway.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Notify, oneshot};

use super::engine::Job;
use super::{Gateway, GatewayError, Options, TOKEN_KEY};
use crate::cluster::{Cluster, EngineOptions};
use crate::hook::Room;
use crate::random::random;
use crate::session::event::Event;
use crate::session::{Contents, Key, Timestamp, wire};
use crate::store::{Memory, Store};

/// Over how long clients come back that this node sends away because it cannot reach the engine.
const COME_BACK_WITHIN: Duration = Duration::from_secs(2);

/// Over how long clients come back whose node stops: they need not wait for its next start.
const COME_BACK_SOON: Duration = Duration::from_secs(1);

/// The other nodes, and what wakes the tasks that look after this one.
pub(super) struct Clustered {
    cluster: Arc<Cluster>,
    audit: Notify,
    sweep: Notify,
}

impl Gateway {
    /// Starts as one node of those that share an engine.
    ///
    /// # Errors
    /// The engine cannot be reached, or would lose what it is given.
    pub async fn start_node(
        engine: &EngineOptions,
        mut options: Options,
    ) -> Result<Self, GatewayError> {
        options.sessions.shared = true;
        // There are nodes that serve them now.
        options.drain_window = options.drain_window.min(COME_BACK_SOON);
        let cluster = Arc::new(Cluster::start(engine, &options.sessions).await?);
        let key = cluster.shared_value(TOKEN_KEY, &random::<32>()).await?;
        let key: [u8; 32] = key.try_into().map_err(|_| GatewayError::BadKey)?;
        let (store, _) = Store::start(Memory)?;
        let clustered = Clustered { cluster, audit: Notify::new(), sweep: Notify::new() };
        let dead_letters = clustered.cluster.dead_letters().await?;
        let contents = Contents { dead_letters, ..Contents::default() };
        Gateway::start_with(options, (store, contents, true), Key::new(&key), Some(clustered)).await
    }

    /// Looks which dead letters the nodes have.
    pub(crate) async fn read_dead_letters(&self) {
        let Some(cluster) = self.cluster() else { return };
        match cluster.dead_letters().await {
            Ok(all) => self.inner.deliveries.dead_letters_are(&all),
            Err(error) => tracing::warn!("the dead letters of other nodes are not known: {error}"),
        }
    }

    pub(crate) fn cluster(&self) -> Option<&Arc<Cluster>> {
        self.inner.clustered.as_ref().map(|clustered| &clustered.cluster)
    }

    /// Starts the tasks that look after this node and after what nobody has.
    pub(super) fn join_the_others(&self) {
        let Some(cluster) = self.cluster() else { return };
        tokio::spawn(cluster.clone().live(self.clone()));
        tokio::spawn(cluster.clone().inherit(self.clone()));
        tokio::spawn(cluster.clone().sweep(self.clone()));
        tokio::spawn(cluster.clone().listen(self.clone()));
        tokio::spawn(cluster.clone().audit(self.clone()));
    }

    /// Gives an event to the deliveries.
    pub(crate) fn deliver(
        &self,
        stream: Bytes,
        number: u64,
        event: Arc<Event>,
        room: Option<Room>,
    ) {
        self.inner.deliveries.push(self, stream, number, event, room);
    }

    /// The time of the shards.
    pub(crate) fn now(&self) -> Timestamp {
        self.inner.clock.now()
    }

    /// Whether it has stopped.
    pub(crate) fn is_over(&self) -> bool {
        self.inner.over.borrow().is_some()
    }

    /// The audit looks now.
    pub(crate) fn audit_soon(&self) {
        if let Some(clustered) = &self.inner.clustered {
            clustered.audit.notify_one();
        }
    }

    /// Ready when it is time for the next audit.
    pub(crate) async fn audit_is_due(&self, every: Duration) {
        if let Some(clustered) = &self.inner.clustered {
            let _ = tokio::time::timeout(every, clustered.audit.notified()).await;
        }
    }

    /// The sweep looks now.
    pub(crate) fn sweep_soon(&self) {
        if let Some(clustered) = &self.inner.clustered {
            clustered.sweep.notify_one();
        }
    }

    /// Ready when it is time for the next sweep.
    pub(crate) async fn sweep_is_due(&self, every: Duration) {
        if let Some(clustered) = &self.inner.clustered {
            let _ = tokio::time::timeout(every, clustered.sweep.notified()).await;
        }
    }

    /// The lease of this node is over: ready when no shard holds a session.
    pub(crate) async fn lost_its_lease(&self) {
        for shard in &self.inner.shards {
            let (tell, told) = oneshot::channel();
            if shard.send(Job::LetGo(tell)).await.is_ok() {
                let _ = told.await;
            }
        }
    }

    /// The engine has not answered for so long that the clients are better off at another node.
    pub(crate) async fn send_clients_away(&self) {
        let close = wire::close(wire::TRY_AGAIN_LATER, "this node cannot reach its engine");
        self.inner.writers.send_away(COME_BACK_WITHIN, &close).await;
    }
}
