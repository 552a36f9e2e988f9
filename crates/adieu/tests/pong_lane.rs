//! A Ping is answered as soon as practical (RFC 6455 §5.5.2): its Pong leaves at the next boundary
//! between frames, in front of the data that waits. Nothing overtakes a Close, and nothing follows
//! it.
#![cfg(target_os = "linux")]

mod served;

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use adieu::{Config, Endpoint, Handler, Server, Socket};
use served::{Served, with};
use socket2::SockRef;
use testkit::{DEADLINE, Frame, Peer, Request, TcpEnd, figure, wait_until};

/// What `send` is given each time.
const MESSAGE: usize = 64 * 1024;

/// What we ask of each kernel; it takes twice that for its own records, and says so.
const BUFFER: usize = 128 * 1024;

/// Whole frames that may stand between a Ping and its Pong: what the two kernels hold, the frame
/// of which a part has left, one of which the peer had a part already, and some for kernels that
/// take more than they say. Behind the queue of the connection (`defaults::SEND_QUEUE`, 16 of
/// these frames) a Pong would come after 24.
const BOUND: usize = 2 * (2 * BUFFER) / MESSAGE + 8;

/// A server whose connections have a small send buffer: they inherit it from the listener, which
/// has it before the first peer comes.
fn serve(endpoint: Endpoint, handler: impl Handler) -> Served {
    Served::start(endpoint, |endpoint, listener, _| {
        SockRef::from(&listener).set_send_buffer_size(BUFFER).expect("SO_SNDBUF");
        let server = Server::with(endpoint, handler);
        async move {
            server.serve_on(listener).await.expect("a server");
        }
    })
}

fn open(served: &Served) -> Peer {
    let mut peer = Peer::connect_with(served.addr, |socket| {
        socket.set_recv_buffer_size(BUFFER).expect("SO_RCVBUF");
    });
    peer.handshake(&Request::rfc6455());
    peer
}

/// Sends without end, and counts.
fn streams(sent: Arc<AtomicUsize>) -> impl Handler {
    move |socket: Socket| {
        let sent = sent.clone();
        async move {
            while socket.send(vec![7; MESSAGE]).await.is_ok() {
                sent.fetch_add(1, SeqCst);
            }
        }
    }
}

/// Waits until the handler sits in `send`, with both kernels full.
fn wait_until_full(sent: &AtomicUsize, peer: &Peer) {
    let (mut last, mut same) = ((0, 0), 0);
    wait_until("nothing moves any more", || {
        let now = (sent.load(SeqCst), peer.bytes_to_read());
        same = if now == last && now.1 > 0 { same + 1 } else { 0 };
        last = now;
        same > 100
    });
}

// A peer that reads.

/// Reads at so many bytes a second.
struct Reader {
    peer: Peer,
    started: Instant,
    read: usize,
    bytes: Vec<u8>,
}

const BYTES_PER_SECOND: f64 = 4e6;

impl Reader {
    /// The next whole frame.
    fn frame(&mut self) -> Frame {
        loop {
            if let Some((frame, len)) = Frame::parse(&self.bytes) {
                self.bytes.drain(..len);
                return frame;
            }
            let due = Duration::from_secs_f64(self.read as f64 / BYTES_PER_SECOND);
            thread::sleep((self.started + due).saturating_duration_since(Instant::now()));
            let chunk = self.peer.read_some(16 * 1024);
            assert!(!chunk.is_empty(), "an end in the middle of the stream");
            self.read += chunk.len();
            self.bytes.extend(chunk);
        }
    }

    /// Reads to the Pong; how many whole frames of data came before it.
    fn frames_before(&mut self, pong: &Frame) -> usize {
        for data in 0.. {
            let frame = self.frame();
            if frame.opcode == 0xA {
                assert_eq!(frame, *pong);
                return data;
            }
            assert!(frame.payload.len() == MESSAGE, "a whole message");
            assert!(data < BOUND, "{pong:?}: {data} whole frames came and no Pong");
        }
        unreachable!("it returns or panics");
    }
}

#[test]
fn a_pong_leaves_beside_a_handler_that_streams() {
    const PINGS: usize = 100;
    let served = serve(Endpoint::new(), streams(Arc::default()));
    let peer = open(&served);
    let mut reader = Reader { peer, started: Instant::now(), read: 0, bytes: Vec::new() };
    // The stream is under way.
    for _ in 0..2 * BOUND {
        reader.frame();
    }
    let (mut most, mut longest) = (0, Duration::ZERO);
    for i in 0..PINGS {
        let since = Instant::now();
        reader.peer.send(&Frame::ping(i.to_string()));
        most = most.max(reader.frames_before(&Frame::pong(i.to_string())));
        longest = longest.max(since.elapsed());
    }
    figure(
        "a Pong beside a stream of 4 MB/s",
        &format!("{PINGS} of {PINGS}, at most {most} frames and {longest:.0?} later"),
    );
    reader.peer.abort();
    served.account();
    served.stop();
}

#[test]
fn the_newest_pong_replaces_one_that_waits() {
    let sent = Arc::new(AtomicUsize::new(0));
    let served = serve(Endpoint::new(), streams(sent.clone()));
    let mut peer = open(&served);
    wait_until_full(&sent, &peer);
    let pings: Vec<Frame> = (1..=50).map(|i| Frame::ping(i.to_string())).collect();
    // Each is read by itself, as if it came by itself.
    for ping in &pings {
        peer.send(ping);
        wait_until("the server has read it", || peer.unread_by_other_end() == 0);
    }
    let mut reader = Reader { peer, started: Instant::now(), read: 0, bytes: Vec::new() };
    let (mut pongs, mut data) = (Vec::new(), 0);
    while data < 2 * BOUND {
        let frame = reader.frame();
        match frame.opcode {
            0x2 => data += 1,
            _ => pongs.push(frame),
        }
        let answered = pongs.last() == Some(&Frame::pong("50"));
        assert!(answered || data <= BOUND, "{data} whole frames came and no Pong to the last Ping");
    }
    println!("{} Pongs to 50 Pings", pongs.len());
    // A kernel that is full still takes a few bytes at times, and with them a Pong.
    assert!(pongs.len() <= 5, "all but a few were replaced: {} Pongs", pongs.len());
    assert_eq!(pongs.last(), Some(&Frame::pong("50")), "the newest one is the last");
    reader.peer.abort();
    served.account();
    served.stop();
}

// Our Close waits.

#[test]
fn a_ping_is_answered_in_front_of_a_close_that_waits() {
    const MESSAGES: usize = 15;
    let (tell, told) = mpsc::channel();
    // The peer may take its time to read.
    let config = Config { drain_timeout: DEADLINE, ..Config::default() };
    let served = serve(with(config), move |socket: Socket| {
        let tell = tell.clone();
        async move {
            for _ in 0..MESSAGES {
                socket.send(vec![7; MESSAGE]).await.expect("room in the queue");
            }
            let _ = tell.send(());
        }
    });
    let mut peer = open(&served);
    told.recv_timeout(DEADLINE).expect("all is queued");
    // The Close is behind all of it when nothing moves any more.
    wait_until_full(&AtomicUsize::new(1), &peer);
    peer.send(&Frame::ping("still there?"));
    wait_until("the server has read it", || peer.unread_by_other_end() == 0);
    let mut frames = Vec::new();
    while frames.last().is_none_or(|frame: &Frame| frame.opcode != 0x8) {
        frames.push(peer.read_frame());
    }
    peer.send(&Frame::close(1000, ""));
    let rest = peer.read_to_end();
    assert_eq!((rest.bytes, rest.end), (vec![], TcpEnd::Fin), "nothing follows the Close");
    drop(peer);
    let opcodes: Vec<u8> = frames.iter().map(|frame| frame.opcode).collect();
    let data = opcodes.iter().filter(|opcode| **opcode == 0x2).count();
    let pongs: Vec<_> = frames.iter().filter(|frame| frame.opcode == 0xA).collect();
    assert_eq!(data, MESSAGES, "{opcodes:x?}");
    assert_eq!(pongs, [&Frame::pong("still there?")], "{opcodes:x?}");
    // It did not wait for the queue: it stands behind what the kernels held.
    let at = opcodes.iter().position(|opcode| *opcode == 0xA).expect("a Pong");
    assert!(at < MESSAGES, "{opcodes:x?}");
    assert!(served.account().ending.is_clean());
    served.stop();
}
