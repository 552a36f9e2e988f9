//! The WebSocket of the clients: `/ws`.

use std::sync::Arc;

use adieu::axum::{LegacyWebSocketUpgrade, Refusal as Refused};
use adieu::{Config, Deflate, Endpoint, Refuses, Request};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};

use super::{OriginCheck, Origins};
use crate::gateway::Gateway;
use crate::hook::{Decision, Question};
use crate::requests::{Kind, Refusal};
use crate::session::wire::{MAX_MESSAGE, Offer, SUBPROTOCOL, UNCOMPRESSED};

/// Seconds after which a client may ask again when the backend did not answer.
const RETRY_AFTER: &str = "5";

/// Bytes that are read of a client before it has a session: the backend may take seconds to say
/// whether it may have one. A page waits for `connected` before it says anything, so that this is
/// room for its Close.
const UNACCEPTED: usize = 4 * 1024;

/// Bytes of a client that wait behind the message that is being heard, which may have to wait for
/// room: one message may exceed it. Most messages are far smaller, and are heard in microseconds.
const UNHEARD: usize = 64 * 1024;

/// Bytes that have come of all clients together and were not heard yet, above the first 64 KiB of
/// each: some forty of the largest messages. A client that is above it is closed with 1013 and
/// sends again.
const RECEIVING: usize = 256 << 20;

/// `/ws`, with what an endpoint says of connections.
pub fn router(
    gateway: Gateway,
    endpoint: Endpoint,
    origins: Origins,
    tls: bool,
    compress: bool,
) -> Router {
    let config = Config {
        deflate: compress.then(deflate),
        max_message: MAX_MESSAGE as u64,
        receive_unasked: UNACCEPTED,
        receive_queue: UNHEARD,
        ..Config::default()
    };
    let endpoint = endpoint.config(config).max_receiving(RECEIVING);
    let check = OriginCheck::new(origins, gateway.clone());
    let open = move |gateway, upgrade| connect(gateway, upgrade, check.clone(), tls);
    Router::new()
        .route("/ws", get(open.clone()).connect(open))
        .layer(Extension(Arc::new(endpoint)))
        .with_state(gateway)
}

/// The library's defaults: each message of a client stands alone, and what strangers say in one is
/// not beside a secret in another.
fn deflate() -> Deflate {
    let asks_for_none = |request: &Request| request.subprotocols().any(|it| it == UNCOMPRESSED);
    let refuses =
        move |request: &Request| Refuses::broken_safari(request) || asks_for_none(request);
    Deflate { refuses: Refuses::when(refuses), ..Deflate::default() }
}

async fn connect(
    State(gateway): State<Gateway>,
    upgrade: Result<LegacyWebSocketUpgrade, Refused>,
    check: OriginCheck,
    tls: bool,
) -> Response {
    let upgrade = match upgrade {
        Ok(LegacyWebSocketUpgrade(upgrade)) => upgrade.secure(tls),
        Err(refusal) => return refusal.into_response(),
    };
    let Some(request) = upgrade.request() else {
        return upgrade.refuse(StatusCode::BAD_REQUEST);
    };
    if let Some(refused) = check.refuse(request.origin(), request.host()) {
        return upgrade.refuse(refused);
    }
    if Offer::read(request.subprotocols()).is_some() {
        return upgrade.subprotocol(SUBPROTOCOL).run(move |socket| gateway.session(socket));
    }
    let question = Question::of(request, upgrade.peer());
    match gateway.ask(&question).await {
        Decision::Accepted(accepted) => {
            let upgrade = match &accepted.subprotocol {
                Some(name) => upgrade.subprotocol(name),
                None => upgrade,
            };
            upgrade.run(move |socket| gateway.plain(socket, accepted))
        }
        Decision::Refused { status, reason } => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::FORBIDDEN);
            // The reason is for the client, and may say anything.
            let refusal = Refusal::new(Kind::Backend, "the backend has refused the client");
            upgrade.refuse((Extension(refusal), (status, format!("{reason}\n"))))
        }
        Decision::Unavailable(error) => {
            let why = format!("{}\n", error.for_clients());
            let retry_after = [("retry-after", RETRY_AFTER)];
            let answer = (StatusCode::SERVICE_UNAVAILABLE, retry_after, why);
            // What was wrong with the backend has a line of its own.
            upgrade.refuse((Extension(Refusal::logged()), answer))
        }
    }
}
