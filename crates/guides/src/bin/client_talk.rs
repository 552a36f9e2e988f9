//! A client that asks, hears the answer and closes: Adieu.

use std::error::Error;

use adieu::CloseCode;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::args().nth(1).unwrap_or_else(|| "ws://127.0.0.1:9001/ws".to_owned());
    let mut socket = adieu::connect(&url).await?;
    socket.send("how are you?").await?;
    if let Some(answer) = socket.recv_text().await? {
        println!("heard {answer:?}");
    }
    let ending = socket.close(CloseCode::NORMAL).await;
    println!("{ending}");
    Ok(())
}
