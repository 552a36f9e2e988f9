//! The lease of this node. Nothing else is done by the task that renews it: what takes long would
//! cost the lease.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use adieu_engine::{Member, Node, Renewal};

use super::{Cluster, ClusterError, LEASE, Moment};
use crate::gateway::Gateway;
use crate::random::random;
use crate::session::{SLOTS, Slot};

/// Between two renewals.
pub(super) const RENEW_EVERY: Duration = Duration::from_millis(2_500);

/// Between two tries to renew when the engine does not answer.
const TRY_EVERY: Duration = Duration::from_millis(250);

/// One life of this node. When its lease is over the node begins another one.
#[derive(Clone, Debug)]
pub(crate) struct Life {
    /// Its number.
    pub(crate) node: Node,
    /// When the last request was sent that renewed the lease.
    pub(crate) renewed: Moment,
    /// Until when this node takes its lease for good.
    until: Option<Moment>,
    /// Which history of the engine it is.
    pub(crate) history: Arc<str>,
    /// Replicas that follow the engine.
    pub(crate) replicas: usize,
    /// Whether its lease has had no gap for the length of one.
    steady: bool,
    /// When it may end sessions.
    ends_from: Moment,
    /// How far the engine's clock was ahead of this node's the last time, in milliseconds.
    ahead: Option<i64>,
    /// The slots that this node looks after.
    pub(crate) slots: Arc<[Slot]>,
    /// The nodes that live.
    pub(crate) nodes: Arc<[(Node, String, i64)]>,
    /// How long the last renewal took.
    pub(crate) latency: Duration,
}

impl Life {
    pub(super) fn unborn() -> Self {
        let ms = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let ms = u64::try_from(ms.as_millis()).unwrap_or_default();
        let now = Moment::now();
        Life {
            node: Node::new(ms, u64::from_le_bytes(random())),
            renewed: now,
            until: None,
            history: "".into(),
            replicas: 0,
            steady: false,
            ends_from: now,
            ahead: None,
            slots: (0..SLOTS).map(Slot::new).collect(),
            nodes: Vec::new().into(),
            latency: Duration::ZERO,
        }
    }

    /// Whether it may say something.
    pub(crate) fn has_a_lease(&self, now: Moment) -> bool {
        self.until.is_some_and(|until| now < until)
    }

    /// Whether its lease has had no gap for the length of one.
    pub(super) fn is_steady(&self) -> bool {
        self.steady && self.has_a_lease(Moment::now())
    }

    /// Whether it may end sessions whose deadline has passed, and give up other nodes.
    pub(crate) fn may_end(&self, now: Moment) -> bool {
        self.has_a_lease(now) && self.steady && now >= self.ends_from
    }

    /// How long its lease still is.
    pub(crate) fn lease_left(&self) -> Duration {
        self.until.map_or(Duration::ZERO, Moment::until)
    }

    /// A renewal that was sent at this moment says this.
    fn renewed(&mut self, sent: Moment, member: &Member, grace: Duration) {
        let now = Moment::now();
        self.renewed = sent;
        self.until = Some(sent + LEASE);
        self.latency = sent.elapsed();
        self.steady = member.now.saturating_sub(member.since) >= millis(LEASE);
        let pause = Duration::from_millis(member.pause.saturating_sub(member.now));
        let mut ends_from = now + pause;
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let ahead = member.now as i64 - wall.as_millis() as i64;
        if self.ahead.is_some_and(|before| before.abs_diff(ahead) > 1_000) {
            // One of the two clocks was set. Deadlines are times of the engine's.
            tracing::warn!("the engine's clock, or this machine's, was set: no session is ended");
            ends_from = ends_from.max(now + grace);
        }
        self.ahead = Some(ahead);
        if !self.history.is_empty() && *self.history != *member.history {
            tracing::warn!("the engine was replaced: no session is ended for a while");
            ends_from = ends_from.max(now + grace);
        }
        self.ends_from = self.ends_from.max(ends_from);
        self.history = member.history.as_str().into();
        self.replicas = member.replicas;
    }

    /// Divides the slots among the nodes that live: each node computes the same. It is no lock:
    /// where two nodes think that a slot is theirs, or none does, that costs time and no more.
    pub(super) fn share(&mut self, nodes: Vec<(Node, String, i64)>) {
        let mine = |slot: &Slot| {
            let weight = |node: Node| mix(node.0 ^ (u64::from(slot.number()) << 48));
            let best = nodes.iter().map(|(node, ..)| *node).max_by_key(|node| weight(*node));
            best.is_none_or(|best| best == self.node)
        };
        self.slots = (0..SLOTS).map(Slot::new).filter(mine).collect();
        self.nodes = nodes.into();
    }
}

/// The bits of a number, mixed (splitmix64).
fn mix(number: u64) -> u64 {
    let mixed = (number ^ (number >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

fn millis(length: Duration) -> u64 {
    u64::try_from(length.as_millis()).unwrap_or(u64::MAX)
}

impl Cluster {
    /// The first renewal of a life.
    pub(super) async fn begin_to_live(&self) -> Result<(), ClusterError> {
        let mut born = Life::unborn();
        let sent = Moment::now();
        match self.engine.renew(born.node, self.lease(), &says()).await? {
            Renewal::Alive(member) => born.renewed(sent, &member, self.grace()),
            // No node had this number before.
            Renewal::Dead => return Err(ClusterError::Lapsed),
        }
        self.life.send_replace(born);
        Ok(())
    }

    /// Renews the lease for as long as the gateway runs; begins another life when it is over.
    pub(crate) async fn live(self: Arc<Self>, gateway: Gateway) {
        let (mut next, mut sent_away) = (RENEW_EVERY, false);
        loop {
            tokio::time::sleep(next).await;
            let (me, sent) = (self.me(), Moment::now());
            if gateway.is_over() {
                return;
            }
            if !self.lives(me) {
                next = self.another_life(&gateway).await;
                continue;
            }
            next = match self.engine.renew(me, self.lease(), &says()).await {
                Ok(Renewal::Alive(member)) => {
                    sent_away = false;
                    let before = self.life.borrow().history.clone();
                    self.life.send_modify(|life| life.renewed(sent, &member, self.grace()));
                    if *before != *member.history {
                        gateway.audit_soon();
                    }
                    RENEW_EVERY
                }
                Ok(Renewal::Dead) => {
                    tracing::error!("other nodes have given this one up: it begins anew");
                    self.life.send_modify(|life| life.until = None);
                    Duration::ZERO
                }
                Err(error) => {
                    tracing::warn!("the lease was not renewed: {error}");
                    let silent = self.life.borrow().renewed.elapsed();
                    if silent >= self.window() / 2 && !std::mem::replace(&mut sent_away, true) {
                        tracing::error!("without its engine this node sends its clients away");
                        gateway.send_clients_away().await;
                    }
                    TRY_EVERY
                }
            };
        }
    }

    /// The lease is over: what this node owned is others' now.
    async fn another_life(&self, gateway: &Gateway) -> Duration {
        let before = self.me();
        gateway.lost_its_lease().await;
        self.queues().clear();
        self.ending().clear();
        if let Err(error) = self.begin_to_live().await {
            tracing::warn!("this node cannot begin anew yet: {error}");
            return TRY_EVERY;
        }
        tracing::warn!("this node has begun anew, as {}, after {before}", self.me());
        // The sessions of the life before are free at once.
        let _ = self.engine.leave(before).await;
        self.take_away_all(before).await;
        Duration::ZERO
    }
}

/// What a node says of itself.
fn says() -> String {
    serde_json::json!({ "version": env!("CARGO_PKG_VERSION"), "process": std::process::id() })
        .to_string()
}
