//! What the guides say that differs, seen on the wire: Adieu, axum's own WebSockets (which are
//! tungstenite inside) and tokio-tungstenite.

use std::future::{Future, pending};
use std::net::SocketAddr;
use std::sync::Arc;

use futures_util::SinkExt;
use testkit::{Frame, Peer, wait_until};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::Notify;

/// A server in this process, until it is dropped.
struct Host {
    addr: SocketAddr,
    _runtime: Runtime,
}

fn host<F>(serve: impl FnOnce(TcpListener) -> F) -> Host
where
    F: Future<Output = ()> + Send + 'static,
{
    let runtime = Runtime::new().expect("a runtime");
    let listener = runtime.block_on(adieu::listen("127.0.0.1:0")).expect("a free port");
    let addr = listener.local_addr().expect("its address");
    runtime.spawn(serve(listener));
    Host { addr, _runtime: runtime }
}

/// What the handler does with its connection, in each library.
#[derive(Clone)]
enum Does {
    Return,
    Panic,
    /// Waits for this, then sends a text and waits for ever.
    Wait(Arc<Notify>),
}

impl Does {
    async fn it(&self) {
        match self {
            Does::Return => {}
            Does::Panic => panic!("as the test wants it"),
            Does::Wait(until) => until.notified().await,
        }
    }
}

fn adieu(does: Does) -> Host {
    host(|listener| async {
        let server = adieu::Server::new(move |socket: adieu::Socket| {
            let does = does.clone();
            async move {
                does.it().await;
                if let Does::Wait(_) = does {
                    let _ = socket.send("late").await;
                    pending::<()>().await;
                }
            }
        });
        server.serve_on(listener).await.expect("a server");
    })
}

fn axum(does: Does) -> Host {
    use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};

    async fn handler(does: Does, mut socket: WebSocket) {
        does.it().await;
        if let Does::Wait(_) = does {
            let _ = socket.send(Message::text("late")).await;
            pending::<()>().await;
        }
    }

    let ws = async |upgrade: WebSocketUpgrade| upgrade.on_upgrade(|socket| handler(does, socket));
    let app = axum::Router::new().route("/", axum::routing::get(ws));
    host(|listener| async { axum::serve(listener, app).await.expect("a server") })
}

fn tungstenite(does: Does) -> Host {
    use tokio_tungstenite::tungstenite::Message;

    host(|listener| async move {
        loop {
            let Ok((tcp, _)) = listener.accept().await else { return };
            let does = does.clone();
            tokio::spawn(async move {
                let mut socket = tokio_tungstenite::accept_async(tcp).await.expect("a WebSocket");
                does.it().await;
                if let Does::Wait(_) = does {
                    let _ = socket.send(Message::text("late")).await;
                    pending::<()>().await;
                }
            });
        }
    })
}

#[test]
fn a_handler_that_returns_or_panics_leaves_the_peer_without_a_close_but_in_adieu() {
    for (does, code) in [(Does::Return, 1000), (Does::Panic, 1011)] {
        let host = adieu(does.clone());
        assert_eq!(Peer::open(host.addr).read_to_end_answering().close_code(), Some(code));
        for other in [axum, tungstenite] {
            let host = other(does.clone());
            let mut peer = Peer::open(host.addr);
            assert_eq!(peer.read_to_end().bytes, b"", "no Close and nothing else");
        }
    }
}

#[test]
fn a_ping_is_answered_while_the_handler_waits_for_something_else_but_only_in_adieu() {
    let until = Arc::new(Notify::new());
    let host = adieu(Does::Wait(until.clone()));
    let mut peer = Peer::open(host.addr);
    peer.send(&Frame::ping("there?"));
    assert_eq!(peer.read_frame(), Frame::pong("there?"));
    until.notify_one();
    assert_eq!(peer.read_frame(), Frame::text("late"));
    for other in [axum, tungstenite] {
        let until = Arc::new(Notify::new());
        let host = other(Does::Wait(until.clone()));
        let mut peer = Peer::open(host.addr);
        peer.send(&Frame::ping("there?"));
        wait_until("the Ping arrives", || peer.bytes_under_way() == 0);
        assert_eq!(peer.unread_by_other_end(), 12, "nobody reads it");
        until.notify_one();
        assert_eq!(peer.read_frame(), Frame::text("late"));
    }
}
