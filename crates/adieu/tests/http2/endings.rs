//! Each way in which a client can end a stream, or its connection, and its report.

use std::collections::HashMap;

use adieu::{
    Cause, Close, CloseCode, ClosingHandshake, End, Ending, Endpoint, Http2ErrorCode, Side,
    TransportKind, Truncation,
};
use testkit::http2::{Http2Peer, code};
use testkit::{Frame, wait_until};

use crate::served::{Served, echo};
use crate::{open, serve};

fn going_away() -> Close {
    Close::from(CloseCode::GOING_AWAY)
}

fn echoed(first: Close) -> ClosingHandshake {
    let ours = first.code().map_or_else(Close::empty, Close::from);
    ClosingHandshake::ReceivedThenSent { theirs: first, ours }
}

/// What tells endings apart.
#[derive(Debug, PartialEq, Eq)]
struct Told {
    cause: Cause,
    handshake: ClosingHandshake,
    end: End,
    reset: Option<Http2ErrorCode>,
    goaway: Option<Http2ErrorCode>,
    connection_end: Option<End>,
    cut: Truncation,
}

impl Told {
    fn of(ending: &Ending) -> Self {
        let http2 = ending.http2.expect("a stream of HTTP/2");
        assert_eq!(ending.transport.kind, TransportKind::Http2);
        Told {
            cause: ending.cause.clone(),
            handshake: ending.closing_handshake.clone(),
            end: ending.transport.end,
            reset: http2.reset,
            goaway: http2.goaway,
            connection_end: http2.connection_end,
            cut: ending.truncation,
        }
    }
}

/// What a client does at the end of its stream.
type Way = fn(&mut Http2Peer, u32) -> Died;

/// What has become of the client.
enum Died {
    Not,
    /// Its TCP connection was reset.
    ByReset,
}

/// Told of a stream that ends in this way behind one message that was echoed.
fn told(served: &Served, way: Way) -> Ending {
    let (mut peer, stream) = open(served);
    peer.send_ws(stream, &Frame::text("hello"));
    assert_eq!(peer.read_ws(stream), Frame::text("hello"));
    if let Died::ByReset = way(&mut peer, stream) {
        peer.reset();
    }
    let account = served.account();
    assert_eq!(account.target.as_deref(), Some("/chat?room=1"));
    assert_eq!(account.peer.map(|addr| addr.ip()), Some(served.addr.ip()));
    account.ending
}

fn lost(cause: Cause, end: End) -> Told {
    Told {
        cause,
        handshake: ClosingHandshake::None,
        end,
        reset: None,
        goaway: None,
        connection_end: None,
        cut: Truncation::BetweenMessages,
    }
}

fn reset(code: u32) -> Told {
    Told { reset: Some(Http2ErrorCode(code)), ..lost(Cause::Reset, End::Reset) }
}

fn closed(end: End) -> Told {
    Told { handshake: echoed(going_away()), ..lost(Cause::Peer, end) }
}

fn of_connection(cause: Cause, end: End) -> Told {
    Told { connection_end: Some(end), ..lost(cause, end) }
}

#[test]
fn each_way_to_go_is_told_as_it_was_and_no_two_are_alike() {
    let ways: [(&str, Way, Told); 15] = [
        (
            "END_STREAM",
            |peer, stream| {
                peer.end_stream(stream);
                Died::Not
            },
            lost(Cause::Eof, End::Finished),
        ),
        (
            "RST_STREAM(CANCEL)",
            |peer, stream| {
                peer.reset_stream(stream, code::CANCEL);
                Died::Not
            },
            reset(8),
        ),
        (
            "RST_STREAM(NO_ERROR)",
            |peer, stream| {
                peer.reset_stream(stream, code::NO_ERROR);
                Died::Not
            },
            reset(0),
        ),
        (
            "RST_STREAM(INTERNAL_ERROR)",
            |peer, stream| {
                peer.reset_stream(stream, code::INTERNAL_ERROR);
                Died::Not
            },
            reset(2),
        ),
        (
            "RST_STREAM, a code without a name",
            |peer, stream| {
                peer.reset_stream(stream, 0x99);
                Died::Not
            },
            reset(0x99),
        ),
        (
            "half a frame and END_STREAM",
            |peer, stream| {
                peer.send_data(stream, &Frame::text("hello").masked()[..8], true);
                Died::Not
            },
            Told { cut: Truncation::MidFrame, ..lost(Cause::Eof, End::Finished) },
        ),
        (
            "half a frame and RST_STREAM",
            |peer, stream| {
                peer.together(|peer| {
                    peer.send_data(stream, &Frame::text("hello").masked()[..8], false);
                    peer.reset_stream(stream, code::CANCEL);
                });
                Died::Not
            },
            Told { cut: Truncation::MidFrame, ..reset(8) },
        ),
        (
            "Close with END_STREAM",
            |peer, stream| {
                peer.send_ws_all_and_end(stream, &[Frame::close(1001, "")]);
                Died::Not
            },
            closed(End::Finished),
        ),
        (
            "Close, then END_STREAM behind our answer",
            |peer, stream| {
                peer.send_ws(stream, &Frame::close(1001, ""));
                assert_eq!(peer.read_ws(stream).close_code(), Some(1001));
                Died::Not
            },
            closed(End::LetGo(adieu::LetGo::BothClosed)),
        ),
        (
            "FIN of TCP",
            |peer, _| {
                peer.fin();
                Died::Not
            },
            of_connection(Cause::Eof, End::Finished),
        ),
        (
            "GOAWAY and FIN",
            |peer, _| {
                peer.together_with_fin(|peer| peer.send_goaway(0, code::NO_ERROR, b""));
                Died::Not
            },
            Told {
                goaway: Some(Http2ErrorCode::NO_ERROR),
                ..of_connection(Cause::Eof, End::Finished)
            },
        ),
        (
            "GOAWAY with an error and FIN",
            |peer, _| {
                peer.together_with_fin(|peer| peer.send_goaway(0, code::INTERNAL_ERROR, b"oh"));
                Died::Not
            },
            Told { goaway: Some(Http2ErrorCode(2)), ..of_connection(Cause::Eof, End::Finished) },
        ),
        ("RST of TCP", |_, _| Died::ByReset, of_connection(Cause::Reset, End::Reset)),
        (
            "a frame with a reserved bit",
            |peer, stream| {
                peer.send_data(stream, [0xc1, 0x80, 0, 0, 0, 0], false);
                Died::Not
            },
            Told {
                handshake: ClosingHandshake::Sent { ours: Close::from(CloseCode::PROTOCOL_ERROR) },
                ..lost(Cause::Eof, End::Finished)
            },
        ),
        (
            "half a frame, and FIN of TCP",
            |peer, stream| {
                peer.together_with_fin(|peer| {
                    peer.send_data(stream, &Frame::text("hello").masked()[..8], false);
                });
                Died::Not
            },
            Told { cut: Truncation::MidFrame, ..of_connection(Cause::Eof, End::Finished) },
        ),
    ];
    let served = serve(Endpoint::new(), echo);
    let mut sentences = HashMap::new();
    for (name, way, expected) in ways {
        let ending = told(&served, way);
        if matches!(ending.cause, Cause::Violation(_)) {
            assert_eq!(name, "a frame with a reserved bit", "{ending}");
        } else {
            assert_eq!(Told::of(&ending), expected, "{name}: {ending}");
        }
        let sentence = ending.to_string();
        let (sentence, _) = sentence.rsplit_once("; the connection lasted").expect("a length");
        if let Some(other) = sentences.insert(sentence.to_owned(), name) {
            panic!("{name} and {other} are told alike: {sentence}");
        }
        println!("{name}: {sentence}");
    }
    assert_eq!(served.stop().clean, 0);
}

/// Data in front of an RST_STREAM survives in Chromium and Firefox, and here.
#[test]
fn a_close_and_an_rst_stream_in_one_segment_keep_the_close() {
    let served = serve(Endpoint::new(), echo);
    let (mut peer, stream) = open(&served);
    peer.together(|peer| {
        peer.send_ws_all(stream, &[Frame::text("last"), Frame::close(4001, "bye")]);
        peer.reset_stream(stream, code::CANCEL);
    });
    let ending = served.account().ending;
    let told = Told::of(&ending);
    assert_eq!(told.cause, Cause::Peer, "{ending}");
    let theirs = told.handshake.received().and_then(Close::code).map(CloseCode::get);
    assert_eq!(theirs, Some(4001), "{ending}");
    assert_eq!((told.end, told.reset), (End::Reset, Some(Http2ErrorCode::CANCEL)), "{ending}");
    drop(peer);
    served.stop();
}

#[test]
fn all_streams_of_a_connection_that_ends_say_so_and_others_go_on() {
    let served = serve(Endpoint::new(), echo);
    let (mut other, alive) = open(&served);
    let (mut peer, _) = open(&served);
    for _ in 0..9 {
        peer.open_websocket("example.com", "/", &[]);
    }
    peer.fin();
    let mut connections = Vec::new();
    for _ in 0..10 {
        let ending = served.account().ending;
        assert_eq!(Told::of(&ending), of_connection(Cause::Eof, End::Finished), "{ending}");
        connections.push(ending.http2.expect("HTTP/2").connection);
    }
    connections.dedup();
    assert_eq!(connections.len(), 1, "one connection: {connections:?}");
    other.send_ws(alive, &Frame::text("still here"));
    assert_eq!(other.read_ws(alive), Frame::text("still here"));
    drop(other);
    assert_eq!(served.account().ending.cause, Cause::Eof);
    drop(peer);
    served.stop();
}

#[test]
fn a_reset_of_one_stream_leaves_the_others_of_its_connection_alone() {
    let served = serve(Endpoint::new(), echo);
    let (mut peer, first) = open(&served);
    let second = peer.open_websocket("example.com", "/", &[]);
    peer.reset_stream(first, code::CANCEL);
    assert_eq!(Told::of(&served.account().ending), reset(8));
    peer.send_ws(second, &Frame::text("here"));
    assert_eq!(peer.read_ws(second), Frame::text("here"));
    peer.send_ws_all_and_end(second, &[Frame::close(1000, "")]);
    let ending = served.account().ending;
    assert!(ending.is_clean(), "{ending}");
    assert_eq!(ending.transport.active_closer, Some(Side::Peer), "{ending}");
    drop(peer);
    served.stop();
}

/// The peer is heard although nothing can be sent to it.
#[test]
fn a_stream_is_over_although_its_window_is_exhausted() {
    let served = serve(Endpoint::new(), echo);
    let mut peer = Http2Peer::builder().initial_window(10).connect(served.addr);
    let stream = peer.open_websocket("example.com", "/", &[]);
    peer.hold_window();
    peer.send_ws(stream, &Frame::text("longer than the window"));
    wait_until("the window is used up", || {
        peer.ping_and_wait();
        peer.receive_window(stream) == 0
    });
    peer.reset_stream(stream, code::CANCEL);
    let ending = served.account().ending;
    assert_eq!(ending.cause, Cause::Reset, "{ending}");
    assert_eq!(ending.unsent.messages, 1, "{ending}");
    drop(peer);
    served.stop();
}

/// The connection is asked with PING (RFC 9113 §6.7), and given up with all its streams.
#[test]
fn a_peer_that_does_not_answer_a_ping_of_the_connection_is_unreachable_on_each_stream() {
    let mut settings = adieu::http2::Settings::default();
    settings.ping_interval = std::time::Duration::from_millis(200);
    settings.ping_timeout = std::time::Duration::from_millis(200);
    let served = Served::start(Endpoint::new(), |endpoint, listener, _| async move {
        let server = adieu::Server::with(endpoint, echo).http2_cleartext(true);
        server.http2_with(settings).serve_on(listener).await.expect("a server");
    });
    let (mut peer, _) = open(&served);
    peer.open_websocket("example.com", "/", &[]);
    peer.stop_answering();
    for _ in 0..2 {
        let ending = served.account().ending;
        assert_eq!(ending.cause, Cause::Unreachable, "{ending}");
        let why = adieu::LetGo::Clock(adieu::Timer::Pong);
        let end = ending.http2.and_then(|http2| http2.connection_end);
        assert_eq!(end, Some(End::LetGo(why)), "{ending}");
    }
    drop(peer);
    served.stop();
}

/// A connection without streams is ended with GOAWAY.
#[test]
fn a_connection_that_nobody_uses_is_ended_with_goaway() {
    let mut settings = adieu::http2::Settings::default();
    settings.idle_timeout = std::time::Duration::from_millis(100);
    let served = Served::start(Endpoint::new(), |endpoint, listener, _| async move {
        let server = adieu::Server::with(endpoint, echo).http2_cleartext(true);
        server.http2_with(settings).serve_on(listener).await.expect("a server");
    });
    let mut peer = Http2Peer::connect(served.addr);
    peer.read_to_end();
    assert_eq!(peer.goaway().map(|goaway| goaway.code), Some(code::NO_ERROR));
    drop(peer);
    served.stop();
}
