//! A client that prints what it hears, until the end, and how that was.

#[tokio::main]
async fn main() -> Result<(), adieu::ConnectError> {
    let url = std::env::args().nth(1).unwrap_or_else(|| "ws://127.0.0.1:9001/".to_owned());
    let mut socket = adieu::connect(&url).await?;
    while let Some(message) = socket.recv().await {
        println!("{message:?}");
    }
    println!("{}", socket.ended().await);
    Ok(())
}
