//! TLS: what `Transport` says there is exact: close_notify and FIN, FIN without it, RST; and
//! what is no TLS ends with an account of its own.
#![cfg(feature = "tls")]

mod served;
mod tls_peer;

use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::Poll;
use std::time::Duration;

use adieu::tls::server_config;
use adieu::{
    Cause, Close, CloseCode, ClosingHandshake, Config, ConnectError, Drain, End, Endpoint, Handler,
    HandshakeError, Message, ProtocolError, Server, Side, Socket, Transport, Truncation,
};
use served::{Account, Served, echo, echo_some, with};
use testkit::{DEADLINE, Frame, NONCE, Peer, Request, TcpEnd, hixie, wait_until};
use tls_peer::{Authority, Raw, authority, tempdir};

fn serve(authority: &Authority, endpoint: Endpoint, handler: impl Handler) -> Served {
    let config = authority.server_config();
    Served::start(endpoint, |endpoint, listener, _| async move {
        let server = Server::with(endpoint, handler).tls(config);
        server.serve_on(listener).await.expect("a server");
    })
}

#[track_caller]
fn ended(
    served: &Served,
    cause: Cause,
    goodbye: ClosingHandshake,
    (end, first, close_notify): (End, Side, Option<bool>),
) -> Account {
    let account = served.account();
    let (kind, active_closer) = (adieu::TransportKind::Tls, Some(first));
    let transport = Transport { kind, end, active_closer, close_notify };
    account.is(cause, goodbye, transport, Truncation::BetweenMessages);
    account
}

fn both(ours_first: bool, code: CloseCode) -> ClosingHandshake {
    let close = || Close::from(code);
    if ours_first {
        ClosingHandshake::SentThenReceived { ours: close(), theirs: close() }
    } else {
        ClosingHandshake::ReceivedThenSent { theirs: close(), ours: close() }
    }
}

// Both ends are ours.

#[test]
fn large_messages_both_ways_and_a_clean_end_on_both_sides() {
    let authority = authority();
    let served = serve(&authority, Endpoint::new(), echo);
    let url = format!("wss://{}/path?query", served.addr);
    let client = authority.client();
    let ending = block_on(async move {
        let mut socket = client.connect(&url).await.unwrap();
        let big: Vec<u8> = (0..4 << 20).map(|i: u32| ((i * 31) >> 7) as u8).collect();
        for _ in 0..2 {
            socket.send(Message::from(big.clone())).await.unwrap();
            let back = socket.recv().await.unwrap();
            assert!(back.as_bytes() == big, "{} bytes came back changed", back.len());
        }
        socket.close(CloseCode::NORMAL).await
    });
    let fin = |first| Transport {
        kind: adieu::TransportKind::Tls,
        end: End::Finished,
        active_closer: Some(first),
        close_notify: Some(true),
    };
    assert_eq!(
        (&ending.cause, &ending.closing_handshake),
        (&Cause::Application, &both(true, CloseCode::NORMAL))
    );
    // The server's FIN and close_notify came behind its Close, or ours was out before.
    assert!([fin(Side::Local), fin(Side::Peer)].contains(&ending.transport), "{ending}");
    let goodbye = both(false, CloseCode::NORMAL);
    let account = ended(&served, Cause::Peer, goodbye, (End::Finished, Side::Local, Some(true)));
    assert!(account.ending.is_clean() && ending.is_clean());
    assert_eq!(account.target.as_deref(), Some("/path?query"));
    served.stop();
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let in_time = async { tokio::time::timeout(DEADLINE, future).await };
    runtime.block_on(in_time).expect("in time")
}

#[test]
fn a_certificate_that_is_not_trusted() {
    let served = serve(&authority(), Endpoint::new(), echo);
    let stranger = authority().client();
    let url = format!("wss://{}/", served.addr);
    let error = block_on(stranger.connect(&url)).unwrap_err();
    assert!(error.to_string().contains("UnknownIssuer"), "{error}");
    let ConnectError::Handshake(HandshakeError::Tls(_), ending) = error else { panic!("{error}") };
    assert!(matches!(ending.cause, Cause::Handshake(HandshakeError::Tls(_))), "{ending}");
    assert!(!ending.opened());
    let account = served.account();
    let tls = matches!(account.ending.cause, Cause::Handshake(HandshakeError::Tls(_)));
    assert!(tls, "{}", account.ending);
    served.stop();
}

#[test]
fn a_client_that_stops_sending_is_not_forgotten_in_the_tls_layer() {
    let authority = authority();
    // So small that reading pauses after each message while others of the same record wait.
    let config = Config { receive_queue: 1, ..Config::default() };
    let served = serve(&authority, with(config), echo);
    let mut raw = authority.open(served.addr);
    let frames: Vec<u8> = (0..500).flat_map(|i| Frame::text(i.to_string()).masked()).collect();
    raw.write(&frames);
    for i in 0..500 {
        assert_eq!(raw.frame(), Frame::text(i.to_string()));
    }
    raw.send(&Frame::close(1000, ""));
    assert_eq!(raw.read_to_close_notify(), [Frame::close(1000, "")]);
    raw.close_notify();
    raw.fin();
    let goodbye = both(false, CloseCode::NORMAL);
    ended(&served, Cause::Peer, goodbye, (End::Finished, Side::Local, Some(true)));
    served.stop();
}

#[test]
fn a_peer_that_does_not_read_holds_the_sender_back_and_loses_nothing() {
    const MESSAGES: usize = 256;
    let authority = authority();
    let config = Config { send_queue: 64 * 1024, ..Config::default() };
    let (tell, sent) = std::sync::mpsc::channel();
    let handler = move |socket: Socket| {
        let tell = tell.clone();
        async move {
            for i in 0..MESSAGES {
                let message = vec![i as u8; 64 * 1024];
                socket.send(Message::from(message)).await.expect("an open connection");
                let _ = tell.send(i);
            }
        }
    };
    let served = serve(&authority, with(config), handler);
    let mut raw = authority.open(served.addr);
    // It says nothing for so long only if it cannot: 16 MiB fit into no socket's buffer.
    let mut last = 0;
    while let Ok(i) = sent.recv_timeout(Duration::from_millis(300)) {
        last = i;
    }
    assert!(last < MESSAGES - 1, "everything was taken though nothing was read");
    for i in 0..MESSAGES {
        assert!(raw.frame() == Frame::binary(vec![i as u8; 64 * 1024]), "message {i}");
    }
    assert_eq!(raw.frame(), Frame::close(1000, ""));
    raw.send(&Frame::close(1000, ""));
    assert_eq!(raw.read_to_close_notify(), []);
    raw.close_notify();
    drop(raw);
    let goodbye = both(true, CloseCode::NORMAL);
    ended(&served, Cause::HandlerReturned, goodbye, (End::Finished, Side::Local, Some(true)));
    served.stop();
}

// How the peer ends.

#[test]
fn with_and_without_close_notify_and_by_rst() {
    let authority = authority();
    let served = serve(&authority, Endpoint::new(), echo);

    let mut raw = authority.open(served.addr);
    raw.close_notify();
    raw.fin();
    assert_eq!(raw.read_to_close_notify(), []);
    let fin = (End::Finished, Side::Peer, Some(true));
    let account = ended(&served, Cause::Eof, ClosingHandshake::None, fin);
    assert!(
        account.ending.to_string().contains("with close_notify, then TCP with a FIN"),
        "{}",
        account.ending
    );

    let mut raw = authority.open(served.addr);
    raw.fin();
    assert_eq!(raw.read_to_close_notify(), []);
    let fin = (End::Finished, Side::Peer, Some(false));
    let account = ended(&served, Cause::Eof, ClosingHandshake::None, fin);
    assert!(account.ending.to_string().contains("(without close_notify)"), "{}", account.ending);

    authority.open(served.addr).reset();
    let reset = (End::Reset, Side::Peer, Some(false));
    ended(&served, Cause::Reset, ClosingHandshake::None, reset);

    // A goodbye of the WebSocket, and the FIN without one of TLS.
    let mut raw = authority.open(served.addr);
    raw.send(&Frame::close(1000, ""));
    assert_eq!(raw.read_to_close_notify(), [Frame::close(1000, "")]);
    raw.fin();
    let goodbye = both(false, CloseCode::NORMAL);
    ended(&served, Cause::Peer, goodbye, (End::Finished, Side::Local, Some(false)));
    served.stop();
}

#[test]
fn our_goodbye_is_close_then_close_notify_then_fin() {
    let authority = authority();
    let served = serve(&authority, Endpoint::new(), echo_some(1));
    let mut raw = authority.open(served.addr);
    raw.send(&Frame::text("last"));
    assert_eq!(raw.frame(), Frame::text("last"));
    assert_eq!(raw.frame(), Frame::close(1000, ""));
    raw.send(&Frame::close(1000, ""));
    assert_eq!(raw.read_to_close_notify(), []);
    raw.close_notify();
    raw.fin();
    let goodbye = both(true, CloseCode::NORMAL);
    let fin = (End::Finished, Side::Local, Some(true));
    assert!(ended(&served, Cause::HandlerReturned, goodbye, fin).ending.is_clean());
    served.stop();
}

#[test]
fn hixie_76_over_tls_hears_its_own_scheme() {
    let authority = authority();
    let served = serve(&authority, Endpoint::new(), echo);
    let request = [&Request::hixie76().target("/a?b").bytes(), &NONCE.0[..]].concat();
    let (mut raw, head) = Raw::connect(served.addr, &authority.roots, &request);
    assert_eq!(head.field("Sec-WebSocket-Location"), Some("wss://example.com/a?b"));
    raw.write(&hixie::CLOSE);
    raw.stream.read_to_end(&mut raw.buffer).unwrap();
    assert_eq!(raw.buffer, [&NONCE.1[..], &hixie::CLOSE].concat());
    raw.close_notify();
    raw.fin();
    let goodbye =
        ClosingHandshake::ReceivedThenSent { theirs: Close::empty(), ours: Close::empty() };
    ended(&served, Cause::Peer, goodbye, (End::Finished, Side::Local, Some(true)));
    served.stop();
}

// What is no TLS.

#[test]
fn plain_http_on_the_tls_port_does_not_hang() {
    let served = serve(&authority(), Endpoint::new(), echo);
    let mut peer = Peer::connect(served.addr);
    peer.write(Request::rfc6455().bytes());
    let rest = peer.read_to_end();
    // An alert, which is all that TLS has to say: fatal, and no HTTP.
    assert_eq!((rest.bytes.first(), rest.end), (Some(&21), TcpEnd::Fin), "{:x?}", rest.bytes);
    drop(peer);
    let account = served.account();
    let tls = matches!(account.ending.cause, Cause::Handshake(HandshakeError::Tls(_)));
    assert!(tls, "{}", account.ending);
    assert_eq!(account.ending.transport.end, End::Finished);
    served.stop();
}

#[test]
fn silence_and_a_cut_before_tls_is_open() {
    let handshake_timeout = Duration::from_millis(500);
    let config = Config { handshake_timeout, ..Config::default() };
    let served = serve(&authority(), with(config), echo);
    let mut silent = Peer::connect(served.addr);
    assert_eq!(silent.read_to_end().end, TcpEnd::Fin);
    drop(silent);
    assert_eq!(served.account().ending.cause, Cause::Handshake(HandshakeError::TimedOut));
    let mut cut = Peer::connect(served.addr);
    // The front of a record of the handshake.
    cut.write([22, 3, 1, 1, 0, 1]);
    cut.close();
    assert_eq!(served.account().ending.cause, Cause::Handshake(HandshakeError::Incomplete));
    served.stop();
}

/// Somebody on the path breaks TLS and goes on in plain text.
#[test]
fn nothing_is_believed_behind_a_broken_record() {
    let authority = authority();
    let (tell, heard) = std::sync::mpsc::channel();
    let served = serve(&authority, Endpoint::new(), move |mut socket: Socket| {
        let tell = tell.clone();
        async move {
            while let Some(message) = socket.recv().await {
                let _ = tell.send(message);
            }
        }
    });
    let mut raw = authority.open(served.addr);
    raw.send(&Frame::text("true"));
    let mut tcp = &raw.stream.sock;
    tcp.write_all(&[23, 3, 3, 0, 20, 1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 2])
        .unwrap();
    // The alert says that the record was read as broken.
    assert!(raw.stream.read(&mut [0; 64]).is_err());
    let mut tcp = &raw.stream.sock;
    tcp.write_all(&Frame::text("forged").masked()).unwrap();
    tcp.write_all(&Frame::close(1000, "forged").masked()).unwrap();
    drop(raw);
    let account = served.account();
    assert_eq!(account.ending.cause, Cause::Violation(ProtocolError::UnreadableTls));
    assert_eq!(account.ending.closing_handshake, ClosingHandshake::None);
    served.stop();
    assert_eq!(heard.try_iter().collect::<Vec<_>>(), [Message::from("true")]);
}

#[test]
fn files_that_cannot_be_used_are_named() {
    let dir = tempdir();
    let (cert, key) = (dir.join("cert.pem"), dir.join("key.pem"));
    let complaint = |what: &Path| {
        let error = server_config(&cert, &key).unwrap_err().to_string();
        assert!(error.starts_with(&what.display().to_string()), "{error}");
    };
    complaint(&cert);
    fs::write(&cert, "no certificate").unwrap();
    complaint(&cert);
    fs::write(&cert, authority().chain).unwrap();
    complaint(&key);
    // The key of another certificate.
    fs::write(&key, authority().key).unwrap();
    complaint(&key);
    fs::remove_dir_all(dir).unwrap();
}

// What it leaves to others.

/// More than that the driver does not read in one wake: sixteen times 64 KiB.
const ONE_WAKE: usize = 16 * 64 * 1024;

/// Serves a peer that floods on a thread that has another task as well: the most bytes that were
/// received between two turns of the other one.
fn most_between_two_turns(receive_queue: usize) -> usize {
    const FLOOD: usize = 8 * ONE_WAKE;
    let authority = authority();
    let server_config = authority.server_config();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let listener = runtime.block_on(adieu::listen("127.0.0.1:0")).expect("a free port");
    let addr = listener.local_addr().unwrap();
    let written = Arc::new(AtomicUsize::new(0));
    let received = Arc::new(AtomicUsize::new(0));

    let count = written.clone();
    let peer = std::thread::spawn(move || {
        let mut raw = authority.open(addr);
        let record = Frame::binary([0; 120]).masked().repeat(128);
        while count.load(SeqCst) < FLOOD {
            raw.write(&record);
            count.fetch_add(record.len(), SeqCst);
        }
        raw.send(&Frame::close(1000, ""));
        assert_eq!(raw.read_to_close_notify(), [Frame::close(1000, "")]);
    });

    let (count, stop) = (received.clone(), Drain::new());
    let endpoint = with(Config { receive_queue, ..Config::default() }).drain(stop.clone());
    let drain = stop.clone();
    let handler = move |mut socket: Socket| {
        let (count, written, drain) = (count.clone(), written.clone(), drain.clone());
        async move {
            // The thread stands still until there is more in the kernel than one wake may read.
            wait_until("the peer is far ahead", || written.load(SeqCst) > 2 * ONE_WAKE);
            while let Some(message) = socket.recv().await {
                count.fetch_add(message.len(), SeqCst);
            }
            drain.start();
        }
    };
    let (count, mut last, mut most) = (received.clone(), 0, 0);
    let other = std::future::poll_fn(move |cx| {
        let now = count.load(SeqCst);
        (last, most) = (now, most.max(now - last));
        // Ready again at once, behind those that are ready now.
        cx.waker().wake_by_ref();
        if stop.has_started() { Poll::Ready(most) } else { Poll::Pending }
    });
    let most = runtime.block_on(async {
        let other = tokio::spawn(other);
        let server = Server::with(endpoint, handler).tls(server_config);
        server.serve_on(listener).await.expect("a server");
        other.await.expect("no panic")
    });
    peer.join().unwrap();
    assert!(received.load(SeqCst) > FLOOD * 9 / 10, "all of it is received");
    most
}

/// Over TCP the runtime makes a task yield now and then; what TLS reads it does not count.
#[test]
fn a_peer_that_floods_leaves_its_thread_to_other_tasks() {
    // Reading never pauses, pauses now and then, pauses after each read.
    for receive_queue in [usize::MAX, Config::default().receive_queue, 1] {
        let most = most_between_two_turns(receive_queue);
        assert!(most <= ONE_WAKE, "{most} bytes in one turn, with a queue of {receive_queue}");
    }
}
