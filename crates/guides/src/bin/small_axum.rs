//! A WebSocket beside a page in an axum application.

use adieu::{Socket, axum::WebSocketUpgrade};
use axum::{Router, routing::get};

async fn greet(socket: Socket) -> Result<(), adieu::Closed> {
    socket.send("good day").await
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let addr = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9001".to_owned());
    let listener = adieu::listen(addr).await?;
    println!("listening on {}", listener.local_addr()?);
    let app = Router::new()
        .route("/", get(async || "The WebSocket is at /ws.\n"))
        .route("/ws", get(async |upgrade: WebSocketUpgrade| upgrade.run(greet)));
    axum::serve(listener, app).await
}
