//! What any node does for sessions that nobody owns, and what a node finds of its own.

use std::time::Duration;

use adieu_session::event::{Event, user_stream};
use adieu_session::fence::{Fence, Refused};
use adieu_session::{SessionId, Slot};
use bytes::Bytes;
use redis::Value;

use crate::channel::{Call, Purpose};
use crate::claim::{Released, nonce};
use crate::reply::{Parts, Reply};
use crate::row::{hex, session_id};
use crate::{Engine, EngineError, Node, Place, Snapshot, Whose};

/// Sessions of a slot whose deadline has passed.
#[derive(Debug, Default)]
pub struct Due {
    /// The caller ends them.
    pub sessions: Vec<Snapshot>,
    /// Users who are told as gone.
    pub told: Vec<(Bytes, Place, Whose)>,
}

/// What a dead node had, and nobody has now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Orphaned {
    /// Sessions.
    pub sessions: usize,
    /// Queues of events.
    pub queues: usize,
}

/// What a node holds of a slot.
#[derive(Clone, Debug)]
pub struct Audit {
    /// Of these sessions it knows this write as the last, and so many messages to the client.
    pub sessions: Vec<(SessionId, Fence, u64)>,
    /// It delivers these queues.
    pub queues: Vec<Bytes>,
}

/// What the engine says of it.
#[derive(Debug, Default, PartialEq)]
pub struct Audited {
    /// Sessions that are not the node's any more.
    pub refused: Vec<(SessionId, Refused)>,
    /// Sessions that have messages which the node does not know.
    pub mail: Vec<SessionId>,
    /// Sessions that the backend has ended, with this Close.
    pub ends: Vec<(SessionId, Bytes)>,
    /// Sessions that the engine thinks are the node's, and their epochs.
    pub unknown: Vec<Released>,
    /// Queues that the engine thinks the node delivers.
    pub queues: Vec<Bytes>,
}

impl Engine {
    /// Makes the caller the owner of sessions whose deadline has passed, at most so many, and hides
    /// them from others for so long.
    ///
    /// # Errors
    /// [`EngineError`]: what was found is found again when it is not hidden any more.
    pub async fn due(
        &self,
        me: Node,
        slot: Slot,
        most: usize,
        hidden: Duration,
    ) -> Result<Due, EngineError> {
        let found = self.sweep(me, &[slot], most, hidden).await.pop();
        found.unwrap_or_else(|| Err(EngineError::strange("no answer")))
    }

    /// The same of several slots; an answer for each.
    pub async fn sweep(
        &self,
        me: Node,
        slots: &[Slot],
        most: usize,
        hidden: Duration,
    ) -> Vec<Result<Due, EngineError>> {
        let call = |slot: &Slot| {
            let call = Call::of(*slot, "due").number(me.0).number(most);
            with_nonces(call.number(hidden.as_millis()), most)
        };
        self.each(Purpose::Reads, slots.iter().map(call).collect(), read_due).await
    }

    /// Takes what a dead node had of a slot away from it: clients have so long to come back.
    ///
    /// # Errors
    /// [`EngineError`].
    pub async fn orphan(
        &self,
        slots: &[Slot],
        dead: Node,
        most: usize,
        window: Duration,
    ) -> Vec<Result<Orphaned, EngineError>> {
        let call = |slot: &Slot| {
            let call = Call::of(*slot, "orphan").number(dead.0).number(most);
            with_nonces(call.number(window.as_millis()), most)
        };
        let read = |answer| {
            let mut parts = Parts::of(answer)?;
            let (sessions, queues) = (parts.next()?.number()?, parts.next()?.number()?);
            Ok(Orphaned { sessions, queues })
        };
        self.each(Purpose::Reads, slots.iter().map(call).collect(), read).await
    }

    /// Compares what a node holds of some slots with what the engine says.
    pub async fn audit(
        &self,
        me: Node,
        audits: &[(Slot, Audit)],
    ) -> Vec<Result<Audited, EngineError>> {
        let call = |(slot, audit): &(Slot, Audit)| {
            let call = Call::of(*slot, "audit").number(me.0);
            let mut call = call.number(audit.sessions.len());
            for (id, fence, sent) in &audit.sessions {
                call.push(id.to_string());
                call.push(fence.epoch.to_string());
                call.push(hex(fence.nonce));
                call.push(sent.to_string());
            }
            for stream in &audit.queues {
                call.push(queue_of(stream));
            }
            call
        };
        self.each(Purpose::Reads, audits.iter().map(call).collect(), read_audit).await
    }

    /// A session that the engine thinks is the caller's, in this epoch, and is not: its client has
    /// so long to come back. Whether it was so.
    ///
    /// # Errors
    /// [`EngineError`].
    pub async fn release(
        &self,
        me: Node,
        Released(id, epoch): Released,
        window: Duration,
    ) -> Result<bool, EngineError> {
        let call = Call::of(id.slot(), "release")
            .arg(id.to_string())
            .number(me.0)
            .number(epoch)
            .number(window.as_millis())
            .arg(hex(nonce()));
        Ok(Reply(self.channel(Purpose::Reads).call(call).await?).number::<u8>()? == 1)
    }

    /// A client of a session that is away, or of which another node has the connection, is told to
    /// come back after so long, and is waited for until then.
    ///
    /// # Errors
    /// [`EngineError`].
    pub async fn hold(&self, id: SessionId, at_least: Duration) -> Result<bool, EngineError> {
        let call = Call::of(id.slot(), "hold").arg(id.to_string()).number(at_least.as_millis());
        Ok(Reply(self.channel(Purpose::Commits).call(call).await?).number::<u8>()? == 1)
    }
}

/// A nonce for each session that may be found.
fn with_nonces(mut call: Call, most: usize) -> Call {
    (0..most).for_each(|_| call.push(hex(nonce())));
    call
}

fn read_due(answer: Value) -> Result<Due, EngineError> {
    let mut parts = Parts::of(answer)?;
    let sessions: Result<_, _> = parts.next()?.list()?.map(Snapshot::read).collect();
    let told: Result<_, EngineError> = parts
        .next()?
        .list()?
        .map(|one| {
            let mut one = Parts::of(one)?;
            let stream = stream_of(&one.next()?.text()?)?;
            let place = Place::read(one.next()?)?;
            Ok((stream, place, Whose::of(&one.next()?.text()?)))
        })
        .collect();
    Ok(Due { sessions: sessions?, told: told? })
}

fn read_audit(answer: Value) -> Result<Audited, EngineError> {
    let mut parts = Parts::of(answer)?;
    let mut audited = Audited::default();
    for one in parts.next()?.list()? {
        let mut one = Parts::of(one)?;
        let id = session_id(one.next()?)?;
        match one.next()?.text()?.as_str() {
            "FENCED" => audited.refused.push((id, Refused::Fenced)),
            "ROLLED_BACK" => audited.refused.push((id, Refused::RolledBack)),
            "MAIL" => audited.mail.push(id),
            "END" => audited.ends.push((id, one.next()?.bytes()?)),
            other => return Err(EngineError::strange(format!("{other:?} in an audit"))),
        }
    }
    for one in parts.next()?.list()? {
        let mut one = Parts::of(one)?;
        audited.unknown.push(Released(session_id(one.next()?)?, one.next()?.number()?));
    }
    for queue in parts.next()?.list()? {
        audited.queues.push(stream_of(&Reply(queue).text()?)?);
    }
    Ok(audited)
}

/// The name of a queue in the engine.
pub(crate) fn queue_of(stream: &[u8]) -> Vec<u8> {
    match stream.split_first() {
        Some((b's', id)) => {
            let id: Option<[u8; 16]> = id.try_into().ok();
            id.map(|id| SessionId::new(id).to_string().into_bytes()).unwrap_or_default()
        }
        Some((_, user)) => [b"u:", user].concat(),
        None => Vec::new(),
    }
}

/// What is ordered by a queue of the engine.
pub(crate) fn stream_of(queue: &str) -> Result<Bytes, EngineError> {
    if let Some(user) = queue.strip_prefix("u:") {
        return Ok(user_stream(user));
    }
    let id = queue.parse().map_err(|_| EngineError::strange(format!("{queue:?} is no queue")))?;
    Ok(adieu_session::event::session_stream(id))
}

/// An event as it is kept.
pub(crate) fn event_of(body: &Bytes) -> Result<Event, EngineError> {
    serde_json::from_slice(body)
        .map_err(|error| EngineError::strange(format!("an event that cannot be read: {error}")))
}
