//! A state in the middle of a step, and what the step broke.

use crate::property::{Broken, Property};
use crate::scenario::Scenario;
use crate::state::*;
use crate::variant::Variant;

/// One step at work.
pub(crate) struct Sim<'a> {
    pub(crate) scenario: &'a Scenario,
    pub(crate) state: State,
    pub(crate) broken: Option<Broken>,
}

impl<'a> Sim<'a> {
    pub(crate) fn new(scenario: &'a Scenario, state: &State) -> Self {
        Sim { scenario, state: *state, broken: None }
    }

    pub(crate) fn is(&self, variant: Variant) -> bool {
        self.scenario.variant == variant
    }

    /// The first complaint of a step counts.
    pub(crate) fn complain(&mut self, property: Property, why: &'static str) {
        if self.scenario.looks_for(property) {
            self.broken.get_or_insert(Broken { property, why });
        }
    }

    /// A nonce that nobody has.
    pub(crate) fn fresh(&mut self) -> Nonce {
        self.state.issued += 1;
        Nonce(self.state.issued)
    }

    pub(crate) fn row(&mut self, session: u8) -> Option<&mut Row> {
        self.state.engine.rows[usize::from(session)].as_mut()
    }

    pub(crate) fn client(&mut self, session: u8) -> &mut Client {
        &mut self.state.clients[usize::from(session)]
    }

    pub(crate) fn held(&mut self, node: usize, session: u8) -> &mut Option<Held> {
        &mut self.state.nodes[node].held[usize::from(session)]
    }

    pub(crate) fn send(&mut self, message: Message) {
        self.state.net.push(message);
    }

    pub(crate) fn take(&mut self, at: usize) -> Message {
        self.state.net.remove(at)
    }

    /// A handshake fails, or a connection breaks: the client is away and keeps what it has.
    pub(crate) fn disconnect(&mut self, session: u8) {
        let client = self.client(session);
        client.at = match client.at {
            At::Waits(_) | At::On(_) => At::Away,
            At::Opens(_) => At::Over,
            other => other,
        };
        for message in self.state.net.iter_mut() {
            if let Message::Claim(claim) = message {
                claim.waits &= claim.session != session;
            }
        }
    }

    /// The client hears that its session is over or lost.
    pub(crate) fn told_over(&mut self, session: u8) {
        self.disconnect(session);
        let client = self.client(session);
        let (acknowledged, sent) = (client.acknowledged, client.sent);
        *client = Client { acknowledged, sent, ..NEW_CLIENT };
        client.at = At::Over;
        if session == 0 {
            self.state.answered = 0;
        }
    }

    /// The client hears that its session was lost. That may be said after a failover, or if a
    /// message made room that the client did not get.
    pub(crate) fn told_lost(&mut self, session: u8) {
        let kept = self
            .row(session)
            .map_or(0, |row| row.outbox.iter().fold(0, |all, tag| all | 1 << (tag - 1)));
        let made_room =
            session == 0 && self.state.answered & !(self.state.clients[0].got | kept) != 0;
        if !self.state.failed_over && !made_room {
            self.complain(
                Property::Alarm,
                "the client is told that its session was lost, and it was not",
            );
        }
        self.told_over(session);
    }
}

/// A client that has nothing yet.
pub(crate) const NEW_CLIENT: Client =
    Client { at: At::New, generation: 0, received: 0, tag: 0, got: 0, acknowledged: 0, sent: 0 };
