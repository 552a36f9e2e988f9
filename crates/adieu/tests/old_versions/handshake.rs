//! hixie-76: the opening handshake.

use std::time::Duration;

use adieu::{
    Cause, ClosingHandshake, Config, End, Endpoint, HandshakeError, Side, Socket, Version,
};
use testkit::{NONCE, Peer, Request, TcpEnd, hixie};

use crate::served::{Served, echo, with};
use crate::{HEAD_76, clean_76, echo_and_goodbye, refused};

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
    served.ended(Cause::Eof, ClosingHandshake::None, End::Finished, Side::Peer);
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
    // Long enough for a busy machine to read the head.
    let handshake_timeout = Duration::from_millis(500);
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
    assert_eq!(served.account().ending.cause, Cause::Handshake(HandshakeError::Draining));
    served.stop();
}
