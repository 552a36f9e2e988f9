//! A server that reads questions and writes answers in JSON.

use adieu::{JsonError, Server, Socket};

#[derive(serde::Deserialize)]
struct Question {
    a: i64,
    b: i64,
}

async fn add(mut socket: Socket) -> Result<(), JsonError> {
    while let Some(Question { a, b }) = socket.recv_json().await? {
        socket.send_json(&(a + b)).await?;
    }
    Ok(())
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let addr = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9001".to_owned());
    let listener = adieu::listen(addr).await?;
    println!("listening on {}", listener.local_addr()?);
    Server::new(add).serve_on(listener).await.map(drop)
}
