//! SETTINGS, requests and their answers.

use super::*;

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
