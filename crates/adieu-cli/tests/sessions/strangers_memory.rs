//! What strangers send before they have a session is not held for them.

use std::time::Duration;

use crate::world::{Backend, Gateway, Mode, Page, figure};

const MIB: u64 = 1024 * 1024;

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_before_the_backend_has_said_yes_stays_in_the_kernel() {
    let mut backend = Backend::start().await;
    let gateway = Gateway::start(None, &backend, &["--backend-timeout", "5m"]);
    let mut honest = Page::default();
    honest.connect(&gateway.url()).await;
    let before = gateway.memory();
    backend.answers(Mode::Slow(Duration::from_secs(300)));
    let addr = gateway.addr;
    let uploaders = tokio::task::spawn_blocking(move || {
        let request = testkit::Request::rfc6455().target("/ws");
        let request = request.field("Sec-WebSocket-Protocol", "adieu.v1");
        // A header of its own announces it; what follows is all zeros, masked by zeros.
        let mut frame = vec![0x82, 0xFF];
        frame.extend((6 * MIB).to_be_bytes());
        frame.resize(14 + 6 * MIB as usize, 0);
        let upload = |_| {
            let mut peer = testkit::Peer::open_with(addr, &request);
            let left = peer.write_until_full(&frame);
            (peer, left)
        };
        (0..100).map(upload).collect::<Vec<_>>()
    });
    let uploaders = uploaders.await.unwrap();
    let held = gateway.memory().saturating_sub(before);
    // A connection and its request, and a question, are some 10 KiB.
    assert!(held < 16 * MIB, "{held} bytes for 100 strangers");
    honest.say("I am served meanwhile").await;
    honest.all_acknowledged().await;
    drop(uploaders);
    backend.stop().await;
    while endings(&gateway).await < 100.0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let after = gateway.memory().saturating_sub(before);
    figure(
        "100 uploaders before acceptance",
        &format!("{held} bytes more, {after} when they went"),
    );
}

/// How many WebSockets are over, however they ended.
async fn endings(gateway: &Gateway) -> f64 {
    let (_, text) = gateway.request("GET", "/metrics", "").await;
    let counts = text.lines().filter(|line| line.starts_with("adieu_connection_endings_total"));
    counts.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}
