async fn handler(socket: adieu::Socket) {
    let _ = socket.send(42).await;
}

fn main() {
    let _ = adieu::Server::new(handler);
}
