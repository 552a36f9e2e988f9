//! Whose connection it is behind a proxy: what a trusted one tells counts, what anybody else
//! tells does not.

mod support;
#[cfg(feature = "tls")]
mod tls_peer;

use std::net::SocketAddr;
use std::time::Duration;

use adieu::{Cause, Cidr, Close, Config, Drain, Endpoint, Handler, HandshakeError, Server, Socket};
use support::{Account, Host};
use testkit::{Frame, Peer, Request, TcpEnd};

const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// Says who it is with.
async fn who(mut socket: Socket) -> Close {
    let _ = socket.send(socket.peer().to_string()).await;
    while socket.recv().await.is_some() {}
    Close::empty()
}

fn cidrs<const N: usize>(list: [&str; N]) -> [Cidr; N] {
    list.map(|cidr| cidr.parse().unwrap())
}

/// Trusts 127.0.0.1, where proxies of these tests are, and 10.0.0.0/8.
fn trusting(handler: impl Handler) -> Server<impl Handler> {
    Server::new(handler).trust_proxies(cidrs(["127.0.0.1", "10.0.0.0/8"]))
}

fn connect_from(ip: &str, addr: SocketAddr) -> Peer {
    let from: SocketAddr = format!("{ip}:0").parse().unwrap();
    Peer::connect_with(addr, |socket| socket.bind(&from.into()).unwrap())
}

/// Opens with what stands in front and a request; gives what the handler knows, and its account.
fn told(host: &Host, mut peer: Peer, front: &[u8], request: &Request) -> (String, Account) {
    peer.write([front, &request.bytes()].concat());
    assert_eq!(peer.read_head().status(), 101);
    let frame = peer.read_frame();
    let local = peer.local_addr();
    drop(peer);
    let account = host.account();
    let text = String::from_utf8(frame.payload).unwrap();
    assert_eq!(text, account.peer.to_string(), "the handler and on_end hear the same");
    let via = account.peer.via().unwrap_or_else(|| account.peer.addr().unwrap());
    assert_eq!(via, local, "the transport's own address");
    (text.replace(&local.to_string(), "SELF"), account)
}

fn with(fields: &[(&str, &str)]) -> Request {
    fields.iter().fold(Request::rfc6455(), |request, (name, value)| request.field(name, value))
}

/// Fields, and whom the server should take for the client.
const FIELDS: [(&[(&str, &str)], &str); 7] = [
    (&[], "SELF"),
    (&[("X-Forwarded-For", "6.6.6.6, 203.0.113.7")], "203.0.113.7 (via SELF)"),
    (&[("X-Forwarded-For", "203.0.113.7, 10.1.1.1")], "203.0.113.7 (via SELF)"),
    (&[("Forwarded", "for=\"[2001:db8::1]:80\";proto=https")], "[2001:db8::1]:80 (via SELF)"),
    (&[("Forwarded", "for=6.6.6.6, for=_hidden")], "unknown address (via SELF)"),
    (&[("Forwarded", "for=6.6.6.6, for=300.1.1.1")], "SELF"),
    (&[("Forwarded", "for=6.6.6.6"), ("X-Forwarded-For", "203.0.113.7")], "SELF"),
];

#[test]
fn fields_of_a_trusted_proxy_tell_the_client() {
    let host = Host::run(trusting(who));
    for (fields, want) in FIELDS {
        let (text, account) = told(&host, Peer::connect(host.addr), b"", &with(fields));
        assert_eq!(text, want, "{fields:?}");
        assert_eq!(account.peer.via().is_some(), want != "SELF");
        // Anybody else may say what they like.
        let stranger = connect_from("127.0.0.2", host.addr);
        assert_eq!(told(&host, stranger, b"", &with(fields)).0, "SELF", "{fields:?}");
    }
    host.finish();
}

#[test]
fn nobody_is_trusted_by_default() {
    let host = Host::start(who);
    for (fields, _) in FIELDS {
        assert_eq!(told(&host, Peer::connect(host.addr), b"", &with(fields)).0, "SELF");
    }
    host.finish();
}

/// A client sends two fields, the second of them no text, and the proxy adds `last` to that line:
/// whom the server takes for the client. Were the line left out, the client's first field would
/// stand where the proxy's word is looked for.
fn forged(addr: SocketAddr, last: &str) -> String {
    let head = String::from_utf8(with(&[("X-Forwarded-For", "6.6.6.6")]).bytes()).unwrap();
    let head = head.strip_suffix("\r\n").unwrap();
    let mut peer = Peer::connect(addr);
    let second = [b"X-Forwarded-For: \xff, \xfe, ", last.as_bytes()].concat();
    peer.write([head.as_bytes(), &second, b"\r\n\r\n"].concat());
    assert_eq!(peer.read_head().status(), 101);
    let text = String::from_utf8(peer.read_frame().payload).unwrap();
    text.replace(&peer.local_addr().to_string(), "SELF")
}

#[test]
fn a_value_that_is_no_text_does_not_uncover_a_forged_one() {
    let host = Host::run(trusting(who));
    for (last, want) in [("203.0.113.7", "203.0.113.7 (via SELF)"), ("", "SELF")] {
        assert_eq!(forged(host.addr, last), want);
        host.account();
    }
    host.finish();
}

#[test]
fn clients_of_a_trusted_proxy_are_counted_each_for_itself() {
    let host = Host::run(trusting(who).max_connections_per_address(1));
    let from = |client| Request::rfc6455().field("X-Forwarded-For", client);
    let first = Peer::open_with(host.addr, &from("203.0.113.7"));
    let second = Peer::open_with(host.addr, &from("203.0.113.8"));
    let third = Peer::open_with(host.addr, &from("2001:db8::1"));
    for client in ["203.0.113.7", "2001:db8::ffff:1"] {
        let mut peer = Peer::connect(host.addr);
        peer.write(from(client).bytes());
        assert_eq!(peer.read_head().status(), 429);
        assert_eq!(peer.read_to_end().end, TcpEnd::Fin);
        assert_eq!(
            host.account().peer.addr().unwrap().ip(),
            client.parse::<std::net::IpAddr>().unwrap()
        );
    }
    for peer in [first, second, third] {
        drop(peer);
        host.account();
    }
    drop(Peer::open_with(host.addr, &from("203.0.113.7")));
    host.account();
    host.finish();
}

// The PROXY protocol.

fn header(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let len = u16::try_from(rest.len()).unwrap().to_be_bytes();
    [&SIGNATURE[..], &[command, family], &len, rest].concat()
}

/// For a client at 203.0.113.7:4660, with more records behind the addresses.
fn tcp4(more: usize) -> Vec<u8> {
    let addresses = [203, 0, 113, 7, 192, 0, 2, 1, 0x12, 0x34, 0, 80];
    header(0x21, 0x11, &[&addresses[..], &vec![0xee; more]].concat())
}

fn tcp6() -> Vec<u8> {
    let mut addresses = [0; 36];
    addresses[..16].copy_from_slice(&"2001:db8::1".parse::<std::net::Ipv6Addr>().unwrap().octets());
    addresses[33] = 7;
    header(0x21, 0x21, &addresses)
}

fn proxied(handler: impl Handler) -> Server<impl Handler> {
    trusting(handler).proxy_protocol(true)
}

/// A server whose handshakes have this long, and who ends a connection has to.
fn impatient() -> Server<impl Handler> {
    let handshake_timeout = Duration::from_millis(400);
    proxied(who).config(Config { handshake_timeout, ..Config::default() })
}

#[test]
fn a_proxy_header_tells_the_client() {
    let host = Host::run(proxied(who));
    let connect = || Peer::connect(host.addr);
    let plain = Request::rfc6455();
    for (front, want) in [
        (tcp4(0), "203.0.113.7:4660 (via SELF)"),
        (tcp4(8000), "203.0.113.7:4660 (via SELF)"),
        (tcp6(), "[2001:db8::1]:7 (via SELF)"),
        (header(0x20, 0x00, &[]), "SELF"),
        (header(0x20, 0x11, &[9; 12]), "SELF"),
        (header(0x21, 0x00, &[9; 100]), "SELF"),
    ] {
        assert_eq!(told(&host, connect(), &front, &plain).0, want);
    }
    // Behind the client another proxy that is trusted.
    let ten = header(0x21, 0x11, &[10, 0, 0, 9, 192, 0, 2, 1, 0, 1, 0, 80]);
    let chain = with(&[("X-Forwarded-For", "6.6.6.6, 203.0.113.9")]);
    assert_eq!(told(&host, connect(), &ten, &chain).0, "203.0.113.9 (via SELF)");
    // The client itself is no proxy, so its fields are not believed.
    assert_eq!(told(&host, connect(), &tcp4(0), &chain).0, "203.0.113.7:4660 (via SELF)");
    host.finish();
}

#[test]
fn a_proxy_header_may_come_in_any_pieces() {
    let host = Host::run(proxied(who));
    let bytes = [tcp4(40), Request::rfc6455().bytes(), Frame::text("x").masked()].concat();
    for step in [1, 5, 16, 17, 28, 67, 68, 69] {
        let mut peer = Peer::connect(host.addr);
        bytes.chunks(step).for_each(|piece| peer.write(piece));
        assert_eq!(peer.read_head().status(), 101);
        let text = String::from_utf8(peer.read_frame().payload).unwrap();
        assert!(text.starts_with("203.0.113.7:4660 (via 127.0.0.1:"), "{text}");
        drop(peer);
        host.account();
    }
    host.finish();
}

#[test]
fn what_is_no_proxy_header_is_ended_without_an_answer() {
    let host = Host::run(proxied(who));
    let fake = Request::rfc6455().bytes();
    for (bytes, part) in [
        (fake.clone(), "signature"),
        (b"PROXY TCP4 203.0.113.7 192.0.2.1 1 80\r\n".to_vec(), "signature"),
        ([header(0x11, 0x11, &[0; 12]), fake.clone()].concat(), "version"),
        ([header(0x2f, 0x11, &[0; 12]), fake.clone()].concat(), "command"),
        ([header(0x21, 0x99, &[0; 12]), fake.clone()].concat(), "address family"),
        ([header(0x21, 0x11, &[0; 11]), fake].concat(), "length"),
        (header(0x21, 0x11, &[0; 8177]), "length"),
    ] {
        let mut peer = Peer::connect(host.addr);
        peer.write(bytes);
        let rest = peer.read_to_end();
        assert_eq!((rest.text(), rest.end), (String::new(), TcpEnd::Fin), "{part}");
        let local = peer.local_addr();
        drop(peer);
        let account = host.account();
        let error = HandshakeError::ProxyHeader(part);
        assert_eq!(account.ending.cause, Cause::Handshake(error));
        assert_eq!((account.peer.addr(), account.peer.via()), (Some(local), None));
    }
    host.finish();
}

#[test]
fn a_proxy_header_that_dribbles_in_ends_at_the_deadline_of_the_handshake() {
    let host = Host::run(impatient());
    for sent in [0, 1, 12, 16, 27, 200] {
        let mut peer = Peer::connect(host.addr);
        for byte in &tcp4(1000)[..sent] {
            peer.write([*byte]);
        }
        let rest = peer.read_to_end();
        assert_eq!((rest.text(), rest.end), (String::new(), TcpEnd::Fin), "{sent}");
        drop(peer);
        let account = host.account();
        assert_eq!(account.ending.cause, Cause::Handshake(HandshakeError::TimedOut));
    }
    host.finish();
}

#[test]
fn a_proxy_that_goes_in_the_middle_of_its_header_is_told_as_it_went() {
    let host = Host::run(proxied(who));
    for sent in [0, 5, 16, 27] {
        let mut peer = Peer::connect(host.addr);
        peer.write(&tcp4(9)[..sent]);
        peer.fin();
        assert_eq!(peer.read_to_end().end, TcpEnd::Fin);
        drop(peer);
        let cause = host.account().ending.cause;
        assert_eq!(cause, Cause::Handshake(HandshakeError::Incomplete), "{sent}");

        let mut peer = Peer::connect(host.addr);
        peer.write(&tcp4(9)[..sent]);
        peer.reset();
        let cause = host.account().ending.cause;
        assert_eq!(cause, Cause::Handshake(HandshakeError::Reset), "{sent}");
    }
    host.finish();
}

#[test]
fn a_proxy_header_of_anybody_else_is_not_understood() {
    let untrusting = Server::new(who).proxy_protocol(true);
    for host in [Host::run(proxied(who)), Host::run(untrusting), Host::run(trusting(who))] {
        let mut peer = connect_from("127.0.0.2", host.addr);
        peer.write([tcp4(0), Request::rfc6455().bytes()].concat());
        assert_eq!(peer.read_head().status(), 400);
        let local = peer.local_addr();
        drop(peer);
        let account = host.account();
        assert!(matches!(account.ending.cause, Cause::Handshake(HandshakeError::BadHttp(_))));
        assert_eq!((account.peer.addr(), account.peer.via()), (Some(local), None));
        // Without one they are served as ever.
        let peer = connect_from("127.0.0.2", host.addr);
        assert_eq!(told(&host, peer, b"", &Request::rfc6455()).0, "SELF");
        host.finish();
    }
}

#[test]
fn a_drain_does_not_wait_for_a_proxy_that_says_nothing() {
    let drain = Drain::new();
    let endpoint = Endpoint::new().drain(drain.clone()).proxy_protocol(true);
    let host = Host::run(Server::with(endpoint.trust_proxies(cidrs(["127.0.0.1"])), who));
    let mut peer = Peer::connect(host.addr);
    peer.write(&tcp4(0)[..20]);
    testkit::wait_until("it is there", || drain.connections() == 1);
    drain.start();
    // What stops while nothing was asked says so in the language that would be spoken.
    assert_eq!(peer.read_head().status(), 503);
    assert_eq!(peer.read_to_end().end, TcpEnd::Fin);
    drop(peer);
    assert_eq!(host.account().ending.cause, Cause::Handshake(HandshakeError::Draining));
    host.finish();
}

#[test]
fn clients_that_a_proxy_header_names_are_counted_each_for_itself() {
    let host = Host::run(proxied(who).max_connections_per_address(1));
    let open = |front: Vec<u8>| {
        let mut peer = Peer::connect(host.addr);
        peer.write([front, Request::rfc6455().bytes()].concat());
        (peer.read_head().status(), peer)
    };
    let ((one, first), (two, second), (three, third)) =
        (open(tcp4(0)), open(tcp6()), open(tcp4(0)));
    assert_eq!((one, two, three), (101, 101, 429));
    for peer in [third, first, second] {
        drop(peer);
        host.account();
    }
    assert_eq!(open(tcp4(0)).0, 101);
    host.account();
    host.finish();
}

#[cfg(feature = "tls")]
#[test]
fn a_proxy_header_stands_in_front_of_tls() {
    use adieu::tls::client_config_with;
    use adieu::tls::rustls::pki_types::ServerName;
    use adieu::tls::rustls::{ClientConnection, StreamOwned};
    use std::io::Write;

    let authority = tls_peer::authority();
    let host = Host::run(proxied(who).tls(authority.server_config()));
    let mut tcp = std::net::TcpStream::connect(host.addr).unwrap();
    tcp.set_read_timeout(Some(testkit::DEADLINE)).unwrap();
    let local = tcp.local_addr().unwrap();
    tcp.write_all(&tcp4(30)).unwrap();
    let name = ServerName::from(std::net::IpAddr::from([127, 0, 0, 1]));
    let config = client_config_with(authority.roots);
    let tls = ClientConnection::new(config, name).unwrap();
    let mut raw = tls_peer::Raw { stream: StreamOwned::new(tls, tcp), buffer: Vec::new() };
    raw.write(&Request::rfc6455().bytes());
    assert_eq!(raw.read_until(testkit::Head::parse).status(), 101);
    let want = format!("203.0.113.7:4660 (via {local})");
    assert_eq!(raw.frame(), Frame::text(&want));
    raw.send(&Frame::close(1000, ""));
    raw.read_to_close_notify();
    drop(raw);
    assert_eq!(host.account().peer.to_string(), want);

    // No header: neither HTTP nor TLS is spoken.
    let mut peer = Peer::connect(host.addr);
    peer.write(b"\x16\x03\x01\x02\x00\x01");
    let rest = peer.read_to_end();
    assert_eq!((rest.bytes, rest.end), (vec![], TcpEnd::Fin));
    drop(peer);
    let error = HandshakeError::ProxyHeader("signature");
    assert_eq!(host.account().ending.cause, Cause::Handshake(error));
    host.finish();
}

#[cfg(feature = "axum")]
#[test]
fn inside_axum_the_fields_count_as_well() {
    use adieu::axum::WebSocketUpgrade;
    use axum::routing::any;
    use axum::{Extension, Router};
    use std::sync::{Arc, mpsc};

    let (tell, peers) = mpsc::channel();
    let endpoint = Endpoint::new()
        .trust_proxies(cidrs(["127.0.0.1", "10.0.0.0/8"]))
        .on_end(move |ended| tell.send(ended.peer).unwrap_or_default());
    let app = Router::new()
        .route("/", any(|upgrade: WebSocketUpgrade| async { upgrade.run(who) }))
        .layer(Extension(Arc::new(endpoint)));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let listener = runtime.block_on(adieu::listen("127.0.0.1:0")).unwrap();
    let addr = listener.local_addr().unwrap();
    runtime.spawn(async move { axum::serve(listener, app).await });
    for (fields, want) in FIELDS {
        for (ip, want) in [("127.0.0.1", want), ("127.0.0.2", "SELF")] {
            let mut peer = connect_from(ip, addr);
            peer.handshake(&with(fields));
            let text = String::from_utf8(peer.read_frame().payload).unwrap();
            let local = peer.local_addr();
            assert_eq!(text.replace(&local.to_string(), "SELF"), want, "{fields:?}");
            drop(peer);
            let peer = peers.recv_timeout(testkit::DEADLINE).unwrap();
            assert_eq!(peer.to_string(), text);
        }
    }
    assert_eq!(forged(addr, "203.0.113.7"), "203.0.113.7 (via SELF)");
    assert_eq!(forged(addr, ""), "SELF");
}
