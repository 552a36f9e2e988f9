//! Two tasks, a reader and a writer: Adieu inside axum.

use adieu::Socket;
use adieu::axum::WebSocketUpgrade;
use axum::extract::State;
use axum::{Router, response::Response, routing::get};
use tokio::sync::watch;

async fn counter(total: watch::Sender<i64>, socket: Socket) {
    let (sender, mut receiver) = socket.split();
    let mut changes = total.subscribe();
    changes.mark_changed();
    let writer = tokio::spawn(async move {
        while changes.changed().await.is_ok() {
            let now = changes.borrow_and_update().to_string();
            if sender.send(now).await.is_err() {
                break;
            }
        }
    });
    while let Some(message) = receiver.recv().await {
        if let Some(more) = message.as_text().and_then(|text| text.parse::<i64>().ok()) {
            total.send_modify(|total| *total += more);
        }
    }
    writer.abort();
}

async fn ws(State(total): State<watch::Sender<i64>>, upgrade: WebSocketUpgrade) -> Response {
    upgrade.run(|socket| counter(total, socket))
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let app = Router::new().route("/ws", get(ws)).with_state(watch::Sender::new(0));
    let addr = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9001".to_owned());
    let listener = adieu::listen(&addr).await?;
    println!("listening on {}", listener.local_addr()?);
    axum::serve(listener, app).await
}
