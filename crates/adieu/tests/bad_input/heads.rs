//! Requests that are none, that never end, or that cost too much to read.

use std::sync::Arc;
use std::time::{Duration, Instant};

use adieu::{Cause, Config, HandshakeError as H, defaults};
use adieu_proto::Connection;
use testkit::{NONCE, Peer, Request, TcpEnd};

use crate::proto::Bare;
use crate::{MIB, heap, host, in_linear_time, refused};

#[test]
fn a_head_of_twenty_megabytes() {
    let _alone = heap::alone();
    let host = host(Config::default());
    let request = Request::rfc6455().field("Cookie", &"x".repeat(20 * MIB)).bytes();
    let peak = heap::peak_of_others(|| {
        assert_eq!(refused(&host, &request, 431), H::HeadTooLong(defaults::MAX_HEAD));
    });
    assert!(peak < MIB, "{peak} bytes were held");
    let endless = [b"GET / HTTP/1.1\r\n".to_vec(), b"A: b\r\n".repeat(5000)].concat();
    refused(&host, &endless, 431);
    refused(&host, &b"\r\n".repeat(20_000), 400);
    host.still_serves();
    host.finish();
}

#[test]
fn a_head_that_dribbles_in_is_searched_once() {
    let _alone = heap::alone();
    in_linear_time(|| {
        let now = Instant::now();
        let config = Config { max_head: MIB, ..Config::default() };
        let mut server = Bare::new(Connection::server(now, Arc::new(config)), now);
        let head = Request::rfc6455().field("Cookie", &"\n ".repeat(MIB)).bytes();
        let mut pushed = 0;
        while !server.connection.status().has_output() {
            server.receive(&[head[pushed]]);
            pushed += 1;
        }
        assert_eq!(pushed, MIB + 1);
        assert!(server.drain().0.starts_with(b"HTTP/1.1 431 "));
    });
}

#[test]
fn two_thousand_fields() {
    let _alone = heap::alone();
    let host = host(Config::default());
    let names = (b'a'..=b'z').flat_map(|a| (b'a'..=b'z').map(move |b| [a, b])).cycle();
    let name = |name: [u8; 2]| String::from_utf8(name.to_vec()).unwrap();
    let fields: Vec<_> = names.map(name).take(2000).collect();
    let request = fields.iter().fold(Request::rfc6455(), |request, name| request.field(name, ""));
    assert!(request.bytes().len() < defaults::MAX_HEAD);
    let error = refused(&host, &request.bytes(), 431);
    assert_eq!(error, H::TooManyFields(defaults::MAX_FIELDS));
    host.still_serves();
    host.finish();
}

#[test]
fn fields_that_make_a_regular_expression_backtrack() {
    let _alone = heap::alone();
    let host = host(Config { max_head: MIB, ..Config::default() });
    let spaces = format!("b{}x", " ".repeat(900_000));
    let escapes = format!("a;b=\"{}", "\\c".repeat(400_000));
    in_linear_time(|| {
        for (name, value) in
            [("Sec-WebSocket-Protocol", &spaces), ("Sec-WebSocket-Extensions", &escapes)]
        {
            let mut peer = Peer::connect(host.addr);
            let answer = peer.handshake(&Request::rfc6455().field(name, value));
            assert_eq!(answer.field("Sec-WebSocket-Protocol"), None);
            assert_eq!(answer.field("Sec-WebSocket-Extensions"), None);
            drop(peer);
            host.account();
        }
    });
    host.still_serves();
    host.finish();
}

#[test]
fn the_deadline_is_absolute() {
    let _alone = heap::alone();
    let start = Instant::now();
    let request = Request::rfc6455().bytes();
    let mut server = Bare::new(Connection::server(start, Arc::new(Config::default())), start);
    // One byte each second: no byte moves the deadline.
    let mut answered = None;
    for (i, byte) in request.iter().enumerate() {
        let now = start + Duration::from_secs(1) * i as u32;
        server.now = now;
        server.connection.handle_timeout(now, None, &mut server.scratch);
        server.receive(&[*byte]);
        let (bytes, _) = server.drain();
        if !bytes.is_empty() {
            assert!(bytes.starts_with(b"HTTP/1.1 408 "));
            answered.get_or_insert(i);
        }
    }
    assert_eq!(answered, Some(10));
}

#[test]
fn whoever_never_asks_is_let_go() {
    let _alone = heap::alone();
    let short = Duration::from_millis(100);
    let host = host(Config { handshake_timeout: short, linger: short, ..Config::default() });
    let mut silent = Peer::connect(host.addr);
    // Nothing was asked, so there is nobody to answer.
    assert_eq!(silent.read_to_end().bytes, b"");
    assert_eq!(host.account().ending.cause, Cause::Handshake(H::TimedOut));
    let mut no_nonce = Peer::connect(host.addr);
    no_nonce.write(Request::hixie76().bytes());
    assert_eq!(no_nonce.read_head().status(), 101);
    no_nonce.write(&NONCE.0[..7]);
    assert_eq!(no_nonce.read_to_end().bytes, b"", "the sixteen bytes are not forged");
    let ending = host.account().ending;
    assert_eq!((ending.cause.clone(), ending.opened()), (Cause::Handshake(H::TimedOut), false));
    host.still_serves();
    host.finish();
}

#[test]
fn requests_that_are_none() {
    let _alone = heap::alone();
    let host = host(Config::default());
    let request = Request::rfc6455;
    let with = |from: &str, to: &str| {
        String::from_utf8(request().bytes()).unwrap().replace(from, to).into_bytes()
    };
    let cases: Vec<(Vec<u8>, u16)> = vec![
        (b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03\r\n\r\n".to_vec(), 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), 400),
        (b"\0\0\0\0\n\n".to_vec(), 400),
        (with("HTTP/1.1", "HTTP/1.0"), 400),
        (with("GET /", "POST /"), 405),
        (with("GET / ", "GET /a b "), 400),
        (with("Host: ", "Ho st: "), 400),
        (request().without("Host").bytes(), 400),
        (request().without("Upgrade").bytes(), 426),
        (request().set("Upgrade", "h2c").bytes(), 426),
        (request().without("Connection").bytes(), 400),
        (request().set("Connection", "keep-alive").bytes(), 400),
        (request().without("Sec-WebSocket-Key").bytes(), 400),
        (request().set("Sec-WebSocket-Key", "c2hvcnQ=").bytes(), 400),
        (request().set("Sec-WebSocket-Key", "not base64 at all").bytes(), 400),
        (request().without("Sec-WebSocket-Version").bytes(), 400),
        (request().set("Sec-WebSocket-Version", "14").bytes(), 426),
        (request().set("Sec-WebSocket-Version", "-1").bytes(), 426),
        (Request::hixie75().field("Content-Length", "5").bytes(), 400),
        (Request::hixie76().field("Content-Length", "9").bytes(), 400),
        (Request::hixie76().without("Sec-WebSocket-Key2").bytes(), 400),
    ];
    for (request, status) in cases {
        refused(&host, &request, status);
    }
    host.still_serves();
    host.finish();
}

#[test]
fn an_unknown_version_is_told_the_known_ones() {
    let _alone = heap::alone();
    let host = host(Config::default());
    let mut peer = Peer::connect(host.addr);
    peer.write(Request::rfc6455().set("Sec-WebSocket-Version", "6").bytes());
    let head = peer.read_head();
    assert_eq!((head.status(), head.field("Sec-WebSocket-Version")), (426, Some("13, 8, 7")));
    assert_eq!(peer.read_to_end().end, TcpEnd::Fin);
    drop(peer);
    host.account();
    host.finish();
}

#[test]
fn challenges_that_cannot_be_divided() {
    let _alone = heap::alone();
    let host = host(Config { max_head: MIB, ..Config::default() });
    let long = format!("1 {}", "9".repeat(900_000));
    for key in ["12345678", "a b c", "1 2 1", "99999999999 0", "", " ", &long] {
        for field in ["Sec-WebSocket-Key1", "Sec-WebSocket-Key2"] {
            let request = [Request::hixie76().set(field, key).bytes(), NONCE.0.to_vec()].concat();
            let error = refused(&host, &request, 400);
            assert!(matches!(error, H::Challenge(_)), "{key:.20}: {error:?}");
        }
    }
    host.still_serves();
    host.finish();
}
