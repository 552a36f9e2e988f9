//! What is known of each HTTP request, whatever it asks for: its id, and, in the log, why it was
//! refused.

mod id;
mod refusal;

use std::net::SocketAddr;

use axum::http::{HeaderValue, Method, Uri};
use axum::response::Response;

pub(crate) use id::REQUEST_ID;
use id::RequestIds;
use refusal::Log;
pub(crate) use refusal::{Kind, Refusal};

/// Gives requests their ids, and logs those that are refused.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    ids: RequestIds,
    log: Log,
}

/// What is known of a request when it is answered.
#[derive(Debug)]
pub(crate) struct Asked {
    id: HeaderValue,
    method: Method,
    uri: Uri,
    peer: Option<SocketAddr>,
}

impl Requests {
    /// A request of this peer. It has an id from now on, which those see that answer it.
    pub(crate) fn asked<B>(
        &self,
        request: &mut axum::http::Request<B>,
        peer: Option<SocketAddr>,
    ) -> Asked {
        let id = self.ids.of(request.headers_mut());
        Asked { id, method: request.method().clone(), uri: request.uri().clone(), peer }
    }

    /// Its answer: it has the id, and a refusal is logged.
    pub(crate) fn answered(&self, asked: &Asked, response: &mut Response) {
        response.headers_mut().insert(REQUEST_ID, asked.id.clone());
        if let Some(refusal) = Refusal::of(response, asked.uri.path()) {
            self.log.request(&refusal, response.status(), asked);
        }
    }

    /// Something was refused that has no answer of its own: a connection, or a session.
    pub(crate) fn refused(&self, refusal: &Refusal, peer: Option<SocketAddr>, id: Option<&str>) {
        self.log.other(refusal, peer, id);
    }
}
