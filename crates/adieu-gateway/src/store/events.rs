//! Events that wait for the backend, in the order in which they were written: those of one commit
//! lie beside each other, whatever they are ordered by, so that a commit writes few pages.

use std::collections::HashMap;

use bytes::Bytes;
use redb::{ReadTransaction, ReadableTable, TableDefinition, WriteTransaction};

use super::row;
use super::table::Lazy;
use crate::session::event::Event;

/// Events by the number of their writing: what orders the event, its number there, the event.
pub(super) const EVENTS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("event_log");

/// What an event is ordered by, and its number there.
type Key = (Bytes, u64);

/// Where each event that waits lies. In memory: the events are there as well, and larger.
#[derive(Debug, Default)]
pub(super) struct Places {
    of: HashMap<Key, u64>,
    last: u64,
}

/// The events of a commit.
pub(super) struct Events<'t> {
    events: Lazy<'t, u64, &'static [u8]>,
    places: &'t mut Places,
}

impl<'t> Events<'t> {
    pub(super) fn new(transaction: &'t WriteTransaction, places: &'t mut Places) -> Self {
        Events { events: Lazy::new(transaction, EVENTS), places }
    }

    pub(super) fn put(
        &mut self,
        stream: &Bytes,
        sequence: u64,
        event: &Event,
    ) -> Result<(), redb::Error> {
        self.delete(stream, sequence)?;
        self.places.last += 1;
        self.places.of.insert((stream.clone(), sequence), self.places.last);
        self.events.table()?.insert(self.places.last, &*row::event(stream, sequence, event))?;
        Ok(())
    }

    pub(super) fn delete(&mut self, stream: &Bytes, sequence: u64) -> Result<(), redb::Error> {
        if let Some(place) = self.places.of.remove(&(stream.clone(), sequence)) {
            self.events.table()?.remove(place)?;
        }
        Ok(())
    }
}

/// Gives each event of the store. `None`: it was not written by this version.
pub(super) fn each(
    transaction: &ReadTransaction,
    mut give: impl FnMut(Option<(Key, Event)>) -> Result<(), redb::Error>,
) -> Result<(), redb::Error> {
    for entry in transaction.open_table(EVENTS)?.iter()? {
        let (_, event) = entry?;
        give(row::read_event(event.value()))?;
    }
    Ok(())
}

/// Where each event of the store lies.
pub(super) fn places(transaction: &ReadTransaction) -> Result<Places, redb::Error> {
    let mut places = Places::default();
    for entry in transaction.open_table(EVENTS)?.iter()? {
        let (place, event) = entry?;
        if let Some((stream, sequence, _)) = row::event_parts(event.value()) {
            places.of.insert((Bytes::copy_from_slice(stream), sequence), place.value());
        }
        places.last = place.value();
    }
    Ok(places)
}
