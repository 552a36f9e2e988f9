//! Dead letters: events that the backend would not take, kept for people to look at, to send again
//! or to throw away. Lifecycle events among them are *parked*: they are tried again at each start.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::event::Kind;
use super::options::{DEAD_LETTER_BYTES, DEAD_LETTERS};
use crate::session::event::{Event, EventType};
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
    event: Arc<Event>,
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
    /// Other nodes have dead letters too: what the numbers of this one end with.
    node: Option<u64>,
}

/// How many nodes give numbers to dead letters of the same millisecond.
const NODES: u64 = 1 << 10;

/// A dead letter, as it is listed.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DeadLetter {
    /// Its number: what is older has a smaller one.
    id: String,
    state: &'static str,
    event_id: String,
    r#type: EventType,
    session_id: SessionId,
    user_id: Option<Arc<str>>,
    sequence: Option<u64>,
    time: Timestamp,
    #[serde(flatten)]
    head: Head,
    /// Of the event.
    bytes: usize,
}

/// In which order they are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// The oldest first.
    Oldest,
    /// The newest first.
    Newest,
}

/// Which part of the list: up to so many behind a number, in this order.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part {
    pub(crate) order: Order,
    pub(crate) after: Option<u64>,
    pub(crate) limit: usize,
}

/// What the list says.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DeadLetterList {
    /// All there are.
    pub(crate) total: usize,
    /// How many of them are lifecycle events.
    pub(crate) parked: usize,
    pub(crate) dead_letters: Vec<DeadLetter>,
    /// Where the next part of the list begins, if there is more.
    pub(crate) next: Option<String>,
}

impl Letters {
    /// As the store has it. One that cannot be read stays in the store.
    pub(super) fn restore(&mut self, id: u64, row: &[u8]) {
        let Some((head, event)) = read(row) else {
            return tracing::error!("dead letter {id} cannot be read by this version; it is kept");
        };
        let kind = Kind::of(event.r#type);
        self.insert(id, Letter { kind, head, event: Arc::new(event), retrying: false });
    }

    /// Other nodes have dead letters too, which are all in one list.
    pub(super) fn shared(&mut self, node: u64) {
        self.node = Some(node % NODES);
    }

    /// As all nodes have them now. Those that are being sent again stay until that is decided.
    pub(super) fn are_now(&mut self, all: &BTreeMap<u64, Bytes>) {
        let gone = |(id, letter): (&u64, &Letter)| {
            (!letter.retrying && !all.contains_key(id)).then_some(*id)
        };
        let gone: Vec<_> = self.all.iter().filter_map(gone).collect();
        gone.into_iter().for_each(|id| drop(self.remove(id)));
        for (id, row) in all {
            if !self.has(*id) {
                self.restore(*id, row);
            }
        }
    }

    /// Sets an event aside; its number, and what has to be written down.
    pub(super) fn bury(&mut self, now: Timestamp, head: Head, event: Arc<Event>) -> Batch {
        let kind = Kind::of(event.r#type);
        // A number is not given a second time, also when the letter that had it is gone.
        let id = match self.node {
            None => now.0.max(self.last + 1),
            Some(node) => now.0.max(self.last / NODES + 1) * NODES + node,
        };
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
            self.bytes -= letter.event.size();
        }
        Some(Change::DeleteDeadLetter { id })
    }

    /// It is to be sent again: its event, unless that is under way. `None`: there is
    /// no such letter.
    pub(super) fn retry(&mut self, id: u64) -> Option<Option<Arc<Event>>> {
        let letter = self.all.get_mut(&id)?;
        let rests = !std::mem::replace(&mut letter.retrying, true);
        Some(rests.then(|| letter.event.clone()))
    }

    /// Whether there is one of this number.
    pub(super) fn has(&self, id: u64) -> bool {
        self.all.contains_key(&id)
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

    pub(super) fn list(&self, part: Part) -> DeadLetterList {
        let (dead_letters, next) = match (part.order, part.after) {
            (Order::Oldest, after) => {
                let from = after.map_or(0, |after| after.saturating_add(1));
                some(self.all.range(from..), part.limit)
            }
            (Order::Newest, None) => some(self.all.iter().rev(), part.limit),
            (Order::Newest, Some(after)) => some(self.all.range(..after).rev(), part.limit),
        };
        let (_, parked) = self.counts();
        DeadLetterList { total: self.all.len(), parked, dead_letters, next }
    }

    fn insert(&mut self, id: u64, letter: Letter) {
        self.last = self.last.max(id);
        if !letter.kind.is_never_let_go() {
            self.bytes += letter.event.size();
            self.bounded.insert(id);
        }
        self.all.insert(id, letter);
    }
}

/// The first of these, and where the next part begins, if there is more.
fn some<'a>(
    mut letters: impl Iterator<Item = (&'a u64, &'a Letter)>,
    limit: usize,
) -> (Vec<DeadLetter>, Option<String>) {
    let some: Vec<_> = letters.by_ref().take(limit).map(|(id, one)| view(*id, one)).collect();
    let more = letters.next().is_some();
    let next = some.last().filter(|_| more).map(|letter| letter.id.clone());
    (some, next)
}

fn view(id: u64, letter: &Letter) -> DeadLetter {
    let event = &letter.event;
    let state = match (letter.retrying, letter.kind) {
        (true, _) => "retrying",
        (false, Kind::Message) => "dead",
        (false, _) => "parked",
    };
    DeadLetter {
        id: id.to_string(),
        state,
        r#type: event.r#type,
        session_id: event.session_id,
        sequence: event.sequence,
        time: event.time,
        event_id: event.id.clone(),
        user_id: event.user.clone(),
        head: letter.head.clone(),
        bytes: event.size(),
    }
}

/// Two values of JSON.
fn write(head: &Head, event: &Event) -> Bytes {
    // Strings and numbers: nothing in it can fail.
    serde_json::to_vec(&(head, event)).unwrap_or_default().into()
}

fn read(row: &[u8]) -> Option<(Head, Event)> {
    serde_json::from_slice(row).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::event::Data;

    fn event(r#type: EventType, data: Data) -> Arc<Event> {
        Arc::new(Event {
            id: "x".into(),
            r#type,
            session_id: SessionId::new([1; 16]),
            user: None,
            meta: None,
            generation: 1,
            sequence: Some(1),
            time: Timestamp(1),
            data,
        })
    }

    fn said(text: &str) -> Arc<Event> {
        event(EventType::Message, Data::Text(text.into()))
    }

    fn head(tries: u32) -> Head {
        let at = Timestamp(5);
        Head { error: "it answered 500".into(), tries, first_failed_at: at, last_tried_at: at }
    }

    #[test]
    fn a_letter_is_read_as_it_was_written() {
        let event = said("grüß");
        assert_eq!(read(&write(&head(3), &event)), Some((head(3), Event::clone(&event))));
        assert_eq!(read(b"{\"of\":\"another version\"}"), None);
    }

    #[test]
    fn the_oldest_message_is_let_go_and_a_departure_never() {
        let (mut letters, now) = (Letters::default(), Timestamp(1_000));
        letters.bury(now, head(1), event(EventType::SessionEnded, Data::Resumed));
        for _ in 0..DEAD_LETTERS {
            let batch = letters.bury(now, head(1), said("hello"));
            assert_eq!(batch.len(), 1);
        }
        let batch = letters.bury(now, head(1), said("hello"));
        // Numbers are given in order, though the clock stands still.
        assert_eq!(batch[1], Change::DeleteDeadLetter { id: 1_001 });
        assert_eq!((letters.counts(), letters.let_go), ((DEAD_LETTERS, 1), 1));
        let large = said(&"x".repeat(DEAD_LETTER_BYTES - 256));
        letters.bury(now, head(1), large);
        assert_eq!(letters.counts(), (1, 1), "the newest alone is as much as there may be");
    }

    #[test]
    fn the_list_comes_in_parts() {
        let mut letters = Letters::default();
        for _ in 0..5 {
            letters.bury(Timestamp(10), head(1), said("x"));
        }
        letters.bury(Timestamp(10), head(1), event(EventType::SessionEnded, Data::Resumed));
        let all = |order| {
            let (mut after, mut all) = (None, Vec::new());
            loop {
                let part = letters.list(Part { order, after, limit: 2 });
                assert_eq!((part.total, part.parked), (6, 1));
                all.extend(part.dead_letters.into_iter().map(|letter| letter.id));
                let Some(next) = part.next else { return all };
                after = Some(next.parse().unwrap());
            }
        };
        let mut ids = ["10", "11", "12", "13", "14", "15"];
        assert_eq!(all(Order::Oldest), ids);
        ids.reverse();
        assert_eq!(all(Order::Newest), ids);
    }
}
