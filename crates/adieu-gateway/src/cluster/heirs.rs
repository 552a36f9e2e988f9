//! What becomes of nodes that have lost their lease: they are given up, and what they had is taken
//! away from them.

use std::sync::Arc;
use std::time::Duration;

use adieu_engine::Node;

use super::Cluster;
use super::life::RENEW_EVERY;
use crate::gateway::Gateway;
use crate::session::{SLOTS, Slot};

/// Slots that are asked in one request for what a dead node had, and sessions of each: while there
/// are some, a request must not block the engine for long.
const SLOTS_AT_ONCE: usize = 8;
const SESSIONS_AT_ONCE: usize = 64;

/// The same of slots in which most likely nothing is left.
const EMPTY_SLOTS_AT_ONCE: usize = 128;

/// For so long a dead node is looked after: a request of it may come late.
const DEAD_SINCE: Duration = Duration::from_secs(300);

/// Each so many looks it is looked for what came late.
const SELDOM: u32 = 4;

impl Cluster {
    /// Looks after the other nodes for as long as the gateway runs.
    pub(crate) async fn inherit(self: Arc<Self>, gateway: Gateway) {
        let mut looks = 0_u32;
        loop {
            tokio::time::sleep(RENEW_EVERY).await;
            if gateway.is_over() {
                return;
            }
            if self.lives(self.me()) {
                looks = looks.wrapping_add(1);
                self.look_after(&gateway, looks.is_multiple_of(SELDOM)).await;
            }
        }
    }

    async fn look_after(&self, gateway: &Gateway, late: bool) {
        let (nodes, dead) = match self.engine.nodes(DEAD_SINCE).await {
            Ok(found) => found,
            Err(error) => return tracing::debug!("the nodes are not known: {error}"),
        };
        let lapsed: Vec<Node> =
            nodes.iter().filter(|(_, _, left)| *left < 0).map(|(node, ..)| *node).collect();
        let living = nodes.into_iter().filter(|(_, _, left)| *left >= 0).collect();
        self.life.send_modify(|life| life.share(living));
        if self.life.borrow().is_steady() {
            for lapsed in lapsed {
                self.give_up_node(gateway, lapsed).await;
            }
        }
        if late {
            let slots = self.life.borrow().slots.clone();
            for node in dead {
                if self.take_away(&slots, EMPTY_SLOTS_AT_ONCE, node).await > 0 {
                    gateway.sweep_soon();
                }
            }
        }
    }

    async fn give_up_node(&self, gateway: &Gateway, lapsed: Node) {
        match self.engine.reap(self.me(), lapsed, self.lease()).await {
            Ok(true) => {
                tracing::warn!("node {lapsed} is dead: its sessions are waited for");
                self.take_away_all(lapsed).await;
                gateway.sweep_soon();
            }
            Ok(false) => {}
            Err(error) => tracing::warn!("node {lapsed} was not given up: {error}"),
        }
    }

    /// Takes away all that a dead node had.
    pub(super) async fn take_away_all(&self, dead: Node) {
        let all: Vec<_> = (0..SLOTS).map(Slot::new).collect();
        self.take_away(&all, SLOTS_AT_ONCE, dead).await;
    }

    /// Takes away what a dead node had, of some slots; how much that was.
    async fn take_away(&self, slots: &[Slot], at_once: usize, dead: Node) -> usize {
        let mut all = 0;
        for some in slots.chunks(at_once) {
            loop {
                let found = self.engine.orphan(some, dead, SESSIONS_AT_ONCE, self.window()).await;
                let most = found.iter().flatten().map(|had| had.sessions.max(had.queues)).max();
                all += found.iter().flatten().map(|had| had.sessions + had.queues).sum::<usize>();
                // A slot that failed is looked after again later.
                if most.is_none_or(|most| most < SESSIONS_AT_ONCE) {
                    break;
                }
            }
        }
        all
    }
}
