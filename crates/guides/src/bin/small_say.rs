//! A client that says one thing and closes.

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::args().nth(1).unwrap_or_else(|| "ws://127.0.0.1:9001/".to_owned());
    let socket = adieu::connect(&url).await?;
    socket.send("hello").await?;
    println!("{}", socket.close(1000).await);
    Ok(())
}
