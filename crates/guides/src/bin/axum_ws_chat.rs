//! A chat with state: axum's own WebSockets.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use axum::extract::State;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::{Router, response::Response, routing::get};
use tokio::sync::broadcast::{self, error::RecvError};

struct Chat {
    names: Mutex<HashSet<String>>,
    everybody: broadcast::Sender<String>,
}

async fn first_text(socket: &mut WebSocket) -> Option<String> {
    while let Some(Ok(message)) = socket.recv().await {
        if let Message::Text(text) = message {
            return Some(text.to_string());
        }
    }
    None
}

async fn person(chat: Arc<Chat>, mut socket: WebSocket) {
    let Some(name) = first_text(&mut socket).await else { return };
    if !chat.names.lock().unwrap().insert(name.clone()) {
        let frame = CloseFrame { code: 4000, reason: "that name is taken".into() };
        let _ = socket.send(Message::Close(Some(frame))).await;
        while let Some(Ok(_)) = socket.recv().await {}
        return;
    }
    let mut hear = chat.everybody.subscribe();
    let _ = chat.everybody.send(format!("{name} came in"));
    loop {
        tokio::select! {
            said = hear.recv() => {
                let said = match said {
                    Ok(said) => said,
                    Err(RecvError::Lagged(_)) => continue,
                    Err(RecvError::Closed) => break,
                };
                if socket.send(Message::text(said)).await.is_err() {
                    break;
                }
            }
            message = socket.recv() => match message {
                Some(Ok(Message::Text(text))) => {
                    let _ = chat.everybody.send(format!("{name}: {text}"));
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => break,
            }
        }
    }
    chat.names.lock().unwrap().remove(&name);
    let _ = chat.everybody.send(format!("{name} left"));
}

async fn ws(State(chat): State<Arc<Chat>>, upgrade: WebSocketUpgrade) -> Response {
    upgrade.on_upgrade(|socket| person(chat, socket))
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let chat = Chat { names: Mutex::default(), everybody: broadcast::channel(100).0 };
    let app = Router::new().route("/ws", get(ws)).with_state(Arc::new(chat));
    let addr = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9001".to_owned());
    let listener = tokio::net::TcpListener::bind(&addr).await?;
    println!("listening on {}", listener.local_addr()?);
    axum::serve(listener, app).await
}
