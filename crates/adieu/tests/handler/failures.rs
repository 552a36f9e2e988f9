//! What fails in the application ends its own connection and no other.

use std::sync::{Arc, Mutex, mpsc};

use adieu::{Cause, Close, CloseCode, ClosingHandshake, End, Sender, Server, Socket};
use testkit::{Frame, Peer, Request, TcpEnd};

use crate::support::{self, Host};

#[test]
fn a_panic_of_a_handler_ends_its_own_connection_only() {
    let host = Host::start(async |socket: Socket| {
        assert_ne!(socket.request().unwrap().path(), "/panics", "as the test wants it");
        support::echo(socket).await;
    });
    let mut bystander = Peer::open(host.addr);
    for _ in 0..3 {
        let mut peer = Peer::open_with(host.addr, &Request::rfc6455().target("/panics"));
        assert_eq!(peer.read_to_end_answering().close_code(), Some(1011));
        drop(peer);
        let account = host.account();
        assert_eq!(account.ending.cause, Cause::Panicked);
        assert_eq!(account.path.as_deref(), Some("/panics"));
    }
    bystander.send(&Frame::text("unharmed"));
    assert_eq!(bystander.read_frame(), Frame::text("unharmed"));
    drop(bystander);
    host.account();
    host.still_serves();
    host.finish();
}

/// A code that must not be on the wire (RFC 6455 §7.4.1) is not sent, and not made an empty Close.
#[test]
fn a_handler_that_returns_a_code_which_must_not_be_sent_is_told_as_1011() {
    let host = Host::start(async |mut socket: Socket| {
        socket.recv().await;
        CloseCode::NO_STATUS
    });
    let mut peer = Peer::open(host.addr);
    peer.send(&Frame::text("return"));
    assert_eq!(peer.read_to_end_answering().close_code(), Some(1011));
    drop(peer);
    let sent = host.account().ending.closing_handshake.sent().and_then(Close::code);
    assert_eq!(sent, Some(CloseCode::INTERNAL_ERROR));
    host.finish();
}

/// A handler that sends to another connection and fails with that one's `Closed` has failed: its
/// own connection is not closed as if all were well.
#[test]
fn closed_of_another_connection_is_a_failure_of_the_handler() {
    let (tell, other) = mpsc::channel();
    let other = Mutex::new(other);
    let host = Host::start(support::with(
        (tell, Arc::new(other)),
        async |mut socket: Socket, (tell, other)| {
            let (tell, other): (mpsc::Sender<Sender>, Arc<Mutex<mpsc::Receiver<Sender>>>) =
                (tell, other);
            if socket.request().unwrap().path() == "/other" {
                tell.send(socket.sender()).unwrap();
                socket.recv().await;
                return Ok(());
            }
            let other = other.lock().unwrap().recv().unwrap();
            other.ended().await;
            other.send("nobody is there").await
        },
    ));
    let other = Peer::open_with(host.addr, &Request::rfc6455().target("/other"));
    let mut peer = Peer::open(host.addr);
    drop(other);
    assert_eq!(peer.read_to_end_answering().close_code(), Some(1011));
    drop(peer);
    let causes = [host.account().ending.cause, host.account().ending.cause];
    assert!(causes.contains(&Cause::HandlerFailed), "{causes:?}");
    host.finish();
}

#[test]
fn a_panic_in_on_end_reaches_nobody() {
    let host = Host::run_telling(Server::new(support::echo), |account| {
        assert_ne!(account.path.as_deref(), Some("/panics"), "as the test wants it");
    });
    for _ in 0..3 {
        let mut peer = Peer::open_with(host.addr, &Request::rfc6455().target("/panics"));
        peer.send(&Frame::close(1000, ""));
        assert_eq!(peer.read_to_end().frames(), [Frame::close(1000, "")]);
        drop(peer);
        assert!(host.account().ending.is_clean());
    }
    host.still_serves();
    assert_eq!(host.finish().given_up, 0, "the drain counts every connection down");
}

#[test]
fn a_panic_in_a_hook_is_answered_500() {
    let server = Server::new(support::echo)
        .origin(|origin| {
            assert_ne!(origin, Some("http://panics.example"), "as the test wants it");
            true
        })
        .on_request(|request| {
            assert_ne!(request.path(), "/panics", "as the test wants it");
            if request.path() == "/teapot" { Err(418) } else { Ok(()) }
        });
    let host = Host::run(server);
    for (request, status) in [
        (Request::rfc6455().field("Origin", "http://panics.example"), 500),
        (Request::rfc6455().target("/panics"), 500),
        (Request::rfc6455().target("/teapot"), 418),
    ] {
        let mut peer = Peer::connect(host.addr);
        peer.write(request.bytes());
        assert_eq!(peer.read_head().status(), status);
        assert_eq!(peer.read_to_end().end, TcpEnd::Fin);
        drop(peer);
        assert!(!host.account().ending.opened());
    }
    host.still_serves();
    host.finish();
}

#[test]
fn a_runtime_that_is_dropped_still_accounts_once_for_each() {
    const PEERS: usize = 20;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.unwrap();
    let (tell, told) = mpsc::channel();
    let server = Server::new(support::echo)
        .on_end(move |ended| tell.send((ended.peer, ended.ending.clone())).unwrap());
    let listener = runtime.block_on(adieu::listen("127.0.0.1:0")).unwrap();
    let addr = listener.local_addr().unwrap();
    runtime.spawn(server.serve_on(listener));
    let mut peers: Vec<_> = (0..PEERS).map(|_| Peer::open(addr)).collect();
    for peer in &mut peers {
        peer.send(&Frame::text("in the middle"));
        peer.send(&Frame::text("of something").unfinished());
        assert_eq!(peer.read_frame(), Frame::text("in the middle"));
    }
    drop(runtime);
    let mut heard: Vec<_> = told.iter().collect();
    assert_eq!(heard.len(), PEERS, "one account each");
    heard.sort_by_key(|(peer, _)| peer.addr());
    heard.dedup_by_key(|(peer, _)| peer.addr());
    assert_eq!(heard.len(), PEERS, "an account of each");
    for (peer, ending) in heard {
        assert_eq!(ending.cause, Cause::Dropped, "{peer}");
        assert!(
            matches!(ending.closing_handshake, ClosingHandshake::Sent { .. }),
            "{peer}: {ending}"
        );
        assert!(matches!(ending.transport.end, End::LetGo(_)), "{peer}: {ending}");
    }
    for mut peer in peers {
        assert_eq!(peer.read_frame().close_code(), Some(1001), "the last word is said");
        assert_eq!(peer.read_to_end().end, TcpEnd::Fin);
    }
}
