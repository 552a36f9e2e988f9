//! Rooms: axum's own WebSockets.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Path, State};
use axum::{Router, response::Response, routing::get};
use tokio::sync::broadcast::{self, error::RecvError};

type Room = (broadcast::Sender<Message>, broadcast::Receiver<Message>);

#[derive(Default)]
struct Rooms(Mutex<HashMap<String, broadcast::Sender<Message>>>);

impl Rooms {
    fn join(&self, name: &str) -> Room {
        let mut rooms = self.0.lock().unwrap();
        let room = rooms.entry(name.to_owned()).or_insert_with(|| broadcast::channel(100).0);
        (room.clone(), room.subscribe())
    }

    fn leave(&self, name: &str, hear: broadcast::Receiver<Message>) {
        let mut rooms = self.0.lock().unwrap();
        drop(hear);
        if rooms.get(name).is_some_and(|room| room.receiver_count() == 0) {
            rooms.remove(name);
        }
    }
}

async fn guest(rooms: Arc<Rooms>, name: String, mut socket: WebSocket) {
    let (room, mut hear) = rooms.join(&name);
    loop {
        tokio::select! {
            said = hear.recv() => {
                let said = match said {
                    Ok(said) => said,
                    Err(RecvError::Lagged(_)) => continue,
                    Err(RecvError::Closed) => break,
                };
                if socket.send(said).await.is_err() {
                    break;
                }
            }
            message = socket.recv() => match message {
                Some(Ok(message @ (Message::Text(_) | Message::Binary(_)))) => {
                    let _ = room.send(message);
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => break,
            }
        }
    }
    rooms.leave(&name, hear);
}

async fn ws(
    State(rooms): State<Arc<Rooms>>,
    Path(name): Path<String>,
    upgrade: WebSocketUpgrade,
) -> Response {
    upgrade.on_upgrade(|socket| guest(rooms, name, socket))
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let rooms = Arc::new(Rooms::default());
    let app = Router::new().route("/rooms/{name}", get(ws)).with_state(rooms);
    let addr = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9001".to_owned());
    let listener = tokio::net::TcpListener::bind(&addr).await?;
    println!("listening on {}", listener.local_addr()?);
    axum::serve(listener, app).await
}
