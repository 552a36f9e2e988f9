//! The peer: the other end of a connection.

use std::fmt;
use std::net::SocketAddr;

/// The peer's address, as far as it is known.
///
/// Behind a proxy that the endpoint trusts
/// ([`Endpoint::trust_proxies`](crate::Endpoint::trust_proxies)) it is the client's, as the proxy
/// tells it, and [`via`](Self::via) is the transport's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Peer {
    addr: Option<SocketAddr>,
    via: Option<SocketAddr>,
}

impl Peer {
    pub(crate) fn new(addr: Option<SocketAddr>) -> Self {
        Peer { addr, via: None }
    }

    /// The same transport, on which a proxy speaks for this client.
    pub(crate) fn on_behalf_of(self, client: Option<SocketAddr>) -> Self {
        Peer { addr: client, via: self.via.or(self.addr) }
    }

    /// The address. Its port is 0 where a proxy does not tell it. `None` for a transport without
    /// an address, such as a Unix socket, and for a client that its proxy hides.
    #[must_use]
    pub fn addr(&self) -> Option<SocketAddr> {
        self.addr
    }

    /// The transport's own address, that of a proxy, where [`addr`](Self::addr) is what the proxy
    /// tells.
    #[must_use]
    pub fn via(&self) -> Option<SocketAddr> {
        self.via
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.addr {
            Some(addr) if self.via.is_some() && addr.port() == 0 => addr.ip().fmt(f)?,
            Some(addr) => addr.fmt(f)?,
            None => f.write_str("unknown address")?,
        }
        match self.via {
            Some(via) => write!(f, " (via {via})"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_behind_a_proxy_is_shown_with_it() {
        let proxy = Peer::new(Some("127.0.0.1:4711".parse().unwrap()));
        let behind = |client: &str| proxy.on_behalf_of(client.parse().ok()).to_string();
        assert_eq!(proxy.to_string(), "127.0.0.1:4711");
        assert_eq!(behind("203.0.113.7:0"), "203.0.113.7 (via 127.0.0.1:4711)");
        assert_eq!(behind("203.0.113.7:80"), "203.0.113.7:80 (via 127.0.0.1:4711)");
        assert_eq!(behind("[2001:db8::1]:0"), "2001:db8::1 (via 127.0.0.1:4711)");
        assert_eq!(behind("hidden"), "unknown address (via 127.0.0.1:4711)");
        assert_eq!(Peer::new(None).to_string(), "unknown address");
    }
}
