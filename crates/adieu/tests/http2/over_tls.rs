//! HTTP/2 chosen in the TLS handshake (ALPN, RFC 7301), and both layers of its end.
#![cfg(feature = "tls")]

use std::net::TcpStream;
use std::sync::Arc;

use adieu::tls::client_config_with;
use adieu::tls::rustls::pki_types::ServerName;
use adieu::tls::rustls::{ClientConnection, StreamOwned};
use adieu::{Cause, CloseCode, End, Endpoint, Handshake, Server};
use testkit::http2::Http2Peer;
use testkit::{DEADLINE, Frame};

use crate::served::{Served, echo};
use crate::tls_peer::{Authority, authority};

fn serve(authority: &Authority, endpoint: Endpoint) -> Served {
    let config = authority.server_config();
    Served::start(endpoint, |endpoint, listener, _| async move {
        let server = Server::with(endpoint, echo).tls(config).http2(true);
        server.serve_on(listener).await.expect("a server");
    })
}

type Tls = StreamOwned<ClientConnection, TcpStream>;

/// A TLS client that offers these protocols.
fn connect(authority: &Authority, served: &Served, alpn: &[&str]) -> (Tls, TcpStream) {
    let tcp = TcpStream::connect(served.addr).unwrap();
    tcp.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut config = client_config_with(authority.roots.clone());
    let offered = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    Arc::make_mut(&mut config).alpn_protocols = offered;
    let name = ServerName::from(served.addr.ip());
    let tls = ClientConnection::new(config, name).unwrap();
    let raw = tcp.try_clone().unwrap();
    (StreamOwned::new(tls, tcp), raw)
}

fn http2(authority: &Authority, served: &Served) -> Http2Peer {
    let (tls, tcp) = connect(authority, served, &["h2", "http/1.1"]);
    Http2Peer::builder().over(tls, tcp)
}

#[test]
fn a_client_that_offers_h2_gets_it_and_one_that_does_not_gets_http_1() {
    let authority = authority();
    let served = serve(&authority, Endpoint::new());
    let mut peer = http2(&authority, &served);
    let stream = peer.open_websocket("127.0.0.1", "/", &[]);
    peer.send_ws(stream, &Frame::text("over TLS"));
    assert_eq!(peer.read_ws(stream), Frame::text("over TLS"));
    peer.send_ws_all_and_end(stream, &[Frame::close(1000, "")]);
    assert_eq!(peer.read_ws(stream).close_code(), Some(1000));
    let ending = served.account().ending;
    assert!(ending.is_clean() && ending.http2.is_some(), "{ending}");
    drop(peer);

    let mut raw = authority.open(served.addr);
    raw.send(&Frame::text("over HTTP/1.1"));
    assert_eq!(raw.read_until(Frame::parse), Frame::text("over HTTP/1.1"));
    drop(raw);
    let ending = served.account().ending;
    assert!(ending.http2.is_none(), "{ending}");
    served.stop();
}

#[test]
fn a_fin_of_tcp_without_close_notify_is_told_of_each_stream() {
    let authority = authority();
    let served = serve(&authority, Endpoint::new());
    let mut peer = http2(&authority, &served);
    for _ in 0..2 {
        peer.open_websocket("127.0.0.1", "/", &[]);
    }
    peer.fin();
    for _ in 0..2 {
        let ending = served.account().ending;
        assert_eq!((&ending.cause, ending.transport.end), (&Cause::Eof, End::Finished), "{ending}");
        assert_eq!(ending.transport.close_notify, Some(false), "{ending}");
        let told = "the peer ended its HTTP/2 connection with a FIN, without close_notify";
        assert!(ending.to_string().contains(told), "{ending}");
    }
    drop(peer);
    served.stop();
}

#[test]
fn a_close_notify_is_told_of_each_stream() {
    let authority = authority();
    let served = serve(&authority, Endpoint::new());
    let (mut tls, tcp) = connect(&authority, &served, &["h2"]);
    // The handshake and a WebSocket with the peer's means, then TLS is ended by hand.
    let ended = tcp.try_clone().unwrap();
    tls.conn.complete_io(&mut tls.sock).unwrap();
    let tls = Arc::new(std::sync::Mutex::new(tls));
    let mut peer = Http2Peer::builder().over(Shared(tls.clone()), tcp);
    peer.open_websocket("127.0.0.1", "/", &[]);
    let mut tls = tls.lock().unwrap();
    tls.conn.send_close_notify();
    let StreamOwned { conn, sock } = &mut *tls;
    while conn.wants_write() {
        conn.write_tls(sock).unwrap();
    }
    drop(tls);
    ended.shutdown(std::net::Shutdown::Write).unwrap();
    let ending = served.account().ending;
    assert_eq!(ending.transport.close_notify, Some(true), "{ending}");
    let told = "the peer ended its HTTP/2 connection with close_notify";
    assert!(ending.to_string().contains(told), "{ending}");
    drop(peer);
    served.stop();
}

/// A stream that two hands hold.
struct Shared(Arc<std::sync::Mutex<Tls>>);

impl std::io::Read for Shared {
    fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().read(bytes)
    }
}

impl std::io::Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.lock().unwrap().flush()
    }
}

#[test]
fn a_tls_handshake_that_fails_is_reported_as_without_http2() {
    let authority = authority();
    let served = serve(&authority, Endpoint::new());
    let mut peer = testkit::Peer::connect(served.addr);
    peer.write(b"GET / HTTP/1.1\r\n\r\n");
    let ending = served.account().ending;
    let tls = matches!(ending.cause, Cause::Handshake(adieu::HandshakeError::Tls(_)));
    assert!(tls, "{ending}");
    drop(peer);
    served.stop();
}

#[test]
fn the_hook_is_told_what_tls_knows() {
    let authority = authority();
    let endpoint = Endpoint::new().on_handshake(async |handshake: Handshake| {
        let alpn = handshake.tls().and_then(|tls| tls.alpn.clone());
        match alpn.as_deref() {
            Some(b"h2") => Ok(adieu::Accept::new()),
            _ => Err(http::Response::builder().status(400).body("no h2").unwrap()),
        }
    });
    let served = serve(&authority, endpoint);
    let mut peer = http2(&authority, &served);
    let stream = peer.open_websocket("127.0.0.1", "/", &[]);
    peer.send_ws_all_and_end(stream, &[Frame::close(1000, "")]);
    let code = peer.read_ws(stream).close_code();
    assert_eq!(code, Some(CloseCode::NORMAL.get()));
    assert!(served.account().ending.is_clean());
    drop(peer);
    served.stop();
}
