//! A server that tells how each connection ended, also those that never opened.

use adieu::{Closed, Server, Socket};

async fn echo(mut socket: Socket) -> Result<(), Closed> {
    while let Some(message) = socket.recv().await {
        socket.send(message).await?;
    }
    Ok(())
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let addr = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9001".to_owned());
    let listener = adieu::listen(addr).await?;
    println!("listening on {}", listener.local_addr()?);
    let server = Server::new(echo).on_end(|ended| println!("{}: {}", ended.peer, ended.ending));
    server.serve_on(listener).await.map(drop)
}
