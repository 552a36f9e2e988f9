async fn handler(socket: &mut adieu::Socket) {
    socket.recv().await;
}

fn main() {
    let _ = adieu::Server::new(handler);
}
