//! Strangers by the thousand: silent ones, those that send before they may, and those that never
//! acknowledge. An honest client is served meanwhile, and the memory that they took is given back.
//! `cargo xtask strangers` has the long form.
#![cfg(target_os = "linux")]

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};
use tokio::task::JoinSet;

use crate::strangers_memory::{undecided, until_ended, upload};
use crate::world::{Backend, Gateway, HonestClient, Page, Waits, long_form, report};

const FORM: &str = "strangers";

const MIB: u64 = 1024 * 1024;

/// More memory than that strangers never take, of each kind. Silent: 4,096 connections may wait
/// (`--max-handshakes`), each with its task and the buffer of a head.
const SILENT: u64 = 128 * MIB;

/// 200 connections with their requests, questions and 4 KiB of what was sent.
const UPLOADERS: u64 = 32 * MIB;

/// What two shards keep for clients (256 MiB each), and as much again for what is on its way.
const NEVER_ACKNOWLEDGE: u64 = 1024 * MIB;

/// What is more when all have gone: a part of what many took, and of few what the allocator keeps
/// of small pieces.
const LEFT: u64 = 96 * MIB;

/// How long anything that is waited for may take.
const PATIENCE: Duration = Duration::from_secs(300);

/// Connects from an address of its own for each 100, and does not wait for that.
fn silent(n: usize, to: SocketAddr) -> Socket {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("as many descriptors");
    socket.set_nonblocking(true).unwrap();
    let [a, b] = (256 + (n / 100) as u16).to_be_bytes();
    let from = SocketAddr::from((Ipv4Addr::new(127, a, b, 1), 0));
    socket.bind(&from.into()).unwrap();
    // In progress.
    let _ = socket.connect(&to.into());
    socket
}

/// Waits until it has no more descriptors than that.
async fn until_gone(gateway: &Gateway, descriptors: usize) {
    let started = Instant::now();
    while gateway.descriptors() > descriptors {
        assert!(started.elapsed() < PATIENCE, "{} descriptors", gateway.descriptors());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// How long the process takes to give memory back: it looks each 10 s, and a look right before they
/// had gone gives nothing back.
const GIVES_BACK: Duration = Duration::from_secs(25);

/// Memory that stays when they have gone. The long form measures what stays for good.
async fn stays(gateway: &Gateway, before: u64) -> u64 {
    let started = Instant::now();
    loop {
        let left = gateway.memory().saturating_sub(before);
        let waited = started.elapsed() > GIVES_BACK;
        if waited || (left < LEFT && !long_form(FORM)) {
            return left;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// What they took is within the limit, and given back.
async fn tell(what: &str, before: u64, limit: u64, waits: &Waits, gateway: &Gateway, more: &str) {
    let most = waits.memory.saturating_sub(before);
    let left = stays(gateway, before).await;
    let mib = |bytes: u64| bytes as f64 / MIB as f64;
    let (most_mib, left_mib, limit_mib) = (mib(most), mib(left), limit / MIB);
    let measured = format!(
        "{most_mib:.1} MiB of memory more at most (limit {limit_mib} MiB), {left_mib:.1} MiB more \
         when they had gone; {more}{waits}"
    );
    report(FORM, what, &measured);
    assert!(most < limit, "{most_mib} MiB");
    // Without optimization the process itself is larger than what is measured.
    assert!(left < LEFT, "{left_mib} MiB stay");
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_sockets() {
    let count = if long_form(FORM) { 15_000 } else { 1_000 };
    let _ = rlimit::increase_nofile_limit(u64::MAX);
    let backend = Backend::start().await;
    let gateway = Gateway::start(None, &backend, &[]);
    let honest = HonestClient::start(&gateway).await;
    let (before, descriptors) = (gateway.memory(), gateway.descriptors());
    let to = gateway.addr;
    let crowd: Vec<_> = (0..count).map(|n| silent(n, to)).collect();
    honest.is_served(if long_form(FORM) { 500 } else { 20 }).await;
    let refused = gateway.metric(r#"adieu_refused_total{by="handshakes"}"#);
    let refused = if long_form(FORM) { refused.await } else { 0.0 };
    drop(crowd);
    // The honest client's own come and go.
    until_gone(&gateway, descriptors + 16).await;
    let waits = honest.stop();
    let more = format!("{refused} made room; ");
    tell(&format!("{count} silent sockets"), before, SILENT, &waits, &gateway, &more).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn uploaders_before_acceptance() {
    let count = if long_form(FORM) { 200 } else { 20 };
    let (url, decide) = undecided().await;
    let gateway = Gateway::start_told_at("127.0.0.1:0", &url);
    let honest = HonestClient::start(&gateway).await;
    let (before, descriptors) = (gateway.memory(), gateway.descriptors());
    decide.send_replace(false);
    let addr = gateway.addr;
    let mut crowd = Vec::new();
    while crowd.len() < count {
        let ten = (0..10).map(|_| tokio::task::spawn_blocking(move || upload(addr)));
        for one in ten.collect::<Vec<_>>() {
            crowd.push(one.await.unwrap());
        }
    }
    honest.is_served(20).await;
    drop(crowd);
    decide.send_replace(true);
    until_ended(&gateway, count).await;
    until_gone(&gateway, descriptors + 64).await;
    let waits = honest.stop();
    let what = format!("{count} that send 6 MiB before they are accepted");
    tell(&what, before, UPLOADERS, &waits, &gateway, "").await;
}

/// Reads whatever comes and says nothing, until the connection is over.
async fn reads_only(mut page: Page) {
    while let Some(socket) = &mut page.socket
        && socket.recv().await.is_some()
    {}
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_that_never_acknowledge() {
    let (count, most) = if long_form(FORM) { (2_000, 100_000) } else { (20, 200) };
    let backend = Backend::start().await;
    let gateway = Gateway::start(None, &backend, &["--wait-lost", "1s", "--wait-left", "0s"]);
    let honest = HonestClient::start(&gateway).await;
    let (before, descriptors) = (gateway.memory(), gateway.descriptors());
    let (mut crowd, mut sessions) = (JoinSet::new(), Vec::new());
    for _ in 0..count {
        let mut page = Page::default();
        page.connect(&gateway.url()).await;
        sessions.push(page.session.clone());
        crowd.spawn(reads_only(page));
    }
    let (text, mut sent, mut refused) = ("x".repeat(64 * 1024), 0, Vec::new());
    // Until the gateway says that it keeps no more, for any of them.
    while refused.len() < 100 && sent < most {
        let session = &sessions[sent % count];
        let path = format!("/api/sessions/{session}/messages");
        let (status, why) = gateway.request("POST", &path, &text).await;
        if !matches!(status, 202 | 404) {
            refused.push(format!("{status} {}", why.trim()));
        }
        sent += 1;
    }
    honest.is_served(20).await;
    assert!(!long_form(FORM) || refused.len() == 100, "{sent} were taken");
    let kept = gateway.metric("adieu_kept_bytes").await / MIB as f64;
    crowd.shutdown().await;
    until_gone(&gateway, descriptors + 64).await;
    gateway.until_metric("adieu_sessions_attached", 1.0).await;
    gateway.until_no_more("adieu_sessions_away", 0.0).await;
    let waits = honest.stop();
    let refusal = refused.first().map_or("none", |refused| refused);
    let more = format!("{sent} messages of 64 KiB, {kept:.0} MiB kept, then: {refusal:?}; ");
    let what = format!("{count} sessions that never acknowledge");
    tell(&what, before, NEVER_ACKNOWLEDGE, &waits, &gateway, &more).await;
}
