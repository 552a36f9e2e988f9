//! Ctrl-C tells everybody: axum's own WebSockets.

use std::time::Duration;

use axum::extract::State;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::{Error, Router, response::Response, routing::get};
use tokio::sync::watch;

/// Each handler holds a receiver, so that the sender knows when the last one is gone.
type Stop = watch::Receiver<bool>;

async fn echo(socket: &mut WebSocket) -> Result<(), Error> {
    while let Some(message) = socket.recv().await {
        if let message @ (Message::Text(_) | Message::Binary(_)) = message? {
            socket.send(message).await?;
        }
    }
    Ok(())
}

async fn until_stopped(mut socket: WebSocket, mut stop: Stop) {
    tokio::select! {
        _ = echo(&mut socket) => return,
        _ = stop.wait_for(|stop| *stop) => {}
    }
    let frame = CloseFrame { code: close_code::AWAY, reason: "".into() };
    if socket.send(Message::Close(Some(frame))).await.is_ok() {
        while let Some(Ok(_)) = socket.recv().await {}
    }
}

async fn ws(upgrade: WebSocketUpgrade, State(stop): State<Stop>) -> Response {
    upgrade.on_upgrade(|socket| until_stopped(socket, stop))
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let (stop, stopping) = watch::channel(false);
    let app = Router::new().route("/ws", get(ws)).with_state(stopping);
    let addr = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9001".to_owned());
    let listener = tokio::net::TcpListener::bind(&addr).await?;
    println!("listening on {}", listener.local_addr()?);
    let signal = async {
        let _ = tokio::signal::ctrl_c().await;
    };
    axum::serve(listener, app).with_graceful_shutdown(signal).await?;
    stop.send_replace(true);
    let all = tokio::time::timeout(Duration::from_secs(10), stop.closed()).await;
    println!("{}", if all.is_ok() { "all have ended" } else { "some have not ended" });
    Ok(())
}
