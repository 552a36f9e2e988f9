//! A gateway, a backend and pages.

mod backend;
mod client;
mod gateway;
mod page;
mod process;

pub(crate) use backend::{Backend, Mode, Seen, other_backend, type_of};
pub(crate) use client::Member;
pub(crate) use gateway::{API_KEY, Gateway, request, try_request};
pub(crate) use page::Page;
pub(crate) use process::{Process, adieu, refused};
pub(crate) use testkit::{figure, seed};

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

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
