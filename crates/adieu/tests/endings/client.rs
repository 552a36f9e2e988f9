//! The client's accounts, against a scripted server.

use std::sync::Arc;
use std::time::Duration;

use adieu::{
    Cause, Client, Close, CloseCode, ClosingHandshake, Config, ConnectError, End, Ending,
    HandshakeError, ProtocolError, Refusal, Side, Socket, Truncation,
};
use testkit::{Frame, Listener, Peer, TcpEnd};

use crate::support::masked;
use crate::{Expected, assert_in_order};

/// Connects to a server that does what `script` says, and lets the client do its part.
fn meet<T>(
    script: impl FnOnce(Peer) + Send + 'static,
    client: impl AsyncFnOnce(Result<Socket, ConnectError>) -> T,
) -> T {
    let listener = Listener::bind();
    let url = listener.url();
    let server = std::thread::spawn(move || script(listener.accept()));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let result = runtime.block_on(async {
        let config = Config { linger: Duration::from_millis(300), ..Config::default() };
        let connected = Client::new().config(config).subprotocol("chat").connect(&url).await;
        tokio::time::timeout(testkit::DEADLINE, client(connected)).await.expect("an ending")
    });
    server.join().unwrap();
    result
}

async fn to_the_end(connected: Result<Socket, ConnectError>) -> Ending {
    let mut socket = connected.expect("a WebSocket");
    while socket.recv().await.is_some() {}
    assert!(socket.send("after the end").await.is_err());
    let ending = socket.ended().await;
    assert_eq!(socket.ended().await, ending, "it may be asked twice");
    ending
}

fn close(code: u16) -> Close {
    Close::new(code, "").unwrap()
}

#[test]
fn a_server_that_only_ends_tcp() {
    let fin = meet(
        |mut peer| {
            peer.answer_101();
            peer.fin();
            assert_eq!(peer.read_to_end().end, TcpEnd::Fin);
        },
        to_the_end,
    );
    let reset = meet(
        |mut peer| {
            peer.answer_101();
            peer.reset();
        },
        // The RST may overtake the client's reading of the 101: Linux drops what was not read.
        async |connected| match connected {
            Ok(socket) => Ok(to_the_end(Ok(socket)).await),
            Err(ConnectError::Handshake(error, ending)) => Err((error, *ending)),
            Err(other) => panic!("{other}"),
        },
    );
    assert_in_order("FIN", &fin);
    assert_eq!((&fin.cause, fin.transport.end), (&Cause::Eof, End::Finished));
    match reset {
        Ok(ending) => {
            assert_eq!((&ending.cause, ending.transport.end), (&Cause::Reset, End::Reset));
        }
        Err((error, ending)) => {
            assert_eq!(error, HandshakeError::Reset);
            assert_eq!(ending.transport.end, End::Reset);
        }
    }
}

#[test]
fn a_server_that_restarts() {
    let ending = meet(
        |mut peer| {
            peer.answer_101();
            peer.send(&Frame::close(1012, "back soon"));
            assert_eq!(peer.read_frame().close_code(), Some(1012));
            peer.close();
        },
        to_the_end,
    );
    let theirs = Close::new(1012, "back soon").unwrap();
    let expected = Expected {
        cause: Cause::Peer,
        goodbye: ClosingHandshake::ReceivedThenSent { theirs, ours: close(1012) },
        end: End::Finished,
        // A client waits for the server's FIN (RFC 6455 §7.1.1).
        first: Side::Peer,
        cut: Truncation::BetweenMessages,
        unsent: (0, 0),
    };
    assert_eq!(Expected::of(&ending), expected);
    assert_eq!(
        masked(&ending.to_string()),
        "The peer sent Close 1012 (service restart) \"back soon\" and we answered with Close 1012 \
         (service restart); the peer ended TCP first, with a FIN; the connection lasted …"
    );
}

#[test]
fn a_server_that_breaks_the_protocol() {
    let ending = meet(
        |mut peer| {
            peer.answer_101();
            peer.write(Frame::text("masked").masked());
            assert_eq!(peer.read_frame().close_code(), Some(1002));
            assert_eq!(peer.read_to_end().end, TcpEnd::Fin);
        },
        to_the_end,
    );
    assert_eq!(ending.cause, Cause::Violation(ProtocolError::Masked));
    assert_eq!(ending.closing_handshake, ClosingHandshake::Sent { ours: close(1002) });
}

#[test]
fn our_goodbye_and_the_answer_to_it() {
    let ending = meet(
        |mut peer| {
            peer.answer_101();
            assert_eq!(peer.read_frame(), Frame::text("first"));
            assert_eq!(peer.read_frame(), Frame::close(4001, "bye"));
            peer.send(&Frame::close(4001, ""));
            assert_eq!(peer.read_to_end().end, TcpEnd::Fin);
        },
        async |connected| {
            let socket = connected.unwrap();
            socket.send("first").await.unwrap();
            socket.close(Close::new(4001, "bye").unwrap()).await
        },
    );
    assert!(ending.is_clean(), "{ending}");
    assert_eq!(ending.cause, Cause::Application);
}

#[test]
fn a_client_that_is_dropped_says_so() {
    let (tell, told) = std::sync::mpsc::channel();
    meet(
        move |mut peer| {
            peer.answer_101();
            assert_eq!(peer.read_frame().close_code(), Some(1001));
            peer.send(&Frame::close(1001, ""));
            tell.send(peer.read_to_end().end).unwrap();
        },
        async |connected| {
            let socket = connected.unwrap();
            let sender = socket.sender();
            drop(socket);
            let ending = sender.ended().await;
            assert_eq!(ending.cause, Cause::Dropped);
            assert!(ending.is_clean(), "{ending}");
        },
    );
    assert_eq!(told.recv_timeout(testkit::DEADLINE), Ok(TcpEnd::Fin));
}

#[test]
fn answers_that_are_no_agreement() {
    let refused = "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n";
    let wrong_key = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
                     Connection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\
                     \r\n";
    type Script = Arc<dyn Fn(&mut Peer) + Send + Sync>;
    let raw = |answer: &'static str| -> Script {
        Arc::new(move |peer| {
            let _ = peer.read_head();
            peer.write(answer);
        })
    };
    let with = |fields: &'static str| -> Script {
        Arc::new(move |peer| {
            let _ = peer.answer_101_with(fields);
        })
    };
    use HandshakeError as H;
    let mut forbidden = Refusal::new(403);
    forbidden.reason = "Forbidden".to_owned();
    forbidden.headers.push(("Content-Length".to_owned(), b"0".to_vec()));
    let extension = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
    let cases = [
        (raw(refused), H::RefusedByServer(Arc::new(forbidden))),
        (raw(wrong_key), H::BadAnswer("Sec-WebSocket-Accept")),
        (with(extension), H::BadAnswer("Sec-WebSocket-Extensions")),
        (with("Sec-WebSocket-Protocol: other\r\n"), H::BadAnswer("Sec-WebSocket-Protocol")),
        (raw("SMTP?\r\n\r\n"), H::BadHttp("answer")),
    ];
    for (script, want) in cases {
        let ending = meet(
            move |mut peer| {
                script(&mut peer);
                // Nothing more is said to a server that did not agree.
                let rest = peer.read_to_end();
                assert_eq!((rest.bytes, rest.end), (vec![], TcpEnd::Fin));
            },
            async |connected| match connected {
                Err(ConnectError::Handshake(error, ending)) => {
                    assert_eq!(error, want);
                    *ending
                }
                other => panic!("{want:?} expected, not {other:?}"),
            },
        );
        assert_eq!(ending.cause, Cause::Handshake(want));
        assert_eq!((ending.opened(), ending.closing_handshake), (false, ClosingHandshake::None));
        assert_eq!(
            (ending.transport.end, ending.transport.active_closer),
            (End::Finished, Some(Side::Local))
        );
    }
}

#[test]
fn codes_are_never_invented() {
    let ending = meet(
        |mut peer| {
            peer.answer_101();
            peer.send(&Frame::close_empty());
            assert_eq!(peer.read_frame(), Frame::close_empty());
            peer.close();
        },
        to_the_end,
    );
    assert_eq!(ending.closing_handshake.received().and_then(Close::code), None::<CloseCode>);
}
