//! The smallest server: says back what it hears, and how each connection ended.
//!
//! `cargo run -p adieu --example hello`, then open `ws://127.0.0.1:9001` from a browser's console.

use adieu::{Closed, Socket};

async fn hello(mut socket: Socket) -> Result<(), Closed> {
    while let Some(message) = socket.recv().await {
        socket.send(message).await?;
    }
    println!("{}: {}", socket.peer(), socket.ended().await);
    Ok(())
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    adieu::serve("127.0.0.1:9001", hello).await
}
