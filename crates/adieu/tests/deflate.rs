//! Compression over real sockets: our client and our server, alone, over TLS, and inside hyper and
//! axum.
#![cfg(feature = "deflate")]

#[cfg(feature = "tls")]
mod tls_peer;

use std::io::{Read, Write};
use std::sync::{Arc, Mutex};

use adieu::{
    Client, CloseCode, Closed, Config, Deflate, Ending, Message, Server, Socket, WindowBits,
};

use tokio::task::JoinHandle;

fn config() -> Config {
    let deflate = Deflate { client_window_bits: WindowBits::new(12), ..Deflate::default() };
    Config { deflate: Some(deflate), ..Config::default() }
}

/// Text that shrinks, and no two of it alike.
fn text(number: usize, len: usize) -> String {
    let mut text = String::new();
    while text.len() < len {
        text += &format!("{{\"number\":{},\"of\":{number}}},", text.len() * number);
    }
    text.truncate(len);
    text
}

async fn echo(mut socket: Socket) -> Result<(), Closed> {
    while let Some(message) = socket.recv().await {
        socket.send(message).await?;
    }
    Ok(())
}

#[derive(Default)]
struct Served {
    url: String,
    endings: Arc<Mutex<Vec<Ending>>>,
}

/// A server that echoes until this is done.
async fn served(until: impl Future<Output = ()> + Send + 'static) -> (Served, JoinHandle<()>) {
    let listener = adieu::listen("127.0.0.1:0").await.expect("a port");
    let url = format!("ws://{}/", listener.local_addr().expect("an address"));
    let served = Served { url, ..Served::default() };
    let told = served.endings.clone();
    let server = Server::new(echo).config(config()).drain_when(until);
    let server = server.on_end(move |ended| told.lock().unwrap().push(ended.ending.clone()));
    let running = tokio::spawn(async move {
        server.serve_on(listener).await.expect("it serves");
    });
    (served, running)
}

async fn talk(url: &str) -> Ending {
    talk_as(Client::new(), url).await
}

async fn talk_as(client: Client, url: &str) -> Ending {
    let mut socket = client.config(config()).connect(url).await.expect("it is open");
    let agreed = socket.negotiated().and_then(|negotiated| negotiated.deflate);
    let agreed = agreed.expect("compression").to_string();
    assert_eq!(agreed, "permessage-deflate; client_max_window_bits=12");
    let sender = socket.sender();
    let lengths = [10, 600, 70, 5000, 3_000_000, 9, 200_000, 65_536, 0, 1_000_000];
    // At once: large messages wait for each other, and small ones behind them.
    let sends = tokio::spawn(async move {
        for (number, len) in lengths.into_iter().enumerate() {
            sender.send(text(number, len)).await?;
            sender.send_uncompressed(text(number, len)).await?;
        }
        Ok::<(), Closed>(())
    });
    for (number, len) in lengths.into_iter().enumerate() {
        for _ in 0..2 {
            let message = socket.recv().await.expect("a message");
            assert!(message == Message::from(text(number, len)), "{number}: {}", message.len());
        }
    }
    sends.await.expect("no panic").expect("it is open");
    socket.close(CloseCode::NORMAL).await
}

/// A frame of a client, with a mask of zeros.
fn compressed_frame(payload: &[u8]) -> Vec<u8> {
    let len = u8::try_from(payload.len()).expect("a short one");
    assert!(len < 126);
    [&[0xC1, 0x80 | len, 0, 0, 0, 0], payload].concat()
}

/// 32 KiB of one letter, as one block of fixed codes.
fn many_letters() -> Vec<u8> {
    let mut bits = vec![false, true, false];
    let mut code =
        |code: u32, len: u32| bits.extend((0..len).rev().map(|bit| code >> bit & 1 == 1));
    code(0x30 + u32::from(b'a'), 8);
    // A length of 258 is the symbol 285, a distance of 1 the symbol 0.
    (0..RUNS).for_each(|_| code(0b1100_0101 << 5, 13));
    code(0, 7);
    // The empty block whose four bytes are taken off.
    code(0, 3);
    let byte = |bits: &[bool]| bits.iter().rev().fold(0, |byte, bit| byte << 1 | u8::from(*bit));
    bits.chunks(8).map(byte).collect()
}

const RUNS: usize = 60;

/// A few bytes on the wire are many messages: what the application does not take is not inflated.
#[tokio::test]
async fn what_the_application_does_not_take_is_not_inflated() {
    let listener = adieu::listen("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let (came, has_come) = tokio::sync::watch::channel(false);
    let (told, mut ended) = tokio::sync::mpsc::unbounded_channel();
    let server = Server::new(move |socket: Socket| {
        let mut has_come = has_come.clone();
        async move {
            has_come.wait_for(|it| *it).await.expect("it is told");
            // The driver has more turns than it would need for all of it.
            for _ in 0..20_000 {
                tokio::task::yield_now().await;
            }
            drop(socket);
        }
    });
    let server = server.config(config());
    let server = server.on_end(move |end| told.send(end.ending.compressed).expect("it is heard"));
    let serving = tokio::spawn(server.serve_on(listener));
    let peer = tokio::task::spawn_blocking(move || {
        let mut peer = std::net::TcpStream::connect(address).expect("it is there");
        let request = "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\n\
                       Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                       Sec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n";
        peer.write_all(request.as_bytes()).expect("it is taken");
        let (mut head, mut byte) = (Vec::new(), [0]);
        while !head.ends_with(b"\r\n\r\n") {
            peer.read_exact(&mut byte).expect("an answer");
            head.push(byte[0]);
        }
        peer.write_all(&compressed_frame(&many_letters()).repeat(550)).expect("it is taken");
        came.send(true).expect("it is heard");
        // Until the server ends.
        let _ = std::io::copy(&mut peer, &mut std::io::sink());
    });
    let compressed = ended.recv().await.flatten().expect("it was agreed on");
    peer.await.expect("no panic");
    serving.abort();
    assert!(compressed.received > 500_000, "{compressed}");
    assert!(compressed.received < 2_000_000, "{compressed}");
}

#[tokio::test]
async fn messages_of_all_sizes_go_both_ways() {
    let (stop, stopped) = tokio::sync::oneshot::channel();
    let (served, running) = served(async { stopped.await.expect("it is told") }).await;
    let ending = talk(&served.url).await;
    assert!(ending.is_clean(), "{ending}");
    let compressed = ending.compressed.expect("it was agreed on");
    assert!(compressed.sent_as < compressed.sent / 2, "{compressed}");
    assert!(compressed.received_as < compressed.received / 2, "{compressed}");
    assert!(compressed.received > 4_000_000, "{compressed}");
    stop.send(()).expect("it runs");
    running.await.expect("no panic");
    let theirs = served.endings.lock().unwrap()[0].compressed.expect("it was agreed on");
    assert_eq!((theirs.sent, theirs.sent_as), (compressed.received, compressed.received_as));
}

#[cfg(feature = "axum")]
#[tokio::test]
async fn inside_axum_as_well() {
    use adieu::axum::WebSocketUpgrade;
    use axum::{Extension, Router, routing::any};

    let endpoint = Arc::new(adieu::Endpoint::new().config(config()));
    let upgrade = any(|upgrade: WebSocketUpgrade| async { upgrade.run(echo) });
    let app = Router::new().route("/", upgrade).layer(Extension(endpoint));
    let listener = adieu::listen("127.0.0.1:0").await.expect("a port");
    let url = format!("ws://{}/", listener.local_addr().expect("an address"));
    tokio::spawn(async move { axum::serve(listener, app).await });
    let ending = talk(&url).await;
    assert!(ending.is_clean(), "{ending}");
}

#[cfg(feature = "tls")]
#[tokio::test]
async fn over_tls_as_well() {
    let authority = tls_peer::authority();
    let listener = adieu::listen("127.0.0.1:0").await.expect("a port");
    let url = format!("wss://{}/", listener.local_addr().expect("an address"));
    let server = Server::new(echo).config(config()).tls(authority.server_config());
    tokio::spawn(server.serve_on(listener));
    let ending = talk_as(authority.client(), &url).await;
    assert!(ending.is_clean(), "{ending}");
}

#[cfg(feature = "hyper")]
#[tokio::test]
async fn inside_hyper_as_well() {
    use adieu::hyper::Upgrade;
    use hyper::server::conn::http1;
    use hyper::service::service_fn;
    use hyper_util::rt::TokioIo;

    let endpoint = Arc::new(adieu::Endpoint::new().config(config()));
    let listener = adieu::listen("127.0.0.1:0").await.expect("a port");
    let url = format!("ws://{}/", listener.local_addr().expect("an address"));
    tokio::spawn(async move {
        let (tcp, _) = listener.accept().await.expect("a client");
        let service = service_fn(move |request| {
            let endpoint = endpoint.clone();
            async {
                let answer = Upgrade::new(request, endpoint).await;
                Ok::<_, std::convert::Infallible>(answer.map_or_else(|no| no, |up| up.run(echo)))
            }
        });
        let http = http1::Builder::new().serve_connection(TokioIo::new(tcp), service);
        http.with_upgrades().await.expect("it is served");
    });
    let ending = talk(&url).await;
    assert!(ending.is_clean(), "{ending}");
}
