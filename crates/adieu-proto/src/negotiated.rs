//! What an opening handshake agreed on.

use crate::close::TransportKind;
use crate::version::Version;

/// What the opening handshake agreed on: one value from the handshake to the application's handle.
///
/// No extension (RFC 6455 §9) is offered or accepted by this crate, so none is in it.
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
}

impl Negotiated {
    /// This version, and no subprotocol, over TCP.
    #[must_use]
    pub fn new(version: Version) -> Self {
        Negotiated { version, subprotocol: None, transport: TransportKind::Tcp, secure: false }
    }

    /// With this subprotocol.
    #[must_use]
    pub fn subprotocol(mut self, name: impl Into<String>) -> Self {
        self.subprotocol = Some(name.into());
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
