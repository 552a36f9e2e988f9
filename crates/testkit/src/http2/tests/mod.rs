//! The client against servers of a few lines, which read and write frames as they are told.

mod deaths;
mod opening;
mod streams;
mod windows;

use std::net::SocketAddr;
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
