//! The client against servers of a few lines, which read and write frames as they are told.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;

use super::*;
use crate::{Frame, Listener, Peer, TcpEnd};

/// The server's end.
struct Server(Peer);

impl Server {
    fn read(&mut self) -> RawFrame {
        let header = self.0.read_exact(RawFrame::HEADER);
        let len = RawFrame::claimed_len(&header).unwrap();
        let bytes = [header, self.0.read_exact(len)].concat();
        RawFrame::parse(&bytes).unwrap().0
    }

    /// Reads one frame of this type, and skips WINDOW_UPDATE before it.
    fn expect(&mut self, kind: u8) -> RawFrame {
        loop {
            let frame = self.read();
            if frame.kind == kind::WINDOW_UPDATE && kind != kind::WINDOW_UPDATE {
                continue;
            }
            assert_eq!(frame.kind, kind, "{frame:?}");
            return frame;
        }
    }

    fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: impl AsRef<[u8]>) {
        self.0.write(RawFrame::new(kind, flags, stream, payload).bytes());
    }

    fn data(&mut self, stream: u32, bytes: impl AsRef<[u8]>) {
        self.send(kind::DATA, 0, stream, bytes);
    }

    /// Its part of the beginning; gives the client's SETTINGS.
    fn greet(&mut self, settings: &[(u16, u32)]) -> Vec<(u16, u32)> {
        assert_eq!(self.0.read_exact(24), PREFACE);
        self.0.write(RawFrame::settings(settings).bytes());
        let theirs = self.expect(kind::SETTINGS);
        self.send(kind::SETTINGS, flag::ACK, 0, "");
        assert_eq!(self.expect(kind::SETTINGS).flags, flag::ACK);
        match Http2Frame::read(theirs) {
            Ok(Http2Frame::Settings { settings, ack: false }) => settings,
            other => panic!("no SETTINGS: {other:?}"),
        }
    }

    /// Accepts the WebSocket that the client asks for next; gives its stream.
    fn accept(&mut self) -> u32 {
        let stream = self.expect(kind::HEADERS).stream;
        self.send(kind::HEADERS, flag::END_HEADERS, stream, b"\x88");
        stream
    }

    /// Reads until the client has closed its end.
    fn until_the_client_closes(mut self) {
        self.0.read_to_end();
    }
}

/// Runs a server and a client, which meet when both have come to their ends.
fn between(server: impl FnOnce(Server) + Send + 'static, client: impl FnOnce(SocketAddr)) {
    let listener = Listener::bind();
    let addr = listener.addr();
    let server = thread::spawn(move || server(Server(listener.accept())));
    client(addr);
    server.join().expect("the server's part");
}

/// A server that has greeted and accepted a WebSocket, and the client of that.
fn with_websocket(
    server: impl FnOnce(Server, u32) + Send + 'static,
    client: impl FnOnce(Http2Peer, u32),
) {
    between(
        |mut peer| {
            peer.greet(&[(setting::ENABLE_CONNECT_PROTOCOL, 1)]);
            let stream = peer.accept();
            server(peer, stream);
        },
        |addr| {
            let mut peer = Http2Peer::connect(addr);
            let stream = peer.open_websocket("example.com", "/", &[]);
            client(peer, stream);
        },
    );
}

fn data(stream: u32, bytes: &str) -> Http2Frame {
    Http2Frame::Data { stream, bytes: bytes.as_bytes().to_vec(), end_stream: false }
}

#[test]
fn both_sides_know_the_settings_of_the_other() {
    between(
        |mut server| {
            let settings = server.greet(&[
                (setting::ENABLE_CONNECT_PROTOCOL, 1),
                (setting::MAX_CONCURRENT_STREAMS, 7),
                (setting::INITIAL_WINDOW_SIZE, 1000),
                (0x4242, 1),
            ]);
            let expected = [
                (setting::HEADER_TABLE_SIZE, 0),
                (setting::ENABLE_PUSH, 0),
                (setting::INITIAL_WINDOW_SIZE, 2000),
            ];
            assert_eq!(settings, expected);
            server.until_the_client_closes();
        },
        |addr| {
            let mut peer = Http2Peer::builder().initial_window(2000).connect(addr);
            let expected = ServerSettings {
                enable_connect_protocol: true,
                max_concurrent_streams: Some(7),
                initial_window_size: 1000,
                ..ServerSettings::default()
            };
            assert_eq!(peer.settings(), &expected);
            let stream = peer.new_stream();
            assert_eq!((stream, peer.send_window(0), peer.send_window(stream)), (1, 65_535, 1000));
            assert_eq!((peer.receive_window(0), peer.receive_window(stream)), (65_535, 2000));
        },
    );
}

#[test]
fn a_larger_window_of_the_connection_is_given_at_first() {
    between(
        |mut server| {
            assert_eq!(server.0.read_exact(24), PREFACE);
            server.expect(kind::SETTINGS);
            assert_eq!(server.read(), RawFrame::window_update(0, 34_465));
            server.0.write(RawFrame::settings(&[]).bytes());
            server.send(kind::SETTINGS, flag::ACK, 0, "");
            server.until_the_client_closes();
        },
        |addr| {
            let builder = Http2Peer::builder().connection_window(100_000).without_settings_ack();
            let peer = builder.connect(addr);
            assert_eq!(peer.receive_window(0), 100_000);
        },
    );
}

#[test]
#[should_panic(expected = "HTTP/1.1 400 Bad Request")]
fn a_server_of_http_1_1_is_shown_as_such() {
    between(
        |mut server| server.0.write("HTTP/1.1 400 Bad Request\r\n\r\n"),
        |addr| drop(Http2Peer::connect(addr)),
    );
}

#[test]
fn a_websocket_is_asked_for_as_rfc_8441_says() {
    between(
        |mut server| {
            server.greet(&[(setting::ENABLE_CONNECT_PROTOCOL, 1)]);
            let request = server.expect(kind::HEADERS);
            assert_eq!((request.stream, request.flags), (1, flag::END_HEADERS));
            let fields = hpack::decode(&request.payload).unwrap();
            let expected = [
                (":method", "CONNECT"),
                (":protocol", "websocket"),
                (":scheme", "http"),
                (":path", "/chat"),
                (":authority", "example.com"),
                ("sec-websocket-version", "13"),
                ("origin", "http://other.example"),
                ("sec-websocket-protocol", "chat"),
            ];
            let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
            assert_eq!(fields, expected);
            // The name and the value are literals, with a Huffman code and without one.
            let mut block = b"\x20\x88\x40\x88\x25\xa8\x49\xe9\x5b\xa9\x7d\x7f".to_vec();
            block.extend(b"\x89\x25\xa8\x49\xe9\x5b\xb8\xe8\xb4\xbf\0\x01a\x01b");
            // One field block in three frames, the first of them padded.
            let first = [b"\x02", &block[..3], b"\0\0"].concat();
            server.send(kind::HEADERS, flag::PADDED, 1, first);
            server.send(kind::CONTINUATION, 0, 1, &block[3..9]);
            server.send(kind::CONTINUATION, flag::END_HEADERS, 1, &block[9..]);
            server.until_the_client_closes();
        },
        |addr| {
            let mut peer = Http2Peer::connect(addr);
            let more = [("origin", "http://other.example"), ("sec-websocket-protocol", "chat")];
            let stream = peer.connect_stream("example.com", "/chat", &more);
            let head = peer.read_head(stream);
            assert_eq!((head.status(), head.end_stream), (200, false));
            assert_eq!(head.field("custom-key"), Some("custom-value"));
            assert_eq!(head.fields("a"), ["b"]);
            assert_eq!(head.field("b"), None);
        },
    );
}

#[test]
fn a_field_block_is_cut_where_the_test_wants_it() {
    between(
        |mut server| {
            server.greet(&[]);
            let first = server.expect(kind::HEADERS);
            assert_eq!((first.flags, first.payload.len()), (flag::END_STREAM, 5));
            let second = server.expect(kind::CONTINUATION);
            assert_eq!((second.flags, second.payload.len()), (0, 5));
            let last = server.expect(kind::CONTINUATION);
            assert_eq!((last.flags, last.payload.len()), (flag::END_HEADERS, 1));
            // More than a frame holds.
            assert_eq!(server.expect(kind::HEADERS).payload.len(), 16_384);
            assert_eq!(server.expect(kind::CONTINUATION).flags, flag::END_HEADERS);
            server.until_the_client_closes();
        },
        |addr| {
            let mut peer = Http2Peer::connect(addr);
            let stream = peer.new_stream();
            peer.send_field_block(stream, &[0; 11], true, 5);
            let stream = peer.new_stream();
            peer.send_headers(stream, &[("a", "v".repeat(16_384))], false);
        },
    );
}

#[test]
fn a_request_has_a_body_and_an_answer_with_trailers() {
    between(
        |mut server| {
            server.greet(&[]);
            assert!(!server.expect(kind::HEADERS).has(flag::END_STREAM));
            let body = server.expect(kind::DATA);
            assert_eq!((&body.payload[..], body.flags), (&b"question"[..], flag::END_STREAM));
            let interim = hpack::encode(&[(":status", "103")]);
            server.send(kind::HEADERS, flag::END_HEADERS, 1, interim);
            server.send(kind::HEADERS, flag::END_HEADERS, 1, b"\x88");
            server.data(1, "ans");
            server.send(kind::DATA, flag::PADDED, 1, b"\x02wer\0\0");
            let trailers = hpack::encode(&[("a", "b")]);
            server.send(kind::HEADERS, flag::END_HEADERS | flag::END_STREAM, 1, trailers);
            let request = server.expect(kind::HEADERS);
            assert!(request.has(flag::END_STREAM));
            let head = flag::END_HEADERS | flag::END_STREAM;
            server.send(kind::HEADERS, head, request.stream, b"\x8d");
            server.until_the_client_closes();
        },
        |addr| {
            let mut peer = Http2Peer::connect(addr);
            let post = peer.request("POST", "/", &[("x", "y")], "question");
            let answer = peer.read_answer(post);
            assert_eq!((answer.status(), answer.text()), (200, "answer".to_owned()));
            assert_eq!(answer.trailers, Some(vec![("a".to_owned(), "b".to_owned())]));
            assert_eq!(answer.end, StreamEnd::EndStream);
            let get = peer.request("GET", "/nothing", &[], "");
            let answer = peer.read_answer(get);
            assert_eq!((answer.status(), answer.end), (404, StreamEnd::EndStream));
        },
    );
}

#[test]
fn websocket_frames_and_data_frames_are_cut_at_different_places() {
    with_websocket(
        |mut server, stream| {
            // Two frames in one DATA.
            let both = [Frame::text("a").masked(), Frame::text("b").masked()].concat();
            assert_eq!(server.expect(kind::DATA).payload, both);
            // One frame in three.
            let bytes = Frame::text("hello").masked();
            for part in [&bytes[..1], &bytes[1..4], &bytes[4..]] {
                assert_eq!(server.expect(kind::DATA).payload, part);
            }
            let last = server.expect(kind::DATA);
            assert_eq!((last.payload.len(), last.flags), (6, flag::END_STREAM));

            let both = [Frame::text("a").unmasked(), Frame::text("bc").unmasked()].concat();
            server.data(stream, &both[..4]);
            server.data(stream, "");
            server.data(stream, &both[4..]);
            server.send(kind::DATA, flag::END_STREAM, stream, b"\x81\x05cut");
            server.until_the_client_closes();
        },
        |mut peer, stream| {
            peer.send_ws_all(stream, &[Frame::text("a"), Frame::text("b")]);
            peer.send_ws_cut(stream, &Frame::text("hello"), &[1, 4]);
            peer.send_ws_all_and_end(stream, &[Frame::close_empty()]);
            assert_eq!(peer.read_ws(stream), Frame::text("a"));
            assert_eq!(peer.read_ws(stream), Frame::text("bc"));
            assert_eq!(peer.try_read_ws(stream), Err(StreamEnd::EndStream));
            let rest = peer.read_stream_to_end(stream);
            assert_eq!(
                rest,
                StreamRest { bytes: b"\x81\x05cut".to_vec(), end: StreamEnd::EndStream }
            );
        },
    );
}

#[test]
fn a_closing_handshake_ends_the_stream() {
    with_websocket(
        |mut server, stream| {
            server.data(stream, Frame::close(1001, "bye").unmasked());
            let close = server.expect(kind::DATA);
            assert_eq!(close.payload, Frame::close(1001, "bye").masked());
            assert_eq!(close.flags, flag::END_STREAM);
            server.send(kind::DATA, flag::END_STREAM, stream, "");
            server.until_the_client_closes();
        },
        |mut peer, stream| {
            assert_eq!(peer.read_ws_to_end_answering(stream).close_code(), Some(1001));
        },
    );
}

#[test]
fn each_end_of_a_stream_is_told() {
    between(
        |mut server| {
            server.greet(&[]);
            let streams: Vec<u32> = (0..4).map(|_| server.accept()).collect();
            server.send(kind::DATA, flag::END_STREAM, streams[0], "");
            server.0.write(RawFrame::rst_stream(streams[1], code::CANCEL).bytes());
            let goaway = RawFrame::goaway(streams[2], code::ENHANCE_YOUR_CALM, "calm");
            server.0.write(goaway.bytes());
            server.data(streams[2], "last");
            server.0.fin();
            server.until_the_client_closes();
        },
        |addr| {
            let mut peer = Http2Peer::connect(addr);
            let streams: Vec<u32> =
                (0..4).map(|_| peer.open_websocket("example.com", "/", &[])).collect();
            let end = StreamEnd::GoAway { last: streams[2], code: code::ENHANCE_YOUR_CALM };
            assert_eq!(peer.try_read_ws(streams[3]), Err(end));
            assert_eq!(peer.try_next_for(streams[3]), Err(end));
            assert_eq!(peer.try_read_ws(streams[0]), Err(StreamEnd::EndStream));
            assert_eq!(peer.try_read_ws(streams[1]), Err(StreamEnd::Reset(code::CANCEL)));
            assert_eq!(peer.next_for(streams[2]), data(streams[2], "last"));
            let end = StreamEnd::Connection(TcpEnd::Fin);
            assert_eq!(peer.try_read_ws(streams[2]), Err(end));
            assert_eq!(peer.goaway().unwrap().debug, b"calm");
            assert!(matches!(peer.read_frame(), Http2Frame::GoAway(_)));
            assert_eq!(peer.try_read_frame(), Err(TcpEnd::Fin));
        },
    );
}

#[test]
fn a_reset_of_the_server_is_told_apart_from_its_fin() {
    with_websocket(
        |server, _| server.0.reset(),
        |mut peer, stream| {
            let end = StreamEnd::Connection(TcpEnd::Reset);
            assert_eq!(peer.try_read_ws(stream), Err(end));
            assert_eq!(peer.try_send_data(stream, vec![0; 100_000], false), Err(end));
        },
    );
}

#[test]
fn frames_of_other_streams_wait_in_the_queue() {
    with_websocket(
        |mut server, first| {
            let second = server.accept();
            server.data(first, "one");
            server.0.write(RawFrame::window_update(second, 5).bytes());
            server.send(0x42, 0, second, "unknown");
            server.send(kind::PING, 0, 0, b"12345678");
            server.data(first, "two");
            server.data(second, "three");
            // The client has answered by itself.
            let pong = server.expect(kind::PING);
            assert_eq!((pong.flags, &pong.payload[..]), (flag::ACK, &b"12345678"[..]));
            server.until_the_client_closes();
        },
        |mut peer, first| {
            let second = peer.connect_stream("example.com", "/", &[]);
            assert_eq!(peer.read_head(second).status(), 200);
            let unknown = RawFrame::new(0x42, 0, second, "unknown");
            assert_eq!(peer.next_for(second), Http2Frame::Unknown(unknown));
            assert_eq!(peer.next_for(second), data(second, "three"));
            assert_eq!(peer.queued().count(), 4);
            assert_eq!(peer.next_for(first), data(first, "one"));
            let update = Http2Frame::WindowUpdate { stream: second, increment: 5 };
            assert_eq!(peer.read_frame(), update);
            let ping = Http2Frame::Ping { ack: false, payload: *b"12345678" };
            assert_eq!(peer.next_for(0), ping);
            assert_eq!(peer.read_frame(), data(first, "two"));
        },
    );
}

#[test]
fn a_ping_shows_that_nothing_else_came() {
    with_websocket(
        |mut server, stream| {
            server.data(stream, "before");
            let ping = server.expect(kind::PING);
            server.send(kind::PING, flag::ACK, 0, ping.payload);
            server.until_the_client_closes();
        },
        |mut peer, stream| {
            peer.ping_and_wait();
            assert_eq!(peer.queued().collect::<Vec<_>>(), [&data(stream, "before")]);
        },
    );
}

#[test]
fn a_client_that_was_told_so_answers_nothing() {
    with_websocket(
        |mut server, _| {
            server.send(kind::PING, 0, 0, [0; 8]);
            server.0.write(RawFrame::settings(&[(setting::MAX_FRAME_SIZE, 20_000)]).bytes());
            let own = server.expect(kind::PING);
            assert_eq!((own.flags, &own.payload[..]), (0, &b"its own."[..]));
            server.until_the_client_closes();
        },
        |mut peer, _| {
            peer.stop_answering();
            assert!(matches!(peer.read_frame(), Http2Frame::Ping { ack: false, .. }));
            assert!(matches!(peer.read_frame(), Http2Frame::Settings { ack: false, .. }));
            assert_eq!(peer.settings().max_frame_size, 20_000);
            peer.send_frame(kind::PING, 0, 0, b"its own.");
        },
    );
}

#[test]
fn data_waits_for_the_windows_of_the_server() {
    between(
        |mut server| {
            server.greet(&[(setting::INITIAL_WINDOW_SIZE, 10)]);
            let stream = server.accept();
            assert_eq!(server.expect(kind::DATA).payload.len(), 10);
            // Two ways to have more: a window, and a larger initial one.
            server.0.write(RawFrame::window_update(stream, 3).bytes());
            assert_eq!(server.expect(kind::DATA).payload.len(), 3);
            server.0.write(RawFrame::settings(&[(setting::INITIAL_WINDOW_SIZE, 14)]).bytes());
            assert_eq!(server.expect(kind::SETTINGS).flags, flag::ACK);
            assert_eq!(server.expect(kind::DATA).payload.len(), 4);
            server.0.write(RawFrame::window_update(stream, 100).bytes());
            let last = server.expect(kind::DATA);
            assert_eq!((last.payload.len(), last.flags), (8, flag::END_STREAM));
            server.until_the_client_closes();
        },
        |addr| {
            let mut peer = Http2Peer::connect(addr);
            let stream = peer.open_websocket("example.com", "/", &[]);
            peer.send_data(stream, [7; 25], true);
            assert_eq!((peer.send_window(stream), peer.send_window(0)), (92, 65_510));
        },
    );
}

#[test]
fn data_is_cut_where_a_frame_is_full() {
    with_websocket(
        |mut server, _| {
            let lens = [(); 3].map(|()| server.expect(kind::DATA).payload.len());
            assert_eq!(lens, [16_384, 16_384, 2]);
            server.until_the_client_closes();
        },
        |mut peer, stream| peer.send_data(stream, [0; 2 * 16_384 + 2], false),
    );
}

#[test]
fn data_that_waits_hears_how_the_stream_ends() {
    between(
        |mut server| {
            server.greet(&[(setting::INITIAL_WINDOW_SIZE, 10)]);
            let (first, second, third) = (server.accept(), server.accept(), server.accept());
            server.expect(kind::DATA);
            server.0.write(RawFrame::rst_stream(first, code::NO_ERROR).bytes());
            server.expect(kind::DATA);
            server.0.write(RawFrame::goaway(second, code::NO_ERROR, "").bytes());
            server.0.write(RawFrame::window_update(second, 15).bytes());
            server.expect(kind::DATA);
            assert_eq!(server.expect(kind::DATA).stream, third);
            server.0.fin();
            server.until_the_client_closes();
        },
        |addr| {
            let mut peer = Http2Peer::connect(addr);
            let [first, second, third] = [(); 3].map(|()| peer.open_websocket("a", "/", &[]));
            let end = peer.try_send_data(first, [0; 25], false);
            assert_eq!(end, Err(StreamEnd::Reset(code::NO_ERROR)));
            assert_eq!(peer.try_send_data(second, [0; 25], false), Ok(()));
            assert_eq!(
                peer.try_send_data(third, [0; 25], false),
                Err(StreamEnd::GoAway { last: second, code: code::NO_ERROR })
            );
            let end = peer.try_send_data(second, [0; 1], false);
            assert_eq!(end, Err(StreamEnd::Connection(TcpEnd::Fin)));
        },
    );
}

#[test]
fn a_client_that_was_told_so_sends_more_than_the_window() {
    between(
        |mut server| {
            server.greet(&[(setting::INITIAL_WINDOW_SIZE, 10)]);
            server.accept();
            assert_eq!(server.expect(kind::DATA).payload.len(), 25);
            server.until_the_client_closes();
        },
        |addr| {
            let mut peer = Http2Peer::connect(addr);
            let stream = peer.open_websocket("example.com", "/", &[]);
            peer.ignore_windows();
            peer.send_data(stream, [0; 25], false);
            assert_eq!(peer.send_window(stream), -15);
        },
    );
}

#[test]
fn window_is_given_back_once_half_of_it_is_used() {
    between(
        |mut server| {
            server.greet(&[]);
            let stream = server.accept();
            server.data(stream, [0; 49]);
            // The padding counts: two bytes and their length.
            server.send(kind::DATA, flag::PADDED, stream, b"\x02\0\0\0");
            assert_eq!(server.read(), RawFrame::window_update(stream, 53));
            let other = server.accept();
            for _ in 0..3 {
                server.data(other, [0; 100]);
                assert_eq!(server.read(), RawFrame::window_update(other, 100));
            }
            // No window is given to a stream that is over.
            server.send(kind::DATA, flag::END_STREAM, other, [0; 100]);
            server.until_the_client_closes();
        },
        |addr| {
            let mut peer = Http2Peer::builder().initial_window(100).connect(addr);
            let stream = peer.open_websocket("example.com", "/", &[]);
            peer.next_for(stream);
            assert_eq!(peer.receive_window(stream), 51);
            peer.next_for(stream);
            assert_eq!(peer.receive_window(stream), 100);
            let other = peer.open_websocket("example.com", "/", &[]);
            assert_eq!(peer.read_stream_to_end(other).bytes.len(), 400);
            assert_eq!((peer.receive_window(other), peer.receive_window(0)), (0, 65_535 - 453));
        },
    );
}

#[test]
fn a_window_that_is_held_is_exhausted() {
    between(
        |mut server| {
            server.greet(&[]);
            let stream = server.accept();
            server.data(stream, [0; 100]);
            assert_eq!(server.read(), RawFrame::window_update(stream, 7));
            server.data(stream, [0; 7]);
            assert_eq!(server.read(), RawFrame::window_update(0, 107));
            assert_eq!(server.read(), RawFrame::window_update(stream, 100));
            server.data(stream, [0; 60]);
            server.send(kind::DATA, flag::END_STREAM, stream, [0; 40]);
            server.until_the_client_closes();
        },
        |addr| {
            let mut peer = Http2Peer::builder().initial_window(100).connect(addr);
            peer.hold_window();
            let stream = peer.open_websocket("example.com", "/", &[]);
            peer.read_until("no window is left", |peer| peer.receive_window(stream) == 0);
            assert_eq!(peer.queued().count(), 1);
            peer.next_for(stream);
            peer.give_window(stream, 7);
            peer.next_for(stream);
            assert_eq!((peer.receive_window(stream), peer.receive_window(0)), (0, 65_428));
            peer.release_window();
            peer.hold_window_of(stream);
            assert_eq!(peer.read_stream_to_end(stream).bytes.len(), 100);
            assert_eq!((peer.receive_window(stream), peer.receive_window(0)), (0, 65_435));
        },
    );
}

#[test]
fn settings_change_the_windows_once_they_are_acknowledged() {
    with_websocket(
        |mut server, stream| {
            let settings = server.expect(kind::SETTINGS);
            assert_eq!(settings, RawFrame::settings(&[(setting::INITIAL_WINDOW_SIZE, 100)]));
            server.data(stream, [0; 200]);
            server.send(kind::SETTINGS, flag::ACK, 0, "");
            server.accept();
            server.until_the_client_closes();
        },
        |mut peer, stream| {
            peer.send_settings(&[(setting::INITIAL_WINDOW_SIZE, 100)]);
            peer.next_for(stream);
            assert_eq!(peer.receive_window(stream), 65_335);
            let other = peer.open_websocket("example.com", "/", &[]);
            assert_eq!((peer.receive_window(stream), peer.receive_window(other)), (-100, 100));
        },
    );
}

/// What the client says of a server that does this after it has accepted a WebSocket.
fn complaint(server: impl FnOnce(&mut Server, u32) + Send + 'static) -> String {
    let mut said = String::new();
    between(
        |mut peer| {
            peer.greet(&[]);
            let stream = peer.accept();
            server(&mut peer, stream);
            peer.until_the_client_closes();
        },
        |addr| {
            let mut peer = Http2Peer::builder().initial_window(100).connect(addr);
            peer.hold_window();
            peer.open_websocket("example.com", "/", &[]);
            let read = thread::spawn(move || while peer.try_read_frame().is_ok() {});
            let panic = read.join().expect_err("a complaint");
            let fixed = panic.downcast_ref::<&str>().map(|said| (*said).to_owned());
            said = fixed.or_else(|| panic.downcast_ref().cloned()).expect("a sentence");
        },
    );
    said
}

#[test]
fn a_server_that_breaks_the_rules_is_found_out() {
    let said = complaint(|server, stream| server.data(stream, [0; 101]));
    assert_eq!(said, "the server sent more than the window of stream 1 allowed");
    let said = complaint(|server, _| {
        for stream in (101..).step_by(2).take(656) {
            server.0.try_write(RawFrame::new(kind::DATA, 0, stream, [0; 100]).bytes());
        }
    });
    assert_eq!(said, "the server sent more than the window of the connection allowed");
    let said = complaint(|server, stream| {
        server.send(kind::DATA, flag::END_STREAM, stream, "");
        server.data(stream, "more");
    });
    assert!(said.starts_with("the server ended the stream before it sent"), "{said}");
    let said = complaint(|server, stream| server.data(stream, [0; 16_385]));
    assert!(said.starts_with("a frame of 16385 bytes is too long"), "{said}");
    let said = complaint(|server, stream| {
        server.send(kind::HEADERS, 0, stream, b"\x88");
        server.data(stream, "");
    });
    assert!(said.ends_with("came in the middle of a field block"), "{said}");
    let said = complaint(|server, stream| {
        server.send(kind::HEADERS, flag::END_HEADERS, stream, b"\xbe");
    });
    let expected = "the server sent a field block in which index 62 is not in the static table";
    assert_eq!(said, expected);
    let said = complaint(|server, stream| {
        server.0.write(RawFrame::window_update(stream, i32::MAX as u32).bytes());
    });
    assert_eq!(said, "the server gave stream 1 a window that is too large");
    let said = complaint(|server, _| {
        server.0.write(RawFrame::settings(&[(setting::MAX_FRAME_SIZE, 16_383)]).bytes());
    });
    assert_eq!(said, "the server sent a setting that is not allowed: 0x5 = 16383");
}

#[test]
#[should_panic(expected = "nothing can be read while `together` collects")]
fn what_is_collected_cannot_wait_for_a_window() {
    with_websocket(
        |server, _| server.until_the_client_closes(),
        |mut peer, stream| peer.together(|peer| peer.send_data(stream, [0; 65_536], false)),
    );
}

/// Notes the length of each write.
struct Noted(TcpStream, std::sync::mpsc::Sender<usize>);

impl Read for Noted {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read(buf)
    }
}

impl Write for Noted {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let _ = self.1.send(buf.len());
        self.0.write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[test]
fn what_is_said_together_leaves_in_one_write() {
    between(
        |mut server| {
            server.greet(&[]);
            server.accept();
            server.until_the_client_closes();
        },
        |addr| {
            let tcp = TcpStream::connect(addr).unwrap();
            let (noted, writes) = std::sync::mpsc::channel();
            let layer = Noted(tcp.try_clone().unwrap(), noted);
            let mut peer = Http2Peer::builder().over(layer, tcp);
            let stream = peer.open_websocket("example.com", "/", &[]);
            writes.try_iter().for_each(drop);
            peer.together(|peer| {
                peer.send_ws_cut(stream, &Frame::text("abc"), &[3]);
                peer.together(|peer| peer.end_stream(stream));
                peer.reset_stream(stream, code::CANCEL);
            });
            let expected = (9 + 3) + (9 + 6) + 9 + (9 + 4);
            assert_eq!(writes.try_iter().collect::<Vec<_>>(), [expected]);
        },
    );
}

/// A layer whose bytes are all inverted on the wire.
struct Inverted<S>(S);

impl<S: Read> Read for Inverted<S> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.0.read(buf)?;
        buf[..n].iter_mut().for_each(|byte| *byte = !*byte);
        Ok(n)
    }
}

impl<S: Write> Write for Inverted<S> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.write(&buf.iter().map(|byte| !byte).collect::<Vec<u8>>())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[test]
fn it_speaks_over_another_layer_and_dies_below_it() {
    between(
        |mut server| {
            let inverted = |bytes: &[u8]| bytes.iter().map(|byte| !byte).collect::<Vec<u8>>();
            assert_eq!(server.0.read_exact(24), inverted(PREFACE));
            let mut frames = RawFrame::settings(&[]).bytes();
            frames.extend(RawFrame::new(kind::SETTINGS, flag::ACK, 0, "").bytes());
            server.0.write(inverted(&frames));
            assert_eq!(server.0.read_to_end().end, TcpEnd::Reset);
        },
        |addr| {
            let tcp = TcpStream::connect(addr).unwrap();
            let layer = Inverted(tcp.try_clone().unwrap());
            let peer = Http2Peer::builder().over(layer, tcp);
            peer.reset();
        },
    );
}

#[test]
fn each_death_arrives() {
    // RST_STREAM, then GOAWAY and a FIN in one segment.
    with_websocket(
        |mut server, stream| {
            assert_eq!(server.read(), RawFrame::rst_stream(stream, code::CANCEL));
            let rest = server.0.read_to_end();
            let goaway = RawFrame::goaway(0, code::NO_ERROR, "bye").bytes();
            assert_eq!((rest.bytes, rest.end), (goaway, TcpEnd::Fin));
            server.send(kind::PING, flag::ACK, 0, [0; 8]);
            server.0.write(b"\0\0\x05cut");
        },
        |mut peer, stream| {
            peer.reset_stream(stream, code::CANCEL);
            peer.together_with_fin(|peer| peer.send_goaway(0, code::NO_ERROR, "bye"));
            let rest = peer.read_to_end();
            assert_eq!(rest.frames, [Http2Frame::Ping { ack: true, payload: [0; 8] }]);
            assert_eq!((&rest.cut[..], rest.end), (&b"\0\0\x05cut"[..], TcpEnd::Fin));
        },
    );
    // A FIN alone, and an RST.
    with_websocket(
        |mut server, _| assert_eq!(server.0.read_to_end().end, TcpEnd::Fin),
        |mut peer, _| {
            peer.fin_and_wait();
            assert_eq!(peer.read_to_end().end, TcpEnd::Fin);
        },
    );
    with_websocket(
        |mut server, _| assert_eq!(server.0.read_to_end().end, TcpEnd::Reset),
        |peer, _| peer.reset(),
    );
    with_websocket(
        |mut server, _| assert_eq!(server.0.read_to_end().end, TcpEnd::Reset),
        |peer, _| peer.abort(),
    );
    // The process exits.
    with_websocket(
        |mut server, _| assert_eq!(server.0.read_to_end().end, TcpEnd::Fin),
        |peer, _| peer.close(),
    );
}

#[test]
fn a_connection_can_begin_in_any_wrong_way() {
    between(
        |mut server| assert_eq!(server.0.read_exact(9), b"PRI * NO\n"),
        |addr| {
            let mut peer = Http2Peer::silent(addr);
            peer.send_bytes(b"PRI * NO\n");
            assert_eq!(peer.try_read_frame(), Err(TcpEnd::Fin));
        },
    );
}

#[test]
fn error_codes_have_their_names() {
    assert_eq!(code::name(0), "NO_ERROR");
    assert_eq!(code::name(code::HTTP_1_1_REQUIRED), "HTTP_1_1_REQUIRED");
    assert_eq!(code::name(0xE), "an unknown error code");
}
