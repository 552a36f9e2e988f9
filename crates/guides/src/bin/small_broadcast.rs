//! A server where everybody hears what one says.

use adieu::{Group, Server, SlowConsumer, Socket};

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let addr = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9001".to_owned());
    let listener = adieu::listen(addr).await?;
    println!("listening on {}", listener.local_addr()?);
    let everybody = Group::new(SlowConsumer::Skip);
    let server = Server::new(move |mut socket: Socket| {
        let everybody = everybody.clone();
        async move {
            let _member = everybody.join(&socket);
            while let Some(message) = socket.recv().await {
                everybody.broadcast(message).await;
            }
        }
    });
    server.serve_on(listener).await.map(drop)
}
