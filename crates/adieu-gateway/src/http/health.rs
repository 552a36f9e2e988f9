//! Whether it lives, whether it is ready, and what it counts.

use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::{Access, guarded};
use crate::gateway::{Gateway, GatewayError};
use crate::hook::Backend;
use crate::session::hub::Hub;

/// How long the store may take before it is not ready: probes ask every few seconds.
const PATIENCE: Duration = Duration::from_secs(1);

/// `/healthz` and `/readyz` for everybody, `/metrics` for who may see sessions.
pub fn router(gateway: Gateway, access: Access) -> Router {
    let metrics = Router::new().route("/metrics", get(metrics)).with_state(gateway.clone());
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .with_state(gateway)
        .merge(guarded(metrics, access))
}

async fn ready(State(gateway): State<Gateway>) -> Response {
    if gateway.is_draining() {
        return (StatusCode::SERVICE_UNAVAILABLE, "stopping\n").into_response();
    }
    // Asked through the engine: one that waits for its disk is not ready.
    match tokio::time::timeout(PATIENCE, gateway.look(|_| ())).await {
        Ok(Ok(())) => "ready\n".into_response(),
        Ok(Err(error)) => unready(&error),
        Err(_) => unready(&GatewayError::Stuck),
    }
}

fn unready(error: &GatewayError) -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")).into_response()
}

async fn metrics(State(gateway): State<Gateway>) -> Response {
    let counts = tokio::time::timeout(PATIENCE, gateway.look(Hub::counts)).await;
    let counts = counts.ok().and_then(Result::ok).unwrap_or_default();
    let backend = gateway.backend().map(Backend::counts).unwrap_or_default();
    let text = gateway.metrics().encode(&counts, gateway.deliveries().waiting(), backend);
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(CONTENT_TYPE, kind)], text).into_response()
}
