//! A drain can be followed, paced, told what to say, and hurried.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use adieu::{Cause, Close, CloseCode, Drain, Phase, Progress, Socket};
use testkit::{Frame, Peer, TcpEnd};

use crate::support::{self, Host};
use crate::{Still, hear_out, numbers, open, timed};

#[test]
fn its_phases_are_seen_in_order_and_its_numbers_only_grow() {
    let handler = async |mut socket: Socket| {
        while let Some(message) = socket.recv().await {
            let _ = socket.send(message).await;
        }
        socket.ended().await;
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    let host = crate::start(handler);
    let mut peers = open(&host, 6);
    let (mut watch, (tell, seen)) = (host.drain.watch(), std::sync::mpsc::channel());
    host.runtime.spawn(async move {
        loop {
            let progress: Progress = *watch.borrow_and_update();
            let _ = tell.send(progress);
            if progress.phase == Phase::Over || watch.changed().await.is_err() {
                return;
            }
        }
    });
    assert_eq!(host.drain.progress().phase, Phase::Serving);
    assert!(!host.drain.has_started());
    host.drain.start();
    assert!(host.drain.has_started());
    for peer in &mut peers {
        assert_eq!(hear_out(peer), (vec![], Some(1001)));
        host.account();
    }
    // Heard to its end before the runtime, and the one who watches with it, is stopped.
    let mut all = Vec::new();
    while all.last().is_none_or(|last: &Progress| last.phase != Phase::Over) {
        all.push(seen.recv_timeout(testkit::DEADLINE).expect("it goes on to its end"));
    }
    let seen = all;
    let drain = host.drain.clone();
    let drained = host.finish();
    assert_eq!(numbers(&drained), (6, 0, 0, 0, 0));
    assert_eq!(drain.progress().phase, Phase::Over);
    let mut phases: Vec<_> = seen.iter().map(|progress| progress.phase).collect();
    phases.dedup();
    // A watch shows the newest: that it serves may have been over when it looked first.
    phases.retain(|phase| *phase != Phase::Serving);
    assert_eq!(phases, [Phase::Ending, Phase::Handlers, Phase::Over]);
    for two in seen.windows(2) {
        assert!(two[0].drained.clean <= two[1].drained.clean, "{two:?}");
        assert!(two[0].connections >= two[1].connections, "{two:?}");
    }
}

#[test]
fn a_pace_spreads_the_closes() {
    const PEERS: usize = 20;
    let host =
        Host::draining(Drain::with(CloseCode::GOING_AWAY, NonZeroU32::new(20)), support::echo);
    let mut peers = open(&host, PEERS);
    let started = Instant::now();
    let in_runtime = host.runtime.enter();
    host.drain.start();
    let listeners = peers.drain(..).map(|mut peer| {
        timed(move || {
            let heard = hear_out(&mut peer);
            assert_eq!(heard, (vec![], Some(1001)));
            Instant::now()
        })
    });
    let listeners: Vec<_> = listeners.collect();
    let mut times: Vec<_> =
        listeners.into_iter().map(|told| told.join().unwrap().1 - started).collect();
    times.sort();
    println!("told after {times:.2?}");
    // 20 a second: two each tenth of a second. A late one is allowed, an early one is not.
    for (i, at) in times.iter().enumerate() {
        assert!(*at >= Duration::from_millis(100 * (i as u64 / 2)), "{i}: {at:?} of {times:?}");
    }
    for _ in 0..PEERS {
        host.account();
    }
    drop(in_runtime);
    assert_eq!(numbers(&host.finish()), (PEERS, 0, 0, 0, 0));
}

#[test]
fn it_says_what_it_is_told_to() {
    let close = Close::new(4009, "moved to another house").unwrap();
    let host = Host::draining(Drain::with(close, None), support::echo);
    let mut peers = open(&host, 2);
    host.drain.start();
    for peer in &mut peers {
        let close = peer.read_frame();
        assert_eq!(close, Frame::close(4009, "moved to another house"));
        peer.send(&close);
        assert_eq!(peer.read_to_end().end, TcpEnd::Fin);
        peer.fin();
        host.account();
    }
    assert_eq!(numbers(&host.finish()), (2, 0, 0, 0, 0));
}

#[test]
fn hurry_lets_go_of_all_and_still_says_what_can_be_said() {
    let handler = async |socket: Socket| {
        if socket.request().map(adieu::Request::path) == Some("/much") {
            while socket.send(vec![1; 64 * 1024]).await.is_ok() {}
        } else {
            support::echo(socket).await;
        }
    };
    let host = crate::start(handler);
    let mut idle = open(&host, 3);
    let much = testkit::Request::rfc6455().target("/much");
    let frozen: Vec<_> = (0..3).map(|_| Peer::open_with(host.addr, &much)).collect();
    for peer in &frozen {
        testkit::wait_until("its kernel is full", || peer.bytes_to_read() > 32 * 1024);
    }
    let started = Instant::now();
    host.drain.start();
    host.drain.force();
    for _ in 0..6 {
        let ending = host.account().ending;
        assert_eq!(ending.cause, Cause::Drain, "{ending}");
    }
    let after = started.elapsed();
    for peer in &mut idle {
        assert_eq!(peer.read_frame().close_code(), Some(1001), "it was told all the same");
        // Nobody waits for an answer.
        assert_eq!(peer.read_to_end().end, TcpEnd::Fin);
    }
    let drained = host.finish();
    println!("{drained}");
    // Well below what a drain waits for a peer without progress.
    assert!(after < Duration::from_secs(2), "{after:?}");
    assert_eq!((drained.clean, drained.broken_off, drained.given_up), (0, 0, 6), "{drained}");
    assert!(drained.unsent > 0, "{drained}");
    drop(frozen);
}

#[test]
fn its_time_counts_from_the_first_start() {
    let host = crate::start(support::echo);
    let mut peers = open(&host, 1);
    host.drain.start();
    let first = Instant::now();
    assert_eq!(peers[0].read_frame().close_code(), Some(1001));
    // Time has to pass for a second start to be able to hide it.
    testkit::wait_until("some time has passed", || first.elapsed() > Duration::from_millis(200));
    let passed = first.elapsed();
    host.drain.start();
    peers[0].send(&Frame::close(1001, ""));
    assert_eq!(peers[0].read_to_end().end, TcpEnd::Fin);
    peers[0].fin();
    host.account();
    let drained = host.finish();
    assert!(drained.lasted >= passed, "{drained} after {passed:?}");
}

#[test]
fn until_it_is_started_its_numbers_are_right_and_wake_nobody() {
    let host = crate::start(support::echo);
    let mut watch = host.drain.watch();
    let mut peers = open(&host, 3);
    assert_eq!((watch.borrow().connections, watch.borrow().handlers), (3, 3));
    assert!(!watch.has_changed().unwrap());
    host.drain.start();
    assert!(watch.has_changed().unwrap());
    assert_eq!(watch.borrow_and_update().phase, Phase::Ending);
    for peer in &mut peers {
        assert_eq!(hear_out(peer), (vec![], Some(1001)));
        host.account();
    }
    assert_eq!(numbers(&host.finish()), (3, 0, 0, 0, 0));
}

#[test]
fn the_close_leaves_though_no_driver_has_its_turn() {
    let host = crate::start(support::echo);
    // Who has its echo has a handler that waits again: it was polled before the write.
    let mut peers = open(&host, 3);
    let still = Still::stand(&host);
    host.drain.start();
    for peer in &mut peers {
        assert_eq!(peer.read_frame().close_code(), Some(1001));
    }
    drop(still);
    for peer in &mut peers {
        peer.send(&Frame::close(1001, ""));
        assert_eq!(peer.read_to_end().end, TcpEnd::Fin);
        peer.fin();
        host.account();
    }
    assert_eq!(numbers(&host.finish()), (3, 0, 0, 0, 0));
}
