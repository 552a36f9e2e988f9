fn handler(_: adieu::Socket) {}

fn main() {
    let _ = adieu::Server::new(handler);
}
