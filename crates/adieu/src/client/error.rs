//! Why no connection came about.

use std::sync::Arc;
use std::{fmt, io};

use adieu_proto::{Ending, HandshakeError, Refusal, UsageError};

use super::url::UrlError;

/// Why no connection came about.
#[derive(Debug)]
#[non_exhaustive]
pub enum ConnectError {
    /// The URL is not one of a WebSocket.
    Url(UrlError),
    /// The request cannot be sent.
    Usage(UsageError),
    /// No TCP connection: the name was not found, or no address answered. Each address that was
    /// tried is named with its error.
    Io(io::Error),
    /// TLS could not be begun: the system has no root certificates, or no cryptography is there.
    /// What fails in its handshake is [`HandshakeError::Tls`].
    Tls(io::Error),
    /// The proxy made no tunnel.
    Proxy(ProxyError),
    /// A redirect was not followed.
    Redirect(RedirectError),
    /// The server did not agree; the report says how that ended.
    Handshake(HandshakeError, Box<Ending>),
}

/// Why a proxy made no tunnel.
#[derive(Debug)]
#[non_exhaustive]
pub enum ProxyError {
    /// The proxy's URL cannot be used; says why.
    Url(String),
    /// The proxy could not be reached, or ended the connection before it had answered.
    Io(io::Error),
    /// The proxy's answer is no HTTP, or is too long.
    Answer(HandshakeError),
    /// Bytes came with the proxy's answer before anything was asked of the server, which speaks
    /// second in a WebSocket.
    UnexpectedBytes,
    /// The proxy refused, with this answer.
    Refused(Box<Refusal>),
}

/// Why a redirect was not followed.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RedirectError {
    pub(super) why: RedirectProblem,
    pub(super) refusal: Arc<Refusal>,
}

#[derive(Clone, Debug)]
pub(super) enum RedirectProblem {
    TooMany(usize),
    Loop(String),
    Insecure(String),
    Location(UrlError),
}

impl ConnectError {
    /// A short word for it that stays the same in all versions, for searches and for programs; the
    /// FAQ of the documentation (`docs/faq/`) has a heading for each.
    ///
    /// ```
    /// # async fn run() {
    /// let error = adieu::connect("http//localhost").await.unwrap_err();
    /// assert_eq!(error.id(), "connect-url");
    /// # }
    /// ```
    #[must_use]
    pub fn id(&self) -> &'static str {
        match self {
            ConnectError::Url(_) => "connect-url",
            ConnectError::Usage(error) => error.id(),
            ConnectError::Io(_) => "connect-unreached",
            ConnectError::Tls(_) => "connect-tls",
            ConnectError::Proxy(error) => error.id(),
            ConnectError::Redirect(error) => error.id(),
            ConnectError::Handshake(error, _) => error.id(),
        }
    }

    /// What the server answered instead of 101: status, fields, and up to
    /// [`MAX_REFUSAL_BODY`](crate::defaults::MAX_REFUSAL_BODY) bytes of the body. For a redirect
    /// that was not followed it is the redirect. That of a proxy is in [`ProxyError::Refused`].
    ///
    /// ```no_run
    /// # async fn run() {
    /// let error = adieu::connect("ws://127.0.0.1:9001/").await.unwrap_err();
    /// if let Some(refusal) = error.refusal() {
    ///     println!("{refusal}: {}, {:?}", refusal.body_text(), refusal.header("Retry-After"));
    /// }
    /// # }
    /// ```
    #[must_use]
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            ConnectError::Handshake(error, _) => error.refusal(),
            ConnectError::Redirect(error) => Some(&error.refusal),
            _ => None,
        }
    }

    /// Whether the deadline passed.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        match self {
            ConnectError::Io(error)
            | ConnectError::Tls(error)
            | ConnectError::Proxy(ProxyError::Io(error)) => error.kind() == io::ErrorKind::TimedOut,
            ConnectError::Handshake(error, _) => *error == HandshakeError::TimedOut,
            _ => false,
        }
    }
}

impl ProxyError {
    /// The same as [`ConnectError::id`].
    #[must_use]
    pub fn id(&self) -> &'static str {
        match self {
            ProxyError::Url(_) => "proxy-url",
            ProxyError::Io(_) => "proxy-unreached",
            ProxyError::Answer(_) => "proxy-answer",
            ProxyError::UnexpectedBytes => "proxy-unexpected-bytes",
            ProxyError::Refused(_) => "proxy-refused",
        }
    }
}

impl RedirectError {
    /// The same as [`ConnectError::id`].
    #[must_use]
    pub fn id(&self) -> &'static str {
        match self.why {
            RedirectProblem::TooMany(_) => "redirect-too-many",
            RedirectProblem::Loop(_) => "redirect-loop",
            RedirectProblem::Insecure(_) => "redirect-insecure",
            RedirectProblem::Location(_) => "redirect-location",
        }
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConnectError::Url(error) => error.fmt(f),
            ConnectError::Usage(error) => error.fmt(f),
            ConnectError::Io(error) => write!(f, "cannot connect: {error}"),
            ConnectError::Tls(error) => write!(f, "cannot begin TLS: {error}"),
            ConnectError::Proxy(error) => error.fmt(f),
            ConnectError::Redirect(error) => error.fmt(f),
            ConnectError::Handshake(error, _) => error.fmt(f),
        }
    }
}

impl fmt::Display for ProxyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ProxyError::Url(why) => write!(
                f,
                "the proxy's URL cannot be used: {why}; it should look like http://host:port"
            ),
            ProxyError::Io(error) => write!(f, "no tunnel through the proxy: {error}"),
            ProxyError::Answer(error) => write!(f, "the proxy's answer cannot be read: {error}"),
            ProxyError::UnexpectedBytes => f.write_str(
                "bytes came through the proxy before anything was asked: whoever is at the other \
                 end is no server of WebSockets",
            ),
            ProxyError::Refused(refusal) => {
                write!(f, "the proxy refused the tunnel with status {refusal}")
            }
        }
    }
}

impl fmt::Display for RedirectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.why {
            RedirectProblem::TooMany(max) => {
                write!(f, "the server redirects more than {max} times")
            }
            RedirectProblem::Loop(to) => write!(f, "the server redirects in a circle, to {to}"),
            RedirectProblem::Insecure(to) => {
                write!(f, "the server redirects from TLS to {to}, which has none")
            }
            RedirectProblem::Location(error) => {
                write!(f, "the server redirects to what cannot be followed: {error}")
            }
        }
    }
}

impl std::error::Error for ProxyError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ProxyError::Io(error) => error.source(),
            ProxyError::Answer(error) => error.source(),
            ProxyError::Url(_) | ProxyError::Refused(_) | ProxyError::UnexpectedBytes => None,
        }
    }
}

impl std::error::Error for RedirectError {}

impl std::error::Error for ConnectError {
    /// What explains it: the error of the operating system, or of TLS.
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ConnectError::Url(_) | ConnectError::Redirect(_) => None,
            ConnectError::Usage(error) => error.source(),
            ConnectError::Io(error) | ConnectError::Tls(error) => error.source(),
            ConnectError::Proxy(error) => error.source(),
            ConnectError::Handshake(error, ending) => {
                let explains = ending.error.as_ref().map(|error| error as _);
                error.source().or(explains)
            }
        }
    }
}

/// For functions that return [`std::io::Result`], such as a `main` that also serves. The whole
/// [`ConnectError`] is in it ([`io::Error::get_ref`]), and so is its kind: that of the operating
/// system's error, `TimedOut` when the deadline passed, `InvalidInput` for a wrong URL or request.
impl From<ConnectError> for io::Error {
    fn from(error: ConnectError) -> Self {
        let kind = match &error {
            ConnectError::Io(error)
            | ConnectError::Tls(error)
            | ConnectError::Proxy(ProxyError::Io(error)) => error.kind(),
            ConnectError::Url(_) | ConnectError::Usage(_) => io::ErrorKind::InvalidInput,
            _ if error.is_timeout() => io::ErrorKind::TimedOut,
            _ => io::ErrorKind::Other,
        };
        io::Error::new(kind, error)
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

impl From<UrlError> for ConnectError {
    fn from(error: UrlError) -> Self {
        ConnectError::Url(error)
    }
}

impl From<ProxyError> for ConnectError {
    fn from(error: ProxyError) -> Self {
        ConnectError::Proxy(error)
    }
}
