//! The nodes, their engine, and the proxies between.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use rig::{
    Cluster, ClusterOptions, Fsync, HaProxy, HaProxyOptions, Proxy, Redis, RedisOptions, Sentinels,
};

use crate::world::{Backend, Gateway};

/// A node. What it says to a single server goes through a proxy of its own, which can be cut.
pub(super) struct Node {
    pub(super) gateway: Gateway,
    proxy: Option<Proxy>,
    engine: String,
    listen: String,
}

/// Nodes on one engine, behind one HAProxy.
pub(super) struct Nodes {
    pub(super) all: Vec<Node>,
    pub(super) haproxy: HaProxy,
    pub(super) engine: Engine,
    backend: String,
    options: Vec<String>,
}

/// What the nodes share.
pub(super) enum Engine {
    /// A server, and a replica that follows it.
    Server(Box<[Redis; 2]>),
    Sentinel(Sentinels),
    Cluster(Cluster),
}

impl Engine {
    pub(super) fn server() -> Self {
        let primary = RedisOptions::new().append_only(Fsync::EverySecond).start();
        let replica = RedisOptions::new().append_only(Fsync::EverySecond);
        let replica = replica.replica_of(primary.addr()).start();
        replica.wait_linked();
        Engine::Server(Box::new([primary, replica]))
    }

    pub(super) fn sentinel() -> Self {
        let each = RedisOptions::new().append_only(Fsync::EverySecond);
        Engine::Sentinel(Sentinels::start(&each, 2))
    }

    pub(super) fn cluster() -> Self {
        let each = RedisOptions::new().append_only(Fsync::EverySecond);
        Engine::Cluster(ClusterOptions::new().each(each).start())
    }

    /// The server, where there is one.
    pub(super) fn primary(&mut self) -> &mut Redis {
        match self {
            Engine::Server(servers) => &mut servers[0],
            Engine::Sentinel(_) | Engine::Cluster(_) => panic!("there are many"),
        }
    }

    /// Its URL for a node; the proxy in front of it, where there is one.
    fn url(&self) -> (String, Option<Proxy>) {
        let list = |addrs: Vec<SocketAddr>| {
            addrs.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
        };
        match self {
            Engine::Server(servers) => {
                let proxy = Proxy::start(servers[0].addr());
                (format!("redis://{}", proxy.addr()), Some(proxy))
            }
            Engine::Sentinel(all) => {
                (format!("redis+sentinel://{}/{}", list(all.addrs()), all.name()), None)
            }
            Engine::Cluster(all) => (format!("redis+cluster://{}", list(all.addrs())), None),
        }
    }
}

impl Nodes {
    /// Starts them on a server with a replica, told by this backend.
    pub(super) fn start(count: usize, backend: &Backend, options: &[&str]) -> Self {
        Nodes::start_on(Engine::server(), count, backend, options)
    }

    pub(super) fn start_on(
        engine: Engine,
        count: usize,
        backend: &Backend,
        options: &[&str],
    ) -> Self {
        let options: Vec<String> = options.iter().map(|option| (*option).to_owned()).collect();
        let start = |_| {
            let (url, proxy) = engine.url();
            let gateway = run("127.0.0.1:0", &url, &backend.url(), &options);
            let listen = gateway.addr.to_string();
            Node { gateway, proxy, engine: url, listen }
        };
        let all: Vec<Node> = (0..count).map(start).collect();
        let addrs: Vec<SocketAddr> = all.iter().map(|node| node.gateway.addr).collect();
        let haproxy = HaProxyOptions::new()
            .line("default-server on-marked-down shutdown-sessions")
            .line("option redispatch 1")
            .line("retries 3")
            .start(&addrs);
        (0..count).for_each(|slot| haproxy.wait_checked(slot));
        Nodes { all, haproxy, engine, backend: backend.url(), options }
    }

    /// Where clients connect.
    pub(super) fn url(&self) -> String {
        format!("ws://{}/ws", self.haproxy.addr())
    }

    /// `kill -9`; another process takes its place.
    pub(super) fn kill_9(&mut self, node: usize) {
        // It has the port until it is gone.
        std::mem::replace(&mut self.all[node].gateway, Gateway::nothing()).kill_9();
        self.run_again(node);
    }

    fn run_again(&mut self, node: usize) {
        let Node { engine, listen, .. } = &self.all[node];
        let gateway = run(listen, engine, &self.backend, &self.options);
        self.all[node].gateway = gateway;
    }

    /// SIGTERM, and another process in its place.
    pub(super) async fn replace(&mut self, node: usize) {
        self.all[node].gateway.terminate();
        let old = std::mem::replace(&mut self.all[node].gateway, Gateway::nothing());
        old.ended().await;
        self.run_again(node);
    }

    pub(super) fn pause(&self, node: usize) {
        signal(self.all[node].gateway.pid(), "-STOP");
    }

    pub(super) fn go_on(&self, node: usize) {
        signal(self.all[node].gateway.pid(), "-CONT");
    }

    /// Nothing passes between a node and the engine; its connections hang, or are reset.
    pub(super) fn cut_off(&self, node: usize, hangs: bool) {
        let proxy = self.proxy(node);
        if hangs {
            proxy.silence();
        } else {
            proxy.refuse();
            proxy.reset();
        }
    }

    pub(super) fn reconnect(&self, node: usize) {
        self.proxy(node).pass();
    }

    /// Between a node and a single server.
    pub(super) fn proxy(&self, node: usize) -> &Proxy {
        self.all[node].proxy.as_ref().expect("a single server")
    }
}

fn run(listen: &str, engine: &str, backend: &str, options: &[String]) -> Gateway {
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    Gateway::start_with(listen, backend, &[&["--engine", engine], &options[..]].concat())
}

fn signal(pid: u32, signal: &str) {
    assert!(Command::new("kill").args([signal, &pid.to_string()]).status().unwrap().success());
}

/// How long a node that is paused is paused: longer than its lease.
pub(super) const LONGER_THAN_THE_LEASE: Duration = Duration::from_secs(12);
