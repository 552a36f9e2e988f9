//! Dead letters: events that the backend would not take, kept for people to look at, to send again
//! or to throw away. Lifecycle events among them are *parked*: they are tried again at each start.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::event::{About, Kind};
use super::options::{DEAD_LETTER_BYTES, DEAD_LETTERS};
use crate::session::hub::EventType;
use crate::session::{Batch, Change, SessionId, Timestamp};

/// What is known of a dead letter beside its event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Head {
    /// What the backend said last.
    pub(super) error: String,
    pub(super) tries: u32,
    pub(super) first_failed_at: Timestamp,
    pub(super) last_tried_at: Timestamp,
}

#[derive(Debug)]
struct Letter {
    kind: Kind,
    head: Head,
    event: Bytes,
    /// It is being sent again, and stays here until it is taken.
    retrying: bool,
}

/// All dead letters, by number.
#[derive(Debug, Default)]
pub(super) struct Letters {
    all: BTreeMap<u64, Letter>,
    /// Those that may be let go, oldest first, and their bytes.
    bounded: BTreeSet<u64>,
    bytes: usize,
    /// How many were let go because there were too many.
    pub(super) let_go: u64,
    last: u64,
}

/// A dead letter, as it is listed.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DeadLetter {
    /// Its number: what is older has a smaller one.
    id: String,
    state: &'static str,
    event_id: Option<String>,
    r#type: Option<EventType>,
    session_id: Option<SessionId>,
    user_id: Option<String>,
    sequence: Option<u64>,
    time: Option<Timestamp>,
    #[serde(flatten)]
    head: Head,
    /// Of the event.
    bytes: usize,
}

/// What the list says.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DeadLetterList {
    /// All there are.
    pub(crate) total: usize,
    pub(crate) dead_letters: Vec<DeadLetter>,
    /// Where the next part of the list begins, if there is more.
    pub(crate) next: Option<String>,
}

impl Letters {
    /// As the store has it. A letter that cannot be read is kept, and listed as such.
    pub(super) fn restore(&mut self, id: u64, row: &Bytes) {
        let (head, event) = read(row);
        let kind = About::read(&event).map_or(Kind::Unreadable, |about| about.kind());
        self.insert(id, Letter { kind, head, event, retrying: false });
    }

    /// Sets an event aside; its number, and what has to be written down.
    pub(super) fn bury(&mut self, now: Timestamp, kind: Kind, head: Head, event: Bytes) -> Batch {
        // A number is not given a second time, also when the letter that had it is gone.
        let id = now.0.max(self.last + 1);
        let mut batch = vec![Change::PutDeadLetter { id, letter: write(&head, &event) }];
        self.insert(id, Letter { kind, head, event, retrying: false });
        while self.bounded.len() > DEAD_LETTERS || self.bytes > DEAD_LETTER_BYTES {
            let Some(oldest) = self.bounded.first().copied() else { break };
            self.let_go += 1;
            batch.extend(self.remove(oldest));
        }
        batch
    }

    /// One that was sent again was refused again: what has to be written down.
    pub(super) fn refused(&mut self, id: u64, head: Head) -> Batch {
        // It may have been discarded or let go meanwhile.
        let Some(letter) = self.all.get_mut(&id) else { return Vec::new() };
        letter.retrying = false;
        let tries = letter.head.tries.saturating_add(head.tries);
        letter.head = Head { tries, first_failed_at: letter.head.first_failed_at, ..head };
        vec![Change::PutDeadLetter { id, letter: write(&letter.head, &letter.event) }]
    }

    /// It is taken, or thrown away; what has to be written down. `None`: there is none.
    pub(super) fn remove(&mut self, id: u64) -> Option<Change> {
        let letter = self.all.remove(&id)?;
        if self.bounded.remove(&id) {
            self.bytes -= letter.event.len();
        }
        Some(Change::DeleteDeadLetter { id })
    }

    /// It is to be sent again: its kind and its event, unless that is under way. `None`: there is
    /// no such letter.
    pub(super) fn retry(&mut self, id: u64) -> Option<Option<(Kind, Bytes)>> {
        let letter = self.all.get_mut(&id)?;
        let sendable = !letter.retrying && letter.kind != Kind::Unreadable;
        letter.retrying |= sendable;
        Some(sendable.then(|| (letter.kind, letter.event.clone())))
    }

    pub(super) fn ids(&self) -> Vec<u64> {
        self.all.keys().copied().collect()
    }

    /// Those that are tried again by themselves, at the start.
    pub(super) fn parked(&self) -> Vec<u64> {
        let parked = self.all.iter().filter(|(_, letter)| letter.kind != Kind::Message);
        parked.map(|(id, _)| *id).collect()
    }

    /// How many messages, how many lifecycle events.
    pub(super) fn counts(&self) -> (usize, usize) {
        let messages = self.all.values().filter(|letter| letter.kind == Kind::Message).count();
        (messages, self.all.len() - messages)
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Up to so many behind this number.
    pub(super) fn list(&self, after: u64, limit: usize) -> DeadLetterList {
        let mut some = self.all.range(after.saturating_add(1)..);
        let dead_letters: Vec<_> =
            some.by_ref().take(limit).map(|(id, letter)| view(*id, letter)).collect();
        let more = some.next().is_some();
        let next = dead_letters.last().filter(|_| more).map(|letter| letter.id.clone());
        DeadLetterList { total: self.all.len(), dead_letters, next }
    }

    fn insert(&mut self, id: u64, letter: Letter) {
        self.last = self.last.max(id);
        if !letter.kind.is_never_let_go() {
            self.bytes += letter.event.len();
            self.bounded.insert(id);
        }
        self.all.insert(id, letter);
    }
}

fn view(id: u64, letter: &Letter) -> DeadLetter {
    let about = About::read(&letter.event);
    let state = match (letter.retrying, letter.kind) {
        (true, _) => "retrying",
        (false, Kind::Message) => "dead",
        (false, _) => "parked",
    };
    DeadLetter {
        id: id.to_string(),
        state,
        r#type: about.as_ref().map(|about| about.r#type),
        session_id: about.as_ref().map(|about| about.session_id),
        sequence: about.as_ref().and_then(|about| about.sequence),
        time: about.as_ref().map(|about| about.time),
        event_id: about.as_ref().map(|about| about.id.clone()),
        user_id: about.and_then(|about| about.user),
        head: letter.head.clone(),
        bytes: letter.event.len(),
    }
}

/// A line of JSON, and behind it the event as it was written down.
fn write(head: &Head, event: &[u8]) -> Bytes {
    // Strings and numbers: nothing in it can fail.
    let mut row = serde_json::to_vec(head).unwrap_or_default();
    row.push(b'\n');
    row.extend_from_slice(event);
    row.into()
}

fn read(row: &Bytes) -> (Head, Bytes) {
    let end = row.iter().position(|byte| *byte == b'\n').unwrap_or(row.len());
    let event = row.slice((end + 1).min(row.len())..);
    let head = serde_json::from_slice(&row[..end]).unwrap_or_else(|_| Head {
        error: "what was written down of it cannot be read".into(),
        tries: 0,
        first_failed_at: Timestamp(0),
        last_tried_at: Timestamp(0),
    });
    (head, event)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(tries: u32) -> Head {
        let at = Timestamp(5);
        Head { error: "it answered 500".into(), tries, first_failed_at: at, last_tried_at: at }
    }

    #[test]
    fn a_letter_is_read_as_it_was_written() {
        let row = write(&head(3), b"{\"an\":\n\"event\"}");
        assert_eq!(read(&row), (head(3), Bytes::from_static(b"{\"an\":\n\"event\"}")));
    }

    #[test]
    fn the_oldest_message_is_let_go_and_a_departure_never() {
        let (mut letters, now) = (Letters::default(), Timestamp(1_000));
        letters.bury(now, Kind::Presence, head(1), Bytes::from_static(b"left"));
        for _ in 0..DEAD_LETTERS {
            let batch = letters.bury(now, Kind::Message, head(1), Bytes::from_static(b"said"));
            assert_eq!(batch.len(), 1);
        }
        let batch = letters.bury(now, Kind::Message, head(1), Bytes::from_static(b"said"));
        // Numbers are given in order, though the clock stands still.
        assert_eq!(batch[1], Change::DeleteDeadLetter { id: 1_001 });
        assert_eq!((letters.counts(), letters.let_go), ((DEAD_LETTERS, 1), 1));
        let large = Bytes::from(vec![0; DEAD_LETTER_BYTES]);
        letters.bury(now, Kind::Message, head(1), large);
        assert_eq!(letters.counts(), (1, 1), "the newest alone is as much as there may be");
    }

    #[test]
    fn the_list_comes_in_parts() {
        let mut letters = Letters::default();
        for _ in 0..5 {
            letters.bury(Timestamp(10), Kind::Message, head(1), Bytes::from_static(b"x"));
        }
        let (mut after, mut all) = (0, Vec::new());
        loop {
            let part = letters.list(after, 2);
            assert_eq!(part.total, 5);
            all.extend(part.dead_letters.into_iter().map(|letter| letter.id));
            let Some(next) = part.next else { break };
            after = next.parse().unwrap();
        }
        assert_eq!(all, ["10", "11", "12", "13", "14"]);
    }
}
