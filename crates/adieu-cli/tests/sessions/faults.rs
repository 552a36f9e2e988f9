//! Everything breaks by a seed: the network between page and gateway, the gateway, the backend. At
//! the end both sides' lists agree.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;
use testkit::{FaultProxy, Random};
use tokio::task::JoinSet;

use crate::world::{API_KEY, Backend, Gateway, Mode, Page, Scratch, figure, seed, try_request};

const PAGES: u64 = 6;

/// How often the gateway is killed.
fn kills() -> u64 {
    if std::env::var_os("ADIEU_LONG").is_some() { 60 } else { 6 }
}

/// A page, and the backend's words to it.
struct Pair {
    page: Page,
    /// What the gateway has taken for it.
    sent: Vec<String>,
    gateway: SocketAddr,
}

impl Pair {
    fn fields() -> String {
        format!("Authorization: Bearer {API_KEY}\r\nContent-Type: text/plain\r\n")
    }

    /// Sends to the page. Without an answer it is not known whether that was taken: the gateway is
    /// asked, as a careful backend would.
    async fn send(&mut self) {
        let text = format!("backend {}", self.sent.len());
        let path = format!("/api/sessions/{}", self.page.session);
        let messages = format!("{path}/messages");
        match try_request(self.gateway, "POST", &messages, &Self::fields(), &text).await {
            Some((202, _)) => self.sent.push(text),
            Some(other) => panic!("{other:?}"),
            None => {
                let taken = loop {
                    let fields = Self::fields();
                    let asked = try_request(self.gateway, "GET", &path, &fields, "");
                    if let Some((200, view)) = asked.await {
                        let view: Value = serde_json::from_str(&view).unwrap();
                        break view["sent"].as_u64().unwrap() as usize;
                    }
                    tokio::time::sleep(Duration::from_millis(20)).await;
                };
                assert!(taken == self.sent.len() || taken == self.sent.len() + 1);
                if taken > self.sent.len() {
                    self.sent.push(text);
                }
            }
        }
    }

    /// Lives through the proxy's faults until it is told to stop.
    async fn live(mut self, proxy: String, mut random: Random, stop: Arc<AtomicBool>) -> Self {
        while !stop.load(Ordering::Relaxed) {
            let patience = Duration::from_millis(500);
            let connected = tokio::time::timeout(patience, self.page.try_connect(&proxy)).await;
            if let Ok(Ok(connected)) = &connected {
                assert!(connected.resumed, "{connected:?}");
                for _ in 0..random.below(6) {
                    match random.below(3) {
                        0 => self.send().await,
                        1 => {
                            let text = format!("page {}", self.page.said.len());
                            self.page.say(&text).await;
                        }
                        _ => {
                            let wait = Duration::from_millis(random.below(30));
                            let _ = tokio::time::timeout(wait, self.read()).await;
                            if random.once_in(2) {
                                self.page.acknowledge().await;
                            }
                        }
                    }
                }
            } else {
                tokio::time::sleep(Duration::from_millis(random.below(50))).await;
            }
            if random.once_in(2) {
                self.page.socket = None;
            } else {
                let _ = tokio::time::timeout(patience, self.page.hide()).await;
            }
        }
        self
    }

    async fn read(&mut self) {
        while self.page.next().await.is_some() {}
    }

    /// Without faults: until all has arrived.
    async fn settle(&mut self, url: &str) {
        self.page.connect(url).await;
        self.page.receive(self.sent.len()).await;
        self.page.all_acknowledged().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_breaks_both_sides_lists_agree_at_the_end() {
    let seed = seed();
    let random = Random::new(seed);
    let mut chance = random.fork(1_000);
    let backend = Backend::start().await;
    let scratch = Scratch::new();
    let options = ["--backend-timeout", "300ms"];
    let mut gateway = Gateway::start(Some(scratch.path()), &backend, &options);
    let (url, addr) = (gateway.url(), gateway.addr);
    let proxy = FaultProxy::start(addr, random.fork(1_001));
    let through = format!("ws://{}/ws", proxy.addr());
    let stop = Arc::new(AtomicBool::new(false));
    let mut all = JoinSet::new();
    for n in 0..PAGES {
        let mut page = Page::default();
        page.connect(&url).await;
        let pair = Pair { page, sent: Vec::new(), gateway: addr };
        all.spawn(pair.live(through.clone(), random.fork(n), stop.clone()));
    }
    for _ in 0..kills() {
        for mode in [Mode::Says(500, "boom"), Mode::Slow(Duration::from_millis(400)), Mode::Well] {
            tokio::time::sleep(Duration::from_millis(chance.below(250))).await;
            backend.takes_events(mode);
        }
        gateway.kill_9();
        gateway =
            Gateway::start_at(&addr.to_string(), Some(scratch.path()), Some(&backend), &options);
    }
    stop.store(true, Ordering::Relaxed);
    let mut pairs = all.join_all().await;
    let (mut sent, mut said) = (0, 0);
    for pair in &mut pairs {
        pair.settle(&url).await;
        assert_eq!(pair.page.received, pair.sent, "to {}", pair.page.session);
        let page = &pair.page;
        let all = |backend: &Backend| backend.said(&page.session).len() >= page.said.len();
        backend.until("all is heard", all).await;
        assert_eq!(backend.said(&page.session), page.said, "from {}", page.session);
        (sent, said) = (sent + pair.sent.len(), said + page.said.len());
    }
    assert_eq!(backend.of_type("session.ended").len(), 0, "nobody left");
    let connections = proxy.finish().len();
    let measured = format!(
        "{} kills, {connections} connections through faults: {said} messages from the pages and \
         {sent} to them, both sides' lists agree (seed {seed})",
        kills()
    );
    figure("random faults of network, gateway and backend", &measured);
}
