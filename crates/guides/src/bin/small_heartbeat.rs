//! A server that asks a silent peer after a second, and gives it a second to answer.

use std::time::Duration;

use adieu::{Config, Server, Socket};

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let addr = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9001".to_owned());
    let listener = adieu::listen(addr).await?;
    println!("listening on {}", listener.local_addr()?);
    let second = Duration::from_secs(1);
    let config = Config { ping_interval: Some(second), pong_timeout: second, ..Config::default() };
    let server = Server::new(async |mut socket: Socket| {
        while socket.recv().await.is_some() {}
        println!("{}", socket.ended().await);
    });
    server.config(config).serve_on(listener).await.map(drop)
}
