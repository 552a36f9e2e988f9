//! Which nodes there are: each life of a node has a number and a lease.

use std::fmt;
use std::time::Duration;

use redis::Value;

use crate::channel::{Call, Purpose};
use crate::reply::{Parts, Reply};
use crate::{Engine, EngineError};

/// One life of a node. A node that was given up is another one when it comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Node(pub u64);

impl Node {
    /// A number that no node has had: the time in milliseconds, and eleven bits of chance. Below
    /// 2^53 for 100 years.
    #[must_use]
    pub fn new(now_ms: u64, chance: u64) -> Self {
        Node(((now_ms & ((1 << 42) - 1)) << 11) | (chance & 0x7FF))
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// How leases are.
#[derive(Clone, Copy, Debug)]
pub struct Lease {
    /// How long one is.
    pub length: Duration,
    /// How long no session is ended after the engine was away: time in which it did not serve
    /// counts in no wait.
    pub grace: Duration,
}

/// What a renewal says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Renewal {
    /// The node was given up by others: it owns nothing any more.
    Dead,
    /// It lives.
    Alive(Box<Member>),
}

/// A node that lives, and what it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The engine's clock, in milliseconds.
    pub now: u64,
    /// Since when its lease has had no gap, on that clock.
    pub since: u64,
    /// No session is ended before this time.
    pub pause: u64,
    /// Nodes whose lease is over.
    pub lapsed: Vec<Node>,
    /// Which history of the engine this is: another one after a failover.
    pub history: String,
    /// Replicas that follow it.
    pub replicas: usize,
}

impl Engine {
    /// Renews the lease of a node; the first time it begins to live. It is said of itself as JSON.
    ///
    /// # Errors
    /// [`EngineError`].
    pub async fn renew(&self, me: Node, lease: Lease, says: &str) -> Result<Renewal, EngineError> {
        let call = Call::of_nodes("renew")
            .number(me.0)
            .number(lease.length.as_millis())
            .number(lease.grace.as_millis())
            .arg(says);
        read(self.channel(Purpose::Leases).call(call).await?)
    }

    /// Gives up a node whose lease is over; whether it is dead now.
    ///
    /// # Errors
    /// [`EngineError`].
    pub async fn reap(&self, me: Node, other: Node, lease: Lease) -> Result<bool, EngineError> {
        let call = Call::of_nodes("reap").number(me.0).number(other.0);
        let call = call.number(lease.length.as_millis());
        Ok(Reply(self.channel(Purpose::Reads).call(call).await?).number::<u8>()? == 1)
    }

    /// Ends the life of a node that holds nothing any more.
    ///
    /// # Errors
    /// [`EngineError`]: it is found dead later.
    pub async fn leave(&self, me: Node) -> Result<(), EngineError> {
        self.channel(Purpose::Reads).call(Call::of_nodes("leave").number(me.0)).await.map(drop)
    }

    /// The nodes that live, with what each says of itself and the milliseconds that its lease still
    /// has; and those that died since so long.
    ///
    /// # Errors
    /// [`EngineError`].
    pub async fn nodes(
        &self,
        dead_since: Duration,
    ) -> Result<(Vec<(Node, String, i64)>, Vec<Node>), EngineError> {
        let call = Call::of_nodes("nodes").number(dead_since.as_millis());
        let mut parts = Parts::of(self.channel(Purpose::Reads).call(call).await?)?;
        let alive: Result<_, EngineError> = parts
            .next()?
            .list()?
            .map(|one| {
                let mut one = Parts::of(one)?;
                Ok((Node(one.next()?.number()?), one.next()?.text()?, one.next()?.number()?))
            })
            .collect();
        Ok((alive?, nodes(parts.next()?)?))
    }

    /// A value that all nodes share, made by the first that asks: the key of the tokens.
    ///
    /// # Errors
    /// [`EngineError`].
    pub async fn shared_value(&self, name: &str, made: &[u8]) -> Result<Vec<u8>, EngineError> {
        let call = Call::of_nodes("shared").arg(name).arg(made);
        Ok(Reply(self.channel(Purpose::Reads).call(call).await?).bytes()?.into())
    }
}

fn read(answer: Value) -> Result<Renewal, EngineError> {
    let mut parts = Parts::of(answer)?;
    Ok(match parts.next()?.text()?.as_str() {
        "DEAD" => Renewal::Dead,
        "OK" => Renewal::Alive(Box::new(Member {
            now: parts.next()?.number()?,
            since: parts.next()?.number()?,
            pause: parts.next()?.number()?,
            lapsed: nodes(parts.next()?)?,
            history: parts.next()?.text()?,
            replicas: parts.next()?.number()?,
        })),
        other => return Err(EngineError::strange(format!("{other:?} to a renewal"))),
    })
}

fn nodes(value: Reply) -> Result<Vec<Node>, EngineError> {
    value.list()?.map(|one| Ok(Node(Reply(one).number()?))).collect()
}
