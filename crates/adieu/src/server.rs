//! The server: an accept loop that neither dies nor spins, and one task per connection.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use adieu_proto::{Config, Connection, HandshakeError, Request};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, ToSocketAddrs};

use crate::accept::{Accept, IntoRefusal};
use crate::drain::Drained;
use crate::endpoint::{Closing, Ended, Endpoint};
use crate::handler::Handler;
use crate::handshake::Handshake;
use crate::limit::AcceptPermit;
use crate::link::{Driver, Link};
use crate::listen::{BACKLOG, accept_from, listen, waiting};
use crate::now;
use crate::peer::Peer;
use crate::proxy::Cidr;
use crate::socket::Socket;
use crate::transport::{AnyTransport, Options, Tcp, has_options};

/// At the very end: what the last ones in the queue have to send their request and read the 503.
const REFUSAL_TIMEOUT: Duration = Duration::from_millis(500);

/// Serves WebSockets at `addr` until the process ends, with the defaults of [`Server`].
///
/// ```no_run
/// # async fn run() -> std::io::Result<()> {
/// adieu::serve("127.0.0.1:9001", async |mut socket: adieu::Socket| {
///     while let Some(message) = socket.recv().await {
///         if socket.send(message).await.is_err() {
///             break;
///         }
///     }
///     println!("{}: {}", socket.peer(), socket.ended().await);
/// })
/// .await
/// # }
/// ```
///
/// # Errors
/// If the address cannot be listened on.
pub async fn serve(addr: impl ToSocketAddrs, handler: impl Handler) -> io::Result<()> {
    Server::new(handler).serve(addr).await.map(drop)
}

/// A WebSocket server.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> std::io::Result<()> {
/// use adieu::{Closed, Server, Socket};
///
/// async fn echo(mut socket: Socket) -> Result<(), Closed> {
///     while let Some(message) = socket.recv().await {
///         socket.send(message).await?;
///     }
///     Ok(())
/// }
///
/// # let stop = std::future::ready(());
/// let drained = Server::new(echo)
///     .on_end(|ended| println!("{}: {}", ended.peer, ended.ending))
///     .drain_when(stop)
///     .serve("127.0.0.1:0")
///     .await?;
/// println!("{drained}");
/// # Ok(())
/// # }
/// ```
pub struct Server<H> {
    handler: Arc<H>,
    endpoint: Endpoint,
    #[cfg(feature = "tls")]
    tls: Option<Arc<rustls::ServerConfig>>,
    stop: Option<std::pin::Pin<Box<dyn Future<Output = ()> + Send>>>,
    #[cfg(feature = "http2")]
    http2: Option<Http2>,
}

impl<H: Handler> Server<H> {
    /// A server with this handler and the defaults of [`Endpoint`].
    pub fn new(handler: H) -> Self {
        Self::with(Endpoint::new(), handler)
    }

    /// A server with these settings.
    pub fn with(endpoint: Endpoint, handler: H) -> Self {
        Server {
            handler: Arc::new(handler),
            endpoint,
            #[cfg(feature = "tls")]
            tls: None,
            stop: None,
            #[cfg(feature = "http2")]
            http2: None,
        }
    }

    fn set(mut self, change: impl FnOnce(Endpoint) -> Endpoint) -> Self {
        self.endpoint = change(self.endpoint);
        self
    }

    /// See [`Endpoint::config`].
    #[must_use]
    pub fn config(self, config: Config) -> Self {
        self.set(|endpoint| endpoint.config(config))
    }

    /// See [`Endpoint::subprotocols`].
    #[must_use]
    pub fn subprotocols<S: Into<String>>(self, names: impl IntoIterator<Item = S>) -> Self {
        self.set(|endpoint| endpoint.subprotocols(names))
    }

    /// See [`Endpoint::origin`].
    #[must_use]
    pub fn origin(self, allows: impl Fn(Option<&str>) -> bool + Send + Sync + 'static) -> Self {
        self.set(|endpoint| endpoint.origin(allows))
    }

    /// See [`Endpoint::on_request`].
    #[must_use]
    pub fn on_request(
        self,
        check: impl Fn(&Request) -> Result<(), u16> + Send + Sync + 'static,
    ) -> Self {
        self.set(|endpoint| endpoint.on_request(check))
    }

    /// See [`Endpoint::on_handshake`].
    #[must_use]
    pub fn on_handshake<Fut, R>(
        self,
        decide: impl Fn(Handshake) -> Fut + Send + Sync + 'static,
    ) -> Self
    where
        Fut: Future<Output = Result<Accept, R>> + Send + 'static,
        R: IntoRefusal,
    {
        self.set(|endpoint| endpoint.on_handshake(decide))
    }

    /// See [`Endpoint::on_closing`].
    #[must_use]
    pub fn on_closing(self, hear: impl Fn(Closing<'_>) + Send + Sync + 'static) -> Self {
        self.set(|endpoint| endpoint.on_closing(hear))
    }

    /// See [`Endpoint::max_connections`].
    #[must_use]
    pub fn max_connections(self, max: usize) -> Self {
        self.set(|endpoint| endpoint.max_connections(max))
    }

    /// See [`Endpoint::max_connections_per_address`].
    #[must_use]
    pub fn max_connections_per_address(self, max: usize) -> Self {
        self.set(|endpoint| endpoint.max_connections_per_address(max))
    }

    /// See [`Endpoint::trust_proxies`].
    #[must_use]
    pub fn trust_proxies(self, proxies: impl IntoIterator<Item = Cidr>) -> Self {
        self.set(|endpoint| endpoint.trust_proxies(proxies))
    }

    /// See [`Endpoint::proxy_protocol`].
    #[must_use]
    pub fn proxy_protocol(self, on: bool) -> Self {
        self.set(|endpoint| endpoint.proxy_protocol(on))
    }

    /// See [`Endpoint::on_end`].
    #[must_use]
    pub fn on_end(self, hear: impl Fn(Ended<'_>) + Send + Sync + 'static) -> Self {
        self.set(|endpoint| endpoint.on_end(hear))
    }

    /// Serves TLS (`wss://`) with this configuration; see
    /// [`tls::server_config`](crate::tls::server_config).
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls(mut self, config: Arc<rustls::ServerConfig>) -> Self {
        self.tls = Some(config);
        self
    }

    /// Serves HTTP/2 as well (RFC 8441), to clients that choose it in the TLS handshake (ALPN
    /// `h2`). It is off by default: in `docs/http2.md` stands what changes for browsers where it is
    /// on.
    ///
    /// ```
    /// # async fn run(tls: std::sync::Arc<rustls::ServerConfig>) -> std::io::Result<()> {
    /// use adieu::{Server, Socket};
    /// async fn handler(mut socket: Socket) {
    ///     while let Some(message) = socket.recv().await {
    ///         let _ = socket.send(message).await;
    ///     }
    /// }
    /// Server::new(handler).tls(tls).http2(true).serve("127.0.0.1:8443").await?;
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(feature = "http2")]
    #[must_use]
    pub fn http2(mut self, on: bool) -> Self {
        self.http2 = on.then(|| self.http2.unwrap_or_default());
        self
    }

    /// The same with these settings, which are for HTTP/2 alone.
    #[cfg(feature = "http2")]
    #[must_use]
    pub fn http2_with(mut self, settings: crate::http2::Settings) -> Self {
        let http2 = self.http2.unwrap_or_default();
        self.http2 = Some(Http2 { settings: Some(settings), ..http2 });
        self
    }

    /// Serves HTTP/2 without TLS, too, to clients that begin with its preface by prior knowledge
    /// (RFC 9113 §3.3). Browsers do not; proxies may.
    #[cfg(feature = "http2")]
    #[must_use]
    pub fn http2_cleartext(mut self, on: bool) -> Self {
        let http2 = self.http2.unwrap_or_default();
        self.http2 = Some(Http2 { cleartext: on, ..http2 });
        self
    }

    /// When this future is ready, the server stops: it accepts no more, tells all peers Close
    /// 1001 behind everything that was sent to them, and [`serve`](Self::serve) returns when
    /// they are over.
    #[must_use]
    pub fn drain_when(mut self, signal: impl Future<Output = ()> + Send + 'static) -> Self {
        self.stop = Some(Box::pin(signal));
        self
    }

    /// Listens and serves until drained.
    ///
    /// # Errors
    /// If the address cannot be listened on. Connections that fail are no error of the server.
    pub async fn serve(self, addr: impl ToSocketAddrs) -> io::Result<Drained> {
        self.serve_on(listen(addr).await?).await
    }

    /// Serves a listener of the caller's until drained. While it drains, those that come are
    /// answered 503 with `Retry-After`; the listener is closed last, its queue empty.
    ///
    /// # Errors
    /// None at present: failures to accept are logged and survived.
    pub async fn serve_on(self, listener: TcpListener) -> io::Result<Drained> {
        let (server, stop) = self.start();
        Ok(server.serve(listener, stop).await)
    }

    /// Serves a listener that another process goes on with (socket activation, a restart): at
    /// the drain's start it stops to accept, and the queue is left to the next.
    ///
    /// # Errors
    /// None at present: failures to accept are logged and survived.
    pub async fn serve_inherited(self, listener: TcpListener) -> io::Result<Drained> {
        let (server, stop) = self.start();
        let drain = server.endpoint.drain.clone();
        server.accept_until(&listener, stop).await;
        drop(listener);
        drain.start();
        Ok(drain.finished().await)
    }

    /// Serves one connection over any stream, such as a Unix socket or a pipe in memory; over
    /// TCP [`serve_on`](Self::serve_on) knows more. The future is ready when the connection is
    /// over and its handler has returned; dropped before that it ends the connection.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let server = adieu::Server::new(async |mut socket: adieu::Socket| {
    ///     while let Some(message) = socket.recv().await {
    ///         let _ = socket.send(message).await;
    ///     }
    /// });
    /// let (client, stream) = tokio::io::duplex(1024);
    /// let serving = tokio::spawn(server.connection(stream));
    /// drop(client);
    /// serving.await.unwrap();
    /// # }
    /// ```
    pub fn connection<S>(&self, stream: S) -> impl Future<Output = ()> + Send + use<H, S>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let server = Arc::new(Accepted {
            handler: self.handler.clone(),
            endpoint: Arc::new(self.endpoint.clone()),
            #[cfg(feature = "tls")]
            tls: None,
            #[cfg(feature = "http2")]
            http2: None,
        });
        let stream = AnyTransport::stream(stream);
        async move {
            let (peer, permit) = (Peer::new(None), AcceptPermit::default());
            if let Some(driver) = driver(stream, peer, permit, server.endpoint.clone()) {
                serve_connection(driver, server).await;
            }
        }
    }

    /// What connections need, and what ends the serving.
    pub(crate) fn start(mut self) -> (Arc<Accepted<H>>, impl Future<Output = ()>) {
        let stop = self.stop.take();
        let started = self.endpoint.drain.started();
        #[cfg(all(feature = "http2", feature = "tls"))]
        if let (Some(_), Some(config)) = (&self.http2, &mut self.tls) {
            crate::tls::offers_http2(config);
        }
        let server = Accepted {
            handler: self.handler,
            endpoint: Arc::new(self.endpoint),
            #[cfg(feature = "tls")]
            tls: self.tls,
            #[cfg(feature = "http2")]
            http2: self.http2,
        };
        let stop = async move {
            match stop {
                Some(stop) => tokio::select! { () = stop => {}, () = started => {} },
                None => started.await,
            }
        };
        (Arc::new(server), stop)
    }
}

/// How HTTP/2 is served.
#[cfg(feature = "http2")]
#[derive(Clone, Debug, Default)]
pub(crate) struct Http2 {
    /// `None`: those that follow from the endpoint's.
    settings: Option<crate::http2::Settings>,
    /// Without TLS, too.
    cleartext: bool,
}

/// What each connection's task needs.
pub(crate) struct Accepted<H> {
    handler: Arc<H>,
    pub(crate) endpoint: Arc<Endpoint>,
    #[cfg(feature = "tls")]
    tls: Option<Arc<rustls::ServerConfig>>,
    #[cfg(feature = "http2")]
    http2: Option<Http2>,
}

impl<H: Handler> Accepted<H> {
    /// Serves a listener until `stop`, then until drained.
    pub(crate) async fn serve(
        self: &Arc<Self>,
        listener: TcpListener,
        stop: impl Future<Output = ()>,
    ) -> Drained {
        let drain = &self.endpoint.drain;
        self.accept_until(&listener, stop).await;
        drain.start();
        let drained = self.accept_until(&listener, drain.finished()).await;
        // Connections that are in the queue by now get their answer. Those that come later meet a
        // closed port: under a flood there is always one more.
        let mut refusals = tokio::task::JoinSet::new();
        for _ in 0..BACKLOG {
            let Some(accepted) = waiting(&listener) else { break };
            let Ok((tcp, from)) = accepted else { continue };
            if let Some(driver) = self.driver(tcp, from, AcceptPermit::default(), false) {
                refusals.spawn(serve_connection(driver, self.clone()));
            }
        }
        drop(listener);
        let _ = tokio::time::timeout(REFUSAL_TIMEOUT, refusals.join_all()).await;
        drained
    }

    /// Accepts until a future is ready.
    async fn accept_until<T>(
        self: &Arc<Self>,
        listener: &TcpListener,
        until: impl Future<Output = T>,
    ) -> T {
        let mut until = pin!(until);
        let has_options = has_options(listener, self.options());
        loop {
            tokio::select! {
                (tcp, from, permit) = self.accept(listener) => {
                    if let Some(driver) = self.driver(tcp, from, permit, has_options) {
                        tokio::spawn(serve_connection(driver, self.clone()));
                    }
                }
                result = &mut until => return result,
            }
        }
    }

    /// Accepts the next connection when there is room for it, if only to refuse it.
    async fn accept(&self, listener: &TcpListener) -> (TcpStream, SocketAddr, AcceptPermit) {
        let permit = self.endpoint.limits.accept_permit().await;
        let (tcp, from) = accept_from(listener, &self.endpoint.drain).await;
        (tcp, from, permit)
    }

    /// The options of each TCP connection.
    fn options(&self) -> Options {
        Options::of(&self.endpoint.config)
    }

    /// `has_options`: whether the connection has its options from the listener.
    fn driver(
        &self,
        tcp: TcpStream,
        from: SocketAddr,
        permit: AcceptPermit,
        has_options: bool,
    ) -> Option<Driver> {
        let peer = Peer::new(Some(from));
        match self.transport(tcp) {
            Ok(transport) => {
                if !has_options {
                    transport.set_options(self.options());
                }
                #[cfg(feature = "http2")]
                let may_choose = self.may_choose_http2(&transport);
                let driver = driver(transport, peer, permit, self.endpoint.clone())?;
                #[cfg(feature = "http2")]
                if may_choose {
                    driver.link().expect_choice();
                }
                Some(driver)
            }
            Err(error) => {
                tracing::error!(%peer, "no TLS: {error}");
                None
            }
        }
    }

    /// Whether the peer may speak HTTP/2.
    #[cfg(feature = "http2")]
    fn may_choose_http2(&self, transport: &AnyTransport) -> bool {
        let Some(http2) = &self.http2 else { return false };
        http2.cleartext || !matches!(transport, AnyTransport::Tcp(_))
    }

    /// One connection of HTTP/2, to its end.
    #[cfg(feature = "http2")]
    async fn serve_http2(
        self: Arc<Self>,
        carried: crate::http2::Carried,
        peer: Peer,
        mut permit: crate::limit::ConnectionPermit,
    ) {
        permit.carries_others();
        let settings = self.http2.as_ref().and_then(|http2| http2.settings.clone());
        let settings =
            settings.unwrap_or_else(|| crate::http2::Settings::of(&self.endpoint.config));
        let sockets = crate::http2::Sockets {
            endpoint: self.endpoint.clone(),
            handler: self.handler.clone(),
            peer: peer.addr(),
            #[cfg(feature = "tls")]
            tls: carried.tls_info(),
        };
        let drain = &self.endpoint.drain;
        crate::http2::serve_connection(carried, sockets, &settings, drain).await;
        drop(permit);
    }

    fn transport(&self, tcp: TcpStream) -> io::Result<AnyTransport> {
        #[cfg(feature = "tls")]
        if let Some(config) = &self.tls {
            let tls = crate::tls::TlsStream::accept(tcp, config.clone())?;
            return Ok(AnyTransport::Tls(Box::new(tls)));
        }
        Ok(AnyTransport::Tcp(Tcp::new(tcp)))
    }
}

/// The driver of a connection; `None` if it was turned away.
fn driver(
    transport: AnyTransport,
    peer: Peer,
    permit: AcceptPermit,
    endpoint: Arc<Endpoint>,
) -> Option<Driver> {
    let connection = Connection::server(now(), endpoint.config.clone());
    let link = Link::new(connection, transport, peer);
    let proxied = endpoint.proxies.are_at(peer);
    if proxied && endpoint.proxies.protocol {
        link.expect_proxy_header();
    }
    let mut permit = endpoint.limits.connection_permit(permit);
    // The client of a connection that a proxy passes on is not known yet.
    let stays = permit.arrive(if proxied { Peer::new(None) } else { peer });
    let driver = Driver::new(link, endpoint).counted(permit);
    if !stays {
        driver.turn_away(HandshakeError::TooManyFromAddress);
        return None;
    }
    Some(driver)
}

/// One connection from its first byte to its report.
#[allow(clippy::manual_async_fn, reason = "an `async fn` would keep its arguments in memory twice")]
fn serve_connection<H: Handler>(
    mut driver: Driver,
    server: Arc<Accepted<H>>,
) -> impl Future<Output = ()> + Send {
    async move {
        if driver.open().await {
            let socket = Socket::new(driver.link());
            return driver.run(Box::pin(async { server.handler.call(socket).await })).await;
        }
        #[cfg(feature = "http2")]
        if let Some(http2) = http2_of(&mut driver, &server) {
            http2.await;
        }
    }
}

/// The connection of HTTP/2 that the peer has chosen, if it has. In a box: the task of any other
/// connection would have its size.
#[cfg(feature = "http2")]
fn http2_of<H: Handler>(
    driver: &mut Driver,
    server: &Arc<Accepted<H>>,
) -> Option<std::pin::Pin<Box<dyn Future<Output = ()> + Send>>> {
    let (carried, permit) = driver.take_http2()?;
    let peer = driver.sender();
    Some(Box::pin(server.clone().serve_http2(carried, peer, permit)))
}

#[cfg(test)]
mod tests {
    use super::*;

    type Says = fn(Socket) -> std::future::Ready<()>;

    fn size<F: Future>(_: fn(Driver, Arc<Accepted<Says>>) -> F) -> usize {
        size_of::<F>()
    }

    /// tokio lays tasks out in steps of 128 bytes, and has a part of its own: with this it is two.
    #[test]
    fn the_future_of_a_connection_is_small() {
        let size = size(serve_connection);
        assert!(size <= 152, "{size}");
    }
}
