//! Payloads of messages that go to many sessions: once in the store, and a reference in the row of
//! each message. A payload goes with the last message that refers to it.

use std::collections::HashMap;

use bytes::Bytes;
use redb::{ReadTransaction, ReadableTable, TableDefinition, WriteTransaction};

use super::table::Lazy;
use crate::session::{Batch, Change};

/// A payload by its number.
pub(super) const PAYLOADS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("payloads");

/// How many messages refer to it.
pub(super) const REFERENCES: TableDefinition<'_, u64, u32> = TableDefinition::new("references");

/// Bytes below which a payload stands in each row: a reference costs about as much.
const WORTH: usize = 64;

/// Where the bytes of a payload lie: messages to many share them.
type Place = (usize, usize);

fn place(bytes: &[u8]) -> Place {
    (bytes.as_ptr().addr(), bytes.len())
}

/// The payloads of a commit.
pub(super) struct Payloads<'t> {
    payloads: Lazy<'t, u64, &'static [u8]>,
    references: Lazy<'t, u64, u32>,
    /// Those that several messages of the batch have; with their numbers, once they have some.
    shared: HashMap<Place, Option<u64>>,
    /// How the numbers of references change.
    changes: HashMap<u64, i64>,
}

impl<'t> Payloads<'t> {
    pub(super) fn new(transaction: &'t WriteTransaction) -> Self {
        Payloads {
            payloads: Lazy::new(transaction, PAYLOADS),
            references: Lazy::new(transaction, REFERENCES),
            shared: HashMap::new(),
            changes: HashMap::new(),
        }
    }

    /// Looks which payloads of a batch go to many. They live as long as the batch, so that no other
    /// has their place meanwhile.
    pub(super) fn begin(&mut self, batch: &Batch) {
        self.shared.clear();
        let mut once = HashMap::new();
        for change in batch {
            if let Change::PutMessage { tail, .. } = change
                && tail.bytes().len() >= WORTH
            {
                *once.entry(place(tail.bytes())).or_insert(0) += 1;
            }
        }
        let many = once.into_iter().filter(|(_, times)| *times > 1);
        self.shared.extend(many.map(|(place, _)| (place, None)));
    }

    /// The number under which this payload is kept, if it goes to many.
    pub(super) fn refer(&mut self, bytes: &[u8]) -> Result<Option<u64>, redb::Error> {
        let Some(number) = self.shared.get_mut(&place(bytes)) else { return Ok(None) };
        let number = match *number {
            Some(number) => number,
            None => {
                let payloads = self.payloads.table()?;
                let last = payloads.last()?.map_or(0, |(number, _)| number.value());
                payloads.insert(last + 1, bytes)?;
                *number.insert(last + 1)
            }
        };
        *self.changes.entry(number).or_default() += 1;
        Ok(Some(number))
    }

    /// A message that referred to this one, if to any, is gone.
    pub(super) fn release(&mut self, number: Option<u64>) {
        if let Some(number) = number {
            *self.changes.entry(number).or_default() -= 1;
        }
    }

    /// Removes those to which no message refers any more.
    pub(super) fn finish(mut self) -> Result<(), redb::Error> {
        for (number, change) in std::mem::take(&mut self.changes) {
            let references = self.references.table()?;
            let before = references.get(number)?.map_or(0, |kept| kept.value());
            let now = i64::from(before) + change;
            if now > 0 {
                references.insert(number, u32::try_from(now).unwrap_or(u32::MAX))?;
            } else {
                references.remove(number)?;
                self.payloads.table()?.remove(number)?;
            }
        }
        Ok(())
    }
}

/// All payloads: messages that refer to the same share it in memory as well.
pub(super) fn load(transaction: &ReadTransaction) -> Result<HashMap<u64, Bytes>, redb::Error> {
    let mut payloads = HashMap::new();
    for entry in transaction.open_table(PAYLOADS)?.iter()? {
        let (number, bytes) = entry?;
        payloads.insert(number.value(), Bytes::copy_from_slice(bytes.value()));
    }
    Ok(payloads)
}
