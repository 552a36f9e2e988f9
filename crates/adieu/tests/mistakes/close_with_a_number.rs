//! No mistake: it compiles.

async fn handler(socket: adieu::Socket) {
    socket.close(4001).await;
}

fn main() {
    let _ = adieu::Server::new(handler);
}
