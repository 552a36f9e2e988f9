//! How many connections there may be: of an endpoint, and of one address. Each is counted once and
//! counts down once, in whatever way it ends: a [`ConnectionPermit`] is given back when it is
//! dropped.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use adieu_proto::HandshakeError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::peer::Peer;
use crate::proxy::Cidr;
use crate::receiving::{FREE, Receiving, Share};

/// Connections beyond [`max_connections`](crate::Endpoint::max_connections) that a
/// [`Server`](crate::Server) keeps while they send their request and read the 503. Each is over
/// by the handshake deadline and a linger after it; when all these places are taken the next wait
/// in the kernel's queue.
const MAX_REFUSALS: usize = 1024;

/// The limits of an endpoint and what is counted. A clone counts together with its original; one
/// without limits counts nothing and owns nothing.
#[derive(Clone, Default)]
pub(crate) struct Limits(Option<Arc<Inner>>);

struct Inner {
    /// Connections altogether.
    all: Option<usize>,
    /// Connections of one address.
    each: Option<usize>,
    /// One permit for each connection that a server may have accepted, refused ones included.
    room: Option<Arc<Semaphore>>,
    counts: Mutex<Counts>,
}

#[derive(Default)]
struct Counts {
    all: usize,
    each: HashMap<Cidr, Address>,
}

/// The connections of one address.
#[derive(Clone, Copy, Default)]
struct Address {
    counted: usize,
    /// Beyond the limit: they wait for their refusal.
    waiting: usize,
}

/// The right to accept one more connection.
#[derive(Default)]
pub(crate) struct AcceptPermit {
    _permit: Option<OwnedSemaphorePermit>,
}

/// What one connection takes up of the limits, until it is dropped.
#[derive(Default)]
pub(crate) struct ConnectionPermit(Option<Box<Taken>>);

/// Of the number of connections, and of what is being received.
#[derive(Default)]
struct Taken {
    counted: Option<Counted>,
    share: Option<Share>,
}

struct Counted {
    inner: Arc<Inner>,
    _accept: AcceptPermit,
    /// It is one of all.
    counted: bool,
    address: Option<(Cidr, Standing)>,
}

/// How a connection stands with its address's limit.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    Counted,
    Waiting,
}

impl Limits {
    /// With this limit for all connections.
    pub(crate) fn all(&self, max: usize) -> Self {
        Self::new(Some(max), self.0.as_ref().and_then(|inner| inner.each))
    }

    /// With this limit for each address.
    pub(crate) fn each(&self, max: usize) -> Self {
        Self::new(self.0.as_ref().and_then(|inner| inner.all), Some(max))
    }

    fn new(all: Option<usize>, each: Option<usize>) -> Self {
        let room = |max: usize| {
            let permits = max.saturating_add(MAX_REFUSALS).min(Semaphore::MAX_PERMITS);
            Arc::new(Semaphore::new(permits))
        };
        let inner = Inner { all, each, room: all.map(room), counts: Mutex::default() };
        Limits(Some(Arc::new(inner)))
    }

    /// Waits until one more connection may be accepted, if only to refuse it.
    pub(crate) async fn accept_permit(&self) -> AcceptPermit {
        let room = self.0.as_ref().and_then(|inner| inner.room.clone());
        match room {
            // The semaphore is never closed.
            Some(room) => AcceptPermit { _permit: room.acquire_owned().await.ok() },
            None => AcceptPermit::default(),
        }
    }

    /// A place for a connection; nothing is counted yet.
    pub(crate) fn connection_permit(&self, accept: AcceptPermit) -> ConnectionPermit {
        ConnectionPermit(self.0.clone().map(|inner| {
            let counted = Counted { inner, _accept: accept, counted: false, address: None };
            Box::new(Taken { counted: Some(counted), share: None })
        }))
    }
}

impl ConnectionPermit {
    fn counted(&mut self) -> Option<&mut Counted> {
        self.0.as_mut()?.counted.as_mut()
    }

    /// The connection holds so much that has come and was not taken; false if that is too much with
    /// what the others hold.
    #[inline]
    pub(crate) fn hold(&mut self, all: &Arc<Receiving>, bytes: usize) -> bool {
        if bytes <= FREE && self.0.is_none() {
            return true;
        }
        all.hold(&mut self.0.get_or_insert_default().share, bytes)
    }

    /// Whether it holds a share of what all connections receive.
    #[inline]
    pub(crate) fn holds(&self) -> bool {
        self.0.as_ref().is_some_and(|taken| taken.share.is_some())
    }

    /// A connection was accepted: it counts from now on, so that one that never sends its request
    /// does. It is judged when its request is there, for room may have been made by then. False if
    /// its address has even more that wait for their refusal than it may have connections.
    pub(crate) fn arrive(&mut self, peer: Peer) -> bool {
        let Some(taken) = self.counted() else { return true };
        let standing = taken.enter_address(peer.addr().map(|addr| addr.ip()));
        if standing == Some(Standing::Counted) {
            taken.enter();
        }
        standing.is_some()
    }

    /// The connection carries others (HTTP/2), each of which is counted when its request is there:
    /// itself it is none. Of its address it is one of those that are kept beside.
    #[cfg(feature = "http2")]
    pub(crate) fn carries_others(&mut self) {
        if let Some(taken) = self.counted() {
            taken.leave();
            taken.waits();
        }
    }

    /// The request is there, and whose it is is known: whether there is room for it.
    ///
    /// # Errors
    /// Which limit is reached.
    pub(crate) fn admit(&mut self, peer: Peer) -> Result<(), HandshakeError> {
        let Some(taken) = self.counted() else { return Ok(()) };
        let standing = taken.enter_address(peer.addr().map(|addr| addr.ip()));
        if standing != Some(Standing::Counted) {
            // A connection that is only refused does not count among those that are served.
            taken.leave();
            return Err(HandshakeError::TooManyFromAddress);
        }
        if taken.enter() { Ok(()) } else { Err(HandshakeError::Full) }
    }
}

impl Counted {
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.inner.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts it among all, if there is room.
    fn enter(&mut self) -> bool {
        if !self.counted {
            let max = self.inner.all.unwrap_or(usize::MAX);
            let mut counts = self.counts();
            let room = counts.all < max;
            counts.all += usize::from(room);
            drop(counts);
            self.counted = room;
        }
        self.counted
    }

    fn leave(&mut self) {
        if std::mem::take(&mut self.counted) {
            self.counts().all -= 1;
        }
    }

    /// Counts it for this address, and for no other from now on. One whose address is not known
    /// counts for none.
    fn enter_address(&mut self, ip: Option<IpAddr>) -> Option<Standing> {
        let Some((max, ip)) = self.inner.each.zip(ip) else {
            self.leave_address();
            return Some(Standing::Counted);
        };
        let key = Cidr::of_subscriber(ip);
        if self.address == Some((key, Standing::Counted)) {
            return Some(Standing::Counted);
        }
        self.leave_address();
        let mut counts = self.counts();
        let address = counts.each.entry(key).or_default();
        let standing = if address.counted < max {
            address.counted += 1;
            Some(Standing::Counted)
        } else if address.waiting < max {
            address.waiting += 1;
            Some(Standing::Waiting)
        } else {
            None
        };
        if address.counted + address.waiting == 0 {
            counts.each.remove(&key);
        }
        drop(counts);
        self.address = standing.map(|standing| (key, standing));
        standing
    }

    /// It does not count among those of its address that are served.
    #[cfg(feature = "http2")]
    fn waits(&mut self) {
        let Some((key, Standing::Counted)) = self.address else { return };
        self.leave_address();
        let max = self.inner.each.unwrap_or_default();
        let mut counts = self.counts();
        let address = counts.each.entry(key).or_default();
        let room = address.waiting < max;
        address.waiting += usize::from(room);
        if address.counted + address.waiting == 0 {
            counts.each.remove(&key);
        }
        drop(counts);
        self.address = room.then_some((key, Standing::Waiting));
    }

    fn leave_address(&mut self) {
        let Some((key, standing)) = self.address.take() else { return };
        let mut counts = self.counts();
        let Some(address) = counts.each.get_mut(&key) else { return };
        match standing {
            Standing::Counted => address.counted -= 1,
            Standing::Waiting => address.waiting -= 1,
        }
        if address.counted + address.waiting == 0 {
            counts.each.remove(&key);
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.leave();
        self.leave_address();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(ip: &str) -> Peer {
        Peer::new(Some((ip.parse::<IpAddr>().unwrap(), 1).into()))
    }

    fn permit(limits: &Limits) -> ConnectionPermit {
        limits.connection_permit(AcceptPermit::default())
    }

    /// All that is counted.
    fn counted(limits: &Limits) -> (usize, usize) {
        let counts = limits.0.as_ref().unwrap().counts.lock().unwrap();
        (counts.all, counts.each.len())
    }

    #[test]
    fn a_place_counts_once_and_counts_down_once() {
        let limits = Limits::default().all(2).each(1);
        let mut first = permit(&limits);
        assert!(first.arrive(peer("192.0.2.1")));
        assert_eq!(first.admit(peer("192.0.2.1")), Ok(()));
        assert_eq!(counted(&limits), (1, 1));
        // Behind a proxy the address turns out to be another.
        assert_eq!(first.admit(peer("192.0.2.9")), Ok(()));
        assert_eq!(counted(&limits), (1, 1));
        assert_eq!(permit(&limits).admit(peer("192.0.2.1")), Ok(()));
        drop(first);
        assert_eq!(counted(&limits), (0, 0));
    }

    #[cfg(feature = "http2")]
    #[test]
    fn a_connection_that_carries_others_counts_beside_them() {
        let limits = Limits::default().all(1).each(1);
        let mut carrier = permit(&limits);
        assert!(carrier.arrive(peer("192.0.2.1")));
        carrier.carries_others();
        assert_eq!(counted(&limits), (0, 1));
        let mut carried = permit(&limits);
        assert_eq!(carried.admit(peer("192.0.2.1")), Ok(()));
        let mut second = permit(&limits);
        assert_eq!(second.admit(peer("192.0.2.1")), Err(HandshakeError::TooManyFromAddress));
        drop((carrier, carried, second));
        assert_eq!(counted(&limits), (0, 0));
    }

    #[test]
    fn what_is_refused_by_its_address_takes_nobodys_place() {
        let limits = Limits::default().all(2).each(1);
        let (mut first, mut second, mut third) =
            (permit(&limits), permit(&limits), permit(&limits));
        assert!(first.arrive(peer("192.0.2.1")));
        assert!(second.arrive(peer("192.0.2.1")), "it waits for its refusal");
        assert!(!third.arrive(peer("192.0.2.1")), "no more than may be wait to be refused");
        assert_eq!(second.admit(peer("192.0.2.1")), Err(HandshakeError::TooManyFromAddress));
        assert_eq!(counted(&limits), (1, 1));
        let mut other = permit(&limits);
        assert_eq!(other.admit(peer("192.0.2.2")), Ok(()));
        assert_eq!(permit(&limits).admit(peer("192.0.2.3")), Err(HandshakeError::Full));
        drop(first);
        assert_eq!(second.admit(peer("192.0.2.1")), Ok(()), "room was made meanwhile");
        drop((second, third, other));
        assert_eq!(counted(&limits), (0, 0));
    }

    #[test]
    fn an_ipv6_subscriber_is_a_64_and_an_ipv4_one_an_address() {
        let limits = Limits::default().each(1);
        let mut places: Vec<ConnectionPermit> = Vec::new();
        let mut admit = |ip| {
            places.push(permit(&limits));
            places.last_mut().unwrap().admit(peer(ip)).is_ok()
        };
        assert!(admit("2001:db8:0:1::1"));
        assert!(!admit("2001:db8:0:1:ffff::2"));
        assert!(admit("2001:db8:0:2::1"));
        assert!(admit("192.0.2.1"));
        assert!(!admit("::ffff:192.0.2.1"), "the same in the clothes of IPv6");
        assert!(admit("192.0.2.2"));
    }

    #[test]
    fn an_unknown_address_counts_for_none() {
        let limits = Limits::default().each(1);
        let (mut first, mut second) = (permit(&limits), permit(&limits));
        assert_eq!(first.admit(Peer::new(None)), Ok(()));
        assert_eq!(second.admit(Peer::new(None)), Ok(()));
        assert_eq!(counted(&limits), (2, 0));
    }

    #[tokio::test]
    async fn beyond_the_refusals_nothing_is_accepted_until_one_is_over() {
        let limits = Limits::default().all(1);
        let mut rooms = Vec::new();
        for _ in 0..=MAX_REFUSALS {
            rooms.push(limits.accept_permit().await);
        }
        let mut next = std::pin::pin!(limits.accept_permit());
        assert!(poll_once(next.as_mut()).is_pending());
        drop(limits.connection_permit(rooms.pop().unwrap()));
        assert!(poll_once(next).is_ready());
    }

    fn poll_once<T>(future: std::pin::Pin<&mut impl Future<Output = T>>) -> std::task::Poll<T> {
        future.poll(&mut std::task::Context::from_waker(std::task::Waker::noop()))
    }
}
