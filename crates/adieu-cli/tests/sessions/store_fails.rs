//! A store that can commit no more: its disk is full.

use std::path::Path;
use std::process::Command;

use crate::world::{API_KEY, Backend, Gateway, Page, Scratch, try_request};

/// A file system of its own; none if this process may not mount one.
struct Small(Scratch);

impl Small {
    fn mount(kib: u32) -> Option<Self> {
        let scratch = Scratch::new();
        std::fs::create_dir_all(scratch.path()).unwrap();
        let small = Small(scratch);
        small.sized(kib, "rw").then_some(small)
    }

    fn sized(&self, kib: u32, option: &str) -> bool {
        let options = format!("{option},size={kib}k");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(self.0.path());
        mount.stderr(std::process::Stdio::null()).status().is_ok_and(|status| status.success())
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.path()).status();
    }
}

#[tokio::test]
async fn each_client_gets_a_close_and_the_next_start_goes_on_with_all_that_was_acknowledged() {
    let Some(small) = Small::mount(4096) else {
        return println!("skipped: mounting a small tmpfs is not permitted here");
    };
    let backend = Backend::start().await;
    let gateway = Gateway::start(Some(small.path()), &backend, &[]);
    let mut pages: Vec<_> = (0..20).map(|_| Page::default()).collect();
    for page in &mut pages {
        page.connect(&gateway.url()).await;
    }
    // What it sends to the first is kept until that acknowledges it, which it does not.
    let session = pages[0].session.clone();
    let message = "x".repeat(100_000);
    let path = format!("/api/sessions/{session}/messages");
    let fields = format!("Authorization: Bearer {API_KEY}\r\nContent-Type: text/plain\r\n");
    let send = || try_request(gateway.addr, "POST", &path, &fields, &message);
    while send().await.is_some_and(|(status, _)| status == 202) {}
    let mut received = Vec::new();
    for page in &mut pages {
        let (code, _) = page.closed_with().await;
        assert_eq!(code, 1001, "it may come back");
        received.push(page.received.len());
    }
    let status = gateway.ended().await;
    assert!(!status.success(), "{status}");
    assert!(small.sized(65_536, "remount"));
    let gateway = Gateway::start(Some(small.path()), &backend, &[]);
    for page in &mut pages {
        assert!(page.connect(&gateway.url()).await.resumed);
    }
    assert!(pages[0].received.len() >= received[0] && received[0] > 5, "{received:?}");
}
