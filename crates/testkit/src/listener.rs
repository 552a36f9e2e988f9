//! A scripted server: accepts real clients and treats them as told.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::Instant;

use crate::peer::Peer;
use crate::{DEADLINE, kernel::wait_until};

/// Listens on a port of the kernel's choice.
#[derive(Debug)]
pub struct Listener(TcpListener);

impl Listener {
    /// Listens on the loopback interface.
    ///
    /// # Panics
    /// If no port is free.
    #[must_use]
    pub fn bind() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        listener.set_nonblocking(true).expect("a listener that does not block");
        Listener(listener)
    }

    /// Where it listens.
    ///
    /// # Panics
    /// If the kernel does not know.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.0.local_addr().expect("the listener's address")
    }

    /// The URL of it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("ws://{}/", self.addr())
    }

    /// The next client, in the role of the server.
    ///
    /// # Panics
    /// If none comes within the deadline.
    #[must_use]
    pub fn accept(&self) -> Peer {
        let started = Instant::now();
        let mut accepted = None;
        wait_until("a client connects", || {
            accepted = self.0.accept().ok();
            accepted.is_some() || started.elapsed() > DEADLINE
        });
        let (stream, _) = accepted.expect("a client");
        stream.set_nonblocking(false).expect("a stream that blocks");
        Peer::server(stream)
    }
}
