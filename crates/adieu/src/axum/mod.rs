//! WebSockets inside an axum application: extractors, with the driver, the defaults and the
//! exact [`Ending`](crate::Ending) of the rest of the crate.
//!
//! What [`crate::hyper`] says of versions and limits holds here as well.
//!
//! # Coming from `axum::extract::ws`
//! - `ws.on_upgrade(handler)` is [`run`](WebSocketUpgrade::run).
//! - `ws.protocols(["a", "b"])` is [`subprotocols`](WebSocketUpgrade::subprotocols), or for a whole
//!   router [`Endpoint::subprotocols`].
//! - `ws.selected_protocol()` is
//!   [`selected_subprotocol`](WebSocketUpgrade::selected_subprotocol), and later
//!   [`Socket::subprotocol`](crate::Socket::subprotocol).
//! - `ws.on_failed_upgrade(f)` is [`Endpoint::on_end`], which hears of every refusal and failure.
//! - `ws.max_message_size(n)` and the other limits are [`Endpoint::config`].
//! - A task that goes on with the socket when its handler has returned: the handler returns
//!   [`Detached`](crate::Detached).

mod refusal;

use std::convert::Infallible;
use std::sync::Arc;

use adieu_proto::Request;
use axum::body::Body;
use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use axum::response::Response;
use http::request::Parts;

use crate::accept::Accept;
use crate::endpoint::Endpoint;
use crate::handler::HandlerOnce;
use crate::hyper::{Upgrade, asks};

#[cfg(feature = "legacy")]
pub use legacy::LegacyWebSocketUpgrade;
pub use refusal::Refusal;

#[cfg(feature = "legacy")]
mod legacy;

/// A request that may become a WebSocket. As an argument of an axum handler, at any position:
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
/// The handler is called once, so a closure may move what axum has given:
///
/// ```
/// # use std::sync::Arc;
/// # use adieu::{Socket, axum::WebSocketUpgrade};
/// # use axum::{Router, extract::{Path, State}, response::Response, routing::get};
/// struct App { greeting: String }
///
/// async fn ws(
///     upgrade: WebSocketUpgrade,
///     State(app): State<Arc<App>>,
///     Path(name): Path<String>,
/// ) -> Response {
///     upgrade.run(async move |socket: Socket| {
///         let _ = socket.send(format!("{}, {name}", app.greeting)).await;
///     })
/// }
/// # let app = Arc::new(App { greeting: "Hello".into() });
/// # let _: Router = Router::new().route("/{name}", get(ws)).with_state(app);
/// ```
///
/// `Option<WebSocketUpgrade>` serves a page and a WebSocket at one path: `None` is a request that
/// asks for none, and no ending is told of it.
///
/// ```
/// # use adieu::{Socket, axum::WebSocketUpgrade};
/// # use axum::response::{Html, IntoResponse, Response};
/// async fn index(upgrade: Option<WebSocketUpgrade>) -> Response {
///     match upgrade {
///         Some(upgrade) => upgrade.run(async |_: Socket| ()),
///         None => Html("<h1>A page</h1>").into_response(),
///     }
/// }
/// # let _: axum::Router = axum::Router::new().route("/", axum::routing::get(index));
/// ```
///
/// Settings ([`Endpoint`]: limits, subprotocols, Origin policy, `on_end`, drain) are given to a
/// router with [`Endpoint`] as an [`Extension`](axum::Extension):
/// `.layer(axum::Extension(Arc::new(endpoint)))`.
///
/// Requests of hixie-76 that announce their nonce as a body (`Content-Length: 8`) need
#[cfg_attr(feature = "legacy", doc = "[`LegacyWebSocketUpgrade`].")]
#[cfg_attr(not(feature = "legacy"), doc = "`LegacyWebSocketUpgrade` (feature `legacy`).")]
#[derive(Debug)]
#[must_use = "a request that is neither run nor refused is reported as declined"]
pub struct WebSocketUpgrade {
    upgrade: Upgrade,
}

impl<S: Send + Sync> FromRequestParts<S> for WebSocketUpgrade {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let endpoint = settings(parts, state).await;
        let upgrade = Upgrade::judge_parts(parts, endpoint).await?;
        Ok(WebSocketUpgrade { upgrade })
    }
}

impl<S: Send + Sync> OptionalFromRequestParts<S> for WebSocketUpgrade {
    type Rejection = Refusal;

    /// `None` for a request that does not ask for a WebSocket. One that asks for it wrongly is
    /// refused.
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Option<Self>, Refusal> {
        if !asks(&parts.headers, &parts.extensions) {
            return Ok(None);
        }
        <Self as FromRequestParts<S>>::from_request_parts(parts, state).await.map(Some)
    }
}

/// The endpoint that the router has as an extension, or the defaults.
async fn settings<S: Send + Sync>(parts: &mut Parts, state: &S) -> Arc<Endpoint> {
    let endpoint: Result<_, Infallible> =
        Option::<axum::Extension<Arc<Endpoint>>>::from_request_parts(parts, state).await;
    endpoint.ok().flatten().map(|axum::Extension(endpoint)| endpoint).unwrap_or_default()
}

impl WebSocketUpgrade {
    /// Says that the connection is TLS: hixie-76 repeats the URL with its scheme.
    pub fn secure(self, tls: bool) -> Self {
        WebSocketUpgrade { upgrade: self.upgrade.secure(tls) }
    }

    /// Agrees on this subprotocol, if the client has offered it, whatever the [`Endpoint`] says.
    pub fn subprotocol(self, name: &str) -> Self {
        WebSocketUpgrade { upgrade: self.upgrade.subprotocol(name) }
    }

    /// Agrees on the first of these subprotocols, the preferred one first, that the client has
    /// offered, whatever the [`Endpoint`] says.
    pub fn subprotocols<N: AsRef<str>>(self, names: impl IntoIterator<Item = N>) -> Self {
        WebSocketUpgrade { upgrade: self.upgrade.subprotocols(names) }
    }

    /// Accepts with fields in the 101, a subprotocol, and values for the handler.
    ///
    /// ```
    /// # use adieu::{Accept, Socket, axum::WebSocketUpgrade};
    /// # use adieu::http::{HeaderValue, header::SET_COOKIE};
    /// # use axum::response::Response;
    /// async fn ws(upgrade: WebSocketUpgrade) -> Response {
    ///     let cookie = HeaderValue::from_static("seen=1; HttpOnly");
    ///     upgrade.accept(Accept::new().header(SET_COOKIE, cookie)).run(async |_: Socket| ())
    /// }
    /// # let _: axum::Router = axum::Router::new().route("/ws", axum::routing::get(ws));
    /// ```
    pub fn accept(self, accept: Accept) -> Self {
        WebSocketUpgrade { upgrade: self.upgrade.accept(accept) }
    }

    /// The subprotocol that is agreed on, if one is.
    #[must_use]
    pub fn selected_subprotocol(&self) -> Option<&str> {
        self.upgrade.selected_subprotocol()
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

    /// Refuses the request after all, with a response of the application's own: as it is, and
    /// [`Endpoint::on_end`] hears of it with its status.
    ///
    /// ```
    /// # use adieu::axum::WebSocketUpgrade;
    /// # use axum::{http::StatusCode, response::Response};
    /// async fn ws(upgrade: WebSocketUpgrade) -> Response {
    ///     match upgrade.request().and_then(|request| request.header("cookie")) {
    ///         Some(_) => upgrade.run(async |_: adieu::Socket| ()),
    ///         None => upgrade.refuse((StatusCode::UNAUTHORIZED, "sign in first")),
    ///     }
    /// }
    /// # let _: axum::Router = axum::Router::new().route("/ws", axum::routing::get(ws));
    /// ```
    pub fn refuse(self, response: impl axum::response::IntoResponse) -> Response {
        self.upgrade.refuse(response.into_response())
    }

    /// Gives the 101; when it has been sent, runs the handler in a task of its own. When the
    /// handler returns, the connection ends with what it returns, also if its
    /// [`Socket`](crate::Socket) was moved into another task: unless it returns
    /// [`Detached`](crate::Detached).
    pub fn run(self, handler: impl HandlerOnce) -> Response {
        self.upgrade.run(handler).map(Body::new)
    }
}
