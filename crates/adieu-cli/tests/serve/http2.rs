//! The gateway over HTTP/2: the page, the API and WebSockets on the streams of one connection.

use std::net::TcpStream;
use std::sync::Arc;

use adieu::tls::rustls::pki_types::ServerName;
use adieu::tls::rustls::{ClientConnection, StreamOwned};
use serde_json::Value;
use testkit::http2::{Http2Answer, Http2Peer, code};
use testkit::{DEADLINE, Frame, wait_until};

use crate::world::{ADIEU, Adieu, Certificate, Scratch, by};

/// A gateway with TLS and HTTP/2, and the file that its clients trust.
struct Served {
    gateway: Adieu,
    scratch: Scratch,
}

impl Served {
    fn start() -> Self {
        let scratch = Scratch::new();
        let (cert, key) = (scratch.path("cert.pem"), scratch.path("key.pem"));
        Certificate::make().write(&cert, &key);
        let (cert, key) = (cert.to_str().unwrap(), key.to_str().unwrap());
        let options = ["serve", "--listen", "127.0.0.1:0", "--http2"];
        let tls = ["--tls-cert", cert, "--tls-key", key];
        let gateway = Adieu::spawn(by(ADIEU, &[&options[..], &tls].concat()));
        Served { gateway, scratch }
    }

    fn connect(&self) -> Http2Peer {
        let addr = self.gateway.addr();
        let tcp = TcpStream::connect(addr).unwrap();
        tcp.set_read_timeout(Some(DEADLINE)).unwrap();
        let trusted = self.scratch.path("cert.pem");
        let mut config = adieu::tls::client_config_trusting(&trusted).unwrap();
        Arc::make_mut(&mut config).alpn_protocols = vec![b"h2".to_vec()];
        let tls = ClientConnection::new(config, ServerName::from(addr.ip())).unwrap();
        let raw = tcp.try_clone().unwrap();
        Http2Peer::builder().over(StreamOwned::new(tls, tcp), raw)
    }
}

fn get(peer: &mut Http2Peer, path: &str) -> Http2Answer {
    let stream = peer.request("GET", path, &[], "");
    peer.read_answer(stream)
}

fn json(peer: &mut Http2Peer, path: &str) -> Value {
    let answer = get(peer, path);
    assert_eq!(answer.status(), 200, "{path}: {}", answer.text());
    serde_json::from_str(&answer.text()).unwrap()
}

#[test]
fn the_page_and_its_websocket_are_streams_of_one_connection() {
    let served = Served::start();
    let mut peer = served.connect();
    let page = get(&mut peer, "/");
    assert!(page.status() == 200 && page.text().contains("<html"), "{}", page.text());
    assert_eq!(get(&mut peer, "/healthz").status(), 200);
    assert_eq!(get(&mut peer, "/nothing").status(), 404);
    let authority = served.gateway.addr().to_string();
    let stream = peer.open_websocket(&authority, "/", &[]);
    peer.send_ws(stream, &Frame::close(1001, ""));
    while peer.read_ws(stream).close_code() != Some(1001) {}
    let ended = |peer: &mut Http2Peer| json(peer, "/endings")["ended"][0].clone();
    wait_until("the page's account", || !ended(&mut peer).is_null());
    let ending = ended(&mut peer)["ending"].clone();
    assert_eq!(ending["transportKind"], "http2", "{ending}");
    assert_eq!((&ending["transport"], &ending["clean"]), (&"both_closed".into(), &true.into()));
    assert_eq!(ending["http2"]["stream"], stream, "{ending}");
}

#[test]
fn a_session_whose_stream_is_reset_may_come_back_on_another() {
    let served = Served::start();
    let mut peer = served.connect();
    let authority = served.gateway.addr().to_string();
    let first = [("sec-websocket-protocol", "adieu.v1, adieu.first.AAAAAAAAAAAAAAAAAAAAAA")];
    let stream = peer.open_websocket(&authority, "/ws", &first);
    let connected = peer.read_ws(stream);
    let connected: Value = serde_json::from_slice(&connected.payload).unwrap();
    assert_eq!(connected["type"], "connected", "{connected}");
    // All that Chromium says of a page that is reloaded.
    peer.reset_stream(stream, code::CANCEL);
    let states = |peer: &mut Http2Peer| json(peer, "/sessions");
    wait_until("it is away", || states(&mut peer).to_string().contains("RST_STREAM, CANCEL"));
    let token = connected["reconnectionToken"].as_str().unwrap();
    let resume = format!("adieu.v1, adieu.resume.{token}.0.-.0");
    let fields = [("sec-websocket-protocol", &*resume)];
    let stream = peer.open_websocket(&authority, "/ws", &fields);
    let again: Value = serde_json::from_slice(&peer.read_ws(stream).payload).unwrap();
    assert_eq!((&again["type"], &again["resumed"]), (&"connected".into(), &true.into()), "{again}");
    assert_eq!(again["sessionId"], connected["sessionId"], "{again}");
    let sessions = states(&mut peer).to_string();
    assert!(sessions.contains("\"hidden\""), "it was waited for as a page that goes: {sessions}");
}

#[test]
fn a_page_of_another_site_is_refused_as_over_http_1() {
    let served = Served::start();
    let mut peer = served.connect();
    let authority = served.gateway.addr().to_string();
    let fields = [("origin", "https://evil.example")];
    let stream = peer.connect_stream(&authority, "/ws", &fields);
    let answer = peer.read_answer(stream);
    assert_eq!(answer.status(), 403, "{}", answer.text());
    assert!(answer.head.field("x-request-id").is_some());
}

#[test]
fn without_tls_clients_that_begin_with_http2_are_served_beside_those_of_http1() {
    let gateway = Adieu::spawn(by(ADIEU, &["serve", "--listen", "127.0.0.1:0", "--http2"]));
    let mut http1 = testkit::Peer::connect(gateway.addr());
    // These letters begin the preface of HTTP/2 and a method alike.
    http1.write(b"P");
    let mut http2 = Http2Peer::connect(gateway.addr());
    let authority = gateway.addr().to_string();
    let stream = http2.open_websocket(&authority, "/", &[]);
    http1.write(b"OST /nowhere HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n");
    let status = http1.read_head().status();
    assert!((400..500).contains(&status), "an answer of HTTP/1.1: {status}");
    http2.send_ws_all_and_end(stream, &[Frame::close(1000, "")]);
    while http2.try_read_ws(stream).is_ok() {}
    wait_until("its account is among the endings", || {
        let all = json(&mut http2, "/endings");
        let ended = all["ended"].as_array().unwrap();
        ended.iter().any(|account| account["http2"]["stream"] == stream)
    });
}

#[test]
fn a_stop_ends_each_stream_and_the_connection() {
    let served = Served::start();
    let mut peer = served.connect();
    let authority = served.gateway.addr().to_string();
    let streams: Vec<_> = (0..3).map(|_| peer.open_websocket(&authority, "/", &[])).collect();
    served.gateway.signal("TERM");
    for stream in streams {
        while peer.read_ws(stream).close_code() != Some(1001) {}
        peer.send_ws_all_and_end(stream, &[Frame::close(1001, "")]);
    }
    peer.read_to_end();
    assert_eq!(peer.goaway().map(|goaway| goaway.code), Some(code::NO_ERROR));
}
