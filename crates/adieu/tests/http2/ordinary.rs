//! Requests that are none for a WebSocket: the same service gives the same answers through our
//! HTTP/2 and through hyper's.
#![cfg(feature = "axum")]

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use adieu::Drain;
use adieu::http2::{Settings, serve_connection};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::routing::{get, post};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use testkit::http2::{Http2Answer, Http2Peer, StreamEnd, code};
use testkit::wait_until;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};

/// How many requests for `/pending` are under way.
static PENDING: AtomicUsize = AtomicUsize::new(0);

struct Pending;

impl Drop for Pending {
    fn drop(&mut self) {
        PENDING.fetch_sub(1, SeqCst);
    }
}

fn trailers() -> Body {
    let mut fields = HeaderMap::new();
    fields.insert("x-sum", HeaderValue::from_static("42"));
    let frames = [Frame::data(Bytes::from("body")), Frame::trailers(fields)];
    let frames = frames.map(Ok::<_, Infallible>);
    Body::new(StreamBody::new(futures_util::stream::iter(frames)))
}

fn breaks() -> Body {
    let frames = [Ok(Bytes::from("half")), Err(std::io::Error::other("no more"))];
    Body::from_stream(futures_util::stream::iter(frames))
}

async fn pending() -> StatusCode {
    PENDING.fetch_add(1, SeqCst);
    let _pending = Pending;
    std::future::pending().await
}

/// Says what came behind the body.
async fn sum(body: Body) -> String {
    let collected = body.collect().await.expect("a whole body");
    let sum = collected.trailers().and_then(|it| it.get("x-sum")).cloned();
    let length = collected.to_bytes().len();
    format!("{length} bytes, {}", sum.map_or_else(String::new, |it| it.to_str().unwrap().into()))
}

fn router() -> Router {
    Router::new()
        .route("/hello", get(async || "hello"))
        .route("/echo", post(async |body: Body| body))
        .route("/sum", post(sum))
        .route("/ignore", post(async || "not read"))
        .route("/empty", get(async || StatusCode::NO_CONTENT))
        .route("/large", get(async || "x".repeat(300_000)))
        .route("/trailers", get(async || trailers()))
        .route("/breaks", get(async || breaks()))
        .route("/pending", get(pending))
        .route(
            "/cookie",
            get(async |fields: HeaderMap| {
                format!("{:?}", fields.get_all("cookie").iter().collect::<Vec<_>>())
            }),
        )
        .route("/host", get(async |fields: HeaderMap| format!("{:?}", fields.get("host"))))
}

/// Serves the router, by our HTTP/2 or by hyper's.
fn start(ours: bool) -> (SocketAddr, Runtime) {
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let addr = listener.local_addr().unwrap();
    let drain = Drain::new();
    runtime.spawn(async move {
        loop {
            let (tcp, _) = listener.accept().await.unwrap();
            let service = TowerToHyperService::new(router());
            let drain = drain.clone();
            tokio::spawn(async move {
                if ours {
                    return serve_connection(tcp, service, &Settings::default(), &drain).await;
                }
                let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                let _ = builder.serve_connection(TokioIo::new(tcp), service).await;
            });
        }
    });
    (addr, runtime)
}

/// Has both answer, and compares what comes back but for the date.
fn alike(name: &str, ask: impl Fn(&mut Http2Peer) -> u32) -> Http2Answer {
    let answer = |ours: bool| {
        let (addr, runtime) = start(ours);
        let mut peer = Http2Peer::connect(addr);
        let stream = ask(&mut peer);
        let mut answer = peer.read_answer(stream);
        assert!(answer.head.field("date").is_some(), "{name}");
        answer.head.fields.retain(|(field, _)| field != "date");
        answer.head.fields.sort();
        drop(runtime);
        answer
    };
    let (ours, hypers) = (answer(true), answer(false));
    let of =
        |it: &Http2Answer| (it.head.fields.clone(), it.body.clone(), it.trailers.clone(), it.end);
    assert_eq!(of(&ours), of(&hypers), "{name}");
    ours
}

/// The head of a POST whose body is still to come.
fn open_post(peer: &mut Http2Peer, path: &str, more: &[(&str, &str)]) -> u32 {
    let authority = peer.tcp().peer_addr().to_string();
    let pseudo =
        [(":method", "POST"), (":scheme", "http"), (":path", path), (":authority", &*authority)];
    let stream = peer.new_stream();
    peer.send_headers(stream, &[&pseudo, more].concat(), false);
    stream
}

/// RFC 9110 §8.6. hyper leaves the field of axum's in.
#[test]
fn an_answer_of_204_has_no_length() {
    let (addr, _runtime) = start(true);
    let mut peer = Http2Peer::connect(addr);
    let stream = peer.request("GET", "/empty", &[], "");
    let answer = peer.read_answer(stream);
    assert_eq!((answer.status(), answer.head.field("content-length")), (204, None));
}

#[test]
fn the_same_service_gives_the_same_answers_as_through_hyper() {
    let got = alike("GET", |peer| peer.request("GET", "/hello", &[], ""));
    assert_eq!((got.status(), &*got.text(), got.end), (200, "hello", StreamEnd::EndStream));
    let got = alike("HEAD", |peer| peer.request("HEAD", "/hello", &[], ""));
    assert_eq!((got.head.field("content-length"), got.body.len()), (Some("5"), 0));
    let got = alike("404", |peer| peer.request("GET", "/nothing", &[], ""));
    assert_eq!(got.status(), 404);
    let got = alike("405", |peer| peer.request("DELETE", "/hello", &[], ""));
    assert_eq!((got.status(), got.head.field("allow")), (405, Some("GET,HEAD")));
    let got = alike("large", |peer| peer.request("GET", "/large", &[], ""));
    assert_eq!(got.body.len(), 300_000);
    let got = alike("trailers", |peer| peer.request("GET", "/trailers", &[], ""));
    assert_eq!(got.trailers, Some(vec![("x-sum".to_owned(), "42".to_owned())]));
    let got = alike("a body", |peer| peer.request("POST", "/echo", &[], vec![b'a'; 200_000]));
    assert_eq!(got.body.len(), 200_000);
}

/// Through hyper the head may be lost with it.
#[test]
fn what_came_of_a_body_before_it_broke_is_sent() {
    let (addr, _runtime) = start(true);
    let mut peer = Http2Peer::connect(addr);
    let stream = peer.request("GET", "/breaks", &[], "");
    let got = peer.read_answer(stream);
    assert_eq!((got.end, &*got.text()), (StreamEnd::Reset(code::INTERNAL_ERROR), "half"));
}

#[test]
fn trailers_of_a_request_reach_the_service() {
    let got = alike("trailers of a request", |peer| {
        let stream = open_post(peer, "/sum", &[]);
        peer.send_data(stream, "12345", false);
        peer.send_headers(stream, &[("x-sum", "15")], true);
        stream
    });
    assert_eq!(got.text(), "5 bytes, 15");
}

#[test]
fn a_body_that_nobody_reads_is_stopped_without_an_error() {
    let got = alike("a body that is not read", |peer| {
        let stream = open_post(peer, "/ignore", &[("content-length", "100000000")]);
        peer.send_data(stream, vec![0; 50_000], false);
        stream
    });
    // RFC 9113 §8.1: the client may stop sending, and the answer stands.
    assert_eq!((got.status(), got.end), (200, StreamEnd::EndStream));
}

#[test]
fn a_client_that_expects_100_is_told_when_its_body_is_wanted() {
    for ours in [true, false] {
        let (addr, _runtime) = start(ours);
        let mut peer = Http2Peer::connect(addr);
        let expect = [("expect", "100-continue")];
        let wanted = open_post(&mut peer, "/sum", &expect);
        if ours {
            // hyper leaves it out over HTTP/2.
            assert_eq!(peer.read_head(wanted).status(), 100);
        }
        peer.send_data(wanted, "the body", true);
        assert_eq!(peer.read_answer(wanted).text(), "8 bytes, ", "ours: {ours}");
        let unwanted = open_post(&mut peer, "/ignore", &expect);
        assert_eq!(peer.read_head(unwanted).status(), 200, "ours: {ours}");
    }
}

#[test]
fn a_request_that_its_client_gives_up_is_dropped() {
    let (addr, _runtime) = start(true);
    let mut peer = Http2Peer::connect(addr);
    let stream = peer.request("GET", "/pending", &[], "");
    wait_until("it is under way", || PENDING.load(SeqCst) == 1);
    peer.reset_stream(stream, code::CANCEL);
    wait_until("it is dropped", || PENDING.load(SeqCst) == 0);
}

#[test]
fn the_service_finds_the_authority_in_host() {
    let (addr, _runtime) = start(true);
    let mut peer = Http2Peer::connect(addr);
    let fields = [(":authority", "example.com:8443")];
    let stream = peer.request("GET", "/host", &fields, "");
    assert_eq!(peer.read_answer(stream).text(), "Some(\"example.com:8443\")");
}

#[test]
fn a_request_that_names_two_hosts_is_refused() {
    let (addr, _runtime) = start(true);
    let mut peer = Http2Peer::connect(addr);
    let same = [(":authority", "example.com"), ("host", "EXAMPLE.com")];
    let stream = peer.request("GET", "/host", &same, "");
    assert_eq!(peer.read_answer(stream).status(), 200);
    let other = [(":authority", "example.com"), ("host", "localhost")];
    let stream = peer.request("GET", "/host", &other, "");
    assert_eq!(peer.read_answer(stream).status(), 400);
}

#[test]
fn cookies_that_come_in_fields_of_their_own_are_one_field() {
    let (addr, _runtime) = start(true);
    let mut peer = Http2Peer::connect(addr);
    let stream = peer.new_stream();
    let authority = addr.to_string();
    let fields = [
        (":method", "GET"),
        (":scheme", "http"),
        (":path", "/cookie"),
        (":authority", &*authority),
        ("cookie", "a=b"),
        ("cookie", "c=d; e=f"),
    ];
    peer.send_headers(stream, &fields, true);
    assert_eq!(peer.read_answer(stream).text(), "[\"a=b; c=d; e=f\"]");
}

#[test]
fn a_connect_for_something_else_is_not_implemented() {
    let (addr, _runtime) = start(true);
    let mut peer = Http2Peer::connect(addr);
    let udp = peer.connect_stream("example.com", "/", &[(":protocol", "connect-udp")]);
    assert_eq!(peer.read_answer(udp).status(), 501);
    // A service that answers a request for a WebSocket like one for a page must not open it.
    let page = peer.connect_stream("example.com", "/hello", &[]);
    let answer = peer.read_answer(page);
    assert!(answer.status() >= 400, "{answer:?}");
}

#[test]
fn a_body_is_held_back_by_the_window_of_its_stream() {
    let (addr, _runtime) = start(true);
    let mut peer = Http2Peer::builder().initial_window(1000).connect(addr);
    peer.hold_window();
    let stream = peer.request("GET", "/large", &[], "");
    peer.read_until("the window is used up", |peer| peer.receive_window(stream) == 0);
    let other = peer.request("GET", "/hello", &[], "");
    assert_eq!(peer.read_answer(other).text(), "hello", "another stream has its own");
    peer.release_window();
    assert_eq!(peer.read_answer(stream).body.len(), 300_000);
}
