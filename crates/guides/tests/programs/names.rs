//! What the tables of the guides name on Adieu's side exists, and fits together as they say. It
//! compiles; nothing here is called.
#![allow(dead_code)]

use std::error::Error;
use std::sync::Arc;

use adieu::axum::WebSocketUpgrade;
use adieu::{
    Accept, Client, Close, CloseCode, Config, ConnectError, Detached, Drain, Endpoint, Group,
    Handshake, Message, Receiver, Sender, Server, SlowConsumer, Socket,
};
use axum::Extension;
use axum::response::Response;
use tokio::net::TcpStream;

async fn handler(mut socket: Socket) -> Result<(), Box<dyn Error + Send + Sync>> {
    while let Some(message) = socket.recv().await {
        match message {
            Message::Text(text) => socket.send(Message::text(text)).await?,
            Message::Binary(bytes) => socket.send(Message::binary(bytes)).await?,
        }
    }
    let _ = (socket.recv_text().await?, socket.recv_json::<u8>().await?);
    socket.send("hi").await?;
    println!("{:?} {:?}", socket.ping().await?, socket.subprotocol());
    println!("{}", socket.ended().await);
    Err(CloseCode::new(4000).into())
}

async fn ends(socket: Socket, other: Socket) -> Result<Close, adieu::UsageError> {
    let (sender, receiver): (Sender, Receiver) = socket.split();
    let (_, _) = (sender.clone(), other.sender());
    println!("{} {}", sender.ended().await, receiver.ended().await);
    let _: Result<Socket, _> = receiver.reunite(sender);
    println!("{}", other.close(4001).await);
    Close::new(4001, "why")
}

async fn in_axum(upgrade: WebSocketUpgrade) -> Response {
    let upgrade = upgrade.subprotocols(["chat"]);
    let _: Option<&str> = upgrade.selected_subprotocol();
    upgrade.run(async |socket: Socket| {
        tokio::spawn(async move { socket.start_close(1000) });
        Detached
    })
}

fn settings() -> (Server<impl adieu::Handler>, Extension<Arc<Endpoint>>) {
    let config = Config { max_message: 64 << 20, ping_interval: None, ..Config::default() };
    let endpoint = Endpoint::new()
        .config(config.clone())
        .origin(|origin| origin == Some("https://example.com"))
        .on_handshake(decides)
        .on_end(|ended| println!("{}", ended.ending))
        .drain(Drain::new().deadline(std::time::Duration::from_secs(60)));
    let server = Server::new(handler)
        .config(config)
        .origin(|origin| origin.is_some())
        .subprotocols(["chat"])
        .on_request(|request| request.cookie("session").map(drop).ok_or(401))
        .on_handshake(decides)
        .on_end(|ended| println!("{}", ended.ending));
    (server, Extension(Arc::new(endpoint)))
}

async fn decides(handshake: Handshake) -> Result<Accept, adieu::http::StatusCode> {
    match handshake.cookie("session") {
        Some(_) => Ok(Accept::new().subprotocol("chat")),
        None => Err(adieu::http::StatusCode::UNAUTHORIZED),
    }
}

async fn served(server: Server<impl adieu::Handler>, tls_stream: TcpStream) {
    server.connection(tls_stream).await;
    let tls = adieu::tls::server_config("cert.pem", "key.pem").expect("files");
    let listener = adieu::listen("127.0.0.1:0").await.expect("a port");
    let _ = server.tls(tls).serve_on(listener).await;
    let _ = adieu::serve("127.0.0.1:0", handler).await;
}

async fn connects(stream: TcpStream, url: &str) -> Result<(), ConnectError> {
    let _: Socket = adieu::connect(url).await?;
    let tls = adieu::tls::client_config()?;
    let client = Client::new().header("X-Name", "value").subprotocol("chat").tls(tls);
    if let Err(error) = client.connect(url).await
        && let Some(refusal) = error.refusal()
    {
        println!("{} {:?} {}", refusal.status, refusal.headers, refusal.body_text());
    }
    client.connect_with(stream, url).await.map(drop)
}

async fn groups(socket: Socket, close: Close) {
    for slow in [SlowConsumer::Skip, SlowConsumer::Wait, SlowConsumer::End(close)] {
        let member = Group::new(slow).join(&socket);
        member.broadcast_to_others("hi").await;
        member.group().broadcast("hi").await;
    }
}
