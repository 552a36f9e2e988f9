//! What tests keep in a store.

use std::sync::{Arc, LazyLock};

use adieu_gateway::session::event::{Data, Event, EventType};
use adieu_gateway::session::wire::{Payload, Tag, Tail};
use adieu_gateway::session::{
    Batch, Change, Contents, Counters, Digest, Leaving, Row, Session, SessionId, Timestamp,
};
use adieu_gateway::store::Refusals;
use bytes::Bytes;

/// What the store should hold.
#[derive(Clone, Default)]
pub(super) struct Kept(pub(super) Contents);

impl Kept {
    pub(super) fn commit(&mut self, batches: &[Batch]) -> Vec<Refusals> {
        batches.iter().map(|batch| self.0.commit(batch.clone())).collect()
    }
}

pub(super) fn id(n: u8) -> SessionId {
    SessionId::new([n; 16])
}

pub(super) fn number(n: u64) -> Bytes {
    Bytes::copy_from_slice(&n.to_be_bytes())
}

pub(super) fn counters(n: u64) -> Counters {
    Counters { received: n, sent: 2 * n, events: 3 * n, settled: Tag::new([n as u8; 6]) }
}

pub(super) fn put_session(id: SessionId, n: u64) -> Change {
    let row = Row {
        session: Session::start().0,
        plain: n.is_multiple_of(2),
        user: n.is_multiple_of(3).then(|| "anna".into()),
        origin: None,
        credentials: Digest::from_bytes([n as u8; 16]),
        first: n.is_multiple_of(5).then(|| Digest::from_bytes([1; 16])),
        meta: None,
        started: Timestamp(n),
        connections: 1,
        ending: None,
        promised: None,
        away_since: None,
        waited_ms: 0,
    };
    Change::PutSession { id, row: Box::new(row), counters: counters(n) }
}

pub(super) fn put_message(id: SessionId, sequence: u64, bytes: &Bytes) -> Change {
    let key = sequence.is_multiple_of(2).then(|| Digest::from_bytes([2; 16]));
    let tail = Tail::of(&Payload::Binary(bytes.to_vec()));
    Change::PutMessage { id, sequence, tag: Tag::new([3; 6]), key, tail }
}

/// A message whose payload others have as well: they share its bytes.
pub(super) fn put_message_to_many(id: SessionId, sequence: u64) -> Change {
    static SHARED: LazyLock<Tail> = LazyLock::new(|| Tail::of(&Payload::Text("x".repeat(100_000))));
    let key = sequence.is_multiple_of(2).then(|| Digest::from_bytes([2; 16]));
    Change::PutMessage { id, sequence, tag: Tag::new([4; 6]), key, tail: SHARED.clone() }
}

pub(super) fn put_event(stream: Bytes, sequence: u64, bytes: &Bytes) -> Change {
    let event = Event {
        id: format!("event {sequence}"),
        r#type: EventType::Message,
        session_id: id(1),
        user: None,
        meta: None,
        generation: 1,
        sequence: Some(sequence),
        time: Timestamp(sequence),
        data: Data::from(Payload::Binary(bytes.to_vec())),
    };
    Change::PutEvent { stream, sequence, event: Arc::new(event) }
}

pub(super) fn user(id: SessionId) -> Arc<str> {
    format!("user of {id}").into()
}

pub(super) fn put_leaving(id: SessionId, n: u64) -> Change {
    let leaving = Leaving { until: Timestamp(n), session: id, generation: n as u32 };
    Change::PutLeaving { user: user(id), leaving }
}
