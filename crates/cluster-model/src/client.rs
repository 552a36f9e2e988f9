//! What a client does. Its connection has no delay of its own: what would be lost with a connection
//! was never sent, and the connection may break before each step.

use crate::sim::Sim;
use crate::state::*;

impl Sim<'_> {
    /// The client of a session that does not exist yet asks a node for it.
    pub(crate) fn open(&mut self, session: u8, node: usize) {
        let (from, nonce) = (self.state.owner(node), self.fresh());
        self.client(session).at = At::Opens(node as u8);
        let stage = Stage::Asked;
        self.send(Message::Start { from, session, stage, nonce });
    }

    /// The client offers `TOKEN.N.TAG.A` to a node, which claims the session.
    pub(crate) fn resume(&mut self, session: u8, node: usize) {
        let (from, nonce) = (self.state.owner(node), self.fresh());
        let client = self.client(session);
        client.at = At::Waits(node as u8);
        let Client { generation, received, tag, acknowledged, .. } = *client;
        let (stage, waits, read) = (Stage::Asked, true, None);
        self.send(Message::Claim(Claim {
            from,
            session,
            stage,
            waits,
            generation,
            received,
            tag,
            acknowledged,
            nonce,
            read,
        }));
    }

    /// The client closes its connection for good (Close 1000).
    pub(crate) fn say_goodbye(&mut self, session: u8) {
        let At::On(node) = self.client(session).at else { return };
        if self.state.linked(usize::from(node), usize::from(session))
            && let Some(held) = self.held(usize::from(node), session)
        {
            held.link = Link::Goodbye;
        }
        self.told_over(session);
    }
}
