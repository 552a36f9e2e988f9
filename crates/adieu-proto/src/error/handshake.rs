//! Why an opening handshake may come to nothing.

use std::sync::Arc;
use std::{error, fmt};

use crate::error::TransportError;
use crate::handshake::Refusal;
use crate::version::Version;

/// Why an opening handshake came to nothing.
///
/// As a server each has the HTTP status of its refusal ([`status`](Self::status)).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HandshakeError {
    /// The deadline passed before the handshake was complete.
    TimedOut,
    /// The peer ended TCP before the handshake was complete.
    Incomplete,
    /// The peer reset TCP before the handshake was complete.
    Reset,
    /// The operating system gave up on the peer before the handshake was complete.
    Unreachable,
    /// The transport failed before the handshake was complete, and its error does not say how the
    /// peer ended.
    Failed,
    /// Our side dropped the connection before the handshake was complete.
    Abandoned,
    /// The server accepted the request through an HTTP library, and the library never handed the
    /// connection over: it was not asked to allow upgrades, its 101 was replaced, or it was shut
    /// down. What the peer did is not known.
    NotUpgraded,
    /// An HTTP library dropped the request while our application decided on it: the peer had left,
    /// or the library was shut down. Which of the two is not known.
    RequestDropped,
    /// Our application took a valid request from an HTTP library, and answered it in its own way:
    /// it neither opened the connection nor said that it refuses it.
    Declined,
    /// Not HTTP, or HTTP that breaks its grammar; says which part.
    BadHttp(&'static str),
    /// TLS failed, and why: no TLS at all, no common version, a certificate that has expired or
    /// was issued by nobody known, an alert of the peer, …
    Tls(TransportError),
    /// The head is longer than the limit in bytes.
    HeadTooLong(usize),
    /// The head has more fields than the limit.
    TooManyFields(usize),
    /// Only GET opens a WebSocket (RFC 6455 §4.1); hixie and hybi alike.
    Method,
    /// HTTP, but no request for a WebSocket.
    NotUpgrade,
    /// A required field is missing.
    Missing(&'static str),
    /// A field has a value that cannot be.
    BadField(&'static str),
    /// A field that may stand in a request once stands there twice (RFC 9112 §3.2 for Host,
    /// RFC 6455 §11.3 for those of the handshake).
    Repeated(&'static str),
    /// The request has a body: a Content-Length above 0, or a Transfer-Encoding. What follows the
    /// head of a request for a WebSocket are frames.
    Body,
    /// A version that is not served (or not switched on).
    Version(String),
    /// A version that is served by `adieu::Server` only: its clients compare the answer byte by
    /// byte, and the HTTP library that has read the request writes it in its own way.
    NotThroughHttp(Version),
    /// The hixie-76 challenge is not one: which rule of its draft it breaks.
    Challenge(&'static str),
    /// The nonce of this hixie-76 request is its body, and our application takes requests without
    /// their bodies.
    NonceInBody,
    /// More bytes came behind the request than may come before it is answered.
    UnexpectedBytes,
    /// The server's policy does not allow this Origin.
    Origin(String),
    /// Our application refused, with this status.
    Refused(u16),
    /// Our application's function that looks at requests panicked.
    Panicked,
    /// Our server is stopping.
    Draining,
    /// The server has as many connections as it may.
    Full,
    /// The peer's address has as many connections as one may have.
    TooManyFromAddress,
    /// What stands in front of the request is no PROXY header (version 2), though the peer is a
    /// proxy that has to send one; says which part of it is wrong.
    ProxyHeader(&'static str),
    /// The server answered our request with another status than 101 (client only).
    RefusedByServer(Arc<Refusal>),
    /// The server's answer does not fit our request: which field (client only).
    BadAnswer(&'static str),
}

impl HandshakeError {
    /// A short word for it that stays the same in all versions, for searches and for programs; the
    /// FAQ of the documentation (`docs/faq/`) has a heading for each.
    #[must_use]
    pub fn id(&self) -> &'static str {
        use HandshakeError as H;
        match self {
            H::TimedOut => "handshake-timed-out",
            H::Incomplete => "handshake-incomplete",
            H::Reset => "handshake-reset",
            H::Unreachable => "handshake-unreachable",
            H::Failed => "handshake-failed",
            H::Abandoned => "handshake-abandoned",
            H::NotUpgraded => "handshake-not-upgraded",
            H::RequestDropped => "handshake-request-dropped",
            H::Declined => "handshake-declined",
            H::BadHttp(_) => "handshake-bad-http",
            H::Tls(_) => "handshake-tls",
            H::HeadTooLong(_) => "handshake-head-too-long",
            H::TooManyFields(_) => "handshake-too-many-fields",
            H::Method => "handshake-method",
            H::NotUpgrade => "handshake-not-upgrade",
            H::Missing(_) => "handshake-missing-field",
            H::BadField(_) => "handshake-bad-field",
            H::Repeated(_) => "handshake-repeated-field",
            H::Body => "handshake-body",
            H::Version(_) => "handshake-version",
            H::NotThroughHttp(_) => "handshake-not-through-http",
            H::Challenge(_) => "handshake-challenge",
            H::NonceInBody => "handshake-nonce-in-body",
            H::UnexpectedBytes => "handshake-unexpected-bytes",
            H::Origin(_) => "handshake-origin",
            H::Refused(_) => "handshake-refused",
            H::Panicked => "handshake-panicked",
            H::Draining => "handshake-draining",
            H::Full => "handshake-full",
            H::TooManyFromAddress => "handshake-too-many-from-address",
            H::ProxyHeader(_) => "handshake-proxy-header",
            H::RefusedByServer(_) => "handshake-refused-by-server",
            H::BadAnswer(_) => "handshake-bad-answer",
        }
    }

    /// The HTTP status of the refusal, where there is still somebody to tell.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        use HandshakeError as H;
        match self {
            H::Incomplete | H::Reset | H::Unreachable | H::Failed | H::Abandoned => None,
            H::RequestDropped | H::Declined => None,
            H::NotUpgraded | H::Tls(_) | H::RefusedByServer(_) | H::BadAnswer(_) => None,
            H::ProxyHeader(_) => None,
            H::Full | H::Draining => Some(503),
            H::TooManyFromAddress => Some(429),
            H::TimedOut => Some(408),
            H::HeadTooLong(_) | H::TooManyFields(_) => Some(431),
            H::Method => Some(405),
            H::NotUpgrade | H::Version(_) => Some(426),
            H::Origin(_) => Some(403),
            H::Refused(status) => Some(*status),
            H::Panicked => Some(500),
            H::BadHttp(_)
            | H::NotThroughHttp(_)
            | H::Missing(_)
            | H::BadField(_)
            | H::Repeated(_)
            | H::Body
            | H::Challenge(_)
            | H::NonceInBody
            | H::UnexpectedBytes => Some(400),
        }
    }

    /// What the server answered instead of 101 (client only).
    #[must_use]
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            HandshakeError::RefusedByServer(refusal) => Some(refusal),
            _ => None,
        }
    }

    /// What a client, or its author, can do about a refusal: a sentence for the body of the answer.
    #[must_use]
    pub fn help(&self) -> &'static str {
        use HandshakeError as H;
        match self {
            H::TimedOut => "Send the whole request at once, as soon as the connection is there.",
            H::HeadTooLong(_) | H::TooManyFields(_) => {
                "Send fewer and shorter fields; cookies are the longest ones as a rule."
            }
            H::Method => "A WebSocket is opened with GET (RFC 6455 section 4.1).",
            H::NotUpgrade => {
                "This address serves WebSockets: connect to it with a WebSocket client. A proxy in \
                 between has to pass on the fields Upgrade and Connection."
            }
            H::Version(_) => "Ask for a version that the field Sec-WebSocket-Version names.",
            H::NotThroughHttp(_) => "Ask for a newer version.",
            H::Origin(_) => {
                "Open the connection from a page of an allowed origin, or have this origin allowed \
                 in the settings of the server."
            }
            H::Refused(_) => "The operator of this server knows what its application asks for.",
            H::Panicked => "The log of the server has the panic. Try again later.",
            H::Draining | H::Full => "Try again after the seconds that Retry-After names.",
            H::TooManyFromAddress => {
                "Close another connection, or try again after the seconds that Retry-After names."
            }
            H::BadHttp(_) => {
                "Send a request of HTTP/1.1 (RFC 9112). Is this the right port, and does the URL \
                 need wss:// or ws://?"
            }
            H::Missing("Connection: Upgrade") => {
                "Send the field. A proxy in between has to pass on the fields Upgrade and \
                 Connection."
            }
            H::Missing(_) | H::BadField(_) | H::Repeated(_) => {
                "Send the field once, with a value that is valid (RFC 9110 section 7.2 for Host, \
                 RFC 6455 section 4.1 for the others)."
            }
            H::Body | H::UnexpectedBytes => {
                "Send no body, no Content-Length and no Transfer-Encoding: frames follow the \
                 request, once it is answered."
            }
            H::NonceInBody => "Send a request of a newer version.",
            H::Challenge(_) => "The rules are in draft-ietf-hybi-thewebsocketprotocol-00, 5.2.",
            _ => "Try again later.",
        }
    }

    /// Who refused the request; `None` where nobody did: the peer or the transport ended it, or
    /// our side gave up.
    #[must_use]
    pub fn refused_by(&self) -> Option<RefusedBy> {
        use HandshakeError as H;
        match self {
            H::Refused(_) | H::Origin(_) | H::Declined => Some(RefusedBy::Application),
            H::Panicked => Some(RefusedBy::Panic),
            H::Draining => Some(RefusedBy::Drain),
            H::Full | H::TooManyFromAddress => Some(RefusedBy::Limit),
            H::RefusedByServer(_) => Some(RefusedBy::Server),
            H::Incomplete | H::Reset | H::Unreachable | H::Failed | H::Abandoned => None,
            H::NotUpgraded | H::RequestDropped | H::TimedOut => None,
            _ => Some(RefusedBy::Protocol),
        }
    }
}

/// Who refused an opening handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RefusedBy {
    /// Our application: its function that looks at requests, or its Origin policy.
    Application,
    /// Our application's function panicked.
    Panic,
    /// A limit on the number of connections.
    Limit,
    /// Our server, because it is stopping.
    Drain,
    /// The rules of the protocol: HTTP, TLS, PROXY or WebSocket.
    Protocol,
    /// The server that we asked, as a client.
    Server,
}

impl fmt::Display for RefusedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            RefusedBy::Application => "the application",
            RefusedBy::Panic => "a panic of the application",
            RefusedBy::Limit => "a limit",
            RefusedBy::Drain => "a server that is stopping",
            RefusedBy::Protocol => "the protocol",
            RefusedBy::Server => "the server",
        })
    }
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use HandshakeError as H;
        match self {
            H::TimedOut => f.write_str("the opening handshake was not finished in time"),
            H::Incomplete => f.write_str("the peer ended TCP before the handshake was complete"),
            H::Reset => f.write_str("the peer reset TCP before the handshake was complete"),
            H::Unreachable => f.write_str(
                "the operating system gave up on the peer before the handshake was complete",
            ),
            H::Failed => f.write_str("the transport failed before the handshake was complete"),
            H::Abandoned => f.write_str("we gave up before the handshake was complete"),
            H::NotUpgraded => f.write_str(
                "the HTTP library accepted the upgrade and never handed the connection over (hyper \
                 needs `with_upgrades`; a middleware must not replace the 101)",
            ),
            H::RequestDropped => f.write_str(
                "the HTTP library dropped the request before it was decided: the peer had left, \
                 or the library was shut down",
            ),
            H::Declined => f.write_str("the application answered the request in its own way"),
            H::BadHttp(part) => write!(f, "the peer does not speak HTTP/1.1: bad {part}"),
            H::Tls(error) => write!(f, "the TLS handshake failed: {error}"),
            H::HeadTooLong(limit) => write!(f, "the head is longer than {limit} bytes"),
            H::TooManyFields(limit) => write!(f, "the head has more than {limit} fields"),
            H::Method => f.write_str("the method is not GET"),
            H::NotUpgrade => f.write_str("the request does not ask for a WebSocket"),
            H::Missing(field) => write!(f, "the field {field} is missing"),
            H::BadField(field) => write!(f, "the field {field} has an invalid value"),
            H::Repeated(field) => write!(f, "the field {field} stands there more than once"),
            H::Body => f.write_str("the request has a body (Content-Length, Transfer-Encoding)"),
            H::Version(version) => {
                write!(f, "WebSocket version {version} is not served here")
            }
            H::NotThroughHttp(version) => write!(
                f,
                "{version} needs adieu::Server: its clients compare the answer byte by byte, and \
                 here an HTTP library writes it"
            ),
            H::Challenge(rule) => write!(f, "the hixie-76 challenge is wrong: {rule}"),
            H::NonceInBody => f.write_str(
                "the nonce of this hixie-76 request is its body, which is not read here (in axum: \
                 LegacyWebSocketUpgrade reads it)",
            ),
            H::UnexpectedBytes => f.write_str("too many bytes follow the request"),
            H::Origin(origin) => write!(f, "the origin {origin:?} is not allowed"),
            H::Full => f.write_str("the server has as many connections as it may have"),
            H::TooManyFromAddress => {
                f.write_str("the peer's address has as many connections as one may have")
            }
            H::ProxyHeader(part) => {
                write!(f, "the proxy sent no PROXY header of version 2: bad {part}")
            }
            H::Refused(status) => write!(f, "the application refused with status {status}"),
            H::Panicked => {
                f.write_str("the application's function that looks at requests panicked")
            }
            H::Draining => f.write_str("the server is stopping"),
            H::RefusedByServer(refusal) => {
                write!(f, "the server answered with status {refusal}")
            }
            H::BadAnswer(field) => {
                write!(f, "the server's answer does not fit the request: {field}")
            }
        }
    }
}

impl error::Error for HandshakeError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            HandshakeError::Tls(error) => error.source(),
            _ => None,
        }
    }
}
