//! Errors by blame: the peer's ([`ProtocolError`], [`HandshakeError`]), the caller's
//! ([`UsageError`]) and the transport's ([`TransportError`]). How a connection ended is no error:
//! that is [`Ending`](crate::Ending).

mod handshake;
mod protocol;
mod transport;
mod usage;

pub use handshake::{HandshakeError, RefusedBy};
pub use protocol::ProtocolError;
pub use transport::TransportError;
pub use usage::UsageError;
