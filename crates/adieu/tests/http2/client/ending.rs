//! How a WebSocket of a client ends over HTTP/2: what goes over the wire, and what is told.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use adieu::{
    Cause, CloseCode, Config, End, Endpoint, Http2ErrorCode, LetGo, Message, Side, Socket, Timer,
    Truncation,
};
use testkit::http2::{Http2Frame, Http2Server, RawFrame, code};
use testkit::{Frame, Head};

use super::{Raw, World, echoes, url};
use crate::served::echo;

/// One open WebSocket to a raw server.
fn open(world: &World, raw: &Raw) -> (Http2Server, u32, Socket) {
    let connecting = world.connecting(raw.url());
    let mut server = raw.websockets();
    let stream = server.open_websocket();
    let socket = world.connected(connecting);
    (server, stream, socket)
}

#[test]
fn our_close_comes_without_end_stream_which_follows_the_servers_close() {
    for end_with_it in [false, true] {
        let world = World::new();
        let raw = world.raw(&["h2"]);
        let (mut server, stream, socket) = open(&world, &raw);
        let closing = world.runtime.spawn(socket.close(adieu::Close::new(4000, "bye").unwrap()));
        let (close, end) = server.read_ws(stream);
        assert_eq!((close.close_code(), end), (Some(4000), false));
        let answer = Frame::close(4000, "").unmasked();
        server.send_raw(&Http2Server::data(stream, answer, end_with_it));
        let end = Http2Frame::Data { stream, bytes: Vec::new(), end_stream: true };
        assert_eq!(server.next_for(stream), end);
        if !end_with_it {
            server.send_raw(&Http2Server::data(stream, "", true));
        }
        let ending = world.wait(closing).unwrap();
        assert!(ending.is_clean(), "{ending}");
        assert_eq!((&ending.cause, ending.transport.end), (&Cause::Application, End::Finished));
        world.heard();
        world.done();
    }
}

#[test]
fn a_close_of_the_server_is_answered_with_end_stream_in_one_frame() {
    let world = World::new();
    let raw = world.raw(&["h2"]);
    let (mut server, stream, mut socket) = open(&world, &raw);
    server.send_ws(stream, &Frame::close(4001, "enough"));
    assert!(world.wait(socket.recv()).is_none());
    let (answer, end) = server.read_ws(stream);
    assert_eq!((answer.close_code(), end), (Some(4001), true));
    server.send_raw(&Http2Server::data(stream, "", true));
    let ending = world.wait(socket.ended());
    assert!(ending.is_clean(), "{ending}");
    assert_eq!((&ending.cause, ending.transport.end), (&Cause::Peer, End::Finished), "{ending}");
}

/// RFC 9113 §8.1: a server that has said all may say that it wants nothing more.
#[test]
fn no_error_behind_end_stream_takes_nothing_back() {
    let world = World::new();
    let raw = world.raw(&["h2"]);
    let (mut server, stream, socket) = open(&world, &raw);
    let closing = world.runtime.spawn(socket.close(1000));
    server.read_ws(stream);
    server.send_all_raw(&[
        Http2Server::data(stream, Frame::close(1000, "").unmasked(), true),
        RawFrame::rst_stream(stream, code::NO_ERROR),
    ]);
    let ending = world.wait(closing).unwrap();
    assert!(ending.is_clean(), "{ending}");
    assert_eq!(ending.transport.end, End::Finished, "{ending}");
}

#[test]
fn a_server_that_does_not_end_its_stream_is_let_go_with_cancel() {
    let config = Config { linger: Duration::from_millis(200), ..Config::default() };
    let world = World::with(|client| client.config(config));
    let raw = world.raw(&["h2"]);
    let (mut server, stream, socket) = open(&world, &raw);
    server.send_ws(stream, &Frame::close(1000, ""));
    let ended = world.runtime.spawn(async move { socket.ended().await });
    let (_, end) = server.read_ws(stream);
    assert!(end);
    let cancelled = Http2Frame::RstStream { stream, code: code::CANCEL };
    assert_eq!(server.next_for(stream), cancelled);
    let ending = world.wait(ended).unwrap();
    assert_eq!(ending.transport.end, End::LetGo(LetGo::Clock(Timer::Linger)), "{ending}");
}

#[test]
fn a_server_that_does_not_answer_our_close_gets_end_stream_and_then_cancel() {
    let short = Duration::from_millis(200);
    let config = Config { close_timeout: short, linger: short, ..Config::default() };
    let world = World::with(|client| client.config(config));
    let raw = world.raw(&["h2"]);
    let (mut server, stream, socket) = open(&world, &raw);
    let closing = world.runtime.spawn(socket.close(1000));
    server.read_ws(stream);
    let end = Http2Frame::Data { stream, bytes: Vec::new(), end_stream: true };
    assert_eq!(server.next_for(stream), end);
    let cancelled = Http2Frame::RstStream { stream, code: code::CANCEL };
    assert_eq!(server.next_for(stream), cancelled);
    let ending = world.wait(closing).unwrap();
    assert_eq!(ending.transport.end, End::LetGo(LetGo::Clock(Timer::Linger)), "{ending}");
}

#[test]
fn what_stands_before_an_rst_stream_is_heard_and_its_code_is_told() {
    for (reason, cut) in [(code::CANCEL, false), (code::INTERNAL_ERROR, true)] {
        let world = World::new();
        let raw = world.raw(&["h2"]);
        let (mut server, stream, mut socket) = open(&world, &raw);
        let mut bytes = Frame::text("the last words").unmasked();
        if cut {
            bytes.extend_from_slice(&Frame::text("cut").unmasked()[..3]);
        }
        server.send_all_raw(&[
            Http2Server::data(stream, bytes, false),
            RawFrame::rst_stream(stream, reason),
        ]);
        let heard = world.wait(socket.recv()).expect("a message");
        assert_eq!(heard.as_text(), Some("the last words"));
        let ending = world.wait(socket.ended());
        assert_eq!((&ending.cause, ending.transport.end), (&Cause::Reset, End::Reset), "{ending}");
        assert_eq!(ending.http2.unwrap().reset, Some(Http2ErrorCode(reason)), "{ending}");
        let truncation = if cut { Truncation::MidFrame } else { Truncation::BetweenMessages };
        assert_eq!(ending.truncation, truncation, "{ending}");
    }
}

#[test]
fn an_end_stream_without_a_close_is_told_as_such() {
    let world = World::new();
    let raw = world.raw(&["h2"]);
    let (mut server, stream, socket) = open(&world, &raw);
    server.send_raw(&Http2Server::data(stream, "", true));
    let ending = world.wait(socket.ended());
    assert_eq!((&ending.cause, ending.transport.end), (&Cause::Eof, End::Finished), "{ending}");
    assert_eq!(ending.http2.unwrap().connection_end, None, "{ending}");
}

#[test]
fn a_connection_that_ends_is_told_of_each_of_its_streams() {
    for reset in [false, true] {
        let world = World::new();
        let raw = world.raw(&["h2"]);
        let (mut server, _, first) = open(&world, &raw);
        let connecting = world.connecting(raw.url());
        server.open_websocket();
        let second = world.connected(connecting);
        let end = if reset { End::Reset } else { End::Finished };
        let cause = if reset { Cause::Reset } else { Cause::Eof };
        if reset {
            server.reset();
        } else {
            server.fin();
        }
        for socket in [first, second] {
            let ending = world.wait(socket.ended());
            assert_eq!((&ending.cause, ending.transport.end), (&cause, end), "{ending}");
            assert_eq!(ending.http2.unwrap().connection_end, Some(end), "{ending}");
            assert_eq!(ending.transport.close_notify, Some(false), "{ending}");
        }
    }
}

#[test]
fn a_server_that_answers_no_ping_is_given_up_with_all_streams() {
    let config = Config {
        ping_interval: Some(Duration::from_millis(200)),
        pong_timeout: Duration::from_millis(200),
        ..Config::default()
    };
    let world = World::with(|client| client.config(config));
    let raw = world.raw(&["h2"]);
    let (mut server, _, first) = open(&world, &raw);
    server.stop_answering();
    let ending = world.wait(first.ended());
    // The Ping of the WebSocket asks the same, and one of the two is first.
    let by_connection = ending.http2.unwrap().connection_end;
    let pong = LetGo::Clock(Timer::Pong);
    match by_connection {
        Some(end) => assert_eq!(end, End::LetGo(pong), "{ending}"),
        None => assert_eq!(ending.cause, Cause::Timeout(Timer::Pong), "{ending}"),
    }
    drop(server);
}

/// Whichever side closes, both reports say that it was clean, each time.
#[test]
fn a_client_and_a_server_of_ours_part_cleanly() {
    let world = World::new();
    let served = world.serve(Endpoint::new(), async |mut socket: Socket| {
        match socket.recv().await.as_ref().and_then(Message::as_text) {
            Some("close") => drop(socket.close(CloseCode::from(4000)).await),
            _ => while socket.recv().await.is_some() {},
        }
    });
    for n in 0..50 {
        let by_server = n % 2 == 0;
        let socket = world.connect(&url(served.addr, "/"));
        let ending = world.wait(async {
            socket.send(if by_server { "close" } else { "stay" }).await.unwrap();
            if by_server { socket.ended().await } else { socket.close(4001).await }
        });
        assert!(ending.is_clean(), "{n}: {ending}");
        assert_eq!(ending.cause, if by_server { Cause::Peer } else { Cause::Application });
        let theirs = served.account().ending;
        assert!(theirs.is_clean(), "{n}: {theirs}");
    }
    served.stop();
}

#[test]
fn a_server_that_stops_says_goaway_and_a_close_to_each() {
    let world = World::new();
    let served = world.serve(Endpoint::new(), echo);
    let mut sockets: Vec<_> = (0..3).map(|_| world.connect(&url(served.addr, "/"))).collect();
    world.wait(async {
        for socket in &mut sockets {
            echoes(socket, "here").await;
        }
    });
    served.drain.start();
    for socket in sockets {
        let ending = world.wait(socket.ended());
        assert!(ending.is_clean(), "{ending}");
        let received = ending.closing_handshake.received().and_then(|close| close.code());
        assert_eq!((&ending.cause, received), (&Cause::Peer, Some(CloseCode::GOING_AWAY)));
        assert_eq!(ending.transport.active_closer, Some(Side::Local), "{ending}");
        assert_eq!(ending.http2.unwrap().goaway, Some(Http2ErrorCode::NO_ERROR), "{ending}");
    }
    for _ in 0..3 {
        let ending = served.account().ending;
        assert!(ending.is_clean(), "{ending}");
    }
    assert_eq!(served.stop().clean, 3);
}

/// More than all windows hold, both ways at once and on two streams.
#[test]
fn large_messages_go_both_ways() {
    let config = || Config { max_message: 16 << 20, ..Config::default() };
    let world = World::with(|client| client.config(config()));
    let served = world.serve(Endpoint::new().config(config()), echo);
    let sockets = [world.connect(&url(served.addr, "/")), world.connect(&url(served.addr, "/"))];
    let tasks = sockets.map(|mut socket| {
        world.runtime.spawn(async move {
            for n in 0..2_u8 {
                let sent = Message::binary(vec![n; 5 << 20]);
                socket.send(sent.clone()).await.unwrap();
                assert!(socket.recv().await.as_ref() == Some(&sent), "{n}");
            }
            socket.close(1000).await
        })
    });
    for task in tasks {
        let ending = world.wait(task).unwrap();
        assert!(ending.is_clean(), "{ending}");
        assert!(served.account().ending.is_clean());
    }
    served.stop();
}

/// The window holds them, and nothing else counts them.
#[test]
fn many_small_messages_wait_for_a_client_that_does_not_read() {
    const COUNT: u32 = 30_000;
    let world = World::new();
    let raw = world.raw(&["h2"]);
    let (mut server, stream, mut socket) = open(&world, &raw);
    for part in (0..COUNT).collect::<Vec<_>>().chunks(1000) {
        let frames = part.iter().map(|n| {
            let message = Frame::text(n.to_string()).unmasked();
            Http2Server::data(stream, message, false)
        });
        server.send_all_raw(&frames.collect::<Vec<_>>());
    }
    // Behind them all.
    server.ping_and_wait();
    for n in 0..COUNT {
        let heard = world.wait(socket.recv()).expect("a message");
        assert_eq!(heard.as_text(), Some(&*n.to_string()));
    }
    drop(server);
}

#[test]
fn it_goes_through_an_http_proxy() {
    let proxy = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = format!("http://{}", proxy.local_addr().unwrap());
    let world = World::with(|client| client.proxy(at));
    let served = world.serve(Endpoint::new(), echo);
    let server = served.addr;
    let tunnels = std::thread::spawn(move || {
        let (mut client, _) = proxy.accept().unwrap();
        let mut asked = Vec::new();
        while Head::parse(&asked).is_none() {
            let mut byte = [0];
            client.read_exact(&mut byte).unwrap();
            asked.push(byte[0]);
        }
        let mut server = TcpStream::connect(server).unwrap();
        client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
        let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
        let up = std::thread::spawn(move || {
            let _ = std::io::copy(&mut from, &mut to);
            let _ = to.shutdown(std::net::Shutdown::Write);
        });
        let _ = std::io::copy(&mut server, &mut client);
        let _ = client.shutdown(std::net::Shutdown::Write);
        up.join().unwrap();
        String::from_utf8(asked).unwrap()
    });
    let (mut first, mut second) =
        (world.connect(&url(served.addr, "/")), world.connect(&url(served.addr, "/")));
    world.wait(async {
        echoes(&mut first, "through").await;
        echoes(&mut second, "one tunnel").await;
    });
    let (first, second) = (world.wait(first.close(1000)), world.wait(second.close(1000)));
    assert_eq!(first.http2.unwrap().connection, second.http2.unwrap().connection);
    for _ in 0..2 {
        assert!(served.account().ending.is_clean());
    }
    world.heard();
    world.heard();
    world.done();
    served.stop();
    let asked = tunnels.join().unwrap();
    assert!(asked.starts_with(&format!("CONNECT {server} HTTP/1.1\r\n")), "{asked}");
}
