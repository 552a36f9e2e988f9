//! What is tried when HTTP/2, or a stream of it, cannot be had; and that nothing is tried twice
//! which the server may have begun.

use std::time::Duration;

use adieu::{Cause, Config, ConnectError, End, HandshakeError, Http2ErrorCode, TransportKind};
use testkit::Frame;
use testkit::http2::{Http2Frame, Http2Server, RawFrame, code};

use super::World;

const REFUSED_STREAM: Http2ErrorCode = Http2ErrorCode(code::REFUSED_STREAM);

fn is_http1(socket: &adieu::Socket) -> bool {
    socket.negotiated().map(|negotiated| negotiated.transport) == Some(TransportKind::Tls)
}

#[test]
fn a_server_that_chooses_http_1_is_spoken_to_on_that_connection() {
    let world = World::new();
    let raw = world.raw(&["http/1.1"]);
    let connecting = world.connecting(raw.url());
    let _tls = raw.http1();
    let socket = world.connected(connecting);
    assert!(is_http1(&socket));
}

#[test]
fn without_enable_connect_protocol_it_is_http_1_on_a_connection_of_its_own_and_stays_so() {
    let world = World::new();
    let raw = world.raw(&["h2", "http/1.1"]);
    let connecting = world.connecting(raw.url());
    let mut server = raw.http2(&[]);
    let _first = raw.http1();
    let first = world.connected(connecting);
    let (frames, _) = server.read_to_end();
    let asked = frames.iter().any(|frame| matches!(frame, Http2Frame::Headers { .. }));
    assert!(!asked, "nothing was asked there: {frames:?}");
    let connecting = world.connecting(raw.url());
    // It offers nothing else.
    let _second = raw.http1();
    let second = world.connected(connecting);
    assert!(is_http1(&first) && is_http1(&second));
}

#[test]
fn a_connection_that_ends_before_its_settings_leaves_http_1() {
    let world = World::new();
    let raw = world.raw(&["h2", "http/1.1"]);
    let connecting = world.connecting(raw.url());
    let (tls, _, tcp) = raw.accept();
    Http2Server::silent(tls, tcp).fin();
    let _tls = raw.http1();
    assert!(is_http1(&world.connected(connecting)));
}

#[test]
fn a_refused_stream_is_tried_once_more_on_a_new_connection() {
    let world = World::new();
    let raw = world.raw(&["h2"]);
    let connecting = world.connecting(raw.url());
    let mut server = raw.websockets();
    let (stream, _) = server.read_request();
    server.send_raw(&RawFrame::rst_stream(stream, code::REFUSED_STREAM));
    let mut other = raw.websockets();
    other.open_websocket();
    let socket = world.connected(connecting);
    // Each try has its report.
    let ending = world.heard();
    assert_eq!(ending.http2.unwrap().reset, Some(REFUSED_STREAM), "{ending}");
    assert_eq!(ending.cause, Cause::Handshake(HandshakeError::Reset), "{ending}");
    drop(socket);
}

#[test]
fn a_stream_that_is_refused_twice_is_an_error() {
    let world = World::new();
    let raw = world.raw(&["h2"]);
    let connecting = world.connecting(raw.url());
    let mut servers = Vec::new();
    for _ in 0..2 {
        let mut server = raw.websockets();
        let (stream, _) = server.read_request();
        server.send_raw(&RawFrame::rst_stream(stream, code::REFUSED_STREAM));
        servers.push(server);
    }
    let ConnectError::Handshake(error, ending) = world.refused(connecting) else { panic!() };
    assert_eq!(error, HandshakeError::Reset);
    assert_eq!(ending.http2.unwrap().reset, Some(REFUSED_STREAM), "{ending}");
    assert_ne!(world.heard().http2, world.heard().http2);
    world.done();
}

#[test]
fn a_stream_that_a_goaway_leaves_out_is_tried_once_more_on_a_new_connection() {
    let world = World::new();
    let raw = world.raw(&["h2"]);
    let connecting = world.connecting(raw.url());
    let mut server = raw.websockets();
    server.read_request();
    server.send_raw(&RawFrame::goaway(0, code::NO_ERROR, "not this one"));
    let mut other = raw.websockets();
    other.open_websocket();
    drop(world.connected(connecting));
    let ending = world.heard();
    assert_eq!(ending.http2.unwrap().goaway, Some(Http2ErrorCode::NO_ERROR), "{ending}");
    assert!(ending.to_string().contains("has not processed the stream"), "{ending}");
}

#[test]
fn http_1_1_required_is_obeyed() {
    let world = World::new();
    let raw = world.raw(&["h2", "http/1.1"]);
    let connecting = world.connecting(raw.url());
    let mut server = raw.websockets();
    let (stream, _) = server.read_request();
    server.send_raw(&RawFrame::rst_stream(stream, code::HTTP_1_1_REQUIRED));
    let _tls = raw.http1();
    assert!(is_http1(&world.connected(connecting)));
}

#[test]
fn a_shared_connection_that_turns_out_dead_is_replaced() {
    for reset in [false, true] {
        let world = World::new();
        let raw = world.raw(&["h2"]);
        let connecting = world.connecting(raw.url());
        let mut server = raw.websockets();
        server.open_websocket();
        let first = world.connected(connecting);
        let connecting = world.connecting(raw.url());
        server.read_request();
        if reset {
            server.reset();
        } else {
            server.fin();
        }
        let mut other = raw.websockets();
        other.open_websocket();
        let second = world.connected(connecting);
        let end = if reset { End::Reset } else { End::Finished };
        let ending = world.wait(first.ended());
        assert_eq!(ending.http2.unwrap().connection_end, Some(end), "{ending}");
        drop(second);
    }
}

#[test]
fn a_new_connection_that_ends_before_the_answer_is_an_error() {
    let world = World::new();
    let raw = world.raw(&["h2"]);
    let connecting = world.connecting(raw.url());
    let mut server = raw.websockets();
    server.read_request();
    server.fin();
    let ConnectError::Handshake(error, ending) = world.refused(connecting) else { panic!() };
    assert_eq!(error, HandshakeError::Incomplete);
    assert_eq!(ending.http2.unwrap().connection_end, Some(End::Finished), "{ending}");
    assert_eq!(ending.transport.close_notify, Some(false), "{ending}");
    world.heard();
    world.done();
}

#[test]
fn what_was_opened_is_never_tried_again() {
    for goaway in [false, true] {
        let world = World::new();
        let raw = world.raw(&["h2"]);
        let connecting = world.connecting(raw.url());
        let mut server = raw.websockets();
        let (stream, _) = server.read_request();
        let refusal = match goaway {
            true => RawFrame::goaway(0, code::NO_ERROR, ""),
            false => RawFrame::rst_stream(stream, code::REFUSED_STREAM),
        };
        server.send_all_raw(&[Http2Server::head(stream, 200, &[], false), refusal]);
        match world.wait(connecting).unwrap() {
            Ok(socket) => {
                let ending = world.wait(socket.ended());
                let http2 = ending.http2.unwrap();
                assert_eq!(http2.reset.is_some(), !goaway, "{ending}");
                assert_eq!(http2.goaway.is_some(), goaway, "{ending}");
            }
            // The library has dropped the head for the RST_STREAM that stood behind it.
            Err(error) => panic!("{error}"),
        }
        world.heard();
        world.done();
    }
}

#[test]
fn settings_that_do_not_come_end_with_the_deadline() {
    let config = Config { handshake_timeout: Duration::from_secs(2), ..Config::default() };
    let world = World::with(|client| client.config(config));
    let raw = world.raw(&["h2", "http/1.1"]);
    let connecting = world.connecting(raw.url());
    let (tls, _, tcp) = raw.accept();
    let mut server = Http2Server::silent(tls, tcp);
    let error = world.refused(connecting);
    assert!(error.is_timeout(), "{error}");
    assert!(error.to_string().contains("SETTINGS"), "{error}");
    server.read_to_end();
    world.done();
}

#[test]
fn an_answer_that_does_not_come_ends_with_the_deadline_and_cancels_the_stream() {
    let config = Config { handshake_timeout: Duration::from_secs(2), ..Config::default() };
    let world = World::with(|client| client.config(config));
    let raw = world.raw(&["h2"]);
    let connecting = world.connecting(raw.url());
    let mut server = raw.websockets();
    let (stream, _) = server.read_request();
    let ConnectError::Handshake(error, ending) = world.refused(connecting) else { panic!() };
    assert_eq!(error, HandshakeError::TimedOut);
    assert!(ending.http2.is_some(), "{ending}");
    let cancelled = Http2Frame::RstStream { stream, code: code::CANCEL };
    while server.next_for(stream) != cancelled {}
    world.heard();
    world.done();
}

#[test]
fn a_call_that_is_given_up_cancels_its_stream_and_leaves_the_connection_to_others() {
    let world = World::new();
    let raw = world.raw(&["h2"]);
    let connecting = world.connecting(raw.url());
    let mut server = raw.websockets();
    let (stream, _) = server.read_request();
    connecting.abort();
    let cancelled = Http2Frame::RstStream { stream, code: code::CANCEL };
    while server.next_for(stream) != cancelled {}
    let connecting = world.connecting(raw.url());
    let next = server.open_websocket();
    assert_eq!(next, stream + 2);
    let mut socket = world.connected(connecting);
    server.send_ws(next, &Frame::text("hello"));
    assert!(world.wait(socket.recv()).is_some());
}

#[test]
fn ws_without_tls_stays_with_http_1() {
    let world = World::new();
    let served = crate::serve(adieu::Endpoint::new(), crate::served::echo);
    let socket = world.connect(&format!("ws://{}/", served.addr));
    assert!(world.wait(socket.close(1000)).http2.is_none());
    assert!(served.account().ending.is_clean());
    served.stop();
}

/// A connection that says nothing, as of a machine that slept: it is not waited for until the
/// deadline, and is not judged by that either.
#[test]
fn a_shared_connection_that_has_fallen_silent_is_not_waited_for() {
    let world = World::new();
    let raw = world.raw(&["h2"]);
    let connecting = world.connecting(raw.url());
    let mut silent = raw.websockets();
    silent.open_websocket();
    let mut first = world.connected(connecting);
    let connecting = world.connecting(raw.url());
    let mut other = raw.websockets();
    other.open_websocket();
    drop(world.connected(connecting));
    assert_eq!(world.heard().cause, Cause::Handshake(HandshakeError::Abandoned));
    silent.send_ws(1, &Frame::text("awake"));
    assert!(world.wait(first.recv()).is_some(), "the first goes on");
}
