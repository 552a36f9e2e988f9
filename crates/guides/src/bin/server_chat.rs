//! A chat with state: Adieu's own server.

use std::collections::HashSet;
use std::error::Error;
use std::sync::{Arc, Mutex};

use adieu::{Close, Group, Server, SlowConsumer, Socket};

struct Chat {
    names: Mutex<HashSet<String>>,
    everybody: Group,
}

async fn person(chat: Arc<Chat>, mut socket: Socket) -> Result<(), Box<dyn Error + Send + Sync>> {
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

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let everybody = Group::new(SlowConsumer::Skip);
    let chat = Arc::new(Chat { names: Mutex::default(), everybody });
    let addr = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9001".to_owned());
    let listener = adieu::listen(&addr).await?;
    println!("listening on {}", listener.local_addr()?);
    let server = Server::new(move |socket| person(chat.clone(), socket));
    server.serve_on(listener).await?;
    Ok(())
}
