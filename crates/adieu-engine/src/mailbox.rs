//! Messages of the backend to sessions, and ends that the backend asks for: the engine takes them
//! whichever node owns the session.

use adieu_session::command::Outgoing;
use adieu_session::outbox::Kept;
use adieu_session::{SessionId, Slot, Timestamp};
use redis::Value;

use crate::channel::{Call, Purpose};
use crate::claim::nonce;
use crate::reply::{Parts, Reply};
use crate::row::{entry_of, hex, message_of, session_id};
use crate::{Engine, EngineError, Node, Place, Snapshot};

/// How much is kept for a client that does not acknowledge.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Messages.
    pub messages: usize,
    /// Bytes.
    pub bytes: usize,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Posted {
    /// It waits for the client under this number; this node owns the session, if one does.
    Waits(u64, Option<Node>),
    /// There was one with this key.
    Repeated,
    /// There is no such session.
    NoSession,
}

/// What became of an end that the backend asks for.
#[derive(Clone, Debug, PartialEq)]
pub enum Finished {
    /// There is no such session.
    NoSession,
    /// It is away: the caller ends it.
    Yours(Box<Snapshot>),
    /// The caller owns it.
    Owner,
    /// Its owner is told, and whoever goes on with the session if the owner fails.
    Asked,
}

fn message(call: Call, me: Node, limits: Limits, outgoing: &Outgoing) -> Call {
    let key = outgoing.key.map(|key| key.to_bytes().to_vec()).unwrap_or_default();
    call.number(me.0).arg(key).number(limits.messages).number(limits.bytes).arg(entry_of(
        outgoing.tag,
        outgoing.key,
        &outgoing.tail,
    ))
}

impl Engine {
    /// Posts messages, each to a session. An answer for each.
    pub async fn post(
        &self,
        me: Node,
        limits: Limits,
        all: &[(SessionId, &Outgoing)],
    ) -> Vec<Result<Posted, EngineError>> {
        let calls: Vec<Call> = all
            .iter()
            .map(|(id, outgoing)| {
                let call = Call::of(id.slot(), "post").arg(id.to_string());
                message(call, me, limits, outgoing)
            })
            .collect();
        self.each(Purpose::Commits, calls, posted).await
    }

    /// Posts a message to each session of a user.
    ///
    /// # Errors
    /// [`EngineError`]: it is not known whether it was posted.
    pub async fn post_to_user(
        &self,
        me: Node,
        limits: Limits,
        user: &str,
        outgoing: &Outgoing,
    ) -> Result<Vec<(SessionId, Posted)>, EngineError> {
        let call = Call::of(Slot::of_user(user), "post_user").arg(user);
        let call = message(call, me, limits, outgoing);
        let answer = self.channel(Purpose::Commits).call(call).await?;
        Reply(answer)
            .list()?
            .map(|one| {
                let mut parts = Parts::of(one)?;
                Ok((session_id(parts.next()?)?, posted(parts.next()?.0)?))
            })
            .collect()
    }

    /// Ends a session, with this Close (JSON) or with the usual one.
    ///
    /// # Errors
    /// [`EngineError`]: it is not known whether it was asked for. It may be called again.
    pub async fn finish(
        &self,
        me: Node,
        id: SessionId,
        close: &str,
    ) -> Result<Finished, EngineError> {
        let call = Call::of(id.slot(), "finish")
            .arg(id.to_string())
            .number(me.0)
            .arg(hex(nonce()))
            .arg(close);
        finished(self.channel(Purpose::Commits).call(call).await?)
    }

    /// Does what the backend has answered to an event, and takes the event out, in one step.
    /// `None`: that was done before.
    ///
    /// # Errors
    /// [`EngineError`]: it may be called again.
    pub async fn answered(
        &self,
        me: Node,
        limits: Limits,
        (id, place, event): (SessionId, Place, &str),
        send: &[Outgoing],
        close: Option<&str>,
    ) -> Result<Option<(Vec<Posted>, Finished)>, EngineError> {
        let mut call = Call::of(id.slot(), "answered")
            .arg(id.to_string())
            .number(me.0)
            .arg(place.to_string())
            .arg(event)
            .number(limits.messages)
            .number(limits.bytes)
            .arg(if close.is_some() { "1" } else { "" })
            .arg(close.unwrap_or_default())
            .arg(hex(nonce()));
        for outgoing in send {
            call.push(entry_of(outgoing.tag, None, &outgoing.tail));
        }
        let mut parts = Parts::of(self.channel(Purpose::Events).call(call).await?)?;
        if parts.next()?.text()? == "GONE" {
            return Ok(None);
        }
        let all: Result<_, _> = parts.next()?.list()?.map(posted).collect();
        Ok(Some((all?, finished(parts.next()?.0)?)))
    }

    /// The messages of a session behind this number, and the number of the first of them.
    ///
    /// # Errors
    /// [`EngineError`].
    pub async fn mail(&self, id: SessionId, behind: u64) -> Result<(u64, Vec<Kept>), EngineError> {
        let call = Call::of(id.slot(), "mail").arg(id.to_string()).number(behind);
        let mut parts = Parts::of(self.channel(Purpose::Reads).call(call).await?)?;
        let first = parts.next()?.number()?;
        let entries = parts.next()?.list()?;
        let all: Result<_, _> =
            entries.map(|entry| message_of(&Reply(entry).bytes()?, Timestamp(0))).collect();
        Ok((first, all?))
    }
}

fn posted(answer: Value) -> Result<Posted, EngineError> {
    let mut parts = Parts::of(answer)?;
    Ok(match parts.next()?.text()?.as_str() {
        "OK" => {
            let (number, owner): (u64, u64) = (parts.next()?.number()?, parts.next()?.number()?);
            Posted::Waits(number, (owner != 0).then_some(Node(owner)))
        }
        "REPEATED" => Posted::Repeated,
        "NONE" => Posted::NoSession,
        other => return Err(EngineError::strange(format!("{other:?} to a post"))),
    })
}

fn finished(answer: Value) -> Result<Finished, EngineError> {
    let mut parts = Parts::of(answer)?;
    Ok(match parts.next()?.text()?.as_str() {
        "NONE" => Finished::NoSession,
        "YOURS" => Finished::Yours(Box::new(Snapshot::read(parts.next()?.0)?)),
        "OWNER" => Finished::Owner,
        "ASKED" => Finished::Asked,
        other => return Err(EngineError::strange(format!("{other:?} to an end"))),
    })
}
