//! axum with its own WebSockets, as its documentation and its example have it: a loop over the
//! socket, a Close that is sent before returning, and `with_graceful_shutdown`.

use axum::Router;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::response::Response;
use axum::routing::get;
use peers::Asked;

async fn connection(mut socket: WebSocket) {
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

async fn ws(upgrade: WebSocketUpgrade) -> Response {
    upgrade.on_upgrade(connection)
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let app = Router::new().route("/", get(ws));
    let listener = tokio::net::TcpListener::bind(peers::addr()).await?;
    axum::serve(listener, app).with_graceful_shutdown(peers::sigterm()).await
}
