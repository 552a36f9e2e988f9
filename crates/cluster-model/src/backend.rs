//! What the backend makes of what it is told, and what it must not be told.

use crate::property::Property;
use crate::sim::Sim;
use crate::state::*;

impl Sim<'_> {
    /// An event arrives at the backend. One whose id it knows is a repeat and counts for nothing.
    pub(crate) fn backend_hears(&mut self, queue: usize, event: Event) {
        let id = (queue as u8, event.id);
        if self.state.backend.seen.contains(&id) {
            return;
        }
        self.state.backend.seen.push(id);
        match event.told {
            Told::Joined => self.hears_joined(),
            Told::Left => self.hears_left(),
            Told::Started => self.hears_started(queue),
            Told::Message(number) => self.hears_message(queue, number),
            Told::Ended => self.hears_ended(queue),
        }
    }

    fn hears_joined(&mut self) {
        if self.state.backend.here {
            self.complain(Property::Presence, "user.joined is told of a user who is there");
        }
        self.state.backend.here = true;
    }

    fn hears_left(&mut self) {
        if !self.state.backend.here {
            self.complain(Property::Presence, "user.left is told of a user who is not there");
        }
        self.state.backend.here = false;
    }

    fn hears_started(&mut self, session: usize) {
        if self.state.backend.started[session] {
            self.complain(Property::Ending, "session.started is told twice");
        }
        self.state.backend.started[session] = true;
    }

    fn hears_message(&mut self, session: usize, number: u8) {
        let last = self.state.backend.message[session];
        if self.state.backend.ended[session] {
            self.complain(Property::Ending, "a message is told behind session.ended");
        } else if number <= last {
            self.complain(Property::ClientMessages, "a message of the client is told twice");
        } else if number > last + 1 {
            self.complain(Property::ClientMessages, "a message of the client was left out");
        }
        self.state.backend.message[session] = number;
    }

    fn hears_ended(&mut self, session: usize) {
        let client = &self.state.clients[session];
        if self.state.backend.ended[session] {
            self.complain(Property::Ending, "session.ended is told twice");
        } else if self.is_connected(session) {
            self.complain(Property::Ending, "session.ended is told while the client is connected");
        } else if !self.state.failed_over
            && client.acknowledged > self.state.backend.message[session]
        {
            let why = "the end is told, and a message that was acknowledged was not";
            self.complain(Property::ClientMessages, why);
        }
        self.state.backend.ended[session] = true;
    }

    /// Whether the client was told `connected` by a node that runs, and nothing else since.
    fn is_connected(&self, session: usize) -> bool {
        let At::On(node) = self.state.clients[session].at else { return false };
        self.state.nodes[usize::from(node)].mode == Mode::Runs
    }
}
