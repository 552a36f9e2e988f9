//! Two tasks, a reader and a writer: axum's own WebSockets.

use axum::extract::State;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::{Router, response::Response, routing::get};
use futures_util::{SinkExt, StreamExt};
use tokio::sync::watch;

async fn counter(total: watch::Sender<i64>, socket: WebSocket) {
    let (mut sender, mut receiver) = socket.split();
    let mut changes = total.subscribe();
    changes.mark_changed();
    let writer = tokio::spawn(async move {
        while changes.changed().await.is_ok() {
            let now = changes.borrow_and_update().to_string();
            if sender.send(Message::text(now)).await.is_err() {
                break;
            }
        }
    });
    while let Some(Ok(message)) = receiver.next().await {
        let Message::Text(text) = message else { continue };
        if let Ok(more) = text.parse::<i64>() {
            total.send_modify(|total| *total += more);
        }
    }
    writer.abort();
}

async fn ws(State(total): State<watch::Sender<i64>>, upgrade: WebSocketUpgrade) -> Response {
    upgrade.on_upgrade(|socket| counter(total, socket))
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let app = Router::new().route("/ws", get(ws)).with_state(watch::Sender::new(0));
    let addr = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9001".to_owned());
    let listener = tokio::net::TcpListener::bind(&addr).await?;
    println!("listening on {}", listener.local_addr()?);
    axum::serve(listener, app).await
}
