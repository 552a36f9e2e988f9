//! How a client opens a WebSocket: TCP, TLS, and the handshake over HTTP/1.1 or HTTP/2.

use std::io;
use std::sync::Arc;

use adieu_proto::{Cause, ClientRequest, Connection, HandshakeError, Scratch};
use tokio::net::TcpStream;

use super::dial::{Deadline, dial};
#[cfg(all(feature = "http2", feature = "tls"))]
use super::http2;
use super::url::Target;
use super::{Client, ConnectError};
use crate::link::{Driver, Link};
use crate::peer::Peer;
use crate::socket::Socket;
#[cfg(feature = "tls")]
use crate::tls::TlsStream;
use crate::transport::{AnyTransport, Options, Tcp};

impl Client {
    /// TCP to the target, through a proxy where one is chosen, and its peer.
    async fn tcp(
        &self,
        target: &Target,
        deadline: &Deadline,
    ) -> Result<(TcpStream, Peer), ConnectError> {
        let max_head = self.endpoint.config.max_head;
        let tcp = match self.proxies.choose(target)? {
            Some(proxy) => proxy.tunnel(target, &self.resolver, deadline, max_head).await?,
            None => dial(&self.resolver, &target.host(), target.port(), deadline).await?,
        };
        Options::of(&self.endpoint.config).set(&tcp)?;
        let peer = Peer::new(tcp.peer_addr().ok());
        Ok((tcp, peer))
    }

    /// Opens a WebSocket at the target, over the HTTP that is wanted.
    pub(super) async fn attempt(
        &self,
        target: &Target,
        request: ClientRequest,
        deadline: &Deadline,
    ) -> Result<Socket, ConnectError> {
        #[cfg(all(feature = "http2", feature = "tls"))]
        if let Some(pool) = self.http2.as_ref().filter(|_| target.is_secure()) {
            return self.over_http2(pool, target, request, deadline).await;
        }
        let (tcp, peer) = self.tcp(target, deadline).await?;
        let transport = self.transport(tcp, target, deadline).await.map_err(ConnectError::Tls)?;
        self.open(transport, peer, request, deadline).await
    }

    /// Over HTTP/2 if the server takes it, else over HTTP/1.1. What fails before anything can have
    /// been processed is tried once more.
    #[cfg(all(feature = "http2", feature = "tls"))]
    async fn over_http2(
        &self,
        pool: &http2::Pool,
        target: &Target,
        request: ClientRequest,
        deadline: &Deadline,
    ) -> Result<Socket, ConnectError> {
        let config = &self.endpoint.config;
        let asked = http2::request(&request.extended_connect(config)?)?;
        let mut failed = None;
        loop {
            let connect = self.connect_tls(target, deadline);
            let origin = target.host_and_port();
            let way = pool.way(origin, &asked, failed, config, deadline, connect).await?;
            let stream = match way {
                http2::Way::Stream(stream) => stream,
                http2::Way::Chosen(transport, peer) => {
                    return self.open(transport, peer, request, deadline).await;
                }
                http2::Way::Http1 => return self.over_http1(target, request, deadline).await,
            };
            let told = stream.if_it_fails();
            let opened = tokio::select! {
                biased;
                opened = self.open_stream(stream, request.clone(), deadline) => opened,
                but = told.falls_silent(), if failed.is_none() => {
                    failed = Some(but);
                    continue;
                }
            };
            match opened {
                Err(ConnectError::Handshake(error, ending)) => match told.next(&error, &ending) {
                    http2::Next::Elsewhere(but) if failed.is_none() => failed = Some(but),
                    http2::Next::Http1 => return self.over_http1(target, request, deadline).await,
                    _ => return Err(ConnectError::Handshake(error, ending)),
                },
                other => return other,
            }
        }
    }

    /// A connection whose TLS handshake is over, in whatever way: with the choice between HTTP/2
    /// and HTTP/1.1 for the server. Where the deadline has passed, the first read finds that out.
    #[cfg(all(feature = "http2", feature = "tls"))]
    async fn connect_tls(
        &self,
        target: &Target,
        deadline: &Deadline,
    ) -> Result<(Box<TlsStream>, Peer), ConnectError> {
        let (tcp, peer) = self.tcp(target, deadline).await?;
        let config = self.tls_config(deadline).await.map_err(ConnectError::Tls)?;
        let config = crate::tls::offering_both(config);
        let mut tls = begin_tls(tcp, target, config).map_err(ConnectError::Tls)?;
        let handshake = async {
            tls.handshake().await;
            Ok(())
        };
        let _ = deadline.within(handshake, String::new).await;
        Ok((tls, peer))
    }

    /// Over HTTP/1.1, on a connection that offers nothing else.
    #[cfg(all(feature = "http2", feature = "tls"))]
    async fn over_http1(
        &self,
        target: &Target,
        request: ClientRequest,
        deadline: &Deadline,
    ) -> Result<Socket, ConnectError> {
        let (tcp, peer) = self.tcp(target, deadline).await?;
        let config = self.tls_config(deadline).await.map_err(ConnectError::Tls)?;
        let tls = begin_tls(tcp, target, crate::tls::offering_http1(config))
            .map_err(ConnectError::Tls)?;
        self.open(AnyTransport::Tls(tls), peer, request, deadline).await
    }

    /// The handshake of HTTP/1.1 on this transport.
    pub(super) async fn open(
        &self,
        transport: AnyTransport,
        peer: Peer,
        request: ClientRequest,
        deadline: &Deadline,
    ) -> Result<Socket, ConnectError> {
        let config = self.endpoint.config.clone();
        let scratch = &mut Scratch::default();
        let connection = Connection::client(deadline.started, config, request, seed()?, scratch)?;
        self.drive(connection, transport, peer).await
    }

    /// The handshake of a stream of HTTP/2 whose request was sent.
    #[cfg(all(feature = "http2", feature = "tls"))]
    async fn open_stream(
        &self,
        stream: http2::Asked,
        request: ClientRequest,
        deadline: &Deadline,
    ) -> Result<Socket, ConnectError> {
        let config = self.endpoint.config.clone();
        let connection = Connection::client_over_http2(deadline.started, config, request, seed()?)?;
        self.drive(connection, stream.transport, stream.peer).await
    }

    /// Drives the opening handshake, and has a task drive what is open.
    async fn drive(
        &self,
        connection: Connection,
        transport: AnyTransport,
        peer: Peer,
    ) -> Result<Socket, ConnectError> {
        let link = Link::new(connection, transport, peer);
        let mut driver = Driver::new(link.clone(), Arc::new(self.endpoint.clone()));
        if driver.open().await {
            tokio::spawn(async move { driver.run_alone().await });
            return Ok(Socket::new(link));
        }
        let ending = link.ending().unwrap_or_else(|| unreachable!("it is over"));
        let error = match &ending.cause {
            Cause::Handshake(error) => error.clone(),
            _ => HandshakeError::Incomplete,
        };
        Err(ConnectError::Handshake(error, Box::new((*ending).clone())))
    }

    #[cfg(feature = "tls")]
    async fn transport(
        &self,
        tcp: TcpStream,
        target: &Target,
        deadline: &Deadline,
    ) -> io::Result<AnyTransport> {
        if !target.is_secure() {
            return Ok(AnyTransport::Tcp(Tcp::new(tcp)));
        }
        let config = self.tls_config(deadline).await?;
        begin_tls(tcp, target, config).map(AnyTransport::Tls)
    }

    #[cfg(feature = "tls")]
    async fn tls_config(&self, deadline: &Deadline) -> io::Result<Arc<rustls::ClientConfig>> {
        if let Some(config) = &self.tls {
            return Ok(config.clone());
        }
        let loaded = crate::tls::client_config_off_the_runtime();
        deadline.within(loaded, || "the system's roots were not read".to_owned()).await
    }

    #[cfg(not(feature = "tls"))]
    #[allow(clippy::unused_async, clippy::unnecessary_wraps, reason = "with TLS it needs both")]
    async fn transport(
        &self,
        tcp: TcpStream,
        _: &Target,
        _: &Deadline,
    ) -> io::Result<AnyTransport> {
        Ok(AnyTransport::Tcp(Tcp::new(tcp)))
    }
}

/// TLS that is to be begun.
#[cfg(feature = "tls")]
fn begin_tls(
    tcp: TcpStream,
    target: &Target,
    config: Arc<rustls::ClientConfig>,
) -> io::Result<Box<TlsStream>> {
    let name = target.host().try_into().map_err(io::Error::other)?;
    TlsStream::connect(tcp, config, name).map(Box::new)
}

/// Masks come from it.
fn seed() -> io::Result<[u8; 32]> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(io::Error::from)?;
    Ok(seed)
}
