//! Everything breaks by a seed: the network between client and gateway, the gateway, the backend.
//! At the end both sides' lists agree.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use adieu::session::{Builder, Session};
use adieu::{Client, Config};
use serde_json::Value;
use testkit::{FaultProxy, Random};
use tokio::task::JoinSet;

use crate::world::{API_KEY, Backend, Gateway, Member, Mode, Scratch, figure, seed, try_request};

const MEMBERS: u64 = 6;

/// How often the gateway is killed.
fn kills() -> u64 {
    if std::env::var_os("ADIEU_LONG").is_some() { 60 } else { 6 }
}

/// A client, and the backend's words to it.
struct Pair {
    member: Member,
    /// What the gateway has taken for it.
    sent: Vec<String>,
    gateway: SocketAddr,
}

/// A client that finds out soon that a connection is dead.
fn through(url: &str) -> Builder {
    let soon = Duration::from_millis(500);
    let config = Config {
        handshake_timeout: soon,
        ping_interval: Some(soon),
        pong_timeout: soon,
        close_timeout: soon,
        flush_timeout: soon,
        linger: soon,
        ..Config::default()
    };
    Session::builder(url).client(Client::new().config(config))
}

impl Pair {
    fn fields() -> String {
        format!("Authorization: Bearer {API_KEY}\r\nContent-Type: text/plain\r\n")
    }

    /// Sends to the client. Without an answer it is not known whether that was taken: the gateway
    /// is asked, as a careful backend would.
    async fn send(&mut self) {
        let text = format!("backend {}", self.sent.len());
        let path = format!("/api/sessions/{}", self.member.id);
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

    /// Lives through the proxy's faults until it is told to stop. Now and then another process goes
    /// on with the session.
    async fn live(mut self, proxy: String, mut random: Random, stop: Arc<AtomicBool>) -> Self {
        self.member = self.member.replaced(through(&proxy)).await;
        while !stop.load(Ordering::Relaxed) {
            match random.below(10) {
                0..3 => self.send().await,
                3..6 => self.member.say(&format!("client {}", self.member.said.len())),
                6 if random.once_in(3) => {
                    self.member = self.member.replaced(through(&proxy)).await;
                }
                _ => {
                    let wait = Duration::from_millis(random.below(60));
                    let ended = tokio::time::timeout(wait, self.member.next()).await;
                    assert!(!matches!(ended, Ok(Some(_))), "nobody is away for long: {ended:?}");
                }
            }
        }
        self
    }

    /// Without faults: until all has arrived.
    async fn settle(mut self, url: &str) -> Self {
        self.member = self.member.replaced(through(url)).await;
        self.member.receive(self.sent.len()).await;
        self.member.all_committed().await;
        self
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
    for n in 0..MEMBERS {
        let member = Member::start(&url).await;
        let pair = Pair { member, sent: Vec::new(), gateway: addr };
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
    let pairs = all.join_all().await;
    let (mut sent, mut said, mut resumed) = (0, 0, 0);
    for pair in pairs {
        let Pair { member, sent: words, .. } = pair.settle(&url).await;
        assert_eq!(member.received, words, "to {}", member.id);
        let all = |backend: &Backend| backend.said(&member.id).len() >= member.said.len();
        backend.until("all is heard", all).await;
        assert_eq!(backend.said(&member.id), member.said, "from {}", member.id);
        (sent, said) = (sent + words.len(), said + member.said.len());
        resumed += member.resumed;
    }
    assert_eq!(backend.of_type("session.ended").len(), 0, "nobody left");
    let connections = proxy.finish().len();
    let measured = format!(
        "{} kills, {connections} connections through faults, {resumed} resumes: {said} messages \
         from the clients and {sent} to them, both sides' lists agree (seed {seed})",
        kills()
    );
    figure("random faults of network, gateway and backend", &measured);
}
