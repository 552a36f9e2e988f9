//! HAProxy in front of nodes that come and go.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::directory::Directory;
use crate::process::Process;
use crate::reserve::Port;
use crate::{DEADLINE, wait_for, wait_until};

/// How often another port is tried when somebody else was quicker.
const TRIES: usize = 20;

/// How a HAProxy is to be.
#[derive(Clone, Debug)]
#[must_use]
pub struct HaProxyOptions {
    slots: usize,
    check: String,
    interval: Duration,
    lines: Vec<String>,
}

impl HaProxyOptions {
    /// Room for 8 nodes, which are asked for `/readyz` each 200 ms. How many clients it takes
    /// follows from how many files it may open: each needs two.
    pub fn new() -> Self {
        HaProxyOptions {
            slots: 8,
            check: "/readyz".into(),
            interval: Duration::from_millis(200),
            lines: Vec::new(),
        }
    }

    /// Room for so many nodes.
    pub fn slots(mut self, slots: usize) -> Self {
        self.slots = slots;
        self
    }

    /// A node that does not answer 200 for this path within 2 s is taken out, at the first failure;
    /// the first 200 takes it in again.
    pub fn check(mut self, path: &str, interval: Duration) -> Self {
        path.clone_into(&mut self.check);
        self.interval = interval;
        self
    }

    /// A line of the backend: `default-server on-marked-down shutdown-sessions`, say, closes the
    /// connections with a node that is taken out.
    pub fn line(mut self, line: &str) -> Self {
        self.lines.push(line.to_owned());
        self
    }

    /// Starts it with these nodes in the first slots, and waits until it serves. Each node gets
    /// requests from its first good check on: [`HaProxy::wait_checked`].
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn start(self, nodes: &[SocketAddr]) -> HaProxy {
        let haproxy = (0..TRIES).find_map(|_| self.try_start()).expect("a free port");
        for (slot, node) in nodes.iter().enumerate() {
            haproxy.set(slot, *node);
        }
        haproxy
    }

    /// `None` if somebody else has the port.
    fn try_start(&self) -> Option<HaProxy> {
        let (directory, port) = (Directory::new(), Port::take());
        let socket = directory.file("socket");
        let config = directory.write("haproxy.cfg", &self.config(&socket, &port));
        let mut command = Command::new("haproxy");
        // In the foreground, in one process.
        command.arg("-db").arg("-f").arg(config);
        let process = Process::start(command, &directory.file("log"));
        let mut haproxy =
            HaProxy { process, addr: port.addr(), socket, _port: port, _directory: directory };
        let serves = wait_for("haproxy serves", || {
            if !haproxy.process.is_running() {
                let is_taken = haproxy.process.log().contains("Address already in use");
                assert!(is_taken, "{}", haproxy.process.last_words());
                return Some(false);
            }
            haproxy.ask("show info").ok().map(|_| true)
        });
        serves.then_some(haproxy)
    }

    fn config(&self, socket: &std::path::Path, port: &Port) -> String {
        let mut text = String::new();
        let HaProxyOptions { slots, check, interval, lines } = self;
        let (socket, addr) = (socket.display(), port.addr());
        let interval = interval.as_millis();
        let written = write!(
            text,
            "global
    stats socket {socket} mode 600 level admin
defaults
    mode http
    timeout connect 2s
    timeout client 30s
    timeout server 30s
    timeout http-request 10s
    timeout tunnel 60s
    # For the answer to a check: longer than a busy machine needs.
    timeout check 2s
    timeout client-fin 15s
    timeout server-fin 15s
    # A node that does not accept: the next one is asked.
    retries 3
    option redispatch 1
frontend clients
    bind {addr}
    option forwardfor
    default_backend nodes
backend nodes
    balance roundrobin
    option httpchk
    http-check send meth GET uri {check}
    http-check expect status 200
    default-server check inter {interval}ms fall 1 rise 1
"
        );
        written.expect("a string grows");
        lines.iter().for_each(|line| text.push_str(&format!("    {line}\n")));
        text.push_str(&format!("    server-template node 1-{slots} 127.0.0.1:1 disabled\n"));
        text
    }
}

impl Default for HaProxyOptions {
    fn default() -> Self {
        HaProxyOptions::new()
    }
}

/// A HAProxy that runs: HTTP and WebSockets, each request to the next node, no stickiness.
#[derive(Debug)]
pub struct HaProxy {
    process: Process,
    addr: SocketAddr,
    socket: PathBuf,
    _port: Port,
    // Dropped last: the socket is in it.
    _directory: Directory,
}

/// What it says of one slot.
#[derive(Clone, Debug, Default)]
pub struct ServerState {
    /// `UP`, `DOWN`, `MAINT`, `DRAIN`, and words beside it.
    pub status: String,
    /// What the last check said: `L7OK`, `L7STS` (another status), `L4CON` (refused), `L7TOUT`, …;
    /// with a star while the next one is under way.
    pub check: String,
    /// Requests and WebSockets now.
    pub current: u64,
    /// Requests and WebSockets so far, those of checks not counted.
    pub total: u64,
    /// All of its counters, by HAProxy's names (section 9.1 of its management guide).
    pub counters: HashMap<String, String>,
}

impl ServerState {
    /// Whether it gets new requests.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.status.starts_with("UP")
    }

    /// A counter: `econ` (connections that failed), `wredis` (requests that went to another node
    /// instead), …
    ///
    /// # Panics
    /// If HAProxy has none of this name.
    #[must_use]
    pub fn counter(&self, name: &str) -> u64 {
        let value = self.counters.get(name).unwrap_or_else(|| panic!("no counter {name}"));
        value.parse().unwrap_or(0)
    }
}

impl HaProxy {
    /// Where clients connect.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Puts a node into a slot, in place of another. It gets requests from its first good check on:
    /// HAProxy by itself would take it for well until a check fails.
    ///
    /// # Panics
    /// If HAProxy refuses it.
    pub fn set(&self, slot: usize, node: SocketAddr) {
        let (server, host, port) = (name(slot), node.ip(), node.port());
        // A slot that is not in maintenance would be checked at the old address once more.
        self.disable(slot);
        self.order(&format!("set server {server} addr {host} port {port}"));
        // Together, so that no request comes between them.
        let down = format!("set server {server} health down");
        self.order(&format!("set server {server} state ready;{down}"));
    }

    /// Maintenance: no new requests and no checks. Connections that are there go on.
    ///
    /// # Panics
    /// If HAProxy refuses it.
    pub fn disable(&self, slot: usize) {
        self.order(&format!("set server {} state maint", name(slot)));
    }

    /// No new requests, but checks. Connections that are there go on.
    ///
    /// # Panics
    /// If HAProxy refuses it.
    pub fn drain(&self, slot: usize) {
        self.order(&format!("set server {} state drain", name(slot)));
    }

    /// The end of maintenance or drain. After maintenance HAProxy takes the node for well until a
    /// check fails.
    ///
    /// # Panics
    /// If HAProxy refuses it.
    pub fn enable(&self, slot: usize) {
        self.order(&format!("set server {} state ready", name(slot)));
    }

    /// Closes all connections with a node.
    ///
    /// # Panics
    /// If HAProxy refuses it.
    pub fn close(&self, slot: usize) {
        self.order(&format!("shutdown sessions server {}", name(slot)));
    }

    /// What it says of each slot.
    ///
    /// # Panics
    /// If it does not answer.
    #[must_use]
    pub fn servers(&self) -> Vec<ServerState> {
        let rows = table(&self.command("show stat"));
        let is_server = |row: &HashMap<String, String>| {
            row["pxname"] == "nodes" && row["svname"].starts_with("node")
        };
        let number = |text: &str| text.parse().unwrap_or(0);
        let state = |row: HashMap<String, String>| ServerState {
            status: row["status"].clone(),
            check: row["check_status"].clone(),
            current: number(&row["scur"]),
            total: number(&row["stot"]),
            counters: row,
        };
        rows.into_iter().filter(is_server).map(state).collect()
    }

    /// Waits until the node in this slot has answered a check as it should.
    ///
    /// # Panics
    /// If it never does.
    pub fn wait_checked(&self, slot: usize) {
        wait_until("haproxy finds a node well", || {
            let server = &self.servers()[slot];
            server.is_up() && server.check.ends_with("L7OK")
        });
    }

    /// Waits until the node in this slot gets no new requests.
    ///
    /// # Panics
    /// If that never happens.
    pub fn wait_down(&self, slot: usize) {
        wait_until("haproxy takes a node out", || !self.servers()[slot].is_up());
    }

    /// Any command of the runtime socket, and its answer.
    ///
    /// # Panics
    /// If it does not answer.
    #[must_use]
    pub fn command(&self, command: &str) -> String {
        self.ask(command).unwrap_or_else(|error| {
            panic!("haproxy: {command}: {error}\n{}", self.process.last_words());
        })
    }

    /// The process, to stop or kill it.
    #[must_use]
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// A command that is done silently.
    fn order(&self, command: &str) {
        let answer = self.command(command);
        let is_done = answer.trim().is_empty() || answer.contains("by 'stats socket command'");
        assert!(is_done, "{command}: {answer}");
    }

    fn ask(&self, command: &str) -> std::io::Result<String> {
        let mut socket = UnixStream::connect(&self.socket)?;
        socket.set_read_timeout(Some(DEADLINE))?;
        socket.write_all(format!("{command}\n").as_bytes())?;
        socket.shutdown(Shutdown::Write)?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer)?;
        Ok(answer)
    }
}

fn name(slot: usize) -> String {
    format!("nodes/node{}", slot + 1)
}

/// Comma-separated values below their names.
fn table(text: &str) -> Vec<HashMap<String, String>> {
    let mut lines = text.lines().map(|line| line.trim_start_matches("# ").split(','));
    let Some(names) = lines.next() else { return Vec::new() };
    let names: Vec<&str> = names.collect();
    let rows = lines.map(|values| {
        names.iter().map(|name| (*name).to_owned()).zip(values.map(str::to_owned)).collect()
    });
    rows.filter(|row: &HashMap<_, _>| row.len() == names.len()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_names_and_rows() {
        let rows = table("# pxname,svname,\nnodes,node1,\nnodes,node2,\n\n");
        assert_eq!(rows.len(), 2);
        assert_eq!(rows[1]["svname"], "node2");
    }
}
