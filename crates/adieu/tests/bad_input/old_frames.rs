//! Frames of hixie-76 that never end or that hide something, and bytes that come too early.

use adieu::{Cause, Config, End, Ending, ProtocolError as P};
use testkit::{NONCE, Peer, Request, TcpEnd};

use crate::support::Host;
use crate::{MIB, heap, host};

const LIMIT: u64 = MIB as u64;

fn limited() -> Host {
    host(Config { max_message: LIMIT, ..Config::default() })
}

/// Writes bytes into an open WebSocket of hixie-76 and expects its goodbye, `FF 00`, then a FIN.
fn closed(host: &Host, bytes: &[u8]) -> Ending {
    let mut peer = Peer::open_with(host.addr, &Request::hixie76());
    peer.try_write(bytes);
    let rest = peer.read_to_end();
    let shown = &bytes[..bytes.len().min(40)];
    assert_eq!((rest.bytes, rest.end), (b"\xFF\0".to_vec(), TcpEnd::Fin), "{shown:x?}");
    drop(peer);
    host.account().ending
}

#[test]
fn frames_that_never_end() {
    let _alone = heap::alone();
    let host = limited();
    let too_big = P::MessageTooBig { limit: LIMIT };
    let cases: [(Vec<u8>, P); 6] = [
        ([&b"\0"[..], &b"x".repeat(20 * MIB)].concat(), too_big),
        ([&b"\x01"[..], &b"x".repeat(20 * MIB)].concat(), too_big),
        (b"\x80".repeat(1000), P::HixieLength),
        (b"\xFF\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80".to_vec(), P::HixieLength),
        (b"\xFE\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x7F".to_vec(), too_big),
        (b"\x80\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x7F".to_vec(), too_big),
    ];
    for (bytes, error) in cases {
        let peak = heap::peak_of_others(|| {
            let ending = closed(&host, &bytes);
            let Cause::Violation(found) = ending.cause else { panic!("{ending}") };
            // A length is refused at the digit that takes it over the limit.
            assert!(found == error || found == too_big, "{:x?}: {ending}", &bytes[..10]);
        });
        assert!(peak < 4 * MIB, "{peak} bytes were held");
    }
    host.still_serves();
    host.finish();
}

#[test]
fn what_is_skipped_is_skipped_by_count() {
    let _alone = heap::alone();
    let host = limited();
    let mut peer = Peer::open_with(host.addr, &Request::hixie76());
    // A frame with a length holds bytes that look like others, a goodbye among them.
    peer.write(b"\x80\x05\0x\xFF\xFF\0\0seen\xFF");
    assert_eq!(peer.read_exact(6), b"\0seen\xFF");
    peer.write(b"\xFF\0");
    let rest = peer.read_to_end();
    assert_eq!((rest.bytes, rest.end), (b"\xFF\0".to_vec(), TcpEnd::Fin));
    drop(peer);
    let ending = host.account().ending;
    assert_eq!((ending.cause, ending.transport.end), (Cause::Peer, End::Finished));
    host.finish();
}

#[test]
fn bytes_behind_the_nonce_are_kept() {
    let _alone = heap::alone();
    let host = limited();
    let mut peer = Peer::connect(host.addr);
    let early = [&Request::hixie76().bytes()[..], NONCE.0, b"\0early\xFF"].concat();
    peer.write(early);
    assert_eq!(peer.read_head().status(), 101);
    assert_eq!(peer.read_exact(16), NONCE.1);
    assert_eq!(peer.read_exact(7), b"\0early\xFF");
    peer.reset();
    host.account();
    // The same in RFC 6455: a client should wait for the 101, and many do not.
    let mut peer = Peer::connect(host.addr);
    let frame = testkit::Frame::text("early");
    peer.write([Request::rfc6455().bytes(), frame.masked()].concat());
    assert_eq!(peer.read_head().status(), 101);
    assert_eq!(peer.read_frame(), frame);
    peer.reset();
    host.account();
    host.finish();
}
