//! hixie-76: frames, and how a connection ends.

use std::time::Duration;

use adieu::{
    Cause, Close, CloseCode, ClosingHandshake, Config, End, Endpoint, Message, ProtocolError, Side,
    Socket, Timer, Truncation, Version,
};
use testkit::{Peer, Request, TcpEnd, hixie};

use crate::every_version;
use crate::served::{Served, echo, echo_some, with};

#[test]
fn frames_of_no_meaning_are_skipped() {
    let served = Served::server(every_version(), echo);
    for request in [Request::hixie76(), Request::hixie75()] {
        let mut peer = Peer::open_with(served.addr, &request);
        let frames: [&[u8]; 9] = [
            &hixie::text("a"),
            &hixie::unknown(0x01, b"not a text"),
            &hixie::unknown(0x7F, b""),
            // Skipped by count: an FF or a text inside means nothing.
            &hixie::prefixed(0x80, 1, b"\xFF\x00no\xFF"),
            &hixie::prefixed(0xFE, 3, &[0xFF; 300]),
            &hixie::prefixed(0xFF, 1, b"x"),
            &hixie::text(""),
            b"\x00bad \xC3\xFF",
            &hixie::text("b"),
        ];
        for byte in frames.concat() {
            peer.write([byte]);
        }
        let want = ["a", "", "bad \u{FFFD}", "b"].map(hixie::text).concat();
        assert_eq!(peer.read_exact(want.len()), want);
        drop(peer);
        served.ended(Cause::Eof, ClosingHandshake::None, End::Finished, Side::Peer);
    }
    served.stop();
}

#[test]
fn endless_frames_are_violations_and_closed() {
    let config = Config { max_message: 1000, ..Config::default() };
    let served = Served::server(with(config), echo);
    let too_big = ProtocolError::MessageTooBig { limit: 1000 };
    for (bytes, error) in [
        ([0x80; 32], ProtocolError::HixieLength),
        ([0xFE; 32], ProtocolError::MessageTooBig { limit: 1000 }),
    ] {
        violates(&served, &bytes, error);
    }
    violates(&served, &[&[0][..], &[b'x'; 1001]].concat(), too_big);
    violates(&served, &[&[1][..], &[b'x'; 1001]].concat(), too_big);
    served.stop();
}

#[track_caller]
fn violates(served: &Served, bytes: &[u8], error: ProtocolError) {
    let mut peer = Peer::open_with(served.addr, &Request::hixie76());
    peer.write(bytes);
    // It has no code to say why.
    let rest = peer.read_to_end();
    assert_eq!((&rest.bytes[..], rest.end), (&hixie::CLOSE[..], TcpEnd::Fin));
    drop(peer);
    let goodbye = ClosingHandshake::Sent { ours: Close::empty() };
    let cause = Cause::Violation(error);
    served.ended_cut(cause, goodbye, End::Finished, Side::Local, Truncation::MidFrame);
}

#[test]
fn our_goodbye_is_ff_00_and_its_echo_ends_it() {
    let served = Served::server(Endpoint::new(), echo_some(1));
    let mut peer = Peer::open_with(served.addr, &Request::hixie76());
    peer.write(hixie::text("bye"));
    assert_eq!(peer.read_exact(7), [hixie::text("bye"), hixie::CLOSE.into()].concat());
    // Once ours is said, only the peer's is heard; what follows it is discarded.
    peer.write([&hixie::text("late")[..], &hixie::CLOSE, &hixie::text("later")].concat());
    assert_eq!(peer.read_to_end().end, TcpEnd::Fin);
    drop(peer);
    let goodbye =
        ClosingHandshake::SentThenReceived { ours: Close::empty(), theirs: Close::empty() };
    let account = served.ended(Cause::HandlerReturned, goodbye, End::Finished, Side::Local);
    assert!(account.ending.is_clean());
    served.stop();
}

/// QtWebKit 534 ignores FF 00 for ever and goes when TCP ends.
#[test]
fn a_client_that_ignores_our_goodbye_gets_our_fin() {
    let close_timeout = Duration::from_millis(100);
    let served = Served::server(with(Config { close_timeout, ..Config::default() }), echo_some(0));
    let mut peer = Peer::open_with(served.addr, &Request::hixie76());
    let rest = peer.read_to_end();
    assert_eq!((&rest.bytes[..], rest.end), (&hixie::CLOSE[..], TcpEnd::Fin));
    drop(peer);
    let goodbye = ClosingHandshake::Sent { ours: Close::empty() };
    let account = served.ended(Cause::HandlerReturned, goodbye, End::Finished, Side::Local);
    let timeline = account.ending.timeline;
    let waited = timeline.fin_sent.zip(timeline.close_sent).map(|(fin, close)| fin - close);
    assert!(waited.is_some_and(|waited| waited >= close_timeout), "{timeline:?}");
    served.stop();
}

/// And if TCP does not end either, we let go.
#[test]
fn a_client_that_ignores_our_fin_as_well_is_let_go() {
    let short = Duration::from_millis(50);
    let config = Config { close_timeout: short, linger: short, ..Config::default() };
    let served = Served::server(with(config), echo_some(0));
    let peer = Peer::open_with(served.addr, &Request::hixie76());
    let goodbye = ClosingHandshake::Sent { ours: Close::empty() };
    let end = End::LetGo(adieu::LetGo::Clock(Timer::Linger));
    served.ended(Cause::HandlerReturned, goodbye, end, Side::Local);
    drop(peer);
    served.stop();
}

/// What every old WebKit does on a refresh, at `close()`, and when it exits.
#[test]
fn a_fin_alone_is_an_end_without_goodbye() {
    let served = Served::server(Endpoint::new(), echo);
    let mut peer = Peer::open_with(served.addr, &Request::hixie76());
    peer.fin();
    let rest = peer.read_to_end();
    assert_eq!((&rest.bytes[..], rest.end), (&b""[..], TcpEnd::Fin));
    drop(peer);
    served.ended(Cause::Eof, ClosingHandshake::None, End::Finished, Side::Peer);

    let mut peer = Peer::open_with(served.addr, &Request::hixie76());
    peer.write(b"\x00cut");
    peer.fin();
    served.ended_cut(
        Cause::Eof,
        ClosingHandshake::None,
        End::Finished,
        Side::Peer,
        Truncation::MidFrame,
    );

    Peer::open_with(served.addr, &Request::hixie76()).reset();
    served.ended(Cause::Reset, ClosingHandshake::None, End::Reset, Side::Peer);
    served.stop();
}

#[test]
fn binary_cannot_be_said_to_a_hixie_peer() {
    let served = Served::server(Endpoint::new(), async |socket: Socket| {
        assert_eq!(socket.version(), Version::Hixie76);
        assert!(socket.send("text").await.is_ok());
        assert!(socket.send(Message::from(vec![1, 2])).await.is_err());
        assert!(socket.send("closed by that").await.is_err());
        CloseCode::NORMAL
    });
    let mut peer = Peer::open_with(served.addr, &Request::hixie76());
    assert_eq!(peer.read_exact(8), [hixie::text("text"), hixie::CLOSE.into()].concat());
    peer.write(hixie::CLOSE);
    assert_eq!(peer.read_to_end().end, TcpEnd::Fin);
    drop(peer);
    let goodbye =
        ClosingHandshake::SentThenReceived { ours: Close::empty(), theirs: Close::empty() };
    served.ended(Cause::NoBinary, goodbye, End::Finished, Side::Local);
    served.stop();
}
