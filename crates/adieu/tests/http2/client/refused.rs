//! Answers that refuse, that lead elsewhere, and that agree on what was not offered.

use adieu::http::{Response, StatusCode};
use adieu::{
    Accept, ConnectError, Endpoint, Handshake, HandshakeError, Refusal, TransportKind, defaults,
};
use testkit::http2::Http2Server;

use super::{World, echoes, url};
use crate::served::echo;

fn refusal(error: &ConnectError) -> Refusal {
    error.refusal().unwrap_or_else(|| panic!("{error}")).clone()
}

#[test]
fn a_refusal_is_the_same_over_both() {
    let world = World::new();
    let endpoint = Endpoint::new().on_handshake(async |_: Handshake| {
        let response = Response::builder().status(429).header("retry-after", "7");
        Err::<Accept, _>(response.body("too soon").unwrap())
    });
    let served = world.serve(endpoint, echo);
    let url = url(served.addr, "/");
    let over_http2 = world.refused(world.connecting(&url));
    let ConnectError::Handshake(_, ending) = &over_http2 else { panic!("{over_http2}") };
    assert!(ending.http2.is_some(), "{ending}");
    let client = world.client.clone().http2(false);
    let over_http1 = world.wait(client.connect(&url)).expect_err("a refusal");
    let (one, two) = (refusal(&over_http2), refusal(&over_http1));
    assert_eq!((one.status, one.body_text(), one.body_is_whole), (429, "too soon".into(), true));
    assert_eq!((two.status, two.body_text()), (429, "too soon".into()));
    assert_eq!((one.header("retry-after"), one.header("Retry-After")), (Some("7"), Some("7")));
    for _ in 0..2 {
        served.account();
    }
    served.stop();
}

#[test]
fn of_a_long_body_a_part_is_kept() {
    let world = World::new();
    let raw = world.raw(&["h2"]);
    let connecting = world.connecting(raw.url());
    let mut server = raw.websockets();
    let (stream, _) = server.read_request();
    server.answer(stream, 503, &[("retry-after", "1")], false);
    let body = vec![b'x'; defaults::MAX_REFUSAL_BODY + 1];
    for (n, part) in body.chunks(16_000).enumerate() {
        let last = (n + 1) * 16_000 >= body.len();
        server.send_raw(&Http2Server::data(stream, part, last));
    }
    let refusal = refusal(&world.refused(connecting));
    assert_eq!((refusal.status, refusal.body.len()), (503, defaults::MAX_REFUSAL_BODY));
    assert!(!refusal.body_is_whole);
}

#[test]
fn a_body_that_breaks_off_is_said_to() {
    let world = World::new();
    let raw = world.raw(&["h2"]);
    let connecting = world.connecting(raw.url());
    let mut server = raw.websockets();
    let (stream, _) = server.read_request();
    server.send_all_raw(&[
        Http2Server::head(stream, 503, &[], false),
        Http2Server::data(stream, "only a pa", false),
    ]);
    server.fin();
    let refusal = refusal(&world.refused(connecting));
    assert_eq!((refusal.status, &*refusal.body_text()), (503, "only a pa"));
    assert!(!refusal.body_is_whole);
}

#[test]
fn interim_answers_are_skipped() {
    let world = World::new();
    let raw = world.raw(&["h2"]);
    let connecting = world.connecting(raw.url());
    let mut server = raw.websockets();
    let (stream, _) = server.read_request();
    server.answer(stream, 103, &[("link", "</a.css>")], false);
    server.answer(stream, 200, &[("x-it", "this")], false);
    let socket = world.connected(connecting);
    assert_eq!(socket.response().and_then(|head| head.header("X-It")), Some("this"));
}

#[test]
fn a_redirect_is_followed_on_the_same_connection() {
    let world = World::with(|client| client.redirects(3));
    let endpoint = Endpoint::new().on_handshake(async |handshake: Handshake| {
        if handshake.request().uri().path() == "/new" {
            return Ok(Accept::new());
        }
        let response = Response::builder().status(StatusCode::TEMPORARY_REDIRECT);
        Err(response.header("location", "/new").body("").unwrap())
    });
    let served = world.serve(endpoint, echo);
    let mut socket = world.connect(&url(served.addr, "/old"));
    world.wait(echoes(&mut socket, "found"));
    let ending = world.wait(socket.close(1000));
    let redirected = world.heard();
    let (redirected, opened) = (redirected.http2.unwrap(), ending.http2.unwrap());
    assert_eq!(redirected.connection, opened.connection);
    assert_eq!((redirected.stream, opened.stream), (1, 3));
    for _ in 0..2 {
        served.account();
    }
    served.stop();
}

#[test]
fn what_was_not_offered_is_a_bad_answer_as_over_http_1() {
    for (field, named) in [
        (("sec-websocket-protocol", "b"), "Sec-WebSocket-Protocol"),
        (("sec-websocket-extensions", "permessage-deflate"), "Sec-WebSocket-Extensions"),
    ] {
        let world = World::with(|client| client.subprotocol("a"));
        let raw = world.raw(&["h2"]);
        let connecting = world.connecting(raw.url());
        let mut server = raw.websockets();
        let (stream, fields) = server.read_request();
        let offered = fields.iter().find(|(name, _)| name == "sec-websocket-protocol");
        assert_eq!(offered.map(|(_, value)| value.as_str()), Some("a"));
        server.answer(stream, 200, &[field], false);
        // Our END_STREAM is answered with one.
        server.next_for(stream);
        server.send_raw(&Http2Server::data(stream, "", true));
        let ConnectError::Handshake(error, _) = world.refused(connecting) else { panic!() };
        assert_eq!(error, HandshakeError::BadAnswer(named));
    }
}

#[test]
fn a_subprotocol_is_agreed_on() {
    let world = World::with(|client| client.subprotocol("a").subprotocol("b"));
    let served = world.serve(Endpoint::new().subprotocols(["b"]), echo);
    let mut socket = world.connect(&url(served.addr, "/"));
    assert_eq!(socket.subprotocol(), Some("b"));
    let negotiated = socket.negotiated().unwrap();
    assert_eq!((negotiated.transport, negotiated.secure), (TransportKind::Http2, true));
    world.wait(echoes(&mut socket, "hello"));
    assert!(world.wait(socket.close(1000)).is_clean());
    served.account();
    served.stop();
}

#[cfg(feature = "deflate")]
#[test]
fn compression_is_agreed_on() {
    let config =
        || adieu::Config { deflate: Some(adieu::Deflate::default()), ..adieu::Config::default() };
    let world = World::with(|client| client.config(config()));
    let served = world.serve(Endpoint::new().config(config()), echo);
    let mut socket = world.connect(&url(served.addr, "/"));
    assert!(socket.negotiated().unwrap().deflate.is_some());
    world.wait(echoes(&mut socket, &"many words, ".repeat(1000)));
    let ending = world.wait(socket.close(1000));
    let compressed = ending.compressed.expect("compression");
    assert!(compressed.sent_as < compressed.sent / 10, "{compressed:?}");
    served.account();
    served.stop();
}

#[test]
fn a_server_whose_head_is_too_long_is_told_by_its_limit() {
    let config = adieu::Config { max_head: 1000, ..adieu::Config::default() };
    let world = World::with(|client| client.config(config));
    let raw = world.raw(&["h2"]);
    let connecting = world.connecting(raw.url());
    let mut server = raw.websockets();
    let (stream, _) = server.read_request();
    server.answer(stream, 200, &[("x", &"y".repeat(2000))], false);
    server.next_for(stream);
    server.send_raw(&Http2Server::data(stream, "", true));
    let ConnectError::Handshake(error, _) = world.refused(connecting) else { panic!() };
    assert_eq!(error, HandshakeError::HeadTooLong(1000));
}
