//! What the API asks of a session, whichever node owns it.

use std::sync::Arc;

use adieu_engine::{ChannelPurpose, Node, Posted};

use super::{Cluster, ClusterError};
use crate::gateway::{Gateway, GatewayError};
use crate::session::command::{Full, Outgoing, SessionCommand};
use crate::session::wire::FinalClose;
use crate::session::{Command, Message, Reply, SessionId, Slot};

impl Cluster {
    /// Whether the engine is asked to do this, and not a shard of this node.
    pub(crate) fn does(command: &Command) -> bool {
        match command {
            Command::Session(_, SessionCommand::Send(_) | SessionCommand::End(_))
            | Command::User(..) => true,
            Command::Start(..)
            | Command::Session(..)
            | Command::Answered(..)
            | Command::Closing { .. }
            | Command::GiveUp => false,
        }
    }

    /// Does it.
    pub(crate) async fn command(
        &self,
        gateway: &Gateway,
        command: Command,
    ) -> Result<Reply, GatewayError> {
        match command {
            Command::Session(id, SessionCommand::Send(outgoing)) => {
                Ok(self.send(gateway, id, outgoing).await?)
            }
            Command::Session(id, SessionCommand::End(close)) => {
                Ok(if self.end(gateway, id, close.as_ref()).await? {
                    Reply::Done
                } else {
                    Reply::NoSession
                })
            }
            Command::User(user, SessionCommand::Send(outgoing)) => {
                self.send_to_user(gateway, &user, outgoing).await
            }
            Command::User(user, SessionCommand::End(close)) => {
                self.end_of_user(gateway, &user, close.as_ref()).await
            }
            other => {
                tracing::error!("{other:?} is nothing for the engine");
                Ok(Reply::NoSession)
            }
        }
    }

    async fn send(
        &self,
        gateway: &Gateway,
        id: SessionId,
        outgoing: Outgoing,
    ) -> Result<Reply, ClusterError> {
        let me = self.living()?;
        let mut posted = self.engine.post(me, self.limits, &[(id, &outgoing)]).await;
        let posted = posted.pop().unwrap_or(Ok(Posted::NoSession))?;
        // The caller hears that it is taken: a replica has it by then.
        self.replicated(me, ChannelPurpose::Commits, &[id.slot()]).await?;
        Ok(self.posted(gateway, id, posted, outgoing).await)
    }

    /// A message is in the mailbox: the session's connection gets it now if it is here.
    pub(super) async fn posted(
        &self,
        gateway: &Gateway,
        id: SessionId,
        posted: Posted,
        outgoing: Outgoing,
    ) -> Reply {
        match posted {
            Posted::NoSession => return Reply::NoSession,
            Posted::Waits(number, Some(owner)) if owner == self.me() => {
                let Outgoing { tag, key, tail, .. } = outgoing;
                self.arrived(gateway, id, number, Message { tag, key, tail }).await;
            }
            Posted::Waits(..) | Posted::Repeated => {}
        }
        Reply::Done
    }

    /// A message has come for a session that this node owns.
    pub(super) async fn arrived(
        &self,
        gateway: &Gateway,
        id: SessionId,
        number: u64,
        message: Message,
    ) {
        let arrived = SessionCommand::Arrived(number, vec![message]);
        let replies = gateway.of_shards(vec![Command::Session(id, arrived)]).await;
        if let Ok(Some(Reply::Missing(from))) = replies.map(|mut replies| replies.pop()) {
            self.fetch_mail(gateway, id, from - 1).await;
        }
    }

    /// Fetches the messages of a session behind this number.
    pub(super) async fn fetch_mail(&self, gateway: &Gateway, id: SessionId, behind: u64) {
        match self.engine.mail(id, behind).await {
            Ok((first, all)) => {
                let all = all.into_iter().map(|kept| {
                    let adieu_session::outbox::Kept { tag, key, tail, .. } = kept;
                    Message { tag, key, tail }
                });
                let arrived = SessionCommand::Arrived(first, all.collect());
                let _ = gateway.of_shards(vec![Command::Session(id, arrived)]).await;
            }
            Err(error) => tracing::debug!("messages are found by the next audit: {error}"),
        }
    }

    /// Ends a session; false if there is none.
    async fn end(
        &self,
        gateway: &Gateway,
        id: SessionId,
        close: Option<&FinalClose>,
    ) -> Result<bool, ClusterError> {
        let me = self.living()?;
        let close = close.map(|close| close.to_text());
        let finished = self.engine.finish(me, id, close.as_deref().unwrap_or_default()).await?;
        self.replicated(me, ChannelPurpose::Commits, &[id.slot()]).await?;
        Ok(self.finished(gateway, id, finished, close.as_deref()).await)
    }

    async fn send_to_user(
        &self,
        gateway: &Gateway,
        user: &Arc<str>,
        outgoing: Outgoing,
    ) -> Result<Reply, GatewayError> {
        let me = self.living()?;
        let all = self.engine.post_to_user(me, self.limits, user, &outgoing).await;
        let all = all.map_err(ClusterError::from)?;
        if all.is_empty() {
            return Ok(Reply::NoSession);
        }
        self.replicated(me, ChannelPurpose::Commits, &[Slot::of_user(user)]).await?;
        let mut done = 0;
        for (id, posted) in all {
            let reply = self.posted(gateway, id, posted, outgoing.clone()).await;
            done += usize::from(reply == Reply::Done);
        }
        Ok(Reply::Several { done, full: Vec::<Full>::new() })
    }

    async fn end_of_user(
        &self,
        gateway: &Gateway,
        user: &Arc<str>,
        close: Option<&FinalClose>,
    ) -> Result<Reply, GatewayError> {
        let all = self.engine.look_at_user(user, gateway.now()).await;
        let all = all.map_err(ClusterError::from)?;
        if all.is_empty() {
            return Ok(Reply::NoSession);
        }
        let mut done = 0;
        for looked in all {
            done += usize::from(self.end(gateway, looked.view.session_id, close).await?);
        }
        Ok(Reply::Several { done, full: Vec::new() })
    }

    /// This life of the node, if it may say something.
    pub(super) fn living(&self) -> Result<Node, ClusterError> {
        let me = self.me();
        if self.lives(me) { Ok(me) } else { Err(ClusterError::Lapsed) }
    }
}
