//! How a drain is started, and when it is over whatever happens: at a rate, from a runtime that is
//! gone a moment later, and over connections that are not open yet.

use std::num::NonZeroU32;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use adieu::{Cause, CloseCode, Drain, HandshakeError, Socket};
use testkit::{DEADLINE, Frame, Peer, wait_until};
use tokio::runtime::Builder;
use tokio::sync::Notify;

use crate::support::{self, Host};

async fn takes_all(mut socket: Socket) {
    while socket.recv().await.is_some() {}
}

/// A second for the first, and the deadline is up before the second one's turn.
#[test]
fn connections_that_a_rate_has_not_come_to_are_told_at_the_deadline() {
    const PEERS: usize = 6;
    let rate = NonZeroU32::new(1);
    let drain = Drain::with(CloseCode::GOING_AWAY, rate).deadline(Duration::from_millis(1500));
    let host = Host::draining(drain, takes_all);
    let peers: Vec<Peer> = (0..PEERS).map(|_| Peer::open(host.addr)).collect();
    let drain = host.drain.clone();
    host.runtime.spawn(async move { drain.start() });
    for _ in 0..PEERS {
        let ending = host.account().ending;
        assert_eq!(ending.cause, Cause::Drain, "{ending}");
    }
    let drained = host.finish();
    assert!(drained.lasted < Duration::from_secs(PEERS as u64 - 2), "{drained}");
    drop(peers);
}

/// A thread that waits for a signal may have a small runtime of its own.
#[test]
fn a_drain_that_is_started_in_a_runtime_that_ends_tells_all() {
    const PEERS: usize = 100;
    let host = Host::draining(Drain::new(), takes_all);
    let mut peers: Vec<Peer> = (0..PEERS).map(|_| Peer::open(host.addr)).collect();
    let drain = host.drain.clone();
    let starting = thread::spawn(move || {
        let runtime = Builder::new_current_thread().build().unwrap();
        runtime.block_on(async move { drain.start() });
    });
    starting.join().unwrap();
    for peer in &mut peers {
        assert_eq!(peer.read_frame().close_code(), Some(1001));
        peer.send(&Frame::close(1001, ""));
    }
    drop(peers);
    let (drained, accounts) = host.finish_with_accounts();
    assert_eq!((drained.clean, accounts.len()), (PEERS, PEERS), "{drained}");
}

/// Its `recv` was given up before it went to work: it has not answered all.
#[test]
fn a_handler_that_gave_up_its_recv_and_works_is_waited_for() {
    let (tell, told) = mpsc::channel();
    let (work, finish) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let parts = (tell, work.clone(), finish.clone());
    type Parts = (mpsc::Sender<bool>, Arc<Notify>, Arc<Notify>);
    let handler = support::with(parts, async |mut socket: Socket, parts: Parts| {
        let (tell, work, finish) = parts;
        tokio::select! {
            biased;
            _ = socket.recv() => return,
            () = work.notified() => {}
        }
        let _ = tell.send(true);
        finish.notified().await;
        let _ = tell.send(socket.send("result").await.is_ok());
    });
    let host = Host::draining(Drain::new(), handler);
    let mut peer = Peer::open(host.addr);
    work.notify_one();
    assert_eq!(told.recv_timeout(DEADLINE), Ok(true), "it is at work");
    host.drain.start();
    finish.notify_one();
    assert_eq!(told.recv_timeout(DEADLINE), Ok(true), "its message was taken");
    assert_eq!(peer.read_frame(), Frame::text("result"));
    assert!(peer.read_frame().close_code().is_some());
    drop(peer);
    let (_, accounts) = host.finish_with_accounts();
    assert_eq!(accounts.len(), 1);
}

#[test]
fn a_request_under_way_is_refused_when_the_exit_is_forced() {
    let host = Host::draining(Drain::new(), support::echo);
    let mut peer = Peer::connect(host.addr);
    peer.write(b"GET / HTTP/1.1\r\n");
    wait_until("the server has read that", || peer.unread_by_other_end() == 0);
    wait_until("it is counted", || host.drain.connections() == 1);
    host.drain.force();
    let answer = peer.read_to_end().text();
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer:?}");
    let ending = host.account().ending;
    assert_eq!(ending.cause, Cause::Handshake(HandshakeError::Draining), "{ending}");
    host.finish();
}
