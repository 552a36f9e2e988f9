//! One port for the page with its WebSocket, the sessions' WebSocket, the API and the probes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::gateway::{Gateway, GatewayError, Sessions};
use crate::http::{self, Access, OriginCheck, Origins, own_pages};
use adieu::axum::WebSocketUpgrade;
use adieu::hyper::PeerAddr;
use adieu::tls::TlsStream;
use adieu::{Drain, Drained, Endpoint};
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Json, Router};
use hyper::body::Incoming;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};

use crate::accounts::Accounts;
use crate::live::Watched;
use crate::{json, live, page};

/// A request's head has to be here by then: bytes that dribble in do not extend it.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// Bytes of a request's head at most; hyper answers a longer one with 431.
const MAX_HEAD: usize = 16 * 1024;

/// How TLS is served, if it is.
pub type TlsConfig = Option<Arc<adieu::tls::rustls::ServerConfig>>;

/// What is served, and to whom.
#[derive(Clone, Debug)]
pub struct Site {
    /// Limits and trusted proxies of all WebSockets. Its `on_request`, its `on_end` and, for
    /// sessions, its `config` are replaced by those of the gateway.
    pub endpoint: Endpoint,
    /// Pages of which sites may open a session.
    pub origins: Origins,
    /// Who may see the page and use the API.
    pub access: Access,
    /// With a certificate: `https://` and `wss://`.
    pub tls: TlsConfig,
}

/// Serves until the drain is over. To stop is for the caller: first
/// [`tell_closing`](Gateway::tell_closing), by which the clients hear when to come back, then
/// [`Drain::start`]; and when this has returned, [`stop`](Gateway::stop).
///
/// # Errors
/// The store has failed: nothing may be acknowledged any more, so all connections were let go of,
/// and the process should end.
pub async fn serve(
    listener: TcpListener,
    gateway: &Gateway,
    site: Site,
    drain: &Drain,
) -> Result<Drained, GatewayError> {
    let tls = site.tls.clone();
    let app = router(gateway, site, drain);
    tokio::select! {
        drained = accept_all(listener, app, tls, drain) => Ok(drained),
        // Without its store nothing may be acknowledged: the next process goes on with it.
        Err(error) = gateway.over() => {
            drain.force();
            Err(error)
        }
    }
}

/// The page and what belongs to it, the sessions' WebSocket and the API.
fn router(gateway: &Gateway, site: Site, drain: &Drain) -> Router {
    let Site { endpoint, origins, access, tls } = site;
    let (endpoint, tls) = (endpoint.drain(drain.clone()), tls.is_some());
    let accounts = Arc::new(Accounts::new());
    let (hear, counted) = (accounts.clone(), gateway.clone());
    let of_sessions = endpoint.clone().on_end(move |ended| {
        counted.metrics().ending(ended.ending);
        hear.ended_elsewhere(&ended);
    });
    let hear = accounts.clone();
    let of_page = endpoint.on_end(move |ended| {
        // Those that opened are accounted for where they were opened.
        if !ended.ending.opened() {
            hear.ended_elsewhere(&ended);
        }
    });
    let watched = Watched { accounts, gateway: gateway.clone() };
    // A page of another site must not read who is connected here: browsers let any page open a
    // WebSocket to anywhere and only say whose it is (RFC 6455 §10.2).
    let own = OriginCheck::new(origins.own_only(), gateway.clone());
    let page = Router::new()
        .route("/", get(move |watched, upgrade| root(watched, upgrade, tls)))
        .route("/endings", get(endings))
        .route("/sessions", get(stories))
        .merge(page::assets())
        .layer(Extension(Arc::new(of_page)))
        .with_state(watched);
    http::guarded(page, access.clone())
        .layer(from_fn_with_state(own, own_pages))
        .merge(http::websocket(gateway.clone(), of_sessions, origins, tls))
        .merge(http::api(gateway.clone(), access.clone()))
        .merge(http::health(gateway.clone(), access))
        .fallback(async || (StatusCode::NOT_FOUND, "there is nothing at this path\n"))
}

/// `/` is the page, and its WebSocket.
async fn root(
    State(watched): State<Watched>,
    upgrade: Result<WebSocketUpgrade, adieu::axum::Refusal>,
    tls: bool,
) -> Response {
    match upgrade {
        Ok(upgrade) => {
            upgrade.secure(tls).run(move |socket| live::connection(watched.clone(), socket))
        }
        Err(refusal) if *refusal.error() == adieu::HandshakeError::NotUpgrade => page::index(),
        Err(refusal) => refusal.into_response(),
    }
}

#[derive(Deserialize)]
struct Filter {
    tab: Option<String>,
}

async fn endings(
    State(watched): State<Watched>,
    Query(filter): Query<Filter>,
) -> Json<json::Endings> {
    Json(watched.accounts.list(filter.tab.as_deref()))
}

/// What happened to sessions, for a page that has no WebSocket at the moment. The backend asks the
/// API.
async fn stories(State(watched): State<Watched>) -> Json<Sessions> {
    Json(watched.gateway.chronicle().list())
}

/// Accepts until all is drained: who comes meanwhile is answered, a WebSocket with 503.
async fn accept_all(listener: TcpListener, app: Router, tls: TlsConfig, drain: &Drain) -> Drained {
    let mut finished = std::pin::pin!(drain.finished());
    loop {
        tokio::select! {
            tcp = adieu::accept(&listener, drain) => {
                tokio::spawn(connection(tcp, app.clone(), tls.clone(), drain.clone()));
            }
            drained = &mut finished => return drained,
        }
    }
}

async fn connection(tcp: TcpStream, app: Router, tls: TlsConfig, drain: Drain) {
    let peer = tcp.peer_addr().ok();
    match tls {
        None => serve_http(tcp, peer, app, drain).await,
        Some(config) => match TlsStream::accept(tcp, config) {
            Ok(stream) => serve_http(stream, peer, app, drain).await,
            Err(error) => tracing::error!("TLS: {error}"),
        },
    }
}

/// One HTTP connection; a WebSocket leaves it by its upgrade.
async fn serve_http<T>(stream: T, peer: Option<SocketAddr>, app: Router, drain: Drain)
where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let app = TowerToHyperService::new(app);
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        if let Some(peer) = peer {
            request.extensions_mut().insert(PeerAddr(peer));
        }
        app.call(request)
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    // One that comes while we stop is served once; then hyper ends it.
    let stop = async {
        if drain.has_started() {
            std::future::pending::<()>().await;
        }
        drain.started().await;
    };
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = stop => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = result {
        tracing::debug!("HTTP: {error}");
    }
}
