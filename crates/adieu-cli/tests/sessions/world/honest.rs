//! A client that wants no more than to be served, and how long it waits while others do not let it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::{Gateway, Page, request};

/// How long it waits until the gateway is ready.
const PATIENCE: Duration = Duration::from_secs(300);

/// One of its round trips after the other, and the memory of the gateway, until it is told to stop.
/// It has a thread of its own.
pub(crate) struct HonestClient {
    stop: Arc<AtomicBool>,
    most_memory: Arc<AtomicU64>,
    rounds: Arc<AtomicU64>,
    thread: JoinHandle<Waits>,
}

/// How long it waited.
#[derive(Default)]
pub(crate) struct Waits {
    /// From a message to its acknowledgement, which is behind its commit.
    messages: Vec<Duration>,
    /// Of `/readyz`, each on a connection of its own.
    probes: Vec<Duration>,
    /// Bytes of memory that the gateway had at most.
    pub(crate) memory: u64,
}

impl HonestClient {
    /// Comes to this gateway; ready when it was served once.
    pub(crate) async fn start(gateway: &Gateway) -> Self {
        let stop = Arc::<AtomicBool>::default();
        let (most_memory, rounds) = (Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default());
        let (url, addr, pid) = (gateway.url(), gateway.addr, gateway.pid());
        let (stopped, most, counted) = (stop.clone(), most_memory.clone(), rounds.clone());
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async {
                let (mut page, mut waits) = (Page::default(), Waits::default());
                page.connect(&url).await;
                while !stopped.load(Ordering::Relaxed) {
                    let began = Instant::now();
                    page.say("am I served?").await;
                    page.all_acknowledged().await;
                    waits.messages.push(began.elapsed());
                    let began = Instant::now();
                    // A store or a core that is slow for a while is told by 503.
                    while request(addr, "GET", "/readyz", "", "").await.0 != 200 {
                        assert!(began.elapsed() < PATIENCE, "it is not ready");
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                    waits.probes.push(began.elapsed());
                    most.fetch_max(super::memory_of(pid), Ordering::Relaxed);
                    counted.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
                waits
            })
        });
        let client = HonestClient { stop, most_memory, rounds, thread };
        client.is_served(1).await;
        client
    }

    /// Waits until it has been served so often from now on.
    pub(crate) async fn is_served(&self, times: u64) {
        let before = self.rounds.load(Ordering::Relaxed);
        while self.rounds.load(Ordering::Relaxed) < before + times {
            assert!(!self.thread.is_finished(), "the honest client was not served");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    pub(crate) fn stop(self) -> Waits {
        self.stop.store(true, Ordering::Relaxed);
        let waits = self.thread.join().expect("the honest client was served");
        Waits { memory: self.most_memory.load(Ordering::Relaxed), ..waits }
    }
}

impl std::fmt::Display for Waits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (messages, probes) = (longest(&self.messages), longest(&self.probes));
        write!(f, "an honest client waits meanwhile for an acknowledgement {messages}; ")?;
        write!(f, "for /readyz on a new connection {probes}")
    }
}

/// The longest, and how long 99 of 100 were at most.
fn longest(waits: &[Duration]) -> String {
    let mut waits = waits.to_vec();
    waits.sort_unstable();
    let (count, last) = (waits.len(), waits[waits.len() - 1]);
    let most = waits[count * 99 / 100];
    format!("{last:.1?} at most, 99 % within {most:.1?}, of {count}")
}
