//! A refused request, as axum answers it.

use std::fmt;

use adieu_proto::HandshakeError;
use axum::body::Body;
use axum::response::{IntoResponse, Response};

use crate::hyper::Refused;

/// A refused request. As a response it is the HTTP response that says why.
///
/// [`Endpoint::on_end`](crate::Endpoint::on_end) hears of it when it becomes a response, or when it
/// is dropped; a request that asked for no WebSocket
/// ([`NotUpgrade`](HandshakeError::NotUpgrade)) and that you answer yourself is not told.
pub struct Refusal(Box<Refused>);

impl From<Box<Refused>> for Refusal {
    fn from(refused: Box<Refused>) -> Self {
        Refusal(refused)
    }
}

impl fmt::Debug for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Refusal").field(self.error()).finish()
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error().fmt(f)
    }
}

impl std::error::Error for Refusal {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(self.error())
    }
}

impl Refusal {
    /// Why it was refused.
    #[must_use]
    pub fn error(&self) -> &HandshakeError {
        self.0.error()
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        self.0.into_response().map(Body::new)
    }
}
