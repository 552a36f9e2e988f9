//! WebSockets inside a hyper application: same driver, same defaults, same exact [`Ending`].
//!
//! [`Upgrade::new`] looks at a request and, if it asks for a WebSocket that the
//! [`Endpoint`] accepts, gives the 101 and runs the handler once hyper has sent it. The TCP
//! stream is taken back from hyper, so that the report is as exact as with
//! [`Server`](crate::Server). Serve connections `.with_upgrades()`.
//!
//! hixie-76 works; hixie-75 needs [`Server`](crate::Server), for its answer is compared byte by
//! byte and hyper does not write it. Until the 101 the limits are hyper's, not those of
//! [`Config`](crate::Config): set its header read time-out and buffer size, and note that
//! `axum::serve` sets neither.
//!
//! [`Ending`]: crate::Ending

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use adieu_proto::{
    Cause, Close, CloseCode, Connection, Ending, HandshakeError, Negotiated, Request, Response,
    TransportError, Version, VersionSet, accept_response, detect,
};
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HeaderName};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Body, Incoming};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use hyper_util::server::conn::auto::upgrade;
use tokio::net::TcpStream;

use crate::drain::Expected;
use crate::endpoint::{Ended, Endpoint};
use crate::handled::Handled;
use crate::limit::{AcceptPermit, ConnectionPermit};
use crate::link::{self, Driver, Link, Opened};
use crate::now;
use crate::peer::Peer;
use crate::server::Handler;
use crate::socket::Socket;
use crate::transport::{AnyTransport, Options, Tcp};

/// The bytes of a hixie-76 nonce.
const NONCE: usize = 8;

/// In a request's extensions: the address of its TCP connection, which hyper does not tell.
///
/// Without it a limit for each address
/// ([`max_connections_per_address`](Endpoint::max_connections_per_address)) can be applied only
/// behind the 101, when the connection is given back: one above it is closed with 1008 then,
/// and its handler does not run. axum's `ConnectInfo<SocketAddr>` serves as well.
///
/// ```
/// use adieu::hyper::PeerAddr;
/// # fn of<B>(mut request: hyper::Request<B>, addr: std::net::SocketAddr) -> hyper::Request<B> {
/// request.extensions_mut().insert(PeerAddr(addr));
/// # request
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerAddr(pub SocketAddr);

/// A valid request for a WebSocket, accepted by its endpoint.
///
/// ```
/// use std::{convert::Infallible, sync::Arc};
/// use adieu::{Endpoint, Socket, hyper::Upgrade};
/// use bytes::Bytes;
/// use http_body_util::Full;
/// use hyper::{Request, Response, body::Incoming};
///
/// async fn handler(mut socket: Socket) {
///     while let Some(message) = socket.recv().await {
///         let _ = socket.send(message).await;
///     }
/// }
///
/// async fn service(
///     endpoint: Arc<Endpoint>,
///     request: Request<Incoming>,
/// ) -> Result<Response<Full<Bytes>>, Infallible> {
///     Ok(match Upgrade::new(request, endpoint).await {
///         Ok(upgrade) => upgrade.run(handler),
///         Err(refusal) => refusal,
///     })
/// }
/// ```
pub struct Upgrade {
    endpoint: Arc<Endpoint>,
    opened: Opened,
    peer: Peer,
    response: Response,
    on_upgrade: OnUpgrade,
    /// A hixie-76 nonce that came as the request's body.
    nonce: Bytes,
    started: std::time::Instant,
    /// A drain waits for what becomes of this.
    expected: Expected,
    permit: ConnectionPermit,
}

impl std::fmt::Debug for Upgrade {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Upgrade({})", self.opened.negotiated.version)
    }
}

impl Upgrade {
    /// Judges a request.
    ///
    /// # Errors
    /// The HTTP answer that refuses it and says why.
    pub async fn new(
        request: hyper::Request<Incoming>,
        endpoint: Arc<Endpoint>,
    ) -> Result<Self, hyper::Response<Full<Bytes>>> {
        let served = endpoint.config.versions;
        Self::judge(request, endpoint).await.map_err(|error| refusal(&error, served))
    }

    pub(crate) async fn judge<B>(
        request: hyper::Request<B>,
        endpoint: Arc<Endpoint>,
    ) -> Result<Self, HandshakeError>
    where
        B: Body + Send,
        B::Data: Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let started = now();
        let (mut parts, body) = request.into_parts();
        let asked = head(&parts)?;
        let expected = endpoint.drain.expect();
        let version = served(&asked, &endpoint)?;
        let peer = endpoint.proxies.client(Peer::new(addr(&parts)), &asked);
        let mut permit = endpoint.limits.connection_permit(AcceptPermit::default());
        let subprotocol = endpoint.decide(&asked, peer, &mut permit)?;
        let on_upgrade =
            parts.extensions.remove::<OnUpgrade>().ok_or(HandshakeError::NotUpgrade)?;
        let nonce = if version == Version::Hixie76 && parts.headers.contains_key(CONTENT_LENGTH) {
            // hyper takes the nonce for the request's body, and would drop it unread.
            let read = tokio::time::timeout(
                endpoint.config.handshake_timeout,
                Limited::new(body, NONCE).collect(),
            );
            let body = read.await.map_err(|_| HandshakeError::TimedOut)?;
            body.map_err(|_| HandshakeError::BadField("nonce"))?.to_bytes()
        } else {
            Bytes::new()
        };
        let mut negotiated = Negotiated::new(version);
        negotiated.subprotocol = subprotocol;
        let response = accept_response(&asked, &negotiated);
        let opened = Opened::new(Some(asked), negotiated);
        Ok(Upgrade {
            endpoint,
            opened,
            peer,
            response,
            on_upgrade,
            nonce,
            started,
            expected,
            permit,
        })
    }

    /// Says that the connection is TLS: hixie-76 repeats the URL with its scheme.
    #[must_use]
    pub fn secure(mut self, tls: bool) -> Self {
        self.opened.negotiated.secure = tls;
        self.respond_anew()
    }

    /// Agrees on this subprotocol instead of the first of the [`Endpoint`]'s that was offered, for
    /// those that decide for each request. One that the client has not offered is left out: it
    /// would fail the connection (RFC 6455 §4.1).
    #[must_use]
    pub fn subprotocol(mut self, name: &str) -> Self {
        let offered = |request: &Request| request.subprotocols().any(|offer| offer == name);
        if self.request().is_some_and(offered) {
            self.opened.negotiated.subprotocol = Some(name.to_owned());
        }
        self.respond_anew()
    }

    fn respond_anew(mut self) -> Self {
        if let Some(asked) = &self.opened.request {
            self.response = accept_response(asked, &self.opened.negotiated);
        }
        self
    }

    /// The request.
    #[must_use]
    pub fn request(&self) -> Option<&Request> {
        self.opened.request.as_ref()
    }

    /// The client that sent the request, as far as it is known before the 101: see [`PeerAddr`].
    #[must_use]
    pub fn peer(&self) -> Peer {
        self.peer
    }

    /// Gives the 101; when hyper has sent it, runs the handler in a task of its own.
    pub fn run(self, handler: impl Handler) -> hyper::Response<Full<Bytes>> {
        let response = response(&self.response);
        tokio::spawn(self.connection(handler));
        response
    }

    /// Runs the connection. Boxed is what comes before: it is given back when the connection is
    /// open.
    fn connection(self, handler: impl Handler) -> impl Future<Output = ()> {
        let handed_over = Box::pin(self.handed_over());
        async move {
            let Some((mut driver, fits)) = handed_over.await else { return };
            if driver.open().await {
                let socket = Socket::new(driver.link());
                driver
                    .run(Box::pin(async {
                        if fits { handler.call(socket).await } else { too_many() }
                    }))
                    .await;
            }
        }
    }

    /// When hyper has given the connection, its driver, and whether its address may have another.
    async fn handed_over(self) -> Option<(Driver, bool)> {
        let Upgrade { endpoint, opened, peer, on_upgrade, nonce, started, expected, .. } = self;
        let mut permit = self.permit;
        let accepted = Accepted { endpoint, opened: Some(opened), peer, started };
        let (transport, buffered) = match on_upgrade.await {
            Ok(upgraded) => take_back(upgraded),
            Err(error) => {
                accepted.never_came(Some(TransportError::new(error)));
                return None;
            }
        };
        let (endpoint, mut opened) = accepted.came()?;
        let below = Peer::new(transport.peer().or(peer.via()).or(peer.addr()));
        let asked = opened.request.clone().unwrap_or_else(|| unreachable!("judged"));
        // Where hyper had not told the address, it is known only now.
        let peer = endpoint.proxies.client(below, &asked);
        let fits = permit.admit(peer).is_ok();
        let config = endpoint.config.clone();
        transport.set_options(Options::of(&config));
        let negotiated = opened.negotiated.clone();
        let mut connection = Connection::upgraded(now(), config, asked, negotiated);
        let messages = link::receive(&mut connection, &[&nonce[..], &buffered].concat());
        let link = Link::new(connection, transport, below);
        opened.is_of(peer, below);
        let driver = Driver::expected(link, endpoint, opened).counted(permit).after(messages);
        drop(expected);
        Some((driver, fits))
    }
}

/// A request that was accepted and whose connection hyper has not given yet. It is reported even if
/// the task that waits for it is dropped.
struct Accepted {
    endpoint: Arc<Endpoint>,
    /// Until it has come or was reported.
    opened: Option<Opened>,
    peer: Peer,
    started: std::time::Instant,
}

impl Accepted {
    fn came(mut self) -> Option<(Arc<Endpoint>, Opened)> {
        Some((self.endpoint.clone(), self.opened.take()?))
    }

    fn never_came(mut self, error: Option<TransportError>) {
        self.report(error);
    }

    fn report(&mut self, error: Option<TransportError>) {
        let Some(opened) = self.opened.take() else { return };
        let ending = Ending::never_upgraded(now() - self.started, error);
        let version = Some(opened.negotiated.version);
        let (peer, request) = (self.peer, opened.request.as_ref());
        self.endpoint.ended(Ended { peer, request, version, ending: &ending });
    }
}

impl Drop for Accepted {
    fn drop(&mut self) {
        self.report(None);
    }
}

/// How a connection ends whose address has too many, where that came out behind the 101.
fn too_many() -> Handled {
    let code = CloseCode::POLICY_VIOLATION;
    let reason = HandshakeError::TooManyFromAddress.to_string();
    let close = Close::new(code, reason).unwrap_or_else(|_| code.into());
    Handled { cause: Cause::TooManyConnections, close }
}

/// The address of the request's connection, if the application or axum has left it there.
fn addr(parts: &http::request::Parts) -> Option<SocketAddr> {
    let addr = parts.extensions.get::<PeerAddr>().map(|PeerAddr(addr)| *addr);
    #[cfg(feature = "axum")]
    let addr = addr.or_else(|| {
        let info = parts.extensions.get::<axum::extract::ConnectInfo<SocketAddr>>();
        info.map(|axum::extract::ConnectInfo(addr)| *addr)
    });
    addr
}

/// The version, of those that can be spoken through an HTTP library.
fn served(asked: &Request, endpoint: &Endpoint) -> Result<Version, HandshakeError> {
    let hixie75 = Version::Hixie75;
    detect(asked, endpoint.config.versions.without(hixie75)).map_err(|error| match error {
        HandshakeError::Version(version) if version == hixie75.to_string() => {
            HandshakeError::NotThroughHttp(hixie75)
        }
        error => error,
    })
}

/// The head as the protocol knows it.
fn head(parts: &http::request::Parts) -> Result<Request, HandshakeError> {
    if parts.version != http::Version::HTTP_11 {
        return Err(HandshakeError::BadHttp("version (1.1 is needed)"));
    }
    // In absolute-form it names the host (RFC 9112 §3.2.2).
    let target = parts.uri.to_string();
    let fields = parts.headers.iter();
    // A value that is left out changes the meaning of those beside it.
    let fields =
        fields.map(|(name, value)| (name.as_str(), String::from_utf8_lossy(value.as_bytes())));
    let fields: Vec<_> = fields.collect();
    let fields = fields.iter().map(|(name, value)| (*name, value.as_ref()));
    Request::from_parts(parts.method.as_str(), &target, fields)
}

/// Takes the transport back from hyper, and what it had read too much.
fn take_back(upgraded: Upgraded) -> (AnyTransport, Bytes) {
    let upgraded = match tcp(upgraded) {
        Ok(taken) => return taken,
        Err(upgraded) => upgraded,
    };
    #[cfg(feature = "tls")]
    let upgraded = match tls(upgraded) {
        Ok(taken) => return taken,
        Err(upgraded) => upgraded,
    };
    // Another stream: it says itself how it ends.
    (AnyTransport::stream(TokioIo::new(upgraded)), Bytes::new())
}

fn tcp(upgraded: Upgraded) -> Result<(AnyTransport, Bytes), Upgraded> {
    let of = |io: TokioIo<TcpStream>| AnyTransport::Tcp(Tcp::handed_over(io.into_inner()));
    let parts = match upgrade::downcast::<TokioIo<TcpStream>>(upgraded) {
        Ok(parts) => return Ok((of(parts.io), parts.read_buf)),
        Err(upgraded) => upgraded.downcast::<TokioIo<TcpStream>>()?,
    };
    Ok((of(parts.io), parts.read_buf))
}

#[cfg(feature = "tls")]
fn tls(upgraded: Upgraded) -> Result<(AnyTransport, Bytes), Upgraded> {
    use crate::tls::TlsStream;
    let of = |io: TokioIo<TlsStream>| AnyTransport::Tls(Box::new(io.into_inner()));
    let parts = match upgrade::downcast::<TokioIo<TlsStream>>(upgraded) {
        Ok(parts) => return Ok((of(parts.io), parts.read_buf)),
        Err(upgraded) => upgraded.downcast::<TokioIo<TlsStream>>()?,
    };
    Ok((of(parts.io), parts.read_buf))
}

/// A refusal as hyper sends it.
pub(crate) fn refusal(error: &HandshakeError, served: VersionSet) -> hyper::Response<Full<Bytes>> {
    let refusal = Response::refusal(error, served);
    refusal.map_or_else(|| hyper::Response::new(Full::default()), |answer| response(&answer))
}

fn response(answer: &Response) -> hyper::Response<Full<Bytes>> {
    let mut response = hyper::Response::new(Full::from(answer.body.clone()));
    *response.status_mut() = http::StatusCode::from_u16(answer.status).unwrap_or_default();
    for (name, value) in &answer.fields {
        let name = HeaderName::from_bytes(name.as_bytes());
        let value = http::HeaderValue::from_str(value);
        // A value of the request that hyper let in can be sent out as well.
        if let (Ok(name), Ok(value)) = (name, value) {
            response.headers_mut().append(name, value);
        }
    }
    response
}
