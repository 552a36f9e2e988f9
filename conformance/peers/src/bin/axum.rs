//! axum with its own WebSockets, as its documentation and its example have it: a loop over the
//! socket, a Close that is sent before returning, and `with_graceful_shutdown`. `axum PORT hand`
//! has what a careful user adds: at SIGTERM each handler says Close 1001 and reads on to the end,
//! and the process waits for all of them.

use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::response::Response;
use axum::routing::get;
use peers::Asked;
use tokio::sync::watch;

/// As long as a careful user waits for stragglers.
const CAP: Duration = Duration::from_secs(10);

/// Each handler holds a receiver, so that the sender knows when the last one is gone.
type Stop = watch::Receiver<bool>;

async fn stopped(stop: &mut Stop) {
    if stop.wait_for(|stop| *stop).await.is_err() {
        std::future::pending().await
    }
}

async fn connection(mut socket: WebSocket, mut stop: Stop) {
    tokio::select! {
        () = serve(&mut socket) => return,
        () = stopped(&mut stop) => {}
    }
    let frame = CloseFrame { code: close_code::AWAY, reason: "".into() };
    if socket.send(Message::Close(Some(frame))).await.is_ok() {
        while let Some(Ok(_)) = socket.recv().await {}
    }
}

async fn serve(socket: &mut WebSocket) {
    while let Some(Ok(message)) = socket.recv().await {
        let asked = match &message {
            Message::Text(text) => peers::asked(text),
            Message::Binary(_) => Asked::Echo,
            _ => continue,
        };
        let sent = match asked {
            Asked::Panic => panic!("as the check asked"),
            Asked::Send(bytes) => send(socket, bytes).await,
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

async fn ws(upgrade: WebSocketUpgrade, State(stop): State<Stop>) -> Response {
    upgrade.on_upgrade(|socket| connection(socket, stop))
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let hand = std::env::args().nth(2).is_some_and(|mode| mode == "hand");
    let (stop, stopping) = watch::channel(false);
    let app = Router::new().route("/", get(ws)).with_state(stopping);
    let listener = tokio::net::TcpListener::bind(peers::addr()).await?;
    axum::serve(listener, app).with_graceful_shutdown(peers::sigterm()).await?;
    if hand {
        stop.send_replace(true);
        let _ = tokio::time::timeout(CAP, stop.closed()).await;
    }
    Ok(())
}
