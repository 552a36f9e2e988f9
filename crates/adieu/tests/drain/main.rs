//! Ending all connections when a server stops: what had arrived is answered, what was sent
//! arrives, all are told, the live ones are waited for and the frozen ones are not.
//!
//! Takes about 20 s, for the slowest readers read for so long; the rest runs beside them.
#![cfg(target_os = "linux")]

mod arrived;
#[cfg(feature = "axum")]
mod axum;
mod door;
mod ending;
mod handlers;
mod pipe;
mod slow;
mod starts;
mod steps;
#[path = "../support/mod.rs"]
mod support;
#[cfg(feature = "tls")]
mod tls;
#[cfg(feature = "tls")]
#[path = "../tls_peer/mod.rs"]
mod tls_peer;

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use adieu::{Drain, Drained, Handler, defaults};
use support::Host;
use testkit::{Frame, Peer, TcpEnd};

/// By then nobody is waited for who does not heed the Close: a second for the handler's answers,
/// then what has to leave, then the time for the peer's Close.
const UNHEEDED: Duration = Duration::from_secs(1)
    .saturating_add(defaults::DRAIN_TIMEOUT)
    .saturating_add(defaults::DRAIN_CLOSE_TIMEOUT);

/// A server with the defaults whose drain can be followed.
fn start(handler: impl Handler) -> Host {
    Host::draining(Drain::new(), handler)
}

/// Opens so many connections that are known to the server: each has been answered once.
fn open(host: &Host, count: usize) -> Vec<Peer> {
    let peers = (0..count).map(|_| {
        let mut peer = Peer::open(host.addr);
        peer.send(&Frame::text("here"));
        assert_eq!(peer.read_frame(), Frame::text("here"));
        peer
    });
    peers.collect()
}

/// Reads what comes up to the Close, answers it, hears the other end out (its FIN, and nothing
/// behind the Close), and ends. Gives the frames before the Close, and its code.
fn hear_out(peer: &mut Peer) -> (Vec<Frame>, Option<u16>) {
    let mut before = Vec::new();
    loop {
        let frame = peer.read_frame();
        if frame.opcode == 0x8 {
            // An answer to a Close of ours is not answered; the server reads it all the same.
            peer.send(&frame);
            let rest = peer.read_to_end();
            assert_eq!((rest.bytes, rest.end), (vec![], TcpEnd::Fin), "behind the Close");
            peer.fin();
            return (before, frame.close_code());
        }
        // One that was kept waiting for long by a busy machine is asked whether it is there.
        if frame != Frame::ping("") {
            before.push(frame);
        }
    }
}

/// All threads of the server stand still until this is dropped: what comes stays in the kernel.
struct Still {
    _releases: Vec<mpsc::Sender<()>>,
}

impl Still {
    fn stand(host: &Host) -> Self {
        let workers = host.runtime.metrics().num_workers();
        let (reached, reaching) = mpsc::channel();
        let releases = (0..workers).map(|_| {
            let (release, held) = mpsc::channel::<()>();
            let reached = reached.clone();
            host.runtime.spawn(async move {
                reached.send(()).unwrap();
                let _ = held.recv();
            });
            release
        });
        let still = Still { _releases: releases.collect() };
        for _ in 0..workers {
            reaching.recv_timeout(testkit::DEADLINE).expect("each thread stands still");
        }
        still
    }
}

/// The numbers, without the time.
fn numbers(drained: &Drained) -> (usize, usize, usize, u64, usize) {
    let Drained { clean, broken_off, given_up, unsent, handlers_dropped, .. } = *drained;
    (clean, broken_off, given_up, unsent, handlers_dropped)
}

/// Runs something beside the test; its time and its result.
fn timed<T: Send + 'static>(
    act: impl FnOnce() -> T + Send + 'static,
) -> thread::JoinHandle<(Duration, T)> {
    thread::spawn(move || {
        let started = Instant::now();
        let result = act();
        (started.elapsed(), result)
    })
}
