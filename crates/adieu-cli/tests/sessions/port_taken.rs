//! A gateway that cannot listen.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use crate::world::{API_KEY, Backend, Gateway, Page, Scratch};

/// All files of a directory.
fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(dir).unwrap().map(Result::unwrap);
    let named = |entry: std::fs::DirEntry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        (name, std::fs::read(entry.path()).unwrap())
    };
    entries.map(named).collect()
}

#[tokio::test]
async fn where_the_port_is_taken_no_session_is_touched() {
    let (backend, data) = (Backend::start().await, Scratch::new());
    let gateway = Gateway::start(Some(data.path()), &backend, &[]);
    let mut page = Page::default();
    page.connect(&gateway.url()).await;
    gateway.kill_9();
    let before = files(data.path());
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = other.local_addr().unwrap().to_string();
    let mut adieu = Command::new(env!("CARGO_BIN_EXE_adieu"));
    adieu.args(["serve", "--listen", &taken, "--backend", &backend.url(), "--data"]);
    adieu.arg(data.path()).env("ADIEU_BACKEND_SECRET", Backend::SECRET);
    let output = adieu.env("ADIEU_API_KEY", API_KEY).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains(&taken), "{said}");
    assert!(said.contains("--listen"), "it says what to do: {said}");
    // Each restart renews the time that those who were here have to come back: one that serves
    // nobody would put off their ends.
    assert_eq!(files(data.path()).keys().collect::<Vec<_>>(), before.keys().collect::<Vec<_>>());
    assert!(files(data.path()) == before, "the store is as it was");
}
