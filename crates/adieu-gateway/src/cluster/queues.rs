//! The queues of events that this node delivers, and how far each has come.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use adieu_engine::{Place, Queued, Taken, Told, Whose};
use bytes::Bytes;

use crate::session::Slot;
use crate::session::event::{Event, slot_of_stream};

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
    known: Known,
}

/// What the deliveries were given of a queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Known {
    /// All that the engine had, the last time it was asked.
    All,
    /// A part.
    #[default]
    Part,
    /// A part; an event came since, and was left for the next time.
    PartAndMore,
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
                let new = || Held { known: Known::All, ..Held::default() };
                self.0.entry(told.stream.clone()).or_insert_with(new)
            }
            // Where this node does not know that the queue is its own, the answer was lost that
            // said so.
            Whose::Mine => self.0.entry(told.stream.clone()).or_default(),
        };
        if told.place <= held.last {
            return Next::Nothing;
        }
        if held.known != Known::All {
            // Asked for already, unless nothing is on its way that would ask again.
            let ask = held.events.is_empty() && held.known == Known::Part;
            held.known = Known::PartAndMore;
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
        let all = events.len() < EVENTS;
        let mut new = Vec::new();
        for Queued { place, id, event } in events {
            if place > held.last {
                new.push((held.add(place, id, &event), event));
            }
        }
        let again = all && held.known == Known::PartAndMore;
        held.known = match held.known {
            _ if all => Known::All,
            Known::PartAndMore => Known::PartAndMore,
            Known::All | Known::Part => Known::Part,
        };
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
        let slot = slot_of_stream(stream)?;
        let more_behind = Some(self.last);
        Some(Taken { stream: stream.clone(), slot, events: Vec::new(), more_behind })
    }
}

/// The queues of each slot.
pub(super) fn by_slot(streams: Vec<Bytes>) -> HashMap<Slot, Vec<Bytes>> {
    let mut all: HashMap<Slot, Vec<Bytes>> = HashMap::new();
    for stream in streams {
        if let Some(slot) = slot_of_stream(&stream) {
            all.entry(slot).or_default().push(stream);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use adieu_engine::{Place, Queued, Told, Whose};

    use super::*;
    use crate::session::event::{Data, EventType, session_stream};
    use crate::session::{SessionId, Timestamp};

    fn stream() -> Bytes {
        session_stream(SessionId::new([1; 16]))
    }

    fn event(sequence: u64) -> Arc<Event> {
        Arc::new(Event {
            id: format!("event {sequence}"),
            r#type: EventType::Message,
            session_id: SessionId::new([1; 16]),
            user: None,
            meta: None,
            generation: 1,
            sequence: Some(sequence),
            time: Timestamp(0),
            data: Data::Resumed,
        })
    }

    fn told(sequence: u64, whose: Whose) -> Told {
        Told { stream: stream(), place: Place(sequence, 0), whose, event: event(sequence) }
    }

    fn queued(numbers: std::ops::RangeInclusive<u64>) -> Vec<Queued> {
        let one = |n| Queued { place: Place(n, 0), id: format!("event {n}"), event: event(n) };
        numbers.map(one).collect()
    }

    fn numbers(new: &[(u64, Arc<Event>)]) -> Vec<u64> {
        new.iter().map(|(number, _)| *number).collect()
    }

    #[test]
    fn events_of_a_queue_that_is_known_go_to_the_deliveries_once() {
        let mut queues = Queues::default();
        assert_eq!(queues.told(&told(1, Whose::New)), Next::Deliver(1));
        assert_eq!(queues.told(&told(2, Whose::Mine)), Next::Deliver(2));
        assert_eq!(queues.told(&told(3, Whose::Other)), Next::Nothing);
        assert_eq!(queues.told(&told(2, Whose::Mine)), Next::Nothing);
        // The engine has said it before this answer was read.
        let (new, again) = queues.came(&stream(), queued(2..=3));
        assert_eq!((numbers(&new), again), (vec![3], false));
    }

    #[test]
    fn what_was_taken_is_told_and_what_follows_is_asked_for_behind_the_last() {
        let mut queues = Queues::default();
        queues.told(&told(1, Whose::New));
        queues.told(&told(2, Whose::Mine));
        let [taken] = &queues.taken(&[(stream(), 1), (stream(), 9)])[..] else { panic!() };
        assert_eq!(taken.events, [(Place(1, 0), "event 1".to_owned())]);
        assert_eq!(taken.more_behind, Some(Place(2, 0)));
        queues.came(&stream(), Vec::new());
        assert_eq!(queues.streams(), [stream()], "one waits");
        queues.taken(&[(stream(), 2)]);
        queues.came(&stream(), Vec::new());
        assert!(queues.streams().is_empty());
    }

    /// A queue of which the answer was lost that it is this node's; and one that is longer than one
    /// answer: no event may overtake those that are not known yet.
    #[test]
    fn an_event_behind_some_that_are_not_known_is_asked_for_with_them() {
        let mut queues = Queues::default();
        assert_eq!(queues.told(&told(90, Whose::Mine)), Next::Ask);
        assert_eq!(queues.told(&told(91, Whose::Mine)), Next::Nothing, "asked for already");
        let (new, again) = queues.came(&stream(), queued(60..=91));
        assert_eq!((new.len(), again), (EVENTS, false), "there may be more than one answer has");
        assert_eq!(queues.told(&told(92, Whose::Mine)), Next::Nothing);
        let (new, again) = queues.came(&stream(), queued(92..=92));
        assert_eq!((numbers(&new), again), (vec![92], true), "another may have come meanwhile");
        let (new, again) = queues.came(&stream(), Vec::new());
        assert_eq!((new.len(), again), (0, false));
        assert_eq!(queues.told(&told(93, Whose::Mine)), Next::Deliver(93));
    }
}
