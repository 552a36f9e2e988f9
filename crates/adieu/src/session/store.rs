//! Where a session is kept.

use std::io;

use super::Saved;

/// Keeps a session for the process after this one. It is called on the session's task whenever
/// something has changed, before what depends on it is sent, so it should be quick: everything that
/// is sent waits for it. An error is told once ([`Event::NotKept`](super::Event::NotKept)), and the
/// session goes on.
///
/// ```
/// use std::{fs, io};
/// use adieu::session::{Saved, Store};
///
/// struct File(std::path::PathBuf);
///
/// impl Store for File {
///     fn keep(&mut self, saved: &Saved) -> io::Result<()> {
///         // Whole or not at all.
///         let new = self.0.with_extension("new");
///         fs::write(&new, serde_json::to_vec(saved)?)?;
///         fs::rename(new, &self.0)
///     }
///
///     fn forget(&mut self) -> io::Result<()> {
///         fs::remove_file(&self.0)
///     }
/// }
/// ```
pub trait Store: Send + 'static {
    /// Keeps this in place of what was kept.
    ///
    /// # Errors
    /// Why it is not kept.
    fn keep(&mut self, saved: &Saved) -> io::Result<()>;

    /// The session is over: there is nothing to go on with.
    ///
    /// # Errors
    /// Why it could not be removed.
    fn forget(&mut self) -> io::Result<()>;
}
