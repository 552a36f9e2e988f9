//! What may be wrong with a store.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::{fmt, io};

/// Why a store cannot be opened, or does not commit any more. Each says what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreError {
    /// Another process has it open.
    InUse(PathBuf),
    /// The directory cannot be used; what the system said.
    Unusable(PathBuf, String),
    /// The file is damaged, or no store; what was found.
    Damaged(PathBuf, String),
    /// A later version of Adieu wrote it.
    Newer {
        /// The file.
        file: PathBuf,
        /// Its format.
        found: u32,
        /// The newest that this version knows.
        known: u32,
    },
    /// An earlier version of Adieu wrote it.
    Older {
        /// The file.
        file: PathBuf,
        /// Its format.
        found: u32,
        /// The one that this version knows.
        known: u32,
    },
    /// A commit failed, and nothing has been committed since; what the system said.
    Failed(String),
    /// It was not closed as it should be; what the system said. What was committed is there.
    NotClosed(String),
    /// The store is closed.
    Closed,
}

impl StoreError {
    /// A short word for it that stays the same in all versions, for searches and for programs; the
    /// FAQ of the documentation (`docs/faq/`) has a heading for each.
    #[must_use]
    pub fn id(&self) -> &'static str {
        match self {
            StoreError::InUse(_) => "store-in-use",
            StoreError::Unusable(..) => "store-unusable",
            StoreError::Damaged(..) => "store-damaged",
            StoreError::Newer { .. } => "store-newer",
            StoreError::Older { .. } => "store-older",
            StoreError::Failed(_) => "store-failed",
            StoreError::NotClosed(_) => "store-not-closed",
            StoreError::Closed => "store-closed",
        }
    }

    /// The system refused something that concerns this file of the data directory.
    pub(super) fn unusable(file: &Path, error: &io::Error) -> Self {
        let dir = file.parent().unwrap_or(file);
        StoreError::Unusable(dir.to_owned(), error.to_string())
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreError::InUse(dir) => write!(
                f,
                "the data directory {} is in use by another process: stop that one first, or name \
                 another directory",
                dir.display()
            ),
            StoreError::Unusable(path, error) => write!(
                f,
                "the data directory {} cannot be used: {error}; it has to be there or be made, and \
                 be writable",
                path.display()
            ),
            StoreError::Damaged(file, error) => write!(
                f,
                "{} cannot be read as a store: {error}; nothing in it was changed. Move it away to \
                 begin anew",
                file.display()
            ),
            StoreError::Newer { file, found, known } => write!(
                f,
                "{} has format {found}, and this version of adieu knows formats up to {known}: use \
                 the version that wrote it. Nothing in it was changed",
                file.display()
            ),
            StoreError::Older { file, found, known } => write!(
                f,
                "{} has format {found}, and this version of adieu knows format {known}: let the \
                 version that wrote it end its sessions, or move the file away to begin anew. \
                 Nothing in it was changed",
                file.display()
            ),
            StoreError::Failed(error) => {
                write!(f, "the store could not commit: {error}; nothing is acknowledged any more")
            }
            StoreError::NotClosed(error) => write!(
                f,
                "the store could not be closed: {error}; what was committed is there, and is \
                 checked when it is opened again"
            ),
            StoreError::Closed => f.write_str("the store is closed"),
        }
    }
}

impl std::error::Error for StoreError {}

/// What it gives, or what it panicked with. Nothing that it had may be used after a panic, but to
/// close it.
pub(super) fn caught<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| said(&*panic))
}

fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    format!("panic: {}", text.as_deref().unwrap_or("without a message"))
}
