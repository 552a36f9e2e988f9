//! Who is it? A cookie says: axum's own WebSockets.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::http::{StatusCode, header::COOKIE, request::Parts};
use axum::{Error, Router, response::Response, routing::get};

type Sessions = Arc<HashMap<&'static str, &'static str>>;

/// The person whose session the cookie names.
struct User(&'static str);

impl FromRequestParts<Sessions> for User {
    type Rejection = (StatusCode, &'static str);

    async fn from_request_parts(
        parts: &mut Parts,
        sessions: &Sessions,
    ) -> Result<Self, Self::Rejection> {
        let fields = parts.headers.get_all(COOKIE).iter().filter_map(|field| field.to_str().ok());
        let mut pairs = fields.flat_map(|field| field.split(';'));
        let session = pairs.find_map(|pair| pair.trim().strip_prefix("session="));
        let user = session.and_then(|session| sessions.get(session));
        user.map(|name| User(name)).ok_or((StatusCode::UNAUTHORIZED, "sign in first\n"))
    }
}

async fn greet(User(name): User, mut socket: WebSocket) -> Result<(), Error> {
    socket.send(Message::text(format!("hello, {name}"))).await?;
    while let Some(message) = socket.recv().await {
        if let message @ (Message::Text(_) | Message::Binary(_)) = message? {
            socket.send(message).await?;
        }
    }
    Ok(())
}

async fn ws(user: User, upgrade: WebSocketUpgrade) -> Response {
    upgrade.on_upgrade(async |socket| {
        let _ = greet(user, socket).await;
    })
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let sessions: Sessions = Arc::new(HashMap::from([("3f9a", "Ann"), ("77b0", "Bob")]));
    let app = Router::new().route("/ws", get(ws)).with_state(sessions);
    let addr = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9001".to_owned());
    let listener = tokio::net::TcpListener::bind(&addr).await?;
    println!("listening on {}", listener.local_addr()?);
    axum::serve(listener, app).await
}
