//! A client that asks, hears the answer and closes: tokio-tungstenite.

use futures_util::{SinkExt, StreamExt};
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, frame::coding::CloseCode};
use tokio_tungstenite::tungstenite::{Error, Message};

#[tokio::main]
async fn main() -> Result<(), Error> {
    let url = std::env::args().nth(1).unwrap_or_else(|| "ws://127.0.0.1:9001/ws".to_owned());
    let (mut socket, _) = connect_async(&url).await?;
    socket.send(Message::text("how are you?")).await?;
    while let Some(message) = socket.next().await {
        if let Message::Text(answer) = message? {
            println!("heard {:?}", answer.as_str());
            break;
        }
    }
    let frame = CloseFrame { code: CloseCode::Normal, reason: "".into() };
    socket.close(Some(frame)).await?;
    let mut theirs = None;
    while let Some(message) = socket.next().await {
        if let Message::Close(frame) = message? {
            theirs = frame;
        }
    }
    println!("the server's Close: {theirs:?}");
    Ok(())
}
