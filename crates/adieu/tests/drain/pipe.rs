//! One connection over a pipe in memory, in simulated time: a second in which its peer is quiet
//! is exactly that, and how often the connection was woken meanwhile is an exact number.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use adieu::{Drain, Ending, Endpoint, Handler, Server};
use testkit::{Frame, Head, Request};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::task::JoinHandle;

/// Far more wakes than any connection here needs. One that spins would keep simulated time from
/// passing, and its test from failing: it is stopped.
const SPINS: usize = 2000;

/// An open connection and its peer.
pub(crate) struct Pipe {
    pub(crate) peer: DuplexStream,
    pub(crate) drain: Drain,
    polls: Arc<AtomicUsize>,
    endings: Arc<Mutex<Vec<Ending>>>,
    serving: JoinHandle<()>,
}

impl Pipe {
    /// Opens a connection with this handler. Little fits into the pipe: what its peer sends
    /// beyond that leaves only if it is read.
    pub(crate) async fn open(handler: impl Handler) -> Self {
        let (drain, endings) = (Drain::new(), Arc::<Mutex<Vec<_>>>::default());
        let (tell, polls) = (endings.clone(), Arc::new(AtomicUsize::new(0)));
        let endpoint = Endpoint::new().drain(drain.clone()).on_end(move |ended| {
            tell.lock().unwrap().push(ended.ending.clone());
        });
        let (mut peer, stream) = tokio::io::duplex(1024);
        let connection = Server::with(endpoint, handler).connection(stream);
        let serving = tokio::spawn(counted(connection, polls.clone()));
        open(&mut peer).await;
        Pipe { peer, drain, polls, endings, serving }
    }

    /// The peer sends a frame.
    pub(crate) async fn send(&mut self, frame: &Frame) {
        self.peer.write_all(&frame.masked()).await.expect("it is read");
    }

    /// The peer reads this frame.
    pub(crate) async fn reads(&mut self, frame: &Frame) {
        let expected = frame.unmasked();
        let mut bytes = vec![0; expected.len()];
        self.peer.read_exact(&mut bytes).await.expect("a frame");
        assert_eq!(bytes, *expected);
    }

    /// The peer reads the server's FIN, and nothing before it.
    pub(crate) async fn reads_fin(&mut self) {
        assert_eq!(self.peer.read(&mut [0; 16]).await.expect("a FIN"), 0);
    }

    /// Nothing happens for so long. Gives how often the connection was woken meanwhile.
    pub(crate) async fn quiet(&self, how_long: Duration) -> usize {
        let before = self.polls();
        tokio::time::sleep(how_long).await;
        self.polls() - before
    }

    /// How often the connection was woken in all.
    pub(crate) fn polls(&self) -> usize {
        self.polls.load(SeqCst)
    }

    /// The one account, when the connection is over and its handler has returned.
    pub(crate) async fn ending(self) -> Ending {
        self.serving.await.expect("it does not spin");
        let mut endings = self.endings.lock().unwrap();
        assert_eq!(endings.len(), 1, "{endings:?}");
        endings.remove(0)
    }
}

/// Runs a connection and counts its wakes.
async fn counted(connection: impl Future<Output = ()>, polls: Arc<AtomicUsize>) {
    let mut connection = pin!(connection);
    poll_fn(|cx| {
        assert!(polls.fetch_add(1, SeqCst) < SPINS, "it spins");
        connection.as_mut().poll(cx)
    })
    .await;
}

/// Opens a WebSocket over a pipe.
pub(crate) async fn open(pipe: &mut DuplexStream) {
    pipe.write_all(&Request::rfc6455().bytes()).await.unwrap();
    let mut head = Vec::new();
    while Head::parse(&head).is_none() {
        head.push(pipe.read_u8().await.unwrap());
    }
}
