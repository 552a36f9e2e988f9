//! One port for the page with its WebSocket, the sessions' WebSocket, the API and the probes.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use crate::gateway::{Gateway, GatewayError, Sessions};
use crate::http::{self, Access, Health, Known, OriginCheck, Origins, WrongKey, own_pages};
use adieu::axum::WebSocketUpgrade;
use adieu::http2::{self, Carried, RequestBody};
use adieu::hyper::{PeerAddr, asks_for_websocket};
use adieu::tls::{TlsStream, with_http2};
use adieu::{Drain, Drained, Endpoint};
use axum::extract::{Query, State};
use axum::http::header::{self, UPGRADE};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use bytes::Bytes;
use hyper::body::{Body, Incoming};
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::account::Endings;
use crate::door::{Door, Guest};
pub use crate::door::{Handshakes, room_for_connections};
pub use crate::listener::Listener;
use crate::listener::Stream;
use crate::live::Watched;
use crate::requests::{Kind, Refusal};
use crate::session::ending::ConnectionEnding;
use crate::store::StoreWatch;
use crate::{live, lost_network, no_tls, page};

/// How long a connection that showed the key is kept between two requests. Longer than the pools of
/// HTTP clients keep theirs (Go's 90 s), so that these end first: a request on a connection that
/// ends at the same moment fails, and a POST is not sent again by itself. The next head has to be
/// here by then, too. All others have 10 s ([`crate::door`]).
const KEEP_ALIVE: Duration = Duration::from_secs(120);

/// Seconds after which a WebSocket may be tried again for which no descriptor was left.
const RETRY_AFTER: &str = "5";

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
    /// Whether the WebSockets of sessions are compressed where the client offers it
    /// (permessage-deflate, RFC 7692). What has a session's token in it is not.
    pub compress: bool,
    /// Whether HTTP/2 is served as well, with WebSockets on its streams (RFC 8441): to clients that
    /// choose it in the TLS handshake; without TLS to those that begin with its preface by prior
    /// knowledge (RFC 9113 §3.3), as a proxy may. `docs/http2.md` says what changes for browsers.
    pub http2: bool,
    /// How many connections may wait for the head of a request.
    pub handshakes: Handshakes,
    /// The store's file, where there is one.
    pub store: Option<StoreWatch>,
}

/// Serves these listeners until the drain is over. To stop is for the caller: first
/// [`tell_closing`](Gateway::tell_closing), by which the clients hear when to come back, then
/// [`Drain::start`]; and when this has returned, [`stop`](Gateway::stop).
///
/// # Errors
/// The store has failed: nothing may be acknowledged any more, so all connections were closed, and
/// the process should end.
pub async fn serve(
    listeners: impl IntoIterator<Item = Listener>,
    gateway: &Gateway,
    site: Site,
    drain: &Drain,
) -> Result<Drained, GatewayError> {
    let listeners = listeners.into_iter().collect();
    let http2 = site.http2;
    let tls = site.tls.clone().map(|tls| if http2 { with_http2(&tls) } else { tls });
    let door = Door::new(site.handshakes, drain.clone(), gateway.clone());
    let health = Health::new(gateway.clone(), site.store.clone());
    let app = router(gateway, site, health.clone(), drain);
    let house = Arc::new(House { app, tls, http2, door, drain: drain.clone() });
    let mut served = pin!(accept_all(listeners, house));
    tokio::select! {
        drained = &mut served => Ok(drained),
        () = health.watch_store() => Err(GatewayError::Stopped),
        // Without its store nothing may be acknowledged: the next process goes on with it. Each
        // client gets a Close, and comes back with its token.
        Err(error) = gateway.over() => {
            tracing::error!("{error}");
            drain.start();
            let _ = tokio::time::timeout(WITHOUT_STORE, served).await;
            drain.force();
            Err(error)
        }
    }
}

/// How long clients have to answer their Close where the store has failed.
const WITHOUT_STORE: Duration = Duration::from_secs(5);

/// The page and what belongs to it, the sessions' WebSocket and the API.
fn router(gateway: &Gateway, site: Site, health: Health, drain: &Drain) -> Router {
    let Site { endpoint, origins, access, tls, compress, .. } = site;
    let (endpoint, tls) = (endpoint.drain(drain.clone()), tls.is_some());
    let access = access.secure(tls || origins.is_https());
    let accounts = gateway.accounts().clone();
    let (hear, counted) = (accounts.clone(), gateway.clone());
    let of_sessions = endpoint.clone().on_end(move |ended| {
        let ending = ConnectionEnding::of(ended.ending);
        counted.metrics().ending(&ending);
        hear.ended_elsewhere(&ended, ending);
    });
    let hear = accounts.clone();
    let of_page = endpoint.on_end(move |ended| {
        // Those that opened are accounted for where they were opened.
        if !ended.ending.opened() {
            hear.ended_elsewhere(&ended, ConnectionEnding::of(ended.ending));
        }
    });
    let watched = Watched { accounts, gateway: gateway.clone() };
    // A page of another site must not read who is connected here: browsers let any page open a
    // WebSocket to anywhere and only say whose it is (RFC 6455 §10.2).
    let own = OriginCheck::new(origins.own_only(), gateway.clone());
    let index = move |watched, upgrade| root(watched, upgrade, tls);
    let page = Router::new()
        .route("/", get(index).connect(index))
        .route("/endings", get(endings))
        .route("/sessions", get(sessions))
        .route("/sessions/{id}/lose-network", post(lost_network::of_session))
        .merge(page::assets())
        .layer(Extension(Arc::new(of_page)))
        .with_state(watched);
    http::guarded(page, access.clone())
        .layer(from_fn_with_state(own, own_pages))
        .merge(http::websocket(gateway.clone(), of_sessions, origins, tls, compress))
        .merge(http::api(gateway.clone(), access.clone()))
        .merge(http::login(access.clone()))
        .merge(http::health(health, access))
        // FAQ: gateway-nothing-here
        .fallback(async || (StatusCode::NOT_FOUND, "there is nothing at this path\n"))
}

/// `/` is the page, and its WebSocket.
async fn root(
    State(watched): State<Watched>,
    upgrade: Result<WebSocketUpgrade, adieu::axum::Refusal>,
    tls: bool,
) -> Response {
    match upgrade {
        Ok(upgrade) => upgrade.secure(tls).run(move |socket| live::connection(watched, socket)),
        Err(refusal) if *refusal.error() == adieu::HandshakeError::NotUpgrade => page::index(),
        Err(refusal) => refusal.into_response(),
    }
}

#[derive(Deserialize)]
struct Filter {
    tab: Option<String>,
}

async fn endings(State(watched): State<Watched>, Query(filter): Query<Filter>) -> Json<Endings> {
    Json(watched.accounts.list(filter.tab.as_deref()))
}

/// What happened to sessions, for a page that has no WebSocket at the moment. The backend asks the
/// API.
async fn sessions(State(watched): State<Watched>) -> Json<Sessions> {
    Json(watched.gateway.timelines().list())
}

/// What each connection needs.
struct House {
    app: Router,
    tls: TlsConfig,
    http2: bool,
    door: Door,
    drain: Drain,
}

/// When all WebSockets are over: what was accepted by then has so long to send its request and to
/// read the answer. The library gives the same time.
const LAST_ANSWERS: Duration = Duration::from_millis(500);

/// Accepts until all is drained: who comes meanwhile is answered, a WebSocket with 503.
async fn accept_all(listeners: Vec<Listener>, house: Arc<House>) -> Drained {
    let mut accepting = JoinSet::new();
    for listener in listeners {
        accepting.spawn(accept_from(listener, house.clone()));
    }
    let drained = house.drain.finished().await;
    // The listeners are closed when this returns.
    accepting.shutdown().await;
    let _ = tokio::time::timeout(LAST_ANSWERS, house.door.all_have_left()).await;
    drained
}

async fn accept_from(listener: Listener, house: Arc<House>) {
    loop {
        house.door.room().await;
        let stream = listener.accept(&house.drain).await;
        let peer = stream.peer();
        let guest = house.door.enter(peer);
        let visit = Visit { guest, house: house.clone(), peer };
        tokio::spawn(connection(stream, visit));
    }
}

/// A connection that was let in.
struct Visit {
    guest: Guest,
    house: Arc<House>,
    peer: Option<SocketAddr>,
}

async fn connection(stream: Stream, visit: Visit) {
    let tcp = match stream {
        Stream::Tcp(tcp) => tcp,
        // On the other side is a proxy of this machine.
        #[cfg(unix)]
        Stream::Unix(unix) => return serve_http(unix, visit).await,
    };
    let Some(config) = visit.house.tls.clone() else { return serve_cleartext(tcp, visit).await };
    tokio::select! {
        plain = no_tls::is_plain_http(&tcp) => {
            if plain {
                visit.refused(&Refusal::new(Kind::Protocol, no_tls::WHY));
                return no_tls::refuse(tcp, &visit.guest).await;
            }
        }
        () = visit.guest.has_to_go() => return,
    }
    match TlsStream::accept(tcp, config) {
        Ok(stream) => serve_tls(stream, visit).await,
        Err(error) => tracing::error!("TLS: {error}"),
    }
}

/// One connection without TLS: of HTTP/2, where that is served and the client begins with it.
async fn serve_cleartext(tcp: tokio::net::TcpStream, visit: Visit) {
    let http2 = visit.house.http2
        && tokio::select! {
            http2 = no_tls::is_http2(&tcp) => http2,
            () = visit.guest.has_to_go() => return,
        };
    if http2 {
        return Box::pin(serve_http2(tcp, visit)).await;
    }
    serve_http(tcp, visit).await;
}

/// One connection over TLS: of HTTP/2, where the client has chosen it.
async fn serve_tls(mut stream: TlsStream, visit: Visit) {
    tokio::select! {
        () = stream.handshake() => {}
        () = visit.guest.has_to_go() => return,
    }
    if stream.speaks_http2() {
        // Boxed: few connections have one, and all tasks would have its size.
        return Box::pin(serve_http2(stream, visit)).await;
    }
    serve_http(stream, visit).await;
}

/// One connection of HTTP/2: its WebSockets are streams of it.
async fn serve_http2(stream: impl Into<Carried>, visit: Visit) {
    let visit = Arc::new(visit);
    let app = TowerToHyperService::new(visit.house.app.clone());
    let of_requests = visit.clone();
    let service = service_fn(move |request: hyper::Request<RequestBody>| {
        let (app, visit) = (app.clone(), of_requests.clone());
        async move { answer(app, request, &visit).await }
    });
    let settings = http2::Settings::default();
    tokio::select! {
        () = http2::serve_connection(stream, service, &settings, &visit.house.drain) => {}
        () = visit.guest.has_to_go() => {}
    }
}

/// One HTTP connection; a WebSocket leaves it by its upgrade.
async fn serve_http<T>(stream: T, visit: Visit)
where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (visit, drain) = (&visit, &visit.house.drain);
    let app = TowerToHyperService::new(visit.house.app.clone());
    let asked = &Notify::new();
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        asked.notify_one();
        answer(app.clone(), request, visit)
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(KEEP_ALIVE)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = pin!(connection);
    let mut has_to_go = pin!(visit.guest.has_to_go());
    // While we stop, one that has not asked yet is served once; hyper ends it behind the answer. To
    // end it at once would cut a request that is on its way.
    let mut stop = pin!(async {
        drain.started().await;
        asked.notified().await;
    });
    let mut stopping = false;
    let result = loop {
        tokio::select! {
            result = connection.as_mut() => break result,
            () = has_to_go.as_mut() => return,
            () = stop.as_mut(), if !stopping => {
                stopping = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    };
    let Err(error) = result else { return };
    match no_tls::is_no_http(&error, visit.house.tls.is_some()) {
        Some(why) => visit.refused(&Refusal::new(Kind::Protocol, why)),
        None => tracing::debug!("HTTP: {error}"),
    }
}

impl Visit {
    /// The connection comes to nothing, without a request that could be answered.
    fn refused(&self, refusal: &Refusal) {
        self.house.door.requests().refused(refusal, self.peer, None);
    }
}

/// Answers a request of a connection.
async fn answer<B>(
    app: TowerToHyperService<Router>,
    mut request: hyper::Request<B>,
    visit: &Visit,
) -> Result<Response, Infallible>
where
    B: Body<Data = Bytes, Error: Into<axum::BoxError>> + Send + 'static,
{
    let asking = visit.guest.asks();
    // RFC 8441.
    let extended_connect = request.method() == Method::CONNECT && asks_for_websocket(&request);
    let door = &visit.house.door;
    let requests = door.requests();
    let asked = requests.asked(&mut request, visit.peer);
    let mut response = served(app, request, visit).await?;
    requests.answered(&asked, &mut response);
    if response.extensions().get::<WrongKey>().is_some() {
        door.saw_a_wrong_key();
    }
    match response.status() {
        StatusCode::SWITCHING_PROTOCOLS => asking.was_upgraded(),
        StatusCode::OK if extended_connect => asking.opened_a_stream(),
        _ => {
            if visit.house.drain.has_started() {
                // Or the client would send the next request on a connection that ends.
                let close = HeaderValue::from_static("close");
                response.headers_mut().insert(header::CONNECTION, close);
            }
            asking.was_answered(response.extensions().get::<Known>().is_some());
        }
    }
    Ok(response)
}

async fn served<B>(
    app: TowerToHyperService<Router>,
    mut request: hyper::Request<B>,
    visit: &Visit,
) -> Result<Response, Infallible>
where
    B: Body<Data = Bytes, Error: Into<axum::BoxError>> + Send + 'static,
{
    if let Some(peer) = visit.peer {
        request.extensions_mut().insert(PeerAddr(peer));
    }
    if request.headers().contains_key(UPGRADE) && !visit.house.door.has_room().await {
        // FAQ: gateway-no-descriptor
        let why = "no descriptor is left for one more connection\n";
        let fields = [(header::RETRY_AFTER, RETRY_AFTER), (header::CONNECTION, "close")];
        let answer = (StatusCode::SERVICE_UNAVAILABLE, fields, why);
        // The door has logged it.
        return Ok((Extension(Refusal::logged()), answer).into_response());
    }
    app.call(request).await
}
