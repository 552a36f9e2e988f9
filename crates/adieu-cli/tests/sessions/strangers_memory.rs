//! What strangers send before they have a session is not held for them.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::http::StatusCode;
use axum::routing::post;
use tokio::sync::watch;

use crate::world::{Gateway, Page, figure, type_of};

const MIB: u64 = 1024 * 1024;

/// How long anything that is waited for may take.
const PATIENCE: Duration = Duration::from_secs(300);

/// A backend that answers `connect` when it is told to; the first at once. It takes events.
pub(crate) async fn undecided() -> (String, watch::Sender<bool>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let (decide, decided) = watch::channel(true);
    let hook = async move |body: Bytes| {
        let mut decided = decided.clone();
        if type_of(&body) == "connect" {
            let _ = decided.wait_for(|decided| *decided).await;
        }
        StatusCode::NO_CONTENT
    };
    let app = Router::new().route("/", post(hook));
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    (url, decide)
}

/// All of one message of 6 MiB, as far as the kernels take it.
pub(crate) fn upload(addr: SocketAddr) -> testkit::Peer {
    let request = testkit::Request::rfc6455().target("/ws");
    let request = request.field("Sec-WebSocket-Protocol", "adieu.v1");
    let mut peer = testkit::Peer::open_with(addr, &request);
    // Masked by zeros, so that the payload is as it stands.
    let mut frame = vec![0x82, 0xFF];
    frame.extend((6 * MIB).to_be_bytes());
    frame.resize(14 + 6 * MIB as usize, 0);
    peer.write_until_full(&frame);
    peer
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_before_the_backend_has_said_yes_stays_in_the_kernel() {
    let (url, decide) = undecided().await;
    let gateway = Gateway::start_told_at("127.0.0.1:0", &url);
    let mut honest = Page::default();
    honest.connect(&gateway.url()).await;
    let before = gateway.memory();
    decide.send_replace(false);
    let addr = gateway.addr;
    let mut crowd = Vec::new();
    for _ in 0..10 {
        let ten = (0..10).map(|_| tokio::task::spawn_blocking(move || upload(addr)));
        for one in ten.collect::<Vec<_>>() {
            crowd.push(one.await.unwrap());
        }
    }
    let held = gateway.memory().saturating_sub(before);
    // A connection, its request and a question are some 30 KiB.
    assert!(held < 16 * MIB, "{held} bytes for 100 strangers");
    honest.say("I am served meanwhile").await;
    honest.all_acknowledged().await;
    drop(crowd);
    decide.send_replace(true);
    until_ended(&gateway, 100).await;
    let after = gateway.memory().saturating_sub(before);
    figure(
        "100 uploaders before acceptance",
        &format!("{held} bytes more, {after} when they went"),
    );
}

/// Waits until so many WebSockets are over.
pub(crate) async fn until_ended(gateway: &Gateway, count: usize) {
    let started = Instant::now();
    while endings(gateway).await < count as f64 {
        assert!(started.elapsed() < PATIENCE, "{count} connections are never over");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// How many WebSockets are over, however they ended.
async fn endings(gateway: &Gateway) -> f64 {
    let (_, text) = gateway.request("GET", "/metrics", "").await;
    let counts = text.lines().filter(|line| line.starts_with("adieu_connection_endings_total"));
    counts.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}
