//! What each clock of an open connection watches: whether the peer answers a Ping, and whether its
//! kernel has room for what we send. A peer that is frozen, one that speaks and does not read, and
//! one that is gone are told apart. The kernel's backstop and "never" follow the settings.
#![cfg(target_os = "linux")]

mod support;

use std::os::fd::{BorrowedFd, RawFd};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use adieu::{Cause, Config, Endpoint, Server, Socket, Timer};
use socket2::SockRef;
use support::{Account, Host};
use testkit::{Frame, Peer, Request, TcpEnd};

const SECOND: Duration = Duration::from_secs(1);

/// Beyond what a busy machine needs.
const SLACK: Duration = Duration::from_secs(5);

/// As long as a test waits for an account, so that it can say how late it was and what it said.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server with these settings and the accounts of it. Those of `Host` are waited for 20 s only.
fn start(
    config: Config,
    listener: Option<tokio::net::TcpListener>,
    handler: impl adieu::Handler,
) -> (tokio::runtime::Runtime, std::net::SocketAddr, mpsc::Receiver<adieu::Ending>) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (tell, told) = mpsc::channel();
    let endpoint = Endpoint::new().config(config).on_end(move |ended| {
        let _ = tell.send(ended.ending.clone());
    });
    let listener =
        listener.unwrap_or_else(|| runtime.block_on(adieu::listen("127.0.0.1:0")).unwrap());
    let addr = listener.local_addr().unwrap();
    runtime.spawn(Server::with(endpoint, handler).serve_on(listener));
    (runtime, addr, told)
}

// The Pong: nothing that the peer's kernel does answers a Ping.

/// Sends 4 bytes each 300 ms.
async fn ticks(socket: Socket) {
    while socket.send("tick").await.is_ok() {
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

/// How long a peer whose kernel goes on taking bytes may be silent beyond the pong deadline:
/// `defaults::READS_IN_SILENCE`.
const READS_IN_SILENCE: Duration = Duration::from_secs(10);

/// Runs a frozen peer against a handler; the cause that is told has to be the Pong's.
fn a_frozen_peer_is_noticed(handler: impl adieu::Handler) {
    let config = Config { ping_interval: Some(SECOND), pong_timeout: SECOND, ..Config::default() };
    let bound = SECOND + SECOND + READS_IN_SILENCE + SECOND + config.linger + SLACK;
    let (_runtime, addr, told) = start(config, None, handler);
    // Its kernel is there, acknowledges and has room; the program neither reads nor writes.
    let frozen = Peer::open(addr);
    let since = Instant::now();
    let ending = told.recv_timeout(PATIENCE).expect("a frozen peer is noticed within 60 s");
    let after = since.elapsed();
    println!("after {after:.1?}: {ending}");
    assert_eq!(ending.cause, Cause::Timeout(Timer::Pong), "{ending}");
    assert!(after < bound, "noticed after {after:.1?}: {ending}");
    drop(frozen);
}

#[test]
fn a_frozen_peer_is_noticed_while_the_server_goes_on_sending() {
    a_frozen_peer_is_noticed(ticks);
}

#[test]
fn a_frozen_peer_is_noticed_while_nothing_is_sent() {
    a_frozen_peer_is_noticed(async |mut socket: Socket| while socket.recv().await.is_some() {});
}

// The write clock: it runs when nothing moves, whether or not a write was blocked.

/// More than the peer's window, less than our kernel takes: no write is ever blocked.
const FILL: usize = 160 * 1024;

#[test]
fn a_peer_that_speaks_and_does_not_read_is_told_as_that() {
    let write_timeout = 3 * SECOND;
    let config = Config { write_timeout, ..Config::default() };
    let bound = write_timeout + config.drain_timeout + config.close_timeout + config.linger + SLACK;
    let (tell, sent) = mpsc::channel();
    let handler = support::with(tell, async |mut socket: Socket, tell: mpsc::Sender<()>| {
        if socket.send(vec![7; FILL]).await.is_ok() {
            let _ = tell.send(());
        }
        while socket.recv().await.is_some() {}
    });
    let (_runtime, addr, told) = start(config, None, handler);
    let mut peer = Peer::connect_with(addr, |socket| {
        socket.set_recv_buffer_size(16 * 1024).expect("SO_RCVBUF");
    });
    peer.handshake(&Request::rfc6455());
    sent.recv_timeout(PATIENCE).expect("our kernel takes all of it");
    let since = Instant::now();
    let speaks = thread::spawn(move || {
        let message = Frame::text("I am here").masked();
        // Until the server lets go of it.
        while peer.try_write(&message) && since.elapsed() < PATIENCE {
            thread::sleep(Duration::from_millis(300));
        }
    });
    let ending = told.recv_timeout(PATIENCE).expect("it is noticed within 60 s");
    let after = since.elapsed();
    println!("after {after:.1?}: {ending}");
    // It spoke to the end, so it was reachable to the end.
    assert_eq!(ending.cause, Cause::Timeout(Timer::Write), "{ending}");
    assert!(after < bound, "noticed after {after:.1?}: {ending}");
    speaks.join().unwrap();
}

// The kernel's backstop, TCP_USER_TIMEOUT.

/// The option of this process's socket whose other end is `peer`'s.
#[allow(unsafe_code, reason = "a socket of the server is reached by its number only")]
fn user_timeout(peer: &Peer) -> Option<Duration> {
    let wanted = Some(peer.local_addr());
    for entry in std::fs::read_dir("/proc/self/fd").expect("our descriptors") {
        let name = entry.expect("a descriptor").file_name();
        let fd: RawFd = name.to_str().expect("a number").parse().expect("a number");
        // SAFETY: options are read only; of a number that was closed or given anew meanwhile the
        // call fails or names another peer.
        let fd = unsafe { BorrowedFd::borrow_raw(fd) };
        let socket = SockRef::from(&fd);
        if socket.peer_addr().ok().and_then(|addr| addr.as_socket()) == wanted {
            return socket.tcp_user_timeout().expect("TCP_USER_TIMEOUT");
        }
    }
    panic!("no socket of the server has this peer");
}

#[test]
fn the_backstop_of_the_kernel_is_longer_than_our_own_clocks() {
    let ours = tokio::runtime::Runtime::new().unwrap();
    for seconds in [5, 20, 60, 300] {
        let write_timeout = seconds * SECOND;
        let config = Config { write_timeout, ..Config::default() };
        let end_of_ours = write_timeout + config.drain_timeout;
        // One listener is ours, with its options; one is the caller's.
        let callers = ours.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        for listener in [None, Some(callers)] {
            let whose = if listener.is_some() { "the caller's listener" } else { "ours" };
            let (runtime, addr, _told) = start(
                config.clone(),
                listener,
                async |mut socket: Socket| {
                    while socket.recv().await.is_some() {}
                },
            );
            let peer = Peer::open(addr);
            let timeout = user_timeout(&peer);
            println!("write time-out {write_timeout:?}, {whose}: TCP_USER_TIMEOUT {timeout:?}");
            // None = the kernel's own limit, a quarter of an hour.
            assert!(
                timeout.is_none_or(|timeout| timeout > end_of_ours),
                "{whose}: the kernel gives up after {timeout:?}, our clocks after {end_of_ours:?}"
            );
            drop((peer, runtime));
        }
    }
}

// "Never".

/// A setting of time, by its name.
type Setting = (&'static str, fn(&mut Config));

const NEVER: [Setting; 11] = [
    ("handshake_timeout", |config| config.handshake_timeout = Duration::MAX),
    ("ping_interval", |config| config.ping_interval = Some(Duration::MAX)),
    ("pong_timeout", |config| config.pong_timeout = Duration::MAX),
    ("grace", |config| config.grace = Duration::MAX),
    ("write_timeout", |config| config.write_timeout = Duration::MAX),
    ("drain_timeout", |config| config.drain_timeout = Duration::MAX),
    ("flush_timeout", |config| config.flush_timeout = Duration::MAX),
    ("close_timeout", |config| config.close_timeout = Duration::MAX),
    ("drain_close_timeout", |config| config.drain_close_timeout = Duration::MAX),
    ("linger", |config| config.linger = Duration::MAX),
    ("all of them", |config| {
        NEVER[..NEVER.len() - 1].iter().for_each(|(_, set)| set(config));
    }),
];

/// Echoes; more than the kernels take when it is asked for that; returns when it is asked to.
async fn scenes(mut socket: Socket) {
    while let Some(message) = socket.recv().await {
        match message.as_text() {
            Some("end") => return,
            Some("more") => {
                let _ = socket.send(vec![0; 8 << 20]).await;
            }
            _ => {
                let _ = socket.send(message).await;
            }
        }
    }
}

fn clean(host: &Host, scene: &str) -> Account {
    let account = host.account();
    assert!(account.ending.is_clean(), "{scene}: {}", account.ending);
    account
}

/// The next frame that is no Ping; Pings are answered.
fn frame(peer: &mut Peer) -> Frame {
    loop {
        let frame = peer.read_frame();
        if frame.opcode != 0x9 {
            return frame;
        }
        peer.send(&Frame::pong(&frame.payload));
    }
}

/// Reads the server's Close, answers it, and hears the end.
fn hear_out(mut peer: Peer, code: u16) {
    assert_eq!(frame(&mut peer), Frame::close(code, ""));
    peer.send(&Frame::close(code, ""));
    assert_eq!(peer.read_to_end().end, TcpEnd::Fin);
}

/// One connection that the peer ends, one that the handler ends, and one that the drain ends.
fn all_ends(config: Config) {
    let host = Host::run(Server::new(scenes).config(config));
    let mut peer = Peer::open(host.addr);
    peer.send(&Frame::text("hello"));
    assert_eq!(frame(&mut peer), Frame::text("hello"));
    peer.send(&Frame::text("more"));
    assert_eq!(frame(&mut peer).payload.len(), 8 << 20, "a write that is blocked at times");
    peer.send_all(&[Frame::text("last"), Frame::close(1000, "")]);
    assert_eq!(frame(&mut peer), Frame::text("last"));
    hear_out(peer, 1000);
    clean(&host, "the peer ends");

    let mut peer = Peer::open(host.addr);
    peer.send(&Frame::text("end"));
    hear_out(peer, 1000);
    clean(&host, "the handler ends");

    let peer = Peer::open(host.addr);
    host.drain.start();
    hear_out(peer, 1001);
    clean(&host, "the server stops");
    host.finish();
}

#[test]
fn any_time_may_be_set_to_never() {
    let mut failed = Vec::new();
    for (name, set) in NEVER {
        // A short interval lets the Ping, and the clock of its Pong, take part.
        let ping_interval = Some(Duration::from_millis(10));
        let mut config = Config { ping_interval, ..Config::default() };
        set(&mut config);
        println!("{name} is `Duration::MAX`");
        if thread::spawn(move || all_ends(config)).join().is_err() {
            failed.push(name);
        }
    }
    assert!(failed.is_empty(), "a server that cannot be told \"never\": {failed:?}");
}
