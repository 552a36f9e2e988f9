//! A primary of the engine is killed, and a replica takes its place: by Sentinel, and in a Cluster.

use std::time::Duration;

use testkit::Random;

use super::kills::asked;
use super::nodes::{Engine, Nodes};
use super::town::Busy;
use crate::world::{Backend, figure, seed};

/// How long people go on after a failover.
const AFTERWARDS: Duration = Duration::from_secs(5);

/// Kills primaries as `fails` does, so often, under load; what came of it is printed and clean.
async fn under_load(what: &str, engine: Engine, fails: impl AsyncFn(&mut Engine)) {
    let (people, times) = (asked("ADIEU_PEOPLE", 60), asked("ADIEU_FAILOVERS", 1));
    let seed = seed();
    let mut random = Random::new(seed);
    let backend = Backend::start().await;
    let mut nodes = Nodes::start_on(engine, 3, &backend, &[]);
    let busy = Busy::start(&nodes, people, &mut random);
    for _ in 0..times {
        tokio::time::sleep(AFTERWARDS).await;
        fails(&mut nodes.engine).await;
    }
    tokio::time::sleep(AFTERWARDS).await;
    let outcome = busy.closes(&backend).await;
    let measured = format!("{times} times, {} (seed {seed})", outcome.measured);
    figure(what, &measured);
    assert!(outcome.verdict.is_clean(), "{measured}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sentinels_promote_a_replica_and_nobody_is_lost() {
    if !rig::has("a failover by Sentinel", &["redis-server", "haproxy"]) {
        return;
    }
    under_load("a failover by Sentinel", Engine::sentinel(), async |engine| {
        let Engine::Sentinel(all) = engine else { panic!("Sentinels") };
        let before = all.primary().expect("a primary");
        all.servers()[before].kill_9();
        rig::wait_until("another primary", || all.primary().is_some_and(|now| now != before));
        all.servers()[before].restart();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_of_a_cluster_is_killed_and_nobody_is_lost() {
    if !rig::has("a failover in a Cluster", &["redis-server", "haproxy"]) {
        return;
    }
    under_load("a failover in a Cluster", Engine::cluster(), async |engine| {
        let Engine::Cluster(all) = engine else { panic!("a Cluster") };
        // The one that has the leases of the nodes.
        let before = all.owner("adieu{nodes}").expect("an owner");
        all.node(before).kill_9();
        rig::wait_until("another owner", || {
            all.owner("adieu{nodes}").is_some_and(|now| now != before)
        });
        all.node(before).restart();
        all.wait_well();
    })
    .await;
}
