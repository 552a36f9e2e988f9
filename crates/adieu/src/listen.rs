//! Sockets that are listened on, and how connections are taken from them.

use std::io;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use adieu_proto::Config;
use tokio::net::{TcpListener, TcpStream, ToSocketAddrs};

use crate::drain::Drain;
use crate::transport::Options;

/// After an accept failed for want of descriptors or memory: one may have become free by then.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Between two lines of the log that say so, of all listeners of the process.
const SCARCITY_EVERY: Duration = Duration::from_secs(10);

/// Connections that wait in the kernel to be accepted. Linux cuts it to `net.core.somaxconn`,
/// 4,096 by default: a burst of reconnects after a restart fits.
pub(crate) const BACKLOG: u32 = 4096;

/// Listens at `addr` as Adieu's servers do: address reused at once after a restart, a deep queue.
///
/// # Errors
/// If no address can be listened on.
pub async fn listen(addr: impl ToSocketAddrs) -> io::Result<TcpListener> {
    listen_as(addr, Port::Own).await
}

/// Whether others may listen on the same port.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Port {
    Own,
    /// SO_REUSEPORT: the kernel spreads connections over all who listen.
    Shared,
}

pub(crate) async fn listen_as(addr: impl ToSocketAddrs, port: Port) -> io::Result<TcpListener> {
    let mut last = io::Error::new(io::ErrorKind::InvalidInput, "no address to listen on");
    for addr in tokio::net::lookup_host(addr).await? {
        match listen_at(addr, port) {
            Ok(listener) => return Ok(listener),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn listen_at(addr: SocketAddr, port: Port) -> io::Result<TcpListener> {
    let socket = if addr.is_ipv4() {
        tokio::net::TcpSocket::new_v4()?
    } else {
        tokio::net::TcpSocket::new_v6()?
    };
    // Windows has another meaning for it: a second program could take the port away.
    #[cfg(not(windows))]
    socket.set_reuseaddr(true)?;
    if port == Port::Shared {
        share_port(&socket)?;
    }
    Options::of(&Config::default()).set(&socket)?;
    socket.bind(addr)?;
    socket.listen(BACKLOG)
}

/// Only of Linux is it known that its kernel spreads connections over the listeners of a port:
/// macOS has the option and gives all of them to one.
#[cfg(target_os = "linux")]
fn share_port(socket: &tokio::net::TcpSocket) -> io::Result<()> {
    socket.set_reuseport(true)
}

#[cfg(not(target_os = "linux"))]
fn share_port(_: &tokio::net::TcpSocket) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Accepts the next connection, whatever happens to others. A want of descriptors is waited out:
/// the queue is left to the kernel, and a connection that ends makes room.
pub async fn accept(listener: &TcpListener, drain: &Drain) -> TcpStream {
    let (tcp, _) = accept_from(listener, drain).await;
    if let Err(error) = Options::of(&Config::default()).set(&tcp) {
        tracing::debug!("TCP_NODELAY, TCP_USER_TIMEOUT: {error}");
    }
    tcp
}

/// The same, and who connected: once it is reset, a socket does not know that any more.
pub(crate) async fn accept_from(listener: &TcpListener, drain: &Drain) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(error) if is_the_peers(&error) => tracing::debug!("accept: {error}"),
            Err(error) => {
                if scarcity_is_news(Instant::now()) {
                    tracing::warn!(
                        connections = drain.connections(),
                        "accept: {error}; new connections wait (is the limit of open files too \
                         low?)"
                    );
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Whether it is to be told that an accept has failed: strangers can bring that about for as long
/// as they like, and fill no disk with it.
fn scarcity_is_news(now: Instant) -> bool {
    static TOLD: Mutex<Option<Instant>> = Mutex::new(None);
    let mut told = TOLD.lock().unwrap_or_else(PoisonError::into_inner);
    let is_news = told.is_none_or(|told| now.saturating_duration_since(told) >= SCARCITY_EVERY);
    if is_news {
        *told = Some(now);
    }
    is_news
}

/// A connection that waits in the queue, if there is one. An error is one connection's, or a want
/// of descriptors.
pub(crate) fn waiting(listener: &TcpListener) -> Option<io::Result<(TcpStream, SocketAddr)>> {
    match listener.poll_accept(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(accepted) => Some(accepted),
        Poll::Pending => None,
    }
}

/// Errors of one connection that was gone before it was accepted (accept(2)).
fn is_the_peers(error: &io::Error) -> bool {
    use io::ErrorKind as E;
    matches!(
        error.kind(),
        E::ConnectionAborted | E::ConnectionReset | E::ConnectionRefused | E::Interrupted
    )
}
