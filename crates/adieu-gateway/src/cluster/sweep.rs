//! What any node does for sessions and queues that nobody has: it looks each second, at its share
//! of the slots.

use std::sync::Arc;
use std::time::Duration;

use adieu_engine::{ChannelPurpose, Due, EngineError, Queue, Snapshot, Told};

use super::queues::{EVENTS, Next};
use super::{Cluster, Moment, TOO_OLD};
use crate::gateway::Gateway;
use crate::session::command::{Purpose, SessionCommand};
use crate::session::wire::FinalClose;
use crate::session::{Command, Slot};

/// Between two looks.
const EVERY: Duration = Duration::from_secs(1);

/// Slots that are looked at in one request to the engine, and what is taken of each at most.
const SLOTS_AT_ONCE: usize = 64;
const SESSIONS_OF_A_SLOT: usize = 8;
const QUEUES_OF_A_SLOT: usize = 16;

/// How long a session is hidden from other nodes that this node ends.
const HIDDEN: Duration = Duration::from_secs(5);

impl Cluster {
    /// Looks for as long as the gateway runs.
    pub(crate) async fn sweep(self: Arc<Self>, gateway: Gateway) {
        loop {
            gateway.sweep_is_due(EVERY).await;
            if gateway.is_over() {
                return;
            }
            if !self.lives(self.me()) {
                continue;
            }
            let slots = self.life.borrow().slots.clone();
            for some in slots.chunks(SLOTS_AT_ONCE) {
                if self.life.borrow().may_end(Moment::now()) {
                    self.end_what_is_due(&gateway, some).await;
                }
                if gateway.deliveries().has_backend() && !gateway.is_draining() {
                    self.deliver_what_waits(&gateway, some).await;
                }
            }
        }
    }

    /// Ends sessions whose deadline has passed, until there are none.
    async fn end_what_is_due(&self, gateway: &Gateway, slots: &[Slot]) {
        let mut slots = slots.to_vec();
        while !slots.is_empty() && self.life.borrow().may_end(Moment::now()) {
            let (me, sent) = (self.me(), Moment::now());
            let found = self.engine.sweep(me, &slots, SESSIONS_OF_A_SLOT, HIDDEN).await;
            let mut more = Vec::new();
            let mut ends = Vec::new();
            for (slot, due) in slots.iter().zip(found) {
                let Some(Due { sessions, told }) = logged(due) else { continue };
                if sessions.len() + told.len() >= SESSIONS_OF_A_SLOT {
                    more.push(*slot);
                }
                for (stream, ..) in told {
                    self.ask_for(gateway, &stream).await;
                }
                ends.extend(sessions);
            }
            if sent.elapsed() <= TOO_OLD {
                self.end_all(gateway, ends).await;
            }
            slots = more;
        }
    }

    /// Ends sessions that this node was given.
    async fn end_all(&self, gateway: &Gateway, all: Vec<Snapshot>) {
        if all.is_empty() {
            return;
        }
        let ids: Vec<_> = all.iter().map(|snapshot| snapshot.id).collect();
        self.ending().extend(ids.iter().copied());
        let commands = all.into_iter().map(|snapshot| adopt(gateway, snapshot, Purpose::Expire));
        if let Err(error) = gateway.of_shards(commands.collect()).await {
            tracing::debug!("sessions that are due are found again: {error}");
        }
        let mut ending = self.ending();
        for id in &ids {
            ending.remove(id);
        }
    }

    /// Delivers queues that no node delivers.
    async fn deliver_what_waits(&self, gateway: &Gateway, slots: &[Slot]) {
        let me = self.me();
        let found = self.engine.next(me, slots, QUEUES_OF_A_SLOT, EVENTS).await;
        let (mut of, mut queues) = (Vec::new(), Vec::new());
        for (slot, found) in slots.iter().zip(found) {
            let mut found: Vec<Queue> = logged(found).unwrap_or_default();
            of.extend((!found.is_empty()).then_some(*slot));
            queues.append(&mut found);
        }
        if queues.is_empty() {
            return;
        }
        // What is told, a replica has.
        if self.replicated(me, ChannelPurpose::Events, &of).await.is_err() {
            return;
        }
        for Queue { stream, events } in queues {
            self.came(gateway, &stream, events).await;
        }
    }

    /// Events that the engine has now, and which of them this node delivers.
    pub(crate) async fn told(&self, gateway: &Gateway, told: &Told) -> Option<u64> {
        let next = self.queues().told(told);
        match next {
            Next::Deliver(number) => Some(number),
            Next::Ask => {
                self.ask_for(gateway, &told.stream).await;
                None
            }
            Next::Nothing => None,
        }
    }
}

/// A session for the shard that has its slot. A session that the backend has ended is ended so,
/// whatever it was claimed for.
pub(crate) fn adopt(gateway: &Gateway, snapshot: Snapshot, purpose: Purpose) -> Command {
    let purpose = match &snapshot.ends {
        Some(close) => Purpose::End(final_close(close)),
        None => purpose,
    };
    let id = snapshot.id;
    let adoption = snapshot.adoption(purpose, gateway.now());
    Command::Session(id, SessionCommand::Adopt(Box::new(adoption)))
}

/// A Close of the backend, as the engine keeps it; `None`: the usual one.
pub(super) fn final_close(text: &[u8]) -> Option<FinalClose> {
    FinalClose::from_text(std::str::from_utf8(text).ok()?)
}

fn logged<T>(result: Result<T, EngineError>) -> Option<T> {
    result.map_err(|error| tracing::debug!("the engine is asked again: {error}")).ok()
}
