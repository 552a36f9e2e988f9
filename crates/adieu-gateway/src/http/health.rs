//! Whether it lives, whether it is ready, and what it counts.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::{Access, guarded};
use crate::cluster::ClusterError;
use crate::gateway::{Gateway, GatewayError};
use crate::hook::Backend;
use crate::store::{StoreLost, StoreWatch};

/// How long the store may take before it is not ready: probes ask every few seconds.
const PATIENCE: Duration = Duration::from_secs(1);

/// For so long an answer of the engine is good: however many strangers ask, it is asked once.
const FRESH: Duration = Duration::from_secs(1);

/// How often the store's file is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// How often a file that is lost is told again.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// How the gateway is. A clone is the same.
#[derive(Clone)]
pub(crate) struct Health(Arc<Inner>);

struct Inner {
    gateway: Gateway,
    store: Option<StoreWatch>,
    /// Why the store's file is lost, if it is.
    lost: Mutex<Option<StoreLost>>,
    /// What the engine said last, and when.
    engine: tokio::sync::Mutex<Option<(Instant, Result<(), GatewayError>)>>,
}

impl Health {
    pub(crate) fn new(gateway: Gateway, store: Option<StoreWatch>) -> Self {
        let (lost, engine) = (Mutex::default(), tokio::sync::Mutex::default());
        Health(Arc::new(Inner { gateway, store, lost, engine }))
    }

    /// Looks after the store's file, for as long as it is polled.
    pub(crate) async fn watch_store(&self) {
        let Some(store) = &self.0.store else { return std::future::pending().await };
        let mut told: Option<Instant> = None;
        loop {
            let store = store.clone();
            // It may be on a network.
            let Ok(looked) = tokio::task::spawn_blocking(move || store.look()).await else {
                return;
            };
            if let Ok(bytes) = looked {
                self.0.gateway.metrics().store_file(bytes);
            }
            let lost = looked.err();
            self.lost().clone_from(&lost);
            if let Some(lost) = lost.filter(|_| told.is_none_or(is_long_ago)) {
                tracing::error!("{lost}");
                told = Some(Instant::now());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    fn lost(&self) -> MutexGuard<'_, Option<StoreLost>> {
        self.0.lost.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn engine(&self) -> Result<(), GatewayError> {
        let mut last = self.0.engine.lock().await;
        if let Some((_, said)) = last.as_ref().filter(|(at, _)| at.elapsed() < FRESH) {
            return said.clone();
        }
        if let Some(cluster) = self.0.gateway.cluster() {
            let lapsed = GatewayError::Cluster(ClusterError::Lapsed);
            return if cluster.is_ready() { Ok(()) } else { Err(lapsed) };
        }
        // Asked through the engine: one that waits for its disk is not ready.
        let said = tokio::time::timeout(PATIENCE, self.0.gateway.count()).await;
        let said = said.unwrap_or(Err(GatewayError::Stuck)).map(drop);
        *last = Some((Instant::now(), said.clone()));
        said
    }
}

fn is_long_ago(told: Instant) -> bool {
    told.elapsed() >= TELL_EVERY
}

/// `/healthz` and `/readyz` for everybody, `/metrics` for who may see sessions.
pub(crate) fn router(health: Health, access: Access) -> Router {
    let metrics = Router::new().route("/metrics", get(metrics));
    let metrics = metrics.with_state(health.0.gateway.clone());
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .with_state(health)
        .merge(guarded(metrics, access))
}

async fn ready(State(health): State<Health>) -> Response {
    if health.0.gateway.is_draining() {
        return unready("stopping");
    }
    if health.lost().is_some() {
        return unready("the store is lost");
    }
    match health.engine().await {
        Ok(()) => "ready\n".into_response(),
        Err(error) => unready(&error.over_http()),
    }
}

fn unready(why: &str) -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response()
}

async fn metrics(State(gateway): State<Gateway>) -> Response {
    let counts = tokio::time::timeout(PATIENCE, gateway.count()).await;
    // An engine that does not answer has no sessions that are known; it has not none.
    let counts = counts.ok().and_then(Result::ok);
    if let Some(cluster) = gateway.cluster() {
        gateway.metrics().node(cluster.figures());
    }
    let backend = gateway.backend().map(Backend::counts).unwrap_or_default();
    let text = gateway.metrics().encode(counts, gateway.deliveries().waiting(), backend);
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(CONTENT_TYPE, kind)], text).into_response()
}
