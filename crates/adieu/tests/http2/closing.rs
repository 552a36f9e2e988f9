//! What our server sends when it closes a stream, or answers a Close, frame by frame.

use std::time::Duration;

use adieu::{Cause, CloseCode, Config, End, Endpoint, LetGo, Socket, Timer};
use testkit::Frame;
use testkit::http2::{Http2Frame, Http2Peer, StreamEnd, code};

use crate::served::echo;
use crate::{open, serve};

/// Closes at the first message.
async fn closes(mut socket: Socket) {
    let _ = socket.recv().await;
    socket.close(CloseCode::from(4000)).await;
}

#[test]
fn our_close_comes_without_end_stream_and_the_peers_answer_is_awaited() {
    let served = serve(Endpoint::new(), closes);
    let (mut peer, stream) = open(&served);
    peer.send_ws(stream, &Frame::text("go"));
    let Http2Frame::Data { bytes, end_stream, .. } = peer.next_for(stream) else {
        panic!("no DATA");
    };
    assert_eq!(Frame::parse_all(&bytes)[0].close_code(), Some(4000));
    assert!(!end_stream, "Firefox would call it unclean");
    // As Firefox answers: without END_STREAM.
    peer.send_ws(stream, &Frame::close(4000, ""));
    let Http2Frame::Data { bytes, end_stream, .. } = peer.next_for(stream) else {
        panic!("no DATA");
    };
    assert!(bytes.is_empty() && end_stream);
    let rst = Http2Frame::RstStream { stream, code: code::NO_ERROR };
    assert_eq!(peer.next_for(stream), rst);
    let ending = served.account().ending;
    assert!(ending.is_clean(), "{ending}");
    assert_eq!(ending.transport.end, End::LetGo(LetGo::BothClosed), "{ending}");
    drop(peer);
    served.stop();
}

#[test]
fn an_answer_with_end_stream_needs_no_rst_stream() {
    let served = serve(Endpoint::new(), closes);
    let (mut peer, stream) = open(&served);
    peer.send_ws(stream, &Frame::text("go"));
    assert_eq!(peer.read_ws(stream).close_code(), Some(4000));
    // As Chromium answers.
    peer.send_ws_all_and_end(stream, &[Frame::close(4000, "")]);
    let rest = peer.read_stream_to_end(stream);
    assert_eq!((rest.bytes.len(), rest.end), (0, StreamEnd::EndStream));
    let ending = served.account().ending;
    assert!(ending.is_clean(), "{ending}");
    assert_eq!(ending.transport.end, End::Finished, "{ending}");
    peer.ping_and_wait();
    let of_it = peer.queued().find(|frame| frame.stream() == stream);
    assert_eq!(of_it, None, "nothing follows");
    drop(peer);
    served.stop();
}

#[test]
fn a_close_of_the_peer_is_answered_with_end_stream_in_one_frame() {
    let served = serve(Endpoint::new(), echo);
    let (mut peer, stream) = open(&served);
    peer.send_ws_all_and_end(stream, &[Frame::close(1001, "")]);
    let Http2Frame::Data { bytes, end_stream, .. } = peer.next_for(stream) else {
        panic!("no DATA");
    };
    assert_eq!(Frame::parse_all(&bytes)[0].close_code(), Some(1001));
    assert!(end_stream, "one frame");
    assert!(served.account().ending.is_clean());
    drop(peer);
    served.stop();
}

#[test]
fn messages_in_the_flight_of_the_200_come_before_the_close() {
    let served = serve(Endpoint::new(), async |socket: Socket| {
        for n in 0..20 {
            let _ = socket.send(n.to_string()).await;
        }
        socket.close(CloseCode::from(4001)).await;
    });
    let (mut peer, stream) = open(&served);
    for n in 0..20 {
        assert_eq!(peer.read_ws(stream), Frame::text(n.to_string()));
    }
    assert_eq!(peer.read_ws_to_end_answering(stream).close_code(), Some(4001));
    assert!(served.account().ending.is_clean());
    drop(peer);
    served.stop();
}

/// More pieces than one write takes: END_STREAM stands behind the last of them.
#[test]
fn many_last_words_come_before_the_answer_and_its_end_stream() {
    let served = serve(Endpoint::new(), async |mut socket: Socket| {
        // By now the peer's Close has come, too.
        let _ = socket.recv().await;
        for n in 0..24 {
            let _ = socket.try_send(format!("{n}: {}", "x".repeat(9_000)));
        }
        while socket.recv().await.is_some() {}
    });
    let windows = Http2Peer::builder().initial_window(1 << 20).connection_window(1 << 20);
    let mut peer = windows.connect(served.addr);
    let stream = peer.open_websocket("example.com", "/", &[]);
    peer.send_ws_all_and_end(stream, &[Frame::text("and?"), Frame::close(1001, "")]);
    for n in 0..24 {
        let message = peer.read_ws(stream);
        assert!(message.payload.starts_with(format!("{n}: ").as_bytes()), "{n}");
    }
    assert_eq!(peer.read_ws(stream).close_code(), Some(1001));
    assert_eq!(peer.read_stream_to_end(stream).end, StreamEnd::EndStream);
    assert!(served.account().ending.is_clean());
    drop(peer);
    served.stop();
}

#[test]
fn a_close_waits_behind_an_exhausted_window_and_comes_when_it_opens() {
    const LARGE: usize = 100_000;
    let served = serve(Endpoint::new(), async |socket: Socket| {
        let _ = socket.send("x".repeat(LARGE)).await;
        socket.close(CloseCode::from(4002)).await;
    });
    let mut peer = Http2Peer::connect(served.addr);
    peer.hold_window();
    let stream = peer.open_websocket("example.com", "/", &[]);
    peer.read_until("the window is used up", |peer| peer.receive_window(stream) == 0);
    peer.release_window();
    assert_eq!(peer.read_ws(stream).payload.len(), LARGE);
    assert_eq!(peer.read_ws(stream).close_code(), Some(4002));
    peer.send_ws_all_and_end(stream, &[Frame::close(4002, "")]);
    assert_eq!(peer.read_stream_to_end(stream).end, StreamEnd::EndStream);
    assert!(served.account().ending.is_clean());
    drop(peer);
    served.stop();
}

#[test]
fn what_the_peer_uploads_while_it_is_told_goodbye_is_read_on() {
    let served = serve(Endpoint::new(), closes);
    let (mut peer, stream) = open(&served);
    peer.send_ws(stream, &Frame::text("go"));
    assert_eq!(peer.read_ws(stream).close_code(), Some(4000));
    // More than both windows hold: it is read, and room is given back.
    let part = Frame::binary(vec![7; 60_000]);
    for _ in 0..100 {
        peer.send_ws(stream, &part);
    }
    peer.send_ws_all_and_end(stream, &[Frame::close(4000, "")]);
    assert_eq!(peer.read_stream_to_end(stream).end, StreamEnd::EndStream);
    let ending = served.account().ending;
    assert!(ending.is_clean(), "{ending}");
    drop(peer);
    served.stop();
}

#[test]
fn a_peer_that_does_not_answer_our_close_is_reset_with_cancel() {
    let config = Config {
        close_timeout: Duration::from_millis(200),
        linger: Duration::from_millis(100),
        ..Config::default()
    };
    let served = serve(Endpoint::new().config(config), closes);
    let (mut peer, stream) = open(&served);
    peer.send_ws(stream, &Frame::text("go"));
    assert_eq!(peer.read_ws(stream).close_code(), Some(4000));
    let ended = [peer.next_for(stream), peer.next_for(stream)];
    assert!(matches!(ended[0], Http2Frame::Data { end_stream: true, .. }), "{ended:?}");
    assert_eq!(ended[1], Http2Frame::RstStream { stream, code: code::CANCEL });
    let ending = served.account().ending;
    assert_eq!(ending.cause, Cause::Application, "{ending}");
    assert_eq!(ending.transport.end, End::LetGo(LetGo::Clock(Timer::Linger)), "{ending}");
    drop(peer);
    served.stop();
}

#[test]
fn a_drain_says_goaway_and_a_close_to_each_stream_and_ends_the_connection() {
    let served = serve(Endpoint::new(), echo);
    let (mut peer, first) = open(&served);
    let streams = [first, peer.open_websocket("a", "/", &[]), peer.open_websocket("a", "/", &[])];
    served.drain.start();
    for stream in streams {
        assert_eq!(peer.read_ws(stream).close_code(), Some(1001));
        peer.send_ws_all_and_end(stream, &[Frame::close(1001, "")]);
        assert_eq!(peer.read_stream_to_end(stream).end, StreamEnd::EndStream);
    }
    peer.read_to_end();
    let goaway = peer.goaway().expect("a GOAWAY");
    assert_eq!((goaway.code, goaway.last), (code::NO_ERROR, streams[2]));
    peer.close();
    for _ in streams {
        let ending = served.account().ending;
        assert!(ending.is_clean() && ending.cause == Cause::Drain, "{ending}");
    }
    assert_eq!(served.stop().clean, 3);
}

/// Sends a megabyte at the first message.
async fn sends_much(mut socket: Socket) {
    let _ = socket.recv().await;
    let _ = socket.send(vec![0; 1 << 20]).await;
    let _ = socket.recv().await;
}

#[test]
fn while_the_server_stops_a_client_that_answers_no_ping_is_given_up_with_its_streams() {
    // The clocks of the stream itself would wait for an hour.
    let hour = Duration::from_secs(60 * 60);
    let config = Config { flush_timeout: hour, drain_timeout: hour, ..Config::default() };
    let served = serve(Endpoint::new().config(config), sends_much);
    let (mut peer, stream) = open(&served);
    peer.send_ws(stream, &Frame::text("go"));
    // It has begun; the window is used up, and nothing more is read.
    let Http2Frame::Data { .. } = peer.next_for(stream) else { panic!("no DATA") };
    served.drain.start();
    let ending = served.account().ending;
    let http2 = ending.http2.expect("a stream");
    assert_eq!(http2.connection_end, Some(End::LetGo(LetGo::Clock(Timer::Pong))), "{ending}");
    assert!(ending.unsent.bytes > 0, "{ending}");
    drop(peer);
    assert_eq!(served.stop().clean, 0);
}

/// What a client sends right before the stop is in the server's kernel, unread, when it begins.
#[test]
fn what_had_arrived_in_the_kernel_when_the_server_stops_is_answered_on_each_stream() {
    const MESSAGES: usize = 20;
    const CLIENTS: usize = 100;
    let served = serve(Endpoint::new(), echo);
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| open(&served)).collect();
    let messages: Vec<_> = (0..MESSAGES).map(|n| Frame::text(n.to_string())).collect();
    for (peer, stream) in &mut clients {
        peer.send_ws_all(*stream, &messages);
    }
    served.drain.start();
    for (n, (mut peer, stream)) in clients.into_iter().enumerate() {
        for message in &messages {
            assert_eq!(peer.read_ws(stream), *message, "client {n}");
        }
        assert_eq!(peer.read_ws_to_end_answering(stream).close_code(), Some(1001));
    }
    for _ in 0..CLIENTS {
        let ending = served.account().ending;
        assert!(ending.is_clean() && ending.cause == Cause::Drain, "{ending}");
    }
    assert_eq!(served.stop().clean, CLIENTS);
}
