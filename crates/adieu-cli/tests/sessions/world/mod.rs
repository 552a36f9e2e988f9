//! A gateway, a backend and pages.

mod backend;
mod client;
mod engine;
mod gateway;
mod honest;
mod page;
mod process;

pub(crate) use backend::{Backend, Mode, Seen, other_backend, type_of};
pub(crate) use client::Member;
pub(crate) use gateway::{API_KEY, Gateway, memory_of, request, try_request};
pub(crate) use honest::{HonestClient, Waits};
pub(crate) use page::Page;
pub(crate) use process::{Process, adieu, refused, refused_by};
pub(crate) use testkit::{figure, seed};

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Whether this long form is asked for, which has a command of its own in `cargo xtask`.
pub(crate) fn long_form(form: &str) -> bool {
    std::env::var("ADIEU_LONG_FORM").is_ok_and(|asked| asked == form)
}

/// Keeps what this long form has measured; the short one only says it.
pub(crate) fn report(form: &str, what: &str, measured: &str) {
    if long_form(form) { figure(what, measured) } else { println!("{what}: {measured}") }
}

/// Opens a connection for each of so many people.
pub(crate) async fn people(gateway: &Gateway, count: usize) -> Vec<Page> {
    let mut pages = Vec::new();
    for n in 0..count {
        let mut page = Page::of(&format!("person-{n}"));
        page.connect(&gateway.url()).await;
        pages.push(page);
    }
    pages
}

/// Waits longer for the backend than a test lasts.
pub(crate) const PATIENT: [&str; 2] = ["--backend-timeout", "1m"];

/// A client that the backend is asked about. It holds up the stop of a gateway that is `PATIENT`
/// until the backend is released, however slow the machine is. (A late Close is not waited for.)
pub(crate) async fn holds_a_stop_up(addr: SocketAddr, backend: &Backend) -> testkit::Peer {
    let before = backend.being_asked();
    backend.answers(Mode::UntilReleased);
    let mut peer = testkit::Peer::connect(addr);
    peer.write(testkit::Request::rfc6455().target("/ws").bytes());
    backend.until("it is asked", |backend| backend.being_asked() > before).await;
    peer
}

/// A directory that lives as long as the test.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("adieu-sessions-{}-{n}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        Scratch(dir)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
