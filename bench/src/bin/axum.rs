//! axum with its own WebSockets, as its documentation has it. `axum MODE`; prints its port. With
//! `tls` behind the mode it serves TLS, over HTTP/2 as well, as its example for rustls has it.

use axum::Router;
use axum::extract::State;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::response::Response;
use axum::routing::any;
use axum::serve::ListenerExt;
use bench::peer::{self, Mode};
use futures_util::{SinkExt, StreamExt};
use tokio::sync::{broadcast, watch};

#[derive(Clone)]
struct App {
    mode: Mode,
    stop: watch::Sender<bool>,
    room: broadcast::Sender<Message>,
}

async fn echo(mut socket: WebSocket) {
    while let Some(Ok(message)) = socket.recv().await {
        if matches!(message, Message::Text(_) | Message::Binary(_))
            && socket.send(message).await.is_err()
        {
            return;
        }
    }
}

/// Any message closes all.
async fn storm(mut socket: WebSocket, stop: watch::Sender<bool>) {
    let mut stopped = stop.subscribe();
    let mut closing = false;
    loop {
        tokio::select! {
            message = socket.recv() => match message {
                Some(Ok(Message::Text(_) | Message::Binary(_))) => drop(stop.send_replace(true)),
                Some(Ok(_)) => {}
                _ => return,
            },
            () = peer::stopped(&mut stopped), if !closing => {
                closing = true;
                let frame = CloseFrame { code: close_code::AWAY, reason: "".into() };
                if socket.send(Message::Close(Some(frame))).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// As in its chat example: one broadcast channel, a task that forwards for each connection.
async fn fan_out(socket: WebSocket, room: broadcast::Sender<Message>) {
    let (mut outgoing, mut incoming) = socket.split();
    let mut heard = room.subscribe();
    let mut forward = tokio::spawn(async move {
        while let Ok(message) = heard.recv().await {
            if outgoing.send(message).await.is_err() {
                break;
            }
        }
    });
    let mut publish = tokio::spawn(async move {
        while let Some(Ok(message)) = incoming.next().await {
            if matches!(message, Message::Text(_)) {
                let _ = room.send(message);
            }
        }
    });
    tokio::select! {
        _ = &mut forward => publish.abort(),
        _ = &mut publish => forward.abort(),
    }
}

async fn ws(upgrade: WebSocketUpgrade, State(app): State<App>) -> Response {
    upgrade.on_upgrade(move |socket| async move {
        match app.mode {
            Mode::Echo | Mode::Goodbye => echo(socket).await,
            Mode::Storm => storm(socket, app.stop).await,
            Mode::FanOut => fan_out(socket, app.room).await,
        }
    })
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let stop = watch::Sender::new(false);
    let room = broadcast::Sender::new(100);
    let app = App { mode: Mode::from_args(), stop, room };
    let router = Router::new().route("/", any(ws)).with_state(app);
    #[cfg(feature = "http2")]
    if std::env::args().nth(2).is_some_and(|option| option == "tls") {
        return over_tls(router).await;
    }
    let listener = peer::listen().tap_io(|tcp| {
        let _ = tcp.set_nodelay(true);
    });
    axum::serve(listener, router).await
}

#[cfg(feature = "http2")]
async fn over_tls(router: Router) -> std::io::Result<()> {
    use hyper_util::rt::{TokioExecutor, TokioIo};
    use hyper_util::server::conn::auto;
    use hyper_util::service::TowerToHyperService;

    let acceptor = tokio_rustls::TlsAcceptor::from(bench::tls::server_config()?);
    let listener = peer::listen();
    loop {
        let (tcp, _) = listener.accept().await?;
        let _ = tcp.set_nodelay(true);
        let (acceptor, service) = (acceptor.clone(), TowerToHyperService::new(router.clone()));
        tokio::spawn(async move {
            let Ok(tls) = acceptor.accept(tcp).await else { return };
            let mut server = auto::Builder::new(TokioExecutor::new());
            server.http2().enable_connect_protocol();
            let _ = server.serve_connection_with_upgrades(TokioIo::new(tls), service).await;
        });
    }
}
