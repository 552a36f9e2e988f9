//! What waits for a window, and when windows are given back.

use super::*;

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

#[test]
#[should_panic(expected = "nothing can be read while `together` collects")]
fn what_is_collected_cannot_wait_for_a_window() {
    with_websocket(
        |server, _| server.until_the_client_closes(),
        |mut peer, stream| peer.together(|peer| peer.send_data(stream, [0; 65_536], false)),
    );
}
