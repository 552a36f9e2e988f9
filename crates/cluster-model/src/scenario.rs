//! What may happen in an exploration, and which protocol it is about.

use crate::property::Property;
use crate::variant::Variant;

/// How the events get from the engine to the backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Telling {
    /// The backend knows what stands in the queue. For scenarios that are about something else.
    AtOnce,
    /// One step from the head of the queue to the backend, once the replica has it.
    OneStep,
    /// `next`, HTTP, `ack`: each on its way for as long as it likes, from any node.
    Http,
}

/// How often something may happen that the protocol does not do by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Budget {
    /// A client that is away comes back with its token, to any node.
    pub resumes: u8,
    /// A client gives up a handshake and may come back elsewhere, while the claim goes on.
    pub abandons: u8,
    /// Messages of the client of the first session.
    pub sends: u8,
    /// Messages to the first session, posted at any node (at most 2).
    pub posts: u8,
    /// Goodbyes.
    pub goodbyes: u8,
    /// A node dies, unless it is the last that runs. Each of its requests in flight is lost, or
    /// arrives later.
    pub crashes: u8,
    /// A node stands still for longer than its lease, unless it is the last that runs, and wakes or
    /// does not.
    pub pauses: u8,
    /// A reply, or a request, is lost: the node repeats the request, or gives it up.
    pub losses: u8,
    /// A node repeats, or gives up, a request that is still on its way and arrives.
    pub duplicates: u8,
    /// The hold of `due` or `next` ends while its holder is still at work.
    pub slow_holds: u8,
    /// The replica is promoted, however old its copy is, and gets a replica if it is to fail too.
    pub failovers: u8,
}

impl Budget {
    /// Nothing happens.
    pub const NONE: Budget = Budget {
        resumes: 0,
        abandons: 0,
        sends: 0,
        posts: 0,
        goodbyes: 0,
        crashes: 0,
        pauses: 0,
        losses: 0,
        duplicates: 0,
        slow_holds: 0,
        failovers: 0,
    };
}

/// What is explored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scenario {
    /// A short name, for tables.
    pub name: &'static str,
    /// 1 to 3.
    pub nodes: u8,
    /// 1 or 2, of one user. The first has a connection at node A at the beginning; the client of
    /// the second opens it when it likes.
    pub sessions: u8,
    /// How the backend is told.
    pub telling: Telling,
    /// So many messages to a client are kept, at most 2; older ones make room.
    pub keeps: u8,
    /// What may happen, and how often.
    pub budget: Budget,
    /// The protocol, or one that was made wrong.
    pub variant: Variant,
    /// The one property that is looked at; `None`: all.
    pub seeks: Option<Property>,
}

impl Scenario {
    /// Two nodes, one session, the right protocol.
    #[must_use]
    pub const fn of(name: &'static str, budget: Budget) -> Self {
        let (telling, variant) = (Telling::AtOnce, Variant::Right);
        let (nodes, sessions, keeps, seeks) = (2, 1, 2, None);
        Scenario { name, nodes, sessions, telling, keeps, budget, variant, seeks }
    }

    /// The same world with another protocol, in which one property is looked at.
    #[must_use]
    pub const fn with(mut self, variant: Variant, seeks: Property) -> Self {
        self.variant = variant;
        self.seeks = Some(seeks);
        self
    }

    pub(crate) fn looks_for(&self, property: Property) -> bool {
        self.seeks.is_none_or(|sought| sought == property)
    }
}
