//! The client that Autobahn|Testsuite's fuzzing server examines; `cargo xtask autobahn` runs it.
//!
//! `cargo run --release -p adieu --example autobahn_client -- ws://127.0.0.1:9002`
//! With `--features deflate` and `--compress` messages are compressed.

use adieu::{Client, CloseCode, Config, ConnectError, Message};

/// Small messages too, and bytes, so that the test suite sees all of it.
#[cfg(feature = "deflate")]
fn compress(config: &mut Config) {
    let deflate = adieu::Deflate {
        binary: true,
        min_with_history: 1,
        min_without_history: 1,
        ..adieu::Deflate::default()
    };
    config.deflate = Some(deflate);
}

#[cfg(not(feature = "deflate"))]
fn compress(_: &mut Config) {
    eprintln!("--compress needs the feature deflate: build with --features deflate");
    std::process::exit(2);
}

#[tokio::main]
async fn main() -> Result<(), ConnectError> {
    let mut words: Vec<String> = std::env::args().skip(1).collect();
    let before = words.len();
    words.retain(|word| word != "--compress");
    let compresses = words.len() < before;
    let base = words.into_iter().next().unwrap_or_else(|| "ws://127.0.0.1:9002".to_owned());
    let mut config = Config { max_message: 64 << 20, ..Config::default() };
    if compresses {
        compress(&mut config);
    }
    let client = Client::new().config(config);
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
