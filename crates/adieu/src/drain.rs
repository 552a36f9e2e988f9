//! Ending all connections when a server stops: what had arrived is answered, what was sent leaves,
//! all peers are told, and no peer is waited for that makes no progress.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use adieu_proto::{Close, CloseCode, End, Ending};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use crate::now;

/// Handlers that go on when all connections are over are waited for so long: clean-up takes its
/// time, and orchestrators kill after 30 s.
const HANDLER_TIMEOUT: Duration = Duration::from_secs(10);

/// All connections are over by then, whatever progress they make: a peer that reads 16 KiB a second
/// would need a minute for each megabyte that waits for it.
const DEADLINE: Duration = Duration::from_secs(60);

/// Connections that are told before the other tasks of the thread have their turn: each write takes
/// some 10 us, and the task of each connection has to run as well.
const CONNECTIONS_PER_TURN: usize = 32;

/// Closes of a drain with a rate go out in steps of this length.
const RATE_STEP: Duration = Duration::from_millis(100);

/// What each connection hears of a server that stops.
#[derive(Clone, Debug)]
pub(crate) struct Stop {
    /// What each peer is told.
    pub(crate) close: Close,
    /// When every connection is let go of, whatever progress it makes; `None` = never.
    pub(crate) deadline: Option<Instant>,
}

/// A connection, as the drain of its server knows it.
pub(crate) trait Stoppable: Send + Sync {
    /// The server stops.
    fn drain(&self, stop: Stop);
    /// Everything is let go of at once.
    fn force(&self, stop: Stop);
    /// Whether it is a stream of HTTP/2.
    fn is_stream(&self) -> bool;
}

/// Ends every connection of an endpoint when the server stops, and waits until they are over. A
/// clone is the same handle; `Server`, hyper and axum take it alike.
///
/// What the kernel has received of each peer when it starts (one look per connection) still reaches
/// the handlers, which have a second to answer; everything sent leaves; then comes the Close, 1001
/// by default. A peer is given up when it makes no progress (it reads nothing for 9 s, or its
/// kernel acknowledges nothing for 2.5 s), and whatever it does after 60 s
/// ([`deadline`](Self::deadline)). Handlers are not cancelled.
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
///
/// With axum: `axum::serve(listener, app).with_graceful_shutdown(drain.started())`, then
/// `drain.finished().await`.
#[derive(Clone)]
pub struct Drain {
    inner: Arc<Inner>,
}

struct Inner {
    live: Mutex<Live>,
    close: Close,
    /// Closes a second; `None` = all at once.
    rate: Option<NonZeroU32>,
    /// From the start to when every connection is let go of; `None` = never.
    deadline: Option<Duration>,
    progress: watch::Sender<Progress>,
}

#[derive(Default)]
struct Live {
    connections: HashMap<usize, Arc<dyn Stoppable>>,
    /// Those of them that are streams of HTTP/2.
    streams: usize,
    /// Requests that were accepted and whose connections an HTTP library has not given yet.
    expected: usize,
    /// They are not waited for any more.
    expects_none: bool,
    /// Handlers that run.
    handlers: usize,
    started: Option<Instant>,
    drained: Drained,
}

/// Where a drain stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Phase {
    /// It has not been started.
    #[default]
    Serving,
    /// Connections are told and end.
    Ending,
    /// All connections are over; handlers still run.
    Handlers,
    /// It is over.
    Over,
}

/// How far a drain is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Where it stands.
    pub phase: Phase,
    /// Connections that are not over.
    pub connections: usize,
    /// Handlers that run.
    pub handlers: usize,
    /// What came of those that are over since it was started.
    pub drained: Drained,
}

/// What came of a drain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Drained {
    /// Connections that ended cleanly ([`Ending::is_clean`](crate::Ending::is_clean)).
    pub clean: usize,
    /// Connections that the peer broke off or left in its own way.
    pub broken_off: usize,
    /// Connections that we gave up, because the peer made no progress.
    pub given_up: usize,
    /// Bytes that were sent by the application and never left, or were never acknowledged.
    pub unsent: u64,
    /// Handlers that were not waited for any longer.
    pub handlers_dropped: usize,
    /// From the start to the end.
    pub lasted: Duration,
}

impl Drained {
    /// Whether every connection ended cleanly and every handler by itself.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.broken_off + self.given_up + self.handlers_dropped == 0
    }
}

impl fmt::Display for Drained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = self.clean + self.broken_off + self.given_up;
        let connections = if all == 1 { "connection" } else { "connections" };
        let seconds = self.lasted.as_secs_f64();
        if all + self.handlers_dropped == 0 && self.unsent == 0 {
            return f.write_str("no connection was open");
        }
        write!(f, "{all} {connections} ended in {seconds:.1} s: {} cleanly", self.clean)?;
        write!(f, ", {} broken off, {} given up", self.broken_off, self.given_up)?;
        if self.unsent > 0 {
            write!(f, " with {} bytes unsent", self.unsent)?;
        }
        if self.handlers_dropped > 0 {
            write!(f, "; {} handlers dropped", self.handlers_dropped)?;
        }
        Ok(())
    }
}

impl Default for Drain {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Drain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Drain").field("progress", &self.progress()).finish_non_exhaustive()
    }
}

impl Drain {
    /// A handle with no connections yet, that closes all at once with 1001.
    #[must_use]
    pub fn new() -> Self {
        Self::with(CloseCode::GOING_AWAY, None)
    }

    /// A handle that says this in its Close, to so many connections a second at most (`None` =
    /// to all at once). With a rate it has to be started inside the runtime.
    #[must_use]
    pub fn with(close: impl Into<Close>, rate: Option<NonZeroU32>) -> Self {
        Self::from_parts(close.into(), rate, Some(DEADLINE))
    }

    fn from_parts(close: Close, rate: Option<NonZeroU32>, deadline: Option<Duration>) -> Self {
        let (live, progress) = (Mutex::default(), watch::Sender::default());
        Drain { inner: Arc::new(Inner { live, close, rate, deadline, progress }) }
    }

    /// The same with another deadline: so long after the start every connection is let go of,
    /// whatever progress it makes (60 s by default). A century or more: never; then a peer that
    /// reads a little all the time holds the exit of the process open.
    ///
    /// It is for a handle that no endpoint has yet: connections do not come along.
    ///
    /// ```
    /// let drain = adieu::Drain::new().deadline(std::time::Duration::from_secs(20));
    /// ```
    #[must_use]
    pub fn deadline(self, deadline: Duration) -> Self {
        let (close, rate) = (self.inner.close.clone(), self.inner.rate);
        Self::from_parts(
            close,
            rate,
            Some(deadline).filter(|length| !adieu_proto::is_endless(*length)),
        )
    }

    /// Starts to end all connections. Those that come now are answered 503. Does nothing the
    /// second time.
    ///
    /// Inside a runtime the connections are told by a task of it, in portions, so that the other
    /// tasks of its threads have their turns. Outside of one it tells all of them before it
    /// returns, which takes some 10 us each.
    pub fn start(&self) {
        let Some(connections) = self.begin() else { return };
        let telling = Telling { rest: connections.into_iter(), stop: self.stop() };
        match (Handle::try_current(), self.inner.rate) {
            (Ok(runtime), None) => drop(runtime.spawn(telling.at_once())),
            (Ok(runtime), Some(rate)) => drop(runtime.spawn(telling.at_rate(rate))),
            (Err(_), _) => drop(telling),
        }
    }

    /// The connections that are to be told; `None` the second time.
    fn begin(&self) -> Option<Vec<Arc<dyn Stoppable>>> {
        let mut live = self.live();
        if live.started.is_some() {
            return None;
        }
        live.started = Some(now());
        self.publish(&live);
        Some(live.in_order_of_memory())
    }

    /// What each connection is told.
    fn stop(&self) -> Stop {
        let started = self.live().started.unwrap_or_else(now);
        let deadline = self.inner.deadline.and_then(|length| started.checked_add(length));
        Stop { close: self.inner.close.clone(), deadline }
    }

    /// Lets go of everything at once: what can leave without waiting does. For a second signal.
    pub fn force(&self) {
        // Whoever has been told already is not told again.
        let _ = self.begin();
        self.expect_none();
        let connections = self.live().in_order_of_memory();
        let stop = self.stop();
        connections.iter().for_each(|link| link.force(stop.clone()));
    }

    /// Whether it has been started.
    #[must_use]
    pub fn has_started(&self) -> bool {
        self.inner.progress.borrow().phase != Phase::Serving
    }

    /// Waits until it is started.
    pub fn started(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut progress = self.inner.progress.subscribe();
        async move {
            if progress.wait_for(|p| p.phase != Phase::Serving).await.is_err() {
                // The handle is gone: nobody can start it any more.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Waits until it is started and all connections and handlers are over, those not waited
    /// for any longer that go on 10 s after the last connection.
    pub async fn finished(&self) -> Drained {
        let mut progress = self.inner.progress.subscribe();
        let over = |p: &Progress| matches!(p.phase, Phase::Handlers | Phase::Over);
        // The sender lives as long as `self`.
        let _ = progress.wait_for(|p| p.phase != Phase::Serving).await;
        if let Some(at) = self.stop().deadline {
            let in_time = tokio::time::timeout_at(at.into(), progress.wait_for(over)).await.is_ok();
            if !in_time {
                self.expect_none();
            }
        }
        let _ = progress.wait_for(over).await;
        let handlers = progress.wait_for(|p| p.phase == Phase::Over);
        let _ = tokio::time::timeout(HANDLER_TIMEOUT, handlers).await;
        let live = self.live();
        let lasted = live.started.map_or(Duration::ZERO, |started| now() - started);
        Drained { lasted, handlers_dropped: live.handlers, ..live.drained }
    }

    /// Requests that were accepted and whose connections have not come are not waited for any more.
    fn expect_none(&self) {
        let mut live = self.live();
        live.expects_none = true;
        self.publish(&live);
    }

    /// How far it is.
    #[must_use]
    pub fn progress(&self) -> Progress {
        *self.inner.progress.borrow()
    }

    /// Follows how far it is. Until it is started the figures are right whenever they are looked
    /// at, and no change of them wakes anybody.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Progress> {
        self.inner.progress.subscribe()
    }

    /// How many connections are live.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.progress().connections
    }

    fn live(&self) -> MutexGuard<'_, Live> {
        self.inner.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells how far it is.
    fn publish(&self, live: &Live) {
        let expected = if live.expects_none { 0 } else { live.expected };
        let connections = live.connections.len() + expected;
        let phase = match (live.started, connections, live.handlers) {
            (None, ..) => Phase::Serving,
            (Some(_), 0, 0) => Phase::Over,
            (Some(_), 0, _) => Phase::Handlers,
            _ => Phase::Ending,
        };
        let (handlers, drained) = (live.handlers, live.drained);
        self.inner.progress.send_if_modified(|progress| {
            *progress = Progress { phase, connections, handlers, drained };
            // Connections come and go all the time: nobody is woken for that.
            live.started.is_some()
        });
    }

    /// A connection has come. One that comes while the server stops is refused and not waited
    /// for, unless its request was accepted before (`expected`).
    pub(crate) fn register(&self, link: &Arc<impl Stoppable + 'static>, expected: bool) {
        let mut live = self.live();
        let late = live.started.is_some();
        if late && !expected {
            return;
        }
        live.streams += usize::from(link.is_stream());
        live.connections.insert(key(Arc::as_ptr(link)), link.clone());
        self.publish(&live);
        drop(live);
        if late {
            link.drain(self.stop());
        }
    }

    /// A connection is on its way: [`finished`](Self::finished) waits for it.
    #[cfg(feature = "hyper")]
    pub(crate) fn expect(&self) -> Expected {
        let mut live = self.live();
        live.expected += 1;
        self.publish(&live);
        Expected(self.clone())
    }

    pub(crate) fn forget<L>(&self, link: *const L, ending: &Ending) {
        let mut live = self.live();
        if !live.remove(key(link)) {
            return;
        }
        if live.started.is_some() {
            let gave_up = matches!(ending.transport.end, End::LetGo(_) | End::Lost);
            let drained = &mut live.drained;
            match (ending.is_clean(), gave_up) {
                (true, _) => drained.clean += 1,
                (false, true) => drained.given_up += 1,
                (false, false) => drained.broken_off += 1,
            }
            drained.unsent += ending.unsent.bytes + ending.unsent.unacknowledged.unwrap_or(0);
        }
        self.publish(&live);
    }

    /// How many of the live connections are streams of HTTP/2: those have no socket of their own.
    #[must_use]
    pub fn streams(&self) -> usize {
        self.live().streams
    }

    /// The connection goes on as another kind: it is counted there.
    #[cfg(feature = "http2")]
    pub(crate) fn unregister<L>(&self, link: *const L) {
        let mut live = self.live();
        live.remove(key(link));
        self.publish(&live);
    }

    /// A handler runs, until this is dropped.
    pub(crate) fn handler(&self) -> Running {
        let mut live = self.live();
        live.handlers += 1;
        self.publish(&live);
        Running(self.clone())
    }
}

impl Live {
    /// Whether it was there.
    fn remove(&mut self, key: usize) -> bool {
        let Some(link) = self.connections.remove(&key) else { return false };
        self.streams -= usize::from(link.is_stream());
        true
    }

    /// The connections, neighbours in memory one after the other: with thousands of them none is
    /// in the processor's caches, and in another order each costs 1.4 times as much CPU (measured).
    fn in_order_of_memory(&self) -> Vec<Arc<dyn Stoppable>> {
        let mut connections: Vec<_> = self.connections.values().cloned().collect();
        connections.sort_unstable_by_key(|link| key(Arc::as_ptr(link)));
        connections
    }
}

/// Connections that are still to be told. A runtime that shuts down in between drops the task that
/// tells them: then the rest is told at once.
struct Telling {
    rest: std::vec::IntoIter<Arc<dyn Stoppable>>,
    stop: Stop,
}

impl Telling {
    /// Tells all, and lets the other tasks have their turns meanwhile.
    async fn at_once(mut self) {
        while self.tell(CONNECTIONS_PER_TURN) {
            tokio::task::yield_now().await;
        }
    }

    /// Tells so many a second, and those that are left at the deadline all at once.
    async fn at_rate(mut self, rate: NonZeroU32) {
        let mut clock = tokio::time::interval(RATE_STEP);
        // A machine that was suspended does not make up for it.
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let in_a_step = u64::from(rate.get()).saturating_mul(RATE_STEP.as_millis() as u64);
        let mut due = 0;
        while self.rest.len() > 0 && !self.is_late() {
            clock.tick().await;
            due += in_a_step;
            let connections = usize::try_from(due / 1000).unwrap_or(usize::MAX);
            due %= 1000;
            self.tell_in_turns(connections).await;
        }
        self.at_once().await;
    }

    async fn tell_in_turns(&mut self, mut connections: usize) {
        while connections > 0 && self.tell(connections.min(CONNECTIONS_PER_TURN)) {
            connections = connections.saturating_sub(CONNECTIONS_PER_TURN);
            tokio::task::yield_now().await;
        }
    }

    fn is_late(&self) -> bool {
        self.stop.deadline.is_some_and(|at| at <= now())
    }

    /// Tells so many. Whether there are more.
    fn tell(&mut self, connections: usize) -> bool {
        let stop = &self.stop;
        self.rest.by_ref().take(connections).for_each(|link| link.drain(stop.clone()));
        self.rest.len() > 0
    }
}

impl Drop for Telling {
    fn drop(&mut self) {
        self.tell(usize::MAX);
    }
}

/// A handler that runs.
pub(crate) struct Running(Drain);

impl Drop for Running {
    fn drop(&mut self) {
        let mut live = self.0.live();
        live.handlers -= 1;
        self.0.publish(&live);
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
        self.0.publish(&live);
    }
}

/// A connection's identity: its address in memory, unique while it is registered.
fn key<L: ?Sized>(link: *const L) -> usize {
    link.cast::<()>() as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drain_without_connections_says_so() {
        assert_eq!(Drained::default().to_string(), "no connection was open");
        let one = Drained { clean: 1, ..Drained::default() };
        assert!(one.to_string().starts_with("1 connection ended in 0.0 s: 1 cleanly"), "{one}");
    }
}
