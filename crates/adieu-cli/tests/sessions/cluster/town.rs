//! People and a back office in front of some nodes, and what comes of them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use testkit::Random;
use tokio::task::{JoinHandle, JoinSet};

use super::judge::{Verdict, after_a_death, all_ended, judge};
use super::nodes::Nodes;
use super::people::{Left, Story, Told, back_office, person};
use crate::world::Backend;

/// How long it may take until each end is told: more than a lease, a wait and a grace.
const PATIENCE: Duration = Duration::from_secs(90);

/// What all people have in common.
#[derive(Clone)]
pub(super) struct Town {
    pub(super) url: String,
    pub(super) api: std::net::SocketAddr,
    /// People do not begin anything new, and go.
    pub(super) close: Arc<AtomicBool>,
    /// When nodes were killed.
    pub(super) kills: Arc<Mutex<Vec<Instant>>>,
    /// Messages of the backend that were taken (202), by session, in order.
    pub(super) posted: Arc<Mutex<HashMap<String, Vec<String>>>>,
    /// Sessions whose person is there.
    pub(super) here: Arc<Mutex<Vec<String>>>,
}

/// A town with its people.
pub(super) struct Busy {
    pub(super) town: Town,
    people: JoinSet<Told>,
    office: JoinHandle<usize>,
}

/// What came of it.
pub(super) struct Outcome {
    pub(super) verdict: Verdict,
    pub(super) measured: String,
}

impl Busy {
    /// So many people come to these nodes.
    pub(super) fn start(nodes: &Nodes, people: usize, random: &mut Random) -> Self {
        let town = Town {
            url: nodes.url(),
            api: nodes.haproxy.addr(),
            close: Arc::default(),
            kills: Arc::default(),
            posted: Arc::default(),
            here: Arc::default(),
        };
        let mut all = JoinSet::new();
        for number in 0..people {
            all.spawn(person(town.clone(), number, random.fork(number as u64)));
        }
        let office = tokio::spawn(back_office(town.clone(), random.fork(1 << 40)));
        Busy { town, people: all, office }
    }

    /// All go, and what they and the backend saw is judged.
    pub(super) async fn closes(self, backend: &Backend) -> Outcome {
        self.town.close.store(true, Ordering::Relaxed);
        let posts = self.office.await.unwrap();
        let told = self.people.join_all().await;
        let stories: Vec<Story> = told.iter().flat_map(|told| told.stories.clone()).collect();
        let known = stories.iter().filter(|story| story.left != Left::Lost);
        ends_are_told(backend, &known.cloned().collect::<Vec<_>>()).await;
        let verdict = judge(&stories, &self.town.posted.lock().unwrap(), backend);
        let measured = measured(&told, &stories, posts, backend);
        Outcome { measured: format!("{measured}: {verdict:?}"), verdict }
    }
}

/// Waits until each end is told; those of which it is not are judged.
async fn ends_are_told(backend: &Backend, known: &[Story]) {
    let until = Instant::now() + PATIENCE;
    while !all_ended(known, backend) && Instant::now() < until {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn measured(told: &[Told], stories: &[Story], posts: usize, backend: &Backend) -> String {
    let refreshes: usize = told.iter().map(|told| told.refreshes).sum();
    let cuts: usize = told.iter().map(|told| told.cuts).sum();
    let acknowledged: usize = stories.iter().map(|story| story.acknowledged).sum();
    let (all, once) = (backend.all().len(), backend.seen().len());
    let mut again: Vec<_> = told.iter().flat_map(|told| told.served_again.clone()).collect();
    let mut ends = after_a_death(stories, backend);
    format!(
        "{} people, {} sessions, {refreshes} refreshes, {cuts} lost connections, {acknowledged} \
         messages acknowledged, {posts} messages of the backend taken, {once} events, {} repeats; \
         served again after a kill: p50 {:.2?}, p99 {:.2?} of {}; told as ended who did not come \
         back: {:.1?} to {:.1?} after the kill, of {}",
        told.len(),
        stories.len(),
        all - once,
        percentile(&mut again, 50),
        percentile(&mut again, 99),
        again.len(),
        percentile(&mut ends, 0),
        percentile(&mut ends, 100),
        ends.len(),
    )
}

fn percentile(of: &mut [Duration], percent: usize) -> Duration {
    of.sort_unstable();
    of.get(of.len() * percent / 100).or(of.last()).copied().unwrap_or_default()
}
