//! Inside an axum application under `axum::serve`: the same versions, the same exact accounts,
//! refusals as answers of HTTP.
#![cfg(feature = "axum")]

mod perl;
mod served;

use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use adieu::axum::{LegacyWebSocketUpgrade as Any, WebSocketUpgrade};
use adieu::{
    Cause, Close, CloseCode, ClosingHandshake, Config, End, Endpoint, HandshakeError, Side,
    Truncation, Version, VersionSet,
};
use axum::response::Response;
use axum::routing::{any, get};
use axum::{Extension, Router};
use served::{Account, Served, echo, echo_some, with};
use testkit::{Frame, Head, NONCE, Peer, Request, TcpEnd, hixie};

fn serve(endpoint: Endpoint) -> Served {
    serve_with(endpoint, Router::new())
}

fn serve_with(endpoint: Endpoint, more: Router) -> Served {
    Served::start(endpoint, |endpoint, listener, drain| async move {
        let app = Router::new()
            .route("/", get(|| async { "a page" }))
            .route("/ws", any(|Any(upgrade): Any| async { upgrade.run(echo) }))
            .route("/two", any(|Any(upgrade): Any| async { upgrade.run(echo_some(2)) }))
            .route("/tls", any(|Any(ws): Any| async { ws.secure(true).run(echo) }))
            .merge(more)
            .layer(Extension(Arc::new(endpoint)));
        let server = axum::serve(listener, app);
        let server = server.with_graceful_shutdown(async move { drain.started().await });
        server.await.expect("axum serves");
    })
}

fn rfc6455() -> Request {
    Request::rfc6455().target("/ws")
}

fn hixie76() -> Request {
    Request::hixie76().target("/ws?room=1")
}

/// Says goodbye as a browser does, and reads ours and the FIN behind it.
fn say_goodbye(peer: &mut Peer) {
    peer.send(&Frame::close(4001, "bye"));
    let rest = peer.read_to_end();
    assert_eq!((rest.frames(), rest.end), (vec![Frame::close(4001, "")], TcpEnd::Fin));
}

#[track_caller]
fn clean(served: &Served) -> Account {
    let theirs = Close::new(4001, "bye").unwrap();
    let goodbye = ClosingHandshake::ReceivedThenSent { theirs, ours: CloseCode::new(4001).into() };
    served.ended(Cause::Peer, goodbye, End::Finished, Side::Local)
}

#[track_caller]
fn clean_hixie(served: &Served) -> Account {
    let goodbye =
        ClosingHandshake::ReceivedThenSent { theirs: Close::empty(), ours: Close::empty() };
    let account = served.ended(Cause::Peer, goodbye, End::Finished, Side::Local);
    assert_eq!(account.version, Some(Version::Hixie76));
    account
}

#[test]
fn echo_and_each_way_to_end() {
    let served = serve(Endpoint::new());
    let mut peer = Peer::open_with(served.addr, &rfc6455().target("/ws?a=b"));
    peer.send(&Frame::text("hello"));
    assert_eq!(peer.read_frame(), Frame::text("hello"));
    say_goodbye(&mut peer);
    let addr = peer.local_addr();
    drop(peer);
    let account = clean(&served);
    // The address shows that hyper gave the TCP stream back: another stream has none.
    assert_eq!((account.peer, account.version), (Some(addr), Some(Version::Rfc6455)));
    assert_eq!(account.target.as_deref(), Some("/ws?a=b"));

    let mut peer = Peer::open_with(served.addr, &rfc6455());
    peer.write(&Frame::text("cut").masked()[..7]);
    peer.fin();
    assert_eq!(peer.read_to_end().end, TcpEnd::Fin);
    served.ended_cut(
        Cause::Eof,
        ClosingHandshake::None,
        End::Finished,
        Side::Peer,
        Truncation::MidFrame,
    );

    Peer::open_with(served.addr, &rfc6455()).reset();
    served.ended(Cause::Reset, ClosingHandshake::None, End::Reset, Side::Peer);

    // Our Close is answered by an RST.
    let mut peer = Peer::open_with(served.addr, &rfc6455().target("/two"));
    peer.send_all(&[Frame::text("one"), Frame::text("two")]);
    let two = [Frame::text("one"), Frame::text("two"), Frame::close(1000, "")];
    assert_eq!([(); 3].map(|()| peer.read_frame()), two);
    peer.reset();
    let ours = CloseCode::NORMAL.into();
    served.ended(Cause::HandlerReturned, ClosingHandshake::Sent { ours }, End::Reset, Side::Peer);
    served.stop();
}

#[test]
fn frames_right_behind_the_request_are_not_lost() {
    let served = serve(Endpoint::new());
    let mut peer = Peer::connect(served.addr);
    let frames = [Frame::text("at once"), Frame::close(4001, "bye")];
    peer.write([rfc6455().bytes(), frames[0].masked(), frames[1].masked()].concat());
    assert_eq!(peer.read_head().status(), 101);
    assert_eq!(peer.read_to_end().frames(), [Frame::text("at once"), Frame::close(4001, "")]);
    drop(peer);
    clean(&served);
    served.stop();
}

#[test]
fn an_ordinary_request_may_come_before_on_the_same_connection() {
    let served = serve(Endpoint::new());
    let mut peer = Peer::connect(served.addr);
    peer.write("GET / HTTP/1.1\r\nHost: example.com\r\n\r\n");
    assert_eq!(peer.read_head().status(), 200);
    assert_eq!(peer.read_exact(6), b"a page");
    peer.handshake(&rfc6455());
    peer.send(&Frame::text("hello"));
    assert_eq!(peer.read_frame(), Frame::text("hello"));
    say_goodbye(&mut peer);
    drop(peer);
    clean(&served);
    served.stop();
}

// Old versions.

#[test]
fn hixie_76_with_and_without_a_length() {
    let served = serve(Endpoint::new());
    for length in [None, Some("8")] {
        let request = length.into_iter().fold(hixie76(), |r, n| r.field("Content-Length", n));
        // Nonce and more with the head; nonce and more behind it; byte by byte.
        for (with_head, step) in [(9, 4), (0, 64), (3, 1)] {
            let behind = [&NONCE.0[..], &hixie::text("hi"), &hixie::CLOSE].concat();
            let (first, later) = behind.split_at(with_head);
            let mut peer = Peer::connect(served.addr);
            peer.write([&request.bytes(), first].concat());
            if length.is_none() {
                // The 101 does not wait for the nonce, which a proxy may hold back.
                hixie_head(&peer.read_head());
            }
            for piece in later.chunks(step) {
                peer.write(piece);
            }
            if length.is_some() {
                hixie_head(&peer.read_head());
            }
            let rest = peer.read_to_end();
            assert_eq!(rest.bytes, [&NONCE.1[..], &hixie::text("hi"), &hixie::CLOSE].concat());
            assert_eq!(rest.end, TcpEnd::Fin);
            drop(peer);
            clean_hixie(&served);
        }
    }
    served.stop();
}

/// What a real WebKit looks at.
#[track_caller]
fn hixie_head(head: &Head) {
    assert_eq!(head.status(), 101);
    assert_eq!(head.field("Upgrade"), Some("WebSocket"));
    assert_eq!(head.field("Connection"), Some("Upgrade"));
    assert_eq!(head.field("Sec-WebSocket-Origin"), Some("http://example.com"));
    assert_eq!(head.field("Sec-WebSocket-Location"), Some("ws://example.com/ws?room=1"));
    assert_eq!(head.field("Content-Length"), None);
    assert_eq!(head.field("Transfer-Encoding"), None);
}

#[test]
fn behind_tls_the_location_is_wss() {
    let served = serve(Endpoint::new());
    let mut peer = Peer::connect(served.addr);
    let head = peer.handshake(&Request::hixie76().target("/tls"));
    assert_eq!(head.field("Sec-WebSocket-Location"), Some("wss://example.com/tls"));
    drop(peer);
    served.ended(Cause::Eof, ClosingHandshake::None, End::Finished, Side::Peer);
    served.stop();
}

#[test]
fn a_nonce_that_never_comes_ends_at_the_deadline() {
    let handshake_timeout = Duration::from_millis(100);
    let served = serve(with(Config { handshake_timeout, ..Config::default() }));
    // Behind the 101 nothing can be said any more.
    let mut peer = Peer::connect(served.addr);
    peer.write([&hixie76().bytes(), &NONCE.0[..7]].concat());
    assert_eq!(peer.read_head().status(), 101);
    let rest = peer.read_to_end();
    assert_eq!((&rest.bytes[..], rest.end), (&b""[..], TcpEnd::Fin));
    drop(peer);
    let account = served.account();
    assert_eq!(account.ending.cause, Cause::Handshake(HandshakeError::TimedOut));
    assert_eq!(account.version, Some(Version::Hixie76));
    // Before it, something can.
    let request = hixie76().field("Content-Length", "8");
    let body = refused(&served, [&request.bytes(), &NONCE.0[..7]].concat(), 408);
    assert_eq!(body, served::refusal_body(&HandshakeError::TimedOut));
    served.stop();
}

#[test]
fn hixie_75_is_refused_with_a_sentence_that_says_where_it_works() {
    for versions in [VersionSet::default(), VersionSet::all()] {
        let served = serve(with(Config { versions, ..Config::default() }));
        let body = refused(&served, Request::hixie75().target("/ws").bytes(), 400);
        assert!(body.starts_with("hixie-75 needs adieu::Server"), "{body}");
        served.stop();
    }
}

#[test]
fn perls_clients_of_hixie_76_and_version_8_are_served() {
    if !perl::available() {
        return;
    }
    let served = serve(Endpoint::new());
    perl::closes(&served, "ws");
    perl::is_closed(&served, "two");
    served.stop();
}

// Refusals.

/// Refused with this status; gives the sentence.
#[track_caller]
fn refused(served: &Served, request: impl AsRef<[u8]>, status: u16) -> String {
    let (head, body) = refusal(served, request);
    assert_eq!(head.status(), status, "{}", head.text);
    body
}

fn refusal(served: &Served, request: impl AsRef<[u8]>) -> (Head, String) {
    let mut peer = Peer::connect(served.addr);
    peer.write(request);
    let head = peer.read_head();
    let rest = peer.read_to_end();
    let length = head.field("Content-Length").and_then(|n| n.parse().ok());
    assert_eq!((length, rest.end), (Some(rest.bytes.len()), TcpEnd::Fin), "{}", head.text);
    // It is reported once, and the report says what the peer was told.
    let Account { ending, .. } = served.account();
    let Cause::Handshake(error) = &ending.cause else { panic!("{ending}") };
    assert_eq!(error.status(), Some(head.status()), "{ending}");
    assert!(error.refused_by().is_some() || *error == HandshakeError::TimedOut, "{ending}");
    (head, rest.text())
}

#[test]
fn refusals_are_answers_of_http() {
    let endpoint = Endpoint::new()
        .origin(|origin| origin.is_none_or(|origin| origin == "http://example.com"))
        .on_request(|request| if request.query() == Some("secret") { Err(401) } else { Ok(()) });
    let served = serve(endpoint);
    let plain = "GET /ws HTTP/1.1\r\nHost: example.com\r\n\r\n";
    let (head, body) = refusal(&served, plain);
    assert_eq!((head.status(), head.field("Sec-WebSocket-Version")), (426, Some("13, 8, 7")));
    assert_eq!(head.field("Upgrade"), Some("websocket"));
    assert_eq!(body, served::refusal_body(&HandshakeError::NotUpgrade));
    let unknown = rfc6455().set("Sec-WebSocket-Version", "99");
    let (head, _) = refusal(&served, unknown.bytes());
    assert_eq!((head.status(), head.field("Sec-WebSocket-Version")), (426, Some("13, 8, 7")));
    let post = String::from_utf8(rfc6455().bytes()).unwrap().replacen("GET", "POST", 1);
    let (head, _) = refusal(&served, post);
    assert_eq!((head.status(), head.field("Allow")), (405, Some("GET, HEAD")));
    for (request, status) in [
        (rfc6455().set("Sec-WebSocket-Key", "too short"), 400),
        (rfc6455().without("Sec-WebSocket-Key"), 400),
        (hixie76().set("Sec-WebSocket-Key1", "12345"), 400),
        (hixie76().field("Content-Length", "9"), 400),
        (rfc6455().field("Origin", "http://evil.example"), 403),
        (Request::hybi(8).set("Sec-WebSocket-Origin", "http://evil.example"), 403),
        (rfc6455().target("/ws?secret"), 401),
    ] {
        let request = if status == 401 { request } else { request.target("/ws") };
        let body = refused(&served, request.bytes(), status);
        assert!(body.ends_with('\n') && body.len() > 20, "{body:?}");
    }
    served.stop();
}

// The end of the server, and of peers who do not wait for the 101.

#[test]
fn a_drain_says_1001_to_all_and_waits_for_them() {
    let served = serve(Endpoint::new());
    let hybi8 = Request::hybi(8).target("/ws");
    let mut peers = [rfc6455(), hybi8, rfc6455()].map(|r| Peer::open_with(served.addr, &r));
    let mut hixie = Peer::open_with(served.addr, &hixie76());
    for peer in &mut peers {
        peer.send(&Frame::text("hello"));
        assert_eq!(peer.read_frame(), Frame::text("hello"));
    }
    hixie.write(hixie::text("hello"));
    assert_eq!(hixie.read_exact(7), hixie::text("hello"));
    served.drain.start();
    for mut peer in peers {
        assert_eq!(peer.read_frame(), Frame::close(1001, ""));
        peer.send(&Frame::close(1001, ""));
        assert_eq!(peer.read_to_end().end, TcpEnd::Fin);
        drop(peer);
        let away = || Close::from(CloseCode::GOING_AWAY);
        let goodbye = ClosingHandshake::SentThenReceived { ours: away(), theirs: away() };
        served.ended(Cause::Drain, goodbye, End::Finished, Side::Local);
    }
    assert_eq!(hixie.read_exact(2), hixie::CLOSE);
    hixie.write(hixie::CLOSE);
    assert_eq!(hixie.read_to_end().end, TcpEnd::Fin);
    drop(hixie);
    let goodbye =
        ClosingHandshake::SentThenReceived { ours: Close::empty(), theirs: Close::empty() };
    served.ended(Cause::Drain, goodbye, End::Finished, Side::Local);
    let drained = served.stop();
    assert_eq!((drained.clean, drained.given_up), (4, 0));
}

/// Runs the WebSocket, then keeps hyper from sending the 101 until told.
struct Held {
    route: Router,
    /// Tells when a handler has come so far.
    running: mpsc::Receiver<()>,
    go_on: Arc<tokio::sync::Notify>,
}

fn held() -> Held {
    let go_on = Arc::new(tokio::sync::Notify::new());
    let (tell, running) = mpsc::channel();
    let (tell, wait) = (Arc::new(Mutex::new(tell)), go_on.clone());
    let handler = move |upgrade: WebSocketUpgrade| async move {
        let response: Response = upgrade.run(echo);
        tell.lock().unwrap().send(()).unwrap();
        wait.notified().await;
        response
    };
    Held { route: Router::new().route("/held", any(handler)), running, go_on }
}

#[test]
fn a_peer_that_is_gone_before_its_101_is_accounted_for_once() {
    let Held { route, running, .. } = held();
    let served = serve_with(Endpoint::new(), route);
    for reset in [false, true] {
        let mut peer = Peer::connect(served.addr);
        peer.write(rfc6455().target("/held").bytes());
        running.recv_timeout(testkit::DEADLINE).unwrap();
        if reset {
            peer.reset();
        } else {
            peer.close();
        }
        let account = served.account();
        assert_eq!(account.ending.cause, Cause::Handshake(HandshakeError::NotUpgraded));
        assert_eq!(account.target.as_deref(), Some("/held"));
        assert!(!account.ending.opened());
    }
    served.stop();
}

#[test]
fn a_drain_waits_for_a_101_that_is_on_its_way_and_says_1001_behind_it() {
    let Held { route, running, go_on } = held();
    let served = serve_with(Endpoint::new(), route);
    let mut peer = Peer::connect(served.addr);
    peer.write(rfc6455().target("/held").bytes());
    running.recv_timeout(testkit::DEADLINE).unwrap();
    served.drain.start();
    assert_eq!(served.drain.connections(), 1);
    go_on.notify_one();
    assert_eq!(peer.read_head().status(), 101);
    assert_eq!(peer.read_frame(), Frame::close(1001, ""));
    peer.send(&Frame::close(1001, ""));
    assert_eq!(peer.read_to_end().end, TcpEnd::Fin);
    drop(peer);
    assert_eq!(served.account().ending.cause, Cause::Drain);
    assert_eq!(served.stop().clean, 1);
}

/// What hyper had read behind the request comes before what was still in the socket.
#[test]
fn frames_behind_the_request_stay_in_order() {
    let served = serve(Endpoint::new());
    let mut peer = Peer::connect(served.addr);
    let texts: Vec<String> = (0..60).map(|i| format!("{i:0>1000}")).collect();
    let mut bytes = rfc6455().bytes();
    texts.iter().for_each(|text| bytes.extend(Frame::text(text).masked()));
    peer.write(bytes);
    assert_eq!(peer.read_head().status(), 101);
    for text in &texts {
        assert_eq!(peer.read_frame(), Frame::text(text));
    }
    peer.fin();
    served.account();
    served.stop();
}
