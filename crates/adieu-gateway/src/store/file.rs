//! The file of a store: a page of ours, and behind it the file that redb sees.
//!
//! The page says that the file is ours and how it is laid out, before redb reads, let alone repairs
//! anything. It also has the number of the last commit that was said to be durable: redb falls back
//! to an older commit if the newest does not verify, which is right for one that was never
//! acknowledged, and must be told of one that was.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redb::StorageBackend;
use redb::backends::FileBackend;

use super::StoreError;
use super::layout::{FORMAT, FORMAT_AT, MAGIC, MARK_AT, PAGE, behind, doubled, mark};
use super::write_back::WriteBack;

/// The file of a store. A clone is another handle of the same.
#[derive(Clone, Debug)]
pub(super) struct StoreFile(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    file: FileBackend,
    /// The same file, where its lock goes with the store. One that is laid out stays locked.
    lock: Option<File>,
    state: Mutex<State>,
}

/// The lock is of all descriptors that a process has made of this one, and a process that is being
/// started has a copy of each for a moment: closing ours would leave the file locked until then.
impl Drop for Shared {
    fn drop(&mut self) {
        if let Some(lock) = &self.lock {
            // If that fails, the file is unlocked when its last descriptor is closed.
            let _ = lock.unlock();
        }
    }
}

#[derive(Debug)]
enum State {
    /// Writes are kept in memory until it is known that the store is good, and needed.
    WriteBack(WriteBack),
    /// Writes go to the file.
    Open,
    /// Some of what was held back is in the file and some is not: no more may be written.
    Broken,
}

impl StoreFile {
    /// Lays out a file that is empty.
    pub(super) fn init(file: File) -> io::Result<Self> {
        let mut page = [0; PAGE as usize];
        page[..MAGIC.len()].copy_from_slice(&MAGIC);
        page[FORMAT_AT..][..4].copy_from_slice(&FORMAT.to_be_bytes());
        page[FORMAT_AT + 4..][..4].copy_from_slice(&(!FORMAT).to_be_bytes());
        page[MARK_AT..][..16].copy_from_slice(&mark(0));
        let file = backend(file)?;
        file.write(0, &page)?;
        Ok(Self::new(file, None, State::Open))
    }

    /// Takes a file that is there, and gives the number of the last commit that was said to be
    /// durable. What is written is held back until [`release`](Self::release).
    pub(super) fn open(path: &Path, file: File) -> Result<(Self, u64), StoreError> {
        let unusable = |error: io::Error| StoreError::unusable(path, &error);
        let damaged = |what: &str| StoreError::Damaged(path.to_owned(), what.to_owned());
        let lock = Some(file.try_clone().map_err(unusable)?);
        let file = backend(file).map_err(unusable)?;
        let len = file.len().map_err(unusable)?;
        let mut page = [0; PAGE as usize];
        let there = len.min(PAGE) as usize;
        file.read(0, &mut page[..there]).map_err(unusable)?;
        match len {
            0 => return Err(damaged("it is empty")),
            _ if page[..MAGIC.len()] != MAGIC => return Err(damaged("it is no store of adieu")),
            _ if len <= PAGE => return Err(damaged("its end is missing")),
            _ => {}
        }
        match u32::try_from(doubled::<4>(&page[FORMAT_AT..])) {
            Ok(FORMAT) => {}
            Ok(found) if found > FORMAT => {
                return Err(StoreError::Newer { file: path.to_owned(), found, known: FORMAT });
            }
            Ok(found @ 1..FORMAT) => {
                return Err(StoreError::Older { file: path.to_owned(), found, known: FORMAT });
            }
            _ => return Err(damaged("its format cannot be read")),
        }
        let Ok(mark) = u64::try_from(doubled::<8>(&page[MARK_AT..])) else {
            return Err(damaged("the number of its last commit cannot be read"));
        };
        let state = State::WriteBack(WriteBack::new(len - PAGE));
        Ok((Self::new(file, lock, state), mark))
    }

    fn new(file: FileBackend, lock: Option<File>, state: State) -> Self {
        StoreFile(Arc::new(Shared { file, lock, state: Mutex::new(state) }))
    }

    /// Writes what was held back, in its order, and holds nothing back any more.
    pub(super) fn release(&self) -> io::Result<()> {
        let mut state = self.state();
        match std::mem::replace(&mut *state, State::Broken) {
            State::WriteBack(write_back) => write_back.write_to(&self.0.file)?,
            State::Open => {}
            State::Broken => return Err(broken()),
        }
        *state = State::Open;
        Ok(())
    }

    /// Notes the number of a commit that is durable. It is not synced, which would double the time
    /// of a commit: the next commit syncs it, and after a loss of power an older number is true as
    /// well.
    pub(super) fn mark(&self, commit: u64) -> io::Result<()> {
        self.0.file.write(MARK_AT as u64, &mark(commit))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// redb sees what is behind our page. It does not lock: who opens the file holds its lock
/// ([`super::directory`]).
impl StorageBackend for StoreFile {
    fn len(&self) -> io::Result<u64> {
        match &*self.state() {
            State::WriteBack(write_back) => Ok(write_back.len()),
            State::Open | State::Broken => Ok(self.0.file.len()?.saturating_sub(PAGE)),
        }
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        match &*self.state() {
            State::WriteBack(write_back) => write_back.read(&self.0.file, offset, out),
            State::Open | State::Broken => self.0.file.read(behind(offset)?, out),
        }
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        match &mut *self.state() {
            State::WriteBack(write_back) => {
                write_back.set_len(len);
                Ok(())
            }
            State::Open => self.0.file.set_len(behind(len)?),
            State::Broken => Err(broken()),
        }
    }

    fn sync_data(&self) -> io::Result<()> {
        match &mut *self.state() {
            State::WriteBack(write_back) => {
                write_back.sync();
                Ok(())
            }
            State::Open => self.0.file.sync_data(),
            State::Broken => Err(broken()),
        }
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        match &mut *self.state() {
            State::WriteBack(write_back) => {
                write_back.write(offset, data);
                Ok(())
            }
            State::Open => self.0.file.write(behind(offset)?, data),
            State::Broken => Err(broken()),
        }
    }
}

fn backend(file: File) -> io::Result<FileBackend> {
    FileBackend::new(file).map_err(|error| io::Error::other(error.to_string()))
}

fn broken() -> io::Error {
    io::Error::other("an earlier write failed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_is_closed_is_unlocked_though_a_new_process_still_has_its_descriptor() {
        let path = std::env::temp_dir().join(format!("adieu-unlocked-{}", std::process::id()));
        drop(StoreFile::init(File::create_new(&path).unwrap()).unwrap());
        // Up to the end of the page of ours there is nothing of redb's yet.
        let open = || File::options().read(true).write(true).open(&path).unwrap();
        open().set_len(2 * PAGE).unwrap();
        let locked = open();
        locked.lock().unwrap();
        // As a process has it that is forked and has not begun its program yet.
        let copy = locked.try_clone().unwrap();
        let (store, _) = StoreFile::open(&path, locked).unwrap();
        open().try_lock().unwrap_err();
        drop(store);
        open().try_lock().unwrap();
        std::fs::remove_file(&path).unwrap();
        drop(copy);
    }

    #[test]
    fn when_some_of_what_was_held_back_is_not_written_nothing_more_is() {
        let name = format!("adieu-broken-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let file = StoreFile::init(File::create_new(&path).unwrap()).unwrap();
        file.write(0, b"redb's").unwrap();
        // A file that is only read refuses each write.
        let (file, acknowledged) = StoreFile::open(&path, File::open(&path).unwrap()).unwrap();
        assert_eq!(acknowledged, 0);
        std::fs::remove_file(path).unwrap();
        file.write(0, b"REDB").unwrap();
        let mut there = [0; 6];
        file.read(0, &mut there).unwrap();
        assert_eq!(&there, b"REDB's");
        file.release().unwrap_err();
        for refused in [file.release(), file.write(0, b"x"), file.set_len(9), file.sync_data()] {
            assert_eq!(refused.unwrap_err().to_string(), "an earlier write failed");
        }
    }
}
