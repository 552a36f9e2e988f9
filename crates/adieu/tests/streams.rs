//! Streams that are neither TCP nor our TLS: one that buffers, a pipe in memory, a Unix socket, and
//! one whose reads fail for ever.

mod served;

use std::collections::VecDeque;
use std::future::Future;
use std::io::{self, ErrorKind, Read, Write};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Waker};

use adieu::{Cause, Drain, End, Ending, Endpoint, Handler, Server, TransportKind};
use served::{Served, echo, echo_some};
use testkit::{DEADLINE, Frame, Head, Peer, Request, TcpEnd};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufStream, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Serves TCP connections, each over what `over` makes of it.
fn serve_over<S>(handler: impl Handler, over: fn(TcpStream) -> S) -> Served
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    Served::start(Endpoint::new(), move |endpoint, listener, drain: Drain| async move {
        let server = Server::with(endpoint, handler);
        loop {
            let tcp = adieu::accept(&listener, &drain).await;
            tokio::spawn(server.connection(over(tcp)));
        }
    })
}

// A stream that buffers: what is written leaves when the stream is flushed.

#[test]
fn everything_leaves_through_a_stream_that_buffers() {
    let served = serve_over(echo, BufStream::new);
    let mut peer = Peer::connect(served.addr);
    peer.write(Request::rfc6455().bytes());
    assert_eq!(peer.read_head().status(), 101, "the answer to the handshake arrives");
    for text in ["one", "two"] {
        peer.send(&Frame::text(text));
        assert_eq!(peer.read_frame(), Frame::text(text), "a message arrives by itself");
    }
    // Larger than the buffer of 8 KiB, and not a multiple of it.
    let large = Frame::binary(vec![0xA5; 50_001]);
    peer.send(&large);
    assert!(peer.read_frame() == large, "the end of a large message arrives");
    peer.send(&Frame::close(4001, "bye"));
    assert_eq!(peer.read_frame(), Frame::close(4001, ""), "the answer to a Close arrives");
    assert_eq!(peer.read_to_end().end, TcpEnd::Fin);
    drop(peer);
    let ending = served.account().ending;
    assert!(ending.is_clean() && ending.cause == Cause::Peer, "{ending}");
    served.stop();
}

#[test]
fn our_close_leaves_through_a_stream_that_buffers() {
    let served = serve_over(echo_some(1), BufStream::new);
    let mut peer = Peer::open(served.addr);
    peer.send(&Frame::text("last"));
    assert_eq!(peer.read_frame(), Frame::text("last"));
    assert_eq!(peer.read_to_end_answering(), Frame::close(1000, ""));
    drop(peer);
    let ending = served.account().ending;
    assert!(ending.is_clean(), "{ending}");
    served.stop();
}

/// Nothing was written for a while, then other tasks than the driver's write.
#[test]
fn a_sender_in_another_task_is_flushed_as_well() {
    let served = serve_over(
        async |mut socket: adieu::Socket| {
            let sender = socket.sender();
            while socket.recv().await.is_some() {
                let sender = sender.clone();
                tokio::spawn(async move { sender.send("from another task").await });
            }
        },
        BufStream::new,
    );
    let mut peer = Peer::open(served.addr);
    for _ in 0..3 {
        peer.send(&Frame::text("please"));
        assert_eq!(peer.read_frame(), Frame::text("from another task"));
    }
    peer.send(&Frame::close(1000, ""));
    assert_eq!(peer.read_to_end().end, TcpEnd::Fin);
    drop(peer);
    assert!(served.account().ending.is_clean());
    served.stop();
}

// A pipe in memory, and a Unix socket.

#[tokio::test]
async fn a_pipe_in_memory_is_served_to_a_clean_end() {
    let (tell, told) = mpsc::channel();
    let (mut client, stream) = tokio::io::duplex(64);
    let serving = tokio::spawn(telling(tell, echo).connection(stream));
    client.write_all(&Request::rfc6455().bytes()).await.unwrap();
    let mut head = Vec::new();
    while Head::parse(&head).is_none() {
        head.push(client.read_u8().await.unwrap());
    }
    let frames = [Frame::text("hello"), Frame::close(1000, "")];
    for frame in &frames {
        client.write_all(&frame.masked()).await.unwrap();
        let mut back = vec![0; frame.unmasked().len()];
        client.read_exact(&mut back).await.unwrap();
        assert_eq!(back, frame.unmasked());
    }
    client.shutdown().await.unwrap();
    timeout(DEADLINE, serving).await.expect("in time").unwrap();
    let ending: Ending = told.try_recv().expect("an account");
    assert!(ending.is_clean(), "{ending}");
}

/// A server whose accounts come here.
fn telling<H: Handler>(tell: mpsc::Sender<Ending>, handler: H) -> Server<H> {
    let tell = std::sync::Mutex::new(tell);
    Server::new(handler).on_end(move |ended| {
        let _ = tell.lock().unwrap().send(ended.ending.clone());
    })
}

/// Opens a WebSocket over a Unix socket, lets `die` have the client's end, and gives the account.
#[cfg(unix)]
fn over_a_unix_socket(die: impl FnOnce(std::os::unix::net::UnixStream)) -> Ending {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (tell, told) = mpsc::channel();
    let (mut client, ours) = std::os::unix::net::UnixStream::pair().unwrap();
    client.set_read_timeout(Some(DEADLINE)).unwrap();
    ours.set_nonblocking(true).unwrap();
    let server = telling(tell, echo);
    runtime.spawn(async move {
        let stream = tokio::net::UnixStream::from_std(ours).unwrap();
        server.connection(stream).await;
    });
    client.write_all(&Request::rfc6455().bytes()).unwrap();
    let mut head = Vec::new();
    while Head::parse(&head).is_none() {
        let mut byte = [0];
        client.read_exact(&mut byte).unwrap();
        head.extend(byte);
    }
    die(client);
    told.recv_timeout(DEADLINE).expect("an account")
}

#[cfg(unix)]
#[test]
fn the_end_of_a_unix_socket_is_not_told_as_an_end_of_tcp() {
    let clean = over_a_unix_socket(|mut client| {
        client.write_all(&Frame::close(1000, "").masked()).unwrap();
        let mut rest = Vec::new();
        client.read_to_end(&mut rest).unwrap();
        assert_eq!(rest, Frame::close(1000, "").unmasked());
    });
    assert!(clean.is_clean(), "{clean}");
    let cut = over_a_unix_socket(drop);
    assert_eq!(cut.cause, Cause::Eof, "{cut}");
    for ending in [clean, cut] {
        let transport = ending.transport;
        let told = (TransportKind::Stream, End::Finished);
        assert_eq!((transport.kind, transport.end), told, "{ending}");
        assert!(!ending.to_string().contains("TCP"), "there was no TCP: {ending}");
    }
}

// A stream whose reads fail, each time they are tried.

/// Gives what stands in `input`, then fails each read in the same way. Takes what is written.
struct Failing {
    input: VecDeque<u8>,
    kind: ErrorKind,
    /// Reads fail only when something was written: the connection is open by then.
    waits: bool,
    reader: Option<Waker>,
}

impl AsyncRead for Failing {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let stream = self.get_mut();
        if stream.input.is_empty() && stream.waits {
            stream.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        if stream.input.is_empty() {
            return Poll::Ready(Err(io::Error::new(stream.kind, "the cable is on fire")));
        }
        let len = stream.input.len().min(buf.remaining());
        buf.put_slice(&stream.input.drain(..len).collect::<Vec<_>>());
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Failing {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.waits = false;
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// A future that counts its polls.
struct Counted<F> {
    future: Pin<Box<F>>,
    polls: Arc<AtomicUsize>,
}

impl<F: Future> Future for Counted<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.polls.fetch_add(1, SeqCst);
        self.future.as_mut().poll(cx)
    }
}

/// Serves a stream that fails behind these bytes: the account, and how often the connection was
/// polled until then.
async fn failing(input: &[u8], kind: ErrorKind, waits: bool) -> (Ending, usize) {
    let (tell, told) = mpsc::channel();
    let polls = Arc::new(AtomicUsize::new(0));
    let input = input.iter().copied().collect();
    let stream = Failing { input, kind, waits, reader: None };
    let future = Box::pin(telling(tell, echo).connection(stream));
    let counted = Counted { future, polls: polls.clone() };
    timeout(DEADLINE, tokio::spawn(counted)).await.expect("in time").expect("no panic");
    (told.try_recv().expect("an account"), polls.load(SeqCst))
}

/// Beside what the connection needs to be opened and to end.
const MOST_POLLS: usize = 300;

/// What no TCP and no TLS has said may not be told as one of theirs.
const WORDS_OF_OTHERS: [&str; 5] = ["TCP", "TLS", "RST", "reset", "FIN"];

fn request() -> Vec<u8> {
    Request::rfc6455().bytes()
}

const ODD: [ErrorKind; 3] = [ErrorKind::InvalidData, ErrorKind::Other, ErrorKind::Unsupported];

#[tokio::test]
async fn reads_that_fail_for_ever_do_not_keep_a_core_busy() {
    for kind in ODD {
        // Inside the request, behind it in the same wake, and when the connection is open.
        for (input, waits) in [(&request()[..20], false), (&request(), false), (&request(), true)] {
            let (ending, polls) = failing(input, kind, waits).await;
            println!("{kind:?} behind {} bytes, {polls} polls: {ending}", input.len());
            assert!(polls <= MOST_POLLS, "{kind:?}: {polls} polls: {ending}");
        }
    }
}

#[tokio::test]
async fn an_error_that_nobody_knows_is_told_as_what_it_is() {
    let mut wrong = Vec::new();
    for kind in ODD {
        let (ending, _) = failing(&request(), kind, true).await;
        let sentence = ending.to_string();
        println!("{kind:?}: {sentence}");
        assert!(!ending.is_clean(), "{sentence}");
        assert_eq!(ending.cause, Cause::TransportFailed, "{ending}");
        assert_eq!(ending.transport.end, End::Unknown, "{ending}");
        assert!(ending.error.is_some(), "{ending}");
        if WORDS_OF_OTHERS.iter().any(|word| sentence.contains(word)) {
            wrong.push(format!("{kind:?}: {sentence}"));
        }
    }
    assert!(wrong.is_empty(), "there was no TCP, no TLS, no FIN and no RST: {wrong:#?}");
}

#[tokio::test]
async fn a_reset_of_a_stream_that_is_no_tcp_is_a_reset() {
    let (ending, polls) = failing(&request(), ErrorKind::ConnectionReset, true).await;
    assert_eq!(ending.cause, Cause::Reset, "{ending}");
    assert!(polls <= MOST_POLLS, "{polls} polls");
}
