//! What can carry a connection, and a server that serves one over it.

use std::future::Future;

use adieu::{Close, CloseCode, Drain, Endpoint, Handler, Server, Socket, TransportKind};
use testkit::Request;
use tokio::io::{AsyncRead, AsyncWrite, BufStream};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::gate::Gate;
use crate::peer::Peer;
use crate::served::{Served, echo, with};
use crate::tls_peer::Authority;
use crate::ways::Scene;

/// What carries the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Over {
    /// TCP, by `Server::serve_on`.
    Tcp,
    /// TLS of this crate, by `Server::tls`.
    Tls,
    /// tokio-rustls, by `Server::connection`; the others below as well.
    ForeignTls,
    /// `BufStream<TcpStream>`.
    Buffered,
    /// A Unix socket.
    Unix,
    /// `tokio::io::duplex`.
    Pipe,
}

/// Bytes that a pipe in memory holds.
const PIPE: usize = 16 * 1024;

/// With what our side closes where it says so itself.
pub(crate) const CODE: u16 = 4000;

impl Over {
    pub(crate) fn has_tls(self) -> bool {
        matches!(self, Over::Tls | Over::ForeignTls)
    }

    /// What has to be told.
    pub(crate) fn kind(self) -> TransportKind {
        match self {
            Over::Tcp => TransportKind::Tcp,
            Over::Tls => TransportKind::Tls,
            _ => TransportKind::Stream,
        }
    }

    /// A server of one connection, and the peer that has opened it with this path.
    pub(crate) fn open(self, authority: &Authority, scene: &Scene, gate: &Gate) -> (Served, Peer) {
        let endpoint = with((scene.config)());
        let handler = as_the_path_says(gate);
        let request = Request::rfc6455().target(scene.path);
        match self {
            Over::Tcp => {
                let served = Served::server(endpoint, handler);
                let peer = Peer::over_tcp(served.addr, &request);
                (served, peer)
            }
            Over::Tls => {
                let served = serve_tls(endpoint, handler, authority);
                let peer = Peer::over_tls(served.addr, authority, &request);
                (served, peer)
            }
            Over::ForeignTls => {
                let acceptor = TlsAcceptor::from(authority.server_config());
                let served = serve_one(endpoint, handler, async move |listener, drain| {
                    let tcp = adieu::accept(&listener, &drain).await;
                    acceptor.accept(tcp).await.expect("a TLS handshake")
                });
                let peer = Peer::over_tls(served.addr, authority, &request);
                (served, peer)
            }
            Over::Buffered => {
                let served = serve_one(endpoint, handler, async |listener, drain| {
                    BufStream::new(adieu::accept(&listener, &drain).await)
                });
                let peer = Peer::over_tcp(served.addr, &request);
                (served, peer)
            }
            Over::Unix => open_unix(endpoint, handler, &request),
            Over::Pipe => {
                let (theirs, ours) = tokio::io::duplex(PIPE);
                (serve_one(endpoint, handler, async |_, _| ours), Peer::over_pipe(theirs, &request))
            }
        }
    }
}

fn serve_tls(endpoint: Endpoint, handler: impl Handler, authority: &Authority) -> Served {
    let config = authority.server_config();
    Served::start(endpoint, |endpoint, listener, _| async move {
        let server = Server::with(endpoint, handler).tls(config);
        server.serve_on(listener).await.expect("a server");
    })
}

fn open_unix(endpoint: Endpoint, handler: impl Handler, request: &Request) -> (Served, Peer) {
    let (theirs, ours) = std::os::unix::net::UnixStream::pair().expect("a pair of sockets");
    ours.set_nonblocking(true).expect("a socket that does not block");
    let served = serve_one(endpoint, handler, async |_, _| {
        tokio::net::UnixStream::from_std(ours).expect("a socket for tokio")
    });
    (served, Peer::over_unix(theirs, request))
}

/// Serves the one stream that `make` gives.
fn serve_one<F, Fut>(endpoint: Endpoint, handler: impl Handler, make: F) -> Served
where
    F: FnOnce(TcpListener, Drain) -> Fut,
    Fut: Future<Output: AsyncRead + AsyncWrite + Send + Unpin + 'static> + Send + 'static,
{
    Served::start(endpoint, |endpoint, listener, drain| {
        let (server, stream) = (Server::with(endpoint, handler), make(listener, drain));
        async move {
            let stream = stream.await;
            server.connection(stream).await;
        }
    })
}

/// The handler: it ends the connection as the path says, or waits for the peer to do so.
fn as_the_path_says(gate: &Gate) -> impl Handler {
    let gate = gate.clone();
    move |socket| ends(socket, gate.clone())
}

async fn ends(mut socket: Socket, gate: Gate) -> Result<Close, Close> {
    let path = socket.request().map(|request| request.path().to_owned()).unwrap_or_default();
    let code = Close::from(CloseCode::new(CODE));
    match path.as_str() {
        "/returns" => return Ok(code),
        "/fails" => return Err(code),
        // A panic without a message, which would stand in the middle of the table.
        "/panics" => std::panic::resume_unwind(Box::new("as the test wants it")),
        "/closes" => socket.sender().close(code),
        "/closes-and-waits" => {
            socket.sender().close(code);
            while socket.recv().await.is_some() {}
            gate.pass();
        }
        "/drops" => {
            let sender = socket.sender();
            drop(socket);
            sender.ended().await;
            return Ok(CloseCode::NORMAL.into());
        }
        "/sends" => while socket.send(vec![7; 16 * 1024]).await.is_ok() {},
        "/last-words" => {
            let _ = socket.recv().await;
            gate.pass();
            let _ = socket.send("last words").await;
        }
        _ => {}
    }
    let _ = echo(socket).await;
    Ok(CloseCode::NORMAL.into())
}
