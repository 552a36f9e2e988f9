fn main() {
    let name = String::from("x");
    let _ = adieu::Server::new(move |_: adieu::Socket| async move { drop(name) });
}
