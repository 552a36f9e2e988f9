//! A session in the hands of its owner, who writes what a shard would write.

use std::sync::Arc;
use std::time::Duration;

use adieu_engine::{Claim, Claimed, Committed, Engine, EngineError, Node, Snapshot};
use adieu_session::command::{AskResume, Outgoing, Purpose, Resumption};
use adieu_session::event::{Data, Event, EventType};
use adieu_session::fence::{Fence, Refused};
use adieu_session::outbox::Kept;
use adieu_session::wire::{Payload, Tag};
use adieu_session::{
    Batch, Change, Counters, Departure, Digest, Row, Session, SessionId, Slot, State, Timestamp,
};
use testkit::Random;

/// When everything is written: waits are told as times.
pub(crate) const NOW: Timestamp = Timestamp(1_000_000);

/// A session, and what its owner knows of it.
#[derive(Clone, Debug)]
pub(crate) struct Owned {
    pub(crate) id: SessionId,
    pub(crate) me: Node,
    pub(crate) fence: Fence,
    pub(crate) row: Row,
    pub(crate) counters: Counters,
    pub(crate) messages: Vec<Kept>,
}

/// A session of a slot.
pub(crate) fn session_in(slot: Slot, random: &mut Random) -> SessionId {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&random.next().to_le_bytes());
    bytes[8..].copy_from_slice(&random.next().to_le_bytes());
    SessionId::in_slot(slot, bytes)
}

/// The row of a session that has just begun.
pub(crate) fn new_row(user: Option<&str>) -> Row {
    Row {
        session: Session::start().0,
        plain: false,
        user: user.map(Arc::from),
        origin: None,
        credentials: Digest::default(),
        first: None,
        meta: None,
        started: NOW,
        connections: 1,
        ending: None,
        promised: None,
        away_since: None,
        waited_ms: 0,
    }
}

impl Owned {
    /// A session that is not written down yet.
    pub(crate) fn new(me: Node, user: Option<&str>, random: &mut Random) -> Self {
        let slot = user.map_or_else(|| Slot::new(random.below(1024) as u16), Slot::of_user);
        let id = session_in(slot, random);
        let (fence, counters) = (Fence::default(), Counters::default());
        Owned { id, me, fence, row: new_row(user), counters, messages: Vec::new() }
    }

    /// A session that the engine has given to a node.
    pub(crate) fn given(me: Node, snapshot: Snapshot, purpose: Purpose) -> Self {
        let id = snapshot.id;
        let adoption = snapshot.adoption(purpose, NOW);
        let (fence, row) = (adoption.fence, adoption.row);
        Owned { id, me, fence, row, counters: adoption.counters, messages: adoption.messages }
    }

    /// The epoch in which it is owned.
    pub(crate) fn epoch(&self) -> u32 {
        self.fence.epoch.max(1)
    }

    /// The row as it is now.
    pub(crate) fn put(&self) -> Change {
        Change::PutSession { id: self.id, row: Box::new(self.row.clone()), counters: self.counters }
    }

    /// The numbers as they are now.
    pub(crate) fn count(&self) -> Change {
        Change::PutCounters { id: self.id, counters: self.counters }
    }

    /// An event of it, under the next number.
    pub(crate) fn event(&mut self, r#type: EventType, data: Data, salt: u64) -> Change {
        self.counters.events += 1;
        let sequence = self.counters.events;
        let event = Arc::new(Event {
            id: format!("{}_{sequence}_{}_{salt:016x}", self.id, r#type),
            r#type,
            session_id: self.id,
            user: self.row.user.clone(),
            meta: self.row.meta.clone(),
            generation: self.row.session.generation(),
            sequence: Some(sequence),
            // Which owner it is of: the epoch takes the place of the time.
            time: Timestamp(self.epoch().into()),
            data,
        });
        let stream = adieu_session::event::session_stream(self.id);
        Change::PutEvent { stream, sequence, event }
    }

    /// A message of its client.
    pub(crate) fn says(&mut self, text: &str, salt: u64) -> Change {
        self.counters.received += 1;
        self.event(EventType::Message, Data::Text(text.to_owned()), salt)
    }

    fn of_user(&self, r#type: EventType, salt: u64) -> Arc<Event> {
        let user = self.row.user.clone().expect("a session of a user");
        Arc::new(Event {
            id: format!("{}_{}_{salt:016x}", self.id, r#type),
            r#type,
            session_id: self.id,
            user: Some(user.clone()),
            meta: None,
            generation: self.row.session.generation(),
            sequence: None,
            time: NOW,
            data: Data::User { user_id: user },
        })
    }

    /// Its user has it.
    pub(crate) fn join(&self, most: usize, salt: u64) -> Change {
        let user = self.row.user.clone().expect("a session of a user");
        let event = Some(self.of_user(EventType::UserJoined, salt));
        Change::Join { id: self.id, user, event, most }
    }

    /// Its user has it no more.
    pub(crate) fn leave(&self, linger: Duration, salt: u64) -> Change {
        let user = self.row.user.clone().expect("a session of a user");
        let event = Some(self.of_user(EventType::UserLeft, salt));
        Change::Leave { id: self.id, user, event, linger }
    }

    /// Its client has the messages up to this one.
    pub(crate) fn trim(&self, up_to: u64, tag: Tag) -> Change {
        Change::TrimMessages { id: self.id, up_to, tag }
    }

    /// It is over.
    pub(crate) fn delete(&self) -> Change {
        Change::DeleteSession { id: self.id }
    }

    /// Its connection is gone; it is waited for so long.
    pub(crate) fn detach(&mut self, wait: Duration) {
        let (generation, confirmed) = (self.row.session.generation(), self.row.session.confirmed());
        let state = State::Away { departure: Departure::Hidden, until: NOW + wait };
        self.row.session = Session::restored(state, generation, confirmed);
    }

    /// These changes, as a write of the owner.
    pub(crate) fn batch(&self, mut changes: Vec<Change>, salt: u64) -> Batch {
        let next = Fence { epoch: self.epoch(), nonce: salt };
        changes.push(Change::Write { id: self.id, after: self.fence, next });
        changes
    }

    /// Makes these changes; the owner knows afterwards whether they were.
    pub(crate) async fn write(
        &mut self,
        engine: &Engine,
        changes: Vec<Change>,
        salt: u64,
    ) -> Result<Committed, Refused> {
        let batch = self.batch(changes, salt);
        let committed = engine.write(self.me, &batch, NOW).await.expect("an answer");
        match committed.refused.first() {
            Some((_, why)) => Err(*why),
            None => {
                self.fence = next_of(&batch);
                Ok(committed)
            }
        }
    }

    /// Begins it, with `session.started` and, of a user, `user.joined`.
    pub(crate) fn beginning(&mut self, salt: u64) -> Vec<Change> {
        let data = Data::Started(Box::default());
        let mut changes = vec![self.event(EventType::SessionStarted, data, salt)];
        changes.extend(self.row.user.is_some().then(|| self.join(1_000, salt)));
        changes.push(self.put());
        changes
    }

    /// Ends it, with `session.ended` and, of a user, `user.left`. (What an ended event carries is
    /// long and no matter here.)
    pub(crate) fn end(&mut self, salt: u64) -> Vec<Change> {
        self.end_after(Duration::ZERO, salt)
    }

    /// The same; its user is waited for so long.
    pub(crate) fn end_after(&mut self, linger: Duration, salt: u64) -> Vec<Change> {
        let mut changes = vec![self.event(EventType::SessionEnded, Data::Resumed, salt)];
        changes.extend(self.row.user.is_some().then(|| self.leave(linger, salt)));
        changes.push(self.delete());
        changes
    }

    /// A session that has begun.
    pub(crate) async fn begun(
        engine: &Engine,
        me: Node,
        user: Option<&str>,
        random: &mut Random,
    ) -> Self {
        let mut owned = Owned::new(me, user, random);
        let salt = random.next();
        let changes = owned.beginning(salt);
        owned.write(engine, changes, salt).await.expect("a session begins");
        owned
    }

    /// It is away for so long.
    pub(crate) async fn goes(&mut self, engine: &Engine, wait: Duration, random: &mut Random) {
        self.detach(wait);
        let changes = vec![self.put()];
        self.write(engine, changes, random.next()).await.expect("it is away");
    }

    /// What its client shows that comes back.
    pub(crate) fn resumption(&self) -> Resumption {
        Resumption {
            generation: self.row.session.generation(),
            acknowledged: self.counters.received,
            ..Resumption::default()
        }
    }
}

/// The fence that a batch brings.
pub(crate) fn next_of(batch: &Batch) -> Fence {
    let next = batch.iter().find_map(|change| match change {
        Change::Write { next, .. } => Some(*next),
        _ => None,
    });
    next.expect("a write")
}

/// Claims a session without asking the backend.
pub(crate) async fn claim(
    engine: &Engine,
    me: Node,
    session: SessionId,
    resumption: &Resumption,
) -> Result<Claimed, EngineError> {
    engine.claim(me, Claim { session, resumption, ask: AskResume::Never }).await
}

/// A message of the backend.
pub(crate) fn outgoing(text: &str, random: &mut Random) -> Outgoing {
    let tag = random.next().to_le_bytes();
    let tag = Tag::new([tag[0], tag[1], tag[2], tag[3], tag[4], tag[5]]);
    Outgoing::new(Payload::Text(text.to_owned()), tag)
}
