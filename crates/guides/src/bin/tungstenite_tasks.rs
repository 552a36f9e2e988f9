//! Two tasks, a reader and a writer: tokio-tungstenite.

use futures_util::{SinkExt, StreamExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_tungstenite::accept_async;
use tokio_tungstenite::tungstenite::{Error, Message};

async fn counter(total: watch::Sender<i64>, tcp: TcpStream) -> Result<(), Error> {
    let (mut sender, mut receiver) = accept_async(tcp).await?.split();
    let mut changes = total.subscribe();
    changes.mark_changed();
    let writer = tokio::spawn(async move {
        while changes.changed().await.is_ok() {
            let now = changes.borrow_and_update().to_string();
            if sender.send(Message::text(now)).await.is_err() {
                break;
            }
        }
    });
    while let Some(Ok(message)) = receiver.next().await {
        let Message::Text(text) = message else { continue };
        if let Ok(more) = text.parse::<i64>() {
            total.send_modify(|total| *total += more);
        }
    }
    writer.abort();
    Ok(())
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let total = watch::Sender::new(0);
    let addr = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9001".to_owned());
    let listener = TcpListener::bind(&addr).await?;
    println!("listening on {}", listener.local_addr()?);
    loop {
        let (tcp, _) = listener.accept().await?;
        tokio::spawn(counter(total.clone(), tcp));
    }
}
