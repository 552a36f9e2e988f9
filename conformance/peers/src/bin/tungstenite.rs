//! tokio-tungstenite: the loop of its examples. `tungstenite PORT` has no shutdown, as they have
//! none; `tungstenite PORT hand` has what a careful user writes.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use peers::Asked;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, frame::coding::CloseCode};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, accept_async};

type Socket = WebSocketStream<TcpStream>;

/// As long as a careful user waits for stragglers.
const CAP: Duration = Duration::from_secs(10);

async fn answer(socket: &mut Socket, message: Message) -> Result<(), Error> {
    let asked = message.to_text().map_or(Asked::Echo, peers::asked);
    match asked {
        Asked::Panic => panic!("as the check asked"),
        Asked::Send(bytes) => {
            for part in peers::parts(bytes) {
                socket.send(Message::binary(part)).await?;
            }
            Ok(())
        }
        Asked::Close(code, reason) => {
            let frame = CloseFrame { code: CloseCode::from(code), reason: reason.into() };
            socket.close(Some(frame)).await
        }
        Asked::Echo => socket.send(message).await,
    }
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

/// The documentation of `close` says to read on until the connection is closed.
async fn connection(tcp: TcpStream, mut stop: watch::Receiver<bool>) {
    let _ = tcp.set_nodelay(true);
    let Ok(mut socket) = accept_async(tcp).await else { return };
    let mut closing = false;
    loop {
        let message = tokio::select! {
            message = socket.next() => message,
            () = stopped(&mut stop), if !closing => {
                closing = true;
                let frame = CloseFrame { code: CloseCode::Away, reason: "".into() };
                let _ = socket.close(Some(frame)).await;
                continue;
            }
        };
        let Some(Ok(message)) = message else { return };
        let data = message.is_text() || message.is_binary();
        if data && !closing {
            closing = matches!(message.to_text().map(peers::asked), Ok(Asked::Close(..)));
            if answer(&mut socket, message).await.is_err() {
                return;
            }
        }
    }
}

#[tokio::main]
async fn main() {
    let hand = std::env::args().nth(2).is_some_and(|mode| mode == "hand");
    let listener = TcpListener::bind(peers::addr()).await.expect("a free port");
    let (stop, stopping) = watch::channel(false);
    let mut connections = JoinSet::new();
    let signal = async { if hand { peers::sigterm().await } else { std::future::pending().await } };
    let mut signal = std::pin::pin!(signal);
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((tcp, _)) = accepted {
                    connections.spawn(connection(tcp, stopping.clone()));
                }
            }
            Some(_) = connections.join_next() => {}
            () = &mut signal => break,
        }
    }
    drop(listener);
    stop.send_replace(true);
    let _ =
        tokio::time::timeout(CAP, async { while connections.join_next().await.is_some() {} }).await;
}
