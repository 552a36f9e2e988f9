//! A client whose session another node had, or nobody: this node claims it.

use adieu::Socket;
use adieu_engine::{Claimed, Released, Snapshot};

use super::connection::{Attached, Claiming, NOT_BEFORE, gone};
use super::engine::Done;
use super::{Gateway, GatewayError};
use crate::cluster::{ClusterError, adopt};
use crate::random::a_share_of;
use crate::session::command::{Guest, Purpose, Resumption};
use crate::session::wire::{NotResumed, TRY_AGAIN_LATER, close};
use crate::session::{Reply, SessionId};

impl Gateway {
    /// Claims a session for a client that is here.
    pub(super) async fn claim(
        &self,
        socket: &Socket,
        session: SessionId,
        resumption: &Resumption,
    ) -> Result<Claiming, GatewayError> {
        let Some(cluster) = self.cluster() else {
            return Ok(Claiming::NotResumed(NotResumed::Expired));
        };
        let claimed = match cluster.claim(session, resumption).await {
            Ok(claimed) => claimed,
            Err(error) => return Ok(Claiming::Attached(self.not_now(socket, &error).await?)),
        };
        Ok(match claimed {
            Claimed::NotResumed(reason) => Claiming::NotResumed(reason),
            Claimed::Ask(user) => Claiming::Ask(user),
            Claimed::Lost(snapshot) => {
                self.end_claimed(*snapshot).await;
                Claiming::NotResumed(NotResumed::Lost)
            }
            Claimed::Ending(snapshot) => {
                self.end_claimed(*snapshot).await;
                Claiming::NotResumed(NotResumed::Expired)
            }
            Claimed::Owner(snapshot, after) => {
                let user = resumption.verdict.as_ref().and_then(|verdict| verdict.user.clone());
                if user.is_some() && user != snapshot.user {
                    let replace = adopt(self, *snapshot, Purpose::Replace);
                    self.of_shards(vec![replace]).await?;
                    return Ok(Claiming::NotResumed(NotResumed::Replaced));
                }
                let purpose = Purpose::Attach(resumption.received, after);
                Claiming::Attached(self.attach_claimed(socket, *snapshot, purpose).await?)
            }
        })
    }

    /// Gives a session that this node has claimed to a connection; if that has ended meanwhile, the
    /// session is nobody's again.
    async fn attach_claimed(
        &self,
        socket: &Socket,
        snapshot: Snapshot,
        purpose: Purpose,
    ) -> Result<Attached, GatewayError> {
        let released = Released(snapshot.id, snapshot.epoch());
        let adopt = adopt(self, snapshot, purpose);
        Ok(match self.ask_shard(adopt, Some(socket.sender())).await? {
            Done::Replied(Reply::Attached(handle)) => Attached::Session(handle),
            Done::Replied(_) | Done::NotAttached => {
                if let Some(cluster) = self.cluster() {
                    cluster.give_up(released).await;
                }
                gone()
            }
        })
    }

    /// A page that was refreshed before it had heard of its session goes on with that.
    pub(super) async fn go_on_with(
        &self,
        socket: &Socket,
        id: SessionId,
        guest: &Guest,
    ) -> Result<Attached, GatewayError> {
        let resumption = Resumption {
            // Whatever the newest is: the page has no token at all.
            generation: u32::MAX,
            origin: guest.origin.clone(),
            credentials: guest.credentials,
            verdict: Some(Default::default()),
            ..Resumption::default()
        };
        Ok(match self.claim(socket, id, &resumption).await? {
            Claiming::Attached(attached) => attached,
            Claiming::NotResumed(_) | Claiming::Ask(_) => gone(),
        })
    }

    async fn end_claimed(&self, snapshot: Snapshot) {
        let end = adopt(self, snapshot, Purpose::Expire);
        if let Err(error) = self.of_shards(vec![end]).await {
            tracing::debug!("a session that has to end is found again: {error}");
        }
    }

    /// The engine does not answer: that is no yes and no no. The client comes back by itself, to
    /// another node or to this one, with the same token.
    async fn not_now(
        &self,
        socket: &Socket,
        error: &ClusterError,
    ) -> Result<Attached, GatewayError> {
        tracing::warn!("a session is not resumed now: {error}");
        let later = close(TRY_AGAIN_LATER, "the engine does not answer");
        self.come_back(socket, None, NOT_BEFORE + a_share_of(NOT_BEFORE), later).await
    }
}
