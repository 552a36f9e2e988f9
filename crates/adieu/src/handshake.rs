//! What the application sees of an opening handshake before it decides.

use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use adieu_proto::{HandshakeError, Request, Version};
use bytes::Bytes;
use http::{HeaderValue, Uri};

use crate::accept::Accept;
use crate::peer::Peer;

/// A valid request for a WebSocket, before it is decided on: what
/// [`Endpoint::on_handshake`](crate::Endpoint::on_handshake) is given.
pub struct Handshake {
    request: http::Request<()>,
    asked: Request,
    peer: Peer,
    version: Version,
    #[cfg(feature = "tls")]
    tls: Option<crate::tls::TlsInfo>,
}

impl fmt::Debug for Handshake {
    /// Method and path; fields may hold cookies and do not belong in a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Handshake({:?} of {})", self.asked, self.peer)
    }
}

impl Handshake {
    /// Of a request whose head an HTTP library has parsed.
    #[cfg(feature = "hyper")]
    pub(crate) fn of_parts(
        parts: &http::request::Parts,
        asked: Request,
        peer: Peer,
        version: Version,
    ) -> Self {
        let request = http::Request::from_parts(parts.clone(), ());
        Handshake {
            #[cfg(feature = "tls")]
            tls: parts.extensions.get().cloned(),
            request,
            asked,
            peer,
            version,
        }
    }

    /// Of a request that we have read ourselves.
    ///
    /// # Errors
    /// If its target is no URI.
    pub(crate) fn new(
        asked: Request,
        peer: Peer,
        version: Version,
    ) -> Result<Self, HandshakeError> {
        let request = to_http(&asked)?;
        Ok(Handshake {
            request,
            asked,
            peer,
            version,
            #[cfg(feature = "tls")]
            tls: None,
        })
    }

    #[cfg(feature = "tls")]
    pub(crate) fn over_tls(mut self, tls: Option<crate::tls::TlsInfo>) -> Self {
        self.tls = tls;
        self
    }

    /// The request. Through hyper and axum its extensions are there too, with what middleware has
    /// left in them.
    #[must_use]
    pub fn request(&self) -> &http::Request<()> {
        &self.request
    }

    /// The request, to keep.
    #[must_use]
    pub fn into_request(self) -> http::Request<()> {
        self.request
    }

    /// The value of the first field of this name, if it is text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.request.headers().get(name)?.to_str().ok()
    }

    /// The value of the cookie of this name, as it was sent (RFC 6265 §4.2.1); of several the
    /// first.
    #[must_use]
    pub fn cookie(&self, name: &str) -> Option<&str> {
        self.asked.cookie(name)
    }

    /// The client, as far as it is known (see [`PeerAddr`](crate::hyper::PeerAddr) for hyper).
    #[must_use]
    pub fn peer(&self) -> Peer {
        self.peer
    }

    /// The version that the client asked for.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// The subprotocols that the client offers, in its order of preference.
    pub fn subprotocols(&self) -> impl Iterator<Item = &str> {
        self.asked.subprotocols()
    }

    /// What TLS knows of the connection: server name, ALPN, the client's certificates. `None`
    /// without TLS, and behind a proxy that ends it. In a hyper or axum application it is what the
    /// application has left as [`TlsInfo`](crate::tls::TlsInfo) in the request's extensions.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls(&self) -> Option<&crate::tls::TlsInfo> {
        self.tls.as_ref()
    }
}

fn to_http(asked: &Request) -> Result<http::Request<()>, HandshakeError> {
    let uri: Uri = asked.target().parse().map_err(|_| HandshakeError::BadHttp("target"))?;
    let mut request = http::Request::new(());
    *request.uri_mut() = uri;
    for (name, value) in asked.fields() {
        // httparse lets in what RFC 9110 lets in, as these do.
        let name = http::HeaderName::from_bytes(name);
        let value = HeaderValue::from_bytes(value);
        let (Ok(name), Ok(value)) = (name, value) else {
            return Err(HandshakeError::BadHttp("field"));
        };
        request.headers_mut().append(name, value);
    }
    Ok(request)
}

/// What the application has decided.
pub(crate) type Decided = Result<Accept, http::Response<Bytes>>;

/// A decision under way.
pub(crate) type Deciding = Pin<Box<dyn Future<Output = Decided> + Send>>;

/// The application's function that decides.
pub(crate) type OnHandshake = dyn Fn(Handshake) -> Deciding + Send + Sync;

/// Asks the application.
///
/// # Errors
/// Its function has panicked.
pub(crate) fn ask(on: &OnHandshake, handshake: Handshake) -> Result<Deciding, HandshakeError> {
    catch_unwind(AssertUnwindSafe(|| on(handshake))).map_err(|_| HandshakeError::Panicked)
}

/// What it says, or that it has panicked; then it is not to be asked again.
pub(crate) fn poll_decision(
    deciding: &mut Deciding,
    cx: &mut Context<'_>,
) -> Poll<Result<Decided, HandshakeError>> {
    match catch_unwind(AssertUnwindSafe(|| deciding.as_mut().poll(cx))) {
        Ok(decided) => decided.map(Ok),
        Err(_) => Poll::Ready(Err(HandshakeError::Panicked)),
    }
}
