//! A backend that says one thing, and a client that asks for a WebSocket.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use crate::world::{Adieu, SECRET, adieu};

/// The address of a backend that answers everything with this status and body, as long as the test
/// runs.
pub(super) fn backend(status: u16, body: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hooks", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for tcp in listener.incoming() {
            let _ = answer(tcp.unwrap(), status, body);
        }
    });
    url
}

fn answer(tcp: TcpStream, status: u16, body: &str) -> std::io::Result<()> {
    let mut reader = BufReader::new(tcp.try_clone()?);
    let (mut line, mut length) = (String::new(), 0);
    while reader.read_line(&mut line)? > 2 {
        let field = line.to_ascii_lowercase();
        if let Some(value) = field.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
        line.clear();
    }
    reader.take(length).read_to_end(&mut Vec::new())?;
    let bytes = body.len();
    let mut tcp = tcp;
    write!(tcp, "HTTP/1.1 {status} .\r\nConnection: close\r\nContent-Length: {bytes}\r\n\r\n{body}")
}

/// A gateway with this backend.
pub(super) fn told_to(url: &str) -> Adieu {
    let mut command = adieu(&["serve", "--listen", "127.0.0.1:0", "--backend", url]);
    command.env("ADIEU_BACKEND_SECRET", SECRET);
    Adieu::spawn(command)
}

/// Asks for a WebSocket; the status.
pub(super) fn ask(addr: SocketAddr) -> u16 {
    let mut peer = testkit::Peer::connect(addr);
    peer.write(testkit::Request::rfc6455().target("/ws").bytes());
    peer.read_head().status()
}
