//! Echo in a closed loop over TLS: WebSockets on streams of HTTP/2 (RFC 8441), many on a
//! connection, or each on a connection of HTTP/1.1. Each has so many messages in flight, as far as
//! the windows of the server allow.

mod connection;
mod framing;

use std::io;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use adieu::tls::rustls::ClientConfig;

use self::connection::Connection;
use crate::frames;
use crate::load::dial::{PATIENCE, wrong};
use crate::load::echo::Sample;
use crate::sys::{self, Epoll, Event};

/// What is sent, and over what.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// Bytes of payload.
    pub size: usize,
    /// WebSockets.
    pub sockets: usize,
    /// Connections of HTTP/2 that carry them.
    pub connections: usize,
    /// Messages in flight on each WebSocket.
    pub in_flight: usize,
}

/// The frames of one message, out and back.
struct Message {
    sent: Vec<u8>,
    /// What comes back; twice, so that a piece may begin anywhere.
    expected: Vec<u8>,
    answer: usize,
}

/// WebSockets under load.
pub struct Sockets {
    epoll: Epoll,
    connections: Vec<Connection>,
    message: Message,
    in_flight: usize,
    events: Vec<Event>,
}

/// The protocol over TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// One WebSocket on each connection.
    Http1,
    /// Streams.
    Http2,
}

impl Sockets {
    /// Opens the WebSockets. Over HTTP/1.1 each has a connection of its own.
    ///
    /// # Errors
    /// If not all could be opened.
    pub fn open(port: u16, spec: Spec, over: Over) -> io::Result<Self> {
        let payload = frames::binary(spec.size);
        let sent = frames::client_frame(frames::BINARY, &payload);
        let expected = frames::server_frame(frames::BINARY, &payload);
        let message = Message { sent, answer: expected.len(), expected: expected.repeat(2) };
        let count = if over == Over::Http1 { spec.sockets } else { spec.connections };
        let epoll = Epoll::new()?;
        let tls = client_config(over)?;
        let mut connections = Vec::new();
        for n in 0..count {
            let sockets = spec.sockets / count;
            let connection = Connection::open(port, tls.clone(), over, sockets)?;
            epoll.add(connection.tcp().as_raw_fd(), sys::IN, n as u64)?;
            connections.push(connection);
        }
        let events = sys::events(1024);
        Ok(Sockets { epoll, connections, message, in_flight: spec.in_flight, events })
    }

    /// Whether every byte that comes back is compared; counted they are always.
    pub fn verify(&mut self, on: bool) {
        self.connections.iter_mut().for_each(|connection| connection.verify = on);
    }

    /// Keeps all WebSockets busy for so long, then waits until everything is back.
    ///
    /// # Errors
    /// If one ends, or brings what was not sent.
    pub fn sample(&mut self, length: Duration) -> io::Result<Sample> {
        let (began, cpu) = (Instant::now(), sys::thread_cpu());
        let (mut sent, mut back) = (0_u64, 0_u64);
        for at in 0..self.connections.len() {
            let connection = &mut self.connections[at];
            for socket in 0..connection.sockets() {
                sent += self.in_flight as u64;
                connection.owe(socket, self.in_flight, &self.message);
            }
            self.flush(at)?;
        }
        let mut now = began;
        let mut answered = Vec::new();
        while back < sent {
            let going_on = now - began < length;
            for event in 0..self.epoll.wait(&mut self.events, Some(Duration::from_secs(1)))? {
                let at = self.events[event].u64 as usize;
                let connection = &mut self.connections[at];
                if self.events[event].events & !sys::OUT != 0 {
                    connection.receive(&self.message, &mut answered)?;
                }
                for (socket, n) in answered.drain(..) {
                    back += n as u64;
                    if going_on {
                        sent += n as u64;
                        connection.owe(socket, n, &self.message);
                    }
                }
                self.flush(at)?;
            }
            now = Instant::now();
            if now - began > length + PATIENCE {
                return Err(wrong(format!("{} messages did not come back", sent - back)));
            }
        }
        Ok(Sample { messages: back, wall: now - began, cpu: sys::thread_cpu() - cpu })
    }

    /// Writes what a connection has to write, and waits for room where it is stuck.
    fn flush(&mut self, at: usize) -> io::Result<()> {
        let connection = &mut self.connections[at];
        let was_stuck = connection.is_stuck();
        connection.flush(&self.message)?;
        if connection.is_stuck() != was_stuck {
            let wanted = if was_stuck { sys::IN } else { sys::IN | sys::OUT };
            self.epoll.change(connection.tcp().as_raw_fd(), wanted, at as u64)?;
        }
        Ok(())
    }
}

fn client_config(over: Over) -> io::Result<Arc<ClientConfig>> {
    let config = adieu_check::trust::client_config(None, true).map_err(io::Error::other)?;
    let mut config = (*config).clone();
    let alpn: &[u8] = if over == Over::Http2 { b"h2" } else { b"http/1.1" };
    config.alpn_protocols = vec![alpn.to_vec()];
    Ok(Arc::new(config))
}
