//! The nodes, their engine, and the proxies between.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use rig::{Fsync, HaProxy, HaProxyOptions, Proxy, Redis, RedisOptions};

use crate::world::{Backend, Gateway};

/// A node. What it says to the engine goes through a proxy of its own, which can be cut.
pub(super) struct Node {
    pub(super) gateway: Gateway,
    pub(super) to_engine: Proxy,
    listen: String,
}

/// Nodes on one engine, behind one HAProxy.
pub(super) struct Nodes {
    pub(super) all: Vec<Node>,
    pub(super) haproxy: HaProxy,
    pub(super) primary: Redis,
    /// It follows the primary for as long as this lives.
    _replica: Redis,
    backend: String,
    options: Vec<String>,
}

impl Nodes {
    /// Starts them, told by this backend.
    pub(super) fn start(count: usize, backend: &Backend, options: &[&str]) -> Self {
        let primary = RedisOptions::new().append_only(Fsync::EverySecond).start();
        let replica = RedisOptions::new().append_only(Fsync::EverySecond);
        let replica = replica.replica_of(primary.addr()).start();
        replica.wait_linked();
        let options: Vec<String> = options.iter().map(|option| (*option).to_owned()).collect();
        let start = |_| {
            let to_engine = Proxy::start(primary.addr());
            let gateway =
                run("127.0.0.1:0", &engine_at(to_engine.addr()), &backend.url(), &options);
            let listen = gateway.addr.to_string();
            Node { gateway, to_engine, listen }
        };
        let all: Vec<Node> = (0..count).map(start).collect();
        let addrs: Vec<SocketAddr> = all.iter().map(|node| node.gateway.addr).collect();
        let haproxy = HaProxyOptions::new()
            .line("default-server on-marked-down shutdown-sessions")
            .line("option redispatch 1")
            .line("retries 3")
            .start(&addrs);
        (0..count).for_each(|slot| haproxy.wait_checked(slot));
        Nodes { all, haproxy, primary, _replica: replica, backend: backend.url(), options }
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
        let Node { to_engine, listen, .. } = &self.all[node];
        let gateway = run(listen, &engine_at(to_engine.addr()), &self.backend, &self.options);
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
        let proxy = &self.all[node].to_engine;
        if hangs {
            proxy.silence();
        } else {
            proxy.refuse();
            proxy.reset();
        }
    }

    pub(super) fn reconnect(&self, node: usize) {
        self.all[node].to_engine.pass();
    }
}

fn engine_at(addr: SocketAddr) -> String {
    format!("redis://{addr}")
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
