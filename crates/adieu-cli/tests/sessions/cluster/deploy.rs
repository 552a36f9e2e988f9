//! A new version: all nodes are replaced, one after the other, and nobody is told anything.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::kills::asked;
use super::nodes::Nodes;
use crate::world::{Backend, Page, figure, long_form};

/// When each of them was lost and served again.
type Returns = Arc<Mutex<Vec<(Instant, Duration)>>>;

/// Comes back whenever its connection ends, when it was told to.
async fn stays(url: String, number: usize, returns: Returns, here: Arc<Mutex<usize>>) {
    let mut page = Page::of(&format!("user{number}"));
    let mut lost: Option<Instant> = None;
    loop {
        match page.try_connect(&url).await {
            Ok(connected) => {
                if let Some(lost) = lost.take() {
                    assert!(connected.resumed, "{connected:?}");
                    returns.lock().unwrap().push((Instant::now(), lost.elapsed()));
                }
                *here.lock().unwrap() += 1;
                while page.next().await.is_some() {}
                *here.lock().unwrap() -= 1;
                lost = Some(Instant::now());
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
        page.socket = None;
        let after = page.retry_after.take().unwrap_or_default();
        tokio::time::sleep(Duration::from_millis(after)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_nodes_are_replaced_and_nobody_is_told_anything() {
    if !rig::has("nodes that are replaced", &["redis-server", "haproxy"]) {
        return;
    }
    let crowd = if long_form("node-deploy") { 5_000 } else { 150 };
    let people = asked("ADIEU_PEOPLE", crowd);
    let backend = Backend::start().await;
    let mut nodes = Nodes::start(3, &backend, &[]);
    let (returns, here) = (Returns::default(), Arc::new(Mutex::new(0)));
    let mut all = JoinSet::new();
    for number in 0..people {
        all.spawn(stays(nodes.url(), number, returns.clone(), here.clone()));
        if number % 50 == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    all_are_here(&here, people).await;
    let started = |backend: &Backend| backend.of_type("session.started").len() == people;
    backend.until("all have begun", started).await;
    for node in 0..3 {
        nodes.replace(node).await;
        nodes.haproxy.wait_checked(node);
        all_are_here(&here, people).await;
    }
    let told = backend.seen();
    let others: Vec<_> = told
        .iter()
        .map(|seen| &*seen.r#type)
        .filter(|kind| !matches!(*kind, "session.started" | "user.joined"))
        .collect();
    let mut returns = returns.lock().unwrap().clone();
    let longest = returns.iter().map(|(_, took)| *took).max().unwrap_or_default();
    returns.sort_unstable();
    let in_a_second = |from: Instant| {
        let of = |at: &Instant| *at >= from && *at < from + Duration::from_secs(1);
        returns.iter().filter(|(at, _)| of(at)).count()
    };
    let peak = returns.iter().map(|(at, _)| in_a_second(*at)).max().unwrap_or_default();
    let measured = format!(
        "{people} sessions, 3 nodes: {} returns, each served again within {longest:.1?} of the end \
         of its connection, {peak} in the busiest second; {} events beside those of their \
         beginnings",
        returns.len(),
        others.len()
    );
    figure("a deploy of all nodes", &measured);
    assert!(others.is_empty(), "{others:?}");
    assert!(returns.len() >= people, "each was at a node that was replaced: {measured}");
}

async fn all_are_here(here: &Mutex<usize>, people: usize) {
    let until = Instant::now() + Duration::from_secs(120);
    while *here.lock().unwrap() < people {
        assert!(Instant::now() < until, "{} of {people} are here", here.lock().unwrap());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
