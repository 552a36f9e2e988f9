//! Where an exploration begins.

use crate::list::List;
use crate::scenario::Scenario;
use crate::sim::NEW_CLIENT;
use crate::state::*;

/// The first session has its client at node A, and the backend knows of both. A client of a second
/// session has not opened it yet.
pub(crate) fn state(scenario: &Scenario) -> State {
    let (me, nonce) = (Owner::new(0, 0), Nonce(1));
    let row = Row {
        epoch: 1,
        nonce,
        generation: 0,
        confirmed: 0,
        taken: 0,
        acked: 0,
        outbox: List::default(),
        posted: 0,
        x: X::Owned(me),
        given_to: Some(me),
    };
    let queues = [List::default(); SESSIONS + 1];
    let engine = Engine { rows: [Some(row), None], user: 1, queues, dead: 0, over: 0 };
    let node = |at: usize| Node {
        mode: if at < usize::from(scenario.nodes) { Mode::Runs } else { Mode::Crashed },
        incarnation: 0,
        held: [None; SESSIONS],
    };
    let mut nodes = [node(0), node(1), node(2)];
    let link = Link::Open;
    let held = Held { epoch: 1, nonce, generation: 0, taken: 0, acked: 0, link };
    nodes[0].held[0] = Some(held);
    let mut clients = [NEW_CLIENT; SESSIONS];
    clients[0].at = At::On(0);
    let mut backend = Backend {
        started: [false; SESSIONS],
        ended: [false; SESSIONS],
        message: [0; SESSIONS],
        here: true,
        seen: List::default(),
    };
    backend.started[0] = true;
    State {
        engine,
        replica: (scenario.budget.failovers > 0).then_some(engine),
        failed_over: false,
        nodes,
        net: List::default(),
        clients,
        backend,
        answered: 0,
        swept: 0,
        left: scenario.budget,
        issued: 1,
    }
}
