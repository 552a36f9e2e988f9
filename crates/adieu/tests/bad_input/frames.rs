//! Frames of RFC 6455 that lie, that never end, or that must not be.

use std::sync::Arc;
use std::time::Instant;

use adieu::{Cause, Close, CloseCode, Config, ProtocolError as P, defaults};
use adieu_proto::{Connection, Decision, Negotiated, Version};
use testkit::{Frame, MASK, Peer, Request, TcpEnd};

use crate::proto::Bare;
use crate::support::Host;
use crate::{MIB, closed_with, has_too_many_fragments, heap, host, violates};

const LIMIT: u64 = MIB as u64;

fn limited() -> Host {
    host(Config { max_message: LIMIT, ..Config::default() })
}

#[test]
fn lengths_that_cannot_be() {
    let _alone = heap::alone();
    let host = limited();
    let peak = heap::peak_of_others(|| {
        for (len, error) in [
            (u64::MAX, P::InvalidLength(u64::MAX)),
            (u64::MAX - 3, P::InvalidLength(u64::MAX - 3)),
            (1 << 63, P::InvalidLength(1 << 63)),
            ((1 << 63) - 1, P::MessageTooBig { limit: LIMIT }),
            (1 << 40, P::MessageTooBig { limit: LIMIT }),
            (LIMIT + 1, P::MessageTooBig { limit: LIMIT }),
        ] {
            violates(&host, &Frame::binary("").claiming(len).masked(), error);
        }
    });
    assert!(peak < MIB, "{peak} bytes were held");
    // Lengths that are not in their shortest form.
    violates(&host, &[&b"\x82\xFE\0\x05"[..], &MASK].concat(), P::InvalidLength(5));
    violates(&host, &[&b"\x82\xFF\0\0\0\0\0\0\0\x05"[..], &MASK].concat(), P::InvalidLength(5));
    host.still_serves();
    host.finish();
}

#[test]
fn memory_follows_what_came_not_what_was_announced() {
    let _alone = heap::alone();
    // Without Pings: a socket that is closed with one unread in it sends an RST.
    let config = Config { max_message: u64::MAX, ping_interval: None, ..Config::default() };
    let host = host(config);
    let mut peers = Vec::new();
    let peak = heap::peak_of_others(|| {
        for _ in 0..20 {
            let mut peer = Peer::open(host.addr);
            peer.send(&Frame::binary("x").claiming((1 << 63) - 1));
            testkit::wait_until("the server has read", || peer.unread_by_other_end() == 0);
            peers.push(peer);
        }
        host.still_serves();
    });
    assert!(peak < 20 * 128 * 1024 + MIB, "{peak} bytes were held");
    for peer in peers {
        peer.close();
        let ending = host.account().ending;
        assert_eq!((ending.cause, ending.truncation), (Cause::Eof, adieu::Truncation::MidFrame));
    }
    host.finish();
}

#[test]
fn fragments_that_never_end() {
    let _alone = heap::alone();
    let host = limited();
    let first = Frame::binary([0; 1000]).unfinished().masked();
    let next = Frame::continuation([0; 1000]).unfinished().masked();
    let endless = [first, next.repeat(20_000)].concat();
    let peak = heap::peak_of_others(|| has_too_many_fragments(&host, &endless, LIMIT));
    assert!(peak < 4 * MIB, "{peak} bytes were held");
    // Empty ones cost too.
    let first = Frame::text("").unfinished().masked();
    let next = Frame::continuation("").unfinished().masked();
    let endless = [first, next.repeat(200_000)].concat();
    let peak = heap::peak_of_others(|| has_too_many_fragments(&host, &endless, LIMIT));
    assert!(peak < MIB, "{peak} bytes were held");
    host.still_serves();
    host.finish();
}

#[test]
fn many_small_fragments_share_one_buffer() {
    const FRAGMENTS: usize = 131_000;
    let _alone = heap::alone();
    let host = host(Config::default());
    let mut peer = Peer::open(host.addr);
    let first = Frame::binary("x").unfinished().masked();
    let next = Frame::continuation("x").unfinished().masked();
    let bytes = [first, next.repeat(FRAGMENTS)].concat();
    let peak = heap::peak_of_others(|| {
        peer.write(&bytes);
        testkit::wait_until("the server has read", || peer.unread_by_other_end() == 0);
    });
    assert!(peak < MIB / 2, "{peak} bytes were held for {FRAGMENTS}");
    peer.send(&Frame::continuation("x"));
    assert_eq!(peer.read_frame(), Frame::binary(vec![b'x'; FRAGMENTS + 2]));
    peer.reset();
    host.account();
    host.finish();
}

/// A connection that is open, without a socket.
fn open(config: Config) -> Bare {
    let now = Instant::now();
    let mut server = Bare::new(Connection::server(now, Arc::new(config)), now);
    server.receive(&Request::rfc6455().bytes());
    let accept = Decision::Accept(Negotiated::new(Version::Rfc6455));
    server.connection.decide(now, accept, &mut server.scratch).unwrap();
    server.drain();
    server
}

#[test]
fn small_fragments_in_segments_of_one_byte() {
    let _alone = heap::alone();
    let mut server = open(Config { max_message: LIMIT, ..Config::default() });
    let mut next = Frame::binary("x").unfinished().masked();
    let peak = heap::peak_of(|| {
        let mut frames = 0;
        while server.connection.status().delivers() {
            next.chunks(1).for_each(|byte| server.receive(byte));
            next = Frame::continuation("x").unfinished().masked();
            frames += 1;
        }
        // Each costs its byte and 32 more.
        let charged = LIMIT / (1 + defaults::FRAGMENT_COST);
        assert!((charged - 2..=charged + 2).contains(&frames), "{frames}");
    });
    assert!(peak < 256 * 1024, "{peak} bytes were held");
}

#[test]
fn a_burst_of_messages_leaves_no_room_behind() {
    let _alone = heap::alone();
    let mut server = open(Config::default());
    let burst = Frame::binary("").masked().repeat(10_000);
    server.receive(&Frame::binary("").masked());
    server.scratch.messages = None;
    let (left, messages) = heap::left_by(|| {
        server.receive(&burst);
        let mut all = server.scratch.messages.take().unwrap();
        let messages = all.len();
        all.clear();
        // What the next connection gets has no room for such a burst either.
        server.scratch.keep_messages(all);
        messages
    });
    assert_eq!(messages, 10_000);
    // Other threads of the test run may take something meanwhile; the burst had 800 KB.
    assert!(left < 64 * 1024, "{left} bytes are kept by a connection that is idle again");
}

#[test]
fn pings_of_a_peer_that_does_not_read() {
    let _alone = heap::alone();
    let mut server = open(Config::default());
    for i in 0..100_000_u32 {
        server.receive(&Frame::ping(i.to_be_bytes()).masked());
        assert!(server.queued() <= defaults::PONG_QUEUE as u64 + 127, "{} queued", server.queued());
    }
    // The newest is answered when there is room (RFC 6455 §5.5.3).
    let mut all = Vec::new();
    while server.queued() > 0 {
        all.extend(server.transmit());
    }
    let frames = Frame::parse_all(&all);
    assert_eq!(frames.last(), Some(&Frame::pong(99_999_u32.to_be_bytes())));
    assert!(frames.len() < 4000, "{} Pongs", frames.len());
}

#[test]
fn a_flood_of_pings_over_a_socket() {
    let _alone = heap::alone();
    let host = host(Config::default());
    let mut peer = Peer::open(host.addr);
    let flood = Frame::ping([7; 125]).masked().repeat(100_000);
    let peak = heap::peak_of_others(|| peer.write(&flood));
    assert!(peak < MIB, "{peak} bytes were held");
    peer.send_all(&[Frame::ping("the last"), Frame::close(1000, "")]);
    let rest = peer.read_to_end();
    assert_eq!(rest.end, TcpEnd::Fin);
    let mut frames = rest.frames();
    assert_eq!(frames.pop().and_then(|frame| frame.close_code()), Some(1000));
    assert!(frames.iter().all(|frame| frame.opcode == 0xA));
    drop(peer);
    host.account();
    host.still_serves();
    host.finish();
}

#[test]
fn closes_that_must_not_be() {
    let _alone = heap::alone();
    let host = limited();
    for code in [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535] {
        let ending = closed_with(&host, &Frame::close(code, "why").masked(), 1002);
        assert_eq!(ending.cause, Cause::Violation(P::CloseCode(CloseCode::new(code))));
        let said = ending.closing_handshake.received().expect("what it said is kept");
        assert_eq!((said.code(), said.reason()), (Some(CloseCode::new(code)), "why"));
    }
    violates(&host, &Frame::new(0x8, "x").masked(), P::CloseBodyTooShort);
    violates(&host, &Frame::close(1000, [b'x'; 124]).masked(), P::ControlTooLong(126));
    violates(&host, &Frame::close(1000, b"\xFF").masked(), P::CloseReason);
    for code in [1000, 1003, 1007, 1014, 3000, 4999] {
        let ending = closed_with(&host, &Frame::close(code, [b'x'; 123]).masked(), code);
        assert_eq!(ending.cause, Cause::Peer);
        assert_eq!(ending.closing_handshake.received().map(|said| said.reason().len()), Some(123));
    }
    host.still_serves();
    host.finish();
}

#[test]
fn frames_after_a_close_are_ignored() {
    let _alone = heap::alone();
    let host = limited();
    let after = [
        Frame::text("data"),
        Frame::ping("ping"),
        Frame::close(1001, "again"),
        Frame::text(b"\xFF"),
        Frame::new(0xB, ""),
        Frame::binary("").claiming(u64::MAX),
    ];
    for frame in &after {
        let bytes = [Frame::close(1000, "first").masked(), frame.masked()].concat();
        let ending = closed_with(&host, &bytes, 1000);
        assert_eq!(ending.cause, Cause::Peer);
        assert_eq!(ending.closing_handshake.received(), Some(&Close::new(1000, "first").unwrap()));
    }
    let bytes = [Frame::text("half").unfinished().masked(), Frame::close(1000, "").masked()];
    let ending = closed_with(&host, &bytes.concat(), 1000);
    assert_eq!((ending.cause, ending.truncation), (Cause::Peer, adieu::Truncation::MidMessage));
    host.still_serves();
    host.finish();
}

#[test]
fn frames_that_must_not_be() {
    let _alone = heap::alone();
    let host = limited();
    violates(&host, &Frame::text("plain").unmasked(), P::Unmasked);
    for bits in 1..8 {
        violates(&host, &Frame::text("").reserved(bits).masked(), P::ReservedBits(bits));
    }
    for opcode in (0x3..=0x7).chain(0xB..=0xF) {
        violates(&host, &Frame::new(opcode, "").masked(), P::ReservedOpcode(opcode));
    }
    for opcode in [0x8, 0x9, 0xA] {
        violates(&host, &Frame::new(opcode, "").unfinished().masked(), P::FragmentedControl);
        violates(&host, &Frame::new(opcode, [0; 126]).masked(), P::ControlTooLong(126));
    }
    violates(&host, &Frame::continuation("").masked(), P::UnexpectedContinuation);
    let twice = [Frame::text("a").unfinished().masked(), Frame::text("b").masked()].concat();
    violates(&host, &twice, P::ExpectedContinuation);
    let cut = Frame::text(&"\u{20AC}".as_bytes()[..2]).unfinished().masked();
    violates(&host, &[cut, Frame::continuation("").masked()].concat(), P::InvalidUtf8);
    host.still_serves();
    host.finish();
}
