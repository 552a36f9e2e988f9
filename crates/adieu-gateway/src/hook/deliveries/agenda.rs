//! When which stream may send next.

use std::collections::BTreeMap;
use std::time::Instant;

use bytes::Bytes;

/// Streams by the time from which their next event may be sent; of the same time in the order in
/// which they came.
#[derive(Debug, Default)]
pub(super) struct Agenda {
    entries: BTreeMap<Entry, Bytes>,
    last: u64,
}

/// Where a stream stands in the agenda.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Entry {
    due: Instant,
    ticket: u64,
}

impl Agenda {
    /// Moves a stream to another time, or out.
    pub(super) fn plan(&mut self, entry: &mut Option<Entry>, due: Option<Instant>, stream: &Bytes) {
        if entry.map(|entry| entry.due) == due {
            return;
        }
        if let Some(entry) = entry.take() {
            self.entries.remove(&entry);
        }
        if let Some(due) = due {
            self.last += 1;
            let planned = Entry { due, ticket: self.last };
            self.entries.insert(planned, stream.clone());
            *entry = Some(planned);
        }
    }

    /// The first, with its time.
    pub(super) fn first(&self) -> Option<(Instant, &Bytes)> {
        self.entries.first_key_value().map(|(entry, stream)| (entry.due, stream))
    }

    /// Whether so many are due.
    pub(super) fn has_due(&self, now: Instant, count: usize) -> bool {
        if self.entries.len() < count {
            return false;
        }
        self.entries.keys().take(count).filter(|entry| entry.due <= now).count() == count
    }

    /// The first time that is still to come.
    pub(super) fn next_after(&self, now: Instant) -> Option<Instant> {
        let later = Entry { due: now, ticket: u64::MAX };
        self.entries.range(later..).next().map(|(entry, _)| entry.due)
    }
}
