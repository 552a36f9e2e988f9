//! Servers that break the rules, other layers below, and how the client dies.

use std::io::{self, Read, Write};
use std::net::TcpStream;

use super::*;

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
