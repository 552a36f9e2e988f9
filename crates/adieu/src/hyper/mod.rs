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

mod refused;
mod report;
mod service;
mod take_back;
mod way;

use std::future::Future;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use adieu_proto::{
    Cause, Close, CloseCode, Connection, HandshakeError, Negotiated, Request, Version, VersionSet,
    detect, detect_extended_connect,
};
use bytes::Bytes;
use http::Extensions;
use http::header::{CONTENT_LENGTH, HeaderMap, UPGRADE};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Body, Incoming};

use crate::accept::Accept;
use crate::drain::Expected;
use crate::endpoint::Endpoint;
use crate::handled::Handled;
use crate::handler::HandlerOnce;
use crate::handshake::Handshake;
use crate::limit::{AcceptPermit, ConnectionPermit};
use crate::link::{self, Driver, Link, Opened};
use crate::now;
use crate::peer::Peer;
use crate::socket::Socket;
use crate::transport::Options;
pub(crate) use refused::Refused;
use report::Report;
#[cfg(feature = "http2")]
pub(crate) use service::Shared;
#[cfg(feature = "tower")]
pub use service::WebSocketLayer;
pub use service::WebSocketService;
use way::Way;

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
#[must_use = "a request that is neither run nor refused is reported as declined"]
pub struct Upgrade {
    report: Report,
    negotiated: Negotiated,
    /// Further fields of the 101.
    fields: HeaderMap,
    /// What the application has left for its handler.
    extensions: Extensions,
    way: Way,
    /// A hixie-76 nonce that came as the request's body.
    nonce: Bytes,
    /// A drain waits for what becomes of this.
    expected: Expected,
    permit: ConnectionPermit,
}

impl std::fmt::Debug for Upgrade {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Upgrade({})", self.negotiated.version)
    }
}

/// Whether a request asks for a WebSocket, rightly or wrongly: for those that serve both at one
/// path. What is wrong with it says [`Upgrade::new`].
///
/// ```
/// use adieu::hyper::asks_for_websocket;
/// let page = hyper::Request::get("/").body(()).unwrap();
/// assert!(!asks_for_websocket(&page));
/// let socket = hyper::Request::get("/").header("Upgrade", "websocket").body(()).unwrap();
/// assert!(asks_for_websocket(&socket));
/// ```
#[must_use]
pub fn asks_for_websocket<B>(request: &hyper::Request<B>) -> bool {
    asks(request.headers(), request.extensions())
}

pub(crate) fn asks(fields: &HeaderMap, extensions: &Extensions) -> bool {
    if Way::is_extended_connect(extensions) {
        return true;
    }
    let values = fields.get_all(UPGRADE).iter().filter_map(|value| value.to_str().ok());
    let mut protocols = values.flat_map(|value| value.split(',')).map(str::trim);
    protocols.any(|protocol| protocol.eq_ignore_ascii_case("websocket"))
}

impl Upgrade {
    /// Judges a request. A refused one is told to [`Endpoint::on_end`] by this; so is one that is
    /// accepted and then dropped without [`run`](Self::run).
    ///
    /// # Errors
    /// The HTTP response that refuses it and says why. Its extensions have the [`HandshakeError`],
    /// for those that log what they answer; one that the application made itself stays as it is.
    pub async fn new(
        request: hyper::Request<Incoming>,
        endpoint: Arc<Endpoint>,
    ) -> Result<Self, hyper::Response<Full<Bytes>>> {
        Self::judge(request, endpoint).await.map_err(|refused| refused.into_response())
    }

    pub(crate) async fn judge<B>(
        request: hyper::Request<B>,
        endpoint: Arc<Endpoint>,
    ) -> Result<Self, Box<Refused>>
    where
        B: Body + Send,
        B::Data: Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let (mut parts, body) = request.into_parts();
        let upgrade = Self::of_parts(&mut parts, endpoint)?.decided(&parts).await?;
        if !(upgrade.is_hixie76() && parts.headers.contains_key(CONTENT_LENGTH)) {
            return Ok(upgrade);
        }
        // hyper takes the nonce for the request's body, and would drop it unread.
        let read = Limited::new(body, NONCE).collect();
        match upgrade.report.in_time(read).await {
            Ok(Ok(body)) => Ok(Upgrade { nonce: body.to_bytes(), ..upgrade }),
            Ok(Err(_)) => Err(upgrade.refused(HandshakeError::BadField("nonce"))),
            Err(error) => Err(upgrade.refused(error)),
        }
    }

    /// The same for a request whose body is not at hand.
    #[cfg(feature = "axum")]
    pub(crate) async fn judge_parts(
        parts: &mut http::request::Parts,
        endpoint: Arc<Endpoint>,
    ) -> Result<Self, Box<Refused>> {
        let upgrade = Self::of_parts(parts, endpoint)?;
        if upgrade.is_hixie76() && parts.headers.contains_key(CONTENT_LENGTH) {
            return Err(upgrade.refused(HandshakeError::NonceInBody));
        }
        upgrade.decided(parts).await
    }

    /// What the application says of the request, where it is to be asked.
    async fn decided(mut self, parts: &http::request::Parts) -> Result<Self, Box<Refused>> {
        let Some(on_handshake) = self.report.endpoint.on_handshake.clone() else { return Ok(self) };
        let Some(request) = self.report.request.clone() else { return Ok(self) };
        self.report.otherwise(HandshakeError::RequestDropped);
        let (peer, version) = (self.report.peer, self.negotiated.version);
        let handshake = Handshake::of_parts(parts, request, peer, version);
        match self.report.ask(&*on_handshake, handshake).await {
            Ok(Ok(accept)) => {
                self.report.otherwise(HandshakeError::Declined);
                Ok(self.accept(accept))
            }
            Ok(Err(response)) => Err(Box::new(Refused::with(response, self.report))),
            Err(error) => Err(self.refused(error)),
        }
    }

    fn of_parts(
        parts: &mut http::request::Parts,
        endpoint: Arc<Endpoint>,
    ) -> Result<Self, Box<Refused>> {
        let expected = endpoint.drain.expect();
        let mut permit = endpoint.limits.connection_permit(AcceptPermit::default());
        let mut report = Report::new(endpoint, Peer::new(addr(parts)));
        match accept(parts, &mut report, &mut permit) {
            Ok((negotiated, way)) => {
                report.otherwise(HandshakeError::Declined);
                Ok(Upgrade {
                    report,
                    negotiated,
                    fields: HeaderMap::new(),
                    extensions: Extensions::new(),
                    way,
                    nonce: Bytes::new(),
                    expected,
                    permit,
                })
            }
            Err(error) => Err(Box::new(Refused::new(error, report))),
        }
    }

    fn is_hixie76(&self) -> bool {
        self.negotiated.version == Version::Hixie76
    }

    fn refused(self, error: HandshakeError) -> Box<Refused> {
        Box::new(Refused::new(error, self.report))
    }

    /// Says that the connection is TLS: hixie-76 repeats the URL with its scheme.
    pub fn secure(mut self, tls: bool) -> Self {
        self.negotiated.secure = tls;
        self
    }

    /// Agrees on this subprotocol instead of the first of the [`Endpoint`]'s that was offered, for
    /// those that decide for each request. One that the client has not offered is left out: it
    /// would fail the connection (RFC 6455 §4.1).
    pub fn subprotocol(mut self, name: &str) -> Self {
        if self.offers(name) {
            self.negotiated.subprotocol = Some(name.to_owned());
        }
        self
    }

    /// Agrees on the first of these subprotocols, the preferred one first, that the client has
    /// offered, instead of the [`Endpoint`]'s.
    pub fn subprotocols<S: AsRef<str>>(self, names: impl IntoIterator<Item = S>) -> Self {
        match names.into_iter().find(|name| self.offers(name.as_ref())) {
            Some(name) => self.subprotocol(name.as_ref()),
            None => self,
        }
    }

    fn offers(&self, name: &str) -> bool {
        self.request().is_some_and(|request| request.subprotocols().any(|offer| offer == name))
    }

    /// Accepts with fields in the 101, a subprotocol, and values for the handler.
    pub fn accept(mut self, accept: Accept) -> Self {
        if let Some(request) = &self.report.request {
            let (fields, extensions) = accept.apply(request, &mut self.negotiated);
            self.fields.extend(fields);
            self.extensions.extend(extensions);
        }
        self
    }

    /// The subprotocol that is agreed on, if one is.
    #[must_use]
    pub fn selected_subprotocol(&self) -> Option<&str> {
        self.negotiated.subprotocol.as_deref()
    }

    /// The request.
    #[must_use]
    pub fn request(&self) -> Option<&Request> {
        self.report.request.as_ref()
    }

    /// The client that sent the request, as far as it is known before the 101: see [`PeerAddr`].
    #[must_use]
    pub fn peer(&self) -> Peer {
        self.report.peer
    }

    /// Refuses the request after all, with a response of the application's own, which is given
    /// back as it is: [`Endpoint::on_end`] hears
    /// [`HandshakeError::Refused`] with its status.
    pub fn refuse<B>(mut self, response: hyper::Response<B>) -> hyper::Response<B> {
        self.report.tell(HandshakeError::Refused(response.status().as_u16()), None);
        response
    }

    /// Gives the 101; when hyper has sent it, runs the handler in a task of its own. The handler is
    /// called once: a closure may move what it has into it.
    pub fn run(mut self, handler: impl HandlerOnce) -> hyper::Response<Full<Bytes>> {
        self.report.otherwise(HandshakeError::NotUpgraded);
        let mut response = match &self.report.request {
            Some(request) => refused::response(&self.way.accepts(request, &self.negotiated)),
            None => unreachable!("it was judged"),
        };
        response.headers_mut().extend(std::mem::take(&mut self.fields));
        tokio::spawn(self.connection(handler));
        response
    }

    /// Runs the connection. Boxed is what comes before: it is given back when the connection is
    /// open.
    fn connection(self, handler: impl HandlerOnce) -> impl Future<Output = ()> {
        let handed_over = Box::pin(self.handed_over());
        async move {
            let Some((mut driver, fits)) = handed_over.await else { return };
            if driver.open().await {
                let socket = Socket::new(driver.link());
                driver
                    .run(Box::pin(async move {
                        if fits { handler.call_once(socket).await } else { too_many() }
                    }))
                    .await;
            }
        }
    }

    /// When hyper has given the connection, its driver, and whether its address may have another.
    async fn handed_over(self) -> Option<(Driver, bool)> {
        let Upgrade { mut report, negotiated, way, nonce, expected, mut permit, .. } = self;
        let (transport, buffered) = match way.transport().await {
            Ok(given) => given,
            Err(error) => {
                report.tell(HandshakeError::NotUpgraded, error);
                return None;
            }
        };
        report.is_not_needed();
        let (endpoint, peer) = (report.endpoint.clone(), report.peer);
        let below = Peer::new(transport.peer().or(peer.via()).or(peer.addr()));
        let asked = report.request.take()?;
        // Where hyper had not told the address, it is known only now.
        let peer = endpoint.proxies.client(below, &asked);
        let fits = permit.admit(peer).is_ok();
        let config = endpoint.config.clone();
        transport.set_options(Options::of(&config));
        let mut opened = Opened::new(Some(asked.clone()), negotiated.clone());
        let mut connection = Connection::upgraded(now(), config, asked, negotiated);
        let messages = link::receive(&mut connection, &[&nonce[..], &buffered].concat());
        let link = Link::new(connection, transport, below);
        opened.is_of(peer, below);
        opened.has(self.extensions);
        let driver = Driver::expected(link, endpoint, opened).counted(permit).after(messages);
        drop(expected);
        Some((driver, fits))
    }
}

/// Accepts a request: what is agreed on, and where hyper gives its connection.
fn accept(
    parts: &mut http::request::Parts,
    report: &mut Report,
    permit: &mut ConnectionPermit,
) -> Result<(Negotiated, Way), HandshakeError> {
    let endpoint = report.endpoint.clone();
    let request = report.request.insert(head(parts)?);
    if Way::is_extended_connect(&parts.extensions) {
        report.served = VersionSet::none().with(Version::Rfc6455);
    }
    let version = served(request, &parts.extensions, &endpoint)?;
    report.version = Some(version);
    report.peer = endpoint.proxies.client(report.peer, request);
    let peer = report.peer;
    let decided = catch_unwind(AssertUnwindSafe(|| endpoint.decide(request, peer, permit)));
    let subprotocol = decided.unwrap_or(Err(HandshakeError::Panicked))?;
    let way = Way::take(&mut parts.extensions).ok_or(HandshakeError::NotUpgrade)?;
    let mut negotiated = Negotiated::new(version);
    negotiated.subprotocol = subprotocol;
    #[cfg(feature = "deflate")]
    if let Some(request) = &report.request {
        negotiated = negotiated.compressed(request, &endpoint.config);
    }
    Ok((negotiated, way))
}

/// How a connection ends whose address has too many, where that came out behind the 101.
fn too_many() -> Handled {
    let code = CloseCode::POLICY_VIOLATION;
    let reason = HandshakeError::TooManyFromAddress.to_string();
    let close = Close::new(code, reason).unwrap_or_else(|_| code.into());
    Handled::new(Cause::TooManyConnections, close)
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
fn served(
    asked: &Request,
    extensions: &Extensions,
    endpoint: &Endpoint,
) -> Result<Version, HandshakeError> {
    if Way::is_extended_connect(extensions) {
        return detect_extended_connect(asked, endpoint.config.versions);
    }
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
    match parts.version {
        _ if Way::is_extended_connect(&parts.extensions) => {}
        http::Version::HTTP_11 => {}
        // HTTP/2 asks for a WebSocket in no other way.
        http::Version::HTTP_2 => return Err(HandshakeError::NotUpgrade),
        _ => return Err(HandshakeError::BadHttp("version (1.1 is needed)")),
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
