//! No code of the application runs inside of a connection's lock, and those that wait to send are
//! woken when there is something for them, neither later nor in vain.

mod support;

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use adieu::{Client, CloseCode, Closed, Config, Message, Sender, Server, Socket};
use bytes::Bytes;
use support::Host;
use testkit::{DEADLINE, Frame, Listener, Peer, Request};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc as channel;
use tokio::task::unconstrained;
use tokio::time::timeout;

/// Runs a test in a thread of its own: one that waits for itself fails after 10 s. Its thread and
/// its runtime are left behind then.
fn in_time(what: &str, test: impl FnOnce() + Send + 'static) {
    let (tell, told) = mpsc::channel();
    let running = thread::spawn(move || {
        test();
        let _ = tell.send(());
    });
    match told.recv_timeout(Duration::from_secs(10)) {
        Ok(()) => running.join().expect("it has told"),
        Err(mpsc::RecvTimeoutError::Disconnected) => {
            running.join().expect(what);
        }
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("a deadlock: {what}"),
    }
}

/// A client of ours, and the raw server at its other end.
struct Pair {
    runtime: Runtime,
    socket: Socket,
    peer: Peer,
}

impl Pair {
    fn open() -> Self {
        Self::open_with(Config::default())
    }

    fn open_with(config: Config) -> Self {
        let runtime = Runtime::new().unwrap();
        let listener = Listener::bind();
        let url = listener.url();
        let accepting = thread::spawn(move || {
            let mut peer = listener.accept();
            peer.answer_101();
            peer
        });
        let socket = runtime.block_on(Client::new().config(config).connect(&url));
        let socket = socket.expect("a WebSocket");
        Pair { runtime, socket, peer: accepting.join().unwrap() }
    }
}

/// Sends once, without a wait, and outside of the budget of the task that does so.
fn send_now(sender: &Sender, message: impl Into<Message>) -> Poll<Result<(), Closed>> {
    let mut cx = Context::from_waker(Waker::noop());
    pin!(unconstrained(sender.send(message))).poll(&mut cx)
}

// Wakers.

/// A waker that sends on the connection that wakes it.
struct Sends(Sender);

impl Wake for Sends {
    fn wake(self: Arc<Self>) {
        let _ = send_now(&self.0, "from a waker");
    }
}

#[test]
fn a_waker_of_a_receiver_may_send_on_the_same_connection() {
    in_time("the waker of `recv` sends", || {
        let Pair { runtime: _runtime, mut socket, mut peer } = Pair::open();
        let waker = Waker::from(Arc::new(Sends(socket.sender())));
        let mut cx = Context::from_waker(&waker);
        assert!(pin!(socket.recv()).poll(&mut cx).is_pending());
        peer.send(&Frame::text("wake up"));
        assert_eq!(peer.read_frame(), Frame::text("from a waker"));
    });
}

/// A waker that looks at the connection that wakes it.
struct Looks(Sender, mpsc::Sender<bool>);

impl Wake for Looks {
    fn wake(self: Arc<Self>) {
        let _ = self.1.send(self.0.peer_has_ended());
    }
}

#[test]
fn a_waker_of_a_sender_may_look_at_the_same_connection() {
    in_time("the waker of `send` looks", || {
        let Pair { runtime, socket, mut peer } = Pair::open();
        let sender = socket.sender();
        let (tell, told) = mpsc::channel();
        let waker = Waker::from(Arc::new(Looks(sender.clone(), tell)));
        let mut cx = Context::from_waker(&waker);
        // Until `send` waits: the kernels go on taking for a while.
        let _waits = loop {
            while send_now(&sender, vec![7; 64 * 1024]).is_ready() {}
            let mut waits = Box::pin(sender.send("when there is room"));
            if waits.as_mut().poll(&mut cx).is_pending() {
                break waits;
            }
        };
        // In a thread of its own: the driver may write all that waits before it wakes a sender, and
        // a test that has read all of it would wait for more bytes instead of for the waker.
        let reading = thread::spawn(move || while !peer.read_some(64 * 1024).is_empty() {});
        told.recv_timeout(DEADLINE).expect("a sender is woken when there is room");
        drop((socket, runtime));
        reading.join().expect("it reads to the end");
    });
}

// Payloads.

/// A payload that uses its connection when it is dropped.
struct Owner {
    bytes: Vec<u8>,
    sender: Sender,
    dropped: mpsc::Sender<bool>,
    closes: bool,
}

impl AsRef<[u8]> for Owner {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        let ended = self.sender.peer_has_ended();
        if self.closes {
            self.sender.close(CloseCode::NORMAL);
        }
        let _ = self.dropped.send(ended);
    }
}

fn payload(sender: &Sender, len: usize, closes: bool) -> (Message, mpsc::Receiver<bool>) {
    let (dropped, told) = mpsc::channel();
    let owner = Owner { bytes: vec![7; len], sender: sender.clone(), dropped, closes };
    (Message::from(Bytes::from_owner(owner)), told)
}

/// Small ones are copied, large ones keep their buffer.
const LENGTHS: [usize; 3] = [16, 32 * 1024, 512 * 1024];

#[test]
fn a_payload_that_leaves_may_use_its_connection() {
    for len in LENGTHS {
        in_time(&format!("a payload of {len} bytes leaves"), move || {
            let Pair { runtime, socket, mut peer } = Pair::open();
            let (message, dropped) = payload(&socket.sender(), len, true);
            runtime.block_on(socket.send(message)).expect("an open connection");
            assert_eq!(peer.read_frame().payload.len(), len);
            dropped.recv_timeout(DEADLINE).expect("it was dropped");
            assert_eq!(peer.read_frame().close_code(), Some(1000), "what its drop has done");
        });
    }
}

#[test]
fn a_payload_that_never_leaves_may_use_its_connection() {
    for len in LENGTHS {
        in_time(&format!("a payload of {len} bytes never leaves"), move || {
            let config = Config { send_queue: 64 * 1024 * 1024, ..Config::default() };
            let Pair { runtime: _runtime, socket, peer } = Pair::open_with(config);
            let sender = socket.sender();
            // More than the kernels take stands before it in the queue.
            assert!(send_now(&sender, vec![7; 16 * 1024 * 1024]).is_ready());
            let (message, dropped) = payload(&sender, len, false);
            assert!(send_now(&sender, message).is_ready(), "the queue takes it");
            peer.reset();
            dropped.recv_timeout(DEADLINE).expect("it was dropped");
        });
    }
}

#[test]
fn a_payload_that_is_not_taken_may_use_its_connection() {
    in_time("a payload is not taken", || {
        let Pair { runtime, socket, mut peer } = Pair::open();
        let sender = socket.sender();
        sender.close(CloseCode::NORMAL);
        let (message, dropped) = payload(&sender, 16, true);
        assert!(runtime.block_on(sender.send(message)).is_err());
        dropped.recv_timeout(DEADLINE).expect("it was dropped");
        let close = peer.read_frame();
        peer.send(&close);
        peer.fin();
        peer.read_to_end();
    });
}

// Who waits to send.

#[test]
fn a_sender_that_waits_is_woken_when_the_peers_end_concludes() {
    // No clock of the transport comes to the rescue within the bound.
    let long = Duration::from_secs(30);
    let config = Config {
        grace: Duration::from_millis(300),
        drain_timeout: long,
        flush_timeout: long,
        write_timeout: long,
        ..Config::default()
    };
    let (tell, told) = mpsc::channel();
    let handler = support::with(tell, async |mut socket: Socket, tell: mpsc::Sender<_>| {
        let sender = socket.sender();
        let waits = tokio::spawn(async move {
            while sender.send(vec![7; 64 * 1024]).await.is_ok() {
                let _ = tell.send("sent");
            }
            let _ = tell.send("closed");
        });
        // It is busy and does not hear that the peer has ended: the clock of its grace runs out.
        waits.await.expect("no panic");
        while socket.recv().await.is_some() {}
    });
    let host = Host::run(Server::new(handler).config(config));
    let mut peer = Peer::connect_with(host.addr, |socket| {
        socket.set_recv_buffer_size(64 * 1024).expect("SO_RCVBUF");
    });
    peer.handshake(&Request::rfc6455());
    // It sits in `send` when nothing is sent any more.
    while told.recv_timeout(Duration::from_millis(500)).is_ok() {}
    let since = Instant::now();
    peer.send(&Frame::close(1000, ""));
    // After the grace our answer is decided; nothing can be sent any more.
    let mut woken = told.recv_timeout(DEADLINE);
    while woken == Ok("sent") {
        woken = told.recv_timeout(DEADLINE);
    }
    println!("woken after {:.1?}", since.elapsed());
    assert_eq!(woken, Ok("closed"), "`send` gives up when nothing can be sent any more");
    peer.abort();
    host.account();
    host.finish();
}

/// A future that counts its polls together with others.
struct Counted<F>(Pin<Box<F>>, Arc<AtomicUsize>);

impl<F: Future> Future for Counted<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.1.fetch_add(1, SeqCst);
        self.0.as_mut().poll(cx)
    }
}

const TASKS: usize = 1000;

/// Each message fills the queue, so that there is room for one at a time.
const MESSAGE: usize = 16 * 1024;

/// One connection, over a pipe that takes less than a message; its peer reads when it is told.
async fn one_connection(read: tokio::sync::oneshot::Receiver<()>) -> Sender {
    let (give, mut senders) = channel::unbounded_channel();
    let handler =
        support::with(give, async |mut socket: Socket, give: channel::UnboundedSender<Sender>| {
            give.send(socket.sender()).expect("the test");
            while socket.recv().await.is_some() {}
        });
    let config = Config { send_queue: MESSAGE, ..Config::default() };
    let (mut client, stream) = tokio::io::duplex(4096);
    tokio::spawn(Server::new(handler).config(config).connection(stream));
    client.write_all(&Request::rfc6455().bytes()).await.unwrap();
    tokio::spawn(async move {
        read.await.expect("the test");
        let mut chunk = [0; 4096];
        while client.read(&mut chunk).await.is_ok_and(|n| n > 0) {}
    });
    senders.recv().await.expect("a connection")
}

#[test]
fn room_for_one_message_does_not_wake_all_that_wait() {
    let (polls, sent) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (start, read) = tokio::sync::oneshot::channel();
        let sender = one_connection(read).await;
        // Until the pipe is full as well, which the connection's own task fills.
        for _ in 0..10 {
            while send_now(&sender, vec![7; MESSAGE]).is_ready() {}
            tokio::task::yield_now().await;
        }
        let mut tasks = Vec::new();
        for _ in 0..TASKS {
            let (sender, sent) = (sender.clone(), sent.clone());
            let sends = Box::pin(async move {
                sender.send(vec![8; MESSAGE]).await.expect("an open connection");
                sent.fetch_add(1, SeqCst);
            });
            tasks.push(tokio::spawn(Counted(sends, polls.clone())));
        }
        while polls.load(SeqCst) < TASKS {
            tokio::task::yield_now().await;
        }
        assert_eq!(sent.load(SeqCst), 0, "all of them wait");
        start.send(()).expect("the peer");
        for task in tasks {
            timeout(DEADLINE, task).await.expect("in time").expect("no panic");
        }
    });
    let polls = polls.load(SeqCst);
    println!("{TASKS} tasks were polled {polls} times in all");
    // Once to wait and once to send, and a few that came while others took the room.
    assert!(polls <= 10 * TASKS, "{polls} polls of {TASKS} tasks");
}

/// A wait that is held and not polled: those behind it are told at the end all the same.
#[test]
fn senders_behind_one_that_is_not_polled_are_told_that_the_connection_is_over() {
    let runtime = Runtime::new().unwrap();
    runtime.block_on(async {
        let (give, mut senders) = channel::unbounded_channel::<Sender>();
        let handler = support::with(
            give,
            async |mut socket: Socket, give: channel::UnboundedSender<Sender>| {
                give.send(socket.sender()).unwrap();
                while socket.recv().await.is_some() {}
            },
        );
        let config = Config { send_queue: 16 * 1024, ..Config::default() };
        let (mut client, stream) = tokio::io::duplex(4096);
        tokio::spawn(Server::new(handler).config(config).connection(stream));
        client.write_all(&Request::rfc6455().bytes()).await.unwrap();
        let sender = senders.recv().await.unwrap();
        let message = || vec![7; 16 * 1024];
        sender.send(message()).await.unwrap();
        let mut held = Box::pin(sender.send(message()));
        while timeout(Duration::from_millis(20), &mut held).await.is_ok() {
            held = Box::pin(sender.send(message()));
        }
        let mut behind = Box::pin(sender.send("behind"));
        assert!(timeout(Duration::from_millis(20), &mut behind).await.is_err(), "it waits");
        // Room is made, so the first is woken, and does not look; then the peer ends.
        let mut read = vec![0; 20 * 1024];
        client.read_exact(&mut read).await.unwrap();
        drop(client);
        let told = timeout(DEADLINE, behind).await.expect("it waits on what is over");
        assert!(told.is_err());
        drop(held);
    });
}

/// What a `Sender` keeps of a connection that is over is small: not the task of its driver.
#[test]
fn a_sender_keeps_no_task_of_a_connection_that_is_over() {
    struct Task;
    impl Wake for Task {
        fn wake(self: Arc<Self>) {}
    }
    let runtime = Runtime::new().unwrap();
    let _entered = runtime.enter();
    let (give, senders) = mpsc::channel();
    let handler = support::with(give, async |mut socket: Socket, give: mpsc::Sender<Sender>| {
        give.send(socket.sender()).unwrap();
        while socket.recv().await.is_some() {}
    });
    let (client, stream) = tokio::io::duplex(4096);
    let mut connection = Box::pin(Server::new(handler).connection(stream));
    let mut client = Some(client);
    runtime.block_on(async {
        client.as_mut().unwrap().write_all(&Request::rfc6455().bytes()).await.unwrap();
    });
    let task = Arc::new(Task);
    let waker = Waker::from(task.clone());
    let started = Instant::now();
    let mut sender = None;
    while connection.as_mut().poll(&mut Context::from_waker(&waker)).is_pending() {
        assert!(started.elapsed() < DEADLINE, "it does not end");
        if let Ok(given) = senders.try_recv() {
            sender = Some(given);
            drop(client.take());
        }
        thread::yield_now();
    }
    drop(connection);
    drop(waker);
    assert_eq!(Arc::strong_count(&task), 1, "a waker of it is kept");
    drop(sender.expect("it was open"));
}
