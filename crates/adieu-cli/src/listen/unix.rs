//! Unix sockets: the file that stands for one, from its making to its end.

#[cfg(not(unix))]
use std::path::Path;

use adieu_gateway::serve::Listener;

#[cfg(unix)]
pub(crate) use on_unix::{SocketFile, bind};

#[cfg(unix)]
mod on_unix {
    use std::fs::{self, Metadata};
    use std::io::ErrorKind;
    use std::os::unix::fs::{FileTypeExt, MetadataExt};
    use std::os::unix::net::UnixListener;
    use std::path::{Path, PathBuf};
    use std::time::Duration;

    use rustix::fs::Mode;
    use tokio::net::UnixStream;
    use tokio::time::timeout;

    use super::Listener;

    /// Who may connect: the process's user and its group, whatever the umask is. A proxy of another
    /// user is put into that group.
    const MODE: u32 = 0o660;

    /// How long a process that listens already may take to show it.
    const PATIENCE: Duration = Duration::from_secs(1);

    /// The file of a socket that is listened on. It is removed when this is dropped, unless another
    /// one stands there by then.
    pub(crate) struct SocketFile {
        path: PathBuf,
        /// Its device and its inode.
        made: Option<(u64, u64)>,
    }

    /// Listens on a Unix socket. One that a dead process has left is replaced.
    ///
    /// # Errors
    /// What is wrong with the path, and what to do.
    pub(crate) async fn bind(path: &Path) -> Result<(Listener, SocketFile), String> {
        make_room(path).await?;
        // It holds for the whole process: no other thread makes files while the command starts.
        let mask = rustix::process::umask(Mode::from_raw_mode(0o777 & !MODE));
        let bound = UnixListener::bind(path);
        rustix::process::umask(mask);
        let listener = bound.map_err(|error| why(&error))?;
        let file = SocketFile { path: path.to_owned(), made: identity(path) };
        listener.set_nonblocking(true).map_err(|error| error.to_string())?;
        let listener = tokio::net::UnixListener::from_std(listener);
        Ok((listener.map_err(|error| error.to_string())?.into(), file))
    }

    /// Removes what a dead process has left.
    async fn make_room(path: &Path) -> Result<(), String> {
        let there = match fs::symlink_metadata(path) {
            Ok(there) => there,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(why(&error)),
        };
        if !there.file_type().is_socket() {
            return Err("what stands there is no socket, and stays; choose another path".into());
        }
        match timeout(PATIENCE, UnixStream::connect(path)).await {
            Ok(Err(error)) if error.kind() == ErrorKind::ConnectionRefused => {
                fs::remove_file(path).map_err(|error| why(&error))
            }
            Ok(Err(error)) if error.kind() == ErrorKind::PermissionDenied => Err(why(&error)),
            // FAQ: serve-socket
            // It listens, or too many wait already to be accepted.
            _ => Err("another process listens there; stop it, or choose another path".into()),
        }
    }

    fn why(error: &std::io::Error) -> String {
        let what = match error.kind() {
            ErrorKind::NotFound => "; the directory has to be there",
            ErrorKind::PermissionDenied => {
                "; the directory has to be one that this user may write to"
            }
            ErrorKind::InvalidInput => "; such a path has about 100 bytes at most",
            _ => "; choose another path",
        };
        format!("{error}{what}")
    }

    fn identity(path: &Path) -> Option<(u64, u64)> {
        let of = |there: Metadata| (there.dev(), there.ino());
        fs::symlink_metadata(path).ok().map(of)
    }

    impl Drop for SocketFile {
        fn drop(&mut self) {
            if self.made.is_some() && identity(&self.path) == self.made {
                let _ = fs::remove_file(&self.path);
            }
        }
    }
}

/// There are none.
#[cfg(not(unix))]
pub(crate) enum SocketFile {}

#[cfg(not(unix))]
pub(crate) async fn bind(_: &Path) -> Result<(Listener, SocketFile), String> {
    Err("this system has no Unix sockets".into())
}
