//! A client in networks that swallow what it sends: a namespace with routes into nowhere, the
//! kernel's own errors, and the operating system's resolver.
//!
//! The order of attempts is told by the kernel, which counts how many it has begun. What takes no
//! time of the kernel's is asserted in the runtime's own time.
//! Takes root and iproute2, or each test says that it is skipped.
#![cfg(target_os = "linux")]

mod namespace;

use std::fs;
use std::future::Future;
use std::net::{SocketAddr, SocketAddrV6};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use adieu::{Client, CloseCode, Config, ConnectError, Server, Socket};
use testkit::{DEADLINE, figure};
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

/// A cable whose other end listens to nobody. Packets to `SILENT_6` and `SILENT_4` leave and are
/// never answered; nobody says that they are `UNKNOWN_6`; to `NOWHERE_6` no route leads.
const HOLE: [&str; 8] = [
    "ip link add hole type veth peer name beyond",
    "ip link set hole up",
    "ip link set beyond up",
    "ip -6 addr add 2001:db8:1::1/64 dev hole nodad",
    "ip -6 neigh add 2001:db8:1::2 lladdr 02:00:00:00:00:02 dev hole nud permanent",
    "ip addr add 198.18.0.1/24 dev hole",
    "ip neigh add 198.18.0.2 lladdr 02:00:00:00:00:02 dev hole nud permanent",
    "ip -6 addr add fe80::7/64 dev hole nodad",
];
const SILENT_6: &str = "[2001:db8:1::2]:80";
const SILENT_4: &str = "198.18.0.2:80";
const UNKNOWN_6: &str = "[2001:db8:1::3]:80";
const NOWHERE_6: &str = "[2001:db8:2::1]:80";

fn runtime(paused: bool) -> Runtime {
    Builder::new_current_thread().enable_all().start_paused(paused).build().unwrap()
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// How many TCP connections this thread's network has begun.
fn begun() -> u64 {
    let snmp = fs::read_to_string("/proc/thread-self/net/snmp").unwrap();
    let mut tcp = snmp.lines().filter(|line| line.starts_with("Tcp:")).map(str::split_whitespace);
    let (names, values) = (tcp.next().unwrap(), tcp.next().unwrap());
    let opens = names.zip(values).find(|(name, _)| *name == "ActiveOpens");
    opens.and_then(|(_, value)| value.parse().ok()).unwrap()
}

/// The remote ends that this thread's network waits for.
fn waits_for_somebody() -> bool {
    let both =
        ["tcp", "tcp6"].map(|kind| fs::read_to_string(format!("/proc/thread-self/net/{kind}")));
    // Behind number, local and remote address: the state, of which 02 is SYN_SENT.
    let states = both.iter().flatten().flat_map(|table| table.lines().skip(1));
    states.filter_map(|line| line.split_whitespace().nth(3)).any(|state| state == "02")
}

async fn server(at: &str) -> SocketAddr {
    let listener = adieu::listen(at).await.unwrap();
    let addr = listener.local_addr().unwrap();
    let echo = async |mut socket: Socket| {
        while let Some(message) = socket.recv().await {
            let _ = socket.send(message).await;
        }
    };
    tokio::spawn(Server::new(echo).serve_on(listener));
    addr
}

/// Connects, and says goodbye; who answered.
async fn connected(client: &Client, url: &str) -> SocketAddr {
    let socket = timeout(DEADLINE, client.connect(url)).await.expect("connect returns").unwrap();
    let peer = socket.peer().addr().unwrap();
    let ending = socket.close(CloseCode::NORMAL).await;
    assert!(ending.is_clean(), "{ending}");
    peer
}

/// The silent address was tried first, alone for 250 ms, and what was left of it is gone.
async fn passes_by<F: Future<Output = SocketAddr>>(what: &str, good: SocketAddr, connecting: F) {
    let (before, start) = (begun(), Instant::now());
    let peer = connecting.await;
    let took = start.elapsed();
    assert_eq!(peer, good);
    assert_eq!(begun() - before, 2, "the silent address was tried, and it was tried first");
    assert!(took.as_millis() >= 250, "the second attempt began after {took:?}");
    while waits_for_somebody() {
        tokio::task::yield_now().await;
    }
    let text = format!("over IPv4 after {} ms, two attempts begun, none left", took.as_millis());
    figure(what, &text);
}

#[test]
fn a_black_hole_of_ipv6_costs_250_ms() {
    namespace::apart("a black hole of IPv6", &HOLE, || {
        runtime(false).block_on(async {
            let good = server("127.0.0.1:0").await;
            let client = Client::new().resolve("two.test", [address(SILENT_6), good]);
            let connecting = connected(&client, "ws://two.test/");
            passes_by("a black hole of IPv6, a good address of IPv4", good, connecting).await;
        });
    });
}

/// With `/etc/hosts` of its own, by getaddrinfo, which puts IPv6 first (RFC 6724).
#[test]
fn a_black_hole_of_ipv6_that_the_system_resolver_names_costs_250_ms() {
    let files = Instead::of(&[
        ("/etc/hosts", "198.18.0.1 two.test\n2001:db8:1::2 two.test\n"),
        ("/etc/nsswitch.conf", "hosts: files dns\n"),
    ]);
    namespace::apart("a black hole of IPv6 in /etc/hosts", &files.commands(), || {
        runtime(false).block_on(async {
            let good = server("198.18.0.1:0").await;
            let (client, url) = (Client::new(), format!("ws://two.test:{}/", good.port()));
            let connecting = connected(&client, &url);
            passes_by("the same, looked up by getaddrinfo", good, connecting).await;
        });
    });
}

/// Files that stand in the place of others within a namespace, and the commands for it.
struct Instead {
    files: Vec<PathBuf>,
    commands: Vec<String>,
}

impl Instead {
    fn of(texts: &[(&str, &str)]) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let (mut files, mut commands) = (Vec::new(), HOLE.map(str::to_owned).to_vec());
        for (path, text) in texts {
            let (process, n) = (std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
            let name = format!("instead-{process}-{n}");
            let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
            fs::write(&file, text).unwrap();
            commands.push(format!("mount --bind {} {path}", file.display()));
            files.push(file);
        }
        Instead { files, commands }
    }

    fn commands(&self) -> Vec<&str> {
        self.commands.iter().map(String::as_str).collect()
    }
}

impl Drop for Instead {
    fn drop(&mut self) {
        self.files.iter().for_each(|file| drop(fs::remove_file(file)));
    }
}

/// getaddrinfo waits for 10 s here and cannot be told to stop.
#[test]
fn a_name_server_that_never_answers_is_told_at_the_deadline() {
    let files = Instead::of(&[
        ("/etc/resolv.conf", "nameserver 198.18.0.2\n"),
        ("/etc/nsswitch.conf", "hosts: files dns\n"),
    ]);
    namespace::apart("a name server that never answers", &files.commands(), || {
        let runtime = runtime(false);
        let handshake_timeout = Duration::from_millis(300);
        let config = Config { handshake_timeout, ..Config::default() };
        let client = Client::new().config(config);
        let error = runtime.block_on(client.connect("ws://two.test/")).unwrap_err();
        assert!(error.is_timeout(), "{error}");
        let text = "cannot connect: the name two.test was not looked up within 0.3 s";
        assert_eq!(error.to_string(), text);
        figure("a name server that never answers", text);
        runtime.shutdown_background();
    });
}

/// In the runtime's own time, which stands still but for its clocks.
#[test]
fn where_all_is_a_black_hole_the_deadline_names_each_address() {
    namespace::apart("nothing but black holes", &HOLE, || {
        runtime(true).block_on(async {
            let both = [address(SILENT_6), address(SILENT_4)];
            let client = Client::new().resolve("two.test", both);
            let (before, start) = (begun(), tokio::time::Instant::now());
            let error = client.connect("ws://two.test/").await.unwrap_err();
            let took = start.elapsed();
            assert_eq!(took, Config::default().handshake_timeout);
            assert!(error.is_timeout(), "{error}");
            assert_eq!(
                error.to_string(),
                format!(
                    "cannot connect: no connection within 10 s: {SILENT_6}: no answer; \
                     {SILENT_4}: no answer"
                )
            );
            assert_eq!(begun() - before, 2);
            while waits_for_somebody() {
                tokio::task::yield_now().await;
            }
            figure("nothing but black holes", &format!("after {took:?} of virtual time: {error}"));
        });
    });
}

#[test]
fn a_connect_that_nobody_waits_for_any_more_leaves_no_attempt() {
    namespace::apart("an attempt that is given up", &HOLE, || {
        runtime(true).block_on(async {
            let both = [address(SILENT_6), address(SILENT_4)];
            let client = Client::new().resolve("two.test", both);
            let connecting = client.connect("ws://two.test/");
            timeout(Duration::from_secs(1), connecting).await.expect_err("nobody answers");
            while waits_for_somebody() {
                tokio::task::yield_now().await;
            }
        });
    });
}

/// The kernel asks three times, a second each, who the neighbour is.
#[test]
fn what_the_kernel_says_of_an_address_is_told_before_the_deadline() {
    namespace::apart("addresses that cannot be reached", &HOLE, || {
        runtime(false).block_on(async {
            let three = [address(UNKNOWN_6), address(NOWHERE_6), address("127.0.0.1:9")];
            let client = Client::new().resolve("gone.test", three);
            let connecting = timeout(DEADLINE, client.connect("ws://gone.test/")).await;
            let error = connecting.expect("connect returns").unwrap_err();
            assert!(matches!(error, ConnectError::Io(_)) && !error.is_timeout(), "{error}");
            let text = error.to_string();
            for says in [
                "[2001:db8:1::3]:80: No route to host",
                "[2001:db8:2::1]:80: Network is unreachable",
                "127.0.0.1:9: Connection refused",
            ] {
                assert!(text.contains(says), "{text}");
            }
            figure("no neighbour, no route, and nobody listens", &text);
        });
    });
}

#[test]
fn what_cannot_be_reached_does_not_keep_from_what_can() {
    namespace::apart("addresses that cannot be reached", &HOLE, || {
        runtime(false).block_on(async {
            let good = server("127.0.0.1:0").await;
            for bad in [UNKNOWN_6, NOWHERE_6] {
                let client = Client::new().resolve("two.test", [address(bad), good]);
                assert_eq!(connected(&client, "ws://two.test/").await, good, "{bad}");
            }
        });
    });
}

#[test]
fn a_machine_without_ipv6_connects_over_ipv4_and_says_what_it_lacks() {
    namespace::apart("a machine without IPv6", &[], || {
        fs::write("/proc/sys/net/ipv6/conf/all/disable_ipv6", "1").unwrap();
        runtime(false).block_on(async {
            let good = server("127.0.0.1:0").await;
            let six = SocketAddr::new("::1".parse().unwrap(), good.port());
            let client = Client::new().resolve("two.test", [six, good]);
            assert_eq!(connected(&client, "ws://two.test/").await, good);
            let url = format!("ws://[::1]:{}/", good.port());
            let error = Client::new().connect(&url).await.unwrap_err().to_string();
            assert!(error.contains(&format!("{six}: ")), "{error}");
            figure("a machine without IPv6, asked for [::1]", &error);
        });
    });
}

/// The number of the interface that has this address, as the kernel writes both.
fn scope_of(address: &str) -> u32 {
    let table = fs::read_to_string("/proc/thread-self/net/if_inet6").unwrap();
    let line = table.lines().find(|line| line.starts_with(address)).unwrap();
    u32::from_str_radix(line.split_whitespace().nth(1).unwrap(), 16).unwrap()
}

#[test]
fn a_link_local_address_has_its_scope_from_the_caller() {
    namespace::apart("a link-local address", &HOLE, || {
        runtime(false).block_on(async {
            let scope = scope_of("fe800000000000000000000000000007");
            let here = SocketAddrV6::new("fe80::7".parse().unwrap(), 0, 0, scope);
            let addr = server(&here.to_string()).await;
            let client = Client::new().resolve("printer.test", [here.into()]);
            let url = format!("ws://printer.test:{}/", addr.port());
            assert_eq!(connected(&client, &url).await, addr);
        });
    });
}
