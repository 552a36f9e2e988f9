//! Who may have a connection while nothing is known of it: TLS, the head of a request, a kept
//! connection between two requests. Strangers can open as many as they like, and say nothing or ask
//! for `/healthz` again and again, so those have limits, and make room. A client that speaks is
//! through in milliseconds; where very many come at once, they wait in the kernel's queue.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use adieu::Drain;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::gateway::Gateway;
use crate::rare::Rare;
use crate::requests::Requests;

/// The head of a request has to be here by then, from the start of the connection, or from the
/// answer before it: bytes that dribble in do not extend it.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// After so long a connection that has never asked makes room, if others want it. By then a client
/// that has something to say has said it, over any network that a person would bear.
const MAKES_ROOM_AFTER: Duration = Duration::from_secs(2);

/// The same where the connection has been served, or its address has more connections than its
/// share: what is on its way has this long, an answer or a head that is in the socket already.
const ON_ITS_WAY: Duration = Duration::from_millis(100);

/// How often it is looked whether there is room, where nothing tells.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// How many connections may wait for the head of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handshakes {
    /// In all.
    pub all: usize,
    /// Of one address (IPv6: of one /64, which is what a subscriber has), those included whose
    /// request is being served without that they have shown a key.
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
    /// Those of them that make room and are not gone yet.
    leaving: AtomicUsize,
    drain: Drain,
    gateway: Gateway,
    strangers: Mutex<Strangers>,
    /// One that waited does not any more.
    left: Notify,
    log: Rare,
}

/// Connections of which nothing is known.
#[derive(Default)]
struct Strangers {
    next: u64,
    /// Those that wait for the head of a request; who makes room first is the first.
    waiting: BTreeMap<Place, Arc<Visit>>,
    /// The same of each subscriber.
    each: BTreeSet<(Subscriber, Place)>,
    /// How many each subscriber has, those included that are being served.
    counts: BTreeMap<Subscriber, usize>,
    /// The same, so that the subscriber with most of them is the last.
    most: BTreeSet<(usize, Subscriber)>,
}

/// A place among those that wait; the number is lower if the connection has waited longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    /// It has been served, and is kept for a further request.
    Kept(u64),
    /// It has never asked.
    New(u64),
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

impl Strangers {
    /// A connection was accepted.
    fn enter(&mut self, visit: &Arc<Visit>) {
        self.count(visit.of, |count| count + 1);
        self.next += 1;
        self.wait(visit, Place::New(self.next));
    }

    /// One that was served is kept.
    fn keep(&mut self, visit: &Arc<Visit>) {
        self.next += 1;
        self.wait(visit, Place::Kept(self.next));
    }

    fn wait(&mut self, visit: &Arc<Visit>, place: Place) {
        self.to(visit, Phase::Waiting { place, since: Instant::now() });
    }

    /// The phase of a connection is another one from now on. Each change is made here.
    fn to(&mut self, visit: &Arc<Visit>, to: Phase) {
        let from = std::mem::replace(&mut *visit.phase(), to);
        match from {
            Phase::Over => return *visit.phase() = from,
            Phase::Known if to != Phase::Over => return *visit.phase() = from,
            Phase::Waiting { place, .. } => {
                self.waiting.remove(&place);
                visit.of.map(|of| self.each.remove(&(of, place)));
            }
            Phase::Served | Phase::Known => {}
        }
        if let Phase::Waiting { place, .. } = to {
            self.waiting.insert(place, visit.clone());
            visit.of.map(|of| self.each.insert((of, place)));
        }
        if from.is_of_a_stranger() && !to.is_of_a_stranger() {
            self.count(visit.of, |count| count - 1);
        }
        visit.changed.notify_one();
    }

    fn count(&mut self, of: Option<Subscriber>, change: impl FnOnce(usize) -> usize) {
        let Some(of) = of else { return };
        let before = self.counts.remove(&of).unwrap_or_default();
        self.most.remove(&(before, of));
        let count = change(before);
        if count > 0 {
            self.counts.insert(of, count);
            self.most.insert((count, of));
        }
    }

    /// The connection that makes room for any other: of the address that has most, if that is more
    /// than its share; or else one that has been served; or else the one that has waited longest.
    fn first(&self, share: usize) -> Option<Arc<Visit>> {
        let largest = self.most.last().filter(|(count, _)| *count > share);
        largest.and_then(|(_, of)| self.first_of(*of, ON_ITS_WAY)).or_else(|| {
            let (_, visit) = self.waiting.first_key_value()?;
            visit.makes_room(MAKES_ROOM_AFTER).then(|| visit.clone())
        })
    }

    /// The connection of a subscriber that makes room for another of the same, if there are more
    /// than its share.
    fn above_share(&self, of: Subscriber, share: usize) -> Option<Arc<Visit>> {
        let count = self.counts.get(&of).copied().unwrap_or_default();
        (count > share).then(|| self.first_of(of, MAKES_ROOM_AFTER)).flatten()
    }

    /// The first of those of a subscriber. One that has never asked has to have waited so long.
    fn first_of(&self, of: Subscriber, new: Duration) -> Option<Arc<Visit>> {
        let of_subscriber = (of, Place::Kept(0))..=(of, Place::New(u64::MAX));
        let (_, place) = self.each.range(of_subscriber).next()?;
        self.waiting.get(place).filter(|visit| visit.makes_room(new)).cloned()
    }
}

/// A connection on its way through the door.
struct Visit {
    of: Option<Subscriber>,
    phase: Mutex<Phase>,
    changed: Notify,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// For the head of a request.
    Waiting { place: Place, since: Instant },
    /// A request is being served.
    Served,
    /// Its requests showed the key: it may be kept for as long as it likes.
    Known,
    /// It makes room.
    Over,
}

impl Phase {
    fn is_of_a_stranger(self) -> bool {
        matches!(self, Phase::Waiting { .. } | Phase::Served)
    }
}

impl Visit {
    fn phase(&self) -> MutexGuard<'_, Phase> {
        self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it has waited long enough: so long if it has never asked.
    fn makes_room(&self, new: Duration) -> bool {
        match *self.phase() {
            Phase::Waiting { place: Place::New(_), since } => since.elapsed() >= new,
            Phase::Waiting { place: Place::Kept(_), since } => since.elapsed() >= ON_ITS_WAY,
            Phase::Served | Phase::Known | Phase::Over => false,
        }
    }
}

impl Door {
    pub(crate) fn new(limits: Handshakes, drain: Drain, gateway: Gateway) -> Self {
        let all = descriptors().unwrap_or(usize::MAX);
        let kept = kept(all);
        let most = all - kept;
        let (open, leaving, left) = (AtomicUsize::new(0), AtomicUsize::new(0), Notify::new());
        let (strangers, log) = (Mutex::default(), Rare::default());
        let inner =
            Inner { limits, most, kept, open, leaving, drain, gateway, strangers, left, log };
        Door(Arc::new(inner))
    }

    /// Waits until one more connection may be accepted.
    pub(crate) async fn room(&self) {
        while !self.finds_room() {
            self.look_again().await;
        }
    }

    /// Whether there is room, if need be by sending one away that asks for nothing.
    fn finds_room(&self) -> bool {
        let Inner { limits, most, kept, .. } = &*self.0;
        let crowded = self.strangers().waiting.len() >= limits.all;
        let connections = self.connections();
        let by = if crowded { "handshakes" } else { "descriptors" };
        // Half of the descriptors that are kept is for short requests: a probe's, say. The other
        // half is for no connection: one that is sent away has its descriptor until it is gone.
        if connections >= most.saturating_add(kept / 2) {
            if self.0.leaving.load(Ordering::SeqCst) == 0 {
                self.makes_room(by);
            }
            return false;
        }
        if (crowded || connections >= *most) && self.makes_room(by) {
            return true;
        }
        !crowded
    }

    /// A connection was accepted.
    pub(crate) fn enter(&self, peer: Option<SocketAddr>) -> Guest {
        let visit = Arc::new(Visit {
            of: peer.map(Subscriber::of),
            phase: Mutex::new(Phase::Served),
            changed: Notify::new(),
        });
        self.0.open.fetch_add(1, Ordering::SeqCst);
        let guest = Guest {
            door: self.clone(),
            visit,
            carries: AtomicBool::new(false),
            asking: AtomicUsize::new(0),
        };
        self.strangers().enter(&guest.visit);
        guest.has_its_share();
        guest
    }

    /// Whether there is a descriptor for one more WebSocket, beside those that are kept. Where
    /// strangers who say nothing have them, it waits until one of them has had its time.
    pub(crate) async fn has_room(&self) -> bool {
        let until = Instant::now() + MAKES_ROOM_AFTER + LOOK_EVERY;
        while self.connections() > self.0.most && !self.makes_room("descriptors") {
            if self.strangers().waiting.is_empty() || Instant::now() >= until {
                self.refused("descriptors");
                return false;
            }
            self.look_again().await;
        }
        true
    }

    /// Waits until there is no connection but WebSockets.
    pub(crate) async fn all_have_left(&self) {
        while self.0.open.load(Ordering::SeqCst) > 0 {
            self.look_again().await;
        }
    }

    /// Waits until one has left, or for a short time: not all that makes room tells.
    async fn look_again(&self) {
        let _ = tokio::time::timeout(LOOK_EVERY, self.0.left.notified()).await;
    }

    fn connections(&self) -> usize {
        let websockets = self.0.drain.connections().saturating_sub(self.0.drain.streams());
        self.0.open.load(Ordering::SeqCst) + websockets
    }

    fn strangers(&self) -> MutexGuard<'_, Strangers> {
        self.0.strangers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn makes_room(&self, by: &'static str) -> bool {
        self.sends_away(by, |strangers| strangers.first(self.0.limits.each))
    }

    fn sends_away(
        &self,
        by: &'static str,
        choose: impl FnOnce(&Strangers) -> Option<Arc<Visit>>,
    ) -> bool {
        let mut strangers = self.strangers();
        let Some(chosen) = choose(&strangers) else { return false };
        strangers.to(&chosen, Phase::Over);
        self.0.leaving.fetch_add(1, Ordering::SeqCst);
        drop(strangers);
        self.refused(by);
        true
    }

    /// What is known of requests.
    pub(crate) fn requests(&self) -> &Requests {
        self.0.gateway.requests()
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
                // FAQ: gateway-limit-of-connections
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
    /// It is of HTTP/2 and has had WebSockets.
    carries: AtomicBool,
    /// Requests that are being served: of HTTP/2 several at a time.
    asking: AtomicUsize,
}

/// A request of a connection that is being served.
pub(crate) struct Asking<'a> {
    guest: &'a Guest,
    /// What became of it: a request that its client gives up is answered as one of a stranger.
    end: Asked,
}

enum Asked {
    /// It was answered; whether it has shown that it may have what is not for everybody.
    Answered { known: bool },
    /// It has become a WebSocket, which has the connection, or a stream of it.
    Upgraded,
}

impl Asking<'_> {
    /// It was answered; `known`: it has shown that it may have what is not for everybody.
    pub(crate) fn was_answered(mut self, known: bool) {
        self.end = Asked::Answered { known };
    }

    /// It has become a WebSocket, which has the connection.
    pub(crate) fn was_upgraded(mut self) {
        self.end = Asked::Upgraded;
    }

    /// It has become a WebSocket on a stream of HTTP/2.
    pub(crate) fn opened_a_stream(mut self) {
        self.guest.has_a_websocket();
        self.end = Asked::Upgraded;
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        let last = self.guest.asking.fetch_sub(1, Ordering::SeqCst) == 1;
        if let (true, Asked::Answered { known }) = (last, &self.end) {
            self.guest.was_answered(*known);
        }
    }
}

impl Guest {
    /// Its address, and all together, have no more than their share.
    fn has_its_share(&self) {
        let Handshakes { all, each } = self.door.0.limits;
        if let Some(of) = self.visit.of {
            self.door.sends_away("address", |strangers| strangers.above_share(of, each));
        }
        // One that is kept between two requests was not let in anew.
        let above = self.door.strangers().waiting.len() > all;
        if above {
            self.door.makes_room("handshakes");
        }
    }

    /// The head of a request is here.
    pub(crate) fn asks(&self) -> Asking<'_> {
        self.asking.fetch_add(1, Ordering::SeqCst);
        self.to(Phase::Served);
        Asking { guest: self, end: Asked::Answered { known: false } }
    }

    /// A WebSocket is open on it. Of HTTP/1.1 it is gone then; one of HTTP/2 stays as long as it
    /// has streams, and is none of those that may have to make room.
    fn has_a_websocket(&self) {
        self.carries.store(true, Ordering::SeqCst);
        self.to(Phase::Known);
    }

    /// The last of its requests was answered.
    fn was_answered(&self, known: bool) {
        if known || self.carries.load(Ordering::SeqCst) {
            return self.to(Phase::Known);
        }
        self.door.strangers().keep(&self.visit);
        self.has_its_share();
    }

    fn to(&self, phase: Phase) {
        self.door.strangers().to(&self.visit, phase);
        self.door.0.left.notify_one();
    }

    /// Ready when it has to go: it makes room, or the head has not come in time.
    pub(crate) async fn has_to_go(&self) {
        loop {
            let changed = self.visit.changed.notified();
            let phase = *self.visit.phase();
            match phase {
                Phase::Over => return,
                Phase::Served | Phase::Known => changed.await,
                Phase::Waiting { since, .. } => {
                    if tokio::time::timeout_at(since + HEAD_TIMEOUT, changed).await.is_err() {
                        return;
                    }
                }
            }
        }
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let mut strangers = self.door.strangers();
        if *self.visit.phase() == Phase::Over {
            self.door.0.leaving.fetch_sub(1, Ordering::SeqCst);
        }
        strangers.to(&self.visit, Phase::Over);
        drop(strangers);
        self.door.0.open.fetch_sub(1, Ordering::SeqCst);
        self.door.0.left.notify_one();
    }
}

/// How many connections this process has descriptors for, beside those that are kept.
#[must_use]
pub fn room_for_connections() -> usize {
    let all = descriptors().unwrap_or(usize::MAX);
    all - kept(all)
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
