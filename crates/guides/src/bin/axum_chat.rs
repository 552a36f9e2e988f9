//! A chat with state: Adieu inside axum.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use adieu::axum::WebSocketUpgrade;
use adieu::{Close, Group, SlowConsumer, Socket};
use axum::extract::State;
use axum::{BoxError, Router, response::Response, routing::get};

struct Chat {
    names: Mutex<HashSet<String>>,
    everybody: Group,
}

async fn person(chat: Arc<Chat>, mut socket: Socket) -> Result<(), BoxError> {
    let Some(name) = socket.recv_text().await? else { return Ok(()) };
    if !chat.names.lock().unwrap().insert(name.to_string()) {
        return Err(Close::new(4000, "that name is taken")?.into());
    }
    let member = chat.everybody.join(&socket);
    chat.everybody.broadcast(format!("{name} came in")).await;
    while let Some(message) = socket.recv().await {
        if let Some(text) = message.as_text() {
            chat.everybody.broadcast(format!("{name}: {text}")).await;
        }
    }
    drop(member);
    chat.names.lock().unwrap().remove(name.as_str());
    chat.everybody.broadcast(format!("{name} left")).await;
    Ok(())
}

async fn ws(State(chat): State<Arc<Chat>>, upgrade: WebSocketUpgrade) -> Response {
    upgrade.run(|socket| person(chat, socket))
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let everybody = Group::new(SlowConsumer::Skip);
    let chat = Chat { names: Mutex::default(), everybody };
    let app = Router::new().route("/ws", get(ws)).with_state(Arc::new(chat));
    let addr = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9001".to_owned());
    let listener = adieu::listen(&addr).await?;
    println!("listening on {}", listener.local_addr()?);
    axum::serve(listener, app).await
}
