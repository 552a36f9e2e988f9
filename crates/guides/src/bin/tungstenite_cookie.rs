//! Who is it? A cookie says: tokio-tungstenite.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::{SinkExt, StreamExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::accept_hdr_async;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::{StatusCode, header::COOKIE};
use tokio_tungstenite::tungstenite::{Error, Message};

type Sessions = Arc<HashMap<&'static str, &'static str>>;

/// The person whose session the cookie names.
fn who(sessions: &Sessions, request: &Request) -> Option<&'static str> {
    let fields = request.headers().get_all(COOKIE).iter().filter_map(|field| field.to_str().ok());
    let mut pairs = fields.flat_map(|field| field.split(';'));
    let session = pairs.find_map(|pair| pair.trim().strip_prefix("session="))?;
    sessions.get(session).copied()
}

async fn greet(sessions: Sessions, tcp: TcpStream) -> Result<(), Error> {
    let mut name = "";
    #[allow(clippy::result_large_err, reason = "the type is tungstenite's")]
    let callback = |request: &Request, response: Response| {
        let Some(user) = who(&sessions, request) else {
            let mut refusal = ErrorResponse::new(Some("sign in first\n".to_owned()));
            *refusal.status_mut() = StatusCode::UNAUTHORIZED;
            return Err(refusal);
        };
        name = user;
        Ok(response)
    };
    let mut socket = accept_hdr_async(tcp, callback).await?;
    socket.send(Message::text(format!("hello, {name}"))).await?;
    while let Some(message) = socket.next().await {
        if let message @ (Message::Text(_) | Message::Binary(_)) = message? {
            socket.send(message).await?;
        }
    }
    Ok(())
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let sessions: Sessions = Arc::new(HashMap::from([("3f9a", "Ann"), ("77b0", "Bob")]));
    let addr = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9001".to_owned());
    let listener = TcpListener::bind(&addr).await?;
    println!("listening on {}", listener.local_addr()?);
    loop {
        let (tcp, _) = listener.accept().await?;
        tokio::spawn(greet(sessions.clone(), tcp));
    }
}
