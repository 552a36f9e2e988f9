//! WebSockets inside an axum application: an extractor, with the driver, the defaults and the
//! exact [`Ending`](crate::Ending) of the rest of the crate.
//!
//! What [`crate::hyper`] says of versions and limits holds here as well.

use std::convert::Infallible;
use std::sync::Arc;

use adieu_proto::{HandshakeError, Request, VersionSet};
use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts};
use axum::response::{IntoResponse, Response};

use crate::endpoint::Endpoint;
use crate::hyper::{Upgrade, refusal};
use crate::server::Handler;

/// A request that may become a WebSocket. As the last argument of an axum handler:
///
/// ```
/// use adieu::{Closed, Socket, axum::WebSocketUpgrade};
/// use axum::{Router, response::Response, routing::get};
///
/// async fn echo(mut socket: Socket) -> Result<(), Closed> {
///     while let Some(message) = socket.recv().await {
///         socket.send(message).await?;
///     }
///     Ok(())
/// }
///
/// async fn ws(upgrade: WebSocketUpgrade) -> Response {
///     upgrade.run(echo)
/// }
/// # let _: Router = Router::new().route("/ws", get(ws));
/// ```
///
/// Settings ([`Endpoint`]: limits, subprotocols, Origin policy, `on_end`, drain) are given to a
/// router with [`Endpoint`] as an [`Extension`](axum::Extension):
/// `.layer(axum::Extension(Arc::new(endpoint)))`.
#[derive(Debug)]
pub struct WebSocketUpgrade {
    upgrade: Upgrade,
}

/// A refused request. As a response it is the HTTP answer that says why.
#[derive(Debug)]
pub struct Refusal {
    error: HandshakeError,
    served: VersionSet,
}

impl Refusal {
    /// Why it was refused.
    #[must_use]
    pub fn error(&self) -> &HandshakeError {
        &self.error
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        refusal(&self.error, self.served).map(Body::new)
    }
}

impl<S: Send + Sync> FromRequest<S> for WebSocketUpgrade {
    type Rejection = Refusal;

    async fn from_request(request: axum::extract::Request, state: &S) -> Result<Self, Refusal> {
        let (mut parts, body) = request.into_parts();
        let endpoint = match settings(&mut parts, state).await {
            Ok(Some(endpoint)) => endpoint,
            _ => Arc::default(),
        };
        let served = endpoint.config.versions;
        let request = axum::extract::Request::from_parts(parts, body);
        match Upgrade::judge(request, endpoint).await {
            Ok(upgrade) => Ok(WebSocketUpgrade { upgrade }),
            Err(error) => Err(Refusal { error, served }),
        }
    }
}

async fn settings<S: Send + Sync>(
    parts: &mut http::request::Parts,
    state: &S,
) -> Result<Option<Arc<Endpoint>>, Infallible> {
    let extension = axum::Extension::<Arc<Endpoint>>::from_request_parts(parts, state).await;
    Ok(extension.ok().map(|axum::Extension(endpoint)| endpoint))
}

impl WebSocketUpgrade {
    /// Says that the connection is TLS: hixie-76 repeats the URL with its scheme.
    #[must_use]
    pub fn secure(self, tls: bool) -> Self {
        WebSocketUpgrade { upgrade: self.upgrade.secure(tls) }
    }

    /// Agrees on this subprotocol, if the client has offered it, whatever the [`Endpoint`] says.
    #[must_use]
    pub fn subprotocol(self, name: &str) -> Self {
        WebSocketUpgrade { upgrade: self.upgrade.subprotocol(name) }
    }

    /// The request.
    #[must_use]
    pub fn request(&self) -> Option<&Request> {
        self.upgrade.request()
    }

    /// The client that sent the request, as far as it is known before the 101.
    #[must_use]
    pub fn peer(&self) -> crate::Peer {
        self.upgrade.peer()
    }

    /// Gives the 101; when it has been sent, runs the handler in a task of its own.
    pub fn run(self, handler: impl Handler) -> Response {
        self.upgrade.run(handler).map(Body::new)
    }
}
