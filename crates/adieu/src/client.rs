//! The client: [`connect`].

use std::sync::Arc;
use std::{fmt, io};

use adieu_proto::{
    Cause, ClientRequest, Config, Connection, Ending, HandshakeError, Scratch, UsageError,
};
use tokio::net::TcpStream;

use crate::endpoint::Endpoint;
use crate::link::{Driver, Link};
use crate::now;
use crate::peer::Peer;
use crate::socket::Socket;
use crate::transport::{AnyTransport, Options, Tcp};

/// Why no connection came about.
#[derive(Debug)]
#[non_exhaustive]
pub enum ConnectError {
    /// The URL is not one of a WebSocket.
    Url(String),
    /// The request cannot be sent.
    Usage(UsageError),
    /// No TCP (or TLS) connection.
    Io(io::Error),
    /// The server did not agree; the report says how that ended.
    Handshake(HandshakeError, Box<Ending>),
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConnectError::Url(url) => write!(
                f,
                "{url:?} is not the URL of a WebSocket; it should look like ws://host:port/path{}",
                if cfg!(feature = "tls") { " or wss://host/path" } else { "" }
            ),
            ConnectError::Usage(error) => error.fmt(f),
            ConnectError::Io(error) => write!(f, "cannot connect: {error}"),
            ConnectError::Handshake(error, _) => error.fmt(f),
        }
    }
}

impl std::error::Error for ConnectError {
    /// What explains it: the error of the operating system, or of TLS.
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ConnectError::Url(_) => None,
            ConnectError::Usage(error) => error.source(),
            ConnectError::Io(error) => error.source(),
            ConnectError::Handshake(error, ending) => {
                let explains = ending.error.as_ref().map(|error| error as _);
                error.source().or(explains)
            }
        }
    }
}

impl From<io::Error> for ConnectError {
    fn from(error: io::Error) -> Self {
        ConnectError::Io(error)
    }
}

impl From<UsageError> for ConnectError {
    fn from(error: UsageError) -> Self {
        ConnectError::Usage(error)
    }
}

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
    subprotocols: Vec<String>,
    #[cfg(feature = "tls")]
    tls: Option<Arc<rustls::ClientConfig>>,
}

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
    /// The defaults: no fields of its own, no subprotocol.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Limits and time-outs.
    #[must_use]
    pub fn config(mut self, config: Config) -> Self {
        self.endpoint = self.endpoint.config(config);
        self
    }

    /// Adds a field to the request.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Offers a subprotocol, behind those offered before.
    #[must_use]
    pub fn subprotocol(mut self, name: impl Into<String>) -> Self {
        self.subprotocols.push(name.into());
        self
    }

    /// The TLS configuration for `wss://`; the default trusts the system's roots.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls(mut self, config: Arc<rustls::ClientConfig>) -> Self {
        self.tls = Some(config);
        self
    }

    /// Connects.
    ///
    /// # Errors
    /// A [`ConnectError`] that says what was wrong. The deadline is
    /// [`Config::handshake_timeout`], TCP included.
    pub async fn connect(&self, url: &str) -> Result<Socket, ConnectError> {
        let started = now();
        let url = Url::parse(url)?;
        let request = self.request(&url);
        request.check()?;
        let timeout = self.endpoint.config.handshake_timeout;
        let tcp = tokio::time::timeout(timeout, TcpStream::connect((url.host, url.port)));
        let tcp = tcp.await.map_err(|_| {
            let text = format!("no answer within {} s", timeout.as_secs_f64());
            io::Error::new(io::ErrorKind::TimedOut, text)
        })??;
        Options::of(&self.endpoint.config).set(&tcp)?;
        let peer = Peer::new(tcp.peer_addr().ok());
        let transport = self.transport(tcp, &url)?;
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(io::Error::from)?;
        let config = self.endpoint.config.clone();
        let scratch = &mut Scratch::default();
        let connection = Connection::client(started, config, request, seed, scratch)?;
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

    /// Whether a connection can be tried at all.
    #[cfg(feature = "session")]
    pub(crate) fn check(&self, url: &str) -> Result<(), ConnectError> {
        Ok(self.request(&Url::parse(url)?).check()?)
    }

    fn request(&self, url: &Url<'_>) -> ClientRequest {
        let request = ClientRequest::new(url.authority, url.target.clone());
        let request = self.headers.iter().fold(request, |r, (name, value)| r.header(name, value));
        self.subprotocols.iter().fold(request, |r, name| r.subprotocol(name))
    }

    #[cfg(feature = "tls")]
    fn transport(&self, tcp: TcpStream, url: &Url<'_>) -> Result<AnyTransport, ConnectError> {
        if !url.secure {
            return Ok(AnyTransport::Tcp(Tcp::new(tcp)));
        }
        let config = match &self.tls {
            Some(config) => config.clone(),
            None => crate::tls::client_config()?,
        };
        let name = url.host.to_owned().try_into();
        let name = name.map_err(|_| ConnectError::Url(url.authority.to_owned()))?;
        let tls = crate::tls::TlsStream::connect(tcp, config, name)?;
        Ok(AnyTransport::Tls(Box::new(tls)))
    }

    #[cfg(not(feature = "tls"))]
    #[allow(clippy::unused_self, clippy::unnecessary_wraps, reason = "with TLS it needs both")]
    fn transport(&self, tcp: TcpStream, _url: &Url<'_>) -> Result<AnyTransport, ConnectError> {
        Ok(AnyTransport::Tcp(Tcp::new(tcp)))
    }
}

/// A WebSocket URL (RFC 6455 §3): `ws://host[:port][/path][?query]`.
#[derive(Debug, PartialEq, Eq)]
struct Url<'a> {
    secure: bool,
    /// Host and port as given, for the `Host` field.
    authority: &'a str,
    host: &'a str,
    port: u16,
    target: String,
}

impl<'a> Url<'a> {
    fn parse(url: &'a str) -> Result<Self, ConnectError> {
        Self::split(url).ok_or_else(|| ConnectError::Url(url.to_owned()))
    }

    fn split(url: &'a str) -> Option<Self> {
        let (scheme, rest) = url.split_once("://")?;
        let secure = match scheme.to_ascii_lowercase().as_str() {
            "ws" => false,
            "wss" if cfg!(feature = "tls") => true,
            _ => return None,
        };
        // §3: a fragment is not allowed; user information is not part of the scheme.
        if rest.contains(['#', '@']) {
            return None;
        }
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(end);
        let target = if target.starts_with('/') { target.to_owned() } else { format!("/{target}") };
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !host.ends_with(':') && !port.contains(']') => {
                (host, port.parse().ok()?)
            }
            _ => (authority, if secure { 443 } else { 80 }),
        };
        let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
        (!host.is_empty()).then_some(Url { secure, authority, host, port, target })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_split_as_the_rfc_says() {
        let url = |text| Url::split(text).map(|u| (u.host, u.port, u.target));
        assert_eq!(url("ws://a"), Some(("a", 80, "/".into())));
        assert_eq!(url("ws://a:8080/x?y"), Some(("a", 8080, "/x?y".into())));
        assert_eq!(url("WS://a?y"), Some(("a", 80, "/?y".into())));
        assert_eq!(url("ws://[::1]:81/"), Some(("::1", 81, "/".into())));
        assert_eq!(url("ws://[::1]/"), Some(("::1", 80, "/".into())));
        for bad in ["http://a", "ws:/a", "ws://", "ws://a:b/", "ws://a/#f", "ws://u@a/", "a"] {
            assert_eq!(url(bad), None, "{bad}");
        }
    }
}
