//! Peers that vanish, that freeze, and that are only slow, with the clocks of the kernel and the
//! defaults of the server: those who are gone are noticed within 30 s, nobody else is.
//!
//! Real time has to pass: half a minute for each of the two tests, whose scenes run side by side.
//! Vanishing takes a network namespace: root and iproute2 and iptables, or that test is skipped.
#![cfg(target_os = "linux")]

#[path = "support/mod.rs"]
mod support;

use std::collections::HashMap;
use std::fs::File;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use adieu::{Cause, Drain, End, Ending, Server, Socket, Timer};
use testkit::{Frame, Peer, Request, TcpEnd, wait_until};

/// Who is gone is noticed within this time.
const NOTICED: Duration = Duration::from_secs(30);

/// As long as a test waits for what has to come within [`NOTICED`], so that it can say how late
/// it was.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the server tells.
#[derive(Debug)]
enum Told {
    /// A handler's `send` gave up.
    SendGaveUp(SocketAddr),
    Ended(SocketAddr, Box<Ending>),
}

/// A server with nothing but defaults, and the times of what it tells.
struct Bench {
    addr: SocketAddr,
    told: mpsc::Receiver<(Instant, Told)>,
    drain: Drain,
    runtime: tokio::runtime::Runtime,
}

impl Bench {
    /// Listens at this address. Its handler does as the path says: it waits for messages, or it
    /// sends without end, or it sends 8 MiB and waits.
    fn start(at: &str) -> Self {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let (tell, told) = mpsc::channel();
        let tell_end = tell.clone();
        let handler = support::with(tell, async |mut socket: Socket, tell: mpsc::Sender<_>| {
            let peer = socket.peer().addr().expect("an address");
            match socket.request().map(adieu::Request::path) {
                Some("/sends") => while socket.send(vec![7; 64 * 1024]).await.is_ok() {},
                Some("/sends-much") => {
                    let _ = socket.send(vec![7; BACKLOG]).await;
                    while socket.recv().await.is_some() {}
                    return;
                }
                _ => while socket.recv().await.is_some() {},
            }
            let _ = tell.send((Instant::now(), Told::SendGaveUp(peer)));
        });
        let drain = Drain::new();
        let stop = drain.clone();
        let server = Server::new(handler)
            .on_end(move |ended| {
                let peer = ended.peer.addr().expect("an address");
                let ending = Box::new(ended.ending.clone());
                let _ = tell_end.send((Instant::now(), Told::Ended(peer, ending)));
            })
            .drain_when(async move { stop.started().await });
        let listener = runtime.block_on(adieu::listen((at, 0))).expect("a free port");
        let addr = listener.local_addr().expect("the listener's address");
        runtime.spawn(server.serve_on(listener));
        Bench { addr, told, drain, runtime }
    }

    /// Waits for the accounts of these; how long after `since` each came, and when a `send` gave
    /// up. More than one account of a connection is none of them.
    fn accounts(&self, peers: &[SocketAddr], since: Instant) -> HashMap<SocketAddr, Account> {
        let mut accounts: HashMap<SocketAddr, Account> = HashMap::new();
        while !peers.iter().all(|peer| accounts.get(peer).is_some_and(|a| a.ending.is_some())) {
            let left = PATIENCE.saturating_sub(since.elapsed());
            let (at, told) = self.told.recv_timeout(left).unwrap_or_else(|_| {
                panic!("not noticed within {PATIENCE:?}; so far: {accounts:#?}");
            });
            match told {
                Told::SendGaveUp(peer) => {
                    accounts.entry(peer).or_default().gave_up = Some(at - since);
                }
                Told::Ended(peer, ending) => {
                    let account = accounts.entry(peer).or_default();
                    let first = account.ending.replace((at - since, *ending)).is_none();
                    assert!(first, "two accounts of {peer}");
                }
            }
        }
        accounts
    }

    /// Stops; nobody may be left to be told of.
    fn finish(self) {
        self.drain.start();
        self.runtime.block_on(self.drain.finished());
        self.runtime.shutdown_timeout(Duration::from_secs(1));
        let left = self.told.try_iter().map(|(_, told)| told);
        let left: Vec<_> = left.filter(|told| matches!(told, Told::Ended(..))).collect();
        assert!(left.is_empty(), "told twice: {left:?}");
    }
}

#[derive(Debug, Default)]
struct Account {
    ending: Option<(Duration, Ending)>,
    gave_up: Option<Duration>,
}

impl Account {
    /// The ending, which has to have come in time.
    fn in_time(&self, who: &str) -> &Ending {
        let (after, ending) = self.ending.as_ref().expect("an ending");
        println!("{who}: noticed after {:.1} s: {ending}", after.as_secs_f64());
        assert!(*after <= NOTICED, "{who}: after {after:?}");
        ending
    }

    fn send_gave_up_in_time(&self, who: &str) {
        let after = self.gave_up.expect("send returned");
        println!("{who}: send returned after {:.1} s", after.as_secs_f64());
        assert!(after <= NOTICED, "{who}: send returned after {after:?}");
    }
}

// Vanishing.

/// A network namespace at the other end of a cable of ours. Removed when it is dropped.
struct Namespace {
    name: String,
    /// Our end's address.
    ours: IpAddr,
}

fn run(command: &str) -> bool {
    let mut words = command.split_whitespace();
    let mut command = Command::new(words.next().expect("a program"));
    command.args(words).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

impl Namespace {
    /// `None` where this machine does not let us.
    fn new() -> Option<Self> {
        let id = std::process::id();
        let name = format!("adieu-{id}");
        // A network of four addresses, out of the range for benchmarks (RFC 2544).
        let [.., b, a] = id.to_be_bytes();
        let address = |host| format!("198.18.{b}.{}", (a & !3) + host);
        let (ours, theirs) = (address(1), address(2));
        let namespace = Namespace { name: name.clone(), ours: ours.parse().expect("an address") };
        let cable = format!("ad{id}");
        let steps = [
            format!("ip netns add {name}"),
            format!("ip link add {cable}a type veth peer name {cable}b netns {name}"),
            format!("ip addr add {ours}/30 dev {cable}a"),
            format!("ip link set {cable}a up"),
            format!("ip -n {name} addr add {theirs}/30 dev {cable}b"),
            format!("ip -n {name} link set {cable}b up"),
            format!("ip netns exec {name} iptables -L -n"),
        ];
        steps.iter().all(|step| run(step)).then_some(namespace)
    }

    /// Runs something with sockets that belong to the namespace.
    fn within<T: Send>(&self, act: impl FnOnce() -> T + Send) -> T {
        let entry = File::open(format!("/run/netns/{}", self.name)).expect("the namespace");
        thread::scope(|scope| {
            scope.spawn(|| enter(&entry).then(act)).join().expect("a thread").expect("a namespace")
        })
    }

    /// From now on no packet comes in or goes out. Nobody is told.
    fn vanish(&self) {
        for chain in ["INPUT", "OUTPUT"] {
            assert!(run(&format!("ip netns exec {} iptables -I {chain} -j DROP", self.name)));
        }
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // The cable goes with it.
        run(&format!("ip netns del {}", self.name));
    }
}

/// Moves the calling thread into a network namespace.
#[allow(unsafe_code, reason = "setns is not in the standard library")]
fn enter(entry: &File) -> bool {
    // SAFETY: the descriptor is open; the call changes nothing but the calling thread.
    unsafe { libc::setns(entry.as_raw_fd(), libc::CLONE_NEWNET) == 0 }
}

#[test]
fn a_peer_that_vanishes_is_noticed_within_30_s_and_frees_a_send() {
    let Some(namespace) = Namespace::new() else {
        let root = Command::new("id").arg("-u").output().is_ok_and(|id| id.stdout == b"0\n");
        assert!(!root || std::env::var_os("CI").is_none(), "root may make a namespace");
        testkit::skipped("a peer that vanishes", "needs root, iproute2 and iptables");
        return;
    };
    let bench = Bench::start(&namespace.ours.to_string());
    let addr = bench.addr;
    let open = |request: Request| namespace.within(move || Peer::open_with(addr, &request));
    let idle = open(Request::rfc6455());
    let stuck = open(Request::rfc6455().target("/sends"));
    let hixie = open(Request::hixie76());
    let local = [&idle, &stuck, &hixie].map(Peer::local_addr);
    // The kernels are full, and the handler sits in `send`.
    let mut before = 0;
    wait_until("nothing moves any more", || {
        thread::sleep(Duration::from_millis(100));
        let there = namespace.within(|| stuck.bytes_to_read());
        std::mem::replace(&mut before, there) == there && there > 0
    });
    namespace.vanish();
    let accounts = bench.accounts(&local, Instant::now());
    for (who, peer) in ["idle", "stuck in send", "hixie-76, idle"].into_iter().zip(local) {
        let ending = accounts[&peer].in_time(who);
        assert_eq!(ending.cause, Cause::Unreachable, "{who}: {ending}");
        let end = ending.transport.end;
        assert!(matches!(end, End::Lost | End::LetGo(_)), "{who}: {ending}");
    }
    accounts[&local[1]].send_gave_up_in_time("stuck in send");
    bench.finish();
}

// Frozen, and slow.

/// What a slow reader has to read before it comes to our Ping.
const BACKLOG: usize = 8 * 1024 * 1024;

/// Half a minute of reading.
const BYTES_PER_SECOND: usize = 250_000;

/// Reads at its own speed and answers what it finds, a Ping too. Gives what it read.
fn read_slowly(peer: &mut Peer) -> Vec<usize> {
    let started = Instant::now();
    let mut frames = Vec::new();
    let (mut header, mut read) = (Vec::new(), 0);
    while frames.len() < 2 {
        let pause = started + Duration::from_secs_f64(read as f64 / BYTES_PER_SECOND as f64);
        thread::sleep(pause.saturating_duration_since(Instant::now()));
        let chunk = peer.read_some(16 * 1024);
        read += chunk.len();
        header.extend(chunk);
        while let Some((frame, len)) = Frame::parse(&header) {
            header.drain(..len);
            if frame.opcode == 0x9 {
                peer.send(&Frame::pong(&frame.payload));
            }
            frames.push(frame.payload.len());
        }
    }
    frames
}

#[test]
fn a_frozen_peer_is_reachable_but_not_reading_and_a_slow_one_is_alive() {
    let bench = Bench::start("127.0.0.1");
    let addr = bench.addr;
    let started = Instant::now();
    let frozen = Peer::open_with(addr, &Request::rfc6455().target("/sends"));
    let slow = thread::spawn(move || {
        // A small buffer: what is queued waits on our side, in front of the Ping.
        let mut peer = Peer::connect_with(addr, |socket| {
            socket.set_recv_buffer_size(64 * 1024).expect("SO_RCVBUF");
        });
        peer.set_deadline(PATIENCE);
        peer.handshake(&Request::rfc6455().target("/sends-much"));
        let read = read_slowly(&mut peer);
        assert_eq!(read, [BACKLOG, 0], "the message, then the Ping");
        peer.send(&Frame::close(1000, "read it all"));
        assert_eq!(peer.read_frame().close_code(), Some(1000));
        assert_eq!(peer.read_to_end().end, TcpEnd::Fin);
        (peer.local_addr(), started.elapsed())
    });
    let peer = frozen.local_addr();
    let accounts = bench.accounts(&[peer], started);
    let ending = accounts[&peer].in_time("frozen");
    assert_eq!(ending.cause, Cause::Timeout(Timer::Write), "{ending}");
    assert!(matches!(ending.transport.end, End::LetGo(_)), "{ending}");
    accounts[&peer].send_gave_up_in_time("frozen");
    // It can be seen to be there: its kernel holds the connection.
    wait_until("it is let go of", || frozen.other_end() != testkit::Tcp::Established);
    let (peer, took) = slow.join().expect("it read all");
    assert!(took > NOTICED, "it was not slow: {took:?}");
    let accounts = bench.accounts(&[peer], started);
    let (after, ending) = accounts[&peer].ending.as_ref().expect("an ending");
    println!("slow: {after:.1?}: {ending}");
    assert!(ending.is_clean() && ending.cause == Cause::Peer, "{ending}");
    bench.finish();
}
