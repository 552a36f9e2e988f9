//! Nodes are killed, paused, cut off and replaced under load: nobody notices.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use testkit::Random;

use super::nodes::{LONGER_THAN_THE_LEASE, Nodes};
use super::town::Busy;
use crate::world::{Backend, figure, long_form, seed};

/// Of the long form, for example `ADIEU_KILLS` and `ADIEU_PEOPLE`.
pub(super) fn asked(name: &str, otherwise: usize) -> usize {
    std::env::var(name).ok().map_or(otherwise, |text| text.parse().expect("a number"))
}

/// What is done to a node.
#[derive(Clone, Copy, Debug)]
enum Fault {
    Kill,
    Pause,
    CutOff { hangs: bool, lasts: Duration },
    Replace,
}

impl Fault {
    fn of(random: &mut Random) -> Self {
        match random.below(8) {
            0..=3 => Fault::Kill,
            4 => Fault::Pause,
            5 => {
                let lasts = Duration::from_millis(2_000 + random.below(16_000));
                Fault::CutOff { hangs: random.once_in(2), lasts }
            }
            _ => Fault::Replace,
        }
    }
}

async fn happens(nodes: &mut Nodes, node: usize, fault: Fault, kills: &Mutex<Vec<Instant>>) {
    match fault {
        Fault::Kill => {
            kills.lock().unwrap().push(Instant::now());
            nodes.kill_9(node);
        }
        Fault::Pause => {
            nodes.pause(node);
            tokio::time::sleep(LONGER_THAN_THE_LEASE).await;
            nodes.go_on(node);
        }
        Fault::CutOff { hangs, lasts } => {
            nodes.cut_off(node, hangs);
            tokio::time::sleep(lasts).await;
            nodes.reconnect(node);
        }
        Fault::Replace => nodes.replace(node).await,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_happens_to_nodes_no_session_is_lost_and_no_departure_is_wrong() {
    if !rig::has("nodes that are killed", &["redis-server", "haproxy"]) {
        return;
    }
    let (many, crowd) = if long_form("node-kills") { (100, 1_000) } else { (10, 100) };
    let (kills, people) = (asked("ADIEU_KILLS", many), asked("ADIEU_PEOPLE", crowd));
    // Between two faults at least.
    let rest = Duration::from_millis(asked("ADIEU_REST", 500) as u64);
    let seed = seed();
    let mut random = Random::new(seed);
    let backend = Backend::start().await;
    let mut nodes = Nodes::start(3, &backend, &[]);
    let busy = Busy::start(&nodes, people, &mut random);
    let (mut faults, mut node) = (Vec::new(), 0);
    for _ in 0..kills {
        tokio::time::sleep(rest + Duration::from_millis(random.below(3_000))).await;
        let fault = Fault::of(&mut random);
        node = (node + 1 + random.below(2) as usize) % 3;
        happens(&mut nodes, node, fault, &busy.town.kills).await;
        faults.push(fault);
    }
    let outcome = busy.closes(&backend).await;
    let of_kind = |is: fn(&Fault) -> bool| faults.iter().filter(|fault| is(fault)).count();
    let measured = format!(
        "{kills} faults, {rest:?} and more apart ({} kill -9, {} pauses of \
         {LONGER_THAN_THE_LEASE:?}, {} cut off, {} replaced), {} (seed {seed})",
        of_kind(|fault| matches!(fault, Fault::Kill)),
        of_kind(|fault| matches!(fault, Fault::Pause)),
        of_kind(|fault| matches!(fault, Fault::CutOff { .. })),
        of_kind(|fault| matches!(fault, Fault::Replace)),
        outcome.measured,
    );
    figure("nodes that fail", &measured);
    assert!(outcome.verdict.is_clean(), "{measured}");
}
