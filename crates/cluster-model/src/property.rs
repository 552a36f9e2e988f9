//! What must hold.

use crate::scenario::Scenario;
use crate::state::*;

/// What an exploration checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Property {
    /// (a) In one epoch one owner writes.
    OneOwner,
    /// (a) The backend is told each acknowledged message of a client once, in order, before the
    /// end.
    ClientMessages,
    /// (b) `session.ended` is told once, last, never while the client is connected, and nobody is
    /// told `resumed: true` behind it.
    Ending,
    /// (c) `user.joined` and `user.left` alternate, and say who is there.
    Presence,
    /// (d) What was answered with 202 reaches the client that is told `resumed: true`, once, in
    /// order.
    Gap,
    /// (e) Nobody who is told `resumed: true` has lost an acknowledged message in a failover.
    Rollback,
    /// Nobody is told that a session was lost, or is refused, without a reason.
    Alarm,
    /// (f) The end can be reached and told, without the client and without further faults.
    Liveness,
}

/// A property that does not hold, and in which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Broken {
    pub(crate) property: Property,
    pub(crate) why: &'static str,
}

impl State {
    /// What must hold in each state, beside what is checked when something is told.
    pub(crate) fn check(&self, scenario: &Scenario) -> Option<Broken> {
        let sessions = (0..SESSIONS).filter_map(|session| self.agreed(session));
        let mut broken = sessions
            .flat_map(|agreed| [agreed.check_messages(), agreed.check_posts(scenario)])
            .chain([self.check_presence()])
            .flatten();
        broken.find(|broken| scenario.looks_for(broken.property))
    }

    /// A client that is connected to the owner that the engine knows.
    fn agreed(&self, session: usize) -> Option<Agreed<'_>> {
        let client = &self.clients[session];
        let At::On(node) = client.at else { return None };
        let node = usize::from(node);
        let row = self.engine.rows[session].as_ref()?;
        let held = self.nodes[node].held[session].as_ref()?;
        let agreed = self.nodes[node].mode == Mode::Runs
            && self.linked(node, session)
            && row.x == X::Owned(self.owner(node))
            && (row.epoch, row.nonce) == (held.epoch, held.nonce);
        agreed.then_some(Agreed { state: self, session, client, row })
    }

    /// What the backend will know of the user when it has been told all that waits.
    fn check_presence(&self) -> Option<Broken> {
        let waits = &self.engine.queues[USER_QUEUE];
        let seen = |event: &Event| self.backend.seen.contains(&(USER_QUEUE as u8, event.id));
        let last = waits.iter().rev().find(|event| !seen(event));
        let here = last.map_or(self.backend.here, |event| event.told == Told::Joined);
        let says_it_later = self.net.iter().any(|message| matches!(message, Message::Left { .. }));
        let wrong = here != (self.engine.user != 0) && !says_it_later;
        let why = "what is told of the user is not whether a session is there";
        wrong.then_some(Broken { property: Property::Presence, why })
    }

    /// Whether all sessions that began are over and the backend knows it.
    pub(crate) fn is_over(&self) -> bool {
        let over = |session: usize| {
            self.engine.rows[session].is_none()
                && self.backend.started[session] == self.backend.ended[session]
        };
        let told = |queue: usize| {
            let unknown = |event: &Event| !self.backend.seen.contains(&(queue as u8, event.id));
            !self.engine.queues[queue].iter().any(unknown)
        };
        (0..SESSIONS).all(over) && (0..=SESSIONS).all(told)
    }
}

/// A session whose client, owner and engine have the same idea of it.
struct Agreed<'a> {
    state: &'a State,
    session: usize,
    client: &'a Client,
    row: &'a Row,
}

impl Agreed<'_> {
    fn check_messages(&self) -> Option<Broken> {
        let why = "the client stays connected, and a message that it was acknowledged is gone";
        let gone = self.client.acknowledged > self.row.taken;
        gone.then_some(Broken { property: Property::Rollback, why })
    }

    fn check_posts(&self, scenario: &Scenario) -> Option<Broken> {
        let complete = self.client.received == self.row.tail()
            && !self.state.is_rolled_back(scenario.variant, self.session);
        let on_its_way = |message: &Message| matches!(message, Message::Forwarded { .. });
        let missing = self.session == 0
            && self.state.answered & !self.client.got != 0
            && !self.state.net.iter().any(on_its_way);
        let why = "the client has all that it will get, and a message with a 202 is not among it";
        (complete && missing).then_some(Broken { property: Property::Gap, why })
    }
}
