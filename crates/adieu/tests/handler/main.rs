//! The handler cannot break the goodbye: what it does, what it hears, and when.

mod failures;
#[path = "../support/mod.rs"]
mod support;

use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use adieu::{Cause, Close, CloseCode, Config, End, Message, Sender, Server, Socket};
use support::Host;
use testkit::{DEADLINE, Frame, Peer, Request, TcpEnd};
use tokio::sync::oneshot;

/// Handed to the one handler that takes it.
type Once<T> = Arc<Mutex<Option<T>>>;

fn once<T>(value: T) -> Once<T> {
    Arc::new(Mutex::new(Some(value)))
}

fn take<T>(once: &Once<T>) -> T {
    once.lock().unwrap().take().expect("the first handler")
}

fn texts(n: usize) -> Vec<Frame> {
    (0..n).map(|i| Frame::text(format!("message {i}"))).collect()
}

#[test]
fn messages_before_a_close_are_answered_before_it_is() {
    let host = Host::start(support::echo);
    let mut peer = Peer::open(host.addr);
    let mut all = texts(50);
    all.push(Frame::close(1000, ""));
    peer.send_all(&all);
    let rest = peer.read_to_end();
    assert_eq!(rest.end, TcpEnd::Fin);
    assert_eq!(rest.frames(), all, "fifty answers, then the Close, then nothing");
    drop(peer);
    assert!(host.account().ending.is_clean());
    host.finish();
}

#[test]
fn messages_before_a_fin_are_answered_too() {
    let host = Host::start(support::echo);
    let mut peer = Peer::open(host.addr);
    peer.send_all_with_fin(&texts(50));
    let rest = peer.read_to_end();
    assert_eq!((rest.frames(), rest.end), (texts(50), TcpEnd::Fin));
    assert_eq!(host.account().ending.cause, Cause::Eof);
    host.finish();
}

#[test]
fn messages_before_a_violation_are_answered_then_its_code_follows() {
    let host = Host::start(support::echo);
    let violations = [
        (Frame::text(b"\xFF").masked(), 1007),
        (Frame::text("not masked").unmasked(), 1002),
        (Frame::text("").reserved(0b100).masked(), 1002),
        (Frame::binary("").claiming(1 << 40).masked(), 1009),
    ];
    for (violation, code) in violations {
        let mut peer = Peer::open(host.addr);
        let messages = texts(2);
        let before: Vec<u8> = messages.iter().flat_map(Frame::masked).collect();
        // What follows the violation is not looked at.
        peer.write([before, violation, Frame::text("ignored").masked()].concat());
        let rest = peer.read_to_end();
        assert_eq!(rest.end, TcpEnd::Fin);
        let (close, answers) =
            rest.frames().split_last().map(|(c, a)| (c.clone(), a.to_vec())).unwrap();
        assert_eq!((answers, close.close_code()), (messages, Some(code)));
        drop(peer);
        assert!(matches!(host.account().ending.cause, Cause::Violation(_)));
    }
    host.finish();
}

#[test]
fn nothing_can_be_sent_after_the_end() {
    let (tell, told) = mpsc::channel();
    let handler = support::with(tell, async |mut socket: Socket, tell: mpsc::Sender<_>| {
        let sender = socket.sender();
        assert_eq!(socket.recv().await, None);
        let after_the_end = socket.send("too late").await;
        let by_a_sender = sender.send("too late").await;
        let ending = socket.ended().await;
        let when_over = (socket.send("much too late").await, sender.send("and this").await);
        tell.send((after_the_end, by_a_sender, when_over, ending)).unwrap();
    });
    let host = Host::start(handler);
    let mut peer = Peer::open(host.addr);
    peer.send(&Frame::close(4002, "enough"));
    assert_eq!(peer.read_to_end().frames(), [Frame::close(4002, "")]);
    drop(peer);
    let (after_the_end, by_a_sender, when_over, ending) = told.recv_timeout(DEADLINE).unwrap();
    let all = [after_the_end, by_a_sender, when_over.0, when_over.1];
    assert!(all.iter().all(Result::is_err), "{all:?}");
    assert_eq!(ending, host.account().ending, "the handler hears what on_end hears");
    assert_eq!(ending.unsent.messages, 0, "what was refused is not counted as lost");
    host.finish();
}

#[test]
fn a_cancelled_recv_loses_nothing() {
    const MESSAGES: usize = 500;
    let (tell, told) = mpsc::channel();
    let cancelled = Arc::new(AtomicUsize::new(0));
    let shared = (tell, cancelled.clone());
    let handler = support::with(shared, async |mut socket: Socket, (tell, cancelled)| {
        let (tell, cancelled): (mpsc::Sender<_>, Arc<AtomicUsize>) = (tell, cancelled);
        let mut got = Vec::new();
        loop {
            tokio::select! {
                biased;
                message = socket.recv() => match message {
                    Some(message) => got.push(message),
                    None => break,
                },
                () = tokio::task::yield_now() => {
                    cancelled.fetch_add(1, Ordering::SeqCst);
                }
            }
        }
        tell.send(got).unwrap();
    });
    let host = Host::start(handler);
    let mut peer = Peer::open(host.addr);
    // Messages whole and cut anywhere, with cancelled calls in between.
    let bytes: Vec<u8> = texts(MESSAGES).iter().flat_map(Frame::masked).collect();
    for piece in bytes.chunks(101) {
        let before = cancelled.load(Ordering::SeqCst);
        testkit::wait_until("recv is cancelled", || cancelled.load(Ordering::SeqCst) > before);
        peer.write(piece);
    }
    peer.send(&Frame::close(1000, ""));
    let got = told.recv_timeout(DEADLINE).unwrap();
    let want: Vec<_> = (0..MESSAGES).map(|i| Message::from(format!("message {i}"))).collect();
    assert_eq!(got, want);
    drop(peer);
    host.account();
    host.finish();
}

/// A task that does nothing when it is woken.
struct Idle;

impl Wake for Idle {
    fn wake(self: Arc<Self>) {}
}

/// Waits for the end so many times, each time in another task that gives up. How many of the tasks
/// are still remembered.
fn waits_given_up(socket: &Socket, sender: &Sender, times: usize) -> usize {
    let tasks: Vec<_> = (0..times).map(|_| Arc::new(Idle)).collect();
    for task in &tasks {
        let waker = Waker::from(task.clone());
        let mut cx = Context::from_waker(&waker);
        assert!(pin!(socket.ended()).poll(&mut cx).is_pending());
        assert!(pin!(sender.ended()).poll(&mut cx).is_pending());
    }
    tasks.iter().filter(|task| Arc::strong_count(task) > 1).count()
}

#[test]
fn cancelled_waits_for_the_end_leave_nothing_behind() {
    let (tell, told) = mpsc::channel();
    let handler = support::with(tell, async |socket: Socket, tell: mpsc::Sender<_>| {
        let sender = socket.sender();
        let remembered = waits_given_up(&socket, &sender, 1000);
        let elsewhere = tokio::spawn(async move { sender.ended().await });
        socket.send("go").await.unwrap();
        let here = socket.ended().await;
        tell.send((remembered, here, elsewhere.await.unwrap())).unwrap();
    });
    let host = Host::start(handler);
    let mut peer = Peer::open(host.addr);
    assert_eq!(peer.read_frame(), Frame::text("go"));
    peer.send(&Frame::close(1000, ""));
    assert_eq!(peer.read_to_end().frames(), [Frame::close(1000, "")]);
    drop(peer);
    let (remembered, here, elsewhere) = told.recv_timeout(DEADLINE).expect("later waits are told");
    // The last one that took the messages, in place of `recv`.
    assert!(remembered <= 1, "{remembered} tasks are remembered");
    let ending = host.account().ending;
    assert_eq!((&here, &elsewhere), (&ending, &ending));
    host.finish();
}

#[test]
fn senders_in_other_tasks_and_threads() {
    const EACH: usize = 200;
    let host = Host::start(async |mut socket: Socket| {
        for name in ["task a", "task b"] {
            let sender = socket.sender();
            tokio::spawn(async move {
                for i in 0..EACH {
                    sender.send(format!("{name} {i}")).await.unwrap();
                }
            });
        }
        for name in ["thread a", "thread b"] {
            let sender = socket.sender();
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                for i in 0..EACH {
                    runtime.block_on(sender.send(format!("{name} {i}"))).unwrap();
                }
            });
        }
        while socket.recv().await.is_some() {}
    });
    let mut peer = Peer::open(host.addr);
    let mut next = std::collections::HashMap::new();
    for _ in 0..4 * EACH {
        let text = String::from_utf8(peer.read_frame().payload).unwrap();
        let (name, i) = text.rsplit_once(' ').unwrap();
        let next = next.entry(name.to_owned()).or_insert(0);
        assert_eq!(i.parse(), Ok(*next), "{name} is out of order");
        *next += 1;
    }
    peer.send(&Frame::close(1000, ""));
    assert_eq!(peer.read_to_end().frames(), [Frame::close(1000, "")]);
    drop(peer);
    host.account();
    host.finish();
}

#[test]
fn a_handler_may_outlive_its_connection() {
    let (go, going) = oneshot::channel();
    let (tell, told) = mpsc::channel();
    let shared = (once(going), tell);
    let handler = support::with(shared, async |mut socket: Socket, (going, tell): (Once<_>, _)| {
        if socket.request().unwrap().path() != "/outlives" {
            return support::echo(socket).await;
        }
        let first = socket.recv().await;
        let going: oneshot::Receiver<()> = take(&going);
        going.await.unwrap();
        let rest = (socket.recv().await, socket.recv().await, socket.send("x").await);
        let tell: mpsc::Sender<_> = tell;
        tell.send((first, rest, socket.ended().await)).unwrap();
        panic!("even this changes nothing any more");
    });
    let host = Host::start(handler);
    let mut peer = Peer::open_with(host.addr, &Request::rfc6455().target("/outlives"));
    peer.send_all(&[Frame::text("one"), Frame::text("two")]);
    testkit::wait_until("the server has read", || peer.unread_by_other_end() == 0);
    peer.reset();
    let account = host.account();
    assert_eq!(
        (account.ending.cause.clone(), account.ending.transport.end),
        (Cause::Reset, End::Reset)
    );
    // The connection is over and told; its handler is not.
    go.send(()).unwrap();
    let (first, rest, ending) = told.recv_timeout(DEADLINE).unwrap();
    assert_eq!(first, Some(Message::from("one")));
    assert_eq!((rest.0, rest.1), (Some(Message::from("two")), None), "read before, given after");
    assert!(rest.2.is_err());
    assert_eq!(ending, account.ending);
    host.still_serves();
    host.finish();
}

#[test]
fn a_socket_may_move_to_another_task() {
    let host = Host::start(async |socket: Socket| {
        tokio::spawn(support::echo(socket)).await.unwrap();
        CloseCode::new(4003)
    });
    let mut peer = Peer::open(host.addr);
    peer.send(&Frame::text("over there"));
    assert_eq!(peer.read_frame(), Frame::text("over there"));
    peer.send_all(&[Frame::text("last"), Frame::close(1000, "")]);
    assert_eq!(peer.read_to_end().frames(), [Frame::text("last"), Frame::close(1000, "")]);
    drop(peer);
    let ending = host.account().ending;
    assert_eq!(ending.cause, Cause::Peer, "the peer was first: {ending}");
    host.finish();
}

#[test]
fn a_handler_that_awaits_something_else_keeps_nobody_waiting() {
    let config = Config { grace: Duration::from_millis(50), ..Config::default() };
    let server = Server::new(async |socket: Socket| {
        // It never asks for a message.
        socket.sender().ended().await;
    });
    let host = Host::run(server.config(config));
    let mut peer = Peer::open(host.addr);
    peer.send(&Frame::ping("are you there?"));
    assert_eq!(peer.read_frame(), Frame::pong("are you there?"));
    peer.send(&Frame::close(1000, ""));
    assert_eq!(peer.read_to_end().frames(), [Frame::close(1000, "")]);
    drop(peer);
    assert!(host.account().ending.is_clean());
    host.finish();
}

#[test]
fn last_words_may_be_said_until_the_end_is_read() {
    let (go, going) = oneshot::channel();
    let handler = support::with(once(going), async |mut socket: Socket, going: Once<_>| {
        // It does not read the end: it has something else to wait for first.
        let first = socket.recv().await.unwrap();
        let going: oneshot::Receiver<()> = take(&going);
        going.await.unwrap();
        socket.send(first).await.unwrap();
        socket.send("last words").await.unwrap();
        assert_eq!(socket.recv().await, None);
    });
    // However slow the machine: the grace is not what this is about.
    let config = Config { grace: DEADLINE, ..Config::default() };
    let host = Host::run(Server::new(handler).config(config));
    let mut peer = Peer::open(host.addr);
    peer.send_all_with_fin(&[Frame::text("first"), Frame::close(1000, "")]);
    testkit::wait_until("the server has read", || peer.unread_by_other_end() == 0);
    go.send(()).unwrap();
    let want = [Frame::text("first"), Frame::text("last words"), Frame::close(1000, "")];
    assert_eq!(peer.read_to_end().frames(), want);
    drop(peer);
    assert!(host.account().ending.is_clean());
    host.finish();
}

#[test]
fn a_sender_closes_while_the_handler_awaits() {
    let handlers = Arc::new(AtomicUsize::new(0));
    let count = handlers.clone();
    let handler = support::with(count, async |mut socket: Socket, count: Arc<AtomicUsize>| {
        let sender = socket.sender();
        tokio::spawn(async move {
            sender.send("before").await.unwrap();
            sender.close(Close::new(4004, "by another task").unwrap());
            sender.close(CloseCode::NORMAL);
            assert!(sender.send("after").await.is_err());
        });
        while socket.recv().await.is_some() {}
        count.fetch_add(1, Ordering::SeqCst);
    });
    let host = Host::start(handler);
    let mut peer = Peer::open(host.addr);
    assert_eq!(peer.read_frame(), Frame::text("before"));
    assert_eq!(peer.read_frame(), Frame::close(4004, "by another task"));
    peer.send(&Frame::close(4004, ""));
    assert_eq!(peer.read_to_end().bytes, b"");
    drop(peer);
    let ending = host.account().ending;
    assert_eq!(ending.cause, Cause::Application);
    assert!(ending.is_clean());
    testkit::wait_until("the handler sees the end", || handlers.load(Ordering::SeqCst) == 1);
    host.finish();
}

#[test]
fn a_goodbye_is_told_the_moment_it_is_read_and_the_account_when_all_is_over() {
    let (tell, told) = mpsc::channel();
    let (release, wait) = tokio::sync::watch::channel(false);
    let handler = support::with(wait, async |mut socket: Socket, mut wait| {
        while socket.recv().await.is_some() {}
        // Last words take their time; the early signal does not wait for them.
        let _ = wait.wait_for(|go| *go).await;
        let _ = socket.send("last words").await;
    });
    let config = Config { grace: DEADLINE, ..Config::default() };
    let server = Server::new(handler).config(config).on_closing(move |closing| {
        let path = closing.request.map(|request| request.path().to_owned());
        let _ = tell.send((path, closing.close.to_string()));
    });
    let host = Host::run(server);
    let mut peer = Peer::open(host.addr);
    peer.send(&Frame::close(4001, "bye"));
    let early = told.recv_timeout(DEADLINE).expect("the early signal");
    assert_eq!(early, (Some("/".to_owned()), "4001 \"bye\"".to_owned()));
    release.send_replace(true);
    assert_eq!(peer.read_frame().close_code(), Some(4001), "recv gave None: the answer is out");
    assert_eq!(peer.read_to_end().end, TcpEnd::Fin);
    drop(peer);
    assert!(host.account().ending.is_clean());
    assert!(told.try_recv().is_err(), "told once");
    host.finish();
}
