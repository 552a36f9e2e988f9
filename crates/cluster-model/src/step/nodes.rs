//! What a node does with a session.

use super::{Step, Steps};
use crate::state::*;
use crate::variant::Variant;

impl Steps<'_> {
    pub(super) fn of_node(&mut self, session: u8, node: u8) {
        let (at, index) = (usize::from(node), usize::from(session));
        if !self.state.acts(at) {
            return;
        }
        match self.state.nodes[at].held[index] {
            Some(held) => self.of_owner(session, node, &held),
            None => self.of_audit(session, node),
        }
    }

    fn of_owner(&mut self, session: u8, node: u8, held: &Held) {
        let (at, index) = (usize::from(node), usize::from(session));
        let linked = self.state.linked(at, index);
        if linked {
            self.of_list(session, node);
        }
        if self.state.writes(at, index) {
            return;
        }
        let client = self.state.clients[index];
        match held.link {
            Link::Goodbye => self.protocol(Step::EndByGoodbye { session, node }, |sim| {
                sim.end_by_goodbye(at, session);
            }),
            Link::Open if !linked => {
                self.protocol(Step::Detach { session, node }, |sim| sim.detach(at, session));
            }
            Link::Broken => {}
            Link::Open => {
                if client.sent > held.taken {
                    self.protocol(Step::TakeMessage { session, node }, |sim| {
                        sim.take_message(at, session);
                    });
                }
                if client.received > held.acked {
                    self.protocol(Step::TakeAcknowledgement { session, node }, |sim| {
                        sim.take_acknowledgement(at, session);
                    });
                }
            }
        }
        self.of_audit_of_held(session, node);
    }

    fn of_audit_of_held(&mut self, session: u8, node: u8) {
        let off = self.is(Variant::NoAuditOfConnections) || self.is(Variant::LeaseByNodeClock);
        if off || self.state.nodes[usize::from(node)].mode != Mode::Runs {
            return;
        }
        let at = usize::from(node);
        if let Some(answer) = self.state.audit(at, session.into()) {
            self.protocol(Step::Audit { session, node, answer }, |sim| {
                sim.let_go(at, session, answer);
            });
        }
    }

    /// Messages to the client.
    fn of_list(&mut self, session: u8, node: u8) {
        let client = &self.state.clients[usize::from(session)];
        let Some(row) = self.state.engine.rows[usize::from(session)] else { return };
        let rolled_back = self.state.is_rolled_back(self.scenario.variant, session.into());
        if rolled_back || client.received < row.tail() {
            self.protocol(Step::Deliver { session, node }, |sim| sim.deliver(node.into(), session));
        }
    }

    /// The audit: sessions that are said to be this node's, and that it neither holds nor has asked
    /// for.
    fn of_audit(&mut self, session: u8, node: u8) {
        let me = self.state.owner(node.into());
        let Some(row) = self.state.engine.rows[usize::from(session)] else { return };
        let runs = self.state.nodes[usize::from(node)].mode == Mode::Runs;
        if row.x != X::Owned(me) || !runs || self.is(Variant::NoAudit) {
            return;
        }
        let concerns = |message: &Message| match message {
            Message::Start { from, session: of, stage, .. } => {
                *from == me && *of == session && *stage != Stage::Stray
            }
            Message::Claim(claim) => {
                claim.from == me && claim.session == session && claim.stage != Stage::Stray
            }
            Message::Release { from, session: of, .. } => *from == me && *of == session,
            _ => false,
        };
        if !self.state.net.iter().any(concerns) {
            self.protocol(Step::AskRelease { session, node }, |sim| {
                sim.send(Message::Release { from: me, session, epoch: row.epoch });
            });
        }
    }
}
