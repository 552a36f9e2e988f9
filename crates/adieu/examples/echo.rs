//! An echo server with every version switched on and messages of up to 64 MiB, one line per
//! ending on stderr: what test suites and benchmarks talk to.
//!
//! `cargo run --release -p adieu --example echo -- 127.0.0.1:9001`
//! With `--features deflate` and `--compress` messages are compressed.

use adieu::{Closed, Config, Server, Socket, VersionSet};

async fn echo(mut socket: Socket) -> Result<(), Closed> {
    while let Some(message) = socket.recv().await {
        socket.send(message).await?;
    }
    Ok(())
}

/// Small messages too, and bytes, so that a test suite sees all of it.
#[cfg(feature = "deflate")]
fn compress(config: &mut Config) {
    let deflate = adieu::Deflate {
        binary: true,
        min_with_history: 1,
        min_without_history: 1,
        client_window_bits: adieu::WindowBits::new(12),
        ..adieu::Deflate::default()
    };
    config.deflate = Some(deflate);
}

#[cfg(not(feature = "deflate"))]
fn compress(_: &mut Config) {
    eprintln!("--compress needs the feature deflate: build with --features deflate");
    std::process::exit(2);
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let mut words: Vec<String> = std::env::args().skip(1).collect();
    let before = words.len();
    words.retain(|word| word != "--compress");
    let compresses = words.len() < before;
    let addr = words.into_iter().next().unwrap_or_else(|| "127.0.0.1:9001".to_owned());
    let listener = adieu::listen(&addr).await?;
    println!("echo is listening on ws://{}/", listener.local_addr()?);
    let mut config =
        Config { versions: VersionSet::all(), max_message: 64 << 20, ..Config::default() };
    if compresses {
        compress(&mut config);
    }
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
