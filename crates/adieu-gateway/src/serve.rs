//! `adieu serve`: one port for the page, its WebSocket and the list of endings.

use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use adieu::axum::WebSocketUpgrade;
use adieu::hyper::PeerAddr;
use adieu::tls::TlsStream;
use adieu::{Drain, Drained, Endpoint, Request};
use adieu_gateway::gateway::{Gateway, Sessions};
use adieu_gateway::http::{self, Access, Origins};
use axum::extract::{Query, State};
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
use crate::{Serve, json, live, page, sessions};

/// A request's head has to be here by then: bytes that dribble in do not extend it.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// Bytes of a request's head at most; hyper answers a longer one with 431.
const MAX_HEAD: usize = 16 * 1024;

/// Exit code when not every connection ended cleanly.
const NOT_CLEAN: u8 = 3;

/// How often the progress of a goodbye is shown.
const SHOW_EVERY: Duration = Duration::from_millis(100);

type TlsConfig = Option<Arc<adieu::tls::rustls::ServerConfig>>;

/// Serves until it is told to stop.
pub(crate) async fn run(options: &Serve) -> Result<ExitCode, String> {
    let tls = match (&options.tls_cert, &options.tls_key) {
        (Some(cert), Some(key)) => {
            Some(adieu::tls::server_config(cert, key).map_err(|e| format!("TLS: {e}"))?)
        }
        _ => None,
    };
    let access = sessions::access()?;
    let gateway = options.sessions.start().await?;
    let listen = options.listen;
    let cannot = |e| {
        format!("cannot listen on {listen}: {e}; choose another address with --listen ADDR:PORT")
    };
    let listener = adieu::listen(listen).await.map_err(cannot)?;
    let address = listener.local_addr().map_err(cannot)?;
    let scheme = if tls.is_some() { "https" } else { "http" };
    println!("adieu is listening on {scheme}://{address}/");
    println!("Open it in a browser, then refresh, leave, close. Ctrl-C ends it.");
    let drain = Drain::new();
    tokio::spawn(stop_on_signal(gateway.clone(), drain.clone()));
    let site = Site {
        endpoint: endpoint(options).drain(drain.clone()),
        origins: options.sessions.origins(),
        access,
        tls: tls.is_some(),
    };
    let app = router(&gateway, site);
    let drained = tokio::select! {
        drained = accept_all(listener, app, tls, &drain) => drained,
        // Without its store nothing may be acknowledged: the next process goes on with it.
        Err(error) = gateway.over() => return Err(error.to_string()),
    };
    println!("{drained}.");
    gateway.stop().await.map_err(|error| error.to_string())?;
    Ok(if drained.is_clean() { ExitCode::SUCCESS } else { ExitCode::from(NOT_CLEAN) })
}

/// What the options say of WebSockets.
fn endpoint(options: &Serve) -> Endpoint {
    let endpoint = Endpoint::new().trust_proxies(options.trust_proxy.iter().copied());
    match options.max_connections {
        Some(max) => endpoint.max_connections(max),
        None => endpoint,
    }
}

/// What is served, and to whom.
struct Site {
    endpoint: Endpoint,
    origins: Origins,
    access: Access,
    tls: bool,
}

/// The page and what belongs to it, the sessions' WebSocket and the API.
fn router(gateway: &Gateway, site: Site) -> Router {
    let Site { endpoint, origins, access, tls } = site;
    let accounts = Arc::new(Accounts::new());
    let (hear, counted) = (accounts.clone(), gateway.clone());
    let of_sessions = endpoint.clone().on_end(move |ended| {
        counted.metrics().ending(ended.ending);
        hear.ended_elsewhere(&ended);
    });
    let hear = accounts.clone();
    // A page of another site must not read who is connected here: browsers let any page open a
    // WebSocket to anywhere and only say whose it is (RFC 6455 §10.2).
    let own = |request: &Request| Origins::default().allow(request);
    let of_page = endpoint.on_request(own).on_end(move |ended| {
        // Those that opened are accounted for where they were opened.
        if !ended.ending.opened() {
            hear.ended_elsewhere(&ended);
        }
    });
    let watched = Watched { accounts, gateway: gateway.clone() };
    let page = Router::new()
        .route("/", get(move |watched, upgrade| root(watched, upgrade, tls)))
        .route("/endings", get(endings))
        .route("/sessions", get(stories))
        .merge(page::assets())
        .layer(Extension(Arc::new(of_page)))
        .with_state(watched);
    http::guarded(page, access.clone())
        .merge(http::websocket(gateway.clone(), of_sessions, origins, tls))
        .merge(http::api(gateway.clone(), access.clone()))
        .merge(http::health(gateway.clone(), access))
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

/// The first signal ends all well, the second at once.
async fn stop_on_signal(gateway: Gateway, drain: Drain) {
    signal().await;
    // Each hears when to come back, before its Close.
    if let Err(error) = gateway.tell_closing().await {
        tracing::error!("{error}");
    }
    drain.start();
    let told = tokio::spawn(tell_progress(drain.clone()));
    signal().await;
    told.abort();
    eprintln!("adieu: letting go of everything at once");
    drain.force();
    signal().await;
    std::process::exit(130);
}

/// Shows on a terminal how far the goodbye is.
async fn tell_progress(drain: Drain) {
    let live = drain.connections();
    if live == 0 {
        return;
    }
    let plural = if live == 1 { "connection" } else { "connections" };
    println!("Saying goodbye to {live} {plural}; Ctrl-C again to let go at once.");
    let mut progress = drain.watch();
    while std::io::stdout().is_terminal() && progress.changed().await.is_ok() {
        let left = progress.borrow_and_update().connections;
        print!("\r{left} of {live} left   {}", if left == 0 { "\n" } else { "" });
        // A terminal that is gone has nobody to show it to.
        let _ = std::io::stdout().flush();
        tokio::time::sleep(SHOW_EVERY).await;
    }
}

/// Ctrl-C, or SIGTERM where there is one.
pub(crate) async fn signal() {
    let ctrl_c = async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut term) = signal(SignalKind::terminate()) {
            tokio::select! {
                () = ctrl_c => {}
                _ = term.recv() => {}
            }
            return;
        }
    }
    ctrl_c.await;
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "a-key-of-many-characters";

    #[test]
    fn options_limit_connections_and_trust_proxies() {
        let text = ["adieu", "serve", "--max-connections", "1", "--trust-proxy", "127.0.0.0/8"];
        let cli = <crate::Cli as clap::Parser>::try_parse_from(text).unwrap();
        let Some(crate::Command::Serve(options)) = cli.command else { panic!("serve") };
        let drain = Drain::new();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let gateway = runtime.block_on(options.sessions.start()).unwrap();
        let site = Site {
            endpoint: endpoint(&options).drain(drain.clone()),
            origins: Origins::default(),
            access: Access::new(Some(KEY)).unwrap(),
            tls: false,
        };
        let app = router(&gateway, site);
        let listener = runtime.block_on(adieu::listen("127.0.0.1:0")).unwrap();
        let addr = listener.local_addr().unwrap();
        let serving = drain.clone();
        let serving = runtime.spawn(async move { accept_all(listener, app, None, &serving).await });

        let bearer = format!("Bearer {KEY}");
        let request = testkit::Request::rfc6455()
            .field("X-Forwarded-For", "203.0.113.7")
            .field("Authorization", &bearer);
        let mut peer = testkit::Peer::open_with(addr, &request);
        let mut second = testkit::Peer::connect(addr);
        second.write(request.bytes());
        let head = second.read_head();
        assert_eq!((head.status(), head.field("Retry-After")), (503, Some("5")));
        second.read_to_end();
        let via = format!("203.0.113.7 (via {})", peer.local_addr());
        // The 101 is out before the handler, which lists the connection, has begun.
        testkit::wait_until("the connection is listed by its client's address", || {
            let mut list = testkit::Peer::connect(addr);
            list.write(format!(
                "GET /endings HTTP/1.1\r\nHost: x\r\nAuthorization: {bearer}\r\n\
                 Connection: close\r\n\r\n"
            ));
            assert_eq!(list.read_head().status(), 200);
            list.read_to_end().text().contains(&via)
        });

        drain.start();
        while peer.read_frame().close_code().is_none() {}
        peer.send(&testkit::Frame::close(1001, ""));
        peer.read_to_end();
        drop(peer);
        assert_eq!(runtime.block_on(serving).unwrap().clean, 1);
    }

    #[test]
    fn only_the_own_page_may_connect() {
        let judge = |origin: Option<&str>| {
            let fields = origin.map(|o| ("Origin", o)).into_iter().chain([("Host", "a:8080")]);
            Origins::default().allow(&Request::from_parts("GET", "/", fields).unwrap())
        };
        assert_eq!(judge(None), Ok(()), "no browser");
        assert_eq!(judge(Some("http://a:8080")), Ok(()));
        assert_eq!(judge(Some("http://evil.example")), Err(403));
        assert_eq!(judge(Some("http://a")), Err(403), "another port is another origin");
        assert_eq!(judge(Some("null")), Err(403), "a sandboxed page");
    }
}
