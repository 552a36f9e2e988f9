//! The task that owns the sessions of some slots. What has come while it committed is done
//! together next, in one turn.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use adieu::Sender;
use adieu_engine::{Committed, Told};
use tokio::sync::{mpsc, oneshot, watch};

use super::client_writer::{Said, Writers};
use super::clock::Clock;
use super::{Gateway, TURN};
use crate::cluster::ClusterError;
use crate::hook::Room;
use crate::session::command::Full;
use crate::session::command::Query;
use crate::session::event::{Event, EventType};
use crate::session::fence::Refused;
use crate::session::shard::{Answer, let_go};
use crate::session::{Batch, Command, Effect, Reply, SessionId, Shard, Transaction, wire};
use crate::store::{Refusals, Store, StoreError};

/// What a shard is asked, and what is done with the answer.
#[derive(Debug)]
pub(super) enum Job {
    /// To do something.
    Command(Box<Command>, With),
    /// To look at something.
    Query(Query, oneshot::Sender<Answer>),
    /// To let go of all sessions: the lease of this node is over.
    LetGo(oneshot::Sender<()>),
}

/// What goes with a command. None of it is the command's own: each is of this process alone.
#[derive(Debug, Default)]
pub(super) struct With {
    /// The connection that wants a session.
    pub(super) connection: Option<Sender>,
    /// The event of the message takes it over; without one it is kept until the command is
    /// committed.
    pub(super) room: Option<Room>,
    /// Told once it is committed.
    pub(super) tell: Option<oneshot::Sender<Done>>,
}

/// What became of a command.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Done {
    /// It was done.
    Replied(Reply),
    /// The connection had ended before, or the session is another owner's: nothing was done.
    NotAttached,
}

impl Done {
    /// The same where the store has refused what was to be done.
    fn refused(self, why: Refused) -> Self {
        match (self, why) {
            (_, Refused::Full) => Done::Replied(Reply::Full(Full::SessionsOfUser)),
            (_, Refused::Began(id)) => Done::Replied(Reply::Began(id)),
            (done, _) => done.not_made(),
        }
    }

    fn not_made(self) -> Self {
        match self {
            Done::Replied(Reply::Attached(_)) => Done::NotAttached,
            Done::Replied(_) => Done::Replied(Reply::NoSession),
            Done::NotAttached => Done::NotAttached,
        }
    }
}

/// What is told once the turn is committed.
struct After {
    /// Which session was asked, if it was one.
    session: Option<SessionId>,
    tell: Option<oneshot::Sender<Done>>,
    done: Done,
    /// Kept until then.
    _room: Option<Room>,
}

impl After {
    fn tell_not_attached(self) {
        if let Some(tell) = self.tell {
            let _ = tell.send(Done::NotAttached);
        }
    }
}

/// Which effects of a transaction deliver a message, and the room that is kept for each; in order.
pub(super) type Rooms = VecDeque<(usize, Room)>;

/// Why a gateway stopped or did not start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GatewayError {
    /// The store.
    Store(StoreError),
    /// The key of the tokens in the store is none.
    BadKey,
    /// It has stopped.
    Stopped,
    /// The store does not answer.
    Stuck,
    /// The engine that is shared with other nodes.
    Cluster(ClusterError),
    /// The store answers, and was too slow to write down all that there is when a gateway stops.
    TooSlow,
}

impl fmt::Display for GatewayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            GatewayError::Store(error) => error.fmt(f),
            GatewayError::Cluster(error) => error.fmt(f),
            GatewayError::BadKey => f.write_str("the store's key of the tokens is not 32 bytes"),
            GatewayError::Stopped => f.write_str("the gateway has stopped"),
            GatewayError::Stuck => f.write_str("the store does not answer: is its disk well?"),
            GatewayError::TooSlow => f.write_str(
                "the store was too slow to write down for each client when it is to come back: \
                 the others are closed without a time",
            ),
        }
    }
}

impl GatewayError {
    /// A short word for it that stays the same in all versions, for searches and for programs; the
    /// FAQ of the documentation (`docs/faq/`) has a heading for each.
    #[must_use]
    pub fn id(&self) -> &'static str {
        match self {
            GatewayError::Store(error) => error.id(),
            GatewayError::Cluster(error) => error.id(),
            GatewayError::BadKey => "store-bad-key",
            GatewayError::Stopped => "gateway-stopped",
            GatewayError::Stuck => "store-stuck",
            GatewayError::TooSlow => "store-too-slow",
        }
    }

    /// What is said of it over HTTP: where the store is, and what the system says of its disk,
    /// stands in the log.
    pub(crate) fn over_http(&self) -> String {
        match self {
            GatewayError::Store(_) => "the store is lost".to_owned(),
            GatewayError::Cluster(_) => "the engine does not answer".to_owned(),
            _ => self.to_string(),
        }
    }
}

impl std::error::Error for GatewayError {}

impl From<ClusterError> for GatewayError {
    fn from(error: ClusterError) -> Self {
        GatewayError::Cluster(error)
    }
}

impl From<StoreError> for GatewayError {
    fn from(error: StoreError) -> Self {
        GatewayError::Store(error)
    }
}

/// What the store says of a turn's changes.
#[derive(Default)]
struct Written {
    refused: Refusals,
    /// Of an engine that is shared: events, and which node delivers each.
    told: Vec<Told>,
}

/// Turns one after the other that leave something waiting, after which ends are announced all the
/// same: more than all clients of a shard that can come back while a store is slow, and with turns
/// of some milliseconds no time that anybody notices.
const BEHIND: usize = 64;

/// The owner of one shard.
pub(super) struct Engine {
    index: usize,
    shard: Shard,
    writers: Writers,
    store: Store,
    gateway: Gateway,
    /// Turns up to now that left something waiting.
    behind: usize,
}

impl Engine {
    pub(super) fn new(
        index: usize,
        shard: Shard,
        writers: Writers,
        store: Store,
        gateway: Gateway,
    ) -> Self {
        Engine { index, shard, writers, store, gateway, behind: 0 }
    }

    /// Runs until it is told to stop, or the store fails.
    pub(super) async fn run(mut self, mut jobs: mpsc::Receiver<Job>) -> Result<(), GatewayError> {
        let mut stop = self.gateway.inner.stop.subscribe();
        loop {
            let due = self.shard.deadline().map(|at| self.gateway.inner.clock.until(at));
            let first = tokio::select! {
                job = jobs.recv(), if !jobs.is_closed() => job,
                () = sleep(due), if !jobs.is_closed() => None,
                // Stopped: what waits is done, and no more is taken.
                () = told(&mut stop) => {
                    jobs.close();
                    match jobs.recv().await {
                        None => return Ok(()),
                        job => job,
                    }
                }
            };
            self.turn(first, &mut jobs).await?;
        }
    }

    /// Does what waits, commits it, and does what comes of it.
    async fn turn(
        &mut self,
        first: Option<Job>,
        jobs: &mut mpsc::Receiver<Job>,
    ) -> Result<(), GatewayError> {
        let now = self.gateway.inner.clock.now();
        self.shard.set_skew(Clock::skew(now));
        let (mut tx, mut said) = Default::default();
        let mut after: Vec<After> = Vec::new();
        let mut rooms = Rooms::new();
        // What is due is no reason to leave what waits: who is back is there.
        let (mut next, mut jobs_done) = (first.or_else(|| jobs.try_recv().ok()), 0);
        while let Some(job) = next {
            self.job(job, now, &mut tx, &mut said, &mut after, &mut rooms);
            jobs_done += 1;
            next = if jobs_done < TURN { jobs.try_recv().ok() } else { None };
        }
        let heard_all = self.has_heard_all(jobs);
        if heard_all {
            self.shard.expire(now, &mut tx);
        }
        self.shard.write_down(&mut tx);
        let refused = match self.perform(tx, said, rooms).await {
            Err(GatewayError::Cluster(error)) => {
                tracing::error!("{error}");
                self.let_go_of_all().await;
                // Whatever was done is not known, and nothing is said of it.
                after.into_iter().for_each(|of| of.tell_not_attached());
                return Ok(());
            }
            refused => refused?,
        };
        for After { session, tell, done, .. } in after {
            let refused = refused.iter().find(|(id, _)| session == Some(*id));
            if let Some(tell) = tell {
                let done = match refused {
                    Some((_, why)) => done.refused(*why),
                    None => done,
                };
                // Who has gone away does not want to know.
                let _ = tell.send(done);
            }
        }
        if !heard_all {
            // They come into the queue.
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    /// Whether nobody can be among those that wait who came back before now: nothing is in the
    /// queue, and nobody waits for a place in it.
    fn has_heard_all(&mut self, jobs: &mpsc::Receiver<Job>) -> bool {
        let all = jobs.capacity() == jobs.max_capacity();
        self.behind = if all { 0 } else { (self.behind + 1) % BEHIND };
        self.behind == 0
    }

    fn job(
        &mut self,
        job: Job,
        now: crate::session::Timestamp,
        tx: &mut Transaction,
        said: &mut Vec<Said>,
        after: &mut Vec<After>,
        rooms: &mut Rooms,
    ) {
        match job {
            Job::Query(query, tell) => {
                let _ = tell.send(self.shard.query(&query));
            }
            Job::LetGo(tell) => {
                tx.leave_out_all();
                said.extend(self.all_closed());
                let _ = tell.send(());
            }
            Job::Command(command, With { connection, room, tell }) => {
                let (session, before) = (command.session(), tx.effects.len());
                let ended = connection.as_ref().is_some_and(|c| may_be_refused(&command, c));
                let done = if ended {
                    Done::NotAttached
                } else {
                    Done::Replied(self.shard.on(now, *command, tx))
                };
                if let (None, Done::Replied(Reply::Full(full))) = (&tell, &done) {
                    self.gateway.metrics().full(&[*full]);
                }
                if let (Done::Replied(Reply::Attached(handle)), Some(sender)) = (&done, connection)
                {
                    said.push(Said::Attach(*handle, sender));
                }
                let _room = match (message_delivered(&tx.effects[before..]), room) {
                    (Some(at), Some(room)) => {
                        rooms.push_back((before + at, room));
                        None
                    }
                    (_, room) => room,
                };
                after.push(After { session, tell, done, _room });
            }
        }
    }

    /// Commits a transaction and then does what it says.
    pub(super) async fn perform(
        &mut self,
        tx: Transaction,
        mut said: Vec<Said>,
        mut rooms: Rooms,
    ) -> Result<Refusals, GatewayError> {
        let Transaction { changes, effects, awaited } = tx;
        let Written { refused, told } = self.commit(changes, awaited).await?;
        // Of sessions by the event, which the effect that delivers it shares; of users in order.
        let (of_sessions, of_users): (Vec<_>, Vec<_>) =
            told.into_iter().partition(|told| told.event.sequence.is_some());
        let place = |event: &Arc<Event>| Arc::as_ptr(event).addr();
        let mut told: HashMap<usize, Told> =
            of_sessions.into_iter().map(|told| (place(&told.event), told)).collect();
        for (session, why) in &refused {
            said.extend(self.disown(*session, *why));
        }
        let shared = self.gateway.cluster().cloned();
        if shared.is_some() {
            self.shard.let_go_of_away();
        }
        let gateway = &self.gateway;
        // Of the end of the turn, for all that happened in it.
        let counts = gateway.counts(self.index, self.shard.counts());
        for (at, effect) in effects.into_iter().enumerate() {
            let is_next = rooms.front().is_some_and(|(of, _)| *of == at);
            let room = if is_next { rooms.pop_front().map(|(_, room)| room) } else { None };
            if refused.iter().any(|(session, _)| effect.session() == *session) {
                continue;
            }
            match effect {
                Effect::Send(handle, message) => said.push(Said::Send(handle, message)),
                Effect::SendSecret(handle, message) => {
                    said.push(Said::SendSecret(handle, message));
                }
                Effect::Close(handle, close) => said.push(Said::Close(handle, close)),
                Effect::LeftOut(_) => {}
                Effect::Deliver { stream, sequence, event } => match &shared {
                    None => gateway.deliver(stream, sequence, event, room),
                    // If this node delivers the queue, under the number that it has there.
                    Some(cluster) => {
                        let Some(told) = told.remove(&place(&event)) else { continue };
                        if let Some(number) = cluster.told(gateway, &told).await {
                            gateway.deliver(stream, number, event, room);
                        }
                    }
                },
                Effect::Transition(transition) => {
                    gateway.metrics().transition(&transition);
                    let view = |id| self.shard.query(&Query::Session(id));
                    gateway.timelines().record(&transition, counts, view);
                }
            }
        }
        if let Some(cluster) = &shared {
            // Of users, of whom the engine says who is the first and the last.
            for told in of_users {
                if let Some(number) = cluster.told(gateway, &told).await {
                    gateway.deliver(told.stream, number, told.event, None);
                }
            }
        }
        self.writers.say(said).await;
        Ok(refused)
    }

    async fn commit(&self, changes: Batch, awaited: bool) -> Result<Written, GatewayError> {
        if changes.is_empty() {
            return Ok(Written::default());
        }
        if let Some(cluster) = self.gateway.cluster() {
            let (me, now) = (cluster.me(), self.gateway.inner.clock.now());
            let Committed { refused, told } = cluster.commit(me, changes, now).await?;
            return Ok(Written { refused, told });
        }
        let refused = if awaited {
            self.store.commit(changes).await?
        } else {
            self.store.submit(changes).await?;
            Refusals::new()
        };
        Ok(Written { refused, told: Vec::new() })
    }

    /// The lease of this node is over: it owns nothing, and its clients come back to nodes that do.
    async fn let_go_of_all(&mut self) {
        let said = self.all_closed();
        self.writers.say(said).await;
    }

    fn all_closed(&mut self) -> Vec<Said> {
        let close = wire::close(wire::TRY_AGAIN_LATER, "this node has lost its engine");
        let all = self.shard.disown_all().into_iter();
        all.map(|handle| Said::Close(handle, close.clone())).collect()
    }

    /// Lets go of a session that is not ours, as the store says: nothing is acknowledged or told.
    /// Its client hears that the session goes on elsewhere; or, where the store has lost what it
    /// was told, that it has to come back.
    fn disown(&mut self, session: SessionId, why: Refused) -> Option<Said> {
        let handle = self.shard.disown(session)?;
        match why {
            // It never began here, and its connection is answered by who has asked.
            Refused::Full | Refused::Began(_) => return None,
            Refused::Fenced => tracing::debug!(%session, "another node has the session"),
            Refused::RolledBack => {
                tracing::error!(%session, "the store has lost writes: the session is let go");
            }
        }
        Some(Said::Close(handle, let_go(why)))
    }

    /// Sessions that the store held begin their timelines with what is known of them.
    pub(super) fn timelines_restored(&self, most: usize) {
        let (now, gateway) = (Clock::wall(), &self.gateway);
        let counts = gateway.counts(self.index, self.shard.counts());
        if let Answer::Sessions(views) = self.shard.query(&Query::Sessions(None, most)) {
            views.iter().for_each(|view| gateway.timelines().restored(now, view, counts));
        }
    }
}

/// Which of these effects delivers a message: a command has one at most.
fn message_delivered(effects: &[Effect]) -> Option<usize> {
    let is_message = |effect: &Effect| match effect {
        Effect::Deliver { event, .. } => event.r#type == EventType::Message,
        Effect::Send(..)
        | Effect::SendSecret(..)
        | Effect::Close(..)
        | Effect::Transition(_)
        | Effect::LeftOut(_) => false,
    };
    effects.iter().position(is_message)
}

/// A late try of a page that has gone on must not take the session from a newer connection; but a
/// client that does not speak adieu.v1 may say what it has to say and go.
fn may_be_refused(command: &Command, connection: &Sender) -> bool {
    let plain = matches!(command, Command::Start(_, guest) if guest.plain);
    !plain && connection.peer_has_ended()
}

/// Ready when it is told.
async fn told(stop: &mut watch::Receiver<bool>) {
    if stop.wait_for(|stop| *stop).await.is_err() {
        std::future::pending::<()>().await;
    }
}

async fn sleep(due: Option<Duration>) {
    match due {
        Some(due) => tokio::time::sleep(due).await,
        None => std::future::pending().await,
    }
}
