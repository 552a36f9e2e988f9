//! Who is it? A cookie says: Adieu's own server.

use std::collections::HashMap;
use std::sync::Arc;

use adieu::http::Response;
use adieu::{Accept, Closed, Handshake, Server, Socket};

type Sessions = Arc<HashMap<&'static str, &'static str>>;

/// The person whose session the cookie names.
#[derive(Clone)]
struct User(&'static str);

async fn who(sessions: Sessions, asked: Handshake) -> Result<Accept, Response<&'static str>> {
    let user = asked.cookie("session").and_then(|session| sessions.get(session));
    match user {
        Some(name) => Ok(Accept::new().extension(User(name))),
        None => Err(Response::builder().status(401).body("sign in first\n").unwrap()),
    }
}

async fn greet(mut socket: Socket) -> Result<(), Closed> {
    let name = socket.extensions().get::<User>().map_or("stranger", |user| user.0);
    socket.send(format!("hello, {name}")).await?;
    while let Some(message) = socket.recv().await {
        socket.send(message).await?;
    }
    Ok(())
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let sessions: Sessions = Arc::new(HashMap::from([("3f9a", "Ann"), ("77b0", "Bob")]));
    let addr = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9001".to_owned());
    let listener = adieu::listen(&addr).await?;
    println!("listening on {}", listener.local_addr()?);
    let server = Server::new(greet).on_handshake(move |asked| who(sessions.clone(), asked));
    server.serve_on(listener).await?;
    Ok(())
}
