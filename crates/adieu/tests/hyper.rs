//! Inside a hyper application without axum: over TCP, and over a stream that is neither TCP nor
//! TLS.
#![cfg(feature = "hyper")]

mod served;
#[cfg(feature = "tls")]
mod tls_peer;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use adieu::hyper::Upgrade;
use adieu::{
    Cause, Close, CloseCode, ClosingHandshake, Drain, End, Ending, Endpoint, HandshakeError, Side,
    Transport, Truncation, Version,
};
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request as HttpRequest, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use served::{Account, Served, echo, echo_some};
use testkit::{DEADLINE, Frame, Head, NONCE, Peer, Request, TcpEnd, hixie};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::mpsc;

async fn service(
    endpoint: Arc<Endpoint>,
    request: HttpRequest<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let two = request.uri().path() == "/two";
    Ok(match Upgrade::new(request, endpoint).await {
        Ok(upgrade) if two => upgrade.run(echo_some(2)),
        Ok(upgrade) => upgrade.run(echo),
        Err(refusal) => refusal,
    })
}

/// One connection of HTTP/1, whatever carries it.
async fn connection(io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, to: Arc<Endpoint>) {
    let service = service_fn(move |request| service(to.clone(), request));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(Duration::from_secs(10));
    // What becomes of a connection that is no WebSocket is not asked here.
    let _ = http.serve_connection(TokioIo::new(io), service).with_upgrades().await;
}

fn serve(endpoint: Endpoint) -> Served {
    Served::start(endpoint, |endpoint, listener, drain| async move {
        let endpoint = Arc::new(endpoint);
        loop {
            let tcp = adieu::accept(&listener, &drain).await;
            tokio::spawn(connection(tcp, endpoint.clone()));
        }
    })
}

#[test]
fn echo_and_exact_ends_over_tcp() {
    let served = serve(Endpoint::new());
    let mut peer = Peer::connect(served.addr);
    let hello = Frame::text("hello").masked();
    peer.write([Request::rfc6455().bytes(), hello].concat());
    assert_eq!(peer.read_head().field("Upgrade"), Some("websocket"));
    assert_eq!(peer.read_frame(), Frame::text("hello"));
    peer.send(&Frame::close(4001, "bye"));
    let rest = peer.read_to_end();
    assert_eq!((rest.frames(), rest.end), (vec![Frame::close(4001, "")], TcpEnd::Fin));
    let addr = peer.local_addr();
    drop(peer);
    let theirs = Close::new(4001, "bye").unwrap();
    let goodbye = ClosingHandshake::ReceivedThenSent { theirs, ours: CloseCode::new(4001).into() };
    let account = served.ended(Cause::Peer, goodbye, End::Finished, Side::Local);
    assert_eq!((account.peer, account.version), (Some(addr), Some(Version::Rfc6455)));

    Peer::open(served.addr).reset();
    served.ended(Cause::Reset, ClosingHandshake::None, End::Reset, Side::Peer);
    Peer::open(served.addr).close();
    served.ended(Cause::Eof, ClosingHandshake::None, End::Finished, Side::Peer);
    served.stop();
}

#[test]
fn hixie_76_with_and_without_a_length() {
    let served = serve(Endpoint::new());
    for request in [Request::hixie76(), Request::hixie76().field("Content-Length", "8")] {
        let mut peer = Peer::connect(served.addr);
        let behind = [hixie::text("at once"), hixie::CLOSE.into()].concat();
        peer.write([request.bytes(), NONCE.0.into(), behind.clone()].concat());
        assert_eq!(peer.read_head().field("Upgrade"), Some("WebSocket"));
        let rest = peer.read_to_end();
        assert_eq!((rest.bytes, rest.end), ([&NONCE.1[..], &behind].concat(), TcpEnd::Fin));
        drop(peer);
        let goodbye =
            ClosingHandshake::ReceivedThenSent { theirs: Close::empty(), ours: Close::empty() };
        served.ended(Cause::Peer, goodbye, End::Finished, Side::Local);
    }
    let mut peer = Peer::connect(served.addr);
    peer.write(Request::hixie75().bytes());
    assert_eq!(peer.read_head().status(), 400);
    assert!(peer.read_to_end().text().contains("adieu::Server"));
    let error = HandshakeError::NotThroughHttp(Version::Hixie75);
    assert_eq!(served.account().ending.cause, Cause::Handshake(error));
    served.stop();
}

// A stream of another kind.

/// A client at the other end of a pipe in memory, and the accounts of its server.
struct Pipe {
    client: DuplexStream,
    accounts: mpsc::UnboundedReceiver<Account>,
    serving: tokio::task::JoinHandle<()>,
    drain: Drain,
}

impl Pipe {
    async fn open(capacity: usize, request: &Request) -> Self {
        let (client, server) = duplex(capacity);
        let (tell, accounts) = mpsc::unbounded_channel();
        let drain = Drain::new();
        let endpoint = Endpoint::new().drain(drain.clone()).on_end(move |ended| {
            tell.send(Account::of(ended)).unwrap();
        });
        let serving = tokio::spawn(connection(server, Arc::new(endpoint)));
        let mut pipe = Pipe { client, accounts, serving, drain };
        pipe.client.write_all(&request.bytes()).await.unwrap();
        let mut head = Vec::new();
        while Head::parse(&head).is_none() {
            head.push(pipe.client.read_u8().await.unwrap());
        }
        assert_eq!(Head::parse(&head).unwrap().0.status(), 101);
        pipe
    }

    async fn frame(&mut self) -> Frame {
        let mut bytes = Vec::new();
        loop {
            if let Some((frame, len)) = Frame::parse(&bytes) {
                assert_eq!(len, bytes.len(), "no byte was read ahead");
                return frame;
            }
            bytes.push(self.client.read_u8().await.unwrap());
        }
    }

    /// Waits for the end of everything; gives the only account.
    async fn ended(mut self) -> Ending {
        let account = tokio::time::timeout(DEADLINE, self.accounts.recv()).await;
        let account = account.expect("in time").expect("an account");
        assert_eq!(account.peer, None);
        self.serving.await.unwrap();
        self.drain.start();
        self.drain.finished().await;
        assert!(self.accounts.try_recv().is_err());
        account.ending
    }
}

fn transport(end: End, first: Side) -> Transport {
    let (kind, active_closer) = (adieu::TransportKind::Stream, Some(first));
    Transport { kind, end, active_closer, close_notify: None }
}

#[tokio::test]
async fn any_stream_will_do() {
    // So small that every write waits.
    let mut pipe = Pipe::open(64, &Request::rfc6455()).await;
    let big = Frame::binary(vec![0xA5; 50_000]);
    let (mut read, mut write) = tokio::io::split(pipe.client);
    let bytes = big.masked();
    let writing = tokio::spawn(async move {
        write.write_all(&bytes).await.unwrap();
        write
    });
    let mut back = vec![0; big.unmasked().len()];
    read.read_exact(&mut back).await.unwrap();
    assert_eq!(back, big.unmasked());
    pipe.client = read.unsplit(writing.await.unwrap());
    pipe.client.write_all(&Frame::close(4001, "bye").masked()).await.unwrap();
    assert_eq!(pipe.frame().await, Frame::close(4001, ""));
    assert_eq!(pipe.client.read(&mut [0; 8]).await.unwrap(), 0, "the server ends first");
    pipe.client.shutdown().await.unwrap();
    let ending = pipe.ended().await;
    assert_eq!(ending.transport, transport(End::Finished, Side::Local));
    assert_eq!((&ending.cause, ending.is_clean()), (&Cause::Peer, true));
}

#[tokio::test]
async fn a_stream_that_ends_is_an_end_without_goodbye() {
    let mut pipe = Pipe::open(1024, &Request::rfc6455()).await;
    pipe.client.write_all(&Frame::text("cut").masked()[..5]).await.unwrap();
    pipe.client.shutdown().await.unwrap();
    let ending = pipe.ended().await;
    assert_eq!((&ending.cause, &ending.closing_handshake), (&Cause::Eof, &ClosingHandshake::None));
    assert_eq!(
        (ending.transport, ending.truncation),
        (transport(End::Finished, Side::Peer), Truncation::MidFrame)
    );
}

#[tokio::test]
async fn our_goodbye_comes_first() {
    let mut pipe = Pipe::open(1024, &Request::rfc6455().target("/two")).await;
    for text in ["one", "two"] {
        pipe.client.write_all(&Frame::text(text).masked()).await.unwrap();
        assert_eq!(pipe.frame().await, Frame::text(text));
    }
    assert_eq!(pipe.frame().await, Frame::close(1000, ""));
    pipe.client.write_all(&Frame::close(1000, "").masked()).await.unwrap();
    assert_eq!(pipe.client.read(&mut [0; 8]).await.unwrap(), 0);
    pipe.client.shutdown().await.unwrap();
    let ending = pipe.ended().await;
    let normal = || Close::from(CloseCode::NORMAL);
    let goodbye = ClosingHandshake::SentThenReceived { ours: normal(), theirs: normal() };
    assert_eq!((&ending.cause, &ending.closing_handshake), (&Cause::HandlerReturned, &goodbye));
    assert!(ending.is_clean(), "{ending}");
}

// TLS that our own stream carries.

#[cfg(feature = "tls")]
#[test]
fn over_tls_the_close_notify_is_told() {
    let authority = tls_peer::authority();
    let config = authority.server_config();
    let served = Served::start(Endpoint::new(), |endpoint, listener, drain| async move {
        let endpoint = Arc::new(endpoint);
        loop {
            let tcp = adieu::accept(&listener, &drain).await;
            let tls = adieu::tls::TlsStream::accept(tcp, config.clone()).unwrap();
            tokio::spawn(connection(tls, endpoint.clone()));
        }
    });
    let normal = || Close::from(CloseCode::NORMAL);
    for close_notify in [true, false] {
        let hello = Frame::text("hello").masked();
        let bytes = [Request::rfc6455().bytes(), hello].concat();
        let (mut raw, head) = tls_peer::Raw::connect(served.addr, &authority.roots, &bytes);
        assert_eq!(head.status(), 101);
        assert_eq!(raw.frame(), Frame::text("hello"));
        raw.send(&Frame::close(1000, ""));
        assert_eq!(raw.read_to_close_notify(), [Frame::close(1000, "")]);
        if close_notify {
            raw.close_notify();
        }
        raw.fin();
        let account = served.account();
        let end = Transport {
            kind: adieu::TransportKind::Tls,
            close_notify: Some(close_notify),
            ..transport(End::Finished, Side::Local)
        };
        let goodbye = ClosingHandshake::ReceivedThenSent { theirs: normal(), ours: normal() };
        account.is(Cause::Peer, goodbye, end, Truncation::BetweenMessages);
        assert_eq!(account.peer, Some(raw.stream.sock.local_addr().unwrap()));
    }
    authority.open(served.addr).reset();
    let (kind, close_notify) = (adieu::TransportKind::Tls, Some(false));
    let end = Transport { kind, close_notify, ..transport(End::Reset, Side::Peer) };
    served.account().is(Cause::Reset, ClosingHandshake::None, end, Truncation::BetweenMessages);
    served.stop();
}
