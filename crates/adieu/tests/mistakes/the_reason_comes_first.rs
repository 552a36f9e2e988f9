fn main() {
    let _ = adieu::Close::new("bye", 1000);
}
