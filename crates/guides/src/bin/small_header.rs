//! A client that shows who it is, and what the server says if it refuses.

use adieu::Client;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::args().nth(1).unwrap_or_else(|| "ws://127.0.0.1:9001/".to_owned());
    let client = Client::new().header("Authorization", "Bearer 3f9a");
    match client.connect(&url).await {
        Ok(mut socket) => println!("{:?}", socket.recv().await),
        Err(error) => match error.refusal() {
            Some(refusal) => println!("{refusal}: {}", refusal.body_text()),
            None => return Err(error.into()),
        },
    }
    Ok(())
}
