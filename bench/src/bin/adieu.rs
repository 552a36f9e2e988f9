//! Adieu, with nothing but its defaults. `adieu MODE [multi]`; prints its port. With one of `off`,
//! `alone`, `history` and `both` it is the echo of the cells that compress; with `tls` it serves
//! TLS, over HTTP/2 as well.

use std::sync::Arc;

use adieu::{Closed, Config, Group, Server, SlowConsumer, Socket};
use bench::peer::Mode;
use tokio::sync::Notify;

/// How messages are compressed, if they are.
#[cfg(feature = "deflate")]
fn compression() -> Config {
    let default = adieu::Deflate::default();
    let deflate = match std::env::args().nth(2).unwrap_or_default().as_str() {
        // As the server of Bun that it is beside.
        "alone" => Some(adieu::Deflate { history: 0, level: 6, ..default }),
        "history" => Some(default),
        "both" => {
            let client_window_bits = adieu::WindowBits::new(12);
            Some(adieu::Deflate { client_window_bits, ..default })
        }
        _ => None,
    };
    Config { deflate, ..Config::default() }
}

#[cfg(not(feature = "deflate"))]
fn compression() -> Config {
    Config::default()
}

async fn echo(mut socket: Socket) -> Result<(), Closed> {
    while let Some(message) = socket.recv().await {
        socket.send(message).await?;
    }
    Ok(())
}

fn main() -> std::io::Result<()> {
    let multi = std::env::args().nth(2).is_some_and(|word| word == "multi");
    let mut runtime = match multi {
        // One core, one worker.
        true => tokio::runtime::Builder::new_multi_thread(),
        false => tokio::runtime::Builder::new_current_thread(),
    };
    runtime.worker_threads(1).enable_all().build()?.block_on(serve())
}

async fn serve() -> std::io::Result<()> {
    let listener = adieu::listen("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?.port());
    match Mode::from_args() {
        Mode::Echo | Mode::Goodbye => {
            let server = Server::new(echo).config(compression());
            #[cfg(feature = "http2")]
            let server = match std::env::args().nth(2).as_deref() {
                Some("tls") => server.tls(bench::tls::server_config()?).http2(true),
                _ => server,
            };
            server.serve_on(listener).await?
        }
        Mode::Storm => storm(listener).await?,
        Mode::FanOut => fan_out(listener).await?,
    };
    // What it spent is read by the one who started it, who then ends it.
    std::future::pending().await
}

/// The first message stops the server: its drain closes everybody with 1001.
async fn storm(listener: tokio::net::TcpListener) -> std::io::Result<adieu::Drained> {
    let stop = Arc::new(Notify::new());
    let stopped = stop.clone();
    let handler = move |mut socket: Socket| {
        let stop = stop.clone();
        async move {
            while socket.recv().await.is_some() {
                stop.notify_one();
            }
        }
    };
    let stopped = async move { stopped.notified().await };
    Server::new(handler).drain_when(stopped).serve_on(listener).await
}

/// Each message goes to everybody.
async fn fan_out(listener: tokio::net::TcpListener) -> std::io::Result<adieu::Drained> {
    let room = Group::new(SlowConsumer::Wait);
    let handler = move |mut socket: Socket| {
        let room = room.clone();
        async move {
            let _member = room.join(&socket);
            while let Some(message) = socket.recv().await {
                room.broadcast(message).await;
            }
        }
    };
    Server::new(handler).serve_on(listener).await
}
