//! How connections are accepted and where their endings are told: the settings that a
//! [`Server`](crate::Server) and the hyper and axum integrations share.

use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use adieu_proto::{Cause, Close, Config, Ending, HandshakeError, Request, Version};

use crate::accept::{Accept, IntoRefusal};
use crate::closed::ConnectionId;
use crate::drain::Drain;
use crate::handshake::{Handshake, OnHandshake};
use crate::limit::{ConnectionPermit, Limits};
use crate::peer::Peer;
use crate::proxy::{Cidr, Proxies};
use crate::receiving::Receiving;

type OriginPolicy = dyn Fn(Option<&str>) -> bool + Send + Sync;
type RequestPolicy = dyn Fn(&Request) -> Result<(), u16> + Send + Sync;
type OnClosing = dyn Fn(Closing<'_>) + Send + Sync;
type OnEnd = dyn Fn(Ended<'_>) + Send + Sync;

/// How connections are accepted, and who hears how they ended.
///
/// ```
/// use adieu::Endpoint;
/// let endpoint = Endpoint::new()
///     .subprotocols(["chat.v2", "chat.v1"])
///     .origin(|origin| origin.is_none_or(|o| o == "https://example.com"))
///     .on_end(|ended| println!("{}: {}", ended.peer, ended.ending));
/// ```
#[derive(Clone, Default)]
pub struct Endpoint {
    pub(crate) config: Arc<Config>,
    subprotocols: Vec<String>,
    origin: Option<Arc<OriginPolicy>>,
    request: Option<Arc<RequestPolicy>>,
    pub(crate) on_handshake: Option<Arc<OnHandshake>>,
    on_closing: Option<Arc<OnClosing>>,
    on_end: Option<Arc<OnEnd>>,
    pub(crate) drain: Drain,
    pub(crate) limits: Limits,
    pub(crate) receiving: Option<Arc<Receiving>>,
    pub(crate) proxies: Proxies,
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Endpoint {
    /// The defaults: every version but hixie-75, no subprotocol, any Origin.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Limits and time-outs.
    #[must_use]
    pub fn config(mut self, config: Config) -> Self {
        self.config = Arc::new(config);
        self
    }

    /// The subprotocols served, the preferred one first: the first that the client offers is
    /// chosen. A client that offers none of them gets none (RFC 6455 §4.2.2).
    #[must_use]
    pub fn subprotocols<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.subprotocols = names.into_iter().map(Into::into).collect();
        self
    }

    /// Which pages may connect: gets the `Origin` (none for clients that are no browsers) and
    /// says whether it is allowed. Others are answered 403 (RFC 6455 §10.2).
    #[must_use]
    pub fn origin(mut self, allows: impl Fn(Option<&str>) -> bool + Send + Sync + 'static) -> Self {
        self.origin = Some(Arc::new(allows));
        self
    }

    /// Looks at each valid request before it is accepted; `Err(status)` refuses it with that
    /// HTTP status.
    ///
    /// This is for checks that wait for nothing and need no more than the request: they cost
    /// nothing. [`on_handshake`](Self::on_handshake), which is asked behind them, may wait, knows
    /// more and can say more.
    #[must_use]
    pub fn on_request(
        mut self,
        check: impl Fn(&Request) -> Result<(), u16> + Send + Sync + 'static,
    ) -> Self {
        self.request = Some(Arc::new(check));
        self
    }

    /// Decides on each valid request, and may take its time: it is given the [`Handshake`] (the
    /// request, the peer, what TLS knows) and accepts with an [`Accept`] (fields of the 101, a
    /// subprotocol, values for the handler), or refuses with any HTTP response
    /// ([`IntoRefusal`]). Limits, the Origin policy and [`on_request`](Self::on_request) come
    /// before it. `Server`, hyper and axum ask it alike.
    ///
    /// Its deadline is that of the whole handshake ([`Config::handshake_timeout`]): when it passes,
    /// the future is dropped and the peer is told 408. A panic is told as 500. A drain that starts
    /// meanwhile is told as 503, and a peer that goes meanwhile is reported as gone; the future is
    /// dropped then as well. What the peer sends behind its request meanwhile is kept, up to
    /// [`Config::max_head`] bytes; more is read when the request is accepted.
    ///
    /// ```
    /// use adieu::{Accept, Endpoint, Handshake, Server, Socket};
    /// use adieu::http::{Response, StatusCode};
    ///
    /// #[derive(Clone)]
    /// struct User(String);
    ///
    /// # async fn user_of(session: &str) -> Option<User> { Some(User(session.to_owned())) }
    /// let endpoint = Endpoint::new().on_handshake(async |handshake: Handshake| {
    ///     let Some(session) = handshake.cookie("session") else {
    ///         let refusal = Response::builder().status(StatusCode::UNAUTHORIZED);
    ///         return Err(refusal.body("sign in first\n").expect("a valid response"));
    ///     };
    ///     match user_of(session).await {
    ///         Some(user) => Ok(Accept::new().extension(user)),
    ///         None => Err(Response::builder().status(403).body("who are you?\n").unwrap()),
    ///     }
    /// });
    /// let server = Server::with(endpoint, async |socket: Socket| {
    ///     let user: &User = socket.extensions().get().expect("every one has a user");
    ///     let _ = socket.send(format!("hello, {}", user.0)).await;
    /// });
    /// ```
    #[must_use]
    pub fn on_handshake<Fut, R>(
        mut self,
        decide: impl Fn(Handshake) -> Fut + Send + Sync + 'static,
    ) -> Self
    where
        Fut: Future<Output = Result<Accept, R>> + Send + 'static,
        R: IntoRefusal,
    {
        self.on_handshake = Some(Arc::new(move |handshake| {
            let deciding = decide(handshake);
            Box::pin(async move { deciding.await.map_err(IntoRefusal::into_refusal) })
        }));
        self
    }

    /// Hears early, the moment it is read, that a peer has sent its Close: for presence. The
    /// report follows, to [`on_end`](Self::on_end), when the transport is over. Peers that leave
    /// without a Close are not told here.
    #[must_use]
    pub fn on_closing(mut self, hear: impl Fn(Closing<'_>) + Send + Sync + 'static) -> Self {
        self.on_closing = Some(Arc::new(hear));
        self
    }

    /// Hears the report of every connection, exactly once each, those that never opened too.
    #[must_use]
    pub fn on_end(mut self, hear: impl Fn(Ended<'_>) + Send + Sync + 'static) -> Self {
        self.on_end = Some(Arc::new(hear));
        self
    }

    /// The handle that ends all connections of this endpoint when the server stops.
    #[must_use]
    pub fn drain(mut self, drain: Drain) -> Self {
        self.drain = drain;
        self
    }

    /// How many connections there may be at a time. One above it is answered 503 with
    /// `Retry-After`. A clone of the endpoint counts together with its original.
    ///
    /// [`Server`](crate::Server) counts from accept to the end, so that one that never sends its
    /// request counts too. It keeps up to 1,024 more while they send their request and read the
    /// refusal, as long as the handshake's deadline allows; when there are as many, the next wait
    /// in the kernel's queue. In a hyper or axum application the HTTP server has its own
    /// limits for connections; here WebSockets are counted, from their request to their end.
    ///
    /// By default there is none: how many fit depends on the memory that the application needs
    /// for each. The limit of open files bounds them, and what is above it waits to be accepted.
    #[must_use]
    pub fn max_connections(mut self, max: usize) -> Self {
        self.limits = self.limits.all(max);
        self
    }

    /// Bytes that have come and that no handler has taken, on all connections together: messages
    /// that are not whole yet, and those that wait. A clone of the endpoint counts together with
    /// its original. The connection that would be above it is closed with 1013 (try again later).
    /// The first 64 KiB of each connection do not count. By default only [`Config::max_message`]
    /// and [`Config::receive_queue`] bound each.
    #[must_use]
    pub fn max_receiving(mut self, bytes: usize) -> Self {
        self.receiving = Some(Receiving::new(bytes));
        self
    }

    /// How many connections one address may have at a time; of IPv6 a /64, for that is the least
    /// that a subscriber gets, and its devices change their addresses in it as they like. One
    /// above it is answered 429. As many again are kept while they send their request and read
    /// the refusal; what comes above that hears it at once, unasked, and is let go of.
    ///
    /// The address is [`Peer::addr`]. Behind a proxy that is not trusted
    /// ([`trust_proxies`](Self::trust_proxies)) everybody shares one, and so do whole companies
    /// behind theirs: by default there is no limit. Who has no known address is not counted.
    ///
    /// hyper does not tell the address before the answer: see
    /// [`PeerAddr`](crate::hyper::PeerAddr).
    #[must_use]
    pub fn max_connections_per_address(mut self, max: usize) -> Self {
        self.limits = self.limits.each(max);
        self
    }

    /// Proxies whose word is believed when they tell for whom they speak: in `Forwarded`
    /// (RFC 7239) or `X-Forwarded-For`, or in a PROXY header
    /// ([`proxy_protocol`](Self::proxy_protocol)). By default none is.
    ///
    /// The client is the last one in the field that is not itself trusted; what stands further
    /// left it may have made up. A client that is `unknown` or hidden has no address. Where the
    /// field is malformed, the proxy's own address stays. So it does where both fields came and
    /// tell different clients: proxies write one and pass on the other as their client wrote it.
    /// Have yours write at least one, always.
    ///
    /// ```
    /// # fn run() -> Result<(), adieu::CidrError> {
    /// use adieu::Endpoint;
    /// let endpoint = Endpoint::new().trust_proxies(["127.0.0.1".parse()?, "10.0.0.0/8".parse()?]);
    /// # Ok(())
    /// # }
    /// # run().unwrap();
    /// ```
    #[must_use]
    pub fn trust_proxies(mut self, proxies: impl IntoIterator<Item = Cidr>) -> Self {
        self.proxies = self.proxies.trusting(proxies);
        self
    }

    /// Whether the trusted proxies speak the PROXY protocol, version 2: then each connection of
    /// theirs has to begin with its header, before TLS, within the handshake's deadline. One that
    /// does not is ended without an answer, for nothing has said which language is spoken
    /// ([`HandshakeError::ProxyHeader`]). From anybody else the header is not understood.
    ///
    /// The header's further records are skipped, its checksum included. Only
    /// [`Server`](crate::Server) reads it: elsewhere the HTTP library has read before us.
    #[must_use]
    pub fn proxy_protocol(mut self, on: bool) -> Self {
        self.proxies.protocol = on;
        self
    }

    /// Judges a valid request: the subprotocol to agree on, or why it is refused.
    pub(crate) fn decide(
        &self,
        request: &Request,
        peer: Peer,
        permit: &mut ConnectionPermit,
    ) -> Result<Option<String>, HandshakeError> {
        if self.drain.has_started() {
            return Err(HandshakeError::Draining);
        }
        permit.admit(peer)?;
        let origin = request.origin();
        if self.origin.as_ref().is_some_and(|allows| !allows(origin)) {
            return Err(HandshakeError::Origin(origin.unwrap_or("none").to_owned()));
        }
        if let Some(check) = &self.request {
            check(request).map_err(HandshakeError::Refused)?;
        }
        if self.drain.has_started() {
            // The application itself may have started it.
            return Err(HandshakeError::Draining);
        }
        let offered = |name: &&String| request.subprotocols().any(|offer| offer == *name);
        Ok(self.subprotocols.iter().find(offered).cloned())
    }

    /// Tells that a peer has sent its Close.
    pub(crate) fn closing(&self, closing: Closing<'_>) {
        let Some(hear) = &self.on_closing else { return };
        if catch_unwind(AssertUnwindSafe(|| hear(closing))).is_err() {
            tracing::error!("on_closing panicked; the connection goes on to end");
        }
    }

    /// Tells a report. A panic in the application's function does not reach the server.
    pub(crate) fn ended(&self, ended: Ended<'_>) {
        match &ended.ending.cause {
            // What TLS says quotes nothing of the request.
            Cause::Handshake(error @ HandshakeError::Tls(_)) => {
                tracing::debug!(peer = %ended.peer, "a connection was never opened: {error}");
            }
            // The sentence may quote a field of the request, which belongs in no log.
            Cause::Handshake(_) => {
                tracing::debug!(peer = %ended.peer, "a connection was accepted and never opened");
            }
            _ => {}
        }
        let Some(hear) = &self.on_end else { return };
        if catch_unwind(AssertUnwindSafe(|| hear(ended))).is_err() {
            tracing::error!("on_end panicked; the connection was reported once");
        }
    }
}

/// A connection whose peer has sent its Close.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Closing<'a> {
    /// The peer that sent it.
    pub peer: Peer,
    /// The request that opened the connection; `None` as a client.
    pub request: Option<&'a Request>,
    /// What was said.
    pub close: &'a Close,
}

/// A connection that is over.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Ended<'a> {
    /// The connection, as [`Socket::id`](crate::Socket::id) names it; `None` where an HTTP library
    /// had it to its end.
    pub id: Option<ConnectionId>,
    /// The peer.
    pub peer: Peer,
    /// The request, if one was read.
    pub request: Option<&'a Request>,
    /// The version, if one was asked for.
    pub version: Option<Version>,
    /// How it ended.
    pub ending: &'a Ending,
}
