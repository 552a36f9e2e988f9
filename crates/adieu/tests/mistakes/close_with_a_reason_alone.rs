async fn handler(socket: adieu::Socket) {
    socket.close("bye").await;
}

fn main() {
    let _ = adieu::Server::new(handler);
}
