//! The rules of a node: what it asks the engine, and what it makes of the answers.

use crate::property::Property;
use crate::sim::Sim;
use crate::state::*;
use crate::variant::Variant;

impl Sim<'_> {
    /// An owner sends a write that builds on its last one.
    fn write_as_owner(&mut self, node: usize, session: u8, what: What) {
        let (from, next) = (self.state.owner(node), self.fresh());
        let Some(held) = *self.held(node, session) else { return };
        let (epoch, after, stage) = (held.epoch, held.nonce, Stage::Asked);
        self.send(Message::Write(Write { from, session, what, stage, epoch, after, next }));
    }

    /// The owner takes the client's next message, and with it what the client has received.
    pub(crate) fn take_message(&mut self, node: usize, session: u8) {
        let Some(held) = *self.held(node, session) else { return };
        let early = self.is(Variant::AcknowledgedBeforeCommit);
        let client = self.client(session);
        let (taken, acked, tag) = (held.taken + 1, client.received, client.tag);
        if early {
            client.acknowledged = client.acknowledged.max(taken);
        }
        let what = What::Commit { taken, event: true, acked, tag, confirmed: held.generation };
        self.write_as_owner(node, session, what);
    }

    /// The client has acknowledged what it received.
    pub(crate) fn take_acknowledgement(&mut self, node: usize, session: u8) {
        let Some(held) = *self.held(node, session) else { return };
        let Client { received: acked, tag, .. } = *self.client(session);
        let (taken, event, confirmed) = (held.taken, false, held.generation);
        let what = What::Commit { taken, event, acked, tag, confirmed };
        self.write_as_owner(node, session, what);
    }

    /// The owner has noticed that the connection broke.
    pub(crate) fn detach(&mut self, node: usize, session: u8) {
        if let Some(held) = self.held(node, session) {
            held.link = Link::Broken;
        }
        self.write_as_owner(node, session, What::Detach);
    }

    /// The owner ends the session, as the client has said goodbye.
    pub(crate) fn end_by_goodbye(&mut self, node: usize, session: u8) {
        self.write_as_owner(node, session, What::End(Why::Goodbye));
    }

    /// The owner reads the list and sends the client the next message of it. What the client has by
    /// number and not by tag, the engine has lost; what
    /// made room for newer messages is lost too.
    pub(crate) fn deliver(&mut self, node: usize, session: u8) {
        if self.state.is_rolled_back(self.scenario.variant, session.into()) {
            *self.held(node, session) = None;
            self.told_lost(session);
            return;
        }
        let Some(row) = self.state.engine.rows[usize::from(session)] else { return };
        let client = self.client(session);
        // Older only where a loss is not told (a variant).
        client.received = client.received.max(row.acked);
        let client = *client;
        let Some(tag) = row.tag(client.received + 1) else { return };
        if client.got & 1 << (tag - 1) != 0 {
            self.complain(Property::Gap, "the client gets a message twice");
        } else if tag < client.tag {
            self.complain(Property::Gap, "the client gets messages out of order");
        }
        let client = self.client(session);
        client.received += 1;
        client.tag = tag;
        client.got |= 1 << (tag - 1);
    }

    /// Rule 3: what an owner does that is none any more.
    pub(crate) fn let_go(&mut self, node: usize, session: u8, answer: Answer) {
        let linked = self.state.linked(node, usize::from(session));
        *self.held(node, session) = None;
        match answer {
            Answer::RolledBack if linked => self.told_lost(session),
            Answer::Fenced if linked => self.disconnect(session),
            _ => {}
        }
    }

    /// A node reads the answer to a write.
    pub(crate) fn hear_write(&mut self, write: &Write, answer: Answer) {
        let node = write.from.node();
        let Some(held) = *self.held(node, write.session) else { return };
        if (held.epoch, held.nonce) != (write.epoch, write.after) {
            return;
        }
        match (answer, write.what) {
            (Answer::Ok, What::Commit { taken, acked, .. }) => {
                *self.held(node, write.session) =
                    Some(Held { nonce: write.next, taken, acked, ..held });
                self.acknowledge(node, write.session, taken);
            }
            (Answer::Ok, What::Detach | What::End(_)) => *self.held(node, write.session) = None,
            (refused, _) => self.let_go(node, write.session, refused),
        }
    }

    fn acknowledge(&mut self, node: usize, session: u8, taken: u8) {
        if self.state.linked(node, usize::from(session)) {
            let client = self.client(session);
            client.acknowledged = client.acknowledged.max(taken);
        }
    }

    /// Rule 4: whether an answer that makes a node an owner is too old to be used.
    fn too_late(&self, node: usize, late: bool) -> bool {
        (late || self.state.nodes[node].mode == Mode::Woken) && !self.is(Variant::LateAnswerUsed)
    }

    /// The session began: the client hears `connected`.
    pub(crate) fn hear_start(&mut self, from: Owner, session: u8, nonce: Nonce, late: bool) {
        let snapshot = Snapshot { epoch: 1, generation: 0, taken: 0, acked: 0 };
        let waits = self.state.clients[usize::from(session)].at == At::Opens(from.node() as u8);
        self.become_owner(from.node(), session, nonce, &snapshot, late, waits);
    }

    /// A node reads the answer to a claim.
    pub(crate) fn hear_claim(&mut self, claim: &Claim, claimed: Claimed) {
        let (node, session) = (claim.from.node(), claim.session);
        match claimed {
            Claimed::Ok { snapshot, late } => {
                self.become_owner(node, session, claim.nonce, &snapshot, late, claim.waits);
            }
            Claimed::Expired if claim.waits => self.told_over(session),
            Claimed::Lost if claim.waits => self.told_lost(session),
            Claimed::Stale if claim.waits => {
                self.complain(Property::Alarm, "a client is refused that did nothing wrong");
            }
            Claimed::Expired | Claimed::Stale | Claimed::Lost => {}
            Claimed::RolledBack { epoch, nonce: after } => {
                if claim.waits {
                    self.told_lost(session);
                }
                let (from, next) = (claim.from, self.fresh());
                let (what, stage) = (What::End(Why::Lost), Stage::Asked);
                self.send(Message::Write(Write { from, session, what, stage, epoch, after, next }));
            }
        }
    }

    fn become_owner(
        &mut self,
        node: usize,
        session: u8,
        nonce: Nonce,
        snapshot: &Snapshot,
        late: bool,
        waits: bool,
    ) {
        let newer = self.held(node, session).is_some_and(|held| held.epoch > snapshot.epoch);
        if newer || self.too_late(node, late) {
            if waits {
                self.disconnect(session);
            }
            return;
        }
        if !waits && self.state.linked(node, session.into()) {
            // The node has the connection before as well, and closes it: superseded.
            self.disconnect(session);
        }
        let Snapshot { epoch, generation, taken, acked } = *snapshot;
        let link = Link::Open;
        *self.held(node, session) = Some(Held { epoch, nonce, generation, taken, acked, link });
        if waits {
            self.say_connected(node, session, snapshot);
        }
    }

    /// The client hears `connected`, with `resumed: true` and how many of its messages were taken.
    fn say_connected(&mut self, node: usize, session: u8, snapshot: &Snapshot) {
        if self.state.backend.ended[usize::from(session)] {
            self.complain(Property::Ending, "resumed: true is said behind session.ended");
        }
        let client = self.client(session);
        client.at = At::On(node as u8);
        client.generation = snapshot.generation;
        if client.acknowledged > snapshot.taken {
            let why = "resumed: true is said, and a message that was acknowledged is gone";
            self.complain(Property::Rollback, why);
        }
        self.client(session).acknowledged = snapshot.taken;
    }

    /// Rule 5: the node sees that its lease has ended: it lets go of everything and begins anew.
    pub(crate) fn lapse(&mut self, node: usize) {
        self.drop_connections(node);
        let life = &mut self.state.nodes[node];
        life.mode = Mode::Runs;
        life.incarnation += 1;
    }

    /// All connections and all memory of a node go.
    pub(crate) fn drop_connections(&mut self, node: usize) {
        for session in 0..SESSIONS {
            if let At::On(at) | At::Waits(at) | At::Opens(at) = self.state.clients[session].at
                && usize::from(at) == node
            {
                self.disconnect(session as u8);
            }
        }
        self.state.nodes[node].held = [None; SESSIONS];
    }
}

impl State {
    /// Whether the list does not go on from what the client has: a part of it was lost, or made
    /// room.
    pub(crate) fn is_rolled_back(&self, variant: Variant, session: usize) -> bool {
        let client = &self.clients[session];
        let Some(row) = &self.engine.rows[session] else { return false };
        let other_tag = row.tag(client.received).is_some_and(|tag| tag != client.tag);
        client.received < row.acked && variant != Variant::LossNotTold
            || client.received > row.tail()
            || other_tag && variant != Variant::NumberWithoutTag
    }

    /// The audit of what a node holds; `None`: it is still its own.
    pub(crate) fn audit(&self, node: usize, session: usize) -> Option<Answer> {
        let held = self.nodes[node].held[session].as_ref()?;
        match &self.engine.rows[session] {
            None => Some(Answer::Fenced),
            Some(row) if row.epoch > held.epoch => Some(Answer::Fenced),
            Some(row) if (row.epoch, row.nonce) == (held.epoch, held.nonce) => None,
            Some(_) => Some(Answer::RolledBack),
        }
    }
}
