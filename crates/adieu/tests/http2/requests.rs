//! Requests: those for a WebSocket that are refused, and those for something else.

use adieu::{Cause, Endpoint, HandshakeError, Socket};
use testkit::Frame;
use testkit::http2::{Http2Peer, StreamEnd};

use crate::serve;
use crate::served::echo;

#[test]
fn a_refused_request_is_answered_on_its_stream_and_the_connection_goes_on() {
    let endpoint = Endpoint::new().origin(|origin| origin == Some("https://example.com"));
    let served = serve(endpoint, echo);
    let mut peer = Http2Peer::connect(served.addr);
    assert!(peer.settings().enable_connect_protocol);
    let refused = peer.connect_stream("example.com", "/", &[("origin", "https://evil.example")]);
    let answer = peer.read_answer(refused);
    assert_eq!(answer.status(), 403, "{}", answer.text());
    assert!(answer.head.field("connection").is_none(), "HTTP/2 has no such field");
    assert!(answer.head.field("date").is_some());
    let fields = [("origin", "https://example.com")];
    let stream = peer.open_websocket("example.com", "/", &fields);
    peer.send_ws_all_and_end(stream, &[Frame::close(1000, "")]);
    assert_eq!(peer.read_ws(stream).close_code(), Some(1000));
    assert!(!served.account().ending.opened());
    assert!(served.account().ending.is_clean());
    drop(peer);
    served.stop();
}

#[test]
fn a_request_without_its_version_is_told_what_is_missing() {
    let served = serve(Endpoint::new(), echo);
    let mut peer = Http2Peer::connect(served.addr);
    let stream = peer.connect_stream("example.com", "/", &[("sec-websocket-version", "8")]);
    let answer = peer.read_answer(stream);
    assert_eq!((answer.status(), answer.end), (426, StreamEnd::EndStream), "{}", answer.text());
    assert_eq!(answer.head.field("sec-websocket-version"), Some("13"));
    assert!(!served.account().ending.opened());
    drop(peer);
    served.stop();
}

#[test]
fn a_request_for_a_page_is_none_for_a_websocket() {
    let served = serve(Endpoint::new(), echo);
    let mut peer = Http2Peer::connect(served.addr);
    let stream = peer.request("GET", "/", &[], "");
    let answer = peer.read_answer(stream);
    assert_eq!((answer.status(), answer.end), (426, StreamEnd::EndStream), "{}", answer.text());
    let cause = served.account().ending.cause;
    assert_eq!(cause, Cause::Handshake(HandshakeError::NotUpgrade));
    drop(peer);
    served.stop();
}

#[test]
fn a_connection_of_http_1_is_served_on_the_same_port() {
    let served = serve(Endpoint::new(), echo);
    let mut peer = testkit::Peer::open(served.addr);
    peer.send(&Frame::text("over HTTP/1.1"));
    assert_eq!(peer.read_frame(), Frame::text("over HTTP/1.1"));
    drop(peer);
    assert!(served.account().ending.http2.is_none());
    served.stop();
}

#[test]
fn a_connection_above_the_limit_is_answered_503_on_its_stream() {
    let served = serve(Endpoint::new().max_connections(2), echo);
    let mut peer = Http2Peer::connect(served.addr);
    for _ in 0..2 {
        peer.open_websocket("example.com", "/", &[]);
    }
    let third = peer.connect_stream("example.com", "/", &[]);
    assert_eq!(peer.read_answer(third).status(), 503);
    assert!(!served.account().ending.opened());
    peer.close();
    for _ in 0..2 {
        served.account();
    }
    served.stop();
}

#[test]
fn a_subprotocol_and_a_key_are_answered_in_the_200() {
    let endpoint = Endpoint::new().subprotocols(["chat"]);
    let served = serve(endpoint, async |socket: Socket| {
        let chosen = socket.subprotocol().map(str::to_owned);
        let _ = socket.send(chosen.unwrap_or_default()).await;
    });
    let mut peer = Http2Peer::connect(served.addr);
    let fields = [
        ("sec-websocket-protocol", "other, chat"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    let stream = peer.connect_stream("example.com", "/", &fields);
    let head = peer.read_head(stream);
    assert_eq!(head.status(), 200);
    assert_eq!(head.field("sec-websocket-protocol"), Some("chat"));
    assert_eq!(head.field("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    assert_eq!(peer.read_ws(stream), Frame::text("chat"));
    assert_eq!(peer.read_ws_to_end_answering(stream).close_code(), Some(1000));
    served.account();
    drop(peer);
    served.stop();
}
