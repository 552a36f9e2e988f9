//! What may be wrong with a store.

use std::fmt;
use std::path::PathBuf;

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
    /// A commit failed, and nothing has been committed since; what the system said.
    Failed(String),
    /// The store is closed.
    Closed,
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
            StoreError::Failed(error) => {
                write!(f, "the store could not commit: {error}; nothing is acknowledged any more")
            }
            StoreError::Closed => f.write_str("the store is closed"),
        }
    }
}

impl std::error::Error for StoreError {}
