//! The WebSocket of the clients: `/ws`.

use std::sync::Arc;

use adieu::axum::{Refusal, WebSocketUpgrade};
use adieu::{Config, Endpoint, Request};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};

use crate::gateway::Gateway;
use crate::hook::{Decision, Question};
use crate::session::wire::{MAX_MESSAGE, Offer, SUBPROTOCOL};

/// Seconds after which a client may ask again when the backend did not answer.
const RETRY_AFTER: &str = "5";

/// Pages of which sites may connect (RFC 6455 §10.2); clients that are no browsers name none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins {
    /// `https://example.com`, or `*` for any. The gateway's own is always allowed.
    pub allowed: Vec<String>,
}

impl Origins {
    /// Whether a page that asks so may connect; 403 if not.
    ///
    /// # Errors
    /// The status.
    pub fn allow(&self, request: &Request) -> Result<(), u16> {
        let Some(origin) = request.origin() else { return Ok(()) };
        let host = origin.split_once("://").map_or(origin, |(_, host)| host);
        let own = request.host().is_some_and(|own| own.eq_ignore_ascii_case(host));
        let named = |allowed: &String| allowed == "*" || allowed.eq_ignore_ascii_case(origin);
        if own || self.allowed.iter().any(named) { Ok(()) } else { Err(403) }
    }
}

/// `/ws`, with what an endpoint says of connections.
pub fn router(gateway: Gateway, endpoint: Endpoint, origins: Origins, tls: bool) -> Router {
    let config = Config { max_message: MAX_MESSAGE as u64, ..Config::default() };
    let endpoint = endpoint.config(config).on_request(move |request| origins.allow(request));
    Router::new()
        .route("/ws", get(move |gateway, upgrade| connect(gateway, upgrade, tls)))
        .layer(Extension(Arc::new(endpoint)))
        .with_state(gateway)
}

async fn connect(
    State(gateway): State<Gateway>,
    upgrade: Result<WebSocketUpgrade, Refusal>,
    tls: bool,
) -> Response {
    let upgrade = match upgrade {
        Ok(upgrade) => upgrade.secure(tls),
        Err(refusal) => return refusal.into_response(),
    };
    let Some(request) = upgrade.request() else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    if Offer::read(request.subprotocols().collect::<Vec<_>>()).is_some() {
        let session = move |socket| {
            let gateway = gateway.clone();
            async move { gateway.session(socket).await }
        };
        return upgrade.subprotocol(SUBPROTOCOL).run(session);
    }
    let question = Question::of(request, upgrade.peer());
    match gateway.ask(&question).await {
        Decision::Accepted { user, subprotocol, .. } => {
            let upgrade = match subprotocol {
                Some(name) => upgrade.subprotocol(&name),
                None => upgrade,
            };
            upgrade.run(move |socket| {
                let (gateway, user) = (gateway.clone(), user.clone());
                async move { gateway.plain(socket, user).await }
            })
        }
        Decision::Refused { status, reason } => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::FORBIDDEN);
            (status, format!("{reason}\n")).into_response()
        }
        Decision::Unavailable(error) => {
            let why = format!("{}\n", error.for_clients());
            (StatusCode::SERVICE_UNAVAILABLE, [("retry-after", RETRY_AFTER)], why).into_response()
        }
    }
}
