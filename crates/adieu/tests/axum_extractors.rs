//! What an axum handler is given and may do with it: extractors at any position, an optional one,
//! handlers that move what they have, refusals of the application's own; and what is told of each.
#![cfg(feature = "axum")]

mod served;

use std::sync::{Arc, mpsc};

use adieu::axum::{Refusal, WebSocketUpgrade};
use adieu::{Cause, Endpoint, HandshakeError, RefusedBy, Socket};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use axum::{Extension, Router};
use served::{Served, echo};
use testkit::{Frame, Head, NONCE, Peer, Request};

fn serve(endpoint: Endpoint, app: Router) -> Served {
    Served::start(endpoint, |endpoint, listener, drain| async move {
        let server = axum::serve(listener, app.layer(Extension(Arc::new(endpoint))));
        let server = server.with_graceful_shutdown(async move { drain.started().await });
        server.await.expect("axum serves");
    })
}

fn ask(served: &Served, request: impl AsRef<[u8]>) -> (Head, Peer) {
    let mut peer = Peer::connect(served.addr);
    peer.write(request);
    (peer.read_head(), peer)
}

fn status(served: &Served, request: impl AsRef<[u8]>) -> u16 {
    ask(served, request).0.status()
}

#[track_caller]
fn told(served: &Served) -> (HandshakeError, Option<RefusedBy>) {
    let account = served.account();
    let Cause::Handshake(error) = account.ending.cause else { panic!("{}", account.ending) };
    let by = error.refused_by();
    (error, by)
}

fn plain(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\n\r\n")
}

/// Can be moved and not cloned.
struct Ticket(mpsc::Sender<&'static str>);

/// The closure can be called once only, and the upgrade stands before the state and the path.
async fn moves(
    upgrade: WebSocketUpgrade,
    State(greeting): State<Arc<str>>,
    Path(name): Path<String>,
    Extension(tell): Extension<mpsc::Sender<&'static str>>,
) -> Response {
    let ticket = Ticket(tell);
    upgrade.run(async move |socket: Socket| {
        let _ = socket.send(format!("{greeting}, {name}")).await;
        let Ticket(tell) = ticket;
        tell.send("the ticket was used").unwrap();
    })
}

#[test]
fn a_handler_moves_what_it_has() {
    let (tell, heard) = mpsc::channel();
    let app = Router::new().route("/{name}", get(moves)).layer(Extension(tell));
    let served = serve(Endpoint::new(), app.with_state(Arc::from("Hello")));
    let mut peer = Peer::open_with(served.addr, &Request::rfc6455().target("/Ann"));
    assert_eq!(peer.read_frame(), Frame::text("Hello, Ann"));
    assert_eq!(peer.read_to_end_answering().close_code(), Some(1000));
    assert_eq!(heard.recv_timeout(testkit::DEADLINE), Ok("the ticket was used"));
    drop(peer);
    assert_eq!(served.account().ending.cause, Cause::HandlerReturned);
    served.stop();
}

async fn page_or_socket(upgrade: Option<WebSocketUpgrade>) -> Response {
    match upgrade {
        Some(upgrade) => upgrade.run(echo),
        None => "a page".into_response(),
    }
}

async fn page_or_socket_of_a_result(upgrade: Result<WebSocketUpgrade, Refusal>) -> Response {
    match upgrade {
        Ok(upgrade) => upgrade.run(echo),
        Err(refusal) if *refusal.error() == HandshakeError::NotUpgrade => "a page".into_response(),
        Err(refusal) => refusal.into_response(),
    }
}

#[test]
fn a_page_and_a_socket_at_one_path_and_no_ending_is_told_of_the_page() {
    for route in [any(page_or_socket), any(page_or_socket_of_a_result)] {
        let served = serve(Endpoint::new(), Router::new().route("/", route));
        for _ in 0..3 {
            assert_eq!(status(&served, plain("/")), 200);
        }
        let mut peer = Peer::open(served.addr);
        peer.send(&Frame::text("hello"));
        assert_eq!(peer.read_frame(), Frame::text("hello"));
        // One that asks for a WebSocket wrongly is refused, and gets no page.
        let wrong = Request::rfc6455().set("Sec-WebSocket-Key", "too short");
        assert_eq!(status(&served, wrong.bytes()), 400);
        let error = HandshakeError::BadField("Sec-WebSocket-Key");
        assert_eq!(told(&served), (error, Some(RefusedBy::Protocol)));
        drop(peer);
        assert_eq!(served.account().ending.cause, Cause::Eof);
        served.stop();
    }
}

#[test]
fn a_post_to_an_optional_extractor_is_an_ordinary_request() {
    let served = serve(Endpoint::new(), Router::new().route("/", any(page_or_socket)));
    let post = "POST / HTTP/1.1\r\nHost: example.com\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(status(&served, post), 200);
    served.stop();
}

/// Where the extractor is mandatory, a request that asks for no WebSocket is refused.
#[test]
fn each_refusal_is_told_once_and_says_who_refused() {
    let app = Router::new()
        .route("/ws", any(async |upgrade: WebSocketUpgrade| upgrade.run(echo)))
        .route(
            "/members",
            any(async |upgrade: WebSocketUpgrade| {
                upgrade.refuse((StatusCode::UNAUTHORIZED, "sign in first"))
            }),
        )
        .route(
            "/own",
            any(async |_: WebSocketUpgrade| (StatusCode::PAYMENT_REQUIRED, "pay first")),
        );
    let endpoint = Endpoint::new().on_request(|request| match request.query() {
        Some("refused") => Err(403),
        Some("panics") => panic!("as the test wants it"),
        _ => Ok(()),
    });
    let served = serve(endpoint, app);
    let at = |target: &str| Request::rfc6455().target(target).bytes();
    use HandshakeError as H;
    for (request, code, error, by) in [
        (plain("/ws").into_bytes(), 426, H::NotUpgrade, RefusedBy::Protocol),
        (at("/ws?refused"), 403, H::Refused(403), RefusedBy::Application),
        (at("/ws?panics"), 500, H::Panicked, RefusedBy::Panic),
        (at("/members"), 401, H::Refused(401), RefusedBy::Application),
        (at("/own"), 402, H::Declined, RefusedBy::Application),
    ] {
        assert_eq!(status(&served, request), code);
        assert_eq!(told(&served), (error, Some(by)));
    }
    served.stop();
}

#[test]
fn the_application_chooses_among_the_subprotocols_that_are_offered() {
    let chooses = async |upgrade: WebSocketUpgrade| {
        let upgrade = upgrade.subprotocols(["v3", "v2", "v1"]);
        let chosen = upgrade.selected_subprotocol().unwrap_or("none").to_owned();
        upgrade.run(async |socket: Socket| socket.send(chosen).await)
    };
    let served = serve(Endpoint::new(), Router::new().route("/", any(chooses)));
    for (offer, want) in [(Some("v1, v2"), "v2"), (Some("v9"), "none"), (None, "none")] {
        let request = Request::rfc6455();
        let request =
            offer.into_iter().fold(request, |r, names| r.field("Sec-WebSocket-Protocol", names));
        let (head, mut peer) = ask(&served, request.bytes());
        let chosen = (want != "none").then_some(want);
        assert_eq!(head.field("Sec-WebSocket-Protocol"), chosen);
        assert_eq!(peer.read_frame(), Frame::text(want));
        let _ = peer.read_to_end_answering();
        drop(peer);
        served.account();
    }
    served.stop();
}

/// The extractor takes no body: hixie-76 is served as its browsers send it, and refused with the
/// way out where its nonce is announced as the body.
#[cfg(feature = "legacy")]
#[test]
fn a_nonce_that_is_a_body_needs_the_extractor_that_reads_it() {
    let app = Router::new().route("/", any(async |upgrade: WebSocketUpgrade| upgrade.run(echo)));
    let served = serve(Endpoint::new(), app);
    let (head, mut peer) = ask(&served, [&Request::hixie76().bytes()[..], NONCE.0].concat());
    assert_eq!((head.status(), peer.read_exact(16)), (101, NONCE.1.to_vec()));
    drop(peer);
    served.account();
    let announced = Request::hixie76().field("Content-Length", "8").bytes();
    assert_eq!(status(&served, [&announced[..], NONCE.0].concat()), 400);
    assert_eq!(told(&served), (HandshakeError::NonceInBody, Some(RefusedBy::Protocol)));
    served.stop();
}
