//! The data directory: the store's file is found in it, or made whole before it has its name.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use super::StoreError;
use super::watch::StoreWatch;

/// In the data directory.
const FILE: &str = "adieu.redb";

/// What a store is called until it is whole. One that was left by a start that was killed is
/// removed.
const NEW: &str = "adieu.redb.new";

/// Where a store is.
#[derive(Debug)]
pub(super) struct DataDir {
    dir: PathBuf,
    /// The store's file.
    pub(super) path: PathBuf,
}

impl DataDir {
    /// Makes the directory if it is not there.
    pub(super) fn prepare(dir: &Path) -> Result<Self, StoreError> {
        // Of no name is where the process is, and is opened by this one.
        let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
        let data_dir = DataDir { dir: dir.to_owned(), path: dir.join(FILE) };
        make_dir(dir).map_err(|error| data_dir.unusable(&error))?;
        warn_of_others(dir);
        Ok(data_dir)
    }

    /// The store's file, locked; `make` is given an empty one if there is none, and lays it out.
    pub(super) fn open(
        &self,
        make: impl FnOnce(&File) -> Result<(), String>,
    ) -> Result<File, StoreError> {
        if !self.is_there()? {
            let new = self.dir.join(NEW);
            self.remove_left_over(&new)?;
            // Never one that was there: others might read it, or it might be a link to another.
            let file = self.locked(&new, private().create_new(true))?;
            // Another start may have given its own the name meanwhile, and then that is the store.
            if !self.is_there()? {
                make(&file)
                    .and_then(|()| self.name(&file, &new).map_err(|error| error.to_string()))
                    .map_err(|error| StoreError::Unusable(self.dir.clone(), error))?;
                return Ok(file);
            }
            fs::remove_file(&new).map_err(|error| self.unusable(&error))?;
        }
        let file = self.locked(&self.path, &mut private())?;
        // Who gave it its name may have been killed before that was on the disk.
        sync_dir(&self.dir).map_err(|error| self.unusable(&error))?;
        Ok(file)
    }

    /// Removes what a start left that was killed. Another that is making its store has it locked.
    fn remove_left_over(&self, new: &Path) -> Result<(), StoreError> {
        let Ok(found) = fs::symlink_metadata(new) else { return Ok(()) };
        let mut held = None;
        if found.is_file() {
            let file = self.locked(new, &mut not_a_link(private()))?;
            // Another that had it locked has removed it, and what has the name now is its own.
            if StoreWatch::new(new, &file).is_ok_and(|file| file.look().is_err()) {
                return Err(StoreError::InUse(self.dir.clone()));
            }
            held = Some(file);
        }
        fs::remove_file(new).map_err(|error| self.unusable(&error))?;
        drop(held);
        Ok(())
    }

    /// Whether there is anything by that name, be it a link to nowhere.
    fn is_there(&self) -> Result<bool, StoreError> {
        match fs::symlink_metadata(&self.path) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(self.unusable(&error)),
        }
    }

    fn locked(&self, path: &Path, options: &mut OpenOptions) -> Result<File, StoreError> {
        let file = options.open(path).map_err(|error| self.unusable(&error))?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => Err(StoreError::InUse(self.dir.clone())),
            Err(TryLockError::Error(error)) => Err(self.unusable(&error)),
        }
    }

    /// Gives a new store its name, once it is on the disk as a whole.
    fn name(&self, file: &File, new: &Path) -> io::Result<()> {
        file.sync_all()?;
        fs::rename(new, &self.path)?;
        sync_dir(&self.dir)
    }

    fn unusable(&self, error: &io::Error) -> StoreError {
        let why = match error.kind() {
            // What the system says of a file in its place would send people to look for another.
            io::ErrorKind::AlreadyExists => "what stands there is no directory".to_owned(),
            _ => error.to_string(),
        };
        StoreError::Unusable(self.dir.clone(), why)
    }
}

/// A store holds messages of people and the key of the tokens: only its owner reads it.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Refuses a name that is a link.
#[cfg(unix)]
fn not_a_link(mut options: OpenOptions) -> OpenOptions {
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, libc::O_NOFOLLOW);
    options
}

/// Elsewhere a link takes rights that a stranger does not have.
#[cfg(not(unix))]
fn not_a_link(options: OpenOptions) -> OpenOptions {
    options
}

/// Others who may write to the directory can remove the store, or put one of theirs in its place.
/// It is not refused: volumes of containers are made so.
#[cfg(unix)]
fn warn_of_others(dir: &Path) {
    if let Ok(found) = fs::metadata(dir)
        && std::os::unix::fs::PermissionsExt::mode(&found.permissions()) & 0o002 != 0
    {
        let shown = dir.display();
        tracing::warn!(
            // FAQ: store-directory
            "everybody on this machine may write to the data directory {shown}, and could remove \
             or replace the store: chmod o-w {shown}"
        );
    }
}

/// Elsewhere rights are not in the mode.
#[cfg(not(unix))]
fn warn_of_others(_: &Path) {}

/// Makes what is missing of a directory. One that is there keeps its mode: somebody chose it.
fn make_dir(dir: &Path) -> io::Result<()> {
    let missing: Vec<&Path> =
        dir.ancestors().take_while(|dir| !dir.as_os_str().is_empty() && !dir.exists()).collect();
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir)?;
    for made in missing {
        // The name of a directory is on the disk once its parent is.
        let parent = made.parent().filter(|parent| !parent.as_os_str().is_empty());
        sync_dir(parent.unwrap_or(Path::new(".")))?;
    }
    Ok(())
}

/// A name is on the disk once its directory is; where that cannot be asked for (elsewhere than on
/// Unix, some file systems of networks), it is left to the system.
fn sync_dir(dir: &Path) -> io::Result<()> {
    if !cfg!(unix) {
        return Ok(());
    }
    match File::open(dir)?.sync_all() {
        Err(error) if NOT_ASKED_FOR.contains(&error.kind()) => Ok(()),
        synced => synced,
    }
}

const NOT_ASKED_FOR: [io::ErrorKind; 2] = [io::ErrorKind::InvalidInput, io::ErrorKind::Unsupported];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_of_no_name_is_the_one_where_the_process_is() {
        let data_dir = DataDir::prepare(Path::new("")).unwrap();
        assert_eq!(data_dir.path, Path::new("./adieu.redb"));
        sync_dir(&data_dir.dir).unwrap();
    }
}
