//! The gateway: one task owns all sessions and commits what happens to them before anybody hears of
//! it; connections, the API and the deliveries to the backend ask it.
//!
//! ```text
//!   connection ─┐                       ┌─► messages, Closes to connections
//!   API ────────┼─► engine: hub ─► store ┼─► events to the backend (hook)
//!   clock ──────┘    (one task)  commit  └─► the page, metrics
//! ```

mod chronicle;
mod clock;
mod connection;
mod drain;
mod engine;
mod outlet;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};

pub use chronicle::{Chronicle, Sessions};
pub use engine::GatewayError;

use crate::hook::{Answer, Backend, Deliveries, DeliveryOptions, EventLog};
use crate::metrics::Metrics;
use crate::random::random;
use crate::session::hub::{Hub, Settings, Step};
use crate::session::{Batch, Change, Contents, Key, SessionId, Timestamp};
use crate::store::{Backend as StoreBackend, Store};
use clock::Clock;
use engine::{Act, Engine, Scene};

/// What may wait for the engine: as much as it puts into one commit. Who asks for more waits.
const ACTS: usize = 1024;

/// Where the key of the tokens stands in the store.
const TOKEN_KEY: &str = "token_key";

/// How a gateway behaves.
#[derive(Debug)]
pub struct Options {
    /// Sessions.
    pub sessions: Settings,
    /// Who hears of them, if anybody.
    pub backend: Option<Backend>,
    /// How they are told.
    pub deliveries: DeliveryOptions,
    /// Whether the backend is asked before a session is resumed.
    pub ask_resume: bool,
    /// Over how long the clients are told to come back when the gateway stops.
    pub drain_window: Duration,
}

/// A running gateway. A clone is the same.
#[derive(Clone)]
pub struct Gateway {
    inner: Arc<Inner>,
}

struct Inner {
    acts: mpsc::Sender<Act>,
    backend: Option<Backend>,
    ask_resume: bool,
    drain_window: Duration,
    durable: bool,
    deliveries: Arc<Deliveries>,
    metrics: Metrics,
    chronicle: Chronicle,
    /// Why the engine is over, once it is.
    over: watch::Receiver<Option<Result<(), GatewayError>>>,
    draining: watch::Sender<bool>,
    stop: watch::Sender<bool>,
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
    pub async fn start(
        store: impl StoreBackend,
        mut options: Options,
    ) -> Result<Self, GatewayError> {
        let durable = store.outlives_the_process();
        let (store, mut contents) = Store::start(store)?;
        let clock = Clock::start();
        options.sessions.tell = options.backend.is_some();
        let key = token_key(&store, &contents).await?;
        let (hub, step) = Hub::restore(key, options.sessions, &contents, clock.now())?;
        let (acts, receiver) = mpsc::channel(ACTS);
        let (tell_over, over) = watch::channel(None);
        let deliveries = Arc::new(Deliveries::new(options.backend.clone(), options.deliveries));
        let inner = Inner {
            acts,
            backend: options.backend,
            ask_resume: options.ask_resume,
            drain_window: options.drain_window,
            durable,
            deliveries: deliveries.clone(),
            metrics: Metrics::default(),
            chronicle: Chronicle::new(clock),
            over,
            draining: watch::Sender::new(false),
            stop: watch::Sender::new(false),
        };
        let gateway = Gateway { inner: Arc::new(inner) };
        let mut engine = Engine::new(hub, store, clock, gateway.clone());
        // What the store holds already is delivered before what the restart brings about.
        deliveries.restore(&gateway, &mut contents);
        engine.perform(step).await?;
        engine.chronicle_restored();
        tokio::spawn(async move {
            let result = engine.run(receiver).await;
            let _ = tell_over.send(Some(result));
        });
        Ok(gateway)
    }

    /// Does something with the sessions; ready when what came of it is committed and done. In
    /// the order in which it is asked for.
    pub(crate) async fn act<T: Send + 'static>(
        &self,
        act: impl FnOnce(&mut Scene<'_>, Timestamp) -> (T, Step) + Send + 'static,
    ) -> Result<T, GatewayError> {
        let (tell, told) = oneshot::channel();
        self.submit_act(Box::new(move |scene, now| {
            let (result, step) = act(scene, now);
            let tell = move || {
                // Who has gone away does not want to know.
                let _ = tell.send(result);
            };
            (step, Box::new(tell))
        }))
        .await?;
        told.await.map_err(|_| GatewayError::Stopped)
    }

    async fn submit_act(&self, act: Act) -> Result<(), GatewayError> {
        self.inner.acts.send(act).await.map_err(|_| GatewayError::Stopped)
    }

    /// Looks at the sessions.
    pub(crate) async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Hub) -> T + Send + 'static,
    ) -> Result<T, GatewayError> {
        self.act(move |scene, _| (look(scene.hub), Step::default())).await
    }

    /// What happened to sessions, as far as it is kept for people to see.
    #[must_use]
    pub fn chronicle(&self) -> &Chronicle {
        &self.inner.chronicle
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

/// Whose an event is.
#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Whose {
    session_id: SessionId,
}

impl EventLog for Gateway {
    /// A session that is over meanwhile gets nothing.
    async fn answered(&self, event: &[u8], answer: Answer) {
        let Answer { send, close } = answer;
        if send.is_empty() && close.is_none() {
            return;
        }
        let Ok(Whose { session_id: id }) = serde_json::from_slice(event) else { return };
        let act: Act = Box::new(move |scene, now| {
            let mut step = Step::default();
            for payload in send {
                step.append(scene.hub.send(now, id, &payload).unwrap_or_default());
            }
            if close.is_some() {
                step.append(scene.hub.end(now, id, close).unwrap_or_default());
            }
            (step, Box::new(|| {}))
        });
        // It is committed with or before what is written of the event: the engine keeps the order.
        let _ = self.submit_act(act).await;
    }

    async fn write(&self, changes: Batch) -> bool {
        let step = Step { changes, effects: Vec::new() };
        self.submit_act(Box::new(move |_, _| (step, Box::new(|| {})))).await.is_ok()
    }
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
