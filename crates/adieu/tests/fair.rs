//! No task holds its thread for itself: on a runtime with one thread, work is counted between two
//! turns of a task that does nothing but yield. No time is measured.

mod support;

use std::future::Future;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Instant;

use adieu::{Drain, Endpoint, Group, Handler, Sender, Server, SlowConsumer, Socket};
use testkit::{DEADLINE, Frame, Head, Peer, Request};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::runtime::Builder;
use tokio::sync::mpsc;
use tokio::task::{unconstrained, yield_now};
use tokio::time::timeout;

/// Messages that one task may send while others wait for their turn.
const MOST_MESSAGES: usize = 1000;

/// Members or connections that one task may write to meanwhile: steps of 128, of which two may
/// fall between two turns of another task.
const MOST_MEMBERS: usize = 256;

/// Counts its turns, and the most work that was done between two of them.
#[derive(Clone, Default)]
struct Ticker {
    work: Arc<AtomicUsize>,
    ticks: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

impl Ticker {
    /// Starts it on this thread's runtime.
    fn start() -> Self {
        let ticker = Ticker::default();
        let own = ticker.clone();
        tokio::spawn(async move {
            let mut last = 0;
            loop {
                let now = own.work.load(SeqCst);
                own.most.fetch_max(now - last, SeqCst);
                last = now;
                own.ticks.fetch_add(1, SeqCst);
                yield_now().await;
            }
        });
        ticker
    }

    fn worked(&self) {
        self.work.fetch_add(1, SeqCst);
    }

    fn ticks(&self) -> usize {
        self.ticks.load(SeqCst)
    }

    /// Waits until so much work was done; the most of it between two turns.
    async fn most_of(&self, work: usize) -> usize {
        let started = Instant::now();
        while self.work.load(SeqCst) < work {
            assert!(started.elapsed() < DEADLINE, "{} of {work}", self.work.load(SeqCst));
            yield_now().await;
        }
        // The last turn counts what came before it.
        yield_now().await;
        self.most.load(SeqCst)
    }
}

fn one_thread<T>(future: impl Future<Output = T>) -> T {
    Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// Starts a server on this thread's runtime.
async fn serve(handler: impl Handler) -> SocketAddr {
    let listener = adieu::listen("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(Server::new(handler).serve_on(listener));
    addr
}

/// A peer in threads of its own: one reads as fast as it can, the other says `words` again and
/// again. Both go on until they are told to stop.
struct Busy {
    stop: Arc<AtomicBool>,
}

impl Busy {
    fn start(addr: SocketAddr, words: Vec<u8>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let over = stop.clone();
        thread::spawn(move || {
            let mut stream = TcpStream::connect(addr).unwrap();
            stream.write_all(&Request::rfc6455().bytes()).unwrap();
            let mut other = stream.try_clone().unwrap();
            let reads = thread::spawn(move || {
                let mut chunk = vec![0; 256 * 1024];
                while other.read(&mut chunk).is_ok_and(|n| n > 0) {}
            });
            while !over.load(SeqCst) && stream.write_all(&words).is_ok() {
                if words.is_empty() {
                    thread::yield_now();
                }
            }
            let _ = stream.shutdown(std::net::Shutdown::Both);
            reads.join().unwrap();
        });
        Busy { stop }
    }

    /// Its threads are not waited for: the connection may be stuck in a full buffer until the
    /// runtime is dropped.
    fn stop(self) {
        self.stop.store(true, SeqCst);
    }
}

/// The most messages that this handler goes through in one turn, beside a peer that never stops.
async fn most_messages_of<F, Fut>(handler: F) -> usize
where
    F: Fn(Socket, Ticker) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = ()> + Send,
{
    let ticker = Ticker::start();
    let addr = serve(support::with(ticker.clone(), handler)).await;
    let words = Frame::binary([7; 16]).masked().repeat(4096);
    let peer = Busy::start(addr, words);
    let most = ticker.most_of(20_000).await;
    peer.stop();
    most
}

#[test]
fn a_handler_whose_peer_never_stops_sending_leaves_its_thread_to_others() {
    let most = one_thread(most_messages_of(async |mut socket: Socket, counts: Ticker| {
        while let Some(message) = socket.recv().await {
            if socket.send(message).await.is_err() {
                return;
            }
            counts.worked();
        }
    }));
    println!("an echo: at most {most} messages in one turn");
    assert!(most <= MOST_MESSAGES, "{most} messages while others waited");
}

#[test]
fn a_task_that_does_nothing_but_send_leaves_its_thread_to_others() {
    let most = one_thread(async {
        let ticker = Ticker::start();
        let (give, mut senders) = mpsc::unbounded_channel::<Sender>();
        let addr = serve(support::with(give, gives_its_sender)).await;
        let peer = Busy::start(addr, Vec::new());
        let sender = senders.recv().await.expect("a connection");
        let counts = ticker.clone();
        tokio::spawn(async move {
            // Bounded, so that a task that never yields ends as well.
            for _ in 0..20_000 {
                if sender.send(vec![7; 1000]).await.is_err() {
                    return;
                }
                counts.worked();
            }
        });
        let most = ticker.most_of(20_000).await;
        peer.stop();
        most
    });
    println!("a sender: at most {most} messages in one turn");
    assert!(most <= MOST_MESSAGES, "{most} messages while others waited");
}

/// A task that only receives, from a peer that never stops.
#[test]
fn a_task_that_does_nothing_but_receive_leaves_its_thread_to_others() {
    let most = one_thread(most_messages_of(async |mut socket: Socket, counts: Ticker| {
        while socket.recv().await.is_some() {
            counts.worked();
        }
    }));
    println!("a receiver: at most {most} messages in one turn");
    assert!(most <= MOST_MESSAGES, "{most} messages while others waited");
}

// Many at once.

const MEMBERS: usize = 2000;

/// As many connections over pipes in memory, whose peers read what comes: their group, and how
/// many peers have heard something.
async fn crowd() -> (Group, Arc<AtomicUsize>) {
    let group = Group::new(SlowConsumer::Skip);
    let (give, mut given) = mpsc::unbounded_channel::<Sender>();
    let handler = support::with(
        (group.clone(), give),
        async |socket: Socket, (group, give): (Group, mpsc::UnboundedSender<Sender>)| {
            let _member = group.join(&socket);
            gives_its_sender(socket, give).await;
        },
    );
    let server = Server::new(handler);
    let heard = Arc::new(AtomicUsize::new(0));
    for _ in 0..MEMBERS {
        let (client, stream) = tokio::io::duplex(4096);
        tokio::spawn(server.connection(stream));
        tokio::spawn(listens(client, heard.clone()));
    }
    gathered(&mut given, MEMBERS).await;
    (group, heard)
}

/// Opens a WebSocket, counts the first frame that comes, and reads on.
async fn listens(mut client: DuplexStream, heard: Arc<AtomicUsize>) {
    client.write_all(&Request::rfc6455().bytes()).await.unwrap();
    let mut bytes = Vec::new();
    while Head::parse(&bytes).is_none() {
        bytes.push(client.read_u8().await.unwrap());
    }
    if client.read_u8().await.is_ok() {
        heard.fetch_add(1, SeqCst);
    }
    let mut chunk = [0; 1024];
    while client.read(&mut chunk).await.is_ok_and(|n| n > 0) {}
}

#[test]
fn a_broadcast_to_many_leaves_its_thread_to_others() {
    one_thread(async {
        let (group, heard) = crowd().await;
        let ticker = Ticker::start();
        yield_now().await;
        // In a task of its own, as a handler would: `block_on` has turns that others have not.
        let ticks = ticker.clone();
        let broadcast = tokio::spawn(async move {
            let before = ticks.ticks();
            let result = group.broadcast("hello").await;
            (result, ticks.ticks() - before)
        });
        let (result, ticks) = timeout(DEADLINE, broadcast).await.expect("in time").unwrap();
        assert_eq!(result.sent, MEMBERS);
        let started = Instant::now();
        while heard.load(SeqCst) < MEMBERS {
            assert!(started.elapsed() < DEADLINE, "all hear it");
            yield_now().await;
        }
        println!("a broadcast to {MEMBERS}: others had {ticks} turns");
        let least = MEMBERS / MOST_MEMBERS;
        assert!(ticks >= least, "{ticks} turns for others while {MEMBERS} members were written to");
    });
}

/// Fewer, over TCP: two descriptors each, within the limit of 1,024 that many systems have. Over
/// TCP a drain writes the Closes itself.
const DRAINED: usize = 450;

#[test]
fn the_start_of_a_drain_leaves_its_thread_to_others() {
    one_thread(async {
        let drain = Drain::new();
        let (give, mut given) = mpsc::unbounded_channel::<Sender>();
        let endpoint = Endpoint::new().drain(drain.clone());
        let server = Server::with(endpoint, support::with(give, gives_its_sender));
        let listener = adieu::listen("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        tokio::spawn(server.serve_on(listener));
        let opening = tokio::task::spawn_blocking(move || {
            (0..DRAINED).map(|_| Peer::open(addr)).collect::<Vec<_>>()
        });
        let senders = gathered(&mut given, DRAINED).await;
        let peers = opening.await.expect("all are open");
        assert_eq!(told(&senders), 0, "before it starts");
        let (at_once, most) = tokio::spawn(async move {
            drain.start();
            // No other task had a turn yet.
            let at_once = told(&senders);
            // The rest follows in steps, and all are told.
            let (mut before, mut most) = (at_once, 0);
            let started = Instant::now();
            while before < DRAINED {
                assert!(started.elapsed() < DEADLINE, "{before} of {DRAINED} were told");
                yield_now().await;
                let now = told(&senders);
                most = most.max(now - before);
                before = now;
            }
            (at_once, most)
        })
        .await
        .expect("all were told");
        println!("{at_once} of {DRAINED} at once, then at most {most} in one turn");
        assert!(at_once <= MOST_MEMBERS, "{at_once} before anything else had a turn");
        assert!(most <= MOST_MEMBERS, "{most} while others waited");
        drop(peers);
    });
}

/// Gives its sender to the test, and waits for messages.
async fn gives_its_sender(mut socket: Socket, give: mpsc::UnboundedSender<Sender>) {
    give.send(socket.sender()).expect("the test");
    while socket.recv().await.is_some() {}
}

/// So many senders.
async fn gathered(given: &mut mpsc::UnboundedReceiver<Sender>, count: usize) -> Vec<Sender> {
    let mut all = Vec::new();
    while all.len() < count {
        let sender = timeout(DEADLINE, given.recv()).await.expect("in time");
        all.push(sender.expect("a connection"));
    }
    all
}

/// How many of these connections take no message any more. Those that do are sent one.
fn told(senders: &[Sender]) -> usize {
    let mut cx = Context::from_waker(Waker::noop());
    // Outside of the task's budget, which is not what is looked at here.
    let closed = |sender: &&Sender| {
        let sent = pin!(unconstrained(sender.send("?"))).poll(&mut cx);
        matches!(sent, Poll::Ready(Err(_)))
    };
    senders.iter().filter(closed).count()
}
