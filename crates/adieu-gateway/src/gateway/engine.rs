//! The one task that owns the sessions. What has come while it committed is done together next.

use std::collections::{HashMap, HashSet};
use std::fmt;

use adieu::Sender;
use tokio::sync::{mpsc, watch};

use super::clock::Clock;
use super::outlet::Outlet;
use super::{ACTS, Gateway, chronicle};
use crate::session::hub::{Effect, Handle, Hub, Step, UnreadableSession};
use crate::session::{Batch, Change, SessionId, Timestamp};
use crate::store::{Store, StoreError};

/// What is done once a step is committed.
pub(crate) type Reply = Box<dyn FnOnce() + Send>;

/// Something to do with the sessions.
pub(crate) type Act = Box<dyn FnOnce(&mut Scene<'_>, Timestamp) -> (Step, Reply) + Send>;

/// What an act may touch.
pub(crate) struct Scene<'a> {
    pub(crate) hub: &'a mut Hub,
    outlets: &'a mut HashMap<Handle, Outlet>,
}

impl Scene<'_> {
    /// Where what is said to this connection goes from now on.
    pub(crate) fn attach(&mut self, handle: Handle, sender: Sender) {
        self.outlets.insert(handle, Outlet::new(sender));
    }

    pub(crate) fn detach(&mut self, handle: Handle) {
        self.outlets.remove(&handle);
    }
}

/// Why a gateway stopped or did not start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GatewayError {
    /// The store.
    Store(StoreError),
    /// A session in the store is not of this version.
    Unreadable(UnreadableSession),
    /// The key of the tokens in the store is none.
    BadKey,
    /// It has stopped.
    Stopped,
    /// The store does not answer.
    Stuck,
}

impl fmt::Display for GatewayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            GatewayError::Store(error) => error.fmt(f),
            GatewayError::Unreadable(error) => error.fmt(f),
            GatewayError::BadKey => f.write_str("the store's key of the tokens is not 32 bytes"),
            GatewayError::Stopped => f.write_str("the gateway has stopped"),
            GatewayError::Stuck => f.write_str("the store does not answer: is its disk well?"),
        }
    }
}

impl std::error::Error for GatewayError {}

impl From<StoreError> for GatewayError {
    fn from(error: StoreError) -> Self {
        GatewayError::Store(error)
    }
}

impl From<UnreadableSession> for GatewayError {
    fn from(error: UnreadableSession) -> Self {
        GatewayError::Unreadable(error)
    }
}

pub(super) struct Engine {
    hub: Hub,
    outlets: HashMap<Handle, Outlet>,
    store: Store,
    clock: Clock,
    gateway: Gateway,
}

impl Engine {
    pub(super) fn new(hub: Hub, store: Store, clock: Clock, gateway: Gateway) -> Self {
        Engine { hub, outlets: HashMap::new(), store, clock, gateway }
    }

    /// Runs until it is told to stop, or the store fails.
    pub(super) async fn run(mut self, mut acts: mpsc::Receiver<Act>) -> Result<(), GatewayError> {
        let mut stop = self.gateway.inner.stop.subscribe();
        loop {
            let due = self.hub.deadline().map(|at| self.clock.until(at));
            let mut stopped = false;
            let first = tokio::select! {
                act = acts.recv(), if !acts.is_closed() => act,
                () = sleep(due), if !acts.is_closed() => None,
                // Stopped: what waits is done, and no more is taken.
                () = told(&mut stop) => {
                    acts.close();
                    let act = acts.recv().await;
                    stopped = act.is_none();
                    act
                }
            };
            let (step, replies) = self.group(first, &mut acts);
            self.perform(step).await?;
            replies.into_iter().for_each(|reply| reply());
            if stopped {
                return Ok(self.store.close().await?);
            }
        }
    }

    /// Does what waits; what came of all of it.
    fn group(&mut self, first: Option<Act>, acts: &mut mpsc::Receiver<Act>) -> (Step, Vec<Reply>) {
        let now = self.clock.now();
        let (mut step, mut replies) = (Step::default(), Vec::new());
        let mut next = first;
        while let Some(act) = next {
            let mut scene = Scene { hub: &mut self.hub, outlets: &mut self.outlets };
            let (came, reply) = act(&mut scene, now);
            step.append(came);
            replies.push(reply);
            next = if replies.len() < ACTS { acts.try_recv().ok() } else { None };
        }
        step.append(self.hub.expire(now));
        (step, replies)
    }

    /// Commits a step and then does what it says.
    pub(super) async fn perform(&mut self, step: Step) -> Result<(), GatewayError> {
        let changes = last_rows(step.changes);
        if !changes.is_empty() {
            self.store.commit(changes).await?;
        }
        for effect in step.effects {
            match effect {
                Effect::Send(handle, message) => {
                    if let Some(outlet) = self.outlets.get(&handle) {
                        outlet.send(message);
                    }
                }
                Effect::Close(handle, close) => {
                    if let Some(outlet) = self.outlets.get(&handle) {
                        outlet.close(close);
                    }
                }
                Effect::Deliver { stream, sequence, event } => {
                    let deliveries = &self.gateway.inner.deliveries;
                    deliveries.push(&self.gateway, stream, sequence, event);
                }
                Effect::Moment(moment) => {
                    self.gateway.metrics().moment(&moment);
                    let chronicle = self.gateway.chronicle();
                    chronicle.record(&moment, self.hub.counts(), |id| self.hub.view(id));
                }
            }
        }
        Ok(())
    }

    /// Sessions that the store held begin their stories with what is known of them.
    pub(super) fn chronicle_restored(&self) {
        let (now, counts) = (self.clock.now(), self.hub.counts());
        for view in self.hub.ids().take(chronicle::HERE).filter_map(|id| self.hub.view(id)) {
            self.gateway.chronicle().restored(now, &view, counts);
        }
    }
}

/// Of several rows of one session the last is enough, and none of one that is gone.
fn last_rows(changes: Batch) -> Batch {
    let mut seen: HashSet<SessionId> = HashSet::new();
    let mut kept: Batch = changes
        .into_iter()
        .rev()
        .filter(|change| match change {
            Change::PutSession { id, .. } => seen.insert(*id),
            Change::DeleteSession { id } => {
                seen.insert(*id);
                true
            }
            _ => true,
        })
        .collect();
    kept.reverse();
    kept
}

/// Ready when it is told.
async fn told(stop: &mut watch::Receiver<bool>) {
    if stop.wait_for(|stop| *stop).await.is_err() {
        std::future::pending::<()>().await;
    }
}

async fn sleep(due: Option<std::time::Duration>) {
    match due {
        Some(due) => tokio::time::sleep(due).await,
        None => std::future::pending().await,
    }
}
