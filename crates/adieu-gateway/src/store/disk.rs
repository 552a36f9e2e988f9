//! The store in a data directory: one file, one commit for many batches, on the disk (fsync) when
//! it returns, verified when it is opened.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use redb::{
    Builder, Database, ReadTransaction, ReadableDatabase, ReadableTable, StorageBackend,
    TableDefinition, WriteTransaction,
};

use super::directory::DataDir;
use super::error::caught;
use super::events::{self, EVENTS, Events, Places};
use super::file::StoreFile;
use super::payloads::{self, PAYLOADS, Payloads, REFERENCES};
use super::row::{self, CounterRow};
use super::table::Lazy;
use super::watch::StoreWatch;
use super::{Backend, Refusals, StoreError};
use crate::session::fence::Fence;
use crate::session::{Batch, Change, Contents, Judged, SessionId};

const SESSIONS: TableDefinition<'_, &[u8; 16], &[u8]> = TableDefinition::new("sessions");
const COUNTERS: TableDefinition<'_, &[u8; 16], &CounterRow> = TableDefinition::new("counters");
const LEAVING: TableDefinition<'_, &str, &[u8; 28]> = TableDefinition::new("leaving");
const MESSAGES: TableDefinition<'_, (&[u8; 16], u64), &[u8]> = TableDefinition::new("messages");
/// A store of an earlier version has no such table until its first commit.
const DEAD_LETTERS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("dead_letters");
const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");

/// What the store says of itself; no change reaches it.
const STORE: TableDefinition<'_, &str, u64> = TableDefinition::new("store");

/// How many commits there were.
const COMMITS: &str = "commits";

/// Memory for pages of the file. Who uses the store has its contents in memory already and reads
/// them once; this is for the pages that commits change again and again. redb would take 1 GiB.
const CACHE: usize = 32 << 20;

/// Bytes of a file from which on it is made smaller at the start, if less than half of it is used.
const WORTH_SHRINKING: u64 = 16 << 20;

/// A store in a data directory, which one process at a time has open.
#[derive(Debug)]
pub struct Disk {
    path: PathBuf,
    watch: StoreWatch,
    file: StoreFile,
    database: Database,
    /// The number of the last one.
    commits: u64,
    places: Places,
}

impl Disk {
    /// Opens the store in this directory; makes both if they are not there, for their owner only.
    /// All of the file is verified (docs/sessions.md says what that costs). A file that was there
    /// is first changed by the first commit, or made smaller if it is large and most of it is
    /// free; before that it was verified.
    ///
    /// # Errors
    /// [`StoreError`]: it is in use, unusable, damaged, or of a later version. Then nothing in it
    /// was changed.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        let data_dir = DataDir::prepare(dir)?;
        let file = data_dir.open(|file| make(file).map_err(|error| error.to_string()))?;
        let unusable = |error: std::io::Error| StoreError::unusable(&data_dir.path, &error);
        let watch = StoreWatch::new(&data_dir.path, &file).map_err(unusable)?;
        let (file, acknowledged) = StoreFile::open(&data_dir.path, file)?;
        let verified =
            caught(|| verify(file.clone())).unwrap_or_else(|panic| Err(corrupted(panic)));
        let (database, commits) = verified.map_err(|error| cannot_open(&data_dir.path, &error))?;
        if commits < acknowledged {
            let error =
                format!("it had {acknowledged} commits, and what is left of it has {commits}");
            return Err(StoreError::Damaged(data_dir.path, error));
        }
        let places = caught(|| places(&database)).unwrap_or_else(|panic| Err(corrupted(panic)));
        let places = places.map_err(|error| cannot_open(&data_dir.path, &error))?;
        let mut disk = Disk { path: data_dir.path, watch, file, database, commits, places };
        let shrunk = caught(|| disk.shrink()).unwrap_or_else(|panic| Err(corrupted(panic)));
        shrunk.map_err(|error| cannot_open(&disk.path, &error))?;
        Ok(disk)
    }

    /// Looks after the file while it is used.
    #[must_use]
    pub fn watch(&self) -> StoreWatch {
        self.watch.clone()
    }

    /// Gives back what a file has that was once much larger: redb keeps it for later.
    fn shrink(&mut self) -> Result<(), redb::Error> {
        let len = self.file.len()?;
        if len < WORTH_SHRINKING {
            return Ok(());
        }
        let transaction = self.database.begin_write()?;
        let stats = transaction.stats()?;
        let used = stats.allocated_pages().saturating_mul(stats.page_size() as u64);
        transaction.abort()?;
        if used > len / 2 {
            return Ok(());
        }
        self.file.release()?;
        self.database.compact()?;
        let now = self.file.len()?;
        tracing::info!("{} shrank from {len} to {now} bytes", self.path.display());
        Ok(())
    }

    fn write(
        &self,
        write: impl FnOnce(&WriteTransaction) -> Result<(), redb::Error>,
    ) -> Result<(), StoreError> {
        let write = || {
            self.file.release()?;
            let transaction = self.database.begin_write()?;
            write(&transaction)?;
            let commits = self.commits + 1;
            transaction.open_table(STORE)?.insert(COMMITS, commits)?;
            transaction.commit()?;
            Ok(self.file.mark(commits)?)
        };
        write().map_err(|error: redb::Error| StoreError::Failed(error.to_string()))
    }
}

fn places(database: &Database) -> Result<Places, redb::Error> {
    events::places(&database.begin_read()?)
}

fn builder() -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE);
    builder
}

/// Makes a store of an empty file.
fn make(file: &std::fs::File) -> Result<(), redb::Error> {
    let database = builder().create_with_backend(StoreFile::init(file.try_clone()?)?)?;
    let transaction = database.begin_write()?;
    // All tables, so that nobody has to ask whether they are there.
    transaction.open_table(SESSIONS)?;
    transaction.open_table(COUNTERS)?;
    transaction.open_table(LEAVING)?;
    transaction.open_table(MESSAGES)?;
    transaction.open_table(EVENTS)?;
    transaction.open_table(DEAD_LETTERS)?;
    transaction.open_table(PAYLOADS)?;
    transaction.open_table(REFERENCES)?;
    transaction.open_table(META)?;
    transaction.open_table(STORE)?.insert(COMMITS, 0)?;
    transaction.commit()?;
    Ok(database.close()?)
}

/// Opens a file that is there, verifies all of it, and says how many commits it has.
fn verify(file: StoreFile) -> Result<(Database, u64), redb::Error> {
    let database = builder().set_check_integrity_on_open(true).create_with_backend(file)?;
    let transaction = database.begin_read()?;
    transaction.open_table(SESSIONS)?;
    transaction.open_table(COUNTERS)?;
    transaction.open_table(LEAVING)?;
    transaction.open_table(MESSAGES)?;
    transaction.open_table(EVENTS)?;
    transaction.open_table(DEAD_LETTERS)?;
    transaction.open_table(PAYLOADS)?;
    transaction.open_table(REFERENCES)?;
    transaction.open_table(META)?;
    let commits = transaction.open_table(STORE)?.get(COMMITS)?.map(|commits| commits.value());
    let commits = commits.ok_or_else(|| corrupted("it does not say its commits".to_owned()))?;
    Ok((database, commits))
}

fn corrupted(what: String) -> redb::Error {
    redb::Error::Corrupted(what)
}

fn cannot_open(path: &Path, error: &redb::Error) -> StoreError {
    match error {
        // What the system refuses is no fault of the file. redb and we have errors of this type
        // too: a wrong first byte, an end that comes too early.
        redb::Error::Io(error) if error.raw_os_error().is_some() => {
            StoreError::unusable(path, error)
        }
        error => StoreError::Damaged(path.to_owned(), error.to_string()),
    }
}

fn unreadable(what: &str) -> redb::Error {
    corrupted(format!("a {what} in it was not written by this version of adieu"))
}

/// All of the tables that are the users'.
fn contents(transaction: &ReadTransaction) -> Result<Contents, redb::Error> {
    let mut contents = Contents::default();
    let counters = transaction.open_table(COUNTERS)?;
    for entry in counters.iter()? {
        let (id, row) = entry?;
        let fence = row::read_fence(row.value());
        if fence != Fence::default() {
            contents.fences.insert(SessionId::new(*id.value()), fence);
        }
    }
    for entry in transaction.open_table(SESSIONS)?.iter()? {
        let (id, session) = entry?;
        let id = *id.value();
        let session = row::read_session(session.value()).ok_or_else(|| unreadable("session"))?;
        let counted = counters.get(&id)?.ok_or_else(|| unreadable("session without numbers"))?;
        let counted = row::read_counters(counted.value());
        contents.sessions.insert(SessionId::new(id), (session, counted));
    }
    for entry in transaction.open_table(LEAVING)?.iter()? {
        let (user, leaving) = entry?;
        contents.leaving.insert(user.value().into(), row::read_leaving(leaving.value()));
    }
    let payloads = payloads::load(transaction)?;
    for entry in transaction.open_table(MESSAGES)?.iter()? {
        let (key, message) = entry?;
        let (id, sequence) = key.value();
        let message = row::read_message(message.value(), |number| payloads.get(&number).cloned());
        let message = message.ok_or_else(|| unreadable("message"))?;
        contents.messages.insert((SessionId::new(*id), sequence), message);
    }
    events::each(transaction, |event| {
        let (key, event) = event.ok_or_else(|| unreadable("event"))?;
        contents.events.insert(key, Arc::new(event));
        Ok(())
    })?;
    for entry in transaction.open_table(DEAD_LETTERS)?.iter()? {
        let (id, letter) = entry?;
        contents.dead_letters.insert(id.value(), Bytes::copy_from_slice(letter.value()));
    }
    for entry in transaction.open_table(META)?.iter()? {
        let (name, value) = entry?;
        contents.meta.insert(name.value().to_owned(), Bytes::copy_from_slice(value.value()));
    }
    Ok(contents)
}

impl Backend for Disk {
    fn load(&self) -> Result<Contents, StoreError> {
        let load = || -> Result<_, redb::Error> { contents(&self.database.begin_read()?) };
        let loaded = caught(load).unwrap_or_else(|panic| Err(corrupted(panic)));
        loaded.map_err(|error| cannot_open(&self.path, &error))
    }

    fn commit(&mut self, batches: &[Batch]) -> Result<Vec<Refusals>, StoreError> {
        let (mut refused, mut places) = (Vec::new(), std::mem::take(&mut self.places));
        self.write(|transaction| {
            let mut tables = Tables::new(transaction, &mut places);
            for batch in batches {
                refused.push(tables.commit(batch)?);
            }
            tables.finish()
        })?;
        self.commits += 1;
        self.places = places;
        Ok(refused)
    }

    fn close(self) -> Result<(), StoreError> {
        let Disk { file, database, .. } = self;
        let closed = database.close().map_err(redb::Error::from);
        let closed = closed.and_then(|()| Ok(file.sync_data()?));
        closed.map_err(|error| StoreError::NotClosed(error.to_string()))
    }
}

/// The tables that changes change.
struct Tables<'t> {
    sessions: Lazy<'t, &'static [u8; 16], &'static [u8]>,
    counters: Lazy<'t, &'static [u8; 16], &'static CounterRow>,
    leaving: Lazy<'t, &'static str, &'static [u8; 28]>,
    messages: Lazy<'t, (&'static [u8; 16], u64), &'static [u8]>,
    events: Events<'t>,
    dead_letters: Lazy<'t, u64, &'static [u8]>,
    meta: Lazy<'t, &'static str, &'static [u8]>,
    payloads: Payloads<'t>,
    /// Numbers of sessions, of which the last of a commit are enough; `None`: the session is over.
    counted: BTreeMap<SessionId, Option<CounterRow>>,
}

impl<'t> Tables<'t> {
    fn new(transaction: &'t WriteTransaction, places: &'t mut Places) -> Self {
        Tables {
            sessions: Lazy::new(transaction, SESSIONS),
            counters: Lazy::new(transaction, COUNTERS),
            leaving: Lazy::new(transaction, LEAVING),
            messages: Lazy::new(transaction, MESSAGES),
            events: Events::new(transaction, places),
            dead_letters: Lazy::new(transaction, DEAD_LETTERS),
            meta: Lazy::new(transaction, META),
            payloads: Payloads::new(transaction),
            counted: BTreeMap::new(),
        }
    }

    /// Writes the numbers.
    fn finish(mut self) -> Result<(), redb::Error> {
        for (id, row) in std::mem::take(&mut self.counted) {
            match row {
                Some(row) => drop(self.counters.table()?.insert(&id.to_bytes(), &row)?),
                None => drop(self.counters.table()?.remove(&id.to_bytes())?),
            }
        }
        self.payloads.finish()
    }

    /// Makes what a batch changes, but for writes of those who do not own their session.
    fn commit(&mut self, batch: &Batch) -> Result<Refusals, redb::Error> {
        self.payloads.begin(batch);
        let mut kept = BTreeMap::new();
        for change in batch {
            if let Change::Write { id, .. } = change {
                kept.insert(*id, self.row(*id)?.as_ref().map(row::read_fence));
            }
        }
        let judged = Judged::of(batch, |id| kept.get(&id).copied().flatten().unwrap_or_default());
        let made = batch.iter().filter(|change| judged.makes(change));
        made.into_iter().try_for_each(|change| self.apply(change))?;
        Ok(judged.refused)
    }

    /// The numbers of a session, if it has some.
    fn row(&mut self, id: SessionId) -> Result<&mut Option<CounterRow>, redb::Error> {
        Ok(match self.counted.entry(id) {
            Entry::Occupied(row) => row.into_mut(),
            Entry::Vacant(row) => {
                let kept = self.counters.table()?.get(&id.to_bytes())?.map(|row| *row.value());
                row.insert(kept)
            }
        })
    }

    /// The same, to be changed.
    fn numbers(&mut self, id: SessionId) -> Result<&mut CounterRow, redb::Error> {
        Ok(self.row(id)?.get_or_insert([0; size_of::<CounterRow>()]))
    }

    fn apply(&mut self, change: &Change) -> Result<(), redb::Error> {
        match change {
            Change::Write { id, next, .. } => row::put_fence(self.numbers(*id)?, *next),
            Change::PutSession { id, row, counters } => {
                self.sessions.table()?.insert(&id.to_bytes(), &*row::session(row))?;
                row::put_counters(self.numbers(*id)?, counters);
            }
            Change::PutCounters { id, counters } => row::put_counters(self.numbers(*id)?, counters),
            Change::DeleteSession { id } => {
                self.counted.insert(*id, None);
                self.sessions.table()?.remove(&id.to_bytes())?;
                self.trim(*id, u64::MAX)?;
            }
            Change::PutLeaving { user, leaving } => {
                self.leaving.table()?.insert(&**user, &row::leaving(leaving))?;
            }
            Change::DeleteLeaving { user } => {
                self.leaving.table()?.remove(&**user)?;
            }
            Change::PutMessage { id, sequence, tag, key, tail } => {
                let message = match self.payloads.refer(tail.bytes())? {
                    Some(number) => row::message_to_many(*tag, *key, number),
                    None => row::message(*tag, *key, tail),
                };
                let key = (&id.to_bytes(), *sequence);
                let before = self.messages.table()?.insert(key, &*message)?;
                self.payloads.release(before.and_then(|row| row::refers_to(row.value())));
            }
            Change::TrimMessages { id, up_to, .. } => self.trim(*id, *up_to)?,
            // For stores that are shared; in this one the shard has decided.
            Change::Join { .. } | Change::Leave { .. } => {}
            Change::PutEvent { stream, sequence, event } => {
                self.events.put(stream, *sequence, event)?;
            }
            Change::DeleteEvent { stream, sequence } => {
                self.events.delete(stream, *sequence)?;
            }
            Change::PutDeadLetter { id, letter } => {
                self.dead_letters.table()?.insert(*id, &**letter)?;
            }
            Change::DeleteDeadLetter { id } => {
                self.dead_letters.table()?.remove(*id)?;
            }
            Change::PutMeta { name, value } => {
                self.meta.table()?.insert(&**name, &**value)?;
            }
        }
        Ok(())
    }

    fn trim(&mut self, id: SessionId, up_to: u64) -> Result<(), redb::Error> {
        let id = id.to_bytes();
        let payloads = &mut self.payloads;
        Ok(self.messages.table()?.retain_in((&id, 0)..=(&id, up_to), |_, message| {
            payloads.release(row::refers_to(message));
            false
        })?)
    }
}
