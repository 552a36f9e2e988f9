fn run(_: impl adieu::HandlerOnce) {}

fn main() {
    run(|_: adieu::Socket| ());
}
