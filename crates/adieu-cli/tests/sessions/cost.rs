//! What an idle session of adieu.v1 costs the gateway. The bench has those of plain clients.

use tokio::task::JoinSet;

use crate::world::{Backend, Gateway, Page, figure};

/// As many as one process of tests can open, in the long form; otherwise enough to see a leak.
fn sessions() -> usize {
    if std::env::var_os("ADIEU_LONG").is_some() { 9_000 } else { 500 }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_session_takes_a_few_kilobytes() {
    let backend = Backend::start().await;
    let gateway = Gateway::start(None, &backend, &[]);
    let before = gateway.memory();
    let mut pages = JoinSet::new();
    let mut open = Vec::new();
    while open.len() + pages.len() < sessions() {
        for _ in 0..100 {
            let url = gateway.url();
            pages.spawn(async move {
                let mut page = Page::default();
                page.connect(&url).await;
                page
            });
        }
        while let Some(page) = pages.join_next().await {
            open.push(page.unwrap());
        }
    }
    let all = |backend: &Backend| backend.told() >= open.len();
    backend.until("all have started", all).await;
    let each = (gateway.memory() - before) / open.len() as u64;
    figure(
        "memory of an idle session of adieu.v1",
        &format!("{each} B each, {} of them", open.len()),
    );
    // Not a target but an alarm: one buffer held by an idle session would be 16 KiB and more. Of
    // few sessions the process itself is a large part.
    assert!(each < 32 * 1024, "{each} B");
}
