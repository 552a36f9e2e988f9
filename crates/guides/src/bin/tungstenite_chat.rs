//! A chat with state: tokio-tungstenite.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use futures_util::{SinkExt, StreamExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast::{self, error::RecvError};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, accept_async};

struct Chat {
    names: Mutex<HashSet<String>>,
    everybody: broadcast::Sender<String>,
}

async fn first_text(socket: &mut WebSocketStream<TcpStream>) -> Option<String> {
    while let Some(Ok(message)) = socket.next().await {
        if let Message::Text(text) = message {
            return Some(text.to_string());
        }
    }
    None
}

async fn person(chat: Arc<Chat>, tcp: TcpStream) -> Result<(), Error> {
    let mut socket = accept_async(tcp).await?;
    let Some(name) = first_text(&mut socket).await else { return Ok(()) };
    if !chat.names.lock().unwrap().insert(name.clone()) {
        let frame = CloseFrame { code: 4000.into(), reason: "that name is taken".into() };
        socket.close(Some(frame)).await?;
        while let Some(Ok(_)) = socket.next().await {}
        return Ok(());
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
            message = socket.next() => match message {
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
    Ok(())
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let chat = Arc::new(Chat { names: Mutex::default(), everybody: broadcast::channel(100).0 });
    let addr = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9001".to_owned());
    let listener = TcpListener::bind(&addr).await?;
    println!("listening on {}", listener.local_addr()?);
    loop {
        let (tcp, _) = listener.accept().await?;
        tokio::spawn(person(chat.clone(), tcp));
    }
}
