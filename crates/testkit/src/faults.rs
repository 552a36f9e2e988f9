//! A proxy that does harm: between a client and a server it cuts, resets, half-closes, stalls and
//! splits what passes, as its seed says.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use socket2::SockRef;

use crate::random::Random;

/// How often a side that waits looks whether the other has done harm.
const LOOK: Duration = Duration::from_millis(5);

/// No passage holds longer than this: a fault must not make a test wait for ever.
const LONGEST: Duration = Duration::from_secs(10);

/// A fault lies within so many bytes of a direction's beginning.
const WITHIN: u64 = 128 * 1024;

/// What a direction does when it comes to the place of its fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing: it passes everything.
    None,
    /// Both ends are closed, as by a process that exits.
    Cut,
    /// Both ends get an RST.
    Reset,
    /// A FIN goes on, and nothing behind it.
    HalfClose,
    /// It waits so long, and goes on.
    Stall(Duration),
    /// It passes nothing any more, and tells nobody.
    Hold,
}

/// What is done to one direction.
#[derive(Clone, Copy, Debug)]
pub struct Direction {
    /// Bytes that pass unharmed.
    pub at: u64,
    /// What happens then.
    pub fault: Fault,
    /// Bytes that pass in one write at most.
    pub piece: usize,
}

impl Direction {
    /// As chance will have it: half of the directions are left in peace.
    pub fn random(random: &mut Random) -> Self {
        let stall = Duration::from_millis(random.below(200));
        let fault = match random.below(12) {
            0 => Fault::Cut,
            1 | 2 => Fault::Reset,
            3 => Fault::HalfClose,
            4 => Fault::Stall(stall),
            5 => Fault::Hold,
            _ => Fault::None,
        };
        // One byte at a time takes long for a large message: then only the first ones do.
        let piece = if random.once_in(3) { 1 + random.size(64) } else { 16 * 1024 } as usize;
        Direction { at: random.size(WITHIN), fault, piece }
    }
}

/// A proxy that does harm. The n-th connection that it passes on suffers what its seed and n
/// say. Dropping it waits until nothing passes any more.
#[derive(Debug)]
pub struct FaultProxy {
    addr: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    /// Our ends of the connections with the server.
    passed_on: Mutex<Vec<SocketAddr>>,
}

impl FaultProxy {
    /// Listens on a port of the kernel's choice, in front of this server.
    ///
    /// # Panics
    /// If no port is free.
    #[must_use]
    pub fn start(server: SocketAddr, random: Random) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let addr = listener.local_addr().expect("the listener's address");
        let shared = Arc::new(Shared::default());
        let ours = shared.clone();
        let accepting = thread::spawn(move || accept(&listener, server, &random, &ours));
        FaultProxy { addr, shared, accepting: Some(accepting) }
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Waits until nothing passes any more. Gives the addresses under which the server saw its
    /// connections, each as often as it was used.
    #[must_use]
    pub fn finish(mut self) -> Vec<SocketAddr> {
        self.stop();
        let passed_on = self.shared.passed_on.lock().unwrap_or_else(PoisonError::into_inner);
        passed_on.clone()
    }

    fn stop(&mut self) {
        if let Some(accepting) = self.accepting.take() {
            self.shared.stop.store(true, SeqCst);
            // Wakes it from its waiting for the next.
            let _ = TcpStream::connect(self.addr);
            let _ = accepting.join();
        }
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.stop();
    }
}

fn accept(listener: &TcpListener, server: SocketAddr, random: &Random, shared: &Shared) {
    let mut passages = Vec::new();
    for number in 0.. {
        let Ok((client, _)) = listener.accept() else { continue };
        if shared.stop.load(SeqCst) {
            break;
        }
        let Ok(server) = TcpStream::connect(server) else { continue };
        let addr = server.local_addr().expect("our address");
        shared.passed_on.lock().unwrap_or_else(PoisonError::into_inner).push(addr);
        passages.extend(pass(client, server, &mut random.fork(number)));
        passages.retain(|passage: &JoinHandle<()>| !passage.is_finished());
    }
    for passage in passages {
        let _ = passage.join();
    }
}

/// The two connections of a passage. They are closed when both directions have let go of them.
struct Ends {
    client: TcpStream,
    server: TcpStream,
    /// Both directions let go.
    over: AtomicBool,
    /// Directions that still pass bytes.
    passing: AtomicUsize,
    since: Instant,
}

fn pass(client: TcpStream, server: TcpStream, random: &mut Random) -> [JoinHandle<()>; 2] {
    for stream in [&client, &server] {
        stream.set_nodelay(true).expect("TCP_NODELAY");
        stream.set_read_timeout(Some(LOOK)).expect("a read time-out");
        stream.set_write_timeout(Some(LOOK)).expect("a write time-out");
    }
    let (over, passing) = (AtomicBool::new(false), AtomicUsize::new(2));
    let ends = Arc::new(Ends { client, server, over, passing, since: Instant::now() });
    [true, false].map(|to_server| {
        let (ends, direction) = (ends.clone(), Direction::random(random));
        thread::spawn(move || {
            let (from, to) = match to_server {
                true => (&ends.client, &ends.server),
                false => (&ends.server, &ends.client),
            };
            if pump(&ends, from, to, direction).is_none() {
                ends.over.store(true, SeqCst);
            }
            ends.passing.fetch_sub(1, SeqCst);
        })
    })
}

/// Passes bytes on until the end of them. `None` = both directions are over.
fn pump(ends: &Ends, from: &TcpStream, to: &TcpStream, direction: Direction) -> Option<()> {
    let (mut buffer, mut left) = (vec![0; 16 * 1024], direction.at);
    let mut fault = direction.fault;
    loop {
        look(ends)?;
        if left == 0 && fault != Fault::None {
            match std::mem::replace(&mut fault, Fault::None) {
                Fault::Stall(long) => thread::sleep(long),
                Fault::Hold => return hold(ends),
                Fault::HalfClose => return to.shutdown(Shutdown::Write).ok(),
                Fault::Reset => return reset(ends),
                Fault::Cut | Fault::None => return None,
            }
        }
        let most = match fault {
            Fault::None => direction.piece,
            _ => direction.piece.min(usize::try_from(left).unwrap_or(usize::MAX)),
        };
        let most = most.min(buffer.len());
        match (&*from).read(&mut buffer[..most]) {
            Ok(0) => return to.shutdown(Shutdown::Write).ok(),
            Ok(n) => {
                write(ends, to, &buffer[..n])?;
                left = left.saturating_sub(n as u64);
            }
            Err(e) if is_a_look(&e) => {}
            Err(_) => return reset(ends),
        }
    }
}

fn write(ends: &Ends, mut to: &TcpStream, mut bytes: &[u8]) -> Option<()> {
    while !bytes.is_empty() {
        match to.write(bytes) {
            Ok(n) => bytes = &bytes[n..],
            Err(e) if is_a_look(&e) => look(ends)?,
            Err(_) => return reset(ends),
        }
    }
    Some(())
}

fn is_a_look(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

/// Whether bytes may still pass.
fn look(ends: &Ends) -> Option<()> {
    (!ends.over.load(SeqCst) && ends.since.elapsed() < LONGEST).then_some(())
}

/// Passes nothing any more, for as long as the other direction passes something.
fn hold(ends: &Ends) -> Option<()> {
    while ends.passing.load(SeqCst) > 1 {
        look(ends)?;
        thread::sleep(LOOK);
    }
    None
}

/// Both ends are reset when they are closed.
fn reset(ends: &Ends) -> Option<()> {
    for stream in [&ends.client, &ends.server] {
        let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
    }
    None
}
