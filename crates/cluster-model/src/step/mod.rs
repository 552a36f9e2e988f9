//! What can happen in a state.

mod clients;
mod delivery;
mod mark;
mod messages;
mod nodes;
mod time;

pub(crate) use mark::Marks;

use crate::property::Broken;
use crate::scenario::{Budget, Scenario};
use crate::sim::Sim;
use crate::state::*;
use crate::variant::Variant;

/// Who makes a step happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// The protocol does it by itself, sooner or later.
    Protocol,
    /// The client's connection breaks. Liveness may count on it: the question is what comes then.
    Leaves,
    /// A client or a caller helps, or something goes wrong. Liveness may not count on it.
    Other,
}

/// A step, for the story that is told of it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    Open { session: u8, node: u8 },
    Resume { session: u8, node: u8 },
    Leave { session: u8 },
    Send { session: u8 },
    Goodbye { session: u8 },
    Post { post: u8 },
    PostAgain { post: u8 },
    Accept { post: u8 },
    Forward { post: u8 },
    TakeForwarded { message: Message },
    TakeMessage { session: u8, node: u8 },
    TakeAcknowledgement { session: u8, node: u8 },
    Deliver { session: u8, node: u8 },
    Detach { session: u8, node: u8 },
    EndByGoodbye { session: u8, node: u8 },
    Audit { session: u8, node: u8, answer: Answer },
    AskRelease { session: u8, node: u8 },
    Lapse { node: u8, arrives: u8, of: u8 },
    Execute { message: Message },
    ReadClaim { message: Message },
    Hear { message: Message },
    Reap { owner: Owner },
    Orphan { session: u8, owner: Owner },
    SweepOnce { owner: Owner },
    Due { session: u8, node: u8 },
    Replicate,
    Tell { queue: u8, event: Event },
    Next { queue: u8, node: u8, event: Event },
    Arrive { message: Message },
    Crash { node: u8, arrives: u8, of: u8 },
    Pause { node: u8 },
    Wake { node: u8 },
    Repeat { message: Message },
    GiveUp { message: Message },
    GiveUpEarly { message: Message },
    RepeatEarly { message: Message },
    FailOver,
}

/// A step and where it leads.
pub(crate) struct Next {
    pub(crate) step: Step,
    pub(crate) class: Class,
    pub(crate) state: State,
    pub(crate) broken: Option<Broken>,
}

/// All steps from a state, always in the same order.
pub(crate) fn all(scenario: &Scenario, state: &State, out: &mut Vec<Next>) {
    let mut steps = Steps { scenario, state, out };
    for session in 0..scenario.sessions {
        steps.of_client(session);
        steps.of_time(session);
        for node in 0..scenario.nodes {
            steps.of_node(session, node);
        }
    }
    for at in 0..state.net.len() {
        steps.of_message(at);
        steps.of_lost_message(at);
    }
    for node in 0..scenario.nodes {
        steps.of_lives(node);
        steps.of_delivery(node);
    }
    steps.of_posts();
    steps.of_replica();
}

struct Steps<'a> {
    scenario: &'a Scenario,
    state: &'a State,
    out: &'a mut Vec<Next>,
}

impl Steps<'_> {
    fn add(&mut self, class: Class, step: Step, change: impl FnOnce(&mut Sim<'_>)) {
        let mut sim = Sim::new(self.scenario, self.state);
        change(&mut sim);
        self.out.push(Next { step, class, state: sim.state, broken: sim.broken });
    }

    fn protocol(&mut self, step: Step, change: impl FnOnce(&mut Sim<'_>)) {
        self.add(Class::Protocol, step, change);
    }

    /// A step that is paid for; none if nothing is left of it.
    fn paid(
        &mut self,
        price: impl Fn(&mut Budget) -> &mut u8,
        step: Step,
        change: impl FnOnce(&mut Sim<'_>),
    ) {
        let mut left = self.state.left;
        if *price(&mut left) > 0 {
            self.add(Class::Other, step, |sim| {
                *price(&mut sim.state.left) -= 1;
                change(sim);
            });
        }
    }

    fn is(&self, variant: Variant) -> bool {
        self.scenario.variant == variant
    }

    fn someone_runs(&self) -> bool {
        self.state.nodes.iter().any(|node| node.mode == Mode::Runs)
    }
}
