//! Streams of an application's own that fail in their own ways: one that panics, one whose write
//! fails and whose read says nothing, one that looks at its connection when it is dropped. And
//! connections that are dropped where no runtime is.

mod support;

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll};
use std::thread;
use std::time::Duration;

use adieu::{End, Ending, Endpoint, LetGo, Sender, Server, Socket};
use testkit::{DEADLINE, Frame, Request};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf};
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

/// A server whose endings are told to the test.
fn telling(handler: impl adieu::Handler) -> (Server<impl adieu::Handler>, mpsc::Receiver<Ending>) {
    let (tell, told) = mpsc::channel();
    let endpoint = Endpoint::new().on_end(move |ended| {
        let _ = tell.send(ended.ending.clone());
    });
    (Server::with(endpoint, handler), told)
}

async fn takes_all(mut socket: Socket) {
    while socket.recv().await.is_some() {}
}

/// Gives these bytes and then does what it is for; takes what is written until it fails.
struct Odd {
    input: Vec<u8>,
    panics: bool,
    /// Its writes fail after so many bytes.
    takes: usize,
}

impl Odd {
    fn with(panics: bool, takes: usize) -> Self {
        Odd { input: Request::rfc6455().bytes(), panics, takes }
    }
}

impl AsyncRead for Odd {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.input.is_empty() {
            assert!(!self.panics, "a fault of the stream's own");
            return Poll::Pending;
        }
        buf.put_slice(&std::mem::take(&mut self.input));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Odd {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.takes == 0 {
            return Poll::Ready(Err(io::Error::other("the tunnel collapsed")));
        }
        self.takes = self.takes.saturating_sub(bytes.len());
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// The task of its connection ends; the process goes on, and the end is told.
#[tokio::test]
async fn a_stream_that_panics_ends_its_own_connection_and_is_told() {
    let (server, told) = telling(takes_all);
    let run = tokio::spawn(server.connection(Odd::with(true, usize::MAX))).await;
    assert!(run.unwrap_err().is_panic());
    let ending = told.try_recv().expect("a report");
    assert_eq!(ending.transport.end, End::LetGo(LetGo::TaskDropped), "{ending}");
    assert!(told.try_recv().is_err(), "one report");
}

/// How such a peer ended is never known; why nothing could be written is.
#[tokio::test(start_paused = true)]
async fn the_error_of_a_write_is_told_though_the_peer_never_ends() {
    let (server, told) = telling(async |mut socket: Socket| {
        let _ = socket.send("too late").await;
        takes_all_of(&mut socket).await;
    });
    server.connection(Odd::with(false, 100)).await;
    let ending = told.try_recv().expect("a report");
    let error = ending.error.as_ref().map(ToString::to_string);
    assert_eq!(error.as_deref(), Some("the tunnel collapsed"), "{ending}");
}

async fn takes_all_of(socket: &mut Socket) {
    while socket.recv().await.is_some() {}
}

/// A stream that looks at its connection when it is dropped.
struct Looks {
    stream: DuplexStream,
    sender: Arc<Mutex<Option<Sender>>>,
}

impl AsyncRead for Looks {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Looks {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl Drop for Looks {
    fn drop(&mut self) {
        if let Some(sender) = self.sender.lock().unwrap().take() {
            assert!(sender.peer_has_ended());
        }
    }
}

#[test]
fn a_stream_is_dropped_outside_of_the_lock_of_its_connection() {
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        let slot: Arc<Mutex<Option<Sender>>> = Arc::default();
        let given = slot.clone();
        let handler = move |socket: Socket| {
            *given.lock().unwrap() = Some(socket.sender());
            takes_all(socket)
        };
        Runtime::new().unwrap().block_on(async move {
            let (mut client, stream) = tokio::io::duplex(4096);
            let looks = Looks { stream, sender: slot };
            let serving = tokio::spawn(Server::new(handler).connection(looks));
            client.write_all(&Request::rfc6455().bytes()).await.unwrap();
            client.write_all(&Frame::close(1000, "").masked()).await.unwrap();
            client.shutdown().await.unwrap();
            serving.await.unwrap();
        });
        let _ = tell.send(());
    });
    assert_eq!(told.recv_timeout(DEADLINE), Ok(()), "its connection waits for itself");
}

/// A test or a task of another thread may drop a connection whose runtime lives on.
#[test]
fn a_connection_dropped_outside_of_its_runtime_has_lost_its_task_and_no_more() {
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (server, told) = telling(takes_all);
    let mut connection = Box::pin(server.connection(Odd::with(false, usize::MAX)));
    runtime.block_on(async {
        let polled = timeout(Duration::from_millis(50), &mut connection).await;
        assert!(polled.is_err(), "it goes on");
    });
    drop(connection);
    let ending = told.try_recv().expect("a report");
    assert_eq!(ending.transport.end, End::LetGo(LetGo::TaskDropped), "{ending}");
}
