//! TLS that is not ours: tokio-rustls below `Server::connection`, as most axum applications have
//! it. It buffers, and it tells a FIN without close_notify by an error.
#![cfg(feature = "tls")]

mod served;
mod tls_peer;

use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use adieu::tls::client_config_with;
use adieu::tls::rustls::pki_types::ServerName;
use adieu::tls::rustls::{ClientConnection, StreamOwned};
use adieu::{Cause, Config, End, Ending, Endpoint, Handler, Server, Socket};
use served::{Served, echo, echo_some};
use socket2::{Domain, SockRef, Type};
use testkit::{DEADLINE, Frame, Head, Random, Request, seed};
use tls_peer::{Authority, Raw, authority};
use tokio_rustls::TlsAcceptor;

/// Plain bytes that the TLS library holds back at most.
const TLS_BUFFER: usize = 32 * 1024;

/// Serves every connection through tokio-rustls.
fn serve(authority: &Authority, endpoint: Endpoint, handler: impl Handler) -> Served {
    let acceptor = TlsAcceptor::from(authority.server_config());
    Served::start(endpoint, move |endpoint, listener, drain| async move {
        let server = Server::with(endpoint, handler);
        loop {
            let tcp = adieu::accept(&listener, &drain).await;
            SockRef::from(&tcp).set_send_buffer_size(64 * 1024).expect("SO_SNDBUF");
            let Ok(mut tls) = acceptor.accept(tcp).await else { continue };
            tls.get_mut().1.set_buffer_limit(Some(TLS_BUFFER));
            tokio::spawn(server.connection(tls));
        }
    })
}

/// A client with a small receive buffer: what the server sends soon has to wait.
fn open_slowly(authority: &Authority, addr: SocketAddr) -> Raw {
    let socket = socket2::Socket::new(Domain::for_address(addr), Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(32 * 1024).unwrap();
    socket.connect_timeout(&addr.into(), DEADLINE).unwrap();
    let tcp = TcpStream::from(socket);
    tcp.set_read_timeout(Some(DEADLINE)).unwrap();
    tcp.set_write_timeout(Some(DEADLINE)).unwrap();
    let name = ServerName::from(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let tls = ClientConnection::new(client_config_with(authority.roots.clone()), name).unwrap();
    let mut raw = Raw { stream: StreamOwned::new(tls, tcp), buffer: Vec::new() };
    raw.write(&Request::rfc6455().bytes());
    let head = raw.read_until(Head::parse);
    assert_eq!(head.status(), 101, "{}", head.text);
    raw
}

// Nothing stays behind in the TLS library.

/// As many as fill the buffers of both kernels more than once.
const MESSAGES: usize = 600;

/// Sends all its messages when it is asked, then waits for the next request: nothing that it
/// sends later pushes what is still in a buffer.
async fn sends_when_asked(mut socket: Socket) {
    while socket.recv().await.is_some() {
        for i in 0..MESSAGES {
            if socket.send(vec![i as u8; 1024]).await.is_err() {
                return;
            }
        }
    }
}

/// The peer asks, is busy with something else, and then reads.
fn all_comes(raw: &mut Raw, busy: Duration) {
    raw.send(&Frame::text("please"));
    // This pause is the scene: a peer that is busy while the server's buffers fill.
    thread::sleep(busy);
    for i in 0..MESSAGES {
        assert!(frame(raw, i) == Frame::binary(vec![i as u8; 1024]), "message {i}");
    }
}

/// The next frame, which is this message.
fn frame(raw: &mut Raw, i: usize) -> Frame {
    loop {
        if let Some((frame, len)) = Frame::parse(&raw.buffer) {
            raw.buffer.drain(..len);
            return frame;
        }
        let mut chunk = [0; 16 * 1024];
        let read = raw.stream.read(&mut chunk).unwrap_or_else(|error| {
            let part = raw.buffer.len();
            panic!("message {i} of {MESSAGES} does not come ({part} bytes of it came): {error}")
        });
        assert_ne!(read, 0, "message {i} does not come");
        raw.buffer.extend_from_slice(&chunk[..read]);
    }
}

fn runs_in_which_the_peer_is_busy(runs: usize) {
    let authority = authority();
    // Without Pings nothing but the messages is ever written.
    let config = Config { ping_interval: None, ..Config::default() };
    let served = serve(&authority, Endpoint::new().config(config), sends_when_asked);
    let mut random = Random::new(seed());
    for run in 0..runs {
        let mut raw = open_slowly(&authority, served.addr);
        // Mostly 150 ms, at times less: the buffers are then in other states.
        let busy = if random.once_in(4) { random.below(150) } else { 150 };
        println!("run {run}: busy for {busy} ms");
        all_comes(&mut raw, Duration::from_millis(busy));
        raw.send(&Frame::close(1000, ""));
        assert_eq!(raw.read_to_close_notify(), [Frame::close(1000, "")]);
        raw.close_notify();
        raw.fin();
        let ending = served.account().ending;
        assert!(ending.is_clean(), "{ending}");
    }
    served.stop();
}

#[test]
fn all_messages_come_after_a_pause_of_the_peer() {
    runs_in_which_the_peer_is_busy(20);
}

#[test]
#[ignore = "half a minute and more: the long form of the test above"]
fn all_messages_come_after_a_pause_of_the_peer_200_times() {
    runs_in_which_the_peer_is_busy(200);
}

// How the peer ends.

/// Opens, lets `die` have the peer's end, and gives the account.
fn ending_of(die: impl FnOnce(Raw), handler: impl Handler) -> Ending {
    let authority = authority();
    let served = serve(&authority, Endpoint::new(), handler);
    die(authority.open(served.addr));
    let ending = served.account().ending;
    println!("{ending}");
    served.stop();
    ending
}

/// A FIN without close_notify: neither an RST nor a close_notify came, and the account says so.
#[track_caller]
fn told_as_a_fin_without_close_notify(ending: &Ending) {
    let sentence = ending.to_string();
    assert_eq!(ending.transport.end, End::Finished, "{ending}");
    assert_eq!(ending.transport.close_notify, Some(false), "{ending}");
    assert!(!sentence.contains("RST"), "no RST came: {sentence}");
    let told = sentence.contains("close_notify") && !sentence.contains("close_notify came");
    assert!(told, "no close_notify came: {sentence}");
}

#[test]
fn a_fin_without_close_notify_behind_a_closing_handshake_is_no_rst() {
    let ending = ending_of(
        |mut raw| {
            raw.send(&Frame::close(1000, ""));
            assert_eq!(raw.read_to_close_notify(), [Frame::close(1000, "")]);
            raw.fin();
        },
        echo,
    );
    assert_eq!(ending.cause, Cause::Peer, "{ending}");
    told_as_a_fin_without_close_notify(&ending);
}

#[test]
fn a_fin_without_close_notify_behind_our_own_close_is_no_rst() {
    let ending = ending_of(
        |mut raw| {
            raw.send(&Frame::text("last"));
            assert_eq!(raw.frame(), Frame::text("last"));
            assert_eq!(raw.frame(), Frame::close(1000, ""));
            raw.send(&Frame::close(1000, ""));
            raw.fin();
            assert_eq!(raw.read_to_close_notify(), []);
        },
        echo_some(1),
    );
    told_as_a_fin_without_close_notify(&ending);
}

#[test]
fn a_fin_without_close_notify_and_without_a_close_is_no_rst() {
    let ending = ending_of(
        |mut raw| {
            raw.fin();
            // Until the server has ended, however it does: nothing is left unread.
            let _ = raw.stream.read_to_end(&mut raw.buffer);
        },
        echo,
    );
    // Not `Cause::Reset`.
    assert_eq!(ending.cause, Cause::Eof, "{ending}");
    told_as_a_fin_without_close_notify(&ending);
}

#[test]
fn an_rst_and_a_close_notify_are_still_told_as_what_they_are() {
    let reset = ending_of(Raw::reset, echo);
    assert_eq!(reset.cause, Cause::Reset, "{reset}");
    let polite = ending_of(
        |mut raw| {
            raw.close_notify();
            raw.fin();
            assert_eq!(raw.read_to_close_notify(), []);
        },
        echo,
    );
    assert_eq!(polite.cause, Cause::Eof, "{polite}");
    // That close_notify did not come was not seen here. Whether it came is not known: the TLS
    // library does not let it be seen.
    assert!(!polite.to_string().contains("without close_notify"), "{polite}");
}
