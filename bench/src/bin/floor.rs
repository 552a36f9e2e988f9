//! The floor: a TCP echo on raw epoll that does no WebSocket work beyond the answer to the upgrade
//! request. One receive buffer per thread, one `recv` and one `send` per wake. What the kernel
//! costs, every server has to pay. `floor MODE`; prints its port.
//!
//! It reads no frames: the first bytes on a connection are the request, all others are data.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;

use bench::frames;
use bench::peer::{self, Mode};
use bench::sys::{self, Epoll};

/// Larger than what is on its way on one connection, so that one `recv` takes all.
const BUFFER: usize = 1024 * 1024;

const LISTENER: u64 = u64::MAX;

struct Conn {
    tcp: TcpStream,
    open: bool,
    /// What did not fit into the socket, from `gone` on; reading pauses meanwhile. Its memory is
    /// kept: given back and taken again it would cost more than the copy.
    rest: Vec<u8>,
    gone: usize,
    /// Our Close is sent: what comes next is the answer.
    closing: bool,
}

struct Floor {
    mode: Mode,
    epoll: Epoll,
    conns: Vec<Option<Conn>>,
    free: Vec<usize>,
    buffer: Vec<u8>,
}

impl Floor {
    fn accept(&mut self, listener: &TcpListener) {
        while let Ok((tcp, _)) = listener.accept() {
            let _ = tcp.set_nonblocking(true);
            let _ = tcp.set_nodelay(true);
            let at = self.free.pop().unwrap_or_else(|| {
                self.conns.push(None);
                self.conns.len() - 1
            });
            self.epoll.add(tcp.as_raw_fd(), sys::IN, at as u64).expect("watched");
            self.conns[at] =
                Some(Conn { tcp, open: false, rest: Vec::new(), gone: 0, closing: false });
        }
    }

    fn on(&mut self, at: usize) {
        let Some(conn) = &mut self.conns[at] else { return };
        if conn.gone < conn.rest.len() {
            return self.flush(at);
        }
        let n = match conn.tcp.read(&mut self.buffer) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => return,
            Ok(n) if n > 0 => n,
            _ => return self.hang_up(at),
        };
        if !conn.open {
            conn.open = true;
            let answer = frames::upgrade_answer(&self.buffer[..n]);
            return self.send(at, answer.as_bytes());
        }
        match self.mode {
            Mode::Storm if conn.closing => self.hang_up(at),
            Mode::Storm => self.tell_all(&frames::server_close(1001), true),
            Mode::FanOut => {
                let text = frames::server_frame(frames::TEXT, &[b'x'; frames::FAN_OUT]);
                self.tell_all(&text, false);
            }
            Mode::Echo | Mode::Goodbye => self.echo(at, n),
        }
    }

    fn echo(&mut self, at: usize, n: usize) {
        let buffer = std::mem::take(&mut self.buffer);
        self.send(at, &buffer[..n]);
        self.buffer = buffer;
        if self.mode == Mode::Goodbye {
            self.hang_up(at);
        }
    }

    fn tell_all(&mut self, bytes: &[u8], closing: bool) {
        for at in 0..self.conns.len() {
            if let Some(conn) = &mut self.conns[at] {
                conn.closing = closing;
                self.send(at, bytes);
            }
        }
    }

    fn send(&mut self, at: usize, bytes: &[u8]) {
        let Some(conn) = &mut self.conns[at] else { return };
        let n = match conn.tcp.write(bytes) {
            Ok(n) => n,
            Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
            Err(_) => return self.hang_up(at),
        };
        if n < bytes.len() {
            conn.gone = 0;
            conn.rest.clear();
            conn.rest.extend_from_slice(&bytes[n..]);
            self.epoll.change(conn.tcp.as_raw_fd(), sys::OUT, at as u64).expect("watched");
        }
    }

    fn flush(&mut self, at: usize) {
        let Some(conn) = &mut self.conns[at] else { return };
        match conn.tcp.write(&conn.rest[conn.gone..]) {
            Ok(n) => conn.gone += n,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => return self.hang_up(at),
        }
        if conn.gone == conn.rest.len() {
            self.epoll.change(conn.tcp.as_raw_fd(), sys::IN, at as u64).expect("watched");
        }
    }

    fn hang_up(&mut self, at: usize) {
        self.conns[at] = None;
        self.free.push(at);
    }
}

fn main() -> std::io::Result<()> {
    let listener = peer::listen_std();
    listener.set_nonblocking(true)?;
    let (mode, epoll) = (Mode::from_args(), Epoll::new()?);
    epoll.add(listener.as_raw_fd(), sys::IN, LISTENER)?;
    let buffer = vec![0; BUFFER];
    let mut floor = Floor { mode, epoll, conns: Vec::new(), free: Vec::new(), buffer };
    let mut events = sys::events(1024);
    loop {
        let n = floor.epoll.wait(&mut events, None)?;
        for event in &events[..n] {
            match event.u64 {
                LISTENER => floor.accept(&listener),
                at => floor.on(at as usize),
            }
        }
    }
}
