//! A gateway, a backend and pages.

mod backend;
mod gateway;
mod page;

pub(crate) use backend::{Backend, Mode, Seen, other_backend};
pub(crate) use gateway::{API_KEY, Gateway, request, try_request};
pub(crate) use page::Page;

use std::io::Write;
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

/// The seed of this run: of the environment, or another each time.
pub(crate) fn seed() -> u64 {
    let given = std::env::var("ADIEU_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = given.unwrap_or_else(|| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        now.unwrap_or_default().subsec_nanos().into()
    });
    println!("ADIEU_SEED={seed}");
    seed
}

/// Says what was measured, and keeps it where `cargo xtask sessions` collects it.
pub(crate) fn figure(what: &str, measured: &str) {
    println!("{what}: {measured}");
    let Some(file) = std::env::var_os("ADIEU_FIGURES") else { return };
    let file = std::fs::OpenOptions::new().append(true).create(true).open(file);
    writeln!(file.unwrap(), "{what}: {measured}").unwrap();
}
