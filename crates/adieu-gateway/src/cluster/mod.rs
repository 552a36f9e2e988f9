//! This gateway as one node of many that share sessions in an engine (Redis or Valkey).
//!
//! ```text
//!   shard ─ commit ─────────────┐                        ┌─ sweep: what is due, queues of nobody
//!   connection ─ claim ─────────┼──► engine ──► hints ──►┤
//!   API ─ mailbox ──────────────┘     ▲                  └─ audit: is it still mine?
//!                                     └── life: the lease, and nodes that are dead
//! ```
//!
//! What a node says, it says after the engine has it. An engine that does not answer acknowledges
//! nothing: writes of owners are repeated until it does, or until the lease of this node is over.

mod audit;
mod events;
mod heirs;
mod life;
mod listen;
mod look;
mod mailbox;
mod moment;
mod queues;
mod sweep;

use std::collections::HashSet;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use adieu_engine::{
    ChannelPurpose, Claim, Claimed, Committed, Engine, EngineError, Lease, Limits, Node, Released,
};
use tokio::sync::watch;

pub use adieu_engine::Options as EngineOptions;

use crate::metrics::NodeFigures;
use crate::session::command::{AskResume, Resumption, Settings};
use crate::session::fence::Refused;
use crate::session::{Batch, Change, SessionId, Timestamp};
pub(crate) use life::Life;
pub(crate) use moment::Moment;
use queues::Queues;
pub(crate) use sweep::adopt;

/// How long a lease is. A failover of a Redis Cluster stops one slot for six seconds: with five all
/// leases would be over.
const LEASE: Duration = Duration::from_secs(10);

/// How long the client of a node that died has to come back at least.
const SHORTEST_WINDOW: Duration = Duration::from_secs(15);

/// An answer that makes this node the owner of a session is too old after this: the engine may have
/// given the session to another one.
const TOO_OLD: Duration = Duration::from_secs(2);

/// Without an answer of the engine for so long, this node is not ready: two renewals were missed.
const READY: Duration = Duration::from_secs(6);

/// Between two tries of a write, at first and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// How long replicas may take to have what is about to be told, before they are asked again.
const REPLICAS: Duration = Duration::from_secs(1);

/// This node.
pub(crate) struct Cluster {
    pub(crate) engine: Engine,
    pub(crate) life: watch::Sender<Life>,
    waits: crate::session::Waits,
    ask: AskResume,
    limits: Limits,
    queues: Mutex<Queues>,
    /// Sessions that this node ends because nobody came back, and of which the engine has not said
    /// yet that they are over.
    ending: Mutex<HashSet<SessionId>>,
}

/// Why nothing came of something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClusterError {
    /// The lease of this node is over, and with it all that it owned.
    Lapsed,
    /// The engine.
    Engine(EngineError),
    /// It cannot be used: its URL is not understood, or it would lose what it is given. Each flaw
    /// is a sentence.
    Flaws(Vec<String>),
}

impl fmt::Display for ClusterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ClusterError::Lapsed => f.write_str(
                "the engine has not heard from this node for so long that other nodes have its \
                 sessions",
            ),
            ClusterError::Engine(error) => error.fmt(f),
            ClusterError::Flaws(all) => {
                write!(f, "the engine cannot be used: {}", all.join("; "))
            }
        }
    }
}

impl std::error::Error for ClusterError {}

impl From<EngineError> for ClusterError {
    fn from(error: EngineError) -> Self {
        ClusterError::Engine(error)
    }
}

impl ClusterError {
    /// A short word for it that stays the same in all versions.
    #[must_use]
    pub fn id(&self) -> &'static str {
        match self {
            ClusterError::Lapsed => "engine-lapsed",
            ClusterError::Engine(error) => error.id(),
            ClusterError::Flaws(_) => "engine-flaws",
        }
    }
}

impl Cluster {
    /// Reaches the engine, and begins to live.
    pub(crate) async fn start(
        options: &EngineOptions,
        settings: &Settings,
    ) -> Result<Self, ClusterError> {
        let engine =
            Engine::new(options).map_err(|error| ClusterError::Flaws(vec![error.to_string()]))?;
        let flaws = engine.flaws(options.volatile).await?;
        if !flaws.is_empty() {
            return Err(ClusterError::Flaws(flaws));
        }
        engine.load_functions().await?;
        let kept = settings.outbox;
        let cluster = Cluster {
            engine,
            life: watch::Sender::new(Life::unborn()),
            waits: settings.waits,
            ask: settings.ask_resume,
            limits: Limits { messages: kept.messages, bytes: kept.bytes },
            queues: Mutex::default(),
            ending: Mutex::default(),
        };
        cluster.begin_to_live().await?;
        Ok(cluster)
    }

    /// This life of the node, as it is now.
    pub(crate) fn me(&self) -> Node {
        self.life.borrow().node
    }

    /// Whether it may say something as this life of the node.
    pub(crate) fn lives(&self, node: Node) -> bool {
        let life = self.life.borrow();
        life.node == node && life.has_a_lease(Moment::now())
    }

    fn lease(&self) -> Lease {
        Lease { length: LEASE, grace: self.grace() }
    }

    /// How long no session is ended after the engine was away: as long as the longest of the
    /// ordinary waits, and as long as a client takes between two tries.
    fn grace(&self) -> Duration {
        self.window().max(self.waits.hidden) + LEASE / 2
    }

    /// How long the client of a node that died has to come back.
    pub(crate) fn window(&self) -> Duration {
        self.waits.lost.max(SHORTEST_WINDOW)
    }

    fn queues(&self) -> MutexGuard<'_, Queues> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ending(&self) -> MutexGuard<'_, HashSet<SessionId>> {
        self.ending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes changes of sessions that this life of the node owns, however often the engine has to
    /// be asked; ready when the engine has them and, where it has replicas and something is told,
    /// when a replica has.
    ///
    /// # Errors
    /// [`ClusterError::Lapsed`]: other nodes have the sessions.
    pub(crate) async fn commit(
        &self,
        me: Node,
        mut changes: Batch,
        now: Timestamp,
    ) -> Result<Committed, ClusterError> {
        let mut history = self.life.borrow().history.clone();
        let (mut pause, mut given_up) = (FIRST_PAUSE, Vec::new());
        loop {
            if !self.lives(me) {
                return Err(ClusterError::Lapsed);
            }
            match self.engine.write(me, &changes, now).await {
                Ok(mut committed) => {
                    committed.refused.append(&mut given_up);
                    if !committed.told.is_empty() {
                        let ids = committed.told.iter().map(|told| told.event.session_id);
                        let mut slots: Vec<_> = ids.map(SessionId::slot).collect();
                        slots.sort_unstable();
                        slots.dedup();
                        self.replicated(me, ChannelPurpose::Commits, &slots).await?;
                    }
                    return Ok(committed);
                }
                Err(error) => {
                    tracing::warn!("a write is tried again: {error}");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
            // What this node was given by an engine that has been replaced since is not its own any
            // more: the person may have come back, and the new engine does not know it yet.
            let asked = Moment::now();
            self.renewed_since(me, asked).await?;
            let known = self.life.borrow().history.clone();
            if known != history {
                given_up.extend(self.without_ends(&mut changes));
                history = known;
            }
        }
    }

    /// Takes the ends out that `due` gave to this node.
    fn without_ends(&self, changes: &mut Batch) -> Vec<(SessionId, Refused)> {
        let ending = self.ending();
        let given = |id: SessionId| ending.contains(&id);
        let over = changes.iter().filter_map(|change| match change {
            Change::DeleteSession { id } if given(*id) => Some(*id),
            _ => None,
        });
        let over: Vec<_> = over.collect();
        changes.retain(|change| !change.session().is_some_and(|id| over.contains(&id)));
        over.into_iter().map(|id| (id, Refused::Fenced)).collect()
    }

    /// Ready when the lease was renewed by a request that was sent after this.
    async fn renewed_since(&self, me: Node, after: Moment) -> Result<(), ClusterError> {
        let mut life = self.life.subscribe();
        loop {
            {
                let life = life.borrow_and_update();
                if life.node != me || !life.has_a_lease(Moment::now()) {
                    return Err(ClusterError::Lapsed);
                }
                if life.renewed > after {
                    return Ok(());
                }
            }
            let _ = tokio::time::timeout(LONGEST_PAUSE, life.changed()).await;
        }
    }

    /// Ready when a replica has what was written before, if there are replicas.
    pub(crate) async fn replicated(
        &self,
        me: Node,
        purpose: ChannelPurpose,
        slots: &[crate::session::Slot],
    ) -> Result<(), ClusterError> {
        while self.life.borrow().replicas > 0 {
            if self.engine.replicated(purpose, slots, 1, REPLICAS).await {
                return Ok(());
            }
            if !self.lives(me) {
                return Err(ClusterError::Lapsed);
            }
            tokio::time::sleep(FIRST_PAUSE).await;
        }
        Ok(())
    }

    /// A value that all nodes share, made by the first that asks.
    pub(crate) async fn shared_value(
        &self,
        name: &str,
        made: &[u8],
    ) -> Result<Vec<u8>, ClusterError> {
        Ok(self.engine.shared_value(name, made).await?)
    }

    /// A client of a session was told to come back after so long.
    pub(crate) async fn hold(&self, id: SessionId, after: Duration) -> Result<(), ClusterError> {
        self.engine.hold(id, after + self.waits.drained).await?;
        Ok(())
    }

    /// Whether the engine has answered lately, so that clients are served here.
    pub(crate) fn is_ready(&self) -> bool {
        let life = self.life.borrow();
        life.has_a_lease(Moment::now()) && life.renewed.elapsed() < READY
    }

    /// How this node is.
    pub(crate) fn figures(&self) -> NodeFigures {
        let life = self.life.borrow();
        NodeFigures {
            nodes: life.nodes.len(),
            lease_left: life.lease_left(),
            latency: life.latency,
            replicas: life.replicas,
        }
    }

    /// Claims a session for a client that is here.
    ///
    /// # Errors
    /// [`ClusterError`]: the client comes back by itself.
    pub(crate) async fn claim(
        &self,
        session: SessionId,
        resumption: &Resumption,
    ) -> Result<Claimed, ClusterError> {
        let (me, sent) = (self.me(), Moment::now());
        if !self.lives(me) {
            return Err(ClusterError::Lapsed);
        }
        let claim = Claim { session, resumption, ask: self.ask };
        let claimed = self.engine.claim(me, claim).await?;
        if sent.elapsed() > TOO_OLD || !self.lives(me) {
            if let Claimed::Owner(snapshot, _) = &claimed {
                self.give_up(Released(session, snapshot.epoch())).await;
            }
            return Err(ClusterError::Lapsed);
        }
        Ok(claimed)
    }

    /// Lets go of a session that the engine has given to this node, and that it cannot use.
    pub(crate) async fn give_up(&self, released: Released) {
        if let Err(error) = self.engine.release(self.me(), released, self.window()).await {
            tracing::debug!("a session that nobody has is found by the next audit: {error}");
        }
    }

    /// Ends the life of this node: it holds nothing any more.
    pub(crate) async fn leave(&self) {
        let me = self.me();
        let streams = self.queues().streams();
        for (slot, streams) in queues::by_slot(streams) {
            let _ = self.engine.give_back(me, slot, &streams).await;
        }
        if let Err(error) = self.engine.leave(me).await {
            tracing::warn!("the engine was not told that this node ends: {error}");
        }
    }
}
