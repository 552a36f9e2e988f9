//! Ctrl-C tells everybody: Adieu inside axum.

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
    let endpoint = Arc::new(Endpoint::new().drain(drain.clone()));
    let app = Router::new().route("/ws", get(ws)).layer(Extension(endpoint));
    let addr = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9001".to_owned());
    let listener = adieu::listen(&addr).await?;
    println!("listening on {}", listener.local_addr()?);
    let start = drain.clone();
    let signal = async move {
        let _ = tokio::signal::ctrl_c().await;
        start.start();
    };
    axum::serve(listener, app).with_graceful_shutdown(signal).await?;
    println!("{}", drain.finished().await);
    Ok(())
}
