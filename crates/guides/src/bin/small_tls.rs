//! A server for wss://, with a certificate and its key from files.

use adieu::{Closed, Server, Socket, tls};

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
    let config = tls::server_config("cert.pem", "key.pem")?;
    Server::new(echo).tls(config).serve_on(listener).await?;
    Ok(())
}
