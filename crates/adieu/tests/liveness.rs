//! The clocks of an open connection, in simulated time and with the defaults, over a stream of
//! which nothing is known but what it takes and gives. What the kernel's word changes is in
//! `vanished.rs`.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use adieu::{Cause, End, Ending, Endpoint, Goodbye, Server, Socket, Timer};
use testkit::{Frame, Head, Request};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

const SECOND: Duration = Duration::from_secs(1);

/// A client at the other end of a pipe in memory.
struct Pipe {
    client: DuplexStream,
    serving: JoinHandle<()>,
    endings: Arc<Mutex<Vec<Ending>>>,
}

/// Sends without end when the path says so, else waits for messages.
async fn handler(mut socket: Socket) {
    if socket.request().map(adieu::Request::path) == Some("/sends") {
        let started = Instant::now();
        while socket.send(vec![1; 4096]).await.is_ok() {}
        assert_eq!(started.elapsed().as_secs(), 20, "when `send` was freed");
    }
    while socket.recv().await.is_some() {}
}

impl Pipe {
    async fn open(path: &str) -> Self {
        let endings: Arc<Mutex<Vec<Ending>>> = Arc::default();
        let tell = endings.clone();
        let endpoint = Endpoint::new().on_end(move |ended| {
            tell.lock().unwrap().push(ended.ending.clone());
        });
        let (mut client, stream) = tokio::io::duplex(16 * 1024);
        let serving = tokio::spawn(Server::with(endpoint, handler).connection(stream));
        client.write_all(&Request::rfc6455().target(path).bytes()).await.unwrap();
        let mut head = Vec::new();
        while Head::parse(&head).is_none() {
            head.push(client.read_u8().await.unwrap());
        }
        Pipe { client, serving, endings }
    }

    /// The next bytes have to be these.
    async fn expect(&mut self, frame: &Frame) {
        let mut bytes = vec![0; frame.unmasked().len()];
        self.client.read_exact(&mut bytes).await.unwrap();
        assert_eq!(bytes, frame.unmasked());
    }

    async fn send(&mut self, frame: &Frame) {
        self.client.write_all(&frame.masked()).await.unwrap();
    }

    /// The only account, when all is over.
    async fn ended(self) -> Ending {
        timeout(60 * SECOND, self.serving).await.expect("in time").expect("no panic");
        let endings = self.endings.lock().unwrap();
        assert_eq!(endings.len(), 1, "{endings:?}");
        endings[0].clone()
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_answers_nothing_is_noticed_within_30_s() {
    let started = Instant::now();
    let mut pipe = Pipe::open("/").await;
    pipe.expect(&Frame::ping("")).await;
    assert_eq!(started.elapsed().as_secs(), 15);
    pipe.expect(&Frame::close(1011, "")).await;
    assert_eq!(started.elapsed().as_secs(), 25, "10 s for the Pong");
    let ending = pipe.ended().await;
    assert_eq!(ending.cause, Cause::Timeout(Timer::Pong), "{ending}");
    assert_eq!(ending.transport.end, End::Abandoned(Timer::Linger), "{ending}");
    assert!(ending.lasted < 30 * SECOND, "{ending}");
}

#[tokio::test(start_paused = true)]
async fn a_handler_in_send_is_freed_though_its_peer_still_speaks() {
    let mut pipe = Pipe::open("/sends").await;
    // It answers nothing that it does not read, but it speaks: it is no pong that is missing.
    for _ in 0..19 {
        sleep(SECOND).await;
        pipe.send(&Frame::text("not listening")).await;
    }
    let ending = pipe.ended().await;
    assert_eq!(ending.cause, Cause::Timeout(Timer::Write), "{ending}");
    assert_eq!(ending.goodbye, Goodbye::None, "our Close never left: {ending}");
    assert!(ending.unsent.bytes > 0 && ending.unsent.messages > 0, "{ending}");
}

#[tokio::test(start_paused = true)]
async fn any_byte_is_life() {
    let mut pipe = Pipe::open("/").await;
    // An hour of a message of which a byte comes every ten seconds: no Ping is due.
    let message = Frame::binary(vec![0; 360]).masked();
    for byte in message {
        sleep(10 * SECOND).await;
        pipe.client.write_all(&[byte]).await.unwrap();
    }
    pipe.send(&Frame::close(1000, "")).await;
    pipe.expect(&Frame::close(1000, "")).await;
    pipe.client.shutdown().await.unwrap();
    assert!(pipe.ended().await.is_clean());
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_answers_late_but_in_time_lives() {
    let mut pipe = Pipe::open("/").await;
    for _ in 0..200 {
        pipe.expect(&Frame::ping("")).await;
        sleep(9 * SECOND).await;
        pipe.send(&Frame::pong("")).await;
    }
    pipe.send(&Frame::close(1000, "")).await;
    pipe.expect(&Frame::close(1000, "")).await;
    pipe.client.shutdown().await.unwrap();
    let ending = pipe.ended().await;
    assert!(ending.is_clean() && ending.lasted > 3600 * SECOND, "{ending}");
}
