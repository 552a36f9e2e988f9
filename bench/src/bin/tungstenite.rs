//! tokio-tungstenite, as its examples have it. `tungstenite MODE`; prints its port.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use bench::peer::{self, Mode};
use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, frame::coding::CloseCode};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, accept_async};

type Socket = WebSocketStream<TcpStream>;
type Peers = Arc<Mutex<HashMap<u64, mpsc::UnboundedSender<Message>>>>;

async fn echo(mut socket: Socket) -> Result<(), Error> {
    while let Some(message) = socket.next().await {
        let message = message?;
        if message.is_text() || message.is_binary() {
            socket.send(message).await?;
        }
    }
    Ok(())
}

/// Any message closes all; its documentation says to read on until the connection is closed.
async fn storm(mut socket: Socket, stop: watch::Sender<bool>) -> Result<(), Error> {
    let mut stopped = stop.subscribe();
    let mut closing = false;
    loop {
        tokio::select! {
            message = socket.next() => {
                let Some(message) = message else { return Ok(()) };
                let message = message?;
                if message.is_text() || message.is_binary() {
                    stop.send_replace(true);
                }
            }
            () = peer::stopped(&mut stopped), if !closing => {
                closing = true;
                let frame = CloseFrame { code: CloseCode::Away, reason: "".into() };
                socket.close(Some(frame)).await?;
            }
        }
    }
}

/// As in its chat example: a map of channels, one task that forwards for each connection.
async fn fan_out(socket: Socket, id: u64, peers: Peers) {
    let (outgoing, mut incoming) = socket.split();
    let (tx, mut rx) = mpsc::unbounded_channel();
    peers.lock().unwrap().insert(id, tx);
    let forward = async {
        let mut outgoing = outgoing;
        while let Some(message) = rx.recv().await {
            if outgoing.send(message).await.is_err() {
                break;
            }
        }
    };
    let broadcast = async {
        while let Some(Ok(message)) = incoming.next().await {
            if message.is_text() {
                for peer in peers.lock().unwrap().values() {
                    let _ = peer.send(message.clone());
                }
            }
        }
    };
    tokio::select! {
        () = forward => {}
        () = broadcast => {}
    }
    peers.lock().unwrap().remove(&id);
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let mode = Mode::from_args();
    let listener = peer::listen();
    let stop = watch::Sender::new(false);
    let peers = Peers::default();
    for id in 0.. {
        let (tcp, _) = listener.accept().await.expect("a connection");
        let _ = tcp.set_nodelay(true);
        let (stop, peers) = (stop.clone(), peers.clone());
        tokio::spawn(async move {
            let Ok(socket) = accept_async(tcp).await else { return };
            match mode {
                Mode::Echo | Mode::Goodbye => drop(echo(socket).await),
                Mode::Storm => drop(storm(socket, stop).await),
                Mode::FanOut => fan_out(socket, id, peers).await,
            }
        });
    }
}
