//! A WebSocket beside pages in an axum application, told of every ending and drained at Ctrl-C.
//!
//! `cargo run -p adieu --features axum --example axum`, then connect to `ws://127.0.0.1:9001/ws`.

use std::sync::Arc;

use adieu::axum::WebSocketUpgrade;
use adieu::{Closed, Drain, Endpoint, Socket};
use axum::{Extension, Router, response::Response, routing::get};

async fn echo(mut socket: Socket) -> Result<(), Closed> {
    while let Some(message) = socket.recv().await {
        socket.send(message).await?;
    }
    Ok(())
}

async fn ws(upgrade: WebSocketUpgrade) -> Response {
    upgrade.run(echo)
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let drain = Drain::new();
    let endpoint = Endpoint::new()
        .drain(drain.clone())
        .on_end(|ended| println!("{}: {}", ended.peer, ended.ending));
    let app = Router::new()
        .route("/", get(|| async { "The WebSocket is at /ws.\n" }))
        .route("/ws", get(ws))
        .layer(Extension(Arc::new(endpoint)));
    let addr = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9001".to_owned());
    let listener = adieu::listen(&addr).await?;
    println!("axum is listening on ws://{}/ws", listener.local_addr()?);
    tokio::spawn({
        let drain = drain.clone();
        async move {
            if tokio::signal::ctrl_c().await.is_ok() {
                drain.start();
            }
        }
    });
    let stopping = drain.clone();
    axum::serve(listener, app)
        .with_graceful_shutdown(async move { stopping.started().await })
        .await?;
    println!("{}", drain.finished().await);
    Ok(())
}
