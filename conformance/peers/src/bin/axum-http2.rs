//! axum with its own WebSockets on streams of HTTP/2 (RFC 8441), over TLS as its example for rustls
//! has it. `axum-http2 PORT CERT KEY PAGE` serves the page at `/`, WebSockets that the server
//! closes at `/ws/WHAT/ROUND`, and the convention of docs/check.md at `/`; without CERT without
//! TLS.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Path, State};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{any, get};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use peers::Asked;
use tokio::sync::watch;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

const CODE: u16 = 4000;
const PIECE: usize = 64 * 1024;
const PIECES: u64 = 160;
const WITH_THE_200: u64 = 20;
const OF_UPLOAD: usize = 16;

/// A message that has not left for so long waits for the window of the browser.
const HELD: Duration = Duration::from_millis(100);

#[derive(Clone)]
struct App {
    page: Arc<str>,
    held: watch::Sender<HashMap<u64, &'static str>>,
}

impl App {
    fn tell(&self, round: u64, words: &'static str) {
        self.held.send_modify(|held| {
            held.insert(round, words);
        });
    }
}

async fn page(
    State(app): State<App>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    match upgrade {
        Ok(upgrade) => upgrade.on_upgrade(convention),
        Err(_) => Html(app.page.to_string()).into_response(),
    }
}

async fn held(State(app): State<App>, Path(round): Path<u64>) -> &'static str {
    let mut held = app.held.subscribe();
    let held = held.wait_for(|held| held.contains_key(&round)).await;
    held.map_or("", |held| held[&round])
}

async fn closed(
    State(app): State<App>,
    Path((what, round)): Path<(String, u64)>,
    upgrade: WebSocketUpgrade,
) -> Response {
    upgrade.on_upgrade(move |socket| closes_first(socket, what, round, app))
}

async fn closes_first(mut socket: WebSocket, what: String, round: u64, app: App) {
    match &*what {
        "plain" => drop(socket.recv().await),
        "flight" => {
            for n in 0..WITH_THE_200 {
                let _ = socket.send(Message::text(n.to_string())).await;
            }
        }
        "upload" => {
            for _ in 0..OF_UPLOAD {
                let _ = socket.recv().await;
            }
        }
        "window" => send_much(&mut socket, round, &app).await,
        _ => {}
    }
    let frame = CloseFrame { code: CODE, reason: format!("{what} {round}").into() };
    if socket.send(Message::Close(Some(frame))).await.is_ok() {
        while let Some(Ok(_)) = socket.recv().await {}
    }
}

async fn send_much(socket: &mut WebSocket, round: u64, app: &App) {
    let mut waited = false;
    for _ in 0..PIECES {
        let mut sent = pin!(socket.send(Message::binary(vec![0; PIECE])));
        if !waited && tokio::time::timeout(HELD, sent.as_mut()).await.is_ok() {
            continue;
        }
        if !waited {
            waited = true;
            app.tell(round, "the server waits");
        }
        let _ = sent.await;
    }
    if !waited {
        app.tell(round, "all has left");
    }
}

async fn convention(mut socket: WebSocket) {
    while let Some(Ok(message)) = socket.recv().await {
        let asked = match &message {
            Message::Text(text) => peers::asked(text),
            Message::Binary(_) => Asked::Echo,
            _ => continue,
        };
        let sent = match asked {
            Asked::Panic => panic!("as the check asked"),
            Asked::Send(bytes) => send(&mut socket, bytes).await,
            Asked::Close(code, reason) => {
                let frame = CloseFrame { code, reason: reason.into() };
                let _ = socket.send(Message::Close(Some(frame))).await;
                return;
            }
            Asked::Echo => socket.send(message).await,
        };
        if sent.is_err() {
            return;
        }
    }
}

async fn send(socket: &mut WebSocket, bytes: usize) -> Result<(), axum::Error> {
    for part in peers::parts(bytes) {
        socket.send(Message::binary(part)).await?;
    }
    Ok(())
}

fn tls(cert: &str, key: &str) -> io::Result<Arc<ServerConfig>> {
    let chain = CertificateDer::pem_file_iter(cert).map_err(io::Error::other)?;
    let chain = chain.collect::<Result<Vec<_>, _>>().map_err(io::Error::other)?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(io::Error::other)?;
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key);
    let mut config = config.map_err(io::Error::other)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

#[tokio::main]
async fn main() -> io::Result<()> {
    let words: Vec<String> = std::env::args().skip(2).collect();
    let (acceptor, page_of) = match &words[..] {
        [cert, key, page] => {
            let acceptor = tokio_rustls::TlsAcceptor::from(tls(cert, key)?);
            (Some(acceptor), fs::read_to_string(page)?)
        }
        _ => (None, String::new()),
    };
    let app = App { page: page_of.into(), held: watch::Sender::default() };
    let router = Router::new()
        .route("/", any(page))
        .route("/ws/{what}/{round}", any(closed))
        .route("/held/{round}", get(held))
        .with_state(app);
    let listener = tokio::net::TcpListener::bind(peers::addr()).await?;
    loop {
        let (tcp, _) = listener.accept().await?;
        let (acceptor, service) = (acceptor.clone(), TowerToHyperService::new(router.clone()));
        tokio::spawn(async move {
            let mut server = auto::Builder::new(TokioExecutor::new());
            server.http2().enable_connect_protocol();
            let Some(acceptor) = acceptor else {
                let _ = server.serve_connection_with_upgrades(TokioIo::new(tcp), service).await;
                return;
            };
            let Ok(tls) = acceptor.accept(tcp).await else { return };
            let _ = server.serve_connection_with_upgrades(TokioIo::new(tls), service).await;
        });
    }
}
