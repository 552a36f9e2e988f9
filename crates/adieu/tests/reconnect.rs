//! 10,000 reconnects in a row from one address: none refused, and nothing of them is left. Some
//! seconds of work, and no waiting.
#![cfg(target_os = "linux")]

#[path = "support/mod.rs"]
mod support;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::{fs, thread};

use adieu::Cause;
use support::Host;
use testkit::{DEADLINE, Frame, Peer, TcpEnd, wait_until};

/// Clients side by side; each of them comes again the moment it has gone.
const CLIENTS: u64 = 4;

fn times() -> u64 {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../conformance/cases.json");
    let cases = fs::read_to_string(path).expect("the cases");
    let cases: serde_json::Value = serde_json::from_str(&cases).expect("JSON");
    cases["reconnects"]["times"].as_u64().expect("a number")
}

/// Opens, says something, hears it, and goes: as one should, as a browser's page does, or without
/// a word. `Peer::open` panics if it is refused.
fn come_and_go(addr: SocketAddr, round: u64) {
    let mut peer = Peer::open(addr);
    peer.send(&Frame::text("back again"));
    assert_eq!(peer.read_frame(), Frame::text("back again"));
    match round % 8 {
        5 => {
            peer.send_all_with_fin(&[Frame::close(1001, "")]);
            peer.close();
        }
        6 => peer.close(),
        7 => peer.abort(),
        _ => {
            peer.send(&Frame::close(1000, ""));
            assert_eq!(peer.read_frame(), Frame::close(1000, ""));
            let rest = peer.read_to_end();
            assert_eq!((rest.bytes, rest.end), (vec![], TcpEnd::Fin));
        }
    }
}

/// Sockets of this server in a state, as the kernel's table says.
fn in_state(server: SocketAddr, state: &str) -> usize {
    let local = format!(":{:04X}", server.port());
    let table = fs::read_to_string("/proc/net/tcp").expect("Linux's table of connections");
    let rows = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    rows.filter(|row| row.len() > 3 && row[1].ends_with(&local) && row[3] == state).count()
}

fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").expect("our descriptors").count()
}

#[test]
fn ten_thousand_reconnects_leave_nothing() {
    const ESTABLISHED: &str = "01";
    const TIME_WAIT: &str = "06";
    const CLOSE_WAIT: &str = "08";
    let times = times();
    let host = Host::start(support::echo);
    let addr = host.addr;
    let tasks = || host.runtime.metrics().num_alive_tasks();
    let serving = tasks();
    // What the first one needs once, such as the kernel's table, is not counted.
    come_and_go(addr, 0);
    assert_eq!(host.account().ending.cause, Cause::Peer);
    wait_until("the first is over", || tasks() == serving);
    let before = descriptors();
    let round = AtomicU64::new(0);
    let started = std::time::Instant::now();
    thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                loop {
                    let round = round.fetch_add(1, SeqCst);
                    if round >= times {
                        return;
                    }
                    come_and_go(addr, round);
                }
            });
        }
    });
    let took = started.elapsed();
    let (mut clean, mut gone) = (0, 0);
    for _ in 0..times {
        let ending = host.account().ending;
        match ending.cause {
            Cause::Peer => clean += 1,
            Cause::Eof | Cause::Reset => gone += 1,
            _ => panic!("{ending}"),
        }
    }
    assert_eq!((clean, gone), (times / 8 * 6, times / 8 * 2), "of {times}");
    let waiting = in_state(addr, TIME_WAIT);
    println!("{times} reconnects in {took:.1?}; {waiting} sockets in TIME_WAIT");
    wait_until("every descriptor is given back", || descriptors() == before);
    wait_until("every task is over", || tasks() == serving);
    assert_eq!((in_state(addr, CLOSE_WAIT), in_state(addr, ESTABLISHED)), (0, 0));
    let drained = host.finish();
    assert!(drained.is_clean() && drained.lasted < DEADLINE, "{drained}");
}
