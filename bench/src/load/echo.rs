//! Echo in a closed loop: each connection has so many messages in flight, always.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use crate::frames;
use crate::load::dial::{self, PATIENCE, wrong};
use crate::sys::{self, Epoll, Event};

/// Takes in one `recv` what a server sends in one `send`, as far as the kernel carries it.
const BUFFER: usize = 1024 * 1024;

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spec {
    /// Bytes of payload.
    pub size: usize,
    /// Non-ASCII text instead of binary.
    pub text: bool,
    /// Connections.
    pub connections: usize,
    /// Messages in flight on each.
    pub in_flight: usize,
}

/// One connection of the generator.
pub struct Conn {
    tcp: TcpStream,
    /// Bytes that are still to be sent, and where in a frame they begin.
    owed: usize,
    position: usize,
    /// Bytes of the frame that is arriving that are here.
    arrived: usize,
    /// The socket took not all: room is waited for.
    blocked: bool,
}

/// Connections under load.
pub struct Echo {
    epoll: Epoll,
    conns: Vec<Conn>,
    in_flight: usize,
    /// One frame more than are in flight, so that all that is owed lies in one piece.
    outgoing: Vec<u8>,
    frame: usize,
    /// What comes back for each frame; twice, so that a piece may begin anywhere.
    expected: Vec<u8>,
    answer: usize,
    verify: bool,
    buffer: Vec<u8>,
    events: Vec<Event>,
}

/// What happened in a sample.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// Messages that came back.
    pub messages: u64,
    /// From the first byte sent to the last one back.
    pub wall: Duration,
    /// CPU time of this thread.
    pub cpu: Duration,
}

impl Echo {
    /// Opens the connections. A `raw` server gives back our frames as they are, mask and all.
    ///
    /// # Errors
    /// If not all could be opened.
    pub fn open(port: u16, spec: Spec, raw: bool) -> io::Result<Self> {
        let (first, payload) = match spec.text {
            true => (frames::TEXT, frames::text(spec.size)),
            false => (frames::BINARY, frames::binary(spec.size)),
        };
        let sent = frames::client_frame(first, &payload);
        let expected = if raw { sent.clone() } else { frames::server_frame(first, &payload) };
        let epoll = Epoll::new()?;
        let mut conns = Vec::new();
        for tcp in dial::open(port, spec.connections)? {
            epoll.add(tcp.as_raw_fd(), sys::IN, conns.len() as u64)?;
            conns.push(Conn { tcp, owed: 0, position: 0, arrived: 0, blocked: false });
        }
        Ok(Echo {
            epoll,
            conns,
            in_flight: spec.in_flight,
            outgoing: sent.repeat(spec.in_flight + 1),
            frame: sent.len(),
            answer: expected.len(),
            expected: expected.repeat(2),
            verify: true,
            buffer: vec![0; BUFFER],
            events: sys::events(1024),
        })
    }

    /// How many connections there are.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.conns.len()
    }

    /// Whether every byte that comes back is compared; counted they are always.
    pub fn verify(&mut self, on: bool) {
        self.verify = on;
    }

    /// Keeps all connections busy for so long, then waits until everything is back.
    ///
    /// # Errors
    /// If a connection ends, or brings what was not sent.
    pub fn sample(&mut self, length: Duration) -> io::Result<Sample> {
        let (began, cpu) = (Instant::now(), sys::thread_cpu());
        let (mut sent, mut back) = (0_u64, 0_u64);
        for at in 0..self.conns.len() {
            sent += self.in_flight as u64;
            self.send(at, self.in_flight)?;
        }
        let mut now = began;
        while back < sent {
            let going_on = now - began < length;
            for event in 0..self.wait(Some(Duration::from_secs(1)))? {
                let (at, n) = self.on_event(event)?;
                back += n as u64;
                if going_on && n > 0 {
                    sent += n as u64;
                    self.send(at, n)?;
                }
            }
            now = Instant::now();
            if now - began > length + PATIENCE {
                return Err(wrong(format!("{} messages did not come back", sent - back)));
            }
        }
        Ok(Sample { messages: back, wall: now - began, cpu: sys::thread_cpu() - cpu })
    }

    /// Waits for events.
    ///
    /// # Errors
    /// As the system says.
    pub fn wait(&mut self, limit: Option<Duration>) -> io::Result<usize> {
        self.epoll.wait(&mut self.events, limit)
    }

    /// Reads and writes what one event is about; gives the connection and how many messages
    /// came back on it.
    ///
    /// # Errors
    /// If the connection ended, or brought what was not sent.
    pub fn on_event(&mut self, event: usize) -> io::Result<(usize, usize)> {
        let Event { events, u64: at } = self.events[event];
        let at = at as usize;
        if events & sys::OUT != 0 {
            self.flush(at)?;
        }
        let n = if events & !sys::OUT != 0 { self.receive(at)? } else { 0 };
        Ok((at, n))
    }

    /// Sends so many messages on a connection, now or when there is room.
    ///
    /// # Errors
    /// If the connection is broken.
    pub fn send(&mut self, at: usize, messages: usize) -> io::Result<()> {
        self.conns[at].owed += messages * self.frame;
        if self.conns[at].blocked { Ok(()) } else { self.flush(at) }
    }

    fn flush(&mut self, at: usize) -> io::Result<()> {
        let conn = &mut self.conns[at];
        while conn.owed > 0 {
            let end = (conn.position + conn.owed).min(self.outgoing.len());
            let n = match conn.tcp.write(&self.outgoing[conn.position..end]) {
                Ok(n) => n,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    if !conn.blocked {
                        conn.blocked = true;
                        let both = sys::IN | sys::OUT;
                        self.epoll.change(conn.tcp.as_raw_fd(), both, at as u64)?;
                    }
                    return Ok(());
                }
                Err(error) => return Err(error),
            };
            conn.owed -= n;
            conn.position = (conn.position + n) % self.frame;
        }
        if conn.blocked {
            conn.blocked = false;
            self.epoll.change(conn.tcp.as_raw_fd(), sys::IN, at as u64)?;
        }
        Ok(())
    }

    fn receive(&mut self, at: usize) -> io::Result<usize> {
        let conn = &mut self.conns[at];
        let n = match conn.tcp.read(&mut self.buffer) {
            Ok(0) => return Err(wrong("a server hung up under load".into())),
            Ok(n) => n,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(0),
            Err(error) => return Err(error),
        };
        if self.verify {
            compare(&self.expected, self.answer, conn.arrived, &self.buffer[..n])?;
        }
        let bytes = conn.arrived + n;
        conn.arrived = bytes % self.answer;
        Ok(bytes / self.answer)
    }
}

/// Compares a piece of the stream that begins `from` bytes into a frame: header and payload have
/// to be those of an unfragmented echo. `expected` holds the frame, `frame` bytes long, twice.
pub(crate) fn compare(expected: &[u8], frame: usize, from: usize, got: &[u8]) -> io::Result<()> {
    let (mut from, mut got) = (from, got);
    while !got.is_empty() {
        let n = got.len().min(frame);
        if got[..n] != expected[from..from + n] {
            let pairs = got.iter().zip(&expected[from..]);
            let at = from + pairs.take_while(|(got, expected)| got == expected).count();
            return Err(wrong(format!("not what was sent, from byte {at} of a frame of {frame}")));
        }
        got = &got[n..];
        from = (from + n) % frame;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_byte_a_missing_byte_and_a_moved_boundary_are_found() {
        let frame = frames::server_frame(frames::BINARY, &frames::binary(300));
        let twice = frame.repeat(2);
        let stream = frame.repeat(5);
        for from in [0, 1, 3, 299] {
            assert!(compare(&twice, frame.len(), from, &stream[from..]).is_ok());
        }
        let mut changed = stream.clone();
        changed[700] ^= 1;
        assert!(compare(&twice, frame.len(), 0, &changed).is_err());
        let mut shorter = stream.clone();
        shorter.remove(450);
        assert!(compare(&twice, frame.len(), 0, &shorter).is_err());
        // Two frames with the same payload in all.
        let payload = frames::binary(300);
        let mut parts = frames::server_frame(0x02, &payload[..150]);
        parts.extend(frames::server_frame(0x80, &payload[150..]));
        assert!(compare(&twice, frame.len(), 0, &parts).is_err());
    }
}
