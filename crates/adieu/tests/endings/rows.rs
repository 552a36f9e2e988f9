//! The table: each kind of ending, how it is brought about, and its account.

use adieu::{
    Cause, Close, ClosingHandshake, End, HandshakeError, ProtocolError, Side, Timer, Truncation,
};
use testkit::{Frame, Peer, Tcp, TcpEnd};

use crate::support::{self, Host};
use crate::{Expected, Row};

fn close(code: u16) -> Close {
    Close::new(code, "").unwrap()
}

fn heard(theirs: Close, ours: Close) -> ClosingHandshake {
    ClosingHandshake::ReceivedThenSent { theirs, ours }
}

fn said(ours: u16) -> ClosingHandshake {
    ClosingHandshake::Sent { ours: close(ours) }
}

fn answered(ours: u16, theirs: u16) -> ClosingHandshake {
    ClosingHandshake::SentThenReceived { ours: close(ours), theirs: close(theirs) }
}

fn expected(
    cause: Cause,
    goodbye: ClosingHandshake,
    end: End,
    first: Side,
    cut: Truncation,
) -> Expected {
    Expected { cause, goodbye, end, first, cut, unsent: (0, 0) }
}

/// Reads our side's goodbye to its FIN, then ends TCP: what a peer does that keeps to the RFC.
fn hear_out(mut peer: Peer, code: u16) {
    assert_eq!(peer.read_frame().close_code(), Some(code));
    let rest = peer.read_to_end();
    assert_eq!((rest.frames(), rest.end), (vec![], TcpEnd::Fin), "nothing follows a Close");
    peer.close();
}

/// Hears our side's Close, answers it, and lets us end TCP.
fn answer(mut peer: Peer, code: u16) {
    assert_eq!(peer.read_frame().close_code(), Some(code));
    peer.send(&Frame::close(code, ""));
    let rest = peer.read_to_end();
    assert_eq!((rest.frames(), rest.end), (vec![], TcpEnd::Fin), "nothing follows a Close");
    peer.close();
}

pub(crate) fn said_goodbye() -> Vec<Row> {
    vec![
        Row {
            kind: "refresh: Close 1001 and FIN at once",
            run: |bench| {
                let mut peer = bench.open("/held");
                peer.send(&Frame::text("wait for me"));
                bench.gate.reached();
                peer.send_all_with_fin(&[Frame::close(1001, "")]);
                testkit::wait_until("both arrive", || peer.other_end() == Tcp::CloseWait);
                bench.gate.open();
                assert_eq!(peer.read_frame().close_code(), Some(1001));
                assert_eq!(peer.read_to_end().end, TcpEnd::Fin);
                bench.patient.account()
            },
            expected: expected(
                Cause::Peer,
                heard(close(1001), close(1001)),
                End::Finished,
                Side::Peer,
                Truncation::BetweenMessages,
            ),
            sentence: "The peer sent Close 1001 (going away) and we answered with Close 1001 \
                       (going away); the peer ended TCP first, with a FIN; the connection lasted \
                       …",
        },
        Row {
            kind: "Close, then waiting for the server to end TCP",
            run: |bench| {
                let mut peer = bench.open("/");
                peer.send(&Frame::close(1000, "done"));
                hear_out(peer, 1000);
                bench.patient.account()
            },
            expected: expected(
                Cause::Peer,
                heard(Close::new(1000, "done").unwrap(), close(1000)),
                End::Finished,
                Side::Local,
                Truncation::BetweenMessages,
            ),
            sentence: "The peer sent Close 1000 (normal) \"done\" and we answered with Close 1000 \
                       (normal); we ended TCP first, the peer's FIN followed; the connection \
                       lasted …",
        },
        Row {
            kind: "empty Close",
            run: |bench| {
                let mut peer = bench.open("/");
                peer.send(&Frame::close_empty());
                assert_eq!(peer.read_frame(), Frame::close_empty());
                assert_eq!(peer.read_to_end().end, TcpEnd::Fin);
                drop(peer);
                bench.patient.account()
            },
            expected: expected(
                Cause::Peer,
                heard(Close::empty(), Close::empty()),
                End::Finished,
                Side::Local,
                Truncation::BetweenMessages,
            ),
            sentence: "The peer sent an empty Close and we answered with an empty Close; we ended \
                       TCP first, the peer's FIN followed; the connection lasted …",
        },
        Row {
            kind: "Close in the middle of a message",
            run: |bench| {
                let mut peer = bench.open("/");
                peer.send_all(&[Frame::text("half").unfinished(), Frame::close(4001, "")]);
                hear_out(peer, 4001);
                bench.patient.account()
            },
            expected: expected(
                Cause::Peer,
                heard(close(4001), close(4001)),
                End::Finished,
                Side::Local,
                Truncation::MidMessage,
            ),
            sentence: "The peer sent Close 4001 and we answered with Close 4001; we ended TCP \
                       first, the peer's FIN followed, between the fragments of a message; the \
                       connection lasted …",
        },
    ]
}

pub(crate) fn said_nothing() -> Vec<Row> {
    vec![
        Row {
            kind: "FIN and no Close",
            run: |bench| {
                let mut peer = bench.open("/");
                peer.fin();
                let rest = peer.read_to_end();
                assert_eq!((rest.frames(), rest.end), (vec![], TcpEnd::Fin));
                bench.patient.account()
            },
            expected: expected(
                Cause::Eof,
                ClosingHandshake::None,
                End::Finished,
                Side::Peer,
                Truncation::BetweenMessages,
            ),
            sentence: "The peer left without a Close; the peer ended TCP first, with a FIN; the \
                       connection lasted …",
        },
        Row {
            kind: "RST and no Close",
            run: |bench| {
                bench.open("/").reset();
                bench.patient.account()
            },
            expected: expected(
                Cause::Reset,
                ClosingHandshake::None,
                End::Reset,
                Side::Peer,
                Truncation::BetweenMessages,
            ),
            sentence: "The peer broke off without a Close; the peer reset TCP (RST); the \
                       connection lasted …",
        },
        Row {
            kind: "RST and no Close, met by a write first",
            run: |bench| {
                let mut peer = bench.open("/last-words");
                peer.send(&Frame::text("wait for me"));
                bench.gate.reached();
                peer.reset();
                bench.gate.open();
                bench.patient.account()
            },
            expected: Expected {
                // "last words" and its header of two bytes.
                unsent: (1, 12),
                ..expected(
                    Cause::Reset,
                    ClosingHandshake::None,
                    End::Reset,
                    Side::Peer,
                    Truncation::BetweenMessages,
                )
            },
            sentence: "The peer broke off without a Close; the peer reset TCP (RST); 1 message of \
                       ours (12 bytes) never left; the connection lasted …",
        },
        Row {
            kind: "FIN, then RST",
            run: |bench| {
                let mut peer = bench.open("/last-words");
                peer.send(&Frame::text("wait for me"));
                bench.gate.reached();
                peer.fin_and_wait();
                peer.reset();
                bench.gate.open();
                bench.patient.account()
            },
            expected: Expected {
                unsent: (1, 12),
                ..expected(
                    Cause::Eof,
                    ClosingHandshake::None,
                    End::FinishedThenReset,
                    Side::Peer,
                    Truncation::BetweenMessages,
                )
            },
            sentence: "The peer left without a Close; the peer ended TCP first, with a FIN, and \
                       reset it after that; 1 message of ours (12 bytes) never left; the \
                       connection lasted …",
        },
        Row {
            kind: "FIN in the middle of a frame",
            run: |bench| {
                let mut peer = bench.open("/");
                let frame = Frame::text("a frame that is cut").masked();
                peer.write(&frame[..frame.len() - 5]);
                peer.fin();
                assert_eq!(peer.read_to_end().end, TcpEnd::Fin);
                bench.patient.account()
            },
            expected: expected(
                Cause::Eof,
                ClosingHandshake::None,
                End::Finished,
                Side::Peer,
                Truncation::MidFrame,
            ),
            sentence: "The peer left without a Close; the peer ended TCP first, with a FIN, in the \
                       middle of a frame; the connection lasted …",
        },
        Row {
            kind: "FIN in the middle of a message",
            run: |bench| {
                let mut peer = bench.open("/");
                peer.send(&Frame::text("first part").unfinished());
                peer.fin();
                assert_eq!(peer.read_to_end().end, TcpEnd::Fin);
                bench.patient.account()
            },
            expected: expected(
                Cause::Eof,
                ClosingHandshake::None,
                End::Finished,
                Side::Peer,
                Truncation::MidMessage,
            ),
            sentence: "The peer left without a Close; the peer ended TCP first, with a FIN, \
                       between the fragments of a message; the connection lasted …",
        },
    ]
}

pub(crate) fn broke_the_protocol() -> Vec<Row> {
    vec![
        Row {
            kind: "bad UTF-8",
            run: |bench| {
                let mut peer = bench.open("/");
                peer.send(&Frame::text(b"\xC3\x28"));
                hear_out(peer, 1007);
                bench.patient.account()
            },
            expected: expected(
                Cause::Violation(ProtocolError::InvalidUtf8),
                said(1007),
                End::Finished,
                Side::Local,
                Truncation::MidFrame,
            ),
            sentence: "The peer broke the protocol with text that is not UTF-8: we sent Close 1007 \
                       (invalid payload), the peer did not answer; we ended TCP first, the peer's \
                       FIN followed; the connection lasted …",
        },
        Row {
            kind: "too big",
            run: |bench| {
                let mut peer = bench.open("/");
                peer.send(&Frame::binary([7; 1001]));
                hear_out(peer, 1009);
                bench.patient.account()
            },
            expected: expected(
                Cause::Violation(ProtocolError::MessageTooBig { limit: 1000 }),
                said(1009),
                End::Finished,
                Side::Local,
                Truncation::MidFrame,
            ),
            sentence: "The peer broke the protocol with a message above the limit of 1000 bytes: \
                       we sent Close 1009 (message too big), the peer did not answer; we ended TCP \
                       first, the peer's FIN followed; the connection lasted …",
        },
    ]
}

pub(crate) fn ran_out_of_time() -> Vec<Row> {
    let late = HandshakeError::TimedOut;
    vec![
        Row {
            kind: "the handshake was never finished",
            run: |bench| {
                let mut peer = Peer::connect(bench.hasty.addr);
                peer.write("GET / HTTP/1.1\r\nHost: example.com\r\n");
                assert_eq!(peer.read_head().status(), 408);
                assert_eq!(peer.read_to_end().end, TcpEnd::Fin);
                drop(peer);
                bench.hasty.account()
            },
            expected: expected(
                Cause::Handshake(late),
                ClosingHandshake::None,
                End::Finished,
                Side::Local,
                Truncation::BetweenMessages,
            ),
            sentence: "No WebSocket was opened: the opening handshake was not finished in time; we \
                       ended TCP first, the peer's FIN followed; the connection lasted …",
        },
        Row {
            kind: "the peer went in the middle of its handshake",
            run: |bench| {
                let mut peer = Peer::connect(bench.patient.addr);
                peer.write("GET / HTTP/1.1\r\nHost: example.com\r\n");
                peer.close();
                bench.patient.account()
            },
            expected: expected(
                Cause::Handshake(HandshakeError::Incomplete),
                ClosingHandshake::None,
                End::Finished,
                Side::Peer,
                Truncation::MidFrame,
            ),
            sentence: "No WebSocket was opened: the peer ended TCP before the handshake was \
                       complete; the peer ended TCP first, with a FIN; the connection lasted …",
        },
        Row {
            kind: "the peer never answers our Close",
            run: |bench| {
                let mut peer = bench.open_hasty("/returns");
                assert_eq!(peer.read_frame().close_code(), Some(4000));
                assert_eq!(peer.read_to_end().end, TcpEnd::Fin);
                let account = bench.hasty.account();
                peer.close();
                account
            },
            expected: expected(
                Cause::HandlerReturned,
                said(4000),
                End::LetGo(adieu::LetGo::Clock(Timer::Linger)),
                Side::Local,
                Truncation::BetweenMessages,
            ),
            sentence: "Our handler returned: we sent Close 4000, the peer did not answer; the peer \
                       never ended TCP, we let go when the linger deadline ran out; the connection \
                       lasted …",
        },
        Row {
            kind: "the peer answers our Close with nothing but its FIN",
            run: |bench| {
                let mut peer = bench.open("/returns");
                assert_eq!(peer.read_frame().close_code(), Some(4000));
                peer.fin();
                assert_eq!(peer.read_to_end().end, TcpEnd::Fin);
                bench.patient.account()
            },
            expected: expected(
                Cause::HandlerReturned,
                said(4000),
                End::Finished,
                Side::Peer,
                Truncation::BetweenMessages,
            ),
            sentence: "Our handler returned: we sent Close 4000, the peer did not answer; the peer \
                       ended TCP first, with a FIN; the connection lasted …",
        },
        Row {
            kind: "the peer vanished: no Pong",
            run: |bench| {
                let mut peer = bench.open_hasty("/");
                assert_eq!(peer.read_frame(), Frame::ping(""));
                assert_eq!(peer.read_frame().close_code(), Some(1011));
                let account = bench.hasty.account();
                peer.close();
                account
            },
            expected: expected(
                Cause::Timeout(Timer::Pong),
                said(1011),
                End::LetGo(adieu::LetGo::Clock(Timer::Linger)),
                Side::Local,
                Truncation::BetweenMessages,
            ),
            sentence: "Our pong deadline ran out: we sent Close 1011 (internal error), the peer \
                       did not answer; the peer never ended TCP, we let go when the linger \
                       deadline ran out; the connection lasted …",
        },
    ]
}

pub(crate) fn our_side_ended_it() -> Vec<Row> {
    let clean = |cause, code| {
        let goodbye = answered(code, code);
        expected(cause, goodbye, End::Finished, Side::Local, Truncation::BetweenMessages)
    };
    vec![
        Row {
            kind: "the handler panicked",
            run: |bench| {
                answer(bench.open("/panics"), 1011);
                bench.patient.account()
            },
            expected: clean(Cause::Panicked, 1011),
            sentence: "Our handler panicked: we sent Close 1011 (internal error), the peer \
                       answered with Close 1011 (internal error); we ended TCP first, the peer's \
                       FIN followed; the connection lasted …",
        },
        Row {
            kind: "the handler returned",
            run: |bench| {
                answer(bench.open("/returns"), 4000);
                bench.patient.account()
            },
            expected: clean(Cause::HandlerReturned, 4000),
            sentence: "Our handler returned: we sent Close 4000, the peer answered with Close \
                       4000; we ended TCP first, the peer's FIN followed; the connection lasted …",
        },
        Row {
            kind: "the handler dropped the socket and goes on",
            run: |bench| {
                answer(bench.open("/drops"), 1001);
                bench.patient.account()
            },
            expected: clean(Cause::Dropped, 1001),
            sentence: "Our application dropped the connection: we sent Close 1001 (going away), \
                       the peer answered with Close 1001 (going away); we ended TCP first, the \
                       peer's FIN followed; the connection lasted …",
        },
        Row {
            kind: "the server stops",
            run: |_| {
                let host = Host::start(support::echo);
                let mut peer = Peer::open(host.addr);
                // The handshake is over when the server answers.
                peer.send(&Frame::text("ready"));
                assert_eq!(peer.read_frame(), Frame::text("ready"));
                host.drain.start();
                answer(peer, 1001);
                let account = host.account();
                assert_eq!(host.finish().clean, 1);
                account
            },
            expected: clean(Cause::Drain, 1001),
            sentence: "Our server is stopping: we sent Close 1001 (going away), the peer answered \
                       with Close 1001 (going away); we ended TCP first, the peer's FIN followed; \
                       the connection lasted …",
        },
    ]
}
