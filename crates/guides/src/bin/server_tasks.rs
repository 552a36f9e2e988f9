//! Two tasks, a reader and a writer: Adieu's own server.

use adieu::{Server, Socket};
use tokio::sync::watch;

async fn counter(total: watch::Sender<i64>, socket: Socket) {
    let (sender, mut receiver) = socket.split();
    let mut changes = total.subscribe();
    changes.mark_changed();
    let writer = tokio::spawn(async move {
        while changes.changed().await.is_ok() {
            let now = changes.borrow_and_update().to_string();
            if sender.send(now).await.is_err() {
                break;
            }
        }
    });
    while let Some(message) = receiver.recv().await {
        if let Some(more) = message.as_text().and_then(|text| text.parse::<i64>().ok()) {
            total.send_modify(|total| *total += more);
        }
    }
    writer.abort();
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let total = watch::Sender::new(0);
    let addr = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9001".to_owned());
    let listener = adieu::listen(&addr).await?;
    println!("listening on {}", listener.local_addr()?);
    Server::new(move |socket| counter(total.clone(), socket)).serve_on(listener).await?;
    Ok(())
}
