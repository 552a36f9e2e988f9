//! The door while a server drains: a 503 behind it, or the next process.

use std::net::SocketAddr;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use adieu::{Cause, Drain, Drained, Endpoint, HandshakeError, Server, Socket};
use testkit::{DEADLINE, Frame, Peer, Request, TcpEnd};

use crate::support::{self, Host};
use crate::{hear_out, numbers, open};

#[test]
fn who_comes_while_it_drains_is_told_when_to_come_again() {
    let host = crate::start(support::echo);
    let mut peers = open(&host, 1);
    host.drain.start();
    // The server waits for the answer to its Close; meanwhile its door is open.
    assert_eq!(peers[0].read_frame().close_code(), Some(1001));
    for _ in 0..10 {
        let mut late = Peer::connect(host.addr);
        late.write(Request::rfc6455().bytes());
        let head = late.read_head();
        assert_eq!(head.status(), 503);
        let seconds = head.field("Retry-After").expect("when to come again");
        assert!(seconds.parse::<u32>().is_ok(), "{seconds}");
        assert_eq!(late.read_to_end().end, TcpEnd::Fin);
        drop(late);
        let ending = host.account().ending;
        assert_eq!(ending.cause, Cause::Handshake(HandshakeError::Draining), "{ending}");
    }
    // One that asks for nothing does not hold the drain.
    let silent = Peer::connect(host.addr);
    peers[0].send(&Frame::close(1001, ""));
    assert_eq!(peers[0].read_to_end().end, TcpEnd::Fin);
    peers[0].fin();
    assert!(host.account().ending.is_clean());
    let addr = host.addr;
    // Once it is over the door is shut. The silent one is accounted for as well.
    let (drained, left) = host.finish_with_accounts();
    assert!(left.len() == 1 && !left[0].ending.opened(), "{left:?}");
    assert_eq!(numbers(&drained), (1, 0, 0, 0, 0));
    assert!(drained.lasted < Duration::from_secs(3), "{drained}");
    assert!(std::net::TcpStream::connect(addr).is_err(), "nobody listens any more");
    drop(silent);
}

#[test]
fn a_handshake_that_had_begun_is_told_so_too() {
    let host = crate::start(support::echo);
    let mut peers = open(&host, 1);
    let mut begun = Peer::connect(host.addr);
    let request = Request::rfc6455().bytes();
    begun.write(&request[..30]);
    testkit::wait_until("the server has read it", || {
        begun.unread_by_other_end() == 0 && host.drain.connections() == 2
    });
    host.drain.start();
    assert_eq!(begun.read_head().status(), 503);
    assert_eq!(begun.read_to_end().end, TcpEnd::Fin);
    drop(begun);
    assert_eq!(hear_out(&mut peers[0]), (vec![], Some(1001)));
    let mut causes = [host.account(), host.account()].map(|account| account.ending.cause);
    causes.sort_by_key(|cause| *cause == Cause::Drain);
    let refused = Cause::Handshake(HandshakeError::Draining);
    assert_eq!(causes, [refused, Cause::Drain]);
    host.finish();
}

/// What judges a request may do anything, to its own connection as well.
#[test]
fn a_policy_may_start_the_drain() {
    type Judge = Box<dyn Fn() + Send + Sync>;
    let policies: [fn(Endpoint, Judge) -> Endpoint; 2] = [
        |endpoint, judge| {
            endpoint.on_request(move |request| {
                (request.path() == "/stop").then(&judge);
                Ok(())
            })
        },
        |endpoint, judge| {
            endpoint.origin(move |origin| {
                origin.inspect(|_| judge());
                true
            })
        },
    ];
    for policy in policies {
        let (drain, (tell, judged)) = (Drain::new(), mpsc::channel());
        let stop = drain.clone();
        let judge = move || {
            stop.start();
            tell.send(()).expect("the test");
        };
        let endpoint = policy(Endpoint::new().drain(drain.clone()), Box::new(judge));
        let host = Host::run_until(drain, Server::with(endpoint, support::echo), |_| {});
        let mut peers = open(&host, 1);
        let mut stops = Peer::connect(host.addr);
        let request = Request::rfc6455().target("/stop").field("Origin", "https://stop.example");
        // What stands behind the request is read as well: left unread it would become an RST.
        stops.write([request.bytes(), Frame::text("too late").masked()].concat());
        if judged.recv_timeout(DEADLINE).is_err() {
            // Its thread never comes back, so nobody may wait for its runtime.
            std::mem::forget(host);
            panic!("a policy that starts the drain waits for itself");
        }
        assert_eq!(stops.read_head().status(), 503);
        assert_eq!(stops.read_to_end().end, TcpEnd::Fin);
        drop(stops);
        let refused = Cause::Handshake(HandshakeError::Draining);
        assert_eq!(hear_out(&mut peers[0]), (vec![], Some(1001)));
        let causes = [host.account(), host.account()].map(|account| account.ending.cause);
        assert!(causes.contains(&refused) && causes.contains(&Cause::Drain), "{causes:?}");
        host.finish();
    }
}

/// A server that hands its listener on.
struct Process {
    drain: Drain,
    serving: thread::JoinHandle<Drained>,
}

impl Process {
    /// Says its name to each that comes, and echoes.
    fn start(name: &'static str, listener: std::net::TcpListener) -> Self {
        let drain = Drain::new();
        let stop = drain.clone();
        let serving = thread::spawn(move || {
            let runtime = tokio::runtime::Runtime::new().expect("a runtime");
            runtime.block_on(async {
                listener.set_nonblocking(true).expect("a listener that does not block");
                let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
                let handler = support::with(name, async |socket: Socket, name: &str| {
                    let _ = socket.send(name).await;
                    support::echo(socket).await;
                });
                let server = Server::new(handler);
                let server = server.drain_when(async move { stop.started().await });
                server.serve_inherited(listener).await.expect("a server")
            })
        });
        Process { drain, serving }
    }
}

fn greeted(addr: SocketAddr, name: &str) -> Peer {
    let mut peer = Peer::open(addr);
    assert_eq!(peer.read_frame(), Frame::text(name));
    peer
}

#[test]
fn an_inherited_listener_is_left_to_the_next_process() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let addr = listener.local_addr().expect("its address");
    let old = Process::start("old", listener.try_clone().expect("a second descriptor"));
    let mut first = greeted(addr, "old");
    old.drain.start();
    assert_eq!(first.read_frame().close_code(), Some(1001));
    // Nobody accepts now; who comes waits in the queue, and meets no closed door.
    let mut waiting: Vec<_> = (0..5).map(|_| Peer::connect(addr)).collect();
    for peer in &mut waiting {
        peer.write(Request::rfc6455().bytes());
    }
    first.send(&Frame::close(1001, ""));
    assert_eq!(first.read_to_end().end, TcpEnd::Fin);
    first.fin();
    assert_eq!(numbers(&old.serving.join().expect("it ends")), (1, 0, 0, 0, 0));
    let new = Process::start("new", listener);
    for peer in &mut waiting {
        assert_eq!(peer.read_head().status(), 101);
        assert_eq!(peer.read_frame(), Frame::text("new"));
    }
    drop(greeted(addr, "new"));
    new.drain.start();
    for peer in &mut waiting {
        assert_eq!(hear_out(peer), (vec![], Some(1001)));
    }
    let drained = new.serving.join().expect("it ends");
    assert!(drained.clean == 5 && drained.given_up == 0, "{drained}");
}

#[test]
fn nobody_meets_a_closed_door_while_one_process_after_another_takes_over() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let addr = listener.local_addr().expect("its address");
    let clone = || listener.try_clone().expect("another descriptor");
    let mut current = Process::start("one of many", clone());
    let come = move || {
        for _ in 0..100 {
            let mut peer = Peer::connect(addr);
            peer.write(Request::rfc6455().bytes());
            let head = peer.read_head();
            if head.status() == 503 {
                // Accepted by the old one a moment before it was told to stop.
                assert!(head.field("Retry-After").is_some());
                assert_eq!(peer.read_to_end().end, TcpEnd::Fin);
                continue;
            }
            assert_eq!(head.status(), 101);
            assert_eq!(peer.read_frame(), Frame::text("one of many"));
            peer.send(&Frame::close(1000, ""));
            // The server's own Close may have been on its way.
            let close = peer.read_frame();
            assert!(matches!(close.close_code(), Some(1000 | 1001)), "{close:?}");
            assert_eq!(peer.read_to_end().end, TcpEnd::Fin);
        }
    };
    let clients: Vec<_> = (0..4).map(|_| thread::spawn(come)).collect();
    for _ in 0..5 {
        let next = Process::start("one of many", clone());
        drop(greeted(addr, "one of many"));
        current.drain.start();
        current.serving.join().expect("it ends");
        current = next;
    }
    for client in clients {
        client.join().expect("each was served, every time");
    }
    current.drain.start();
    current.serving.join().expect("it ends");
}
