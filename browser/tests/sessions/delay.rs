//! A line on which everything takes a while, in both directions, and nothing is lost; and a gate.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

/// What may be under way in one direction of a connection: as much as a page says in a while.
const UNDER_WAY: usize = 1024;

/// Stands in front of a server, on an address of its own: 127.0.0.`number`. Each byte and each FIN
/// takes this time in each direction.
pub(crate) async fn line(number: u8, to: SocketAddr, each_way: Duration) -> SocketAddr {
    start(number, to, each_way, watch::Sender::new(true).subscribe()).await
}

/// Stands in front of a server; nothing goes through until it is told so.
pub(crate) async fn gate(to: SocketAddr) -> (SocketAddr, watch::Sender<bool>) {
    let open = watch::Sender::new(false);
    (start(1, to, Duration::ZERO, open.subscribe()).await, open)
}

async fn start(
    number: u8,
    to: SocketAddr,
    each_way: Duration,
    open: watch::Receiver<bool>,
) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::new(127, 0, 0, number), 0)).await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let mut open = open.clone();
            tokio::spawn(async move {
                // Its sender is gone only where it is open.
                let _ = open.wait_for(|open| *open).await;
                let Ok(server) = TcpStream::connect(to).await else { return };
                let (from_client, to_client) = client.into_split();
                let (from_server, to_server) = server.into_split();
                tokio::join!(
                    carry(from_client, to_server, each_way),
                    carry(from_server, to_client, each_way)
                );
            });
        }
    });
    addr
}

async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, delay: Duration) {
    let (put, mut take) = mpsc::channel::<(Instant, Vec<u8>)>(UNDER_WAY);
    let reading = async move {
        let mut buffer = vec![0; 16 * 1024];
        loop {
            // An end is carried as nothing.
            let length = from.read(&mut buffer).await.unwrap_or(0);
            let part = (Instant::now() + delay, buffer[..length].to_vec());
            if put.send(part).await.is_err() || length == 0 {
                return;
            }
        }
    };
    let writing = async move {
        while let Some((at, bytes)) = take.recv().await {
            sleep_until(at).await;
            if bytes.is_empty() || to.write_all(&bytes).await.is_err() {
                break;
            }
        }
        let _ = to.shutdown().await;
    };
    tokio::join!(reading, writing);
}
