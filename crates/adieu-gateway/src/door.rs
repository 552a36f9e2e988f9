//! Who may have a connection while nothing is known of it: TLS, the head of a request, a kept
//! connection between two requests. Strangers can open as many as they like and say nothing, so
//! those have limits, and one that has said nothing for a while makes room. A client that speaks is
//! through in milliseconds; where very many come at once, they wait in the kernel's queue.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use adieu::Drain;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::gateway::Gateway;
use crate::http::Rare;

/// The head of a request has to be here by then, from the start of the connection, or from the
/// answer before it: bytes that dribble in do not extend it.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// After so long it makes room, if others want it. By then a client that has something to say has
/// said it, over any network that a person would bear.
const MAKES_ROOM_AFTER: Duration = Duration::from_secs(2);

/// How often it is looked whether there is room, where nothing tells.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// How many connections may wait for the head of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handshakes {
    /// In all.
    pub all: usize,
    /// Of one address (IPv6: of one /64, which is what a subscriber has).
    pub each: usize,
}

impl Handshakes {
    /// All clients of a gateway come back at once after a restart; a handshake takes some round
    /// trips, so that this many are 10,000 a second and more.
    pub const ALL: usize = 4096;

    /// Many people share an address behind a provider's NAT, or a proxy; more than this of them
    /// hardly say nothing for two seconds at the same time.
    pub const EACH: usize = 256;
}

impl Default for Handshakes {
    fn default() -> Self {
        Handshakes { all: Self::ALL, each: Self::EACH }
    }
}

/// Counts the connections of a port.
#[derive(Clone)]
pub(crate) struct Door(Arc<Inner>);

struct Inner {
    limits: Handshakes,
    /// Connections that there may be of any kind, so that descriptors are left.
    most: usize,
    /// Descriptors that are left.
    kept: usize,
    /// Those that are no WebSockets (yet).
    open: AtomicUsize,
    drain: Drain,
    gateway: Gateway,
    waiting: Mutex<Waiting>,
    /// One that waited does not any more.
    left: Notify,
    log: Rare,
}

/// Connections that wait for the head of a request.
#[derive(Default)]
struct Waiting {
    next: u64,
    /// The one that has waited longest is the first.
    all: BTreeMap<u64, Arc<Visit>>,
    each: BTreeSet<(Subscriber, u64)>,
}

/// Whom an address belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Subscriber(IpAddr);

impl Subscriber {
    fn of(addr: SocketAddr) -> Self {
        match addr.ip().to_canonical() {
            IpAddr::V6(ip) => {
                let network = u128::from(ip) & !u128::from(u64::MAX);
                Subscriber(Ipv6Addr::from(network).into())
            }
            ip => Subscriber(ip),
        }
    }
}

impl Waiting {
    fn enter(&mut self, visit: &Arc<Visit>) {
        let number = self.next;
        self.next += 1;
        self.all.insert(number, visit.clone());
        self.each.extend(visit.of.map(|of| (of, number)));
        *visit.phase() = Phase::Waiting { number, until: Instant::now() + HEAD_TIMEOUT };
        visit.changed.notify_one();
    }

    fn leave(&mut self, number: u64) {
        if let Some(visit) = self.all.remove(&number)
            && let Some(of) = visit.of
        {
            self.each.remove(&(of, number));
        }
    }

    /// The one that has waited longest, if it has waited long.
    fn longest(&self) -> Option<u64> {
        let (number, visit) = self.all.first_key_value()?;
        visit.has_waited_long().then_some(*number)
    }

    /// The same of those of one subscriber, if there are more than `most`.
    fn longest_of(&self, of: Subscriber, most: usize) -> Option<u64> {
        let mut all = self.each.range((of, 0)..=(of, u64::MAX)).map(|(_, number)| *number);
        let longest = all.next().filter(|_| all.count() >= most)?;
        self.all.get(&longest)?.has_waited_long().then_some(longest)
    }
}

/// A connection on its way through the door.
struct Visit {
    of: Option<Subscriber>,
    phase: Mutex<Phase>,
    changed: Notify,
}

#[derive(Clone, Copy)]
enum Phase {
    /// For the head of a request.
    Waiting { number: u64, until: Instant },
    /// A request is being served.
    Served,
    /// Its requests showed the key: it may be kept for as long as it likes.
    Known,
    /// It makes room.
    Over,
}

impl Visit {
    fn phase(&self) -> MutexGuard<'_, Phase> {
        self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has_waited_long(&self) -> bool {
        let phase = *self.phase();
        let makes_room = |until: Instant| until + MAKES_ROOM_AFTER <= Instant::now() + HEAD_TIMEOUT;
        matches!(phase, Phase::Waiting { until, .. } if makes_room(until))
    }

    /// Sends it away, unless its request has come meanwhile.
    fn send_away(&self, chosen: u64) {
        let mut phase = self.phase();
        if matches!(*phase, Phase::Waiting { number, .. } if number == chosen) {
            *phase = Phase::Over;
            self.changed.notify_one();
        }
    }
}

impl Door {
    pub(crate) fn new(limits: Handshakes, drain: Drain, gateway: Gateway) -> Self {
        let all = descriptors().unwrap_or(usize::MAX);
        let kept = kept(all);
        let most = all - kept;
        let (open, left) = (AtomicUsize::new(0), Notify::new());
        let (waiting, log) = (Mutex::default(), Rare::default());
        Door(Arc::new(Inner { limits, most, kept, open, drain, gateway, waiting, left, log }))
    }

    /// Waits until one more connection may be accepted.
    pub(crate) async fn room(&self) {
        while !self.finds_room() {
            let _ = tokio::time::timeout(LOOK_EVERY, self.0.left.notified()).await;
        }
    }

    /// Whether there is room, if need be by sending one away that says nothing.
    fn finds_room(&self) -> bool {
        let Inner { limits, most, kept, .. } = &*self.0;
        let crowded = self.waiting().all.len() >= limits.all;
        let connections = self.connections();
        let by = if crowded { "handshakes" } else { "descriptors" };
        if (crowded || connections >= *most) && self.make_room(by, Waiting::longest) {
            return true;
        }
        // Half of the descriptors that are kept is for short requests: a probe's, say.
        !crowded && connections < most.saturating_add(kept / 2)
    }

    /// A connection was accepted.
    pub(crate) fn enter(&self, peer: Option<SocketAddr>) -> Guest {
        let visit = Arc::new(Visit {
            of: peer.map(Subscriber::of),
            phase: Mutex::new(Phase::Served),
            changed: Notify::new(),
        });
        self.0.open.fetch_add(1, Ordering::SeqCst);
        let guest = Guest { door: self.clone(), visit };
        guest.wait();
        guest
    }

    /// Whether there is a descriptor for one more WebSocket, beside those that are kept.
    pub(crate) fn has_room(&self) -> bool {
        if self.connections() <= self.0.most || self.make_room("descriptors", Waiting::longest) {
            return true;
        }
        self.refused("descriptors");
        false
    }

    fn connections(&self) -> usize {
        self.0.open.load(Ordering::SeqCst) + self.0.drain.connections()
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn make_room(&self, by: &'static str, choose: impl FnOnce(&Waiting) -> Option<u64>) -> bool {
        let mut waiting = self.waiting();
        let Some(chosen) = choose(&waiting) else { return false };
        let visit = waiting.all.get(&chosen).cloned();
        waiting.leave(chosen);
        drop(waiting);
        if let Some(visit) = visit {
            visit.send_away(chosen);
        }
        self.refused(by);
        true
    }

    /// A request showed a key that is wrong.
    pub(crate) fn saw_a_wrong_key(&self) {
        self.0.gateway.metrics().refused("key");
    }

    fn refused(&self, by: &'static str) {
        self.0.gateway.metrics().refused(by);
        if let Some(left_out) = self.0.log.due() {
            tracing::warn!(
                left_out,
                "a connection was refused or made room: the limit of {by} is reached; see \
                 --max-handshakes, --max-handshakes-per-address and ulimit -n"
            );
        }
    }
}

/// A connection that was let in, until it is over or has become a WebSocket.
pub(crate) struct Guest {
    door: Door,
    visit: Arc<Visit>,
}

impl Guest {
    /// It waits for the head of a request from now on.
    fn wait(&self) {
        self.door.waiting().enter(&self.visit);
        let Handshakes { all, each } = self.door.0.limits;
        if let Some(of) = self.visit.of {
            self.door.make_room("address", |waiting| waiting.longest_of(of, each));
        }
        // One that is kept between two requests was not let in anew.
        let above = self.door.waiting().all.len() > all;
        if above {
            self.door.make_room("handshakes", Waiting::longest);
        }
    }

    /// The head of a request is here.
    pub(crate) fn asks(&self) {
        self.to(Phase::Served);
    }

    /// Its request was answered; `known`: it has shown that it may have what is not for everybody.
    pub(crate) fn was_answered(&self, known: bool) {
        if matches!(*self.visit.phase(), Phase::Known | Phase::Over) {
            return;
        }
        if known { self.to(Phase::Known) } else { self.wait() }
    }

    fn to(&self, phase: Phase) {
        let mut now = self.visit.phase();
        match *now {
            Phase::Known | Phase::Over => return,
            Phase::Waiting { number, .. } => {
                *now = phase;
                drop(now);
                self.door.waiting().leave(number);
                self.door.0.left.notify_one();
            }
            Phase::Served => {
                *now = phase;
                drop(now);
            }
        }
        self.visit.changed.notify_one();
    }

    /// Ready when it has to go: it makes room, or the head has not come in time.
    pub(crate) async fn has_to_go(&self) {
        loop {
            let changed = self.visit.changed.notified();
            let phase = *self.visit.phase();
            match phase {
                Phase::Over => return,
                Phase::Served | Phase::Known => changed.await,
                Phase::Waiting { until, .. } => {
                    if tokio::time::timeout_at(until, changed).await.is_err() {
                        return;
                    }
                }
            }
        }
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.to(Phase::Over);
        self.door.0.open.fetch_sub(1, Ordering::SeqCst);
        self.door.0.left.notify_one();
    }
}

/// Descriptors that are not for clients: for the store, the backend's connections, and those by
/// which an operator looks what is the matter.
fn kept(all: usize) -> usize {
    (all / 4).clamp(64, 512).min(all)
}

/// Descriptors that this process may have.
fn descriptors() -> Option<usize> {
    #[cfg(unix)]
    let limit = rlimit::getrlimit(rlimit::Resource::NOFILE).ok().map(|(soft, _)| soft);
    #[cfg(not(unix))]
    let limit: Option<u64> = None;
    limit.and_then(|limit| usize::try_from(limit).ok())
}
