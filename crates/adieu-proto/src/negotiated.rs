//! What an opening handshake agreed on.

use crate::close::TransportKind;
use crate::version::Version;

/// What the opening handshake agreed on: one value from the handshake to the application's handle.
///
/// Of extensions (RFC 6455 §9) there is one, permessage-deflate, where the feature `deflate` is on.
///
/// ```
/// use adieu_proto::{Negotiated, Version};
/// let negotiated = Negotiated::new(Version::Rfc6455).subprotocol("chat.v1");
/// assert_eq!(negotiated.subprotocol.as_deref(), Some("chat.v1"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Negotiated {
    /// The version that is spoken.
    pub version: Version,
    /// The subprotocol, if one was agreed on (RFC 6455 §1.9).
    pub subprotocol: Option<String>,
    /// What carries the connection.
    pub transport: TransportKind,
    /// Whether the client's URL is `wss://`: hixie-76 repeats the URL. So it is over TLS, and where
    /// something in front of the server has TLS.
    pub secure: bool,
    /// How messages are compressed, if that was agreed on (RFC 7692).
    #[cfg(feature = "deflate")]
    pub deflate: Option<crate::PerMessageDeflate>,
}

impl Negotiated {
    /// This version, and no subprotocol, over TCP.
    #[must_use]
    pub fn new(version: Version) -> Self {
        Negotiated {
            version,
            subprotocol: None,
            transport: TransportKind::Tcp,
            secure: false,
            #[cfg(feature = "deflate")]
            deflate: None,
        }
    }

    /// With this subprotocol.
    #[must_use]
    pub fn subprotocol(mut self, name: impl Into<String>) -> Self {
        self.subprotocol = Some(name.into());
        self
    }

    /// With the compression that these settings accept of what a request offers.
    /// [`Connection::decide`](crate::Connection::decide) does this by itself; who answers the
    /// request in its place ([`accept_response`](crate::accept_response)) calls it.
    #[cfg(feature = "deflate")]
    #[must_use]
    pub fn compressed(mut self, request: &crate::Request, config: &crate::Config) -> Self {
        let options = config.deflate.as_ref().filter(|_| self.version == Version::Rfc6455);
        self.deflate = options.and_then(|options| crate::deflate::accept(request, options));
        self
    }

    /// Carried by this; over TLS the URL is `wss://`.
    #[must_use]
    pub fn over(mut self, transport: TransportKind) -> Self {
        self.secure |= transport == TransportKind::Tls;
        self.transport = transport;
        self
    }
}
