//! What has come on all connections together and was not taken yet has a limit.

mod support;

use adieu::{Cause, Endpoint, Server};
use support::Host;
use testkit::{Frame, Peer};

const MIB: usize = 1024 * 1024;

/// The head of a masked frame of 6 MiB and its first bytes.
fn part(bytes: usize) -> Vec<u8> {
    let mut frame = vec![0x82, 0xFF];
    frame.extend((6 * MIB as u64).to_be_bytes());
    frame.resize(14 + bytes, 0);
    frame
}

#[cfg(target_os = "linux")]
#[test]
fn the_connection_that_would_be_above_it_is_told_to_try_again_later() {
    let endpoint = Endpoint::new().max_receiving(MIB);
    let host = Host::run(Server::with(endpoint, support::echo));
    let echoes = |peer: &mut Peer, bytes: usize| {
        peer.send(&Frame::binary(vec![7; bytes]));
        assert_eq!(peer.read_frame().payload.len(), bytes);
    };
    let (mut one, mut two) = (Peer::open(host.addr), Peer::open(host.addr));
    one.write(part(MIB));
    testkit::wait_until("it is read", || one.unread_by_other_end() == 0);
    two.write(part(MIB));
    assert_eq!(two.read_frame().close_code(), Some(1013));
    two.close();
    let ending = host.account().ending;
    assert_eq!(ending.cause, Cause::TooMuchReceived, "{ending}");
    let mut three = Peer::open(host.addr);
    echoes(&mut three, 60_000);
    one.close();
    assert_ne!(host.account().ending.cause, Cause::TooMuchReceived);
    echoes(&mut three, MIB);
}

#[cfg(target_os = "linux")]
#[test]
fn messages_that_wait_for_their_handler_count_until_they_are_taken() {
    let (go, gate) = tokio::sync::watch::channel(false);
    let handler = move |mut socket: adieu::Socket| {
        let mut gate = gate.clone();
        async move {
            let first = socket.recv().await;
            gate.wait_for(|open| *open).await.expect("the test goes on");
            let mut next = first;
            while let Some(message) = next {
                let _ = socket.send(message).await;
                next = socket.recv().await;
            }
        }
    };
    let endpoint = Endpoint::new().max_receiving(MIB + MIB / 2);
    let host = Host::run(Server::with(endpoint, handler));
    let (mut one, mut two) = (Peer::open(host.addr), Peer::open(host.addr));
    let large = Frame::binary(vec![7; MIB]);
    one.send(&Frame::text("first"));
    one.send(&large);
    testkit::wait_until("it is read", || one.unread_by_other_end() == 0);
    two.send(&Frame::text("first"));
    two.send(&large);
    assert_eq!(two.read_frame().close_code(), Some(1013));
    two.close();
    assert_eq!(host.account().ending.cause, Cause::TooMuchReceived);
    go.send_replace(true);
    assert_eq!(one.read_frame().payload, b"first");
    assert_eq!(one.read_frame().payload.len(), MIB);
    // Taken, it does not count any more, and the connection was idle since.
    let mut three = Peer::open(host.addr);
    three.send(&large);
    assert_eq!(three.read_frame().payload.len(), MIB);
    three.close();
    one.close();
    assert_ne!(host.account().ending.cause, Cause::TooMuchReceived);
    assert_ne!(host.account().ending.cause, Cause::TooMuchReceived);
}
