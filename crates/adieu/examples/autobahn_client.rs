//! The client that Autobahn|Testsuite's fuzzing server examines; `cargo xtask autobahn` runs it.
//!
//! `cargo run --release -p adieu --example autobahn_client -- ws://127.0.0.1:9002`

use adieu::{Client, CloseCode, Config, ConnectError, Message};

#[tokio::main]
async fn main() -> Result<(), ConnectError> {
    let base = std::env::args().nth(1).unwrap_or_else(|| "ws://127.0.0.1:9002".to_owned());
    let client = Client::new().config(Config { max_message: 64 << 20, ..Config::default() });
    let mut count = client.connect(&format!("{base}/getCaseCount")).await?;
    let answer = count.recv().await.and_then(|m| m.as_text().and_then(|t| t.parse::<u32>().ok()));
    count.close(CloseCode::NORMAL).await;
    let cases = answer.unwrap_or_default();
    for case in 1..=cases {
        let mut socket = client.connect(&format!("{base}/runCase?case={case}&agent=adieu")).await?;
        while let Some(message) = socket.recv().await {
            let message: Message = message;
            if socket.send(message).await.is_err() {
                break;
            }
        }
        println!("{case}/{cases}: {}", socket.ended().await);
    }
    let socket = client.connect(&format!("{base}/updateReports?agent=adieu")).await?;
    println!("{}", socket.ended().await);
    Ok(())
}
