//! Where connections come from: TCP, and Unix sockets, which proxies of this machine connect to.

use std::net::SocketAddr;
#[cfg(unix)]
use std::time::Duration;

use adieu::Drain;
use tokio::net::{TcpListener, TcpStream};
#[cfg(unix)]
use tokio::net::{UnixListener, UnixStream};

#[cfg(unix)]
use crate::rare::Rare;

/// How long it waits where no descriptor is left: one that ends makes room.
#[cfg(unix)]
const PAUSE: Duration = Duration::from_millis(100);

/// A socket that is listened on.
#[derive(Debug)]
#[non_exhaustive]
pub enum Listener {
    /// TCP, with TLS if the site has a certificate.
    Tcp(TcpListener),
    /// The same, and another process goes on with it (socket activation): from the start of the
    /// drain nothing more is accepted, and what waits in its queue is left to that process.
    Inherited(TcpListener),
    /// A Unix socket with which another process goes on.
    #[cfg(unix)]
    InheritedUnix(UnixListener),
    /// A Unix socket, without TLS. Its peers have no address: without a key none of them is known
    /// as a part of this machine, for it is a proxy as a rule, and speaks for anybody.
    #[cfg(unix)]
    Unix(UnixListener),
}

/// A connection that was accepted.
pub(crate) enum Stream {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(UnixStream),
}

impl Listener {
    /// The next connection, whatever happens to others.
    pub(crate) async fn accept(&self, drain: &Drain) -> Stream {
        match self {
            Listener::Tcp(listener) => Stream::Tcp(adieu::accept(listener, drain).await),
            Listener::Inherited(listener) => {
                Stream::Tcp(until_drained(adieu::accept(listener, drain), drain).await)
            }
            #[cfg(unix)]
            Listener::InheritedUnix(listener) => {
                Stream::Unix(until_drained(accept_unix(listener), drain).await)
            }
            #[cfg(unix)]
            Listener::Unix(listener) => Stream::Unix(accept_unix(listener).await),
        }
    }
}

/// What is accepted before the drain begins.
async fn until_drained<T>(accept: impl Future<Output = T>, drain: &Drain) -> T {
    tokio::select! {
        // In this order: once the drain has begun, nothing more is taken from the queue.
        biased;
        () = drain.started() => std::future::pending().await,
        accepted = accept => accepted,
    }
}

#[cfg(unix)]
async fn accept_unix(listener: &UnixListener) -> UnixStream {
    static SCARCE: Rare = Rare::new();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return stream,
            Err(error) => {
                if let Some(left_out) = SCARCE.due() {
                    tracing::warn!(left_out, "accept: {error}; new connections wait (ulimit -n?)");
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

impl Stream {
    /// The peer's address, if it has one.
    pub(crate) fn peer(&self) -> Option<SocketAddr> {
        match self {
            Stream::Tcp(tcp) => tcp.peer_addr().ok(),
            #[cfg(unix)]
            Stream::Unix(_) => None,
        }
    }
}

impl From<TcpListener> for Listener {
    fn from(listener: TcpListener) -> Self {
        Listener::Tcp(listener)
    }
}

#[cfg(unix)]
impl From<UnixListener> for Listener {
    fn from(listener: UnixListener) -> Self {
        Listener::Unix(listener)
    }
}
