//! Real servers that a test can break, for the tests of many gateways on one Redis.
//!
//! Everything here runs the real program (`redis-server`, `haproxy`) on 127.0.0.1, blocks, and
//! panics with a sentence and the end of the program's log when something does not happen. Every
//! wait has a [`DEADLINE`]; nothing sleeps to be right. No code of Adieu is in it. It needs Linux.
//!
//! ```no_run
//! use rig::{Fsync, RedisOptions};
//!
//! let mut redis = RedisOptions::new().append_only(Fsync::Always).start();
//! redis.command(&["SET", "greeting", "hello"]);
//! redis.kill_9();
//! redis.restart();
//! assert_eq!(redis.command(&["GET", "greeting"]).text(), "hello");
//! ```
//!
//! # What each fault really does
//!
//! * [`Redis::kill_9`]: The process is gone at once. What it gave to the kernel is kept: the
//!   append-only file has each `write`, with every [`Fsync`] (with [`Fsync::EverySecond`] and a
//!   slow disk a `write` may be up to 2 s late), and bytes in its sockets still reach clients and
//!   replicas. Clients get a FIN or an RST at once. **Not** a power loss or a kernel that stops:
//!   there only what was synced is kept, and clients hear nothing.
//! * [`Redis::stop`]: The process stands still (SIGSTOP). Its kernel still accepts connections and
//!   bytes, until the buffers are full. After [`Redis::cont`] it executes what came meanwhile, also
//!   for clients that have given up. **Not** a machine that is off the network: there nothing is
//!   executed later.
//! * [`Redis::restart`]: The same directory, port and settings. The append-only file is read again;
//!   without one the server is empty. What Sentinel had it write into its settings is kept.
//! * [`Redis::promote`]: `REPLICAOF NO ONE`: the replica is a primary with what it has. Nobody
//!   tells the old primary or the clients. **Not** a failover: that is what [`Sentinels`] and
//!   [`Cluster`] do.
//! * [`Redis::set_clock`]: The wall clock of this server is another one, from the next time that it
//!   looks. Its monotonic clock goes on. A small library in front of libc's does it, made with `cc`
//!   at the start. **Not** a jump of the machine's clock: other processes keep theirs. (Debian's
//!   libfaketime 0.9.10 cannot do it: with it `redis-server` 7.0.15 hangs at its start, after words
//!   about recursive calls to `clock_gettime`.)
//! * [`Redis::config_set`] of `maxmemory` to `1`: The server is full: writes are answered with
//!   `OOM`, reads go on. **Not** a machine without memory, where the kernel kills a process.
//! * [`Proxy::delay`]: Each byte arrives so much later, each direction by itself. The bandwidth is
//!   not limited. **Not** a slow server: this one is as quick and as idle as ever.
//! * [`Proxy::silence`]: Nothing passes and nobody is told. Connections stay, and new ones are
//!   accepted. What was sent meanwhile arrives after [`Proxy::pass`]. **Not** a cut cable: the
//!   kernels get their acknowledgements from the proxy, so none of them ever gives up.
//! * [`Proxy::reset`]: Both ends of each connection get an RST. New ones pass.
//! * [`Proxy::refuse`]: New connections are refused (an RST for their SYN). Those that are there go
//!   on.
//! * [`Namespace::cut_off`], [`Namespace::isolate`]: Packets are dropped in both directions,
//!   silently (iptables). Kernels repeat, wait longer each time, and give up by their own clocks:
//!   this is the cut cable.
//! * [`Namespace::link_down`]: The network card of the namespace is down. The kernel inside knows:
//!   the routes are gone, and a new connection fails at once with "unreachable". The other side
//!   hears nothing.
//! * [`HaProxy::disable`], [`HaProxy::drain`]: Maintenance, or no new connections. Connections that
//!   are there go on, in both. **Not** a node that dies.
//!
//! Not here: the loss of power and a disk that lies about `fsync`, which no process can play
//! honestly; a disk that is full or slow, which takes a file system of its own.
//!
//! # What is left behind
//!
//! Nothing, when the values are dropped. When the test process is killed, the kernel kills the
//! servers too; directories in the temporary directory and namespaces (`rig-…`, root only) stay,
//! and the next namespace of that number replaces the old one.
//!
//! # Ports
//!
//! No program here can be told to choose a port itself. The rig takes one that is free, below the
//! range from which the kernel takes the ports of outgoing connections: otherwise a client that
//! connects to a server which is down may get the server's port as its own, and be connected with
//! itself. As long as the value lives, no other rig on this machine takes the port, also while its
//! server is down. If another program has taken it first, the next one is tried.
#![cfg(target_os = "linux")]

mod clock;
mod cluster;
mod directory;
mod haproxy;
mod netns;
mod process;
mod proxy;
mod redis;
mod reserve;
mod resp;
mod sentinel;
mod tls;

use std::io::Write;
use std::thread;
use std::time::{Duration, Instant};

pub use cluster::{Cluster, ClusterOptions};
pub use directory::Directory;
pub use haproxy::{HaProxy, HaProxyOptions, ServerState};
pub use netns::{Namespace, Network};
pub use process::Process;
pub use proxy::Proxy;
pub use redis::{Fsync, Redis, RedisOptions};
pub use reserve::Port;
pub use resp::{Connection, Reply};
pub use sentinel::Sentinels;

/// The longest wait for anything: only a failure reaches it. A sentinel that was restarted may take
/// 30 s longer than usual, when it sees that its own clock stood still (it calls that TILT).
pub const DEADLINE: Duration = Duration::from_secs(90);

/// Between two looks at what is waited for; it only spares the processor.
const LOOK: Duration = Duration::from_millis(10);

/// Waits until `condition` holds; panics with `what` if it never does.
///
/// # Panics
/// After [`DEADLINE`].
#[track_caller]
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    wait_for(what, || condition().then_some(()));
}

/// Waits until there is an answer; panics with `what` if there never is.
///
/// # Panics
/// After [`DEADLINE`].
#[track_caller]
pub fn wait_for<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(started.elapsed() < DEADLINE, "it never happened: {what}");
        thread::sleep(LOOK);
    }
}

/// Whether all of these programs can be started. If not, the test run is told that `what` is
/// skipped, and the caller returns.
///
/// # Panics
/// In CI (the variable `CI` is set), where nothing may be skipped.
#[must_use]
pub fn has(what: &str, programs: &[&str]) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_there =
        |program: &str| std::env::split_paths(&path).any(|dir| dir.join(program).is_file());
    let missing: Vec<&str> = programs.iter().copied().filter(|name| !is_there(name)).collect();
    if !missing.is_empty() {
        skipped(what, &format!("not installed: {}", missing.join(", ")));
    }
    missing.is_empty()
}

/// Says that a test is skipped, and why, which must not be in CI.
fn skipped(what: &str, why: &str) {
    assert!(std::env::var_os("CI").is_none(), "skipped in CI: {what}: {why}");
    tell_skipped(what, why);
}

/// The test run shows this: what a passing test prints with `println` it does not.
fn tell_skipped(what: &str, why: &str) {
    let line = format!("SKIPPED: {what}: {why}\n");
    let _ = std::io::stderr().write_all(line.as_bytes());
}
