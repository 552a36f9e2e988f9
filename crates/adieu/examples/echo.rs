//! An echo server with every version switched on and messages of up to 64 MiB, one line per
//! ending on stderr: what test suites and benchmarks talk to.
//!
//! `cargo run --release -p adieu --example echo -- 127.0.0.1:9001`

use adieu::{Closed, Config, Server, Socket, VersionSet};

async fn echo(mut socket: Socket) -> Result<(), Closed> {
    while let Some(message) = socket.recv().await {
        socket.send(message).await?;
    }
    Ok(())
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let addr = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9001".to_owned());
    let listener = adieu::listen(&addr).await?;
    println!("echo is listening on ws://{}/", listener.local_addr()?);
    let config = Config { versions: VersionSet::all(), max_message: 64 << 20, ..Config::default() };
    let drained = Server::new(echo)
        .config(config)
        .on_end(|ended| eprintln!("{}: {}", ended.peer, ended.ending))
        .drain_when(async {
            // Without signals to listen to, it runs until it is killed.
            if tokio::signal::ctrl_c().await.is_err() {
                std::future::pending::<()>().await;
            }
        })
        .serve_on(listener)
        .await?;
    eprintln!("{drained}");
    Ok(())
}
