//! The engine fails under load: it is killed, stands still, is slow, is full, loses its functions.
//! Time in which it did not serve counts in no wait.

use std::time::Duration;

use testkit::Random;

use super::kills::asked;
use super::nodes::Nodes;
use super::town::Busy;
use crate::world::{Backend, figure, long_form, seed};

/// What is done to the engine.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// `kill -9`, and a start from its file.
    Killed(Duration),
    /// SIGSTOP.
    StandsStill(Duration),
    /// Each answer comes so much later.
    Slow(Duration),
    /// It has no memory for more.
    Full(Duration),
    /// FUNCTION FLUSH.
    LosesItsFunctions,
}

async fn happens(nodes: &mut Nodes, fault: Fault) {
    match fault {
        Fault::Killed(lasts) => {
            nodes.engine.primary().kill_9();
            tokio::time::sleep(lasts).await;
            nodes.engine.primary().restart();
        }
        Fault::StandsStill(lasts) => {
            nodes.engine.primary().stop();
            tokio::time::sleep(lasts).await;
            nodes.engine.primary().cont();
        }
        Fault::Slow(late) => {
            (0..nodes.all.len()).for_each(|node| nodes.proxy(node).delay(late / 2, late / 2));
            tokio::time::sleep(Duration::from_secs(4)).await;
            (0..nodes.all.len()).for_each(|node| nodes.proxy(node).pass());
        }
        Fault::Full(lasts) => {
            nodes.engine.primary().config_set("maxmemory", "1mb");
            tokio::time::sleep(lasts).await;
            nodes.engine.primary().config_set("maxmemory", "0");
        }
        Fault::LosesItsFunctions => {
            assert!(nodes.engine.primary().command(&["FUNCTION", "FLUSH"]).is_ok());
        }
    }
}

/// One after the other, each with people; what is asked for can be longer: `ADIEU_ENGINE_AWAY`, in
/// seconds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_happens_to_the_engine_no_session_is_lost_and_no_departure_is_wrong() {
    if !rig::has("an engine that fails", &["redis-server", "haproxy"]) {
        return;
    }
    let (crowd, long) = if long_form("engine-fails") { (300, 60) } else { (60, 14) };
    let people = asked("ADIEU_PEOPLE", crowd);
    let away = Duration::from_secs(asked("ADIEU_ENGINE_AWAY", long) as u64);
    let seed = seed();
    let mut random = Random::new(seed);
    let backend = Backend::start().await;
    let mut nodes = Nodes::start(3, &backend, &[]);
    let busy = Busy::start(&nodes, people, &mut random);
    let faults = [
        Fault::LosesItsFunctions,
        Fault::Slow(Duration::from_millis(50)),
        Fault::Killed(Duration::from_secs(1)),
        Fault::Full(Duration::from_secs(2)),
        Fault::StandsStill(away),
        Fault::Killed(Duration::from_secs(3)),
    ];
    for fault in faults {
        tokio::time::sleep(Duration::from_millis(2_000 + random.below(2_000))).await;
        happens(&mut nodes, fault).await;
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    let outcome = busy.closes(&backend).await;
    let measured = format!("{faults:?}, {} (seed {seed})", outcome.measured);
    figure("an engine that fails", &measured);
    assert!(outcome.verdict.is_clean(), "{measured}");
}
