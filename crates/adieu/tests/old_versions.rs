//! The versions before RFC 6455 over real sockets: handshakes byte by byte, framing, closing,
//! and accounts as exact as each version allows.

mod perl;
mod served;

use std::time::Duration;

use adieu::{
    Cause, Close, CloseCode, Config, Cut, End, Endpoint, Goodbye, HandshakeError, Message,
    ProtocolError, Side, Socket, Timer, Version, VersionSet,
};
use served::{Account, Served, echo, echo_some, with};
use testkit::{Frame, NONCE, Peer, Request, TcpEnd, hixie};

const HEAD_76: &str = "HTTP/1.1 101 WebSocket Protocol Handshake\r\n\
    Upgrade: WebSocket\r\n\
    Connection: Upgrade\r\n\
    Sec-WebSocket-Origin: http://example.com\r\n\
    Sec-WebSocket-Location: ws://example.com";

fn every_version() -> Endpoint {
    with(Config { versions: VersionSet::all(), ..Config::default() })
}

/// hixie's goodbye both ways, the peer's first.
fn both_by_peer() -> Goodbye {
    Goodbye::ReceivedThenSent { theirs: Close::empty(), ours: Close::empty() }
}

/// Says a text, hears it back, says goodbye, hears that back, and the FIN behind it.
fn echo_and_goodbye(peer: &mut Peer) {
    peer.write(hixie::text("grüße"));
    assert_eq!(peer.read_exact(9), hixie::text("grüße"));
    peer.write(hixie::CLOSE);
    let rest = peer.read_to_end();
    assert_eq!((&rest.bytes[..], rest.end), (&hixie::CLOSE[..], TcpEnd::Fin));
}

fn clean_76(served: &Served) -> Account {
    let account = served.ended(Cause::Peer, both_by_peer(), End::Fin, Side::Local);
    assert_eq!(account.version, Some(Version::Hixie76));
    assert!(account.ending.is_clean());
    account
}

// hixie-76: the handshake.

#[test]
fn the_nonce_may_come_with_the_head_later_or_byte_by_byte() {
    let served = Served::server(Endpoint::new(), echo);
    for length in [None, Some("8")] {
        let request = Request::hixie76().target("/chat?room=1&x=%20");
        let request = length.into_iter().fold(request, |r, n| r.field("Content-Length", n));
        for step in [8, 7, 1] {
            let mut peer = Peer::connect(served.addr);
            let (first, rest) = NONCE.0.split_at(NONCE.0.len() % step);
            // The head alone, or with the nonce's first byte.
            peer.write([&request.bytes(), first].concat());
            // A proxy holds the nonce back until it has seen the answer's head.
            let head = peer.read_head();
            assert_eq!(head.text, format!("{HEAD_76}/chat?room=1&x=%20"));
            for piece in rest.chunks(step) {
                peer.write(piece);
            }
            assert_eq!(peer.read_exact(16), NONCE.1);
            echo_and_goodbye(&mut peer);
            drop(peer);
            let account = clean_76(&served);
            assert_eq!(account.target.as_deref(), Some("/chat?room=1&x=%20"));
        }
        let mut peer = Peer::open_with(served.addr, &request);
        echo_and_goodbye(&mut peer);
        drop(peer);
        clean_76(&served);
    }
    served.stop();
}

#[test]
fn what_follows_the_nonce_is_kept() {
    let served = Served::server(Endpoint::new(), echo);
    let mut peer = Peer::connect(served.addr);
    let behind = [hixie::text("at once"), hixie::CLOSE.to_vec()].concat();
    peer.write([&Request::hixie76().bytes(), &NONCE.0[..], &behind].concat());
    assert_eq!(peer.read_head().text, format!("{HEAD_76}/"));
    let rest = peer.read_to_end();
    assert_eq!((rest.bytes, rest.end), ([&NONCE.1[..], &behind].concat(), TcpEnd::Fin));
    drop(peer);
    clean_76(&served);
    served.stop();
}

#[test]
fn a_subprotocol_follows_the_location() {
    let endpoint = Endpoint::new().subprotocols(["chat.v2", "chat.v1"]);
    let served = Served::server(endpoint, async |mut socket: Socket| {
        let chosen = socket.subprotocol().unwrap_or("none").to_owned();
        let _ = socket.send(chosen).await;
        socket.recv().await;
    });
    // The draft joins names with a space.
    let request = Request::hixie76().field("Sec-WebSocket-Protocol", "chat.v1 other");
    let mut peer = Peer::connect(served.addr);
    let head = peer.handshake(&request);
    assert_eq!(head.text, format!("{HEAD_76}/\r\nSec-WebSocket-Protocol: chat.v1"));
    assert_eq!(peer.read_exact(9), hixie::text("chat.v1"));
    drop(peer);
    served.ended(Cause::Eof, Goodbye::None, End::Fin, Side::Peer);
    served.stop();
}

#[test]
fn draft_0_is_hixie_76_and_the_drafts_between_are_refused() {
    let served = Served::server(Endpoint::new(), echo);
    let draft = |n: &str| Request::hixie76().field("Sec-WebSocket-Draft", n);
    let mut peer = Peer::open_with(served.addr, &draft("0"));
    echo_and_goodbye(&mut peer);
    drop(peer);
    clean_76(&served);
    for n in ["1", "2", "3"] {
        let bytes = [draft(n).bytes(), NONCE.0.to_vec()].concat();
        let error = HandshakeError::Version(format!("draft {n}"));
        refused(&served, &bytes, 426, Some("13, 8, 7"), error);
    }
    served.stop();
}

/// Refused with this answer, and a sentence for people in it.
#[track_caller]
fn refused(
    served: &Served,
    request: &[u8],
    status: u16,
    versions: Option<&str>,
    error: HandshakeError,
) {
    let mut peer = Peer::connect(served.addr);
    peer.write(request);
    let head = peer.read_head();
    assert_eq!(head.status(), status, "{}", head.text);
    assert_eq!(head.field("Sec-WebSocket-Version"), versions);
    assert_eq!(head.field("Connection"), Some("close"));
    let rest = peer.read_to_end();
    assert_eq!((rest.text(), rest.end), (format!("{error}\n"), TcpEnd::Fin));
    drop(peer);
    served.ended(Cause::Handshake(error), Goodbye::None, End::Fin, Side::Local);
}

#[test]
fn bad_challenges_are_answered_400_with_their_rule() {
    let served = Served::server(Endpoint::new(), echo);
    let endless = format!("1 {}", "7".repeat(10_000));
    for (key, rule) in [
        ("12345678", "a key without a space"),
        ("a b c", "a key without a digit"),
        ("1 2 1", "a key that its spaces do not divide"),
        ("99999999999 0", "a key whose number exceeds 32 bits"),
        (&endless, "a key with too many digits"),
    ] {
        let request = Request::hixie76().set("Sec-WebSocket-Key2", key).bytes();
        refused(&served, &request, 400, None, HandshakeError::Challenge(rule));
    }
    let one_key = Request::hixie76().without("Sec-WebSocket-Key2").bytes();
    refused(&served, &one_key, 400, None, HandshakeError::Missing("Sec-WebSocket-Key2"));
    let long = Request::hixie76().field("Content-Length", "9").bytes();
    refused(&served, &long, 400, None, HandshakeError::BadField("Content-Length"));
    served.stop();
}

#[test]
fn every_space_of_a_key_counts() {
    let served = Served::server(Endpoint::new(), echo);
    // The same keys with their spaces in runs, and others in their place.
    let request = Request::hixie76()
        .set("Sec-WebSocket-Key1", "4@1    46546xW%0l 15")
        .set("Sec-WebSocket-Key2", "12998     5Y31.P00");
    let mut peer = Peer::open_with(served.addr, &request);
    echo_and_goodbye(&mut peer);
    drop(peer);
    clean_76(&served);
    served.stop();
}

#[test]
fn a_nonce_that_never_comes_ends_at_the_deadline() {
    let handshake_timeout = Duration::from_millis(100);
    let served = Served::server(with(Config { handshake_timeout, ..Config::default() }), echo);
    let mut peer = Peer::connect(served.addr);
    peer.write([&Request::hixie76().bytes(), &NONCE.0[..7]].concat());
    assert_eq!(peer.read_head().status(), 101);
    let rest = peer.read_to_end();
    assert_eq!((&rest.bytes[..], rest.end), (&b""[..], TcpEnd::Fin));
    drop(peer);
    let timed_out = Cause::Handshake(HandshakeError::TimedOut);
    let account = served.account();
    assert_eq!(account.ending.cause, timed_out);
    assert_eq!(account.version, Some(Version::Hixie76));
    assert!(!account.ending.opened());
    served.stop();
}

#[test]
fn a_server_that_stops_does_not_answer_twice() {
    let served = Served::server(Endpoint::new(), echo);
    let mut peer = Peer::connect(served.addr);
    peer.write(Request::hixie76().bytes());
    assert_eq!(peer.read_head().status(), 101);
    served.drain.start();
    // Not the head of a 503 where the sixteen bytes belong.
    let rest = peer.read_to_end();
    assert_eq!((&rest.bytes[..], rest.end), (&b""[..], TcpEnd::Fin));
    drop(peer);
    assert_eq!(served.account().ending.cause, Cause::Handshake(HandshakeError::Refused(503)));
    served.stop();
}

// hixie-76: frames and the end.

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
        served.ended(Cause::Eof, Goodbye::None, End::Fin, Side::Peer);
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
    let goodbye = Goodbye::Sent { ours: Close::empty() };
    let cause = Cause::Violation(error);
    served.ended_cut(cause, goodbye, End::Fin, Side::Local, Cut::MidFrame);
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
    let goodbye = Goodbye::SentThenReceived { ours: Close::empty(), theirs: Close::empty() };
    let account = served.ended(Cause::Application, goodbye, End::Fin, Side::Local);
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
    let goodbye = Goodbye::Sent { ours: Close::empty() };
    let account = served.ended(Cause::Application, goodbye, End::Fin, Side::Local);
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
    let goodbye = Goodbye::Sent { ours: Close::empty() };
    let end = End::Abandoned(Timer::Linger);
    served.ended(Cause::Application, goodbye, end, Side::Local);
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
    served.ended(Cause::Eof, Goodbye::None, End::Fin, Side::Peer);

    let mut peer = Peer::open_with(served.addr, &Request::hixie76());
    peer.write(b"\x00cut");
    peer.fin();
    served.ended_cut(Cause::Eof, Goodbye::None, End::Fin, Side::Peer, Cut::MidFrame);

    Peer::open_with(served.addr, &Request::hixie76()).reset();
    served.ended(Cause::Reset, Goodbye::None, End::Reset, Side::Peer);
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
    let goodbye = Goodbye::SentThenReceived { ours: Close::empty(), theirs: Close::empty() };
    served.ended(Cause::Application, goodbye, End::Fin, Side::Local);
    served.stop();
}

// hixie-75.

#[test]
fn hixie_75_is_off_unless_asked_for() {
    let served = Served::server(Endpoint::new(), echo);
    let error = HandshakeError::Version("hixie-75".to_owned());
    refused(&served, &Request::hixie75().bytes(), 426, Some("13, 8, 7"), error);
    served.stop();
}

#[test]
fn hixie_75_has_no_challenge_and_no_goodbye() {
    let served = Served::server(every_version(), echo_some(2));
    let request = Request::hixie75().target("/a?b=c");
    let mut peer = Peer::connect(served.addr);
    let head = peer.handshake(&request);
    let want = "HTTP/1.1 101 Web Socket Protocol Handshake\r\n\
        Upgrade: WebSocket\r\n\
        Connection: Upgrade\r\n\
        WebSocket-Origin: http://example.com\r\n\
        WebSocket-Location: ws://example.com/a?b=c";
    assert_eq!(head.text, want);
    // There FF 00 is a frame of length 0, and no goodbye.
    peer.write([&hixie::text("one")[..], &hixie::CLOSE, &hixie::text("two")].concat());
    let rest = peer.read_to_end();
    assert_eq!(rest.bytes, [hixie::text("one"), hixie::text("two")].concat());
    assert_eq!(rest.end, TcpEnd::Fin);
    drop(peer);
    let account = served.ended(Cause::Application, Goodbye::None, End::Fin, Side::Local);
    assert_eq!(account.version, Some(Version::Hixie75));
    assert!(account.ending.opened() && !account.ending.is_clean());

    Peer::open_with(served.addr, &request).close();
    served.ended(Cause::Eof, Goodbye::None, End::Fin, Side::Peer);
    let body = [request.field("Content-Length", "4").bytes(), b"body".to_vec()].concat();
    refused(&served, &body, 400, None, HandshakeError::UnexpectedBytes);
    served.stop();
}

// hybi-07 and hybi-08.

#[test]
fn versions_8_and_7_differ_in_a_field_and_a_number() {
    let only = |origin: Option<&str>| origin == Some("http://example.com");
    let served = Served::server(Endpoint::new().origin(only), echo);
    let early = Request::hybi(8)
        // An early npm `ws`: a key of 15 bytes, and both fields for the origin.
        .set("Sec-WebSocket-Key", "MTIzNDU2Nzg5MDEyMzQ1")
        .field("Origin", "http://the.server.itself");
    let late = Request::hybi(8)
        .without("Sec-WebSocket-Origin")
        .field("Origin", "http://example.com")
        .field("Sec-WebSocket-Extensions", "x-webkit-deflate-frame");
    let seven = Request::hybi(7).field("Sec-WebSocket-Extensions", "deflate-stream");
    for (request, version, accept) in [
        (Request::hybi(8), Version::Hybi08, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
        (early, Version::Hybi08, &testkit::accept_key("MTIzNDU2Nzg5MDEyMzQ1")),
        (late, Version::Hybi08, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
        (seven, Version::Hybi07, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
    ] {
        let mut peer = Peer::connect(served.addr);
        let head = peer.handshake(&request);
        assert_eq!(head.field("Sec-WebSocket-Accept"), Some(accept));
        assert_eq!(head.field("Sec-WebSocket-Extensions"), None);
        peer.send_all(&[Frame::binary(b"\x01\x02"), Frame::close(1000, "bye")]);
        let rest = peer.read_to_end();
        assert_eq!(rest.frames(), [Frame::binary(b"\x01\x02"), Frame::close(1000, "")]);
        drop(peer);
        let theirs = Close::new(1000, "bye").unwrap();
        let ours = CloseCode::NORMAL.into();
        let goodbye = Goodbye::ReceivedThenSent { theirs, ours };
        let account = served.ended(Cause::Peer, goodbye, End::Fin, Side::Local);
        assert_eq!(account.version, Some(version));
    }
    let foreign = Request::hybi(8).set("Sec-WebSocket-Origin", "http://evil.example");
    let error = HandshakeError::Origin("http://evil.example".to_owned());
    refused(&served, &foreign.bytes(), 403, None, error);
    served.stop();
}

#[test]
fn unknown_versions_hear_which_are_served() {
    let served = Served::server(Endpoint::new(), echo);
    for version in [99, 6, 4, 0] {
        let error = HandshakeError::Version(version.to_string());
        let request = Request::hybi(version).bytes();
        refused(&served, &request, 426, Some("13, 8, 7"), error);
    }
    let only_13 = VersionSet::none().with(Version::Rfc6455);
    let served_13 = Served::server(with(Config { versions: only_13, ..Config::default() }), echo);
    let error = HandshakeError::Version("hybi-08".to_owned());
    refused(&served_13, &Request::hybi(8).bytes(), 426, Some("13"), error);
    served.stop();
    served_13.stop();
}

// A client that somebody else wrote.

#[test]
fn perls_clients_of_hixie_76_and_version_8_are_served() {
    if !perl::available() {
        return;
    }
    let served = Served::server(Endpoint::new(), echo);
    perl::closes(&served, "");
    served.stop();
    let served = Served::server(Endpoint::new(), echo_some(2));
    perl::is_closed(&served, "");
    served.stop();
}
