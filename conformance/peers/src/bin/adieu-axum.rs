//! An axum application whose WebSockets are Adieu's: defaults only, and one `Drain`.

use std::process::ExitCode;
use std::sync::Arc;

use adieu::axum::WebSocketUpgrade;
use adieu::{Close, CloseCode, Closed, Drain, Endpoint, Socket};
use axum::{Extension, Router, response::Response, routing::get};
use peers::Asked;

async fn connection(mut socket: Socket) -> Result<Close, Closed> {
    while let Some(message) = socket.recv().await {
        match message.as_text().map_or(Asked::Echo, peers::asked) {
            Asked::Panic => panic!("as the check asked"),
            Asked::Send(bytes) => {
                for part in peers::parts(bytes) {
                    socket.send(part).await?;
                }
            }
            Asked::Close(code, reason) => {
                return Ok(Close::new(code, reason).unwrap_or(CloseCode::INTERNAL_ERROR.into()));
            }
            Asked::Echo => socket.send(message).await?,
        }
    }
    Ok(CloseCode::NORMAL.into())
}

async fn ws(upgrade: WebSocketUpgrade) -> Response {
    upgrade.run(connection)
}

#[tokio::main]
async fn main() -> std::io::Result<ExitCode> {
    let drain = Drain::new();
    let endpoint = Endpoint::new().drain(drain.clone());
    let app = Router::new().route("/", get(ws)).layer(Extension(Arc::new(endpoint)));
    let listener = adieu::listen(peers::addr()).await?;
    tokio::spawn({
        let drain = drain.clone();
        async move {
            peers::sigterm().await;
            drain.start();
        }
    });
    let started = drain.clone();
    axum::serve(listener, app)
        .with_graceful_shutdown(async move { started.started().await })
        .await?;
    let drained = drain.finished().await;
    println!("{drained}");
    Ok(if drained.given_up == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
