//! A chat room: what one says, all hear, and all hear how somebody left.
//!
//! `cargo run -p adieu --example chat`, then connect to `ws://127.0.0.1:9001/?name=you`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use adieu::{Sender, Server, Socket};

#[derive(Default)]
struct Room {
    people: Mutex<HashMap<u64, Sender>>,
}

impl Room {
    fn people<T>(&self, with: impl FnOnce(&mut HashMap<u64, Sender>) -> T) -> T {
        with(&mut self.people.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn tell(&self, text: &str) {
        let everybody: Vec<Sender> = self.people(|people| people.values().cloned().collect());
        for person in everybody {
            // One who has just left hears nothing; that is told by his own handler.
            let _ = person.send(text).await;
        }
    }
}

async fn person(room: Arc<Room>, id: u64, mut socket: Socket) {
    let query = socket.request().and_then(|request| request.query());
    let name = query.and_then(|q| q.strip_prefix("name=")).unwrap_or("somebody").to_owned();
    room.people(|people| people.insert(id, socket.sender()));
    room.tell(&format!("{name} came in")).await;
    while let Some(message) = socket.recv().await {
        if let Some(text) = message.as_text() {
            room.tell(&format!("{name}: {text}")).await;
        }
    }
    room.people(|people| people.remove(&id));
    room.tell(&format!("{name} left. {}", socket.ended().await)).await;
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let room = Arc::new(Room::default());
    let next = std::sync::atomic::AtomicU64::new(0);
    let handler = move |socket| {
        let id = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        person(room.clone(), id, socket)
    };
    let stop = async {
        let _ = tokio::signal::ctrl_c().await;
    };
    let drained = Server::new(handler).drain_when(stop).serve("127.0.0.1:9001").await?;
    println!("{drained}");
    Ok(())
}
