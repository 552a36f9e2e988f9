//! Events on their way to the backend: a queue is delivered by one node at a time, in order.

use std::collections::BTreeMap;
use std::sync::Arc;

use adieu_session::Slot;
use adieu_session::event::Event;
use bytes::Bytes;
use redis::Value;

use crate::channel::{Call, Purpose};
use crate::due::{event_of, queue_of, stream_of};
use crate::reply::{Parts, Reply};
use crate::{Engine, EngineError, Node, Place};

/// An event of a queue.
#[derive(Clone, Debug, PartialEq)]
pub struct Queued {
    /// Where it stands.
    pub place: Place,
    /// Its id.
    pub id: String,
    /// The event.
    pub event: Arc<Event>,
}

/// A queue that the caller delivers now.
#[derive(Clone, Debug, PartialEq)]
pub struct Queue {
    /// What it is ordered by.
    pub stream: Bytes,
    /// Its first events.
    pub events: Vec<Queued>,
}

/// What the backend has taken of a queue, and what is wanted next.
#[derive(Clone, Debug)]
pub struct Taken {
    /// The queue.
    pub stream: Bytes,
    /// Its slot.
    pub slot: Slot,
    /// Where the events stand that were taken, and their ids.
    pub events: Vec<(Place, String)>,
    /// More are wanted behind this place.
    pub more_behind: Option<Place>,
}

impl Engine {
    /// Queues of some slots that wait for a node, so many of each slot at most, with so many of
    /// their events at most.
    pub async fn next(
        &self,
        me: Node,
        slots: &[Slot],
        queues: usize,
        events: usize,
    ) -> Vec<Result<Vec<Queue>, EngineError>> {
        let call = |slot: &Slot| Call::of(*slot, "next").number(me.0).number(queues).number(events);
        let read = |answer| Reply(answer).list()?.map(read_queue).collect();
        self.each(Purpose::Events, slots.iter().map(call).collect(), read).await
    }

    /// The backend has taken events. Those that follow them, of each queue, so many at most.
    pub async fn taken(
        &self,
        me: Node,
        all: &[Taken],
        most: usize,
    ) -> Vec<Result<Vec<Queued>, EngineError>> {
        let call = |taken: &Taken| {
            let behind = taken.more_behind.map(|place| place.to_string()).unwrap_or_default();
            let call = Call::of(taken.slot, "taken").number(me.0).arg(queue_of(&taken.stream));
            let mut call = call.arg(behind).number(most);
            for (place, id) in &taken.events {
                call.push(place.to_string());
                call.push(id.as_bytes());
            }
            call
        };
        self.each(Purpose::Events, all.iter().map(call).collect(), read_events).await
    }

    /// The caller does not deliver these queues any more: another node does.
    ///
    /// # Errors
    /// [`EngineError`].
    pub async fn give_back(
        &self,
        me: Node,
        slot: Slot,
        streams: &[Bytes],
    ) -> Result<usize, EngineError> {
        let mut call = Call::of(slot, "give_back").number(me.0);
        streams.iter().for_each(|stream| call.push(queue_of(stream)));
        Reply(self.channel(Purpose::Events).call(call).await?).number()
    }

    /// The dead letters of all nodes, by number.
    ///
    /// # Errors
    /// [`EngineError`].
    pub async fn dead_letters(&self) -> Result<BTreeMap<u64, Bytes>, EngineError> {
        let answer = self.channel(Purpose::Events).call(Call::of_nodes("letters")).await?;
        let mut parts = Reply(answer).list()?.map(Reply);
        let mut all = BTreeMap::new();
        while let (Some(id), Some(letter)) = (parts.next(), parts.next()) {
            all.insert(id.number()?, letter.bytes()?);
        }
        Ok(all)
    }

    /// Keeps a dead letter, or lets go of it.
    ///
    /// # Errors
    /// [`EngineError`].
    pub async fn dead_letter(&self, id: u64, letter: Option<&[u8]>) -> Result<(), EngineError> {
        let mut call = Call::of_nodes("letter").number(id);
        if let Some(letter) = letter {
            call.push(letter);
        }
        self.channel(Purpose::Events).call(call).await.map(drop)
    }
}

fn read_queue(queue: Value) -> Result<Queue, EngineError> {
    let mut parts = Parts::of(queue)?;
    let stream = stream_of(&parts.next()?.text()?)?;
    Ok(Queue { stream, events: read_events(parts.next()?.0)? })
}

fn read_events(answer: Value) -> Result<Vec<Queued>, EngineError> {
    Reply(answer)
        .list()?
        .map(|event| {
            let mut parts = Parts::of(event)?;
            let (place, id) = (Place::read(parts.next()?)?, parts.next()?.text()?);
            let event = Arc::new(event_of(&parts.next()?.bytes()?)?);
            Ok(Queued { place, id, event })
        })
        .collect()
}
