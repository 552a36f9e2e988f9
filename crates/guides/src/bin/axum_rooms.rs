//! Rooms: Adieu inside axum.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use adieu::axum::WebSocketUpgrade;
use adieu::{Group, Member, SlowConsumer, Socket};
use axum::extract::{Path, State};
use axum::{Router, response::Response, routing::get};

#[derive(Default)]
struct Rooms(Mutex<HashMap<String, Group>>);

impl Rooms {
    fn join(&self, name: &str, socket: &Socket) -> Member {
        let mut rooms = self.0.lock().unwrap();
        let room = rooms.entry(name.to_owned()).or_insert_with(|| Group::new(SlowConsumer::Skip));
        room.join(socket)
    }

    fn leave(&self, name: &str, member: Member) {
        let mut rooms = self.0.lock().unwrap();
        drop(member);
        if rooms.get(name).is_some_and(Group::is_empty) {
            rooms.remove(name);
        }
    }
}

async fn guest(rooms: Arc<Rooms>, name: String, mut socket: Socket) {
    let member = rooms.join(&name, &socket);
    while let Some(message) = socket.recv().await {
        member.group().broadcast(message).await;
    }
    rooms.leave(&name, member);
}

async fn ws(
    State(rooms): State<Arc<Rooms>>,
    Path(name): Path<String>,
    upgrade: WebSocketUpgrade,
) -> Response {
    upgrade.run(|socket| guest(rooms, name, socket))
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let rooms = Arc::new(Rooms::default());
    let app = Router::new().route("/rooms/{name}", get(ws)).with_state(rooms);
    let addr = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9001".to_owned());
    let listener = adieu::listen(&addr).await?;
    println!("listening on {}", listener.local_addr()?);
    axum::serve(listener, app).await
}
