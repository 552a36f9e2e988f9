//! One server on several single-threaded runtimes: what is one about it, and what is not.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use adieu::{Cause, Drain, Endpoint, Server, Socket};
use socket2::{Domain, Socket as RawSocket, Type};
use testkit::{Frame, Peer, Request, TcpEnd, wait_until};

const THREADS: NonZeroUsize = NonZeroUsize::new(4).unwrap();

/// A port that nobody else gets while this socket, which only holds it, is there.
fn a_port() -> (SocketAddr, RawSocket) {
    let socket = RawSocket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_reuse_port(true).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    (socket.local_addr().unwrap().as_socket().unwrap(), socket)
}

/// Answers each message with the name of the thread that it is on.
async fn tell_thread(mut socket: Socket) {
    while socket.recv().await.is_some() {
        let name = std::thread::current().name().unwrap_or_default().to_owned();
        if socket.send(name).await.is_err() {
            break;
        }
    }
}

/// The listeners are there a moment after the serving began.
fn open(addr: SocketAddr) -> Peer {
    wait_until("it listens", || std::net::TcpStream::connect(addr).is_ok());
    Peer::open(addr)
}

fn ask(peer: &mut Peer) -> String {
    peer.send(&Frame::text("where are you?"));
    let answer = peer.read_frame();
    String::from_utf8(answer.payload).unwrap()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Runtime::new().unwrap()
}

#[test]
fn a_connection_stays_on_its_thread_and_the_drain_is_one() {
    const PEERS: usize = 64;
    let (addr, _held) = a_port();
    let drain = Drain::new();
    let ended = Arc::new(AtomicUsize::new(0));
    let count = ended.clone();
    let server =
        Server::with(Endpoint::new().drain(drain.clone()), tell_thread).on_end(move |ended| {
            count.fetch_add(usize::from(ended.ending.opened()), SeqCst);
        });
    let runtime = runtime();
    let serving = runtime.spawn(server.serve_per_core(addr, THREADS));
    let mut peers: Vec<_> = (0..PEERS).map(|_| open(addr)).collect();
    let mut names = HashSet::new();
    for peer in &mut peers {
        let name = ask(peer);
        assert!((0..3).all(|_| ask(peer) == name), "it moved away from {name}");
        names.insert(name);
    }
    // The kernel chooses by a hash of the addresses: all on one is one case in 4^63.
    assert!(names.len() > 1, "{names:?}");
    assert!(names.iter().all(|name| name.starts_with("adieu-")), "{names:?}");
    drain.start();
    for mut peer in peers {
        let close = peer.read_frame();
        assert_eq!(close.close_code(), Some(1001));
        peer.send(&close);
        peer.fin();
        assert_eq!(peer.read_to_end().end, TcpEnd::Fin);
    }
    let drained = runtime.block_on(serving).unwrap().unwrap();
    assert_eq!(drained.clean, PEERS, "{drained}");
    assert_eq!(ended.load(SeqCst), PEERS);
}

#[test]
fn the_limit_is_of_all_threads_together() {
    let (addr, _held) = a_port();
    let drain = Drain::new();
    let endpoint = Endpoint::new().drain(drain.clone()).max_connections(8);
    let server = Server::with(endpoint, tell_thread);
    let runtime = runtime();
    let serving = runtime.spawn(server.serve_per_core(addr, THREADS));
    wait_until("it listens", || std::net::TcpStream::connect(addr).is_ok());
    wait_until("nobody is left", || drain.progress().connections == 0);
    let peers: Vec<_> = (0..8).map(|_| Peer::open(addr)).collect();
    let mut ninth = Peer::connect(addr);
    ninth.write(Request::rfc6455().bytes());
    assert_eq!(ninth.read_head().status(), 503);
    drain.force();
    drop(peers);
    runtime.block_on(serving).unwrap().unwrap();
}

#[test]
fn who_no_longer_serves_lets_go_of_connections_and_port() {
    let (addr, held) = a_port();
    let (tell, told) = std::sync::mpsc::channel();
    let server = Server::new(tell_thread).on_end(move |ended| {
        if ended.ending.opened() {
            tell.send(ended.ending.cause.clone()).unwrap();
        }
    });
    let runtime = runtime();
    let serving = runtime.spawn(server.serve_per_core(addr, THREADS));
    let mut peer = open(addr);
    ask(&mut peer);
    serving.abort();
    assert_eq!(peer.read_frame().close_code(), Some(1001));
    assert_eq!(told.recv_timeout(testkit::DEADLINE), Ok(Cause::Dropped));
    drop(held);
    wait_until("the port is free", || std::net::TcpListener::bind(addr).is_ok());
}

#[test]
fn an_address_in_use_is_an_error() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let server = Server::new(tell_thread);
    let serving = server.serve_per_core(taken.local_addr().unwrap(), THREADS);
    let error = runtime().block_on(serving).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
}
