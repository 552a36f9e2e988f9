//! A drain waits for a peer that reads, however slowly, and gives up one that does not read.
#![cfg(target_os = "linux")]

mod support;

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use adieu::{Cause, Socket};
use support::Host;
use testkit::{DEADLINE, Frame, Peer, Request, TcpEnd, wait_until};

/// What each peer is sent, in one message: far more than its own kernel takes.
const BACKLOG: usize = 400 * 1024;

/// What the slow peer reads each second.
const EACH_SECOND: usize = 16 * 1024;

/// Sends all of it when it is asked, then waits.
async fn sends_a_backlog(mut socket: Socket) {
    while socket.recv().await.is_some() {
        if socket.send(vec![9; BACKLOG]).await.is_err() {
            return;
        }
    }
}

/// Asks for its backlog through a receive buffer of 64 KiB.
fn ask(addr: SocketAddr) -> Peer {
    let mut peer = Peer::connect_with(addr, |socket| {
        socket.set_recv_buffer_size(64 * 1024).expect("SO_RCVBUF");
    });
    peer.set_deadline(Duration::from_secs(60));
    peer.handshake(&Request::rfc6455());
    peer.send(&Frame::text("please"));
    wait_until("its kernel is full", || peer.bytes_to_read() > 32 * 1024);
    peer
}

/// Reads 16 KiB each second without a pause, to the Close, and answers it. Gives the bytes of data
/// and the Close.
fn read_slowly(peer: &mut Peer) -> (usize, Option<u16>) {
    let started = Instant::now();
    let (mut bytes, mut read) = (Vec::new(), 0);
    loop {
        let due = started + Duration::from_secs((read / EACH_SECOND) as u64);
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let chunk = peer.read_some(EACH_SECOND);
        assert!(!chunk.is_empty(), "the end came without a Close, after {read} bytes");
        read += chunk.len();
        bytes.extend(chunk);
        let Some((message, len)) = Frame::parse(&bytes) else { continue };
        if let Some((close, _)) = Frame::parse(&bytes[len..]) {
            peer.send(&close);
            assert_eq!(peer.read_to_end().end, TcpEnd::Fin);
            return (message.payload.len(), close.close_code());
        }
    }
}

#[test]
fn a_drain_loses_nothing_for_a_peer_that_reads_16_kib_each_second() {
    let host = Host::start(sends_a_backlog);
    let mut slow = ask(host.addr);
    let started = Instant::now();
    host.drain.start();
    let reader = thread::spawn(move || read_slowly(&mut slow));
    // It reads to the end, or breaks off; only then an account is due within 20 s.
    let read = reader.join();
    let ending = host.account().ending;
    println!("after {:.1?}: {ending}", started.elapsed());
    assert!(ending.is_clean() && ending.cause == Cause::Drain, "{ending}");
    assert_eq!(read.expect("everything was read"), (BACKLOG, Some(1001)));
    let drained = host.finish();
    assert_eq!((drained.clean, drained.unsent), (1, 0), "{drained}");
}

#[test]
fn a_drain_gives_up_a_peer_that_does_not_read() {
    let host = Host::start(sends_a_backlog);
    let frozen = ask(host.addr);
    let started = Instant::now();
    host.drain.start();
    // `Host::account` waits for 20 s: an exit that waits longer than that is killed.
    let ending = host.account().ending;
    println!("after {:.1?}: {ending}", started.elapsed());
    assert!(started.elapsed() < DEADLINE && !ending.is_clean(), "{ending}");
    let lost = ending.unsent.bytes + ending.unsent.unacknowledged.unwrap_or(0);
    assert!(lost > (BACKLOG / 2) as u64, "what it missed is counted: {ending}");
    let drained = host.finish();
    assert_eq!((drained.clean, drained.given_up), (0, 1), "{drained}");
    drop(frozen);
}
