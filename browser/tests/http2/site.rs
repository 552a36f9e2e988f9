//! A page and its WebSockets on one port: an application of axum with the library, which is served
//! over HTTP/2, or over TCP to compare.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use adieu::axum::WebSocketUpgrade;
use adieu::http2::{Settings, serve_connection};
use adieu::tls::{TlsStream, rustls, with_http2};
use adieu::{Close, Drain, Ending, Socket};
use axum::Router;
use axum::extract::{Path, State};
use axum::response::{Html, Response};
use axum::routing::get;
use browser::Carrier;
use hyper_util::service::TowerToHyperService;
use rustls::crypto::ring;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// What the server closes with.
pub(crate) const CODE: u16 = 4000;

/// Messages that are sent with the 200.
pub(crate) const WITH_THE_200: u64 = 20;

/// The answer to a page that is busy: the server waits for it.
pub(crate) const WAITED: &str = "the server waits";

/// What a page is sent that does not read: 10 MiB. Chromium grants a stream 6 MiB.
pub(crate) const HELD_BACK: u64 = 160;
const PIECE: usize = 64 * 1024;

/// Messages of 64 KiB after which an upload is told goodbye; the page would send 128.
const OF_UPLOAD: usize = 16;

/// A message that has not left for so long waits for the peer's window.
const HELD: Duration = Duration::from_millis(100);

pub(crate) struct Site {
    pub(crate) carrier: Carrier,
    address: SocketAddr,
    seen: Arc<Seen>,
}

/// What the server has seen.
#[derive(Default)]
struct Seen {
    endings: Mutex<HashMap<(String, u64), Ending>>,
    /// The last round in which the page was busy, and whether the server had to wait for it.
    held: watch::Sender<(u64, &'static str)>,
}

impl Site {
    pub(crate) async fn serve(carrier: Carrier) -> Site {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let seen = Arc::new(Seen::default());
        let app = Router::new()
            .route("/", get(async || Html(include_str!("page.html"))))
            .route("/ws/{what}/{round}", get(open).connect(open))
            .route("/held/{round}", get(held))
            .with_state(seen.clone());
        match carrier {
            Carrier::Http2 => drop(tokio::spawn(accept(listener, app))),
            Carrier::Tcp => drop(tokio::spawn(async { axum::serve(listener, app).await })),
        }
        Site { carrier, address, seen }
    }

    /// The address of the page.
    pub(crate) fn url(&self) -> String {
        let scheme = if self.carrier == Carrier::Http2 { "https" } else { "http" };
        format!("{scheme}://{}/", self.address)
    }

    /// How the WebSocket of this round ended, once it has.
    pub(crate) fn ending(&self, what: &str, round: u64) -> Option<Ending> {
        let endings = self.seen.endings.lock().unwrap_or_else(PoisonError::into_inner);
        endings.get(&(what.to_owned(), round)).cloned()
    }
}

/// HTTP/2 over TLS, and nothing else.
async fn accept(listener: TcpListener, app: Router) {
    let tls = with_http2(&tls());
    loop {
        let Ok((tcp, _)) = listener.accept().await else { continue };
        let (app, tls) = (app.clone(), tls.clone());
        tokio::spawn(async move {
            let Ok(mut stream) = TlsStream::accept(tcp, tls) else { return };
            stream.handshake().await;
            if stream.speaks_http2() {
                let service = TowerToHyperService::new(app);
                serve_connection(stream, service, &Settings::default(), &Drain::new()).await;
            }
        });
    }
}

fn tls() -> Arc<rustls::ServerConfig> {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]);
    let made = made.expect("a certificate");
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions of TLS")
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], made.signing_key.into())
        .expect("a certificate and its key");
    Arc::new(config)
}

async fn open(
    State(seen): State<Arc<Seen>>,
    Path((what, round)): Path<(String, u64)>,
    upgrade: WebSocketUpgrade,
) -> Response {
    upgrade.run(async move |socket: Socket| {
        let ending = closes(socket, &what, round, &seen.held).await;
        let mut endings = seen.endings.lock().unwrap_or_else(PoisonError::into_inner);
        endings.insert((what, round), ending);
    })
}

/// Closes, always first.
async fn closes(
    mut socket: Socket,
    what: &str,
    round: u64,
    held: &watch::Sender<(u64, &'static str)>,
) -> Ending {
    match what {
        "plain" => drop(socket.recv().await),
        "flight" => {
            for n in 0..WITH_THE_200 {
                let _ = socket.send(n.to_string()).await;
            }
        }
        "upload" => {
            for _ in 0..OF_UPLOAD {
                let _ = socket.recv().await;
            }
        }
        "window" => send_much(&socket, round, held).await,
        _ => {}
    }
    let close = Close::new(CODE, format!("{what} {round}"));
    socket.close(close.expect("a short reason")).await
}

/// Sends to a page that is busy until it is told, by `held`, that the server has to wait for it or
/// that all has left.
async fn send_much(socket: &Socket, round: u64, held: &watch::Sender<(u64, &'static str)>) {
    let mut waited = false;
    for _ in 0..HELD_BACK {
        let mut sent = pin!(socket.send(vec![0; PIECE]));
        if !waited && tokio::time::timeout(HELD, sent.as_mut()).await.is_ok() {
            continue;
        }
        if !waited {
            waited = true;
            held.send_replace((round, WAITED));
        }
        let _ = sent.await;
    }
    if !waited {
        held.send_replace((round, "all has left"));
    }
}

/// Answers when the server has to wait for the page, or has sent all.
async fn held(State(seen): State<Arc<Seen>>, Path(round): Path<u64>) -> &'static str {
    let mut held = seen.held.subscribe();
    let of_round = held.wait_for(|(of, _)| *of == round).await;
    of_round.map_or("", |held| held.1)
}
