//! The clocks of an open connection, in simulated time and with the defaults, over a stream of
//! which nothing is known but what it takes and gives. What the kernel's word changes is in
//! `vanished.rs`.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use adieu::{
    Cause, CloseCode, ClosingHandshake, End, Ending, Endpoint, Handler, Server, Socket, Timer,
};
use testkit::{Frame, Head, Request};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf};
use tokio::sync::mpsc;
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
        Self::open_over(path, handler, |stream| stream).await
    }

    /// The server has this handler, and what `over` makes of its end of the pipe.
    async fn open_over<S>(
        path: &str,
        handler: impl Handler,
        over: impl FnOnce(DuplexStream) -> S,
    ) -> Self
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let endings: Arc<Mutex<Vec<Ending>>> = Arc::default();
        let tell = endings.clone();
        let endpoint = Endpoint::new().on_end(move |ended| {
            tell.lock().unwrap().push(ended.ending.clone());
        });
        let (mut client, stream) = tokio::io::duplex(16 * 1024);
        let serving = tokio::spawn(Server::with(endpoint, handler).connection(over(stream)));
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
    assert_eq!(ending.transport.end, End::LetGo(adieu::LetGo::Clock(Timer::Linger)), "{ending}");
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
    assert_eq!(ending.closing_handshake, ClosingHandshake::None, "our Close never left: {ending}");
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

/// Waits for a message while another part of its own task, or another task, says goodbye. Tells
/// when that was, then when it heard of it.
async fn says_goodbye_while_it_waits(mut socket: Socket, tell: mpsc::Sender<Instant>) {
    let path = socket.request().map(|request| request.path().to_owned()).unwrap_or_default();
    let (sender, later, told) = (socket.sender(), path.ends_with("later"), tell.clone());
    let goodbye = async move {
        if later {
            sleep(SECOND).await;
        }
        tell.try_send(Instant::now()).expect("room");
        sender.close(CloseCode::GOING_AWAY);
    };
    let heard = async {
        assert_eq!(socket.recv().await, None);
        told.try_send(Instant::now()).expect("room");
    };
    if path.starts_with("/task") {
        // Not waited for: its end would wake this task as well.
        tokio::spawn(goodbye);
        heard.await;
    } else {
        tokio::join!(heard, goodbye);
    }
}

/// A wake-up that is swallowed shows only when nothing else happens before the next timer: here
/// time stands still until there is nothing else to do.
#[tokio::test(start_paused = true)]
async fn recv_hears_our_own_goodbye_at_once() {
    for path in ["/here/now", "/here/later", "/task/now", "/task/later"] {
        let (tell, mut told) = mpsc::channel(2);
        let handler = move |socket| says_goodbye_while_it_waits(socket, tell.clone());
        let mut pipe = Pipe::open_over(path, handler, |stream| stream).await;
        // The peer answers nothing meanwhile.
        let said = told.recv().await.expect("the goodbye");
        let heard = told.recv().await.expect("the end of recv");
        assert_eq!(heard - said, Duration::ZERO, "{path}");
        pipe.expect(&Frame::close(1001, "")).await;
        pipe.send(&Frame::close(1001, "")).await;
        pipe.client.shutdown().await.unwrap();
        let ending = pipe.ended().await;
        let by_us = matches!(ending.cause, Cause::Application | Cause::HandlerReturned);
        assert!(ending.is_clean() && by_us, "{path}: {ending}");
    }
}

/// A stream that takes the answer to the handshake, and from then on nothing: it says neither
/// that it is full nor why.
struct TakesNothing {
    stream: DuplexStream,
    answered: bool,
    asked: Arc<AtomicUsize>,
}

impl AsyncRead for TakesNothing {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for TakesNothing {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if std::mem::replace(&mut this.answered, true) {
            // A driver that spins is let out of it some time, for the test to say so.
            let spins = this.asked.fetch_add(1, SeqCst) > 1000;
            return if spins { Poll::Pending } else { Poll::Ready(Ok(0)) };
        }
        Pin::new(&mut this.stream).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_takes_nothing_has_failed() {
    let fin = (Cause::Eof, End::Finished);
    let given_up = (Cause::Timeout(Timer::Linger), End::LetGo(adieu::LetGo::Clock(Timer::Linger)));
    // The peer ends before our write fails, a second after it, or never.
    for (ends_after, want) in [(Some(0), &fin), (Some(1), &fin), (None, &given_up)] {
        let asked = Arc::new(AtomicUsize::new(0));
        let over = |stream| TakesNothing { stream, answered: false, asked: asked.clone() };
        let (tell, mut told) = mpsc::channel(1);
        let handler = move |mut socket: Socket| {
            let tell = tell.clone();
            async move {
                let mut sent = Vec::new();
                while let Some(message) = socket.recv().await {
                    sent.push(socket.send(message).await);
                }
                tell.send(sent).await.expect("the test");
            }
        };
        let started = Instant::now();
        let mut pipe = Pipe::open_over("/", handler, over).await;
        pipe.send(&Frame::text("first")).await;
        if ends_after != Some(0) {
            sleep(SECOND).await;
            pipe.send(&Frame::text("second")).await;
        }
        if ends_after.is_some() {
            pipe.client.shutdown().await.unwrap();
        }
        let ending = pipe.ended().await;
        let sent = told.recv().await.expect("the handler comes to its end");
        // What came before the end was given, and nothing more was taken for a dead stream.
        let sent: Vec<bool> = sent.iter().map(Result::is_ok).collect();
        let messages = if ends_after == Some(0) { &[true][..] } else { &[true, false] };
        assert_eq!(sent, messages, "{ending}");
        assert_eq!((&ending.cause, ending.transport.end), (&want.0, want.1), "{ending}");
        assert_eq!((ending.unsent.messages, ending.unsent.bytes), (1, 7), "{ending}");
        assert!(started.elapsed() < 3 * SECOND, "{ending}");
        assert_eq!(asked.load(SeqCst), 1, "a stream that failed is not asked again");
    }
}
