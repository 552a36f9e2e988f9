async fn handler(_: adieu::Socket) -> Result<(), Box<dyn std::error::Error>> {
    Ok(())
}

fn main() {
    let _ = adieu::Server::new(handler);
}
