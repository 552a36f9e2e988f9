//! The client: [`connect`] and [`Client`].

mod attempts;
mod dial;
mod error;
mod eyeballs;
#[cfg(all(feature = "http2", feature = "tls"))]
mod http2;
mod open;
mod proxy;
mod redirect;
mod url;

use std::future::Future;
use std::net::SocketAddr;
#[cfg(feature = "tls")]
use std::sync::Arc;
use std::{fmt, io};

use adieu_proto::{ClientRequest, Config, UsageError};
use tokio::io::{AsyncRead, AsyncWrite};

pub use error::{ConnectError, ProxyError, RedirectError};
pub use url::UrlError;

use crate::endpoint::{Ended, Endpoint};
use crate::peer::Peer;
use crate::socket::Socket;
use crate::transport::AnyTransport;
use dial::{Deadline, Resolver};
use proxy::{Environment, Proxies};
use redirect::Journey;
use url::{Target, basic_of};

/// Connects to `ws://host[:port]/path?query`, or `wss://…` with the feature `tls`, with the
/// defaults of [`Client`].
///
/// ```no_run
/// # async fn run() -> Result<(), adieu::ConnectError> {
/// let mut socket = adieu::connect("ws://127.0.0.1:9001/").await?;
/// let _ = socket.send("hello").await;
/// println!("{:?}", socket.recv().await);
/// println!("{}", socket.close(adieu::CloseCode::NORMAL).await);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// A [`ConnectError`] that says what was wrong.
pub async fn connect(url: &str) -> Result<Socket, ConnectError> {
    Client::new().connect(url).await
}

/// Connects to servers, with more to say than [`connect`].
///
/// ```no_run
/// # async fn run() -> Result<(), adieu::ConnectError> {
/// let client = adieu::Client::new().subprotocol("chat.v1").header("Authorization", "Bearer abc");
/// let socket = client.connect("ws://127.0.0.1:9001/chat").await?;
/// assert_eq!(socket.subprotocol(), Some("chat.v1"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Default)]
pub struct Client {
    endpoint: Endpoint,
    headers: Vec<(String, String)>,
    /// The value of `Authorization` that user and password make, or why they make none.
    basic: Option<Result<String, &'static str>>,
    subprotocols: Vec<String>,
    resolver: Resolver,
    proxies: Proxies,
    redirects: usize,
    #[cfg(feature = "tls")]
    tls: Option<Arc<rustls::ClientConfig>>,
    /// The connections of HTTP/2, where that is switched on.
    #[cfg(all(feature = "http2", feature = "tls"))]
    http2: Option<Arc<http2::Pool>>,
}

const AUTHORIZATION: &str = "Authorization";

impl fmt::Debug for Client {
    /// Without the fields of its own: they may hold cookies and do not belong in a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let subprotocols = &self.subprotocols;
        let mut debug = f.debug_struct("Client");
        debug.field("endpoint", &self.endpoint).field("subprotocols", subprotocols);
        debug.finish_non_exhaustive()
    }
}

impl Client {
    /// The defaults: no fields of its own, no subprotocol, no proxy, no redirects.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Limits and time-outs.
    #[must_use]
    pub fn config(mut self, config: Config) -> Self {
        self.endpoint = self.endpoint.config(config);
        self.shares_no_more();
        self
    }

    /// Adds a field to the request. `Host`, `Origin` and `Sec-WebSocket-Protocol` replace what
    /// would be sent without them. The fields of the opening handshake itself and of a body are
    /// refused when it connects ([`UsageError::Field`](crate::UsageError::Field)).
    ///
    /// A cookie is a field as well: `client.header("Cookie", "session=3f9a")`. Cookies that a
    /// server sets are not kept: [`Socket::response`] has them.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Sends `Authorization: Basic` (RFC 7617) with this user and password, instead of those in the
    /// URL. A [`header`](Self::header) `Authorization` goes before it. A colon in the user, or a
    /// control character in either, is refused when it connects
    /// ([`UsageError::Field`](crate::UsageError::Field)).
    #[must_use]
    pub fn basic_auth(mut self, user: &str, password: &str) -> Self {
        self.basic = Some(basic_of(user.as_bytes(), password.as_bytes()));
        self
    }

    /// Offers a subprotocol, behind those offered before.
    #[must_use]
    pub fn subprotocol(mut self, name: impl Into<String>) -> Self {
        self.subprotocols.push(name.into());
        self
    }

    /// Hears the report of each connection on which a request was sent, exactly once: those that
    /// were refused or redirected too.
    #[must_use]
    pub fn on_end(mut self, hear: impl Fn(Ended<'_>) + Send + Sync + 'static) -> Self {
        self.endpoint = self.endpoint.on_end(hear);
        self
    }

    /// Follows up to so many redirects (301, 302, 303, 307, 308 with a `Location`). By default
    /// none is followed, and the answer is a [refusal](ConnectError::refusal).
    ///
    /// No redirect leads from `wss://` to `ws://`. At another origin the fields `Authorization`,
    /// `Cookie`, `Proxy-Authorization` and `Host` and the URL's user and password are not sent,
    /// from then on. All is done within the one deadline.
    #[must_use]
    pub fn redirects(mut self, max: usize) -> Self {
        self.redirects = max;
        self
    }

    /// Goes through this HTTP proxy, `http://[user:password@]host[:port]`, with CONNECT
    /// (RFC 9110 §9.3.6), for `ws://` and `wss://`. The proxy looks up the server's name, and
    /// [`Socket::peer`] is the proxy. Proxies over TLS and SOCKS proxies are not spoken to: for
    /// those connect yourself and use [`connect_with`](Self::connect_with).
    #[must_use]
    pub fn proxy(mut self, url: impl Into<String>) -> Self {
        self.proxies = Proxies::All(url.into());
        self.shares_no_more();
        self
    }

    /// Goes through the proxies that the environment names now: `http_proxy` for `ws://`,
    /// `https_proxy` for `wss://`, else `all_proxy`, but for hosts in `no_proxy`. Each may be
    /// written in large letters; `HTTP_PROXY` is not read in a CGI program (where
    /// `REQUEST_METHOD` is set), because a request's field would set it there.
    #[must_use]
    pub fn proxy_from_env(mut self) -> Self {
        let environment = Environment::of(|name| std::env::var(name).ok());
        self.proxies = Proxies::Environment(environment);
        self.shares_no_more();
        self
    }

    /// Takes these addresses for a name instead of looking it up. Port 0 stands for the URL's. A
    /// link-local address of IPv6 needs the scope of its interface, which no URL can say:
    ///
    /// ```no_run
    /// use std::net::{Ipv6Addr, SocketAddrV6};
    /// # async fn run(eth0: u32) -> Result<(), adieu::ConnectError> {
    /// let address = SocketAddrV6::new(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1), 0, 0, eth0);
    /// let client = adieu::Client::new().resolve("printer.local", [address.into()]);
    /// let socket = client.connect("ws://printer.local:9001/").await?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn resolve(mut self, host: &str, to: impl IntoIterator<Item = SocketAddr>) -> Self {
        self.resolver.give(host, to.into_iter().collect());
        self.shares_no_more();
        self
    }

    /// Looks names up with this function, which gets the host and the port, instead of the
    /// operating system's resolver. It is not asked for an address. Of the addresses of a name 64
    /// are tried at most; port 0 stands for the URL's.
    #[must_use]
    pub fn resolver<F, T>(mut self, resolve: F) -> Self
    where
        F: Fn(String, u16) -> T + Send + Sync + 'static,
        T: Future<Output = io::Result<Vec<SocketAddr>>> + Send + 'static,
    {
        self.resolver.ask(resolve);
        self.shares_no_more();
        self
    }

    /// The TLS configuration for `wss://`; the default trusts the system's roots. Connections with
    /// the same configuration resume each other's TLS sessions.
    ///
    /// A configuration that offers more than HTTP/1.1 by ALPN (RFC 7301), made for a client of
    /// HTTP/2 as well, offers only that here: it is what is spoken. Which HTTP is spoken is for
    /// `Client::http2` to say.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls(mut self, config: Arc<rustls::ClientConfig>) -> Self {
        self.tls = Some(crate::tls::speaking_http1(config));
        self.shares_no_more();
        self
    }

    /// Opens WebSockets over HTTP/2 (RFC 8441), where the server takes them. Off by default.
    ///
    /// For `wss://` the TLS handshake offers `h2` and `http/1.1` (ALPN, RFC 7301). If the server
    /// chooses `h2`, and its first SETTINGS have SETTINGS_ENABLE_CONNECT_PROTOCOL (RFC 8441 §3),
    /// the WebSocket is one stream, opened by an extended CONNECT (§4, §5). Else it is opened over
    /// HTTP/1.1: on that connection if the server has chosen it, or on one of its own, within the
    /// same deadline; that this server takes no WebSockets over HTTP/2 is remembered for 5 minutes.
    /// `ws://`, [`connect_with`](Self::connect_with) and [`connect_unix`](Self::connect_unix) stay
    /// with HTTP/1.1.
    ///
    /// **What is shared.** WebSockets to one host and port share a connection, from this client and
    /// its clones; calls at the same time share one attempt to make it. A stream is opened on it
    /// while the server takes more (SETTINGS_MAX_CONCURRENT_STREAMS) and has not said GOAWAY;
    /// beside that a new connection is made. One without a stream is ended after 30 s, and when the
    /// last clone is gone; a WebSocket that is open goes on without its client. A clone of which
    /// [`config`](Self::config), [`tls`](Self::tls), [`resolve`](Self::resolve),
    /// [`resolver`](Self::resolver) or a proxy is set anew has connections of its own. A connection
    /// lives on the runtime of the call that made it.
    ///
    /// **What is tried again.** A stream that fails before the server has answered is tried once
    /// more on another connection, where a connection that was there before was dead, or said
    /// nothing at all for 3 s, PING included; where a GOAWAY leaves the stream out; and after
    /// RST_STREAM with REFUSED_STREAM (RFC 9113 §8.7). After HTTP_1_1_REQUIRED it is tried once
    /// more over HTTP/1.1. Nothing of the WebSocket was sent until then. Each try has its report
    /// ([`on_end`](Self::on_end)). A status that refuses is a refusal, and a redirect is one, as
    /// over HTTP/1.1.
    ///
    /// **Limits.** The server may send 1 MiB on one stream, and 4 MiB on all streams of a
    /// connection together, before we have read them (RFC 9113 §5.2): by that a round trip of 50 ms
    /// allows 20 MiB/s to a stream of large messages. Four WebSockets that nobody reads from can so
    /// hold up the others of their connection; give those a client of their own. Of messages below
    /// 256 bytes at least 65,536 may wait unread on a connection, which ends behind more. It is
    /// asked by PING as [`Config::ping_interval`] and [`Config::pong_timeout`] say, beside the Ping
    /// of each WebSocket; when it breaks all its WebSockets end, and each report says so.
    ///
    /// [`Socket::http2`] and [`Ending::http2`](crate::Ending::http2) tell the stream and its
    /// connection.
    /// [`Socket::response`] has the head of the 200.
    ///
    /// ```no_run
    /// # async fn run() -> Result<(), adieu::ConnectError> {
    /// let client = adieu::Client::new().http2(true);
    /// let first = client.connect("wss://example.com/chat").await?;
    /// // One more stream of the same connection, if the server speaks HTTP/2.
    /// let second = client.connect("wss://example.com/news").await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// None here; [`connect`](Self::connect) has those that it has without. A server whose SETTINGS
    /// do not come is [`ConnectError::Io`] with the kind `TimedOut`.
    #[cfg(all(feature = "http2", feature = "tls"))]
    #[must_use]
    pub fn http2(mut self, on: bool) -> Self {
        self.http2 = on.then(Arc::default);
        self
    }

    /// What is made from now on is made otherwise than the connections that are shared.
    #[allow(clippy::unused_self, clippy::needless_pass_by_ref_mut, reason = "of HTTP/2")]
    fn shares_no_more(&mut self) {
        #[cfg(all(feature = "http2", feature = "tls"))]
        if let Some(pool) = &mut self.http2 {
            *pool = Arc::default();
        }
    }

    /// Connects. All addresses of the name are tried, a new one each 250 ms or when one has failed,
    /// side by side (RFC 8305); the first connection is taken. Where the deadline passes before,
    /// the error says of each address what came of it: of forty silent ones the last is tried
    /// 250 ms before the default deadline.
    ///
    /// `user:password@` in the URL becomes `Authorization: Basic` (RFC 7617), unless that field is
    /// set. `http://` and `https://` are read as `ws://` and `wss://`. A fragment is refused.
    ///
    /// # Errors
    /// A [`ConnectError`] that says what was wrong. [`Config::handshake_timeout`] is the one
    /// deadline of it all: names, TCP, proxy, TLS, handshake, redirects, a refusal's body, and the
    /// end of a connection that was refused.
    pub async fn connect(&self, url: &str) -> Result<Socket, ConnectError> {
        let deadline = Deadline::new(&self.endpoint.config);
        let mut journey = Journey::new(Target::parse(url)?);
        loop {
            let request = self.request(&journey)?;
            match self.attempt(&journey.target, request, &deadline).await {
                Err(ConnectError::Handshake(error, ending)) => {
                    let followed = journey.follow(&error, self.redirects);
                    if !followed.map_err(ConnectError::Redirect)? {
                        return Err(ConnectError::Handshake(error, ending));
                    }
                }
                other => return other,
            }
        }
    }

    /// Opens a WebSocket on a stream that the caller has connected: through a proxy of another
    /// kind, in memory, over another TLS library. The stream is used as it is: of the URL the
    /// request is made, and its scheme makes no TLS. Redirects are not followed.
    ///
    /// ```
    /// # async fn run() -> Result<(), adieu::ConnectError> {
    /// let (ours, theirs) = tokio::io::duplex(1024);
    /// # drop(theirs);
    /// let socket = adieu::Client::new().connect_with(ours, "ws://in.memory/chat").await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub async fn connect_with(
        &self,
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        url: &str,
    ) -> Result<Socket, ConnectError> {
        let deadline = Deadline::new(&self.endpoint.config);
        self.over(stream, url, &deadline).await
    }

    /// Connects to a Unix socket. The URL gives the request: `ws://localhost/chat`.
    ///
    /// # Errors
    /// As [`connect_with`](Self::connect_with); [`ConnectError::Io`] names the path.
    #[cfg(unix)]
    pub async fn connect_unix(
        &self,
        path: impl AsRef<std::path::Path>,
        url: &str,
    ) -> Result<Socket, ConnectError> {
        let deadline = Deadline::new(&self.endpoint.config);
        let path = path.as_ref();
        let named = |e: io::Error| io::Error::new(e.kind(), format!("{}: {e}", path.display()));
        let stream = async { tokio::net::UnixStream::connect(path).await.map_err(named) };
        let stream = deadline.within(stream, || format!("no answer from {}", path.display()));
        self.over(stream.await?, url, &deadline).await
    }

    async fn over(
        &self,
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        url: &str,
        deadline: &Deadline,
    ) -> Result<Socket, ConnectError> {
        let request = self.request(&Journey::new(Target::parse(url)?))?;
        self.open(AnyTransport::stream(stream), Peer::new(None), request, deadline).await
    }

    /// Whether a connection can be tried at all.
    #[cfg(feature = "session")]
    pub(crate) fn check(&self, url: &str) -> Result<(), ConnectError> {
        self.request(&Journey::new(Target::parse(url)?))?;
        Ok(())
    }

    /// A request that can be sent.
    fn request(&self, journey: &Journey) -> Result<ClientRequest, UsageError> {
        let target = &journey.target;
        let mut request = ClientRequest::new(target.authority(), target.path_and_query());
        let mut authorized = false;
        for (name, value) in self.headers.iter().filter(|(name, _)| journey.takes(name)) {
            authorized |= name.eq_ignore_ascii_case(AUTHORIZATION);
            request = request.header(name, value);
        }
        let basic = match &self.basic {
            Some(basic) if journey.takes(AUTHORIZATION) => {
                let named = |why| UsageError::Field { name: AUTHORIZATION.to_owned(), why };
                Some(basic.as_ref().map_err(|why| named(why))?)
            }
            _ => target.authorization.as_ref(),
        };
        if let Some(value) = basic.filter(|_| !authorized) {
            request = request.header(AUTHORIZATION, value);
        }
        let request = self.subprotocols.iter().fold(request, |r, name| r.subprotocol(name));
        request.check()?;
        Ok(request)
    }
}
