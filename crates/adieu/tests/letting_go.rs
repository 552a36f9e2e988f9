//! Why we let go of a connection is told as it was: a clock that ran out, a task that was dropped,
//! a runtime that went, an exit that was forced. And what our own side did is not taken for what
//! the peer did.

mod support;
#[path = "support/words.rs"]
mod words;

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use adieu::{
    Close, CloseCode, Config, Drain, End, Ending, Endpoint, Handler, LetGo, Server, Socket, Timer,
    Transport,
};
use support::Host;
use testkit::{DEADLINE, Frame, Peer, Request, wait_until};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::runtime::Runtime;
use tokio::sync::mpsc as channel;
use tokio::time::timeout;
use words::{all_differ, without_durations};

/// Beyond what a busy machine needs.
const SLACK: Duration = Duration::from_secs(4);

// Letting go, each time of a peer that says nothing.

/// One connection over TCP whose peer is silent, in a runtime of its own.
struct Silent {
    runtime: Runtime,
    drain: Drain,
    serving: tokio::task::JoinHandle<()>,
    told: mpsc::Receiver<Ending>,
    peer: Peer,
}

impl Silent {
    fn open(config: Config, handler: impl Handler) -> Self {
        let runtime = Runtime::new().unwrap();
        let (tell, told) = mpsc::channel();
        let drain = Drain::new();
        let endpoint = Endpoint::new().config(config).drain(drain.clone()).on_end(move |ended| {
            let _ = tell.send(ended.ending.clone());
        });
        let server = Server::with(endpoint, handler);
        let listener = runtime.block_on(adieu::listen("127.0.0.1:0")).unwrap();
        let addr = listener.local_addr().unwrap();
        let accepting = drain.clone();
        let serving = runtime.spawn(async move {
            let tcp = adieu::accept(&listener, &accepting).await;
            server.connection(tcp).await;
        });
        let peer = Peer::open(addr);
        wait_until("the connection is there", || drain.connections() == 1);
        Silent { runtime, drain, serving, told, peer }
    }

    /// The account; the peer was there and silent until then.
    fn ending(&self) -> Ending {
        let ending = self.told.recv_timeout(DEADLINE).expect("an account");
        println!("{ending}");
        ending
    }
}

async fn waits(mut socket: Socket) {
    while socket.recv().await.is_some() {}
}

fn short() -> Config {
    let short = Duration::from_millis(300);
    Config { close_timeout: short, drain_close_timeout: short, linger: short, ..Config::default() }
}

/// Our Close is not answered, nor is our FIN: the clocks run out.
fn clocks_ran_out() -> Ending {
    let silent = Silent::open(short(), async |_: Socket| {});
    silent.ending()
}

fn task_dropped() -> Ending {
    let silent = Silent::open(Config::default(), waits);
    silent.serving.abort();
    silent.ending()
}

fn runtime_shut_down() -> Ending {
    let Silent { runtime, told, peer, .. } = Silent::open(Config::default(), waits);
    runtime.shutdown_timeout(DEADLINE);
    let ending = told.recv_timeout(DEADLINE).expect("an account");
    println!("{ending}");
    drop(peer);
    ending
}

fn forced() -> Ending {
    let silent = Silent::open(Config::default(), waits);
    let drain = silent.drain.clone();
    silent.runtime.spawn(async move { drain.force() });
    silent.ending()
}

#[test]
fn why_we_let_go_is_told_as_it_was() {
    let scenes = [
        ("the clocks ran out", clocks_ran_out()),
        ("the task was dropped", task_dropped()),
        ("the runtime was shut down", runtime_shut_down()),
        ("the exit was forced", forced()),
    ];
    let why: Vec<End> = scenes.iter().map(|(_, ending)| ending.transport.end).collect();
    let wanted =
        [LetGo::Clock(Timer::Linger), LetGo::TaskDropped, LetGo::RuntimeGone, LetGo::Forced];
    assert_eq!(why, wanted.map(End::LetGo));
    let transports: Vec<(&str, Transport)> =
        scenes.iter().map(|(scene, ending)| (*scene, ending.transport)).collect();
    // No clock ran out but in the first scene.
    for (scene, ending) in &scenes[1..] {
        let sentence = without_durations(&ending.to_string());
        for words in ["ran out", "deadline"] {
            assert!(!sentence.contains(words), "{scene}, and no clock ran out: {sentence}");
        }
    }
    all_differ(&transports);
}

// A drain behind the end that the application began.

#[test]
fn a_drain_shortens_the_wait_for_a_peer_that_does_not_answer_our_close() {
    let host = Host::start(async |_: Socket| {});
    let mut silent = Peer::open(host.addr);
    // The handler has returned, and the answer to its Close is awaited.
    assert_eq!(silent.read_frame(), Frame::close(1000, ""));
    let config = Config::default();
    let bound = config.drain_close_timeout + config.linger + SLACK;
    assert!(bound < config.close_timeout, "the bound says something");
    let started = Instant::now();
    host.drain.start();
    let ending = host.account().ending;
    let after = started.elapsed();
    println!("after {after:.1?}: {ending}");
    assert!(ending.draining, "{ending}");
    assert!(after < bound, "the exit waited {after:.1?} for it: {ending}");
    let drained = host.finish();
    assert_eq!(drained.given_up, 1, "{drained}");
    drop(silent);
}

// Whether the peer has ended.

#[test]
fn our_own_close_is_not_taken_for_an_end_of_the_peer() {
    let (tell, told) = mpsc::channel();
    let handler = support::with(tell, async |mut socket: Socket, tell: mpsc::Sender<bool>| {
        let sender = socket.sender();
        let _ = tell.send(sender.peer_has_ended());
        sender.close(CloseCode::NORMAL);
        // No message comes any more: our side has ended.
        assert_eq!(socket.recv().await, None);
        let _ = tell.send(sender.peer_has_ended());
        sender.ended().await;
        let _ = tell.send(sender.peer_has_ended());
    });
    let host = Host::start(handler);
    let mut peer = Peer::open(host.addr);
    let hear = || told.recv_timeout(DEADLINE).expect("the handler");
    assert!(!hear(), "nothing has ended");
    assert_eq!(peer.read_frame(), Frame::close(1000, ""));
    assert!(!hear(), "the peer has said nothing: it was our own Close");
    peer.send(&Frame::close(1000, ""));
    assert_eq!(peer.read_to_end().end, testkit::TcpEnd::Fin);
    drop(peer);
    assert!(hear(), "all is over");
    host.account();
    host.finish();
}

// A message and the end in one wake.

/// What a stream gives next.
enum Step {
    Bytes(Vec<u8>),
    Fails(ErrorKind),
}

#[derive(Default)]
struct Steps {
    ready: VecDeque<Step>,
    reader: Option<Waker>,
}

/// A stream that gives what the test says, when it says so.
#[derive(Clone, Default)]
struct Scripted(Arc<Mutex<Steps>>);

impl Scripted {
    /// All of it is there at once.
    fn give(&self, steps: impl IntoIterator<Item = Step>) {
        let mut inner = self.0.lock().unwrap();
        inner.ready.extend(steps);
        if let Some(reader) = inner.reader.take() {
            reader.wake();
        }
    }
}

impl AsyncRead for Scripted {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut inner = self.0.lock().unwrap();
        match inner.ready.pop_front() {
            Some(Step::Bytes(bytes)) => buf.put_slice(&bytes),
            Some(Step::Fails(kind)) => return Poll::Ready(Err(kind.into())),
            None => {
                inner.reader = Some(cx.waker().clone());
                return Poll::Pending;
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Scripted {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// The handler gives its `Socket` to another part of its own task and goes on for ever. A message
/// and an RST come in one wake: the part that waits for a message gets both.
#[tokio::test(start_paused = true)]
async fn a_message_and_an_rst_in_one_wake_reach_who_waits_in_the_same_task() {
    let (give, mut sockets) = channel::unbounded_channel();
    let server = Server::new(move |socket| {
        let give = give.clone();
        async move {
            assert!(give.send(socket).is_ok());
            std::future::pending::<Close>().await
        }
    });
    let stream = Scripted::default();
    stream.give([Step::Bytes(Request::rfc6455().bytes())]);
    let script = stream.clone();
    let (waiting, waits) = tokio::sync::oneshot::channel();
    tokio::spawn(async move {
        // Behind the first poll of `recv`: it waits by now.
        waits.await.unwrap();
        script.give([
            Step::Bytes(Frame::text("last").masked()),
            Step::Fails(ErrorKind::ConnectionReset),
        ]);
    });
    let started = tokio::time::Instant::now();
    let receives = async {
        let mut socket: Socket = sockets.recv().await.unwrap();
        waiting.send(()).unwrap();
        let mut heard = Vec::new();
        while let Some(message) = socket.recv().await {
            heard.push(message.as_text().unwrap_or_default().to_owned());
        }
        heard
    };
    let heard = async {
        tokio::select! {
            // The part that receives is polled first: what the other part finds has to wake it.
            biased;
            heard = receives => heard,
            () = server.connection(stream) => panic!("its handler goes on for ever"),
        }
    };
    let heard = timeout(Duration::from_secs(300), heard).await.expect("`recv` is woken");
    assert_eq!(heard, ["last"]);
    // Time moves on only when nothing else is left to do: then a wake-up was lost, and a clock
    // that has nothing to do with it came to the rescue.
    assert_eq!(started.elapsed(), Duration::ZERO, "`recv` is woken by what it waits for");
}
