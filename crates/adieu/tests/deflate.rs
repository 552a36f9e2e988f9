//! Compression over real sockets: our client and our server, alone and inside axum.
#![cfg(feature = "deflate")]

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
    let mut socket = Client::new().config(config()).connect(url).await.expect("it is open");
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
