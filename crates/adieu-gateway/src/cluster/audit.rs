//! The audit: whether what this node holds is still its own, and whether it holds what the engine
//! thinks it does. It finds what a lost answer or a lost hint has left.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use adieu_engine::{Audit, Audited, Released};
use bytes::Bytes;

use super::sweep::final_close;
use super::{Cluster, queues};
use crate::gateway::Gateway;
use crate::session::command::SessionCommand;
use crate::session::event::slot_of_stream;
use crate::session::fence::Fence;
use crate::session::{Command, SLOTS, SessionId, Slot};

/// Between two audits.
const EVERY: Duration = Duration::from_secs(5);

/// Slots in one request.
const SLOTS_AT_ONCE: usize = 32;

/// What the engine thinks is this node's and the node did not know the last time. An answer that
/// says so may be on its way; the next time it is not.
#[derive(Debug, Default)]
struct Suspects {
    sessions: HashSet<(SessionId, u32)>,
    queues: HashSet<Bytes>,
}

impl Cluster {
    /// Looks for as long as the gateway runs.
    pub(crate) async fn audit(self: Arc<Self>, gateway: Gateway) {
        let mut suspects = Suspects::default();
        loop {
            gateway.audit_is_due(EVERY).await;
            if gateway.is_over() {
                return;
            }
            let me = self.me();
            if self.lives(me) {
                suspects = self.audit_once(&gateway, &suspects).await;
            }
        }
    }

    async fn audit_once(&self, gateway: &Gateway, before: &Suspects) -> Suspects {
        let Ok(held) = gateway.held().await else { return Suspects::default() };
        let fences: HashMap<SessionId, Fence> =
            held.iter().map(|(id, fence, _)| (*id, *fence)).collect();
        let empty = || Audit { sessions: Vec::new(), queues: Vec::new() };
        // All slots: the engine may think of some that the node has nothing in.
        let mut audits: Vec<(Slot, Audit)> =
            (0..SLOTS).map(|slot| (Slot::new(slot), empty())).collect();
        for session in held {
            audits[usize::from(session.0.slot().number())].1.sessions.push(session);
        }
        for (slot, streams) in queues::by_slot(self.queues().streams()) {
            audits[usize::from(slot.number())].1.queues = streams;
        }
        let (me, mut suspects) = (self.me(), Suspects::default());
        for some in audits.chunks(SLOTS_AT_ONCE) {
            for answer in self.engine.audit(me, some).await {
                match answer {
                    Ok(audited) => {
                        self.found(gateway, audited, &fences, before, &mut suspects).await;
                    }
                    Err(error) => tracing::debug!("the audit goes on later: {error}"),
                }
            }
        }
        suspects
    }

    async fn found(
        &self,
        gateway: &Gateway,
        audited: Audited,
        fences: &HashMap<SessionId, Fence>,
        before: &Suspects,
        suspects: &mut Suspects,
    ) {
        let Audited { refused, mail, ends, unknown, queues } = audited;
        let mut commands = Vec::new();
        for (id, why) in refused {
            let Some(fence) = fences.get(&id) else { continue };
            // Of a session that has written meanwhile it is an old one, and changes nothing.
            tracing::debug!(session = %id, ?why, "the audit found another write");
            commands.push(Command::Session(id, SessionCommand::Disowned(*fence, why)));
        }
        for (id, close) in ends {
            commands.push(Command::Session(id, SessionCommand::End(final_close(&close))));
        }
        if !commands.is_empty() {
            let _ = gateway.of_shards(commands).await;
        }
        for id in mail {
            // From the first that the session lacks; those that it has are left out.
            self.fetch_mail(gateway, id, 0).await;
        }
        for Released(id, epoch) in unknown {
            if before.sessions.contains(&(id, epoch)) {
                tracing::warn!(session = %id, "the audit releases a session that nobody has");
                self.give_up(Released(id, epoch)).await;
            } else {
                suspects.sessions.insert((id, epoch));
            }
        }
        for stream in queues {
            if !before.queues.contains(&stream) {
                suspects.queues.insert(stream);
                continue;
            }
            if let Some(slot) = slot_of_stream(&stream) {
                let _ = self.engine.give_back(self.me(), slot, &[stream]).await;
            }
        }
    }
}
