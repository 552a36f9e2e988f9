//! A request that is refused: the HTTP response that says why, and its report.

use adieu_proto::{HandshakeError, Response};
use bytes::Bytes;
use http::header::HeaderName;
use http_body_util::Full;

use super::report::Report;
use crate::accept::{self, Refusal};

/// A request that was refused. It is reported when its response is made. Dropped without that it is
/// reported as well, unless it asked for no WebSocket at all: then the application has answered it
/// as the ordinary request that it is.
pub(crate) struct Refused {
    error: HandshakeError,
    /// The application's own response.
    own: Option<Refusal>,
    report: Report,
}

impl Refused {
    pub(super) fn new(error: HandshakeError, report: Report) -> Self {
        Refused { error, own: None, report }
    }

    /// By the application, with a response of its own.
    pub(super) fn with(response: Refusal, report: Report) -> Self {
        let (error, response) = accept::checked(response);
        Refused { error, own: Some(response), report }
    }

    #[cfg(feature = "axum")]
    pub(crate) fn error(&self) -> &HandshakeError {
        &self.error
    }

    /// Its response; this is when it is reported.
    pub(crate) fn into_response(mut self) -> hyper::Response<Full<Bytes>> {
        self.report.tell(self.error.clone(), None);
        if let Some(own) = self.own.take() {
            return own.map(Full::new);
        }
        let refusal = Response::refusal(&self.error, self.report.served);
        let mut response = refusal
            .map_or_else(|| hyper::Response::new(Full::default()), |answer| response(&answer));
        // For those that log what they answer.
        response.extensions_mut().insert(self.error.clone());
        response
    }
}

impl Drop for Refused {
    fn drop(&mut self) {
        match self.error {
            HandshakeError::NotUpgrade => self.report.is_not_needed(),
            _ => self.report.tell(self.error.clone(), None),
        }
    }
}

/// A response of the protocol as hyper sends it.
pub(super) fn response(answer: &Response) -> hyper::Response<Full<Bytes>> {
    let mut response = hyper::Response::new(Full::from(answer.body.clone()));
    *response.status_mut() = http::StatusCode::from_u16(answer.status).unwrap_or_default();
    for (name, value) in &answer.fields {
        let name = HeaderName::from_bytes(name.as_bytes());
        let value = http::HeaderValue::from_str(value);
        // A value of the request that hyper let in can be sent out as well.
        if let (Ok(name), Ok(value)) = (name, value) {
            response.headers_mut().append(name, value);
        }
    }
    response
}
