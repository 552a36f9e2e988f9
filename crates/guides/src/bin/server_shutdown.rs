//! Ctrl-C tells everybody: Adieu's own server.

use adieu::{Closed, Server, Socket};

async fn echo(mut socket: Socket) -> Result<(), Closed> {
    while let Some(message) = socket.recv().await {
        socket.send(message).await?;
    }
    Ok(())
}

async fn signal() {
    let _ = tokio::signal::ctrl_c().await;
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let addr = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9001".to_owned());
    let listener = adieu::listen(&addr).await?;
    println!("listening on {}", listener.local_addr()?);
    let drained = Server::new(echo).drain_when(signal()).serve_on(listener).await?;
    println!("{drained}");
    Ok(())
}
