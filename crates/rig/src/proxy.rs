//! A TCP proxy with switches, between a client and a server.

mod passage;

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use self::passage::Passage;
use crate::reserve::Port;
use crate::{DEADLINE, wait_until};

/// How often another port is tried when somebody else was quicker.
const TRIES: usize = 20;

/// A proxy that passes all bytes, until its switches say something else. They may be turned at any
/// time, by any thread.
///
/// A FIN passes like bytes do, in its direction alone; an RST becomes an RST at the other end.
/// Dropping it resets what is connected.
#[derive(Debug)]
pub struct Proxy {
    addr: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
    _port: Port,
}

/// What all threads of a proxy look at.
#[derive(Debug)]
struct Shared {
    switches: Mutex<Switches>,
    turned: Condvar,
    accepted: AtomicUsize,
}

#[derive(Debug)]
struct Switches {
    server: SocketAddr,
    /// To the server, to the client.
    delays: [Duration; 2],
    is_silent: bool,
    shall_listen: bool,
    listens: bool,
    is_over: bool,
    /// Their threads own them.
    passages: Vec<Weak<Passage>>,
}

impl Shared {
    fn switches(&self) -> MutexGuard<'_, Switches> {
        self.switches.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn turn(&self, turn: impl FnOnce(&mut Switches)) {
        turn(&mut self.switches());
        self.turned.notify_all();
    }

    /// Waits for the next turn of a switch, and so long at most.
    fn wait<'a>(
        &self,
        switches: MutexGuard<'a, Switches>,
        most: Duration,
    ) -> MutexGuard<'a, Switches> {
        let waited = self.turned.wait_timeout(switches, most);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

impl Proxy {
    /// Listens at 127.0.0.1, in front of this server. The server need not be there: as long as
    /// nobody accepts, a client gets an RST.
    ///
    /// # Panics
    /// If no port is free.
    #[must_use]
    pub fn start(server: SocketAddr) -> Self {
        let bind =
            |port: Port| TcpListener::bind(port.addr()).ok().map(|listener| (port, listener));
        let bound = (0..TRIES).find_map(|_| bind(Port::take()));
        let (port, listener) = bound.expect("a free port");
        let switches = Switches {
            server,
            delays: [Duration::ZERO; 2],
            is_silent: false,
            shall_listen: true,
            listens: true,
            is_over: false,
            passages: Vec::new(),
        };
        let shared = Arc::new(Shared {
            switches: Mutex::new(switches),
            turned: Condvar::new(),
            accepted: AtomicUsize::new(0),
        });
        let (addr, ours) = (port.addr(), shared.clone());
        let accepting = thread::spawn(move || accept(addr, listener, &ours));
        Proxy { addr, shared, accepting: Some(accepting), _port: port }
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Passes everything without delay and accepts everybody. What a silence has held arrives.
    ///
    /// # Panics
    /// If another program took its port while it refused.
    pub fn pass(&self) {
        self.shared.turn(|switches| {
            switches.delays = [Duration::ZERO; 2];
            switches.is_silent = false;
        });
        self.listen(true);
    }

    /// Each byte arrives so much later than it was sent, and the FIN too; also those that are under
    /// way. The handshake of TCP is not delayed: it is made with the proxy.
    pub fn delay(&self, to_server: Duration, to_client: Duration) {
        self.shared.turn(|switches| switches.delays = [to_server, to_client]);
    }

    /// Nothing passes any more, in both directions, and nobody is told. New clients are accepted
    /// and hear nothing, and the server does not hear of them.
    pub fn silence(&self) {
        self.shared.turn(|switches| switches.is_silent = true);
    }

    /// Resets all connections, at both ends. New ones are treated as the switches say.
    ///
    /// # Panics
    /// If they are not closed.
    pub fn reset(&self) {
        let mut passages = Vec::new();
        self.shared.turn(|switches| {
            passages = std::mem::take(&mut switches.passages);
            passages.iter().filter_map(Weak::upgrade).for_each(|passage| passage.reset());
        });
        wait_until("the connections of the proxy are closed", || {
            passages.iter().all(|passage| passage.strong_count() == 0)
        });
    }

    /// New connections are refused when this returns. Those that are there go on.
    ///
    /// # Panics
    /// If its thread has died.
    pub fn refuse(&self) {
        self.listen(false);
    }

    /// New connections go to this server.
    pub fn point_at(&self, server: SocketAddr) {
        self.shared.turn(|switches| switches.server = server);
    }

    /// Connections that are there.
    #[must_use]
    pub fn connections(&self) -> usize {
        let switches = self.shared.switches();
        switches.passages.iter().filter(|passage| passage.strong_count() > 0).count()
    }

    /// Clients that it has accepted so far.
    #[must_use]
    pub fn accepted(&self) -> usize {
        self.shared.accepted.load(SeqCst)
    }

    fn listen(&self, listens: bool) {
        self.shared.turn(|switches| switches.shall_listen = listens);
        if !listens {
            self.wake();
        }
        let until = Instant::now() + DEADLINE;
        let mut switches = self.shared.switches();
        while switches.listens != listens {
            let left = until.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "the proxy does not listen any more");
            switches = self.shared.wait(switches, left);
        }
    }

    /// Wakes the thread that waits for the next client.
    fn wake(&self) {
        let _ = TcpStream::connect(self.addr);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let Some(accepting) = self.accepting.take() else { return };
        self.shared.turn(|switches| switches.is_over = true);
        self.wake();
        let _ = accepting.join();
        self.reset();
    }
}

fn accept(addr: SocketAddr, listener: TcpListener, shared: &Arc<Shared>) {
    let mut listener = Some(listener);
    loop {
        let accepted = listener.as_ref().map(TcpListener::accept);
        let mut switches = shared.switches();
        if switches.is_over {
            return;
        }
        if !switches.shall_listen {
            // Who is in its queue gets an RST of the kernel.
            listener = None;
            switches.listens = false;
            shared.turned.notify_all();
            drop(shared.wait(switches, DEADLINE));
        } else if listener.is_none() {
            listener = Some(TcpListener::bind(addr).expect("the port of the proxy"));
            switches.listens = true;
            shared.turned.notify_all();
        } else if let Some(Ok((client, _))) = accepted {
            shared.accepted.fetch_add(1, SeqCst);
            let passage = Arc::new(Passage::new(client));
            switches.passages.retain(|passage| passage.strong_count() > 0);
            switches.passages.push(Arc::downgrade(&passage));
            let shared = shared.clone();
            thread::spawn(move || passage.run(&shared));
        }
    }
}
