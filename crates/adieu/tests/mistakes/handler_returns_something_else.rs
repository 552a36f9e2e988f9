async fn handler(socket: adieu::Socket) -> String {
    socket.peer().to_string()
}

fn main() {
    let _ = adieu::Server::new(handler);
}
