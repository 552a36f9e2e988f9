//! Frames that break a rule of RFC 9113, each on a connection of its own: the stream or the
//! connection is ended with the code of that rule, as the section says, and another client is
//! served meanwhile. What is only unknown changes nothing.

use adieu::Endpoint;
use testkit::http2::{
    Http2Frame, Http2Peer, RawFrame, StreamEnd, code, flag, hpack, kind, setting,
};
use testkit::{Frame, TcpEnd};

use crate::serve;
use crate::served::{Served, echo};

/// What has to follow.
#[derive(Clone, Copy, Debug)]
enum Follows {
    /// GOAWAY with one of these codes, and the end of the connection.
    Connection(&'static [u32]),
    /// RST_STREAM with one of these codes, or the same of the connection: a server may treat the
    /// error of a stream as one of the connection (§5.4.2).
    Stream(&'static [u32]),
    /// Nothing: the connection goes on.
    Nothing,
}

use Follows::{Connection, Nothing, Stream};

const PROTOCOL: &[u32] = &[code::PROTOCOL_ERROR];
const SIZE: &[u32] = &[code::FRAME_SIZE_ERROR];
const FLOW: &[u32] = &[code::FLOW_CONTROL_ERROR];

// The crate `h2` ends the connection with PROTOCOL_ERROR where the RFC asks for these.
const LENGTH: &[u32] = &[code::FRAME_SIZE_ERROR, code::PROTOCOL_ERROR];
const WINDOW: &[u32] = &[code::FLOW_CONTROL_ERROR, code::PROTOCOL_ERROR];
const CLOSED: &[u32] = &[code::STREAM_CLOSED, code::PROTOCOL_ERROR];
const COMPRESSION: &[u32] = &[code::COMPRESSION_ERROR, code::PROTOCOL_ERROR];

/// What breaks the rule, on a connection that is open, with one WebSocket on this stream.
type Breaks = fn(&mut Http2Peer, u32);

/// The section, what it is about, what is sent, and what follows.
type Case = (&'static str, &'static str, Breaks, Follows);

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> RawFrame {
    RawFrame::new(kind, flags, stream, payload)
}

fn send(peer: &mut Http2Peer, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    peer.send_bytes(frame(kind, flags, stream, payload).bytes());
}

/// A field block of a request for a page, with these changes: a field replaces the one of its name,
/// and an empty value takes it away.
fn block(changes: &[(&str, &str)]) -> Vec<u8> {
    let mut fields = vec![
        (":method".to_owned(), "GET".to_owned()),
        (":scheme".to_owned(), "http".to_owned()),
        (":path".to_owned(), "/".to_owned()),
        (":authority".to_owned(), "example.com".to_owned()),
    ];
    for &(name, value) in changes {
        match fields.iter().position(|(other, _)| other == name) {
            Some(at) if value.is_empty() => drop(fields.remove(at)),
            _ => fields.push((name.to_owned(), value.to_owned())),
        }
    }
    hpack::encode(&fields)
}

/// A request with these changes, on the next stream.
fn request(peer: &mut Http2Peer, changes: &[(&str, &str)]) {
    let stream = peer.new_stream();
    let block = block(changes);
    send(peer, kind::HEADERS, flag::END_HEADERS | flag::END_STREAM, stream, &block);
}

fn set(peer: &mut Http2Peer, id: u16, value: u32) {
    let payload = [&id.to_be_bytes()[..], &value.to_be_bytes()].concat();
    send(peer, kind::SETTINGS, 0, 0, &payload);
}

const CASES: &[Case] = &[
    // Frames.
    ("4.1", "an unknown type is ignored", |p, _| send(p, 0xfa, 0xff, 0, b"?"), Nothing),
    ("4.1", "an unknown type on a stream is ignored", |p, s| send(p, 0xfa, 0, s, b"?"), Nothing),
    (
        "4.2",
        "a frame above SETTINGS_MAX_FRAME_SIZE",
        |p, s| send(p, kind::DATA, 0, s, &[0; 16_385]),
        Connection(SIZE),
    ),
    (
        "4.3",
        "a field block that cannot be decoded",
        |p, _| {
            let stream = p.new_stream();
            send(p, kind::HEADERS, flag::END_HEADERS | flag::END_STREAM, stream, &[0x80]);
        },
        Connection(COMPRESSION),
    ),
    (
        "4.3",
        "another frame inside of a field block",
        |p, _| {
            let stream = p.new_stream();
            send(p, kind::HEADERS, 0, stream, &block(&[])[..4]);
            send(p, kind::PING, 0, 0, &[0; 8]);
        },
        Connection(PROTOCOL),
    ),
    // Streams.
    (
        "5.1",
        "DATA on an idle stream",
        |p, _| send(p, kind::DATA, 0, 99, b"x"),
        Connection(PROTOCOL),
    ),
    (
        "5.1",
        "RST_STREAM on an idle stream",
        |p, _| send(p, kind::RST_STREAM, 0, 99, &[0; 4]),
        Connection(PROTOCOL),
    ),
    (
        "5.1",
        "WINDOW_UPDATE on an idle stream",
        |p, _| send(p, kind::WINDOW_UPDATE, 0, 99, &[0, 0, 0, 1]),
        Connection(PROTOCOL),
    ),
    (
        "5.1",
        "DATA behind END_STREAM",
        |p, _| {
            let stream = p.new_stream();
            send(p, kind::HEADERS, flag::END_HEADERS | flag::END_STREAM, stream, &block(&[]));
            send(p, kind::DATA, 0, stream, b"more");
        },
        Stream(CLOSED),
    ),
    (
        "5.1.1",
        "an even stream",
        |p, _| send(p, kind::HEADERS, flag::END_HEADERS | flag::END_STREAM, 2, &block(&[])),
        Connection(PROTOCOL),
    ),
    (
        "5.1.1",
        "a stream with a smaller number",
        |p, _| {
            let flags = flag::END_HEADERS | flag::END_STREAM;
            send(p, kind::HEADERS, flags, 101, &block(&[]));
            send(p, kind::HEADERS, flags, 99, &block(&[]));
        },
        Connection(&[code::PROTOCOL_ERROR, code::STREAM_CLOSED]),
    ),
    // DATA.
    ("6.1", "DATA on stream 0", |p, _| send(p, kind::DATA, 0, 0, b"x"), Connection(PROTOCOL)),
    (
        "6.1",
        "padding that is longer than the payload",
        |p, s| send(p, kind::DATA, flag::PADDED, s, &[9, 1]),
        Connection(PROTOCOL),
    ),
    // HEADERS.
    (
        "6.2",
        "HEADERS on stream 0",
        |p, _| send(p, kind::HEADERS, flag::END_HEADERS, 0, &block(&[])),
        Connection(PROTOCOL),
    ),
    (
        "6.2",
        "padding of HEADERS that is longer than the payload",
        |p, _| {
            let stream = p.new_stream();
            send(p, kind::HEADERS, flag::END_HEADERS | flag::PADDED, stream, &[200, 1]);
        },
        Connection(PROTOCOL),
    ),
    // PRIORITY, which is deprecated.
    ("6.3", "PRIORITY is taken", |p, s| send(p, kind::PRIORITY, 0, s, &[0, 0, 0, 0, 1]), Nothing),
    (
        "6.3",
        "PRIORITY on stream 0",
        |p, _| send(p, kind::PRIORITY, 0, 0, &[0, 0, 0, 0, 1]),
        Connection(PROTOCOL),
    ),
    (
        "6.3",
        "PRIORITY of another length",
        |p, s| send(p, kind::PRIORITY, 0, s, &[0, 0, 0, 0]),
        Stream(LENGTH),
    ),
    // RST_STREAM.
    (
        "6.4",
        "RST_STREAM on stream 0",
        |p, _| send(p, kind::RST_STREAM, 0, 0, &[0; 4]),
        Connection(PROTOCOL),
    ),
    (
        "6.4",
        "RST_STREAM of another length",
        |p, s| send(p, kind::RST_STREAM, 0, s, &[0; 3]),
        Connection(LENGTH),
    ),
    // SETTINGS.
    (
        "6.5",
        "SETTINGS on a stream",
        |p, s| send(p, kind::SETTINGS, 0, s, &[0, 1, 0, 0, 0, 0]),
        Connection(PROTOCOL),
    ),
    (
        "6.5",
        "SETTINGS whose length is no multiple of six",
        |p, _| send(p, kind::SETTINGS, 0, 0, &[0, 1, 0]),
        Connection(LENGTH),
    ),
    (
        "6.5",
        "an acknowledgement of SETTINGS with a payload",
        |p, _| send(p, kind::SETTINGS, flag::ACK, 0, &[0, 1, 0, 0, 0, 0]),
        Connection(LENGTH),
    ),
    ("6.5.2", "ENABLE_PUSH = 2", |p, _| set(p, setting::ENABLE_PUSH, 2), Connection(PROTOCOL)),
    (
        "6.5.2",
        "INITIAL_WINDOW_SIZE above 2^31-1",
        |p, _| set(p, setting::INITIAL_WINDOW_SIZE, 1 << 31),
        Connection(WINDOW),
    ),
    (
        "6.5.2",
        "MAX_FRAME_SIZE below 16,384",
        |p, _| set(p, setting::MAX_FRAME_SIZE, 16_383),
        Connection(PROTOCOL),
    ),
    (
        "6.5.2",
        "MAX_FRAME_SIZE above 2^24-1",
        |p, _| set(p, setting::MAX_FRAME_SIZE, 1 << 24),
        Connection(PROTOCOL),
    ),
    ("6.5.2", "an unknown setting is ignored", |p, _| set(p, 0xfafa, 7), Nothing),
    // PUSH_PROMISE.
    (
        "6.6",
        "PUSH_PROMISE of a client",
        |p, s| send(p, kind::PUSH_PROMISE, flag::END_HEADERS, s, &[0, 0, 0, 2]),
        Connection(PROTOCOL),
    ),
    // PING.
    ("6.7", "PING on a stream", |p, s| send(p, kind::PING, 0, s, &[0; 8]), Connection(PROTOCOL)),
    (
        "6.7",
        "PING of another length",
        |p, _| send(p, kind::PING, 0, 0, &[0; 7]),
        Connection(LENGTH),
    ),
    (
        "6.7",
        "an answer to no PING is ignored",
        |p, _| send(p, kind::PING, flag::ACK, 0, &[1; 8]),
        Nothing,
    ),
    // GOAWAY.
    (
        "6.8",
        "GOAWAY on a stream",
        |p, s| send(p, kind::GOAWAY, 0, s, &[0; 8]),
        Connection(PROTOCOL),
    ),
    // WINDOW_UPDATE.
    (
        "6.9",
        "an increment of 0 of the connection",
        |p, _| send(p, kind::WINDOW_UPDATE, 0, 0, &[0; 4]),
        Connection(PROTOCOL),
    ),
    (
        "6.9",
        "an increment of 0 of a stream",
        |p, s| send(p, kind::WINDOW_UPDATE, 0, s, &[0; 4]),
        Stream(PROTOCOL),
    ),
    (
        "6.9",
        "WINDOW_UPDATE of another length",
        |p, _| send(p, kind::WINDOW_UPDATE, 0, 0, &[0; 3]),
        Connection(LENGTH),
    ),
    (
        "6.9.1",
        "a window of the connection above 2^31-1",
        |p, _| send(p, kind::WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff]),
        Connection(FLOW),
    ),
    (
        "6.9.1",
        "a window of a stream above 2^31-1",
        |p, s| send(p, kind::WINDOW_UPDATE, 0, s, &[0x7f, 0xff, 0xff, 0xff]),
        Stream(FLOW),
    ),
    // CONTINUATION.
    (
        "6.10",
        "CONTINUATION without HEADERS",
        |p, s| send(p, kind::CONTINUATION, flag::END_HEADERS, s, &[]),
        Connection(PROTOCOL),
    ),
    (
        "6.10",
        "CONTINUATION of another stream",
        |p, _| {
            let stream = p.new_stream();
            send(p, kind::HEADERS, 0, stream, &block(&[])[..4]);
            send(p, kind::CONTINUATION, flag::END_HEADERS, stream + 2, &block(&[])[4..]);
        },
        Connection(PROTOCOL),
    ),
    // Requests that are malformed (§8.1.1).
    ("8.2.1", "a name in capitals", |p, _| request(p, &[("X-Upper", "1")]), Stream(PROTOCOL)),
    (
        "8.2.2",
        "the field Connection",
        |p, _| request(p, &[("connection", "close")]),
        Stream(PROTOCOL),
    ),
    (
        "8.2.2",
        "the field Transfer-Encoding",
        |p, _| request(p, &[("transfer-encoding", "chunked")]),
        Stream(PROTOCOL),
    ),
    ("8.2.2", "TE that is not trailers", |p, _| request(p, &[("te", "gzip")]), Stream(PROTOCOL)),
    ("8.3", "an unknown pseudo-field", |p, _| request(p, &[(":nonsense", "1")]), Stream(PROTOCOL)),
    (
        "8.3",
        "a pseudo-field of a response",
        |p, _| request(p, &[(":status", "200")]),
        Stream(PROTOCOL),
    ),
    (
        "8.3",
        "a pseudo-field behind a field",
        |p, _| request(p, &[(":path", ""), ("x", "1"), (":path", "/")]),
        Stream(PROTOCOL),
    ),
    ("8.3.1", "no :method", |p, _| request(p, &[(":method", "")]), Stream(PROTOCOL)),
    ("8.3.1", "no :scheme", |p, _| request(p, &[(":scheme", "")]), Stream(PROTOCOL)),
    ("8.3.1", "no :path", |p, _| request(p, &[(":path", "")]), Stream(PROTOCOL)),
    ("8.3.1", ":method twice", |p, _| request(p, &[(":method", "GET")]), Stream(PROTOCOL)),
    (
        "8.1.1",
        "a Content-Length that is not the body's",
        |p, _| {
            let stream = p.new_stream();
            let block = block(&[("content-length", "5")]);
            send(p, kind::HEADERS, flag::END_HEADERS, stream, &block);
            send(p, kind::DATA, flag::END_STREAM, stream, b"too much");
        },
        // Refused for another reason before the body has come.
        Stream(&[code::PROTOCOL_ERROR, code::NO_ERROR]),
    ),
];

/// What came of it: the code of a GOAWAY that ended the connection, or of an RST_STREAM, or
/// nothing.
fn followed(peer: &mut Http2Peer) -> Follows {
    static CODES: [[u32; 1]; 14] =
        [[0], [1], [2], [3], [4], [5], [6], [7], [8], [9], [10], [11], [12], [13]];
    // The answer to a PING tells that all was read; the one to a second, that what followed from it
    // has left. A connection that is ended does not answer.
    let mut asked = 1;
    peer.send_frame(kind::PING, 0, 0, [42; 8]);
    loop {
        match peer.try_read_frame() {
            Ok(Http2Frame::RstStream { code, .. }) => return Stream(&CODES[code as usize]),
            Ok(Http2Frame::Ping { ack: true, .. }) if asked == 2 => return Nothing,
            Ok(Http2Frame::Ping { ack: true, .. }) => {
                asked = 2;
                peer.send_frame(kind::PING, 0, 0, [43; 8]);
            }
            Ok(_) => {}
            Err(_) => {
                let goaway = peer.goaway().expect("a connection that ends says why");
                return Connection(&CODES[goaway.code as usize]);
            }
        }
    }
}

fn is_expected(expected: Follows, got: Follows) -> bool {
    match (expected, got) {
        (Connection(codes), Connection(code)) => codes.contains(&code[0]),
        (Stream(codes), Connection(code) | Stream(code)) => codes.contains(&code[0]),
        (Nothing, Nothing) => true,
        _ => false,
    }
}

fn others_go_on(served: &Served) {
    let mut peer = Http2Peer::connect(served.addr);
    let stream = peer.open_websocket("example.com", "/", &[]);
    peer.send_ws(stream, &Frame::text("here?"));
    assert_eq!(peer.read_ws(stream), Frame::text("here?"));
}

#[test]
fn each_rule_that_is_broken_ends_its_stream_or_its_connection_with_its_code() {
    let served = serve(Endpoint::new(), echo);
    let mut wrong = Vec::new();
    for (section, name, breaks, expected) in CASES {
        let mut peer = Http2Peer::connect(served.addr);
        let stream = peer.open_websocket("example.com", "/", &[]);
        peer.ping_and_wait();
        breaks(&mut peer, stream);
        let got = followed(&mut peer);
        if !is_expected(*expected, got) {
            wrong.push(format!("§{section}, {name}: {got:?}, and not {expected:?}"));
        }
    }
    others_go_on(&served);
    println!("{} cases", CASES.len());
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn what_is_no_preface_ends_the_connection() {
    let served = serve(Endpoint::new(), echo);
    let mut peer = testkit::Peer::connect(served.addr);
    peer.write(b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n");
    assert_eq!(peer.read_to_end().end, TcpEnd::Fin);
    let ending = served.account().ending;
    assert!(!ending.opened(), "{ending}");
    drop(peer);
    others_go_on(&served);
}

#[test]
fn a_stream_above_the_limit_is_refused_and_the_others_go_on() {
    let mut settings = adieu::http2::Settings::default();
    settings.max_concurrent_streams = 2;
    let served = Served::start(Endpoint::new(), |endpoint, listener, _| async move {
        let server = adieu::Server::with(endpoint, echo).http2_cleartext(true);
        server.http2_with(settings).serve_on(listener).await.expect("a server");
    });
    let mut peer = Http2Peer::connect(served.addr);
    assert_eq!(peer.settings().max_concurrent_streams, Some(2));
    let first = peer.open_websocket("example.com", "/", &[]);
    peer.open_websocket("example.com", "/", &[]);
    let third = peer.connect_stream("example.com", "/", &[]);
    let refused = peer.try_read_head(third).expect_err("a refusal");
    assert_eq!(refused, StreamEnd::Reset(code::REFUSED_STREAM));
    peer.send_ws(first, &Frame::text("still"));
    assert_eq!(peer.read_ws(first), Frame::text("still"));
    drop(peer);
    for _ in 0..2 {
        served.account();
    }
    served.stop();
}
