//! Opens connections, as many as wanted, and checks each server's answer.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use crate::frames;
use crate::sys::{self, Epoll};

/// Connections that are being opened at a time: below every server's queue.
const AT_A_TIME: usize = 128;

/// A server that has not answered by then hangs.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Source addresses in turn, so that ports in TIME_WAIT never run out.
const SOURCES: u32 = 200;

/// Begins the `n`th connection to a server on this machine.
///
/// # Errors
/// As the system says.
pub fn begin(port: u16, n: usize) -> io::Result<TcpStream> {
    let source = Ipv4Addr::from(u32::from(Ipv4Addr::new(127, 0, 1, 1)) + n as u32 % SOURCES);
    sys::connect(source, SocketAddrV4::new(Ipv4Addr::LOCALHOST, port))
}

/// The end of a head in `bytes`.
#[must_use]
pub fn head_end(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4)
}

/// An error of ours.
#[must_use]
pub fn wrong(why: String) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, why)
}

struct Dialled {
    tcp: TcpStream,
    asked: bool,
    answer: Vec<u8>,
}

/// Opens so many WebSockets.
///
/// # Errors
/// If a connection cannot be made, or the answer to an upgrade is not right.
pub fn open(port: u16, count: usize) -> io::Result<Vec<TcpStream>> {
    Ok(open_with_heads(port, count)?.into_iter().map(|(tcp, _)| tcp).collect())
}

/// The same, each with the head of its answer.
///
/// # Errors
/// Those of [`open`].
pub fn open_with_heads(port: u16, count: usize) -> io::Result<Vec<(TcpStream, String)>> {
    let epoll = Epoll::new()?;
    let (request, accept) = (frames::upgrade_request(), frames::expected_accept());
    let mut dialled: Vec<Option<Dialled>> = Vec::with_capacity(count);
    let mut opened = Vec::with_capacity(count);
    let mut events = sys::events(AT_A_TIME);
    let deadline = Instant::now() + PATIENCE;
    while opened.len() < count {
        while dialled.len() < count && dialled.len() - opened.len() < AT_A_TIME {
            let tcp = begin(port, dialled.len())?;
            epoll.add(tcp.as_raw_fd(), sys::OUT, dialled.len() as u64)?;
            dialled.push(Some(Dialled { tcp, asked: false, answer: Vec::new() }));
        }
        let n = epoll.wait(&mut events, Some(Duration::from_secs(1)))?;
        for event in &events[..n] {
            let at = event.u64 as usize;
            let Some(one) = &mut dialled[at] else { continue };
            if !one.asked {
                one.tcp.write_all(&request)?;
                one.asked = true;
                epoll.change(one.tcp.as_raw_fd(), sys::IN, at as u64)?;
            } else if one.answered(&accept)? {
                opened.extend(dialled[at].take().map(Dialled::opened));
            }
        }
        if Instant::now() > deadline {
            return Err(wrong(format!(
                "{} of {count} connections were opened in time",
                opened.len()
            )));
        }
    }
    Ok(opened)
}

impl Dialled {
    fn opened(self) -> (TcpStream, String) {
        (self.tcp, String::from_utf8_lossy(&self.answer).into_owned())
    }

    /// Reads; says whether the answer is complete.
    fn answered(&mut self, accept: &str) -> io::Result<bool> {
        let mut buffer = [0; 2048];
        let n = match self.tcp.read(&mut buffer) {
            Ok(0) => return Err(wrong("hung up instead of an answer".into())),
            Ok(n) => n,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error),
        };
        self.answer.extend(&buffer[..n]);
        let Some(end) = head_end(&self.answer) else { return Ok(false) };
        let head = String::from_utf8_lossy(&self.answer[..end]);
        let right = head.starts_with("HTTP/1.1 101")
            && frames::field(&head, "sec-websocket-accept") == Some(accept);
        if right && end == self.answer.len() {
            Ok(true)
        } else {
            Err(wrong(format!("not the answer to an upgrade: {head}")))
        }
    }
}
