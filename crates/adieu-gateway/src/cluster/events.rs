//! Events on their way to the backend: what was taken leaves the engine, and what follows it comes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use adieu_engine::{Finished, Queued, Taken};
use bytes::Bytes;

use super::queues::EVENTS;
use super::sweep::adopt;
use super::{Cluster, ClusterError};
use crate::gateway::Gateway;
use crate::hook::Answered;
use crate::session::command::{Outgoing, Purpose, SessionCommand};
use crate::session::event::{Event, session_stream};
use crate::session::wire::FinalClose;
use crate::session::{Batch, Change, Command, SessionId};

/// Between two tries to tell the engine what was taken.
const AGAIN: Duration = Duration::from_millis(200);

impl Cluster {
    /// Writes down what became of events; false if this node's lease was over before that. Then
    /// another node tells them again, under the same ids, and this one goes on with others.
    pub(crate) async fn settled(&self, gateway: &Gateway, changes: Batch) -> bool {
        let mut taken = Vec::new();
        for change in changes {
            let kept = match change {
                Change::DeleteEvent { stream, sequence } => {
                    taken.push((stream, sequence));
                    true
                }
                Change::PutDeadLetter { id, letter } => self.dead_letter(id, Some(&letter)).await,
                Change::DeleteDeadLetter { id } => self.dead_letter(id, None).await,
                _ => true,
            };
            if !kept {
                return false;
            }
        }
        let asked = self.queues().taken(&taken);
        self.tell_taken(gateway, asked).await
    }

    /// Tells the engine until it knows.
    async fn tell_taken(&self, gateway: &Gateway, mut asked: Vec<Taken>) -> bool {
        let me = self.me();
        while !asked.is_empty() {
            if !self.lives(me) {
                return false;
            }
            let answers = self.engine.taken(me, &asked, EVENTS).await;
            let mut again = Vec::new();
            for (taken, answer) in asked.into_iter().zip(answers) {
                match answer {
                    Ok(events) => again.extend(self.take_in(gateway, &taken.stream, events)),
                    Err(error) => {
                        tracing::debug!("the engine is told again what was taken: {error}");
                        again.push(taken);
                        tokio::time::sleep(AGAIN).await;
                    }
                }
            }
            asked = again;
        }
        true
    }

    /// Gives events to the deliveries; what to ask again for.
    fn take_in(&self, gateway: &Gateway, stream: &Bytes, events: Vec<Queued>) -> Option<Taken> {
        let (new, again) = self.queues().came(stream, events);
        for (number, event) in new {
            gateway.deliver(stream.clone(), number, event, None);
        }
        if again { self.queues().ask(stream) } else { None }
    }

    /// The engine has these events of a queue that this node delivers.
    pub(super) async fn came(&self, gateway: &Gateway, stream: &Bytes, events: Vec<Queued>) {
        if let Some(again) = self.take_in(gateway, stream, events) {
            self.tell_taken(gateway, vec![again]).await;
        }
    }

    /// Asks for the events of a queue that this node delivers.
    pub(super) async fn ask_for(&self, gateway: &Gateway, stream: &Bytes) {
        let asked = self.queues().ask_from_start(stream);
        self.tell_taken(gateway, asked.into_iter().collect()).await;
    }

    /// Does what the backend answered to an event, in one step with that the event is taken. Once:
    /// repeated until the engine says that it was done, or until the lease of this node is over:
    /// then another node tells the event again, and does what is answered to that.
    pub(crate) async fn answered(
        &self,
        gateway: &Gateway,
        Answered { event, answer, written_off }: Answered,
    ) {
        let send: Vec<_> =
            answer.send.into_iter().map(|payload| Outgoing::new(payload, gateway.tag())).collect();
        let close = answer.close.map(|close| close.to_text());
        let me = self.me();
        let Some((place, id)) = self.place_of(&event) else {
            self.settled(gateway, written_off).await;
            return;
        };
        let of = (event.session_id, place, id.as_str());
        let done = loop {
            if !self.lives(me) {
                return;
            }
            match self.engine.answered(me, self.limits, of, &send, close.as_deref()).await {
                Ok(done) => break done,
                Err(error) => {
                    tracing::debug!("an answer of the backend is done again: {error}");
                    tokio::time::sleep(AGAIN).await;
                }
            }
        };
        if let Some((posted, finished)) = done {
            for (posted, outgoing) in posted.into_iter().zip(send) {
                self.posted(gateway, event.session_id, posted, outgoing).await;
            }
            self.finished(gateway, event.session_id, finished, close.as_deref()).await;
        }
        self.settled(gateway, written_off).await;
    }

    fn place_of(&self, event: &Arc<Event>) -> Option<(adieu_engine::Place, String)> {
        self.queues().place_of(&session_stream(event.session_id), event.sequence?)
    }

    /// Ends a session as the engine has answered to that.
    pub(super) async fn finished(
        &self,
        gateway: &Gateway,
        id: SessionId,
        finished: Finished,
        close: Option<&str>,
    ) -> bool {
        match finished {
            Finished::NoSession => return false,
            Finished::Asked => {}
            Finished::Yours(snapshot) => {
                let end = adopt(gateway, *snapshot, Purpose::Expire);
                let _ = gateway.of_shards(vec![end]).await;
            }
            Finished::Owner => {
                let close = close.and_then(FinalClose::from_text);
                let end = Command::Session(id, SessionCommand::End(close));
                let _ = gateway.of_shards(vec![end]).await;
            }
        }
        true
    }

    /// The dead letters of all nodes.
    pub(crate) async fn dead_letters(&self) -> Result<BTreeMap<u64, Bytes>, ClusterError> {
        Ok(self.engine.dead_letters().await?)
    }

    /// Keeps a dead letter, or lets go of it, for as long as the engine has to be asked.
    async fn dead_letter(&self, id: u64, letter: Option<&[u8]>) -> bool {
        let me = self.me();
        loop {
            if !self.lives(me) {
                return false;
            }
            match self.engine.dead_letter(id, letter).await {
                Ok(()) => return true,
                Err(error) => {
                    tracing::warn!("a dead letter is written down again: {error}");
                    tokio::time::sleep(AGAIN).await;
                }
            }
        }
    }
}
