//! How many connections there may be: what is above a limit is told so, and what has ended, in
//! whatever way, makes room for the next.

mod support;

use std::net::SocketAddr;
use std::time::Duration;

use adieu::{Cause, Config, Drain, Endpoint, HandshakeError, Server};
use support::{Account, Host, echo};
use testkit::{Frame, Head, Peer, Request, TcpEnd, wait_until};

/// How a client comes and goes.
type Way = fn(SocketAddr);

fn refused_as(account: &Account) -> &HandshakeError {
    match &account.ending.cause {
        Cause::Handshake(error) => error,
        _ => panic!("{}", account.ending),
    }
}

/// Reads a refusal to its end, which is a FIN behind a sentence.
fn read_refusal(peer: &mut Peer) -> (Head, String) {
    let head = peer.read_head();
    let rest = peer.read_to_end();
    assert_eq!(rest.end, TcpEnd::Fin, "{}", head.text);
    (head, rest.text())
}

/// Asks for a WebSocket and is refused.
fn refused(mut peer: Peer) -> (Head, String) {
    peer.write(Request::rfc6455().bytes());
    read_refusal(&mut peer)
}

/// Connects from another address of this machine.
fn connect_from(ip: &str, addr: SocketAddr) -> Peer {
    let from: SocketAddr = format!("{ip}:0").parse().unwrap();
    Peer::connect_with(addr, |socket| socket.bind(&from.into()).unwrap())
}

/// Connects, says nothing, and waits until the server has it.
fn silent(host: &Host, drain: &Drain) -> Peer {
    let before = drain.connections();
    let peer = Peer::connect(host.addr);
    wait_until("the server has the connection", || drain.connections() > before);
    peer
}

#[test]
fn what_is_above_the_limit_hears_503_and_when_to_come_again() {
    let host = Host::run(Server::new(echo).max_connections(2));
    let first = Peer::open(host.addr);
    let second = Peer::open(host.addr);
    for _ in 0..3 {
        let (head, body) = refused(Peer::connect(host.addr));
        assert_eq!((head.status(), head.field("Retry-After")), (503, Some("5")));
        assert_eq!(body, refusal_body(&HandshakeError::Full));
        assert_eq!(refused_as(&host.account()), &HandshakeError::Full);
    }
    drop(first);
    host.account();
    host.still_serves();
    drop(second);
    host.account();
    host.finish();
}

#[test]
fn every_way_to_end_makes_room_for_the_next() {
    let config = Config { handshake_timeout: Duration::from_millis(300), ..Config::default() };
    let server = Server::new(echo).config(config).max_connections(1);
    let host = Host::run(server.max_connections_per_address(1));
    let ways: [(&str, Way); 9] = [
        ("FIN", |addr| Peer::open(addr).close()),
        ("RST", |addr| Peer::open(addr).reset()),
        ("a Close", |addr| {
            let mut peer = Peer::open(addr);
            peer.send(&Frame::close(1000, ""));
            peer.read_to_end();
        }),
        ("a violation", |addr| {
            let mut peer = Peer::open(addr);
            peer.write([0xff; 16]);
            peer.read_to_end();
        }),
        ("nothing said", |addr| Peer::connect(addr).close()),
        ("nothing said, RST", |addr| Peer::connect(addr).abort()),
        ("half a request", |addr| {
            let mut peer = Peer::connect(addr);
            peer.write("GET / HT");
            assert_eq!(read_refusal(&mut peer).0.status(), 408);
        }),
        ("no WebSocket", |addr| {
            let mut peer = Peer::connect(addr);
            peer.write("GET / HTTP/1.1\r\nHost: example.com\r\n\r\n");
            assert_eq!(read_refusal(&mut peer).0.status(), 426);
        }),
        ("silence up to the deadline", |addr| {
            assert_eq!(Peer::connect(addr).read_to_end().bytes, b"");
        }),
    ];
    for _ in 0..3 {
        for (way, run) in ways {
            run(host.addr);
            let account = host.account();
            assert_ne!(account.ending.cause, Cause::Handshake(HandshakeError::Full), "{way}");
            host.still_serves();
        }
    }
    host.finish();
}

#[test]
fn a_driver_that_is_dropped_makes_room() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let server = Server::new(echo).max_connections(1);
    runtime.block_on(async {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        for _ in 0..3 {
            let (mut client, stream) = tokio::io::duplex(4096);
            let serving = tokio::spawn(server.connection(stream));
            client.write_all(&Request::rfc6455().bytes()).await.unwrap();
            let mut answer = [0; 12];
            client.read_exact(&mut answer).await.unwrap();
            assert_eq!(&answer, b"HTTP/1.1 101");
            // Another one meanwhile is too many.
            let (mut other, stream) = tokio::io::duplex(4096);
            other.write_all(&Request::rfc6455().bytes()).await.unwrap();
            let refusing = tokio::spawn(server.connection(stream));
            other.read_exact(&mut answer).await.unwrap();
            assert_eq!(&answer, b"HTTP/1.1 503");
            refusing.abort();
            serving.abort();
            assert!(serving.await.unwrap_err().is_cancelled());
        }
    });
}

#[test]
fn one_that_says_nothing_counts_and_one_that_waits_to_be_refused_may_be_lucky() {
    let drain = Drain::new();
    let endpoint = Endpoint::new().drain(drain.clone()).max_connections(1);
    let host = Host::run(Server::with(endpoint, echo));
    let counted = silent(&host, &drain);
    let mut waiting = silent(&host, &drain);
    assert_eq!(refused(Peer::connect(host.addr)).0.status(), 503);
    assert_eq!(refused_as(&host.account()), &HandshakeError::Full);
    drop(counted);
    assert_eq!(refused_as(&host.account()), &HandshakeError::Incomplete);
    // It is judged when its request is there.
    waiting.handshake(&Request::rfc6455());
    waiting.send(&Frame::text("in"));
    assert_eq!(waiting.read_frame(), Frame::text("in"));
    drop(waiting);
    host.account();
    host.finish();
}

#[test]
fn an_address_may_have_so_many_and_another_address_as_many() {
    let host = Host::run(Server::new(echo).max_connections_per_address(2));
    let mut peers: Vec<Peer> = (0..2).map(|_| Peer::open(host.addr)).collect();
    let (head, body) = refused(Peer::connect(host.addr));
    assert_eq!(head.status(), 429);
    assert_eq!(body, refusal_body(&HandshakeError::TooManyFromAddress));
    assert_eq!(refused_as(&host.account()), &HandshakeError::TooManyFromAddress);
    for _ in 0..2 {
        let mut other = connect_from("127.0.0.2", host.addr);
        other.handshake(&Request::rfc6455());
        peers.push(other);
    }
    assert_eq!(refused(connect_from("127.0.0.2", host.addr)).0.status(), 429);
    host.account();
    drop(peers.remove(0));
    host.account();
    host.still_serves();
    drop(peers);
    (0..3).for_each(|_| drop(host.account()));
    host.finish();
}

#[test]
fn those_that_wait_to_be_refused_are_bounded_too() {
    let drain = Drain::new();
    let endpoint = Endpoint::new().drain(drain.clone()).max_connections_per_address(1);
    let host = Host::run(Server::with(endpoint, echo));
    let open = Peer::open(host.addr);
    let waiting = silent(&host, &drain);
    // No more of this address are kept waiting: the answer comes unasked, and at once.
    for _ in 0..3 {
        let mut peer = Peer::connect(host.addr);
        assert_eq!(read_refusal(&mut peer).0.status(), 429);
        assert_eq!(refused_as(&host.account()), &HandshakeError::TooManyFromAddress);
    }
    // Others are none the worse for it.
    let mut other = connect_from("127.0.0.2", host.addr);
    other.handshake(&Request::rfc6455());
    drop(other);
    host.account();
    assert_eq!(refused(waiting).0.status(), 429);
    host.account();
    drop(open);
    host.account();
    host.still_serves();
    host.finish();
}

#[cfg(feature = "axum")]
mod axum_app {
    use std::sync::Arc;

    use adieu::axum::WebSocketUpgrade;
    use adieu::{Close, ClosingHandshake, Ending};
    use axum::routing::any;
    use axum::{Extension, Router};
    use std::sync::mpsc;

    use super::*;
    use testkit::DEADLINE;

    struct App {
        addr: SocketAddr,
        endings: mpsc::Receiver<Ending>,
        _runtime: tokio::runtime::Runtime,
    }

    /// Serves, and has axum leave each connection's address in its requests or not.
    fn serve(endpoint: Endpoint, with_addresses: bool) -> App {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let (tell, endings) = mpsc::channel();
        let endpoint = endpoint.on_end(move |ended| drop(tell.send(ended.ending.clone())));
        let app = Router::new()
            .route("/ws", any(|upgrade: WebSocketUpgrade| async { upgrade.run(echo) }))
            .route("/dropped", any(|_: WebSocketUpgrade| async { "not today" }))
            .route(
                "/no101",
                any(|upgrade: WebSocketUpgrade| async {
                    drop(upgrade.run(echo));
                    "no 101"
                }),
            )
            .layer(Extension(Arc::new(endpoint)));
        let listener = runtime.block_on(adieu::listen("127.0.0.1:0")).unwrap();
        let addr = listener.local_addr().unwrap();
        if with_addresses {
            let app = app.into_make_service_with_connect_info::<SocketAddr>();
            runtime.spawn(async move { axum::serve(listener, app).await });
        } else {
            runtime.spawn(async move { axum::serve(listener, app).await });
        }
        App { addr, endings, _runtime: runtime }
    }

    impl App {
        fn ending(&self) -> Ending {
            self.endings.recv_timeout(DEADLINE).expect("an ending")
        }

        fn open(&self) -> Peer {
            Peer::open_with(self.addr, &Request::rfc6455().target("/ws"))
        }

        fn status(&self, target: &str) -> Head {
            let mut peer = Peer::connect(self.addr);
            peer.write(Request::rfc6455().target(target).bytes());
            peer.read_head()
        }
    }

    #[test]
    fn what_is_above_the_limit_hears_503() {
        let app = serve(Endpoint::new().max_connections(1), false);
        for _ in 0..3 {
            let peer = app.open();
            let head = app.status("/ws");
            assert_eq!((head.status(), head.field("Retry-After")), (503, Some("5")));
            assert_eq!(app.ending().cause, Cause::Handshake(HandshakeError::Full));
            peer.reset();
            assert_eq!(app.ending().cause, Cause::Reset);
        }
    }

    #[test]
    fn an_upgrade_that_never_happens_makes_room() {
        let app = serve(Endpoint::new().max_connections(1), false);
        for _ in 0..3 {
            assert_eq!(app.status("/dropped").status(), 200);
            assert_eq!(app.ending().cause, Cause::Handshake(HandshakeError::Declined));
            assert_eq!(app.status("/no101").status(), 200);
            // Without the 101 hyper may give the connection back or not; it is accounted for.
            app.ending();
            drop(app.open());
            assert_eq!(app.ending().cause, Cause::Eof);
        }
    }

    #[test]
    fn an_address_is_counted_before_the_101_where_axum_tells_it() {
        let app = serve(Endpoint::new().max_connections_per_address(1), true);
        let peer = app.open();
        assert_eq!(app.status("/ws").status(), 429);
        assert_eq!(app.ending().cause, Cause::Handshake(HandshakeError::TooManyFromAddress));
        drop(peer);
        app.ending();
        drop(app.open());
        app.ending();
    }

    #[test]
    fn an_address_is_counted_behind_the_101_where_it_is_known_only_then() {
        let app = serve(Endpoint::new().max_connections_per_address(1), false);
        let mut peer = app.open();
        // Behind the 101 it is counted when its connection is given back.
        peer.send(&Frame::text("am I in?"));
        assert_eq!(peer.read_frame(), Frame::text("am I in?"));
        let mut second = app.open();
        second.send(&Frame::text("is anybody there?"));
        let reason = HandshakeError::TooManyFromAddress.to_string();
        assert_eq!(second.read_to_end_answering(), Frame::close(1008, &reason));
        let close = Close::new(1008, reason).unwrap();
        let goodbye = ClosingHandshake::SentThenReceived { ours: close.clone(), theirs: close };
        let ending = app.ending();
        assert_eq!((ending.cause, ending.closing_handshake), (Cause::TooManyConnections, goodbye));
        drop(peer);
        app.ending();
        let mut third = app.open();
        third.send(&Frame::text("now?"));
        assert_eq!(third.read_frame(), Frame::text("now?"));
    }
}

/// The body of an answer that refuses with this error.
fn refusal_body(error: &HandshakeError) -> String {
    format!("{error}\n{}\n", error.help())
}
