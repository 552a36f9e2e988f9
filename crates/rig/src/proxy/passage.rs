//! One connection through a proxy: two sockets, and for each direction one thread that reads and
//! one that writes when it is time.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use rustix::net::sockopt::set_socket_linger;

use super::Shared;
use crate::DEADLINE;

/// A write that waits for room looks so often whether it is still wanted.
const LOOK: Duration = Duration::from_millis(50);

/// How long a server may take to accept.
const CONNECT: Duration = Duration::from_secs(10);

/// Bytes that are read at once.
const PIECE: usize = 16 * 1024;

/// Pieces under way in one direction: more wait in the sender's kernel.
const UNDER_WAY: usize = 1024;

#[derive(Debug)]
pub(super) struct Passage {
    client: TcpStream,
    server: OnceLock<TcpStream>,
    is_over: AtomicBool,
}

/// What travels.
enum Piece {
    Bytes(Vec<u8>),
    Fin,
    Reset,
}

/// The index of its delay.
#[derive(Clone, Copy)]
enum Direction {
    ToServer = 0,
    ToClient = 1,
}

impl Passage {
    pub(super) fn new(client: TcpStream) -> Self {
        Passage { client, server: OnceLock::new(), is_over: AtomicBool::new(false) }
    }

    /// Connects with the server, and passes bytes until the end.
    pub(super) fn run(self: &Arc<Self>, shared: &Arc<Shared>) {
        if !self.wait_until_due(shared, |_| Instant::now()) {
            return;
        }
        let server = shared.switches().server;
        let Ok(server) = TcpStream::connect_timeout(&server, CONNECT) else {
            return self.reset();
        };
        let server = self.server.get_or_init(|| server);
        for socket in [&self.client, server] {
            // An error: it is broken already, and reading says so.
            let _ = socket.set_nodelay(true);
            let _ = socket.set_write_timeout(Some(LOOK));
        }
        // A reset that came between has missed the server's socket.
        if self.is_over() {
            return self.reset();
        }
        for direction in [Direction::ToServer, Direction::ToClient] {
            let (pieces, incoming) = sync_channel(UNDER_WAY);
            let ours = self.clone();
            thread::spawn(move || ours.read(direction, &pieces));
            let (ours, shared) = (self.clone(), shared.clone());
            thread::spawn(move || ours.write(direction, &incoming, &shared));
        }
    }

    /// Both sockets answer with an RST when the last thread has let go of them.
    pub(super) fn reset(&self) {
        self.is_over.store(true, SeqCst);
        for socket in [Some(&self.client), self.server.get()].into_iter().flatten() {
            let _ = set_socket_linger(socket, Some(Duration::ZERO));
            // Wakes who reads; nothing is sent by it.
            let _ = socket.shutdown(Shutdown::Read);
        }
    }

    fn is_over(&self) -> bool {
        self.is_over.load(SeqCst)
    }

    fn ends(&self, direction: Direction) -> Option<(&TcpStream, &TcpStream)> {
        let server = self.server.get()?;
        Some(match direction {
            Direction::ToServer => (&self.client, server),
            Direction::ToClient => (server, &self.client),
        })
    }

    fn read(&self, direction: Direction, pieces: &SyncSender<(Instant, Piece)>) {
        let Some((mut from, _)) = self.ends(direction) else { return };
        let mut buffer = vec![0; PIECE];
        loop {
            let piece = match from.read(&mut buffer) {
                Ok(0) => Piece::Fin,
                Ok(len) => Piece::Bytes(buffer[..len].to_vec()),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) => Piece::Reset,
            };
            let is_last = !matches!(piece, Piece::Bytes(_));
            if pieces.send((Instant::now(), piece)).is_err() || is_last {
                return;
            }
        }
    }

    fn write(&self, direction: Direction, incoming: &Receiver<(Instant, Piece)>, shared: &Shared) {
        let Some((_, to)) = self.ends(direction) else { return };
        for (read, piece) in incoming {
            if !self.wait_until_due(shared, |delays| read + delays[direction as usize]) {
                return;
            }
            match piece {
                Piece::Bytes(bytes) if self.write_all(to, &bytes) => {}
                // It has been reset; who sends hears of it, but not in a silence.
                Piece::Bytes(_) => {
                    if self.wait_until_due(shared, |_| Instant::now()) {
                        self.reset_all(shared);
                    }
                    return;
                }
                Piece::Fin => {
                    let _ = to.shutdown(Shutdown::Write);
                }
                Piece::Reset => self.reset_all(shared),
            }
        }
    }

    /// The other direction may wait for its time.
    fn reset_all(&self, shared: &Shared) {
        shared.turn(|_| self.reset());
    }

    fn write_all(&self, mut to: &TcpStream, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() && !self.is_over() {
            match to.write(bytes) {
                Ok(written) => bytes = &bytes[written..],
                Err(error) if is_a_look(error.kind()) => {}
                Err(_) => return false,
            }
        }
        true
    }

    /// Waits while the proxy is silent, and until the time that follows from its delays. False if
    /// the passage is over.
    fn wait_until_due(&self, shared: &Shared, due: impl Fn([Duration; 2]) -> Instant) -> bool {
        let mut switches = shared.switches();
        loop {
            if self.is_over() {
                return false;
            }
            let left = due(switches.delays).saturating_duration_since(Instant::now());
            let most = match switches.is_silent {
                true => DEADLINE,
                false if left.is_zero() => return true,
                false => left,
            };
            switches = shared.wait(switches, most);
        }
    }
}

fn is_a_look(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}
