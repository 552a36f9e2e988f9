//! Becoming the owner of a session whose client is here.

use adieu_session::command::{AskResume, Resumption};
use adieu_session::wire::NotResumed;
use adieu_session::{Departure, SessionId};
use redis::Value;

use crate::channel::{Call, Purpose};
use crate::reply::{Parts, Reply};
use crate::row::hex;
use crate::{Engine, EngineError, Node, Snapshot};

/// A client with a valid token, and who wants to serve it.
#[derive(Clone, Debug)]
pub struct Claim<'r> {
    /// Of this session.
    pub session: SessionId,
    /// The client.
    pub resumption: &'r Resumption,
    /// When the backend is asked before.
    pub ask: AskResume,
}

/// What came of a claim.
#[derive(Clone, Debug, PartialEq)]
pub enum Claimed {
    /// The node owns the session, which was away because of this, if it was.
    Owner(Box<Snapshot>, Option<Departure>),
    /// The client is not resumed.
    NotResumed(NotResumed),
    /// The backend has to be asked first.
    Ask(Option<String>),
    /// The client has what the engine has lost: it is not resumed, and the node ends the session.
    Lost(Box<Snapshot>),
    /// The backend has ended the session, and the node does that now.
    Ending(Box<Snapshot>),
}

/// A session that the engine thinks a node owns, and its epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Released(pub SessionId, pub u32);

impl Engine {
    /// Claims a session. It is not called again for the same client when it is not known what came
    /// of it: the client comes back by itself.
    ///
    /// # Errors
    /// [`EngineError`]: the session may be this node's all the same; its audit finds it.
    pub async fn claim(&self, me: Node, claim: Claim<'_>) -> Result<Claimed, EngineError> {
        let Claim { session, resumption, ask } = claim;
        let ask = match ask {
            // The backend has said yes already.
            _ if resumption.verdict.is_some() => "n",
            AskResume::Never => "n",
            AskResume::Changed => "c",
            AskResume::Always => "a",
        };
        let tag = resumption.tag.map(|tag| tag.to_bytes().to_vec()).unwrap_or_default();
        let call = Call::of(session.slot(), "claim")
            .arg(session.to_string())
            .number(me.0)
            .arg(hex(nonce()))
            .number(resumption.generation)
            .number(resumption.received)
            .arg(tag)
            .number(resumption.acknowledged)
            .arg(resumption.origin.as_deref().unwrap_or_default())
            .arg(resumption.credentials.to_bytes())
            .arg(ask)
            .number(resumption.patience.as_millis());
        let answer = self.channel(Purpose::Commits).call(call).await?;
        read(answer)
    }
}

fn read(answer: Value) -> Result<Claimed, EngineError> {
    let mut parts = Parts::of(answer)?;
    let not = |reason| Ok(Claimed::NotResumed(reason));
    let snapshot = |value: Reply| Snapshot::read(value.0).map(Box::new);
    match parts.next()?.text()?.as_str() {
        "OK" => {
            let snapshot = snapshot(parts.next()?)?;
            let after = departure(parts.next()?)?;
            Ok(Claimed::Owner(snapshot, after))
        }
        "EXPIRED" => not(NotResumed::Expired),
        "ORIGIN" => not(NotResumed::Origin),
        "STALE" => not(NotResumed::Stale),
        "LOST" => not(NotResumed::Lost),
        "ROLLED_BACK" => Ok(Claimed::Lost(snapshot(parts.next()?)?)),
        "ENDING" => Ok(Claimed::Ending(snapshot(parts.next()?)?)),
        "ASK" => {
            let user = parts.next()?.text()?;
            Ok(Claimed::Ask(Some(user).filter(|user| !user.is_empty())))
        }
        other => Err(EngineError::strange(format!("{other:?} to a claim"))),
    }
}

fn departure(value: Reply) -> Result<Option<Departure>, EngineError> {
    Ok(crate::row::departure_of(&value.text()?))
}

/// Of a claim: no other has it.
pub(crate) fn nonce() -> u64 {
    let mut bytes = [0; 8];
    // The operating system has some from its first second on.
    let _ = getrandom::fill(&mut bytes);
    u64::from_le_bytes(bytes)
}
