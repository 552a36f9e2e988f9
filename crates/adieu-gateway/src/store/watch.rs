//! The file of a store while it is used: how large it is, and whether it is still the one that the
//! next start will find.

use std::fs::{File, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Looks after the file of a store. A clone looks after the same.
#[derive(Clone, Debug)]
pub struct StoreWatch {
    path: Arc<Path>,
    /// What it is by, whatever its name is.
    identity: Option<Identity>,
}

/// The device and the number on it.
type Identity = (u64, u64);

impl StoreWatch {
    pub(super) fn new(path: &Path, file: &File) -> io::Result<Self> {
        Ok(StoreWatch { path: path.into(), identity: identity(&file.metadata()?) })
    }

    /// The bytes of the file.
    ///
    /// # Errors
    /// [`StoreLost`]: under its name is no file any more, or another.
    pub fn look(&self) -> Result<u64, StoreLost> {
        let lost = |what: &str| StoreLost { path: self.path.to_path_buf(), what: what.to_owned() };
        match std::fs::metadata(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(lost("was removed")),
            Err(error) => Err(lost(&format!("cannot be looked at ({error})"))),
            Ok(now) if identity(&now) != self.identity => Err(lost("was replaced by another")),
            Ok(now) => Ok(now.len()),
        }
    }
}

#[cfg(unix)]
fn identity(file: &Metadata) -> Option<Identity> {
    use std::os::unix::fs::MetadataExt;
    Some((file.dev(), file.ino()))
}

/// Elsewhere a file that is open cannot be removed.
#[cfg(not(unix))]
fn identity(_: &Metadata) -> Option<Identity> {
    None
}

/// What is committed goes to a file that the next start will not find.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreLost {
    path: PathBuf,
    what: String,
}

impl std::fmt::Display for StoreLost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            // FAQ: store-lost
            "{} {} while it is in use: the next start will not know the sessions of now; put the \
             file back if you can (on Linux /proc/PID/fd still has it), and stop the gateway",
            self.path.display(),
            self.what
        )
    }
}

impl std::error::Error for StoreLost {}
