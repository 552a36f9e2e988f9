//! Who does not keep up makes the other side wait, in bounded memory and without loss.

#[path = "support/heap.rs"]
mod heap;
mod support;

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use adieu::{Cause, Closed, Config, End, Message, Server, Socket};
use heap::peak_of_others;
use support::Host;
use testkit::{DEADLINE, Frame, Peer, Request, TcpEnd};

const MESSAGE: usize = 64 * 1024;
const QUEUE: usize = 256 * 1024;

fn config() -> Config {
    Config { send_queue: QUEUE, receive_queue: QUEUE, ..Config::default() }
}

/// Waits until `count` has not moved for a while: whoever counts is stuck (or the machine is very
/// slow, and then the test shows less than it could, but nothing wrong).
fn wait_until_stuck(count: &AtomicUsize) -> usize {
    let (mut last, mut same) = (0, 0);
    testkit::wait_until("the count stands still", || {
        let now = count.load(SeqCst);
        same = if now == last && now > 0 { same + 1 } else { 0 };
        last = now;
        same > 100
    });
    last
}

/// A server that sends `messages` of 64 KiB, counts those that `send` took, and says how it went.
fn flood(messages: usize) -> (Host, Arc<AtomicUsize>, mpsc::Receiver<Result<(), Closed>>) {
    let sent = Arc::new(AtomicUsize::new(0));
    let (tell, told) = mpsc::channel();
    let shared = (sent.clone(), tell, messages);
    let handler = support::with(shared, async |mut socket: Socket, (sent, tell, messages)| {
        let (sent, tell): (Arc<AtomicUsize>, mpsc::Sender<_>) = (sent, tell);
        if socket.request().unwrap().path() != "/flood" {
            return support::echo(socket).await;
        }
        let mut result = Ok(());
        for i in 0..messages {
            result = socket.send(vec![i as u8; MESSAGE]).await;
            if result.is_err() {
                break;
            }
            sent.fetch_add(1, SeqCst);
        }
        tell.send(result).unwrap();
        while socket.recv().await.is_some() {}
    });
    (Host::run(Server::new(handler).config(config())), sent, told)
}

fn flooded(host: &Host) -> Peer {
    let mut peer = Peer::connect_with(host.addr, |socket| {
        socket.set_recv_buffer_size(64 * 1024).unwrap();
    });
    peer.handshake(&Request::rfc6455().target("/flood"));
    peer
}

#[test]
fn send_waits_for_a_peer_that_does_not_read_and_goes_on_when_it_does() {
    let _alone = heap::alone();
    const MESSAGES: usize = 512;
    let (host, sent, told) = flood(MESSAGES);
    let mut peer = flooded(&host);
    let peak = peak_of_others(|| {
        let stuck = wait_until_stuck(&sent);
        assert!(stuck < MESSAGES / 2, "{stuck} messages were taken though nobody reads");
    });
    // The queue, one message beyond it, one that has left in part, the next one in the handler's
    // hands, and the receive buffers of four threads.
    assert!(peak < QUEUE + 8 * MESSAGE, "{peak} bytes were held for a peer that does not read");
    for i in 0..MESSAGES {
        let frame = peer.read_frame();
        assert!(frame.payload.len() == MESSAGE && frame.payload[0] == i as u8, "message {i}");
    }
    assert_eq!(told.recv_timeout(DEADLINE), Ok(Ok(())));
    peer.send(&Frame::close(1000, ""));
    assert_eq!(peer.read_to_end().frames(), [Frame::close(1000, "")]);
    drop(peer);
    assert!(host.account().ending.is_clean());
    host.finish();
}

#[test]
fn send_is_freed_when_the_peer_dies() {
    let _alone = heap::alone();
    let (host, sent, told) = flood(512);
    let peer = flooded(&host);
    wait_until_stuck(&sent);
    peer.reset();
    assert!(matches!(told.recv_timeout(DEADLINE), Ok(Err(Closed { .. }))));
    let ending = host.account().ending;
    assert_eq!((&ending.cause, ending.transport.end), (&Cause::Reset, End::Reset), "{ending}");
    // Every message that `send` took is accounted for: read by the kernel or never left.
    assert!(ending.unsent.messages > 0 && ending.unsent.bytes >= QUEUE as u64, "{ending}");
    host.still_serves();
    host.finish();
}

#[test]
fn a_peer_that_reads_nothing_and_says_goodbye_is_let_go() {
    let _alone = heap::alone();
    let (tell, told) = mpsc::channel();
    let handler = support::with(tell, async |socket: Socket, tell: mpsc::Sender<_>| {
        while socket.send(vec![0; MESSAGE]).await.is_ok() {}
        tell.send(socket.ended().await).unwrap();
    });
    let short = Duration::from_millis(150);
    let config = Config { grace: short, flush_timeout: short, linger: short, ..config() };
    let host = Host::run(Server::new(handler).config(config));
    let mut peer = flooded(&host);
    testkit::wait_until("our kernel is full", || peer.bytes_to_read() > 32 * 1024);
    peer.send(&Frame::close(1001, ""));
    let ending = told.recv_timeout(DEADLINE).unwrap();
    assert_eq!(ending.cause, Cause::Peer, "{ending}");
    assert_eq!(
        ending.transport.end,
        End::LetGo(adieu::LetGo::Clock(adieu::Timer::Flush)),
        "{ending}"
    );
    assert!(ending.closing_handshake.sent().is_none(), "our answer never left: {ending}");
    assert!(ending.unsent.messages > 0, "{ending}");
    assert_eq!(host.account().ending, ending);
    drop(peer);
    host.finish();
}

#[test]
fn reading_pauses_for_a_handler_that_does_not_and_goes_on_without_loss() {
    let _alone = heap::alone();
    const MESSAGES: usize = 512;
    let (go, going) = tokio::sync::oneshot::channel::<()>();
    let (tell, told) = mpsc::channel();
    let shared = (Arc::new(Mutex::new(Some(going))), tell);
    let handler = support::with(shared, async |mut socket: Socket, (going, tell)| {
        let tell: mpsc::Sender<_> = tell;
        let going = going.lock().unwrap().take().unwrap();
        going.await.unwrap();
        let mut next = 0;
        while let Some(message) = socket.recv().await {
            let want: &[u8] = &[next as u8; MESSAGE];
            assert_eq!(
                (message.len(), message == Message::Binary(want.to_vec().into())),
                (MESSAGE, true)
            );
            next += 1;
        }
        tell.send(next).unwrap();
    });
    let host = Host::run(Server::new(handler).config(config()));
    let mut peer = Peer::open(host.addr);
    let written = Arc::new(AtomicUsize::new(0));
    let count = written.clone();
    let writer = std::thread::spawn(move || {
        for i in 0..MESSAGES {
            peer.send(&Frame::binary(vec![i as u8; MESSAGE]));
            count.fetch_add(1, SeqCst);
        }
        peer.send(&Frame::close(1000, ""));
        assert_eq!(peer.read_frame().close_code(), Some(1000));
        assert_eq!(peer.read_to_end().end, TcpEnd::Fin);
    });
    let peak = peak_of_others(|| {
        let stuck = wait_until_stuck(&written);
        assert!(stuck < MESSAGES / 2, "{stuck} messages were read though nobody asks for them");
    });
    // The queue, the message under way, the thread's buffers, and the writer's own frame.
    assert!(peak < QUEUE + 12 * MESSAGE, "{peak} bytes were held for a handler that does not read");
    go.send(()).unwrap();
    assert_eq!(told.recv_timeout(DEADLINE), Ok(MESSAGES));
    writer.join().unwrap();
    assert!(host.account().ending.is_clean());
    host.finish();
}

#[test]
fn a_peer_that_dies_while_reading_is_paused_is_heard() {
    let _alone = heap::alone();
    let (go, going) = tokio::sync::oneshot::channel::<()>();
    let going = Arc::new(Mutex::new(Some(going)));
    let handler = support::with(going, async |socket: Socket, going| {
        let going: Arc<Mutex<Option<tokio::sync::oneshot::Receiver<()>>>> = going;
        let going = going.lock().unwrap().take().unwrap();
        going.await.unwrap();
        // The write that fails takes the socket's error away; what the handler does after that
        // did not begin the ending.
        loop {
            socket.send("are you there?").await?;
            tokio::task::yield_now().await;
        }
        #[allow(unreachable_code, reason = "it says what the handler returns")]
        Ok::<(), Closed>(())
    });
    let host = Host::run(Server::new(handler).config(config()));
    let mut peer = Peer::open(host.addr);
    let mut bytes = Vec::new();
    for _ in 0..64 {
        bytes.extend(Frame::binary(vec![0; MESSAGE]).masked());
    }
    peer.write_until_full(&bytes);
    peer.reset();
    go.send(()).unwrap();
    let ending = host.account().ending;
    assert_eq!((&ending.cause, ending.transport.end), (&Cause::Reset, End::Reset), "{ending}");
    host.finish();
}

#[test]
fn a_flood_of_empty_messages_is_bounded_too() {
    let _alone = heap::alone();
    let handler = async |socket: Socket| {
        // It never asks for a message.
        socket.sender().ended().await;
    };
    let config = Config { grace: Duration::from_millis(1), ..config() };
    let host = Host::run(Server::new(handler).config(config));
    let mut peer = Peer::open(host.addr);
    let bytes = Frame::binary("").masked().repeat(2_000_000);
    let peak = peak_of_others(|| {
        let written = peer.write_until_full(&bytes);
        assert!(written < bytes.len(), "everything was read though nobody asks for it");
    });
    // The queue, and what one read of 64 KiB can hold: 11,000 messages, queued twice.
    assert!(peak < QUEUE + 3 * 1024 * 1024, "{peak} bytes were held");
    // Nobody reads and nobody writes, so nobody has seen the RST when the server stops.
    peer.reset();
    host.drain.start();
    assert_eq!(host.account().ending.transport.end, End::Reset);
    host.finish();
}

#[test]
fn a_drain_does_not_wait_for_a_handler_that_does_not_read() {
    let _alone = heap::alone();
    let handler = async |socket: Socket| {
        socket.sender().ended().await;
    };
    let host = Host::run(Server::new(handler).config(config()));
    let mut peer = Peer::open(host.addr);
    let bytes = Frame::binary(vec![0; MESSAGE]).masked().repeat(512);
    let written = peer.write_until_full(&bytes);
    assert!(written < bytes.len(), "reading is not paused");
    host.drain.start();
    // The peer is alive and would wait for ever: nothing but the drain ends this.
    peer.set_deadline(Duration::from_secs(10));
    assert_eq!(peer.read_frame().close_code(), Some(1001));
    peer.close();
    assert_eq!(host.account().ending.cause, Cause::Drain);
    host.finish();
}

#[test]
fn the_pong_deadline_does_not_run_while_reading_is_paused() {
    let _alone = heap::alone();
    let (go, going) = tokio::sync::oneshot::channel::<()>();
    let going = Arc::new(Mutex::new(Some(going)));
    let handler = support::with(going, async |mut socket: Socket, going| {
        let going: Arc<Mutex<Option<tokio::sync::oneshot::Receiver<()>>>> = going;
        let going = going.lock().unwrap().take().unwrap();
        going.await.unwrap();
        while socket.recv().await.is_some() {}
    });
    let config = Config {
        receive_queue: 1,
        ping_interval: Some(Duration::from_millis(20)),
        pong_timeout: Duration::from_millis(20),
        ..Config::default()
    };
    let host = Host::run(Server::new(handler).config(config));
    let mut peer = Peer::open(host.addr);
    peer.send(&Frame::text("fills the queue"));
    testkit::wait_until("the queue is full", || peer.unread_by_other_end() == 0);
    // It answers each Ping, though nobody reads the answers. Ten of them take longer than any
    // deadline.
    for _ in 0..10 {
        assert_eq!(peer.read_frame(), Frame::ping(""));
        peer.send(&Frame::pong(""));
    }
    go.send(()).unwrap();
    peer.send(&Frame::close(1000, ""));
    let frames = peer.read_to_end().frames();
    assert_eq!(frames.last(), Some(&Frame::close(1000, "")), "{frames:?}");
    drop(peer);
    assert!(host.account().ending.is_clean());
    host.finish();
}

#[test]
fn queues_of_no_length_let_one_message_after_the_other_pass() {
    let _alone = heap::alone();
    let config = Config { send_queue: 0, receive_queue: 0, ..Config::default() };
    let host = Host::run(Server::new(support::echo).config(config));
    let mut peer = Peer::open(host.addr);
    let mut all: Vec<_> = (0..100).map(|i| Frame::text(i.to_string())).collect();
    all.push(Frame::text(""));
    all.push(Frame::binary(vec![7; 4 * MESSAGE]));
    all.push(Frame::close(1000, ""));
    peer.send_all(&all);
    let rest = peer.read_to_end();
    assert_eq!(rest.end, TcpEnd::Fin);
    assert!(rest.frames() == all, "all come back, in order");
    drop(peer);
    assert!(host.account().ending.is_clean());
    host.finish();
}

#[cfg(unix)]
mod over_a_unix_socket {
    use std::io::{ErrorKind, Read, Write};
    use std::net::Shutdown;
    use std::os::unix::net::UnixStream;

    use super::*;

    /// Writes until nothing is taken for a while; how much that was.
    fn write_until_full(peer: &mut UnixStream, bytes: &[u8]) -> usize {
        peer.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
        let mut written = 0;
        while written < bytes.len() {
            match peer.write(&bytes[written..]) {
                Ok(n) => written += n,
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                Err(e) => panic!("after {written} bytes: {e}"),
            }
        }
        written
    }

    /// A broken TCP connection has no more than the kernel's buffer left to read. A Unix socket
    /// whose peer has stopped to read still brings whatever that peer goes on to say.
    #[test]
    fn reading_pauses_though_the_peer_reads_no_more() {
        const MESSAGES: usize = 512;
        let _alone = heap::alone();
        let (go, going) = tokio::sync::oneshot::channel::<()>();
        let (tell, told) = mpsc::channel();
        let (tell_end, ends) = mpsc::channel();
        let shared = (Arc::new(Mutex::new(Some(going))), tell);
        let handler = support::with(shared, async |mut socket: Socket, (going, tell)| {
            let (going, tell): (Arc<Mutex<Option<_>>>, mpsc::Sender<usize>) = (going, tell);
            let going: tokio::sync::oneshot::Receiver<()> = going.lock().unwrap().take().unwrap();
            while socket.send("are you there?").await.is_ok() {
                tokio::task::yield_now().await;
            }
            tell.send(0).unwrap();
            going.await.unwrap();
            let mut count = 0;
            while let Some(message) = socket.recv().await {
                assert_eq!(message.len(), MESSAGE);
                count += 1;
            }
            tell.send(count).unwrap();
        });
        // However slow the machine: how long a peer may take to end is not what this is about.
        let config = Config { linger: DEADLINE, ..config() };
        let server = Server::new(handler)
            .config(config)
            .on_end(move |ended| drop(tell_end.send(ended.ending.clone())));
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let (mut peer, ours) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        runtime.block_on(async {
            let ours = tokio::net::UnixStream::from_std(ours).unwrap();
            tokio::spawn(server.connection(ours));
        });
        peer.write_all(&Request::rfc6455().bytes()).unwrap();
        assert_ne!(peer.read(&mut [0; 4096]).unwrap(), 0);
        peer.shutdown(Shutdown::Read).unwrap();
        assert_eq!(told.recv_timeout(DEADLINE), Ok(0), "its write has failed");
        let message = Frame::binary(vec![0; MESSAGE]).masked();
        let bytes = message.repeat(MESSAGES);
        let mut written = 0;
        let peak = peak_of_others(|| written = write_until_full(&mut peer, &bytes));
        assert!(written < bytes.len(), "everything was read though nobody asks for it");
        // The queue, the message under way, and the threads' buffers.
        assert!(
            peak < QUEUE + 8 * MESSAGE,
            "{peak} bytes were held for a handler that does not read"
        );
        go.send(()).unwrap();
        peer.set_write_timeout(Some(DEADLINE)).unwrap();
        peer.write_all(&bytes[written..]).unwrap();
        peer.shutdown(Shutdown::Write).unwrap();
        assert_eq!(told.recv_timeout(DEADLINE), Ok(MESSAGES), "each message is given");
        let ending = ends.recv_timeout(DEADLINE).unwrap();
        assert_eq!((&ending.cause, ending.transport.end), (&Cause::Eof, End::Finished), "{ending}");
        drop(runtime);
        assert!(ends.try_recv().is_err(), "accounted for twice");
    }
}
