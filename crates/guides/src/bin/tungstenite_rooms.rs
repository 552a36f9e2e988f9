//! Rooms: tokio-tungstenite.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use futures_util::{SinkExt, StreamExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast::{self, error::RecvError};
use tokio_tungstenite::accept_hdr_async;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::{Error, Message};

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

async fn guest(rooms: Arc<Rooms>, tcp: TcpStream) -> Result<(), Error> {
    let mut name = String::new();
    #[allow(clippy::result_large_err, reason = "the type is tungstenite's")]
    let callback = |request: &Request, response: Response| -> Result<Response, ErrorResponse> {
        request.uri().path().clone_into(&mut name);
        Ok(response)
    };
    let mut socket = accept_hdr_async(tcp, callback).await?;
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
            message = socket.next() => match message {
                Some(Ok(message @ (Message::Text(_) | Message::Binary(_)))) => {
                    let _ = room.send(message);
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => break,
            }
        }
    }
    rooms.leave(&name, hear);
    Ok(())
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let rooms = Arc::new(Rooms::default());
    let addr = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9001".to_owned());
    let listener = TcpListener::bind(&addr).await?;
    println!("listening on {}", listener.local_addr()?);
    loop {
        let (tcp, _) = listener.accept().await?;
        tokio::spawn(guest(rooms.clone(), tcp));
    }
}
