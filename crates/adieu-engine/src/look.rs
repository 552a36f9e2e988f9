//! Looking at sessions, whichever node has them.

use adieu_session::{SessionId, Slot, Timestamp, View};
use redis::Value;

use crate::channel::{Call, Purpose};
use crate::reply::{Parts, Reply};
use crate::row::{Fields, session_id};
use crate::{Engine, EngineError, Node};

/// Who has a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// This node.
    Node(Node),
    /// Nobody: its client is waited for.
    Away,
}

/// A session as it is shown.
#[derive(Clone, Debug, PartialEq)]
pub struct Looked {
    /// Who has it.
    pub owner: Owner,
    /// The rest.
    pub view: View,
}

/// How many there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Sessions that a node has.
    pub attached: usize,
    /// Sessions that are waited for.
    pub away: usize,
    /// Users with a session.
    pub users: usize,
    /// Queues with events that the backend has not taken.
    pub queues: usize,
}

impl Engine {
    /// One session, at this time.
    ///
    /// # Errors
    /// [`EngineError`].
    pub async fn look(&self, id: SessionId, now: Timestamp) -> Result<Option<Looked>, EngineError> {
        let call = Call::of(id.slot(), "look").arg(id.to_string());
        Ok(read(self.channel(Purpose::Reads).call(call).await?, now)?.pop())
    }

    /// The sessions of a user.
    ///
    /// # Errors
    /// [`EngineError`].
    pub async fn look_at_user(
        &self,
        user: &str,
        now: Timestamp,
    ) -> Result<Vec<Looked>, EngineError> {
        let call = Call::of(Slot::of_user(user), "look_user").arg(user);
        read(self.channel(Purpose::Reads).call(call).await?, now)
    }

    /// Sessions of some slots, those of each in the order of their names, so many of each slot at
    /// most; of the slot of `above` those above it.
    ///
    /// # Errors
    /// [`EngineError`].
    pub async fn list(
        &self,
        slots: &[Slot],
        above: Option<SessionId>,
        most: usize,
        now: Timestamp,
    ) -> Result<Vec<Looked>, EngineError> {
        let call = |slot: &Slot| {
            let above = above.filter(|id| id.slot() == *slot);
            let above = above.map(|id| id.to_string()).unwrap_or_default();
            Call::of(*slot, "list").arg(above).number(most)
        };
        let calls: Vec<_> = slots.iter().map(call).collect();
        let mut all = Vec::new();
        for answer in self.channel(Purpose::Reads).calls(&calls).await {
            all.extend(read(answer?, now)?);
        }
        Ok(all)
    }

    /// How many there are of some slots.
    ///
    /// # Errors
    /// [`EngineError`].
    pub async fn count(&self, slots: &[Slot]) -> Result<Counts, EngineError> {
        let calls: Vec<_> = slots.iter().map(|slot| Call::of(*slot, "count")).collect();
        let mut all = Counts::default();
        for answer in self.channel(Purpose::Reads).calls(&calls).await {
            let mut parts = Parts::of(answer?)?;
            all.attached += parts.next()?.number::<usize>()?;
            all.away += parts.next()?.number::<usize>()?;
            all.users += parts.next()?.number::<usize>()?;
            all.queues += parts.next()?.number::<usize>()?;
        }
        Ok(all)
    }
}

fn read(answer: Value, now: Timestamp) -> Result<Vec<Looked>, EngineError> {
    let mut parts = Parts::of(answer)?;
    let engine: i64 = parts.next()?.number()?;
    parts
        .next()?
        .list()?
        .map(|one| {
            let mut one = Parts::of(one)?;
            let (id, fields) = (session_id(one.next()?)?, Fields::read(one.next()?)?);
            let (kept, score): (usize, i64) = (one.next()?.number()?, score(one.next()?)?);
            let owner = match u64::try_from(-score) {
                Ok(node) if node > 0 => Owner::Node(Node(node)),
                _ => Owner::Away,
            };
            Ok(Looked { owner, view: fields.view(id, kept, score, engine, now) })
        })
        .collect()
}

/// The engine may write a large number with an exponent.
fn score(value: Reply) -> Result<i64, EngineError> {
    let text = value.text()?;
    let number: f64 = text
        .parse()
        .map_err(|_| EngineError::strange(format!("{text:?} in the place of a score")))?;
    Ok(number as i64)
}
