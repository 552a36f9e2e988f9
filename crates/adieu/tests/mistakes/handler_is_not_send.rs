async fn handler(mut socket: adieu::Socket) {
    let shared = std::rc::Rc::new(5);
    socket.recv().await;
    drop(shared);
}

fn main() {
    let _ = adieu::Server::new(handler);
}
