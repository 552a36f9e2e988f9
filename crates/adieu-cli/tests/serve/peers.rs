//! A backend that says one thing, and a client that asks for a WebSocket.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{self, Receiver};

use crate::world::{Adieu, SECRET, adieu};

/// The address of a backend that answers everything with this status and body, as long as the test
/// runs.
pub(crate) fn backend(status: u16, body: &'static str) -> String {
    backend_with_heads(status, body).0
}

/// The same, and the heads of what it is told and asked, in lower case.
pub(crate) fn backend_with_heads(status: u16, body: &'static str) -> (String, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hooks", listener.local_addr().unwrap());
    let (tell, heads) = mpsc::channel();
    std::thread::spawn(move || {
        for tcp in listener.incoming() {
            if let Ok(head) = answer(tcp.unwrap(), status, body) {
                let _ = tell.send(head);
            }
        }
    });
    (url, heads)
}

/// Answers a request; its head.
fn answer(mut tcp: TcpStream, status: u16, body: &str) -> std::io::Result<String> {
    let mut reader = BufReader::new(tcp.try_clone()?);
    let mut head = String::new();
    while reader.read_line(&mut head)? > 2 {}
    let head = head.to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
    let length = length.map_or(0, |length| length.trim().parse().unwrap());
    reader.take(length).read_to_end(&mut Vec::new())?;
    let bytes = body.len();
    let fields = format!("Connection: close\r\nContent-Length: {bytes}");
    write!(tcp, "HTTP/1.1 {status} .\r\n{fields}\r\n\r\n{body}")?;
    Ok(head)
}

/// A gateway with this backend, which logs what `info` has.
pub(crate) fn told_to(url: &str) -> Adieu {
    let mut command = adieu(&["serve", "--listen", "127.0.0.1:0", "--backend", url]);
    command.env("ADIEU_BACKEND_SECRET", SECRET).env("RUST_LOG", "info");
    Adieu::spawn(command)
}

/// Asks for a WebSocket; the status.
pub(crate) fn ask(addr: SocketAddr) -> u16 {
    let mut peer = testkit::Peer::connect(addr);
    peer.write(testkit::Request::rfc6455().target("/ws").bytes());
    peer.read_head().status()
}
