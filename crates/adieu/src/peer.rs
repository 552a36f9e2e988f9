//! Who is at the other end.

use std::fmt;
use std::net::SocketAddr;

/// The peer's address, where the transport has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Peer(Option<SocketAddr>);

impl Peer {
    pub(crate) fn new(addr: Option<SocketAddr>) -> Self {
        Peer(addr)
    }

    /// The address; `None` for a transport without one, such as a Unix socket.
    #[must_use]
    pub fn addr(&self) -> Option<SocketAddr> {
        self.0
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(addr) => addr.fmt(f),
            None => f.write_str("unknown address"),
        }
    }
}
