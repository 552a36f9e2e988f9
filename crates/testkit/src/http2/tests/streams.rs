//! WebSockets on streams, and how streams end.

use super::*;

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
