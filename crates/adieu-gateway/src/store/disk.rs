//! The store in a data directory: one redb file, one commit for many batches, on the disk (fsync)
//! when it returns.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use redb::{
    Database, DatabaseError, ReadTransaction, ReadableDatabase, ReadableTable, StorageError,
    TableDefinition, TableError, WriteTransaction,
};

use super::{Backend, Batch, Change, Contents, StoreError};
use crate::session::SessionId;

const SESSIONS: TableDefinition<'_, &[u8; 16], &[u8]> = TableDefinition::new("sessions");
const MESSAGES: TableDefinition<'_, (&[u8; 16], u64), &[u8]> = TableDefinition::new("messages");
const EVENTS: TableDefinition<'_, (&[u8], u64), &[u8]> = TableDefinition::new("events");
const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");

/// In the data directory.
const FILE: &str = "adieu.redb";

/// How the tables are laid out. A change that an older version would misread has another.
const FORMAT: u32 = 1;

/// Where the format stands.
const FORMAT_NAME: &str = "format";

/// A store in a data directory, which one process at a time has open.
#[derive(Debug)]
pub struct Disk {
    file: PathBuf,
    database: Database,
}

impl Disk {
    /// Opens the store in this directory; makes both if they are not there.
    ///
    /// # Errors
    /// [`StoreError`]: it is in use, unusable, damaged, or of a later version. Then nothing in it
    /// was changed.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        std::fs::create_dir_all(dir)
            .map_err(|error| StoreError::Unusable(dir.to_owned(), error.to_string()))?;
        let file = dir.join(FILE);
        let database = Database::create(&file).map_err(|error| cannot_open(dir, &file, error))?;
        let disk = Disk { file, database };
        disk.check_format()?;
        Ok(disk)
    }

    fn check_format(&self) -> Result<(), StoreError> {
        let found = self.read(|transaction| match transaction.open_table(META) {
            Ok(meta) => Ok(meta.get(FORMAT_NAME)?.map(|value| value.value().to_vec())),
            Err(TableError::TableDoesNotExist(_)) => Ok(None),
            Err(error) => Err(error.into()),
        })?;
        let found = found.map(|bytes| bytes.try_into().map(u32::from_be_bytes).unwrap_or(u32::MAX));
        match found {
            Some(FORMAT) => Ok(()),
            Some(found) => Err(StoreError::Newer { file: self.file.clone(), found, known: FORMAT }),
            None => self.write(|transaction| {
                // All tables, so that nobody has to ask whether they are there.
                transaction.open_table(SESSIONS)?;
                transaction.open_table(MESSAGES)?;
                transaction.open_table(EVENTS)?;
                let format = FORMAT.to_be_bytes();
                transaction.open_table(META)?.insert(FORMAT_NAME, format.as_slice())?;
                Ok(())
            }),
        }
    }

    fn read<T>(
        &self,
        read: impl FnOnce(&ReadTransaction) -> Result<T, redb::Error>,
    ) -> Result<T, StoreError> {
        let transaction = self.database.begin_read().map_err(redb::Error::from);
        transaction
            .and_then(|transaction| read(&transaction))
            .map_err(|error| StoreError::Damaged(self.file.clone(), error.to_string()))
    }

    fn write(
        &self,
        write: impl FnOnce(&WriteTransaction) -> Result<(), redb::Error>,
    ) -> Result<(), StoreError> {
        let write = || {
            let transaction = self.database.begin_write()?;
            write(&transaction)?;
            Ok(transaction.commit()?)
        };
        write().map_err(|error: redb::Error| StoreError::Failed(error.to_string()))
    }
}

fn cannot_open(dir: &Path, file: &Path, error: DatabaseError) -> StoreError {
    match error {
        DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => {
            StoreError::InUse(dir.to_owned())
        }
        // redb says of a file that is no database of its that its first bytes are not.
        DatabaseError::Storage(StorageError::Io(error))
            if error.kind() != std::io::ErrorKind::InvalidData =>
        {
            StoreError::Unusable(dir.to_owned(), error.to_string())
        }
        error => StoreError::Damaged(file.to_owned(), error.to_string()),
    }
}

impl Backend for Disk {
    fn load(&self) -> Result<Contents, StoreError> {
        self.read(|transaction| {
            let mut contents = Contents::default();
            for entry in transaction.open_table(SESSIONS)?.iter()? {
                let (id, session) = entry?;
                let session = Bytes::copy_from_slice(session.value());
                contents.sessions.insert(SessionId::new(*id.value()), session);
            }
            for entry in transaction.open_table(MESSAGES)?.iter()? {
                let (key, message) = entry?;
                let (id, sequence) = key.value();
                let message = Bytes::copy_from_slice(message.value());
                contents.messages.insert((SessionId::new(*id), sequence), message);
            }
            for entry in transaction.open_table(EVENTS)?.iter()? {
                let (key, event) = entry?;
                let (stream, sequence) = key.value();
                let key = (Bytes::copy_from_slice(stream), sequence);
                contents.events.insert(key, Bytes::copy_from_slice(event.value()));
            }
            for entry in transaction.open_table(META)?.iter()? {
                let (name, value) = entry?;
                if name.value() != FORMAT_NAME {
                    let value = Bytes::copy_from_slice(value.value());
                    contents.meta.insert(name.value().to_owned(), value);
                }
            }
            Ok(contents)
        })
    }

    fn commit(&mut self, batches: &[Batch]) -> Result<(), StoreError> {
        self.write(|transaction| {
            let mut sessions = transaction.open_table(SESSIONS)?;
            let mut messages = transaction.open_table(MESSAGES)?;
            let mut events = transaction.open_table(EVENTS)?;
            let mut meta = transaction.open_table(META)?;
            for change in batches.iter().flatten() {
                match change {
                    Change::PutSession { id, session } => {
                        sessions.insert(&id.to_bytes(), &**session)?;
                    }
                    Change::DeleteSession { id } => {
                        let id = id.to_bytes();
                        sessions.remove(&id)?;
                        messages.retain_in((&id, 0)..=(&id, u64::MAX), |_, _| false)?;
                    }
                    Change::PutMessage { id, sequence, message } => {
                        messages.insert((&id.to_bytes(), *sequence), &**message)?;
                    }
                    Change::TrimMessages { id, up_to } => {
                        let id = id.to_bytes();
                        messages.retain_in((&id, 0)..=(&id, *up_to), |_, _| false)?;
                    }
                    Change::PutEvent { stream, sequence, event } => {
                        events.insert((&**stream, *sequence), &**event)?;
                    }
                    Change::DeleteEvent { stream, sequence } => {
                        events.remove((&**stream, *sequence))?;
                    }
                    Change::PutMeta { name, value } => {
                        meta.insert(&**name, &**value)?;
                    }
                }
            }
            Ok(())
        })
    }
}
