//! Ending all connections when a server stops.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use adieu_proto::Ending;
use tokio::sync::watch;

use crate::now;
use crate::shared::Shared;

/// Ends every connection of an endpoint with Close 1001 when the server stops, and waits until
/// they are over. A clone is the same handle.
///
/// ```
/// # async fn stop(endpoint: adieu::Endpoint) {
/// let drain = adieu::Drain::new();
/// let endpoint = endpoint.drain(drain.clone());
/// // … serve, and when it is time to stop:
/// drain.start();
/// println!("{}", drain.finished().await);
/// # }
/// ```
#[derive(Clone)]
pub struct Drain {
    inner: Arc<Inner>,
}

struct Inner {
    live: Mutex<Live>,
    started: watch::Sender<bool>,
    count: watch::Sender<usize>,
}

#[derive(Default)]
struct Live {
    connections: HashMap<usize, Arc<Shared>>,
    /// Requests that were accepted and whose connections an HTTP library has not given yet.
    expected: usize,
    started: Option<Instant>,
    drained: Drained,
}

/// What came of a drain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Drained {
    /// Connections that were told and ended cleanly: a Close each way, then the peer's FIN.
    pub clean: usize,
    /// Connections that ended in any other way.
    pub given_up: usize,
    /// From the start to the end of the last connection.
    pub lasted: Duration,
}

impl fmt::Display for Drained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = self.clean + self.given_up;
        let seconds = self.lasted.as_secs_f64();
        write!(f, "{all} connections ended in {seconds:.1} s, {} of them cleanly", self.clean)
    }
}

impl Default for Drain {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Drain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Drain").field("started", &self.has_started()).finish_non_exhaustive()
    }
}

impl Drain {
    /// A handle with no connections yet.
    #[must_use]
    pub fn new() -> Self {
        let inner = Inner {
            live: Mutex::default(),
            started: watch::Sender::new(false),
            count: watch::Sender::new(0),
        };
        Drain { inner: Arc::new(inner) }
    }

    /// Ends all connections: Close 1001 behind everything that was sent. Those that come now are
    /// answered 503. Does nothing the second time.
    pub fn start(&self) {
        let connections: Vec<_> = {
            let mut live = self.live();
            if live.started.replace(now()).is_some() {
                return;
            }
            live.connections.values().cloned().collect()
        };
        self.inner.started.send_replace(true);
        for shared in connections {
            shared.lock().drain();
        }
    }

    /// Whether it has been started.
    #[must_use]
    pub fn has_started(&self) -> bool {
        *self.inner.started.borrow()
    }

    /// Waits until it is started.
    pub async fn started(&self) {
        // The sender lives as long as `self`.
        let _ = self.inner.started.subscribe().wait_for(|started| *started).await;
    }

    /// Waits until it is started and all connections are over.
    pub async fn finished(&self) -> Drained {
        self.started().await;
        let _ = self.inner.count.subscribe().wait_for(|count| *count == 0).await;
        let live = self.live();
        let lasted = live.started.map_or(Duration::ZERO, |started| now() - started);
        Drained { lasted, ..live.drained }
    }

    /// How many connections are live.
    #[must_use]
    pub fn connections(&self) -> usize {
        *self.inner.count.borrow()
    }

    fn live(&self) -> MutexGuard<'_, Live> {
        self.inner.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn register(&self, shared: &Arc<Shared>) {
        let mut live = self.live();
        live.connections.insert(key(shared), shared.clone());
        self.count(&live);
        let late = live.started.is_some();
        drop(live);
        if late {
            // Its request was accepted before the start, and it was given after that.
            shared.lock().drain_if_open();
        }
    }

    /// A connection is on its way: [`finished`](Self::finished) waits for it.
    #[cfg(feature = "hyper")]
    pub(crate) fn expect(&self) -> Expected {
        let mut live = self.live();
        live.expected += 1;
        self.count(&live);
        Expected(self.clone())
    }

    fn count(&self, live: &Live) {
        self.inner.count.send_replace(live.connections.len() + live.expected);
    }

    pub(crate) fn forget(&self, shared: &Arc<Shared>, ending: &Ending) {
        let mut live = self.live();
        live.connections.remove(&key(shared));
        if live.started.is_some() {
            if ending.is_clean() {
                live.drained.clean += 1;
            } else {
                live.drained.given_up += 1;
            }
        }
        self.count(&live);
    }
}

/// A connection that is on its way. Dropped when it has come, or will not come.
#[cfg(feature = "hyper")]
pub(crate) struct Expected(Drain);

#[cfg(feature = "hyper")]
impl Drop for Expected {
    fn drop(&mut self) {
        let mut live = self.0.live();
        live.expected -= 1;
        self.0.count(&live);
    }
}

/// A connection's identity: its address in memory, unique while it is registered.
fn key(shared: &Arc<Shared>) -> usize {
    Arc::as_ptr(shared) as usize
}
