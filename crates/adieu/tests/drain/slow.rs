//! Slow readers get everything; frozen ones are given up, and what they missed is counted.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use adieu::{Cause, End, Message, Socket};
use testkit::{Frame, Peer, TcpEnd, wait_until};

use crate::support::Host;
use crate::{hear_out, numbers};

const MIB: usize = 1024 * 1024;

/// Queues 1 MiB for each that asks, in messages of 16 KiB, and waits for more.
async fn one_mib(mut socket: Socket) {
    let chunk: Arc<[u8]> = vec![9; 16 * 1024].into();
    while socket.recv().await.is_some() {
        for _ in 0..MIB / chunk.len() {
            let message = Message::from(chunk.to_vec());
            if socket.send(message).await.is_err() {
                return;
            }
        }
        // Its last words on the matter: by now all is queued.
        let _ = socket.send("all").await;
    }
}

/// Asks for its 1 MiB through a receive buffer of 64 KiB, as slow clients have them here.
fn ask(addr: SocketAddr) -> Peer {
    let mut peer = Peer::connect_with(addr, |socket| {
        socket.set_recv_buffer_size(64 * 1024).expect("SO_RCVBUF");
    });
    peer.set_deadline(Duration::from_secs(60));
    peer.handshake(&testkit::Request::rfc6455());
    peer.send(&Frame::text("please"));
    peer
}

/// Reads in pieces of 16 KiB at so many bytes a second, and answers the Close at the end. Gives
/// the bytes of data, and the Close.
fn read_at(peer: &mut Peer, bytes_per_second: usize) -> (usize, Option<u16>) {
    let started = Instant::now();
    let (mut bytes, mut read, mut data) = (Vec::new(), 0, 0);
    loop {
        let due = started + Duration::from_secs_f64(read as f64 / bytes_per_second as f64);
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let chunk = peer.read_some(16 * 1024);
        assert!(!chunk.is_empty(), "the end came before the Close, after {read} bytes");
        read += chunk.len();
        bytes.extend(chunk);
        while let Some((frame, len)) = Frame::parse(&bytes) {
            bytes.drain(..len);
            match frame.opcode {
                0x2 => data += frame.payload.len(),
                0x8 => {
                    assert!(bytes.is_empty(), "nothing follows a Close");
                    peer.send(&frame);
                    assert_eq!(peer.read_to_end().end, TcpEnd::Fin);
                    peer.fin();
                    return (data, frame.close_code());
                }
                _ => {}
            }
        }
    }
}

/// Readers at this speed, all of whom have to get everything.
fn readers(host: &Host, count: usize, speed: usize) -> Vec<thread::JoinHandle<()>> {
    let peers: Vec<_> = (0..count).map(|_| ask(host.addr)).collect();
    let read = |mut peer: Peer| {
        thread::spawn(move || assert_eq!(read_at(&mut peer, speed), (MIB, Some(1001))))
    };
    peers.into_iter().map(read).collect()
}

#[test]
fn slow_readers_get_everything_and_frozen_ones_are_given_up() {
    const FAST: usize = 4;
    const SLOW: usize = 8;
    const VERY_SLOW: usize = 4;
    const FROZEN: usize = 4;
    let host = crate::start(one_mib);
    let frozen: Vec<_> = (0..FROZEN).map(|_| ask(host.addr)).collect();
    let mut fast = (0..FAST).map(|_| Peer::open(host.addr)).collect::<Vec<_>>();
    let slow = readers(&host, SLOW, MIB);
    let very_slow = readers(&host, VERY_SLOW, 64 * 1024);
    let all = FAST + SLOW + VERY_SLOW + FROZEN;
    wait_until("all are there", || host.drain.connections() == all);
    for peer in &frozen {
        wait_until("its kernel is full", || peer.bytes_to_read() > 32 * 1024);
    }
    let started = Instant::now();
    host.drain.start();
    for peer in &mut fast {
        assert_eq!(hear_out(peer), (vec![], Some(1001)));
    }
    let gone: HashSet<_> = frozen.iter().map(Peer::local_addr).collect();
    let (mut clean, mut given_up, mut unsent) = (0, 0, 0);
    for _ in 0..all {
        let account = host.account();
        let (ending, after) = (&account.ending, started.elapsed());
        assert_eq!(ending.cause, Cause::Drain, "{ending}");
        if gone.contains(&account.peer.addr().expect("an address")) {
            println!("frozen: after {after:.1?}: {ending}");
            assert!(matches!(ending.transport.end, End::LetGo(_)), "{ending}");
            assert!(after < Duration::from_secs(14), "{after:?}: {ending}");
            // Without its own kernel's 64 KiB or so, and what is on the way to it.
            assert!(ending.unsent.unacknowledged.is_some(), "{ending}");
            unsent += ending.unsent.bytes + ending.unsent.unacknowledged.unwrap_or(0);
            given_up += 1;
        } else {
            assert!(ending.is_clean(), "{after:?}: {ending}");
            clean += 1;
        }
    }
    for reader in slow.into_iter().chain(very_slow) {
        reader.join().expect("everything was read");
    }
    assert!(unsent > (FROZEN * MIB / 2) as u64, "{unsent} bytes");
    let drained = host.finish();
    println!("{drained}");
    assert_eq!(numbers(&drained), (clean, 0, given_up, unsent, 0));
    assert_eq!((clean, given_up), (all - FROZEN, FROZEN));
    // The slowest set the time, and no flat timer.
    assert!(drained.lasted > Duration::from_secs(12), "{drained}");
    drop(frozen);
}

#[test]
fn slow_readers_at_1_mib_a_second_and_frozen_ones_keep_an_exit_below_14_s() {
    let host = crate::start(one_mib);
    let frozen: Vec<_> = (0..8).map(|_| ask(host.addr)).collect();
    let slow = readers(&host, 16, MIB);
    wait_until("all are there", || host.drain.connections() == 24);
    for peer in &frozen {
        wait_until("its kernel is full", || peer.bytes_to_read() > 32 * 1024);
    }
    host.drain.start();
    for reader in slow {
        reader.join().expect("everything was read");
    }
    for _ in 0..24 {
        host.account();
    }
    let drained = host.finish();
    println!("{drained}");
    assert_eq!((drained.clean, drained.broken_off, drained.given_up), (16, 0, 8), "{drained}");
    // A frozen peer cannot be told from one that reads 16 KiB a second: that one's window opens
    // after 8 s.
    assert!(drained.lasted < Duration::from_secs(14), "{drained}");
    drop(frozen);
}
