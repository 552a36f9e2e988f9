//! One state of the world: the engine and its replica, the nodes, what is in flight between them,
//! the clients, and what the backend was told. All numbers are small; nonces are renumbered
//! (`canon`).

use crate::list::List;
use crate::scenario::Budget;

/// At most so many nodes.
pub(crate) const NODES: usize = 3;
/// At most so many sessions. All are of one user, and each has one client.
pub(crate) const SESSIONS: usize = 2;
/// The queue of the user's events, behind those of the sessions.
pub(crate) const USER_QUEUE: usize = SESSIONS;
const QUEUES: usize = SESSIONS + 1;

/// A number that no other write has; 0 is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Nonce(pub(crate) u8);

/// One life of a node: the node, and how often it has begun anew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Owner(pub(crate) u8);

impl Owner {
    pub(crate) fn new(node: usize, incarnation: u8) -> Self {
        Owner(node as u8 + incarnation * NODES as u8)
    }

    pub(crate) fn node(self) -> usize {
        usize::from(self.0) % NODES
    }

    pub(crate) fn incarnation(self) -> u8 {
        self.0 / NODES as u8
    }
}

/// The one entry of a session in `x{slot}`: owned and due exclude each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum X {
    Owned(Owner),
    /// It may have passed at any time: time is free.
    Deadline,
    /// Neither; no script of the right protocol leaves that behind.
    Nothing,
}

/// A session in the engine.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Row {
    pub(crate) epoch: u8,
    pub(crate) nonce: Nonce,
    pub(crate) generation: u8,
    /// The highest generation that the client has shown to have.
    pub(crate) confirmed: u8,
    /// How many of the client's messages were taken.
    pub(crate) taken: u8,
    /// How many of its own messages the client has acknowledged.
    pub(crate) acked: u8,
    /// Messages to the client, by their tags; the first has the number `acked + 1`.
    pub(crate) outbox: List<u8, 2>,
    /// The idempotency keys of the posts so far, a bit each.
    pub(crate) posted: u8,
    pub(crate) x: X,
    /// To whom the epoch was given. The engine does not keep it: it is here for property (a).
    pub(crate) given_to: Option<Owner>,
}

impl Row {
    /// The number of the last message to the client.
    pub(crate) fn tail(&self) -> u8 {
        self.acked + self.outbox.len() as u8
    }

    /// The tag of the message with this number, if it is still there.
    pub(crate) fn tag(&self, number: u8) -> Option<u8> {
        let at = usize::from(number).checked_sub(usize::from(self.acked) + 1)?;
        self.outbox.get(at).copied()
    }

    /// Forgets the messages up to a number.
    pub(crate) fn trim(&mut self, number: u8) {
        while self.acked < number && !self.outbox.is_empty() {
            self.outbox.remove(0);
            self.acked += 1;
        }
    }
}

/// What a backend is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Told {
    #[default]
    Started,
    Message(u8),
    Ended,
    Joined,
    Left,
}

/// An event in a queue, with the id under which the backend knows it for a repeat (ce-id).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Event {
    pub(crate) told: Told,
    pub(crate) id: Nonce,
}

/// What the engine keeps, and a failover loses a part of.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Engine {
    pub(crate) rows: [Option<Row>; SESSIONS],
    /// The sessions of the user, a bit each.
    pub(crate) user: u8,
    /// The queue of each session, then that of the user.
    pub(crate) queues: [List<Event, 5>; QUEUES],
    /// Lives of nodes that are over for ever (`D{nodes}`), a bit each.
    pub(crate) dead: u16,
    /// Sessions that are over, a bit each: a key that is kept as long as a request may be late.
    pub(crate) over: u8,
}

/// Whether a node can act.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Mode {
    /// It runs and renews its lease.
    Runs,
    /// It stands still for longer than its lease, and does not know.
    Paused,
    /// It goes on where it stood, and has not looked at the clock yet.
    Woken,
    Crashed,
}

/// The connection of an owner, as far as the owner has noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Link {
    Open,
    /// The client said goodbye.
    Goodbye,
    /// It broke.
    Broken,
}

/// What a node holds of a session that it owns, or believes it owns.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Held {
    pub(crate) epoch: u8,
    /// Of its last write that it knows of.
    pub(crate) nonce: Nonce,
    pub(crate) generation: u8,
    pub(crate) taken: u8,
    pub(crate) acked: u8,
    pub(crate) link: Link,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Node {
    pub(crate) mode: Mode,
    pub(crate) incarnation: u8,
    pub(crate) held: [Option<Held>; SESSIONS],
}

/// Where a client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum At {
    /// It has no session yet.
    New,
    /// It has asked a node for a session and awaits the answer.
    Opens(u8),
    /// It has a token and no connection.
    Away,
    /// It has sent a handshake to a node and awaits the answer.
    Waits(u8),
    /// It was told `connected` by a node.
    On(u8),
    /// It was told that the session is over or lost, or it said goodbye, or it never got a token:
    /// what it opens next is another session.
    Over,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Client {
    pub(crate) at: At,
    /// Of its token.
    pub(crate) generation: u8,
    /// N: the number of the last message it received, and the tag of that message.
    pub(crate) received: u8,
    pub(crate) tag: u8,
    /// All tags it received, a bit each.
    pub(crate) got: u8,
    /// A: the highest acknowledgement it was given.
    pub(crate) acknowledged: u8,
    /// How many messages it has sent or is to send again.
    pub(crate) sent: u8,
}

/// Where a request of a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Stage<A> {
    /// On its way to the engine; its sender waits.
    Asked,
    /// On its way to the engine; nobody waits for the answer.
    Stray,
    /// The answer is on its way back.
    Answered(A),
}

/// The engine's answer to a write of an owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Answer {
    Ok,
    Fenced,
    RolledBack,
}

/// A write under a fence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Write {
    pub(crate) from: Owner,
    pub(crate) session: u8,
    pub(crate) what: What,
    pub(crate) stage: Stage<Answer>,
    pub(crate) epoch: u8,
    /// The fence names the nonce of the write before, and brings the next.
    pub(crate) after: Nonce,
    pub(crate) next: Nonce,
}

impl Write {
    /// Whether who holds the session writes, and not who may end it.
    pub(crate) fn is_of_owner(&self) -> bool {
        !matches!(self.what, What::End(Why::Gone | Why::Lost))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum What {
    /// `taken` counts the client's messages; `event`: the last of them is new and goes to the
    /// backend.
    Commit {
        taken: u8,
        event: bool,
        acked: u8,
        tag: u8,
        confirmed: u8,
    },
    Detach,
    End(Why),
}

/// Why a session ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Why {
    Goodbye,
    /// Its deadline passed.
    Gone,
    /// The engine has lost writes of it.
    Lost,
}

/// What a client offers for its session, and where that is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Claim {
    pub(crate) from: Owner,
    pub(crate) session: u8,
    pub(crate) stage: Stage<Claimed>,
    /// Whether the connection that asks is still there.
    pub(crate) waits: bool,
    pub(crate) generation: u8,
    /// N and its tag.
    pub(crate) received: u8,
    pub(crate) tag: u8,
    /// A.
    pub(crate) acknowledged: u8,
    pub(crate) nonce: Nonce,
    /// The first half of a claim that reads and writes apart (a variant).
    pub(crate) read: Option<Snapshot>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Snapshot {
    pub(crate) epoch: u8,
    pub(crate) generation: u8,
    pub(crate) taken: u8,
    pub(crate) acked: u8,
}

/// The answer to a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Claimed {
    /// `late`: it is older than an answer may be that is still used.
    Ok {
        snapshot: Snapshot,
        late: bool,
    },
    Expired,
    Stale,
    Lost,
    /// With the fence under which who asked can end the session.
    RolledBack {
        epoch: u8,
        nonce: Nonce,
    },
}

/// Where an event is between the engine and the backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Delivery {
    /// The HTTP request is on its way.
    Sent,
    /// The backend has answered and the node has not seen it yet.
    Heard,
    /// The acknowledgement is on its way to the engine.
    Acked,
}

/// What is in flight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Message {
    #[default]
    Nothing,
    Start {
        from: Owner,
        session: u8,
        /// The answer is whether it is late, or the session is over.
        stage: Stage<bool>,
        nonce: Nonce,
    },
    Claim(Claim),
    Write(Write),
    /// The audit lets a session go that the node does not hold.
    Release {
        from: Owner,
        session: u8,
        epoch: u8,
    },
    /// The 202 of a post, on its way to the caller.
    Accepted {
        post: u8,
    },
    /// A post on its way to the owner (a variant).
    Forwarded {
        to: Owner,
        post: u8,
    },
    /// `user.left`, by a script of its own (a variant).
    Left {
        from: Owner,
        id: Nonce,
    },
    Delivery {
        from: Owner,
        queue: u8,
        event: Event,
        stage: Delivery,
    },
}

impl Message {
    /// Which life of a node has sent it, or is to get it.
    pub(crate) fn owner(&self) -> Option<Owner> {
        match *self {
            Message::Nothing | Message::Accepted { .. } => None,
            Message::Start { from, .. }
            | Message::Release { from, .. }
            | Message::Left { from, .. }
            | Message::Delivery { from, .. } => Some(from),
            Message::Claim(Claim { from, .. }) | Message::Write(Write { from, .. }) => Some(from),
            Message::Forwarded { to, .. } => Some(to),
        }
    }
}

/// What the backend was told, each event once.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Backend {
    pub(crate) started: [bool; SESSIONS],
    pub(crate) ended: [bool; SESSIONS],
    /// The last message of each client.
    pub(crate) message: [u8; SESSIONS],
    pub(crate) here: bool,
    /// The ids that can come again, with their queues.
    pub(crate) seen: List<(u8, Nonce), 16>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct State {
    pub(crate) engine: Engine,
    /// The copy that a failover promotes; none where no failover is to come.
    pub(crate) replica: Option<Engine>,
    pub(crate) failed_over: bool,
    pub(crate) nodes: [Node; NODES],
    pub(crate) net: List<Message, 12>,
    pub(crate) clients: [Client; SESSIONS],
    pub(crate) backend: Backend,
    /// The posts that were answered with 202, a bit each.
    pub(crate) answered: u8,
    /// Lives whose sessions were looked for once (a variant), a bit each.
    pub(crate) swept: u16,
    /// What may still happen.
    pub(crate) left: Budget,
    /// The highest nonce in this state.
    pub(crate) issued: u8,
}

impl State {
    /// The life that a node has now.
    pub(crate) fn owner(&self, node: usize) -> Owner {
        Owner::new(node, self.nodes[node].incarnation)
    }

    /// Whether this life of a node goes on: answers to it have somebody to read them.
    pub(crate) fn lives(&self, owner: Owner) -> bool {
        let node = &self.nodes[owner.node()];
        node.incarnation == owner.incarnation() && node.mode != Mode::Crashed
    }

    /// Whether a node can do the next thing.
    pub(crate) fn acts(&self, node: usize) -> bool {
        matches!(self.nodes[node].mode, Mode::Runs | Mode::Woken)
    }

    /// Whether the client has the connection that this node holds its session for.
    pub(crate) fn linked(&self, node: usize, session: usize) -> bool {
        let client = &self.clients[session];
        let held = self.nodes[node].held[session];
        client.at == At::On(node as u8)
            && held
                .is_some_and(|held| held.generation == client.generation && held.link == Link::Open)
    }

    /// Whether a write of this node for the session is on its way: an owner has one at a time.
    pub(crate) fn writes(&self, node: usize, session: usize) -> bool {
        let me = self.owner(node);
        self.net.iter().any(|message| match message {
            Message::Write(write) => {
                write.from == me
                    && usize::from(write.session) == session
                    && write.stage != Stage::Stray
                    && write.is_of_owner()
            }
            _ => false,
        })
    }
}
