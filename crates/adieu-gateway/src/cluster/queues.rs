//! The queues of events that this node delivers, and how far each has come.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use adieu_engine::{Place, Queued, Taken, Told, Whose};
use bytes::Bytes;

use crate::session::event::Event;
use crate::session::{SessionId, Slot};

/// Events that are asked for at once, of one queue.
pub(super) const EVENTS: usize = 32;

/// The queues that this node delivers.
#[derive(Debug, Default)]
pub(super) struct Queues(HashMap<Bytes, Held>);

/// A queue.
#[derive(Debug, Default)]
struct Held {
    /// Events that the backend has not taken, by their number in the deliveries.
    events: BTreeMap<u64, (Place, String)>,
    /// The last event that was given to the deliveries.
    last: Place,
    /// All that the engine had, the last time it was asked, was given to the deliveries.
    complete: bool,
    /// An event came meanwhile, and was left for the next time.
    more: bool,
}

/// What is to be done with an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// It goes to the deliveries, under this number.
    Deliver(u64),
    /// The engine is asked for the events of its queue.
    Ask,
    /// Nothing: it is there already, or another node's.
    Nothing,
}

impl Queues {
    /// The engine has an event more.
    pub(super) fn told(&mut self, told: &Told) -> Next {
        let held = match told.whose {
            Whose::Other => return Next::Nothing,
            Whose::New => {
                let new = || Held { complete: true, ..Held::default() };
                self.0.entry(told.stream.clone()).or_insert_with(new)
            }
            // Where this node does not know that the queue is its own, the answer was lost that
            // said so.
            Whose::Mine => self.0.entry(told.stream.clone()).or_default(),
        };
        if told.place <= held.last {
            return Next::Nothing;
        }
        if !held.complete {
            // Asked for already, unless nothing is on its way that would ask again.
            let ask = held.events.is_empty() && !held.more;
            held.more = true;
            return if ask { Next::Ask } else { Next::Nothing };
        }
        Next::Deliver(held.add(told.place, told.event.id.clone(), &told.event))
    }

    /// The engine has answered with events of a queue that this node delivers. Those that are new,
    /// with their numbers; whether to ask again.
    pub(super) fn came(
        &mut self,
        stream: &Bytes,
        events: Vec<Queued>,
    ) -> (Vec<(u64, Arc<Event>)>, bool) {
        let held = self.0.entry(stream.clone()).or_default();
        held.complete = events.len() < EVENTS;
        let mut new = Vec::new();
        for Queued { place, id, event } in events {
            if place > held.last {
                new.push((held.add(place, id, &event), event));
            }
        }
        let again = held.complete && std::mem::take(&mut held.more);
        if held.events.is_empty() && !again {
            self.0.remove(stream);
        }
        (new, again)
    }

    /// The backend has taken events; what to tell the engine of each queue.
    pub(super) fn taken(&mut self, all: &[(Bytes, u64)]) -> Vec<Taken> {
        let mut by_stream: Vec<Taken> = Vec::new();
        for (stream, number) in all {
            let Some(held) = self.0.get_mut(stream) else { continue };
            let Some(event) = held.events.remove(number) else { continue };
            let at = by_stream.iter().position(|taken| taken.stream == *stream);
            let at = at.unwrap_or_else(|| {
                by_stream.extend(held.asked(stream));
                by_stream.len() - 1
            });
            if let Some(taken) = by_stream.get_mut(at) {
                taken.events.push(event);
            }
        }
        by_stream
    }

    /// Asks for the events of a queue that the engine says is this node's.
    pub(super) fn ask_from_start(&mut self, stream: &Bytes) -> Option<Taken> {
        self.0.entry(stream.clone()).or_default().asked(stream)
    }

    /// Asks for what follows in a queue.
    pub(super) fn ask(&self, stream: &Bytes) -> Option<Taken> {
        self.0.get(stream)?.asked(stream)
    }

    /// Where an event stands, and its id.
    pub(super) fn place_of(&self, stream: &Bytes, number: u64) -> Option<(Place, String)> {
        self.0.get(stream)?.events.get(&number).cloned()
    }

    /// All of them.
    pub(super) fn streams(&self) -> Vec<Bytes> {
        self.0.keys().cloned().collect()
    }

    /// None is this node's any more.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

impl Held {
    fn add(&mut self, place: Place, id: String, event: &Event) -> u64 {
        // Of a user's event its place says the order: 44 bits of time and 20 of a count.
        let number = event.sequence.unwrap_or((place.0 << 20) | (place.1 & 0xF_FFFF));
        self.events.insert(number, (place, id));
        self.last = place;
        number
    }

    fn asked(&self, stream: &Bytes) -> Option<Taken> {
        let slot = slot_of(stream)?;
        let more_behind = Some(self.last);
        Some(Taken { stream: stream.clone(), slot, events: Vec::new(), more_behind })
    }
}

/// The slot of a queue.
pub(super) fn slot_of(stream: &[u8]) -> Option<Slot> {
    match stream.split_first()? {
        (b's', id) => Some(SessionId::new(id.try_into().ok()?).slot()),
        (b'u', user) => Some(Slot::of_user(std::str::from_utf8(user).ok()?)),
        _ => None,
    }
}

/// The queues of each slot.
pub(super) fn by_slot(streams: Vec<Bytes>) -> HashMap<Slot, Vec<Bytes>> {
    let mut all: HashMap<Slot, Vec<Bytes>> = HashMap::new();
    for stream in streams {
        if let Some(slot) = slot_of(&stream) {
            all.entry(slot).or_default().push(stream);
        }
    }
    all
}
