//! What goes wrong.

use crate::sim::Sim;
use crate::state::*;
use crate::variant::Variant;

/// What becomes of the requests of a node that dies: a bit for each that arrives later.
pub(crate) type Arrives = u8;

impl State {
    /// Where in the network the requests of a node are that its death may lose or not.
    pub(crate) fn requests(&self, node: usize) -> impl Iterator<Item = usize> + '_ {
        let of = self.owner(node);
        let net = self.net.iter().enumerate();
        net.filter(move |(_, message)| message.owner() == Some(of) && message.is_request())
            .map(|(at, _)| at)
    }
}

impl Message {
    /// Whether it is on its way from a node, and somebody waits for the answer.
    fn is_request(&self) -> bool {
        match self {
            Message::Start { stage, .. } => *stage == Stage::Asked,
            Message::Claim(claim) => claim.stage == Stage::Asked,
            Message::Write(write) => write.stage == Stage::Asked,
            Message::Release { .. } | Message::Left { .. } => true,
            Message::Delivery { stage, .. } => *stage != Delivery::Heard,
            Message::Forwarded { .. } | Message::Accepted { .. } | Message::Nothing => false,
        }
    }

    /// A request whose sender does not wait for the answer, or not any more.
    fn stray(&mut self) {
        match self {
            Message::Start { stage, .. } => *stage = Stage::Stray,
            Message::Claim(claim) => claim.stage = Stage::Stray,
            Message::Write(write) => write.stage = Stage::Stray,
            _ => {}
        }
    }
}

impl Message {
    /// Whether it is an answer that is on its way, or a request that is sent again to another
    /// engine: only what a node asks as an owner, or for a client that waits. What `due` gave
    /// before is no longer its own to end.
    fn outlives_the_engine(&self, variant: Variant) -> bool {
        if variant == Variant::RequestsOutliveTheEngine {
            return true;
        }
        match self {
            Message::Start { stage, .. } => *stage != Stage::Stray,
            Message::Claim(claim) => match claim.stage {
                Stage::Asked => claim.waits || variant == Variant::ClaimRepeatedForNobody,
                Stage::Stray => false,
                Stage::Answered(_) => true,
            },
            Message::Write(write) if write.is_of_owner() => write.stage != Stage::Stray,
            Message::Write(_) => variant == Variant::EndRepeatedOverFailover,
            Message::Release { .. } | Message::Left { .. } => false,
            Message::Delivery { stage, .. } => *stage != Delivery::Acked,
            Message::Forwarded { .. } | Message::Accepted { .. } | Message::Nothing => true,
        }
    }
}

impl Sim<'_> {
    /// A node dies.
    pub(crate) fn crash(&mut self, node: usize, arrives: Arrives) {
        self.abandon_requests(node, arrives);
        self.drop_connections(node);
        self.state.nodes[node].mode = Mode::Crashed;
    }

    /// A node that had stood still begins anew.
    pub(crate) fn begin_anew(&mut self, node: usize, arrives: Arrives) {
        self.abandon_requests(node, arrives);
        self.lapse(node);
    }

    /// Nobody waits any more for what a node has asked: answers to it are lost; of its requests
    /// those arrive that are told.
    fn abandon_requests(&mut self, node: usize, arrives: Arrives) {
        let requests: Vec<usize> = self.state.requests(node).collect();
        let me = self.state.owner(node);
        for (bit, at) in requests.iter().enumerate() {
            let message = &mut self.state.net[*at];
            if arrives & 1 << bit == 0 { *message = Message::Nothing } else { message.stray() }
        }
        self.keep(|(at, message)| {
            *message != Message::Nothing && (message.owner() != Some(me) || requests.contains(&at))
        });
    }

    fn keep(&mut self, stays: impl Fn((usize, &Message)) -> bool) {
        let mut at = 0;
        self.state.net.retain(|message| {
            at += 1;
            stays((at - 1, message))
        });
    }

    /// The reply is lost, and the node repeats its request with the same nonce.
    pub(crate) fn repeat(&mut self, at: usize) {
        let renewed = if self.is(Variant::NewNonceOnRepeat) { Some(self.fresh()) } else { None };
        match &mut self.state.net[at] {
            Message::Start { stage, .. } => *stage = Stage::Asked,
            Message::Claim(claim) => claim.stage = Stage::Asked,
            Message::Write(write) => {
                write.stage = Stage::Asked;
                write.next = renewed.unwrap_or(write.next);
            }
            _ => {}
        }
    }

    /// The reply or the request is lost, and the node gives up: it forgets the session.
    pub(crate) fn give_up(&mut self, at: usize) {
        let message = self.take(at);
        self.forget(&message);
    }

    /// The node gives up what is still on its way and will arrive.
    pub(crate) fn give_up_early(&mut self, at: usize) {
        let message = self.state.net[at];
        self.state.net[at].stray();
        self.forget(&message);
    }

    /// The node repeats what is still on its way: the engine gets it twice.
    pub(crate) fn repeat_early(&mut self, at: usize) {
        let mut first = self.state.net[at];
        first.stray();
        self.send(first);
    }

    fn forget(&mut self, message: &Message) {
        match message {
            Message::Start { session, .. } => self.disconnect(*session),
            Message::Claim(claim) if claim.waits => self.disconnect(claim.session),
            Message::Write(write) => {
                let node = write.from.node();
                if self.state.linked(node, usize::from(write.session)) {
                    self.disconnect(write.session);
                }
                *self.held(node, write.session) = None;
            }
            _ => {}
        }
    }

    /// The replica becomes the engine. What it does not have is gone, and a `WAIT` for it fails. A
    /// request does not outlive its connection: the new engine gets what its sender sends again.
    pub(crate) fn fail_over(&mut self) {
        let Some(replica) = self.state.replica.take() else { return };
        self.state.engine = replica;
        self.state.replica = (self.state.left.failovers > 0).then_some(replica);
        self.state.failed_over = true;
        let posted = replica.rows[0].map_or(0, |row| row.posted);
        let variant = self.scenario.variant;
        self.state.net.retain(|message| match message {
            Message::Accepted { post } => posted & 1 << post != 0,
            _ => message.outlives_the_engine(variant),
        });
    }
}
