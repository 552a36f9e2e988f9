//! Ctrl-C tells everybody: tokio-tungstenite.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, frame::coding::CloseCode};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, accept_async};

/// Each task holds a receiver, so that the sender knows when the last one is gone.
type Stop = watch::Receiver<bool>;

async fn echo(socket: &mut WebSocketStream<TcpStream>) -> Result<(), Error> {
    while let Some(message) = socket.next().await {
        if let message @ (Message::Text(_) | Message::Binary(_)) = message? {
            socket.send(message).await?;
        }
    }
    Ok(())
}

async fn until_stopped(tcp: TcpStream, mut stop: Stop) -> Result<(), Error> {
    let mut socket = accept_async(tcp).await?;
    tokio::select! {
        result = echo(&mut socket) => return result,
        _ = stop.wait_for(|stop| *stop) => {}
    }
    let frame = CloseFrame { code: CloseCode::Away, reason: "".into() };
    socket.close(Some(frame)).await?;
    while let Some(Ok(_)) = socket.next().await {}
    Ok(())
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let (stop, stopping) = watch::channel(false);
    let addr = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9001".to_owned());
    let listener = TcpListener::bind(&addr).await?;
    println!("listening on {}", listener.local_addr()?);
    let mut signal = std::pin::pin!(tokio::signal::ctrl_c());
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                tokio::spawn(until_stopped(accepted?.0, stopping.clone()));
            }
            _ = &mut signal => break,
        }
    }
    drop((listener, stopping));
    stop.send_replace(true);
    let all = tokio::time::timeout(Duration::from_secs(10), stop.closed()).await;
    println!("{}", if all.is_ok() { "all have ended" } else { "some have not ended" });
    Ok(())
}
