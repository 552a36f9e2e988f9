//! The gateway: tasks that own the sessions of their slots and commit what happens to them before
//! anybody hears of it; connections, the API and the deliveries to the backend ask them.
//!
//! ```text
//!   connection ─┐ Command                        ┌─► messages, Closes (client_writer)
//!   API ────────┼────────► engine: shard ─► store ┼─► events to the backend (hook)
//!   clock ──────┘          (one per core)  commit └─► the page, metrics
//! ```

mod claiming;
mod client_writer;
mod clock;
mod clustered;
mod connection;
mod credentials;
mod drain;
mod engine;
mod query;
mod soon;
#[cfg(test)]
mod tests;
mod timelines;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};

pub use engine::GatewayError;
pub use timelines::{Sessions, Timelines};

use crate::accounts::Accounts;
use crate::cluster::{Cluster, ClusterError};
use crate::hook::{Answered, Backend, Deliveries, DeliveryOptions, EventLog};
use crate::metrics::Metrics;
use crate::random::random;
use crate::requests::Requests;
use crate::session::command::{self, Outgoing};
use crate::session::shard::Counts;
use crate::session::wire::Tag;
use crate::session::{
    Batch, Change, Command, Contents, Digest, Key, Reply, SessionId, Settings, Shard,
};
use crate::store::{Backend as StoreBackend, Store};
use client_writer::{Said, Writers};
use clock::Clock;
use clustered::Clustered;
use engine::{Done, Engine, Job, Rooms, With};
use soon::Soon;

/// What is done in one turn of an engine, and what may wait for it. Whoever asks for more waits.
const TURN: usize = 1024;

/// Where the key of the tokens stands in the store.
const TOKEN_KEY: &str = "token_key";

/// How a gateway behaves.
#[derive(Debug)]
pub struct Options {
    /// Sessions.
    pub sessions: Settings,
    /// Who hears of them, if anybody.
    pub backend: Option<Backend>,
    /// How it is told.
    pub deliveries: DeliveryOptions,
    /// Names of the cookies that are credentials; none: all of them.
    pub credential_cookies: Vec<String>,
    /// Over how long the clients are told to come back when the gateway stops.
    pub drain_window: Duration,
    /// Tasks that own sessions; 0: one for each core.
    pub shards: usize,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            sessions: Settings::default(),
            backend: None,
            deliveries: DeliveryOptions::default(),
            credential_cookies: Vec::new(),
            drain_window: Duration::from_secs(10),
            shards: 0,
        }
    }
}

/// A running gateway. A clone is the same.
#[derive(Clone)]
pub struct Gateway {
    inner: Arc<Inner>,
}

struct Inner {
    shards: Vec<mpsc::Sender<Job>>,
    writers: Writers,
    key: Key,
    clock: Clock,
    backend: Option<Backend>,
    store: Store,
    credential_cookies: Vec<String>,
    drain_window: Duration,
    durable: bool,
    deliveries: Arc<Deliveries>,
    metrics: Metrics,
    requests: Requests,
    accounts: Arc<Accounts>,
    timelines: Timelines,
    /// Of each shard, under a lock of its own.
    counts: Vec<Mutex<Counts>>,
    /// Bytes that may still wait for room.
    waiting: Semaphore,
    /// What the next tag is made of.
    tags: AtomicU64,
    /// Why the engines are over, once they are.
    over: watch::Receiver<Option<Result<(), GatewayError>>>,
    draining: watch::Sender<bool>,
    stop: watch::Sender<bool>,
    /// The other nodes, where there are some.
    clustered: Option<Clustered>,
}

impl std::fmt::Debug for Gateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Gateway")
    }
}

impl Gateway {
    /// Reads what the store holds and goes on with it. Inside a tokio runtime.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn start(store: impl StoreBackend, options: Options) -> Result<Self, GatewayError> {
        let durable = store.outlives_the_process();
        let (store, contents) = Store::start(store)?;
        let key = token_key(&store, &contents).await?;
        Gateway::start_with(options, (store, contents, durable), key, None).await
    }

    async fn start_with(
        mut options: Options,
        (store, contents, durable): (Store, Contents, bool),
        key: Key,
        clustered: Option<Clustered>,
    ) -> Result<Self, GatewayError> {
        options.sessions.tell = options.backend.is_some();
        let count = shards(options.shards);
        let (shards, jobs): (Vec<_>, Vec<_>) = (0..count).map(|_| mpsc::channel(TURN)).unzip();
        let (tell_over, over) = watch::channel(None);
        let clock = Clock::start();
        let inner = Inner {
            shards,
            writers: Writers::start(count),
            key: key.clone(),
            clock,
            deliveries: Arc::new(Deliveries::new(options.backend.clone(), options.deliveries)),
            backend: options.backend,
            store: store.clone(),
            credential_cookies: options.credential_cookies,
            drain_window: options.drain_window,
            durable,
            metrics: Metrics::default(),
            requests: Requests::default(),
            accounts: Arc::new(Accounts::new()),
            timelines: Timelines::new(),
            counts: (0..count).map(|_| Mutex::default()).collect(),
            waiting: Semaphore::new(connection::WAITING),
            tags: AtomicU64::new(u64::from_le_bytes(random())),
            over,
            draining: watch::Sender::new(false),
            stop: watch::Sender::new(false),
            clustered,
        };
        let gateway = Gateway { inner: Arc::new(inner) };
        if let Some(cluster) = gateway.cluster() {
            gateway.inner.deliveries.shared(cluster.me().0);
        }
        // What the store holds already is delivered before what the restart brings about.
        gateway.inner.deliveries.restore(&gateway, &contents);
        let mut engines = Vec::new();
        for (index, part) in contents.split(count).into_iter().enumerate() {
            let settings = options.sessions.clone();
            let seed = u64::from_le_bytes(random());
            let (shard, tx) = Shard::restore(key.clone(), settings, part, clock.now(), seed);
            let writers = gateway.inner.writers.clone();
            let mut engine = Engine::new(index, shard, writers, store.clone(), gateway.clone());
            engine.perform(tx, Vec::new(), Rooms::new()).await?;
            engine.timelines_restored(timelines::HERE / count);
            engines.push(engine);
        }
        gateway.join_the_others();
        let running: Vec<_> =
            engines.into_iter().zip(jobs).map(|(e, jobs)| tokio::spawn(e.run(jobs))).collect();
        tokio::spawn(async move {
            let _ = tell_over.send(Some(finish(running, store).await));
        });
        Ok(gateway)
    }

    /// Does what is asked; ready when what came of it is committed and done. In the order in which
    /// one slot is asked.
    pub(crate) async fn command(&self, command: Command) -> Result<Reply, GatewayError> {
        if let Some(cluster) = self.cluster().filter(|_| Cluster::does(&command)) {
            return cluster.clone().command(self, command).await;
        }
        match self.ask_shard(command, None).await? {
            Done::Replied(reply) => Ok(reply),
            Done::NotAttached => Err(GatewayError::Stopped),
        }
    }

    /// The same for many: all are asked before the first has replied, so that they share the
    /// commits of the engines' turns instead of waiting for one each. The replies are in the order
    /// of the commands.
    pub(crate) async fn commands(
        &self,
        commands: Vec<Command>,
    ) -> Result<Vec<Reply>, GatewayError> {
        if self.cluster().is_none() {
            return self.of_shards(commands).await;
        }
        let all = commands.into_iter().map(|command| self.command(command));
        futures_util::future::join_all(all).await.into_iter().collect()
    }

    /// The same of the shards of this node.
    pub(crate) async fn of_shards(
        &self,
        commands: Vec<Command>,
    ) -> Result<Vec<Reply>, GatewayError> {
        let mut asked = Vec::with_capacity(commands.len());
        for command in commands {
            let (tell, told) = oneshot::channel();
            self.submit(command, With { tell: Some(tell), ..With::default() }).done().await?;
            asked.push(told);
        }
        let mut replies = Vec::with_capacity(asked.len());
        for told in asked {
            let Done::Replied(reply) = told.await.map_err(|_| GatewayError::Stopped)? else {
                return Err(GatewayError::Stopped);
            };
            replies.push(reply);
        }
        Ok(replies)
    }

    async fn ask_shard(
        &self,
        command: Command,
        connection: Option<adieu::Sender>,
    ) -> Result<Done, GatewayError> {
        let (tell, told) = oneshot::channel();
        self.submit(command, With { connection, room: None, tell: Some(tell) }).done().await?;
        told.await.map_err(|_| GatewayError::Stopped)
    }

    /// Gives a command to its shard: at once, or when there is room for it.
    fn submit(&self, command: Command, with: With) -> Soon<'_, Result<(), GatewayError>> {
        let shards = &self.inner.shards;
        let shard = command.slot().map_or(0, |slot| slot.shard(shards.len()));
        self.submit_to(shard, command, with)
    }

    fn submit_to(
        &self,
        shard: usize,
        command: Command,
        with: With,
    ) -> Soon<'_, Result<(), GatewayError>> {
        let shard = &self.inner.shards[shard];
        match shard.try_send(Job::Command(Box::new(command), with)) {
            Ok(()) => Soon::Now(Ok(())),
            Err(TrySendError::Full(job)) => {
                Soon::later(async move { shard.send(job).await.map_err(|_| GatewayError::Stopped) })
            }
            Err(TrySendError::Closed(_)) => Soon::Now(Err(GatewayError::Stopped)),
        }
    }

    /// A connection has ended: nothing more is said on it.
    async fn forget_connection(&self, handle: crate::session::Handle) {
        self.inner.writers.say(vec![Said::Detach(handle)]).await;
    }

    /// What a shard counts now; what all of them count.
    fn counts(&self, shard: usize, now: Counts) -> Counts {
        *self.inner.counts[shard].lock().unwrap_or_else(PoisonError::into_inner) = now;
        self.counted_here()
    }

    /// What all shards of this process count.
    fn counted_here(&self) -> Counts {
        let of = |one: &Mutex<Counts>| *one.lock().unwrap_or_else(PoisonError::into_inner);
        self.inner.counts.iter().map(of).fold(Counts::default(), |all, one| all + one)
    }

    /// A tag for a message: 48 bits that look random, and that no message of this process has had
    /// or will have before 2^48 of them were sent.
    pub(crate) fn tag(&self) -> Tag {
        let n = self.inner.tags.fetch_add(1, Ordering::Relaxed);
        // An odd factor: a permutation of the numbers below 2^48.
        let [tag @ .., _, _] = n.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_le_bytes();
        Tag::new(tag)
    }

    /// A key of a request for a message, as it is kept.
    pub(crate) fn idempotency(&self, key: &str) -> Digest {
        self.inner.key.idempotency(key)
    }

    /// Commits changes that are of no session.
    pub(crate) async fn write_down(&self, changes: Batch) -> Result<(), GatewayError> {
        match self.cluster() {
            Some(cluster) if cluster.settled(self, changes.clone()).await => {}
            Some(_) => return Err(ClusterError::Lapsed.into()),
            None => drop(self.inner.store.commit(changes).await?),
        }
        Ok(())
    }

    /// The connection of a session, if it has one now.
    pub(crate) async fn connection_of(&self, session: SessionId) -> Option<adieu::Sender> {
        let (tell, told) = oneshot::channel();
        self.inner.writers.say(vec![Said::Find(session, tell)]).await;
        told.await.ok().flatten()
    }

    /// The connections that are open on the page or have ended, for people to see.
    pub(crate) fn accounts(&self) -> &Arc<Accounts> {
        &self.inner.accounts
    }

    /// What happened to sessions, as far as it is kept for people to see.
    #[must_use]
    pub fn timelines(&self) -> &Timelines {
        &self.inner.timelines
    }

    /// Who hears of the sessions, if anybody.
    #[must_use]
    pub fn backend(&self) -> Option<&Backend> {
        self.inner.backend.as_ref()
    }

    /// The events that wait for the backend.
    #[must_use]
    pub fn deliveries(&self) -> &Arc<Deliveries> {
        &self.inner.deliveries
    }

    /// What it counts.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.inner.metrics
    }

    /// What is known of requests: their ids, and a log of those that are refused.
    pub(crate) fn requests(&self) -> &Requests {
        &self.inner.requests
    }

    /// Waits until the gateway is over, and says why if that was not asked for.
    ///
    /// # Errors
    /// The store has failed: nothing is acknowledged any more, and the process should end.
    pub async fn over(&self) -> Result<(), GatewayError> {
        let mut over = self.inner.over.clone();
        let over = over.wait_for(Option::is_some).await;
        over.ok().and_then(|over| over.clone()).unwrap_or(Err(GatewayError::Stopped))
    }
}

impl EventLog for Gateway {
    /// Each answer is one command, and those of a batch share a turn. A session that is over
    /// meanwhile gets nothing; what a limit does not allow is counted, and not sent.
    async fn answered(&self, answers: Vec<Answered>) -> bool {
        if let Some(cluster) = self.cluster() {
            let all = answers.into_iter().map(|answer| cluster.answered(self, answer));
            futures_util::future::join_all(all).await;
            // Another life of this node goes on with what it is given.
            return !self.is_over();
        }
        let command = |Answered { event, answer, written_off }| {
            let send = answer.send.into_iter();
            let send = send.map(|payload| Outgoing::new(payload, self.tag())).collect();
            let answered = command::Answered { send, close: answer.close, written_off };
            Command::Answered(event.session_id, Box::new(answered))
        };
        let Ok(replies) = self.commands(answers.into_iter().map(command).collect()).await else {
            return false;
        };
        for reply in replies {
            if let Reply::Several { full, .. } = reply {
                self.metrics().full(&full);
            }
        }
        true
    }

    /// No session is changed by it: it does not go through an engine.
    async fn write(&self, changes: Batch) -> bool {
        if let Some(cluster) = self.cluster() {
            cluster.settled(self, changes).await;
            return !self.is_over();
        }
        self.inner.store.submit(changes).await.is_ok()
    }
}

fn shards(asked: usize) -> usize {
    match asked {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        asked => asked.min(usize::from(crate::session::SLOTS)),
    }
}

/// Until all engines are over: the first that fails says why. Then the store is closed.
async fn finish(
    running: Vec<tokio::task::JoinHandle<Result<(), GatewayError>>>,
    store: Store,
) -> Result<(), GatewayError> {
    let mut running: tokio::task::JoinSet<_> = running.into_iter().map(flatten).collect();
    while let Some(result) = running.join_next().await {
        result.unwrap_or(Err(GatewayError::Stopped))?;
    }
    Ok(store.close().await?)
}

async fn flatten(
    task: tokio::task::JoinHandle<Result<(), GatewayError>>,
) -> Result<(), GatewayError> {
    task.await.unwrap_or(Err(GatewayError::Stopped))
}

/// The key of the tokens; made when the store is.
async fn token_key(store: &Store, contents: &Contents) -> Result<Key, GatewayError> {
    if let Some(bytes) = contents.meta.get(TOKEN_KEY) {
        let bytes: &[u8; 32] = bytes.as_ref().try_into().map_err(|_| GatewayError::BadKey)?;
        return Ok(Key::new(bytes));
    }
    let bytes: [u8; 32] = random();
    let value = bytes::Bytes::copy_from_slice(&bytes);
    store.commit(vec![Change::PutMeta { name: TOKEN_KEY.into(), value }]).await?;
    Ok(Key::new(&bytes))
}
