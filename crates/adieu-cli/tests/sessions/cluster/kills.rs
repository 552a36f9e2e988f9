//! Nodes are killed, paused, cut off and replaced under load: nobody notices.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use testkit::Random;
use tokio::task::JoinSet;

use super::judge::{after_a_death, all_ended, judge};
use super::nodes::{LONGER_THAN_THE_LEASE, Nodes};
use super::people::{Left, Story, Town, back_office, person};
use crate::world::{Backend, figure, seed};

/// How many kills, and how many people: `ADIEU_KILLS` and `ADIEU_PEOPLE` for the long form.
fn asked(name: &str, otherwise: usize) -> usize {
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

/// Waits until each end is told; those of which it is not are judged.
async fn within(backend: &Backend, known: &[Story]) {
    let until = Instant::now() + PATIENCE;
    while !all_ended(known, backend) && Instant::now() < until {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// How long it may take until each end is told: more than a lease, a wait and a grace.
const PATIENCE: Duration = Duration::from_secs(90);

fn percentile(of: &mut [Duration], percent: usize) -> Duration {
    of.sort_unstable();
    of.get(of.len() * percent / 100).or(of.last()).copied().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_happens_to_nodes_no_session_is_lost_and_no_departure_is_wrong() {
    if !rig::has("nodes that are killed", &["redis-server", "haproxy"]) {
        return;
    }
    let (kills, people) = (asked("ADIEU_KILLS", 10), asked("ADIEU_PEOPLE", 100));
    let seed = seed();
    let mut random = Random::new(seed);
    let backend = Backend::start().await;
    let mut nodes = Nodes::start(3, &backend, &[]);
    let town = Town {
        url: nodes.url(),
        api: nodes.haproxy.addr(),
        close: Arc::new(AtomicBool::new(false)),
        kills: Arc::default(),
        posted: Arc::default(),
        here: Arc::default(),
    };
    let mut all = JoinSet::new();
    for number in 0..people {
        all.spawn(person(town.clone(), number, random.fork(number as u64)));
    }
    let office = tokio::spawn(back_office(town.clone(), random.fork(1 << 40)));
    let (mut faults, mut node) = (Vec::new(), 0);
    for _ in 0..kills {
        tokio::time::sleep(Duration::from_millis(500 + random.below(3_000))).await;
        let fault = Fault::of(&mut random);
        node = (node + 1 + random.below(2) as usize) % 3;
        happens(&mut nodes, node, fault, &town.kills).await;
        faults.push(fault);
    }
    town.close.store(true, Ordering::Relaxed);
    let posts = office.await.unwrap();
    let told: Vec<_> = all.join_all().await;
    let stories: Vec<Story> = told.iter().flat_map(|told| told.stories.clone()).collect();
    let known = stories.iter().filter(|story| story.left != Left::Lost);
    let known: Vec<Story> = known.cloned().collect();
    within(&backend, &known).await;
    let verdict = judge(&stories, &town.posted.lock().unwrap(), &backend);
    let mut again: Vec<_> = told.iter().flat_map(|told| told.served_again.clone()).collect();
    let mut ends = after_a_death(&stories, &backend);
    let (refreshes, cuts): (usize, usize) = told
        .iter()
        .map(|told| (told.refreshes, told.cuts))
        .fold((0, 0), |sum, of| (sum.0 + of.0, sum.1 + of.1));
    let acknowledged: usize = stories.iter().map(|story| story.acknowledged).sum();
    let (count, once) = (backend.all().len(), backend.seen().len());
    let of_kind = |is: fn(&Fault) -> bool| faults.iter().filter(|fault| is(fault)).count();
    let measured = format!(
        "{kills} faults ({} kill -9, {} pauses of {LONGER_THAN_THE_LEASE:?}, {} cut off, {} \
         replaced), {people} people, {} sessions, {refreshes} refreshes, {cuts} lost connections, \
         {acknowledged} messages acknowledged, {posts} messages of the backend taken: {verdict:?}; \
         {once} events, {} repeats; served again after a kill: p50 {:?}, p99 {:?} of {}; told as \
         ended who did not come back: {:?} to {:?} after the kill, of {} (seed {seed})",
        of_kind(|fault| matches!(fault, Fault::Kill)),
        of_kind(|fault| matches!(fault, Fault::Pause)),
        of_kind(|fault| matches!(fault, Fault::CutOff { .. })),
        of_kind(|fault| matches!(fault, Fault::Replace)),
        stories.len(),
        count - once,
        percentile(&mut again, 50),
        percentile(&mut again, 99),
        again.len(),
        percentile(&mut ends, 0),
        percentile(&mut ends, 100),
        ends.len(),
    );
    figure("nodes that fail", &measured);
    assert!(verdict.is_clean(), "{measured}");
}
