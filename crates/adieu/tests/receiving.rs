//! What is being received on all connections together has a limit.

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
