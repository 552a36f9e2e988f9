//! The functions under attack: many nodes on one Redis serve, repeat, forget and die, and what the
//! backend and the clients have seen of it is looked at.

mod chores;
mod log;
mod mutants;
mod node;
mod rollback;
mod settle;
mod world;

use std::sync::Arc;

use adieu_engine::Engine;
use tokio::task::JoinSet;

use crate::common::{Random, Server};
use log::Figures;
use node::Attacker;
use world::World;

/// How large an attack is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    nodes: u64,
    seats: usize,
    /// What each node does, so often.
    steps: u64,
}

/// Nodes attack an engine with these functions. What was done, and what must not be.
pub(crate) async fn attack(
    server: &Server,
    text: &str,
    size: Size,
    random: &Random,
) -> (Figures, Vec<String>) {
    let engine = server.engine();
    engine.load_functions_from(text).await.expect("functions that can be loaded");
    let world = Arc::new(World::new(size.seats));
    let mut nodes = JoinSet::new();
    for number in 0..size.nodes {
        // Connections of its own: only the engine says what comes first.
        let node = Attacker::new(world.clone(), server.engine(), random.fork(number));
        nodes.spawn(node.run(size.steps));
    }
    while let Some(ended) = nodes.join_next().await {
        ended.expect("a node");
    }
    Attacker::new(world.clone(), engine, random.fork(size.nodes)).settle(server).await;
    world.log(|log| {
        log.check();
        (log.figures, std::mem::take(&mut log.violations))
    })
}

/// `cargo xtask engine-attack`: half an hour of it.
fn is_long() -> bool {
    std::env::var("ADIEU_LONG_FORM").is_ok_and(|form| form == "engine-attack")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_told_twice_or_owned_twice_whatever_nodes_do() {
    let text = Engine::text_of_functions();
    let seed = testkit::seed();
    let mut random = Random::new(seed);
    for round in 0..if is_long() { 10 } else { 1 } {
        let server = Server::start();
        let steps = if is_long() { 15_000 } else { 2_200 };
        let size = Size { nodes: 8, seats: 300, steps };
        let (figures, violations) = attack(&server, &text, size, &random).await;
        let what = format!("engine attack, round {round}, seed {seed}");
        let count = violations.len();
        testkit::figure(&what, &format!("{count} violations; {}", figures.line()));
        assert_eq!(violations, Vec::<String>::new(), "round {round}");
        // All of it happened.
        let Figures { resumed, repeated, fenced, posted, crashed, told_again, released, .. } =
            figures;
        let all = [resumed, repeated, fenced, posted, crashed, told_again, released];
        assert!(all.iter().all(|count| *count > 0), "{figures:?}");
        random = random.fork(round + 1_000);
    }
}
