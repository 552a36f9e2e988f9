//! fastwebsockets behind hyper, as its example has it. `fastwebsockets MODE`; prints its port.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use bench::peer::{self, Mode};
use bytes::Bytes;
use fastwebsockets::{FragmentCollector, Frame, OpCode, Payload, WebSocketError, upgrade};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::Upgraded;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::sync::{mpsc, watch};

type Socket = FragmentCollector<TokioIo<Upgraded>>;

/// Close code 1001, "going away".
const GOING_AWAY: u16 = 1001;

#[derive(Clone)]
struct App {
    mode: Mode,
    stop: watch::Sender<bool>,
    peers: Arc<Mutex<Peers>>,
}

#[derive(Default)]
struct Peers {
    next: u64,
    all: HashMap<u64, mpsc::UnboundedSender<Bytes>>,
}

async fn echo(mut socket: Socket) -> Result<(), WebSocketError> {
    loop {
        let frame = socket.read_frame().await?;
        match frame.opcode {
            OpCode::Close => return Ok(()),
            OpCode::Text | OpCode::Binary => socket.write_frame(frame).await?,
            _ => {}
        }
    }
}

/// Any message closes all.
async fn storm(mut socket: Socket, stop: watch::Sender<bool>) -> Result<(), WebSocketError> {
    let mut stopped = stop.subscribe();
    loop {
        tokio::select! {
            frame = socket.read_frame() => match frame?.opcode {
                OpCode::Close => return Ok(()),
                OpCode::Text | OpCode::Binary => drop(stop.send_replace(true)),
                _ => {}
            },
            () = peer::stopped(&mut stopped) => break,
        }
    }
    socket.write_frame(Frame::close(GOING_AWAY, b"")).await?;
    while socket.read_frame().await?.opcode != OpCode::Close {}
    Ok(())
}

/// It has no example of a broadcast; this is the map of channels that most have.
async fn fan_out(mut socket: Socket, peers: Arc<Mutex<Peers>>) -> Result<(), WebSocketError> {
    let (tx, mut rx) = mpsc::unbounded_channel();
    {
        let mut peers = peers.lock().unwrap();
        peers.next += 1;
        let id = peers.next;
        peers.all.insert(id, tx);
    }
    loop {
        tokio::select! {
            frame = socket.read_frame() => {
                let frame = frame?;
                match frame.opcode {
                    OpCode::Close => return Ok(()),
                    OpCode::Text => publish(&peers, &Bytes::copy_from_slice(&frame.payload)),
                    _ => {}
                }
            }
            Some(message) = rx.recv() => {
                socket.write_frame(Frame::text(Payload::Borrowed(&message))).await?;
            }
        }
    }
}

fn publish(peers: &Mutex<Peers>, message: &Bytes) {
    // Who has left is forgotten at the next message.
    peers.lock().unwrap().all.retain(|_, peer| peer.send(message.clone()).is_ok());
}

async fn serve(app: App, upgraded: upgrade::UpgradeFut) -> Result<(), WebSocketError> {
    let socket = FragmentCollector::new(upgraded.await?);
    match app.mode {
        Mode::Echo | Mode::Goodbye => echo(socket).await,
        Mode::Storm => storm(socket, app.stop).await,
        Mode::FanOut => fan_out(socket, app.peers).await,
    }
}

fn upgraded(
    app: App,
    request: &mut Request<Incoming>,
) -> Result<Response<Empty<Bytes>>, WebSocketError> {
    let (response, upgraded) = upgrade::upgrade(request)?;
    tokio::spawn(tokio::task::unconstrained(serve(app, upgraded)));
    Ok(response)
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let (stop, peers) = (watch::Sender::new(false), Arc::default());
    let app = App { mode: Mode::from_args(), stop, peers };
    let listener = peer::listen();
    loop {
        let (tcp, _) = listener.accept().await.expect("a connection");
        let _ = tcp.set_nodelay(true);
        let app = app.clone();
        let service = service_fn(move |mut request| {
            let app = app.clone();
            async move { upgraded(app, &mut request) }
        });
        let serving = http1::Builder::new().serve_connection(TokioIo::new(tcp), service);
        tokio::spawn(serving.with_upgrades());
    }
}
