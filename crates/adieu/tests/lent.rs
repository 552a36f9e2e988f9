//! What is lent and what is shared: buffers of a thread, the clock of a task.

use std::io;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll};
use std::time::Duration;

use adieu::{Cause, Client, CloseCode, Config, Ending, Endpoint, Server, Socket};
use testkit::{Frame, Head, Request};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf};
use tokio::task::coop;
use tokio::time::{Instant, timeout};

type Endings = Arc<Mutex<Vec<Ending>>>;

fn telling(endings: &Endings) -> Endpoint {
    let tell = endings.clone();
    Endpoint::new().on_end(move |ended| tell.lock().unwrap().push(ended.ending.clone()))
}

async fn shake(client: &mut DuplexStream) {
    client.write_all(&Request::rfc6455().bytes()).await.unwrap();
    let mut head = Vec::new();
    while Head::parse(&head).is_none() {
        head.push(client.read_u8().await.unwrap());
    }
}

async fn waits(mut socket: Socket) {
    while socket.recv().await.is_some() {}
}

/// A handler that uses up what the runtime grants its task.
async fn greedy(mut socket: Socket) {
    let started = Instant::now();
    let mut was_greedy = false;
    let mut waiting = pin!(async { while socket.recv().await.is_some() {} });
    std::future::poll_fn(|cx| {
        // Once: `recv` takes part in the budget and asks for another turn, and this clock stands
        // still while anybody has a turn.
        let clock_is_set_on = !was_greedy && started.elapsed().as_secs() == 15;
        was_greedy |= clock_is_set_on;
        while clock_is_set_on && coop::has_budget_remaining() {
            let _ = pin!(coop::consume_budget()).poll(cx);
        }
        waiting.as_mut().poll(cx)
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_greedy_handler_does_not_stop_the_clock() {
    let endings = Endings::default();
    let (mut client, stream) = tokio::io::duplex(16 * 1024);
    let serving = tokio::spawn(Server::with(telling(&endings), greedy).connection(stream));
    shake(&mut client).await;
    // A word after 5 s sets the Ping on from 15 s to 20 s, at 15 s. Then it says nothing more.
    tokio::time::sleep(Duration::from_secs(5)).await;
    client.write_all(&Frame::text("a").masked()).await.unwrap();
    let mut rest = Vec::new();
    let read = timeout(Duration::from_secs(60), client.read_to_end(&mut rest)).await;
    assert!(read.is_ok(), "no Ping, no end within a minute; read {rest:?}");
    drop(client);
    serving.await.unwrap();
    assert_eq!(endings.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_client_without_pings_gives_up_a_silent_peer() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let peer = tokio::spawn(async move {
        // Answers the handshake, then reads and says nothing.
        let (mut tcp, _) = listener.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(tcp.read_u8().await.unwrap());
        }
        let head = String::from_utf8(head).unwrap();
        let key = head.lines().find_map(|l| {
            l.split_once(": ").filter(|(n, _)| n.eq_ignore_ascii_case("sec-websocket-key"))
        });
        let accept = testkit::accept_key(key.unwrap().1);
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {accept}\r\n\r\n"
        );
        tcp.write_all(answer.as_bytes()).await.unwrap();
        let mut buf = [0; 100];
        while tcp.read(&mut buf).await.is_ok_and(|n| n > 0) {}
        std::future::pending::<()>().await;
    });
    let config = Config {
        ping_interval: None,
        handshake_timeout: Duration::from_secs(1),
        close_timeout: Duration::from_secs(5),
        ..Config::default()
    };
    let client = Client::new().config(config);
    // In a task of its own, which is over by the time that the clock is needed.
    let connecting = async move { client.connect(&format!("ws://{addr}/")).await };
    let socket = tokio::spawn(connecting).await.unwrap().unwrap();
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    let ended = timeout(Duration::from_secs(20), socket.close(CloseCode::NORMAL)).await;
    peer.abort();
    assert!(ended.is_ok(), "the close deadline never ran out");
}

/// A stream that owns another connection and drops it when it is read.
struct Carrier<F> {
    stream: DuplexStream,
    carried: Option<Pin<Box<F>>>,
}

impl<F: Future<Output = ()> + Send> AsyncRead for Carrier<F> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(carried) = &mut self.carried {
            let _ = carried.as_mut().poll(cx);
        }
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<F> AsyncWrite for Carrier<F> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        b: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, b)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[tokio::test]
async fn a_stream_may_drive_another_connection_when_it_is_read() {
    let endings = Endings::default();
    let server = Server::with(telling(&endings), waits);
    let (_inner, stream) = tokio::io::duplex(1024);
    let carried = Some(Box::pin(server.connection(stream)));
    let (mut client, stream) = tokio::io::duplex(1024);
    let serving = tokio::spawn(server.connection(Carrier { stream, carried }));
    timeout(Duration::from_secs(5), shake(&mut client)).await.expect("it answers");
    drop(client);
    serving.await.expect("no panic");
}

#[test]
fn what_is_read_after_a_slow_decision_happened_after_it() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let endings = Endings::default();
    let (deciding, decides) = mpsc::channel();
    let (tell, written) = mpsc::channel();
    let written = Mutex::new(written);
    let endpoint = telling(&endings).on_request(move |_| {
        deciding.send(()).unwrap();
        written.lock().unwrap().recv().unwrap();
        Ok(())
    });
    let (mut client, stream) = tokio::io::duplex(16 * 1024);
    let serving = runtime.spawn(Server::with(endpoint, waits).connection(stream));
    runtime.block_on(async {
        client.write_all(&Request::rfc6455().bytes()).await.unwrap();
        decides.recv().unwrap();
        client.write_all(&Frame::close(1000, "").masked()).await.unwrap();
        tell.send(()).unwrap();
        let mut rest = Vec::new();
        client.read_to_end(&mut rest).await.unwrap();
        drop(client);
        serving.await.unwrap();
    });
    let ending = endings.lock().unwrap().pop().unwrap();
    assert_eq!(ending.cause, Cause::Peer);
    let (opened, close) =
        (ending.timeline.opened.unwrap(), ending.timeline.close_received.unwrap());
    assert!(opened <= close, "opened after {opened:?}, its Close read after {close:?}");
}
