//! One open connection: what its driver and every handle of it share, behind one lock (uncontended
//! it costs some 30 ns), and the one poll that moves it on.
//!
//! Two rules hold in this module. Wakers and the drops of payloads are code of others: they run
//! when the lock is released. And no wake is left over: which tasks are to be woken follows, each
//! time the lock is released, from how things stand then ([`State::settle`](state::State::settle)).

#[cfg(feature = "http2")]
mod choice;
mod drain;
mod driver;
mod inbox;
mod pings;
mod pool;
mod rare;
mod release;
mod scratch;
mod state;
mod stopping;
mod wakes;
mod work;

use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use adieu_proto::{
    Cause, Close, CloseRequest, Connection, Ending, Message, Messages, Negotiated, Outbound,
    Request, ResponseHead, Scratch, UsageError, Version,
};
use tokio::sync::futures::Notified;
use tokio::sync::{Notify, oneshot};
use tokio::task::coop;

pub(crate) use driver::Driver;

use crate::closed::ConnectionId;
use crate::drain::{Stop, Stoppable};
#[cfg(feature = "hyper")]
use crate::now;
use crate::peer::Peer;
use crate::socket::RoundTrip;
use crate::transport::AnyTransport;
use scratch::with_scratch;
use state::State;
use wakes::{Room, Wakes};

/// One connection, shared by its driver and its handles.
pub(crate) struct Link {
    id: ConnectionId,
    /// The address of the transport's peer.
    transport: Option<SocketAddr>,
    /// The request and what was agreed on; set before the handler is called.
    pub(crate) opened: OnceLock<Opened>,
    /// Tells that the report is there.
    over: Notify,
    /// Senders that wait for room, in order.
    room: Notify,
    /// The server stops: whoever takes a message shows that it is at work.
    draining: AtomicBool,
    /// It is a stream of HTTP/2.
    is_stream: bool,
    state: Mutex<State>,
}

/// A place among the senders that wait for room, if one has it.
pub(crate) type Place<'l> = Option<Pin<Box<Notified<'l>>>>;

/// How the connection was opened.
pub(crate) struct Opened {
    /// `None` as a client.
    pub(crate) request: Option<Request>,
    pub(crate) negotiated: Negotiated,
    extra: Option<Box<Extra>>,
}

/// What few connections of a server have.
#[derive(Default)]
struct Extra {
    /// The client, where a trusted proxy names another peer than that of the transport.
    proxied: Option<Peer>,
    /// What the application has left for its handler.
    extensions: http::Extensions,
    /// As a client: the head of the server's answer.
    response: Option<ResponseHead>,
}

impl Opened {
    pub(crate) fn new(request: Option<Request>, negotiated: Negotiated) -> Self {
        Opened { request, negotiated, extra: None }
    }

    /// As a client: a server has answered with this head.
    fn answered(response: ResponseHead) -> Self {
        let mut opened = Opened::new(None, Negotiated::new(Version::Rfc6455));
        opened.extra.get_or_insert_default().response = Some(response);
        opened
    }

    /// As a client: the head of the server's answer.
    pub(crate) fn response(&self) -> Option<&ResponseHead> {
        self.extra.as_ref()?.response.as_ref()
    }

    /// The request came from this peer, whose transport is that one.
    pub(crate) fn is_of(&mut self, peer: Peer, transport: Peer) {
        if peer != transport {
            self.extra.get_or_insert_default().proxied = Some(peer);
        }
    }

    /// The client, where a trusted proxy names another peer than that of the transport.
    pub(crate) fn proxied(&self) -> Option<Peer> {
        self.extra.as_ref()?.proxied
    }

    /// The peer, whose transport is this one.
    pub(crate) fn peer(&self, transport: Peer) -> Peer {
        self.proxied().unwrap_or(transport)
    }

    /// The application has left this for its handler.
    pub(crate) fn has(&mut self, extensions: http::Extensions) {
        if !extensions.is_empty() {
            self.extra.get_or_insert_default().extensions = extensions;
        }
    }

    /// What the application has left for its handler.
    pub(crate) fn extensions(&self) -> Option<&http::Extensions> {
        self.extra.as_ref().map(|extra| &extra.extensions)
    }
}

/// What became of a message for one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SendOutcome {
    Queued,
    /// So much waits to leave that there is no room.
    Full,
    /// The connection is closing or over.
    Closed,
    /// Its version cannot carry it.
    NoBinary,
}

impl SendOutcome {
    #[inline]
    fn of(sent: &Result<(), UsageError>) -> Self {
        match sent {
            Ok(()) => SendOutcome::Queued,
            Err(UsageError::NoBinary(_)) => SendOutcome::NoBinary,
            Err(_) => SendOutcome::Closed,
        }
    }
}

impl Link {
    pub(crate) fn new(connection: Connection, transport: AnyTransport, peer: Peer) -> Arc<Self> {
        Arc::new(Link {
            id: ConnectionId::next(),
            transport: peer.addr(),
            opened: OnceLock::new(),
            over: Notify::new(),
            room: Notify::new(),
            draining: AtomicBool::new(false),
            is_stream: transport.is_multiplexed(),
            state: Mutex::new(State::new(connection, transport)),
        })
    }

    /// Its number in this process.
    pub(crate) fn id(&self) -> ConnectionId {
        self.id
    }

    /// The peer of the transport.
    pub(crate) fn transport(&self) -> Peer {
        Peer::new(self.transport)
    }

    /// The peer, as a trusted proxy may have told it.
    pub(crate) fn peer(&self) -> Peer {
        let transport = self.transport();
        self.opened.get().map_or(transport, |opened| opened.peer(transport))
    }

    /// A panic inside the lock leaves the state as it was between two calls: go on.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state, then wakes who is to be woken, with the lock released.
    #[inline]
    fn change<T>(&self, change: impl FnOnce(&mut State, &mut Scratch, &mut Wakes) -> T) -> T {
        with_scratch(|scratch| self.change_locked(self.lock(), scratch, change))
    }

    #[inline]
    fn change_locked<T>(
        &self,
        mut state: MutexGuard<'_, State>,
        scratch: &mut Scratch,
        change: impl FnOnce(&mut State, &mut Scratch, &mut Wakes) -> T,
    ) -> T {
        let mut wakes = Wakes::default();
        let result = change(&mut state, scratch, &mut wakes);
        state.settle(&mut wakes);
        if !state.polling {
            state.lend_back(scratch);
        }
        drop(state);
        wakes.wake(&self.room);
        result
    }

    /// The next message, or the end of them. Others may follow it into `taken`, which is empty.
    pub(crate) fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        taken: &mut Messages,
    ) -> Poll<Option<Message>> {
        // A handler that always finds a message lets the other tasks of its thread run all the
        // same.
        let budget = ready!(coop::poll_proceed(cx));
        let taken =
            self.change(|state, scratch, wakes| state.take_message(cx, taken, scratch, wakes));
        if taken.is_ready() {
            budget.made_progress();
        }
        taken
    }

    /// The application asks for no message any more: a drain would take a handler that is at work
    /// for a handler that has answered all.
    pub(crate) fn asks_no_more(&self) {
        self.lock().waiting.receiver_gives_up();
    }

    /// Whether messages that were taken before may be gone through without a look at the state.
    #[inline]
    pub(crate) fn is_unhurried(&self) -> bool {
        !self.draining.load(Ordering::Relaxed)
    }

    /// The handler has taken a message from those that it was given before.
    pub(crate) fn was_taken(&self) {
        self.lock().was_taken();
    }

    /// Queues a message when there is room; meanwhile it has a place among the senders that wait. A
    /// wait that is given up queues nothing.
    #[inline]
    pub(crate) fn poll_send<'l>(
        &'l self,
        cx: &mut Context<'_>,
        message: &mut Option<Message>,
        place: &mut Place<'l>,
    ) -> Poll<SendOutcome> {
        // A task that always finds room lets the other tasks of its thread run all the same.
        let budget = ready!(coop::poll_proceed(cx));
        let Some(lent) = message.as_ref() else { return Poll::Ready(SendOutcome::Queued) };
        let outcome = loop {
            if let Some(place) = place {
                ready!(place.as_mut().poll(cx));
            }
            let waited = place.take().is_some();
            match self.send_if_room(lent, waited, place) {
                SendOutcome::Full => {}
                outcome => break outcome,
            }
        };
        budget.made_progress();
        // What its payload runs when it is dropped runs here, outside of the lock.
        *message = None;
        Poll::Ready(outcome)
    }

    /// Sends, or takes a place among the senders that wait. `waited`: others may wait behind.
    #[inline]
    fn send_if_room<'l>(
        &'l self,
        message: &Message,
        waited: bool,
        place: &mut Place<'l>,
    ) -> SendOutcome {
        with_scratch(|scratch| {
            let mut state = self.lock();
            let nobody_waits = !waited && state.waiting.room != Room::Awaited;
            if state.polling && nobody_waits && !state.is_full() {
                // The driver writes at the end of its poll, and nothing else changes. The message
                // is copied from where it lies: each move of it costs as much as a copy.
                return SendOutcome::of(&state.connection.send(message, scratch));
            }
            self.change_locked(state, scratch, |state, scratch, wakes| {
                self.send_in_turn(state, message, waited, place, scratch, wakes)
            })
        })
    }

    #[inline(never)]
    fn send_in_turn<'l>(
        &'l self,
        state: &mut State,
        message: &Message,
        waited: bool,
        place: &mut Place<'l>,
        scratch: &mut Scratch,
        wakes: &mut Wakes,
    ) -> SendOutcome {
        if waited {
            state.waiting.room = Room::Awaited;
        }
        if state.connection.status().may_send() && state.is_full() {
            return self.wait_for_room(state, place);
        }
        SendOutcome::of(&state.send(message, scratch, wakes))
    }

    /// Queues a message and writes it at once, if there is room.
    pub(crate) fn try_send<'a>(&self, outbound: impl Into<Outbound<'a>>) -> SendOutcome {
        self.change(|state, scratch, wakes| {
            if state.connection.status().may_send() && state.is_full() {
                return SendOutcome::Full;
            }
            SendOutcome::of(&state.send(outbound, scratch, wakes))
        })
    }

    /// Reserves room for one message; meanwhile it has a place among the senders that wait. A wait
    /// that is given up reserves nothing.
    pub(crate) fn poll_reserve<'l>(
        &'l self,
        cx: &mut Context<'_>,
        place: &mut Place<'l>,
    ) -> Poll<SendOutcome> {
        let budget = ready!(coop::poll_proceed(cx));
        let outcome = loop {
            if let Some(place) = place {
                ready!(place.as_mut().poll(cx));
            }
            let waited = place.take().is_some();
            match self.change(|state, _, _| self.reserve_in_turn(state, waited, place)) {
                SendOutcome::Full => {}
                outcome => break outcome,
            }
        };
        budget.made_progress();
        Poll::Ready(outcome)
    }

    fn reserve_in_turn<'l>(
        &'l self,
        state: &mut State,
        waited: bool,
        place: &mut Place<'l>,
    ) -> SendOutcome {
        if waited {
            state.waiting.room = Room::Awaited;
        }
        if !state.connection.status().may_send() {
            return SendOutcome::Closed;
        }
        if state.is_full() {
            return self.wait_for_room(state, place);
        }
        state.reserved += 1;
        SendOutcome::Queued
    }

    /// Takes a place among the senders that wait: under the lock, so that no room is made in
    /// between.
    fn wait_for_room<'l>(&'l self, state: &mut State, place: &mut Place<'l>) -> SendOutcome {
        state.waiting.room = Room::Awaited;
        place.insert(Box::pin(self.room.notified())).as_mut().enable();
        SendOutcome::Full
    }

    /// Queues a message into room that was reserved.
    pub(crate) fn send_reserved<'a>(&self, message: impl Into<Outbound<'a>>) -> SendOutcome {
        self.change(|state, scratch, wakes| {
            state.reserved -= 1;
            SendOutcome::of(&state.send(message, scratch, wakes))
        })
    }

    /// Room that was reserved is not needed.
    pub(crate) fn give_up_reserved(&self) {
        self.change(|state, _, _| state.reserved -= 1);
    }

    /// Sends a Ping. Gives what will hear how long its Pong took, and how long to wait for that.
    pub(crate) fn ping(&self) -> Result<(oneshot::Receiver<Duration>, Duration), UsageError> {
        self.change(|state, scratch, wakes| state.ping(scratch, wakes))
    }

    /// How long it takes to the peer and back.
    pub(crate) fn round_trip(&self) -> RoundTrip {
        self.lock().round_trip()
    }

    /// A second handle of the TCP socket.
    pub(crate) fn try_clone_tcp(&self) -> io::Result<std::net::TcpStream> {
        self.lock().transport.try_clone_tcp()
    }

    /// Whether the application may still send.
    #[cfg(feature = "futures")]
    pub(crate) fn may_send(&self) -> bool {
        self.lock().connection.status().may_send()
    }

    /// The report, when it is there. Meanwhile messages are read and dropped, so that nothing
    /// stands between us and the peer's Close.
    fn poll_ended(&self, cx: &Context<'_>, discard: bool) -> Poll<Arc<Ending>> {
        let (ending, dropped) = self.change(|state, scratch, wakes| {
            let over = state.ending.clone();
            let drops = discard && over.is_none();
            let dropped = drops.then(|| state.drop_messages(cx, scratch, wakes));
            (over, dropped)
        });
        drop(dropped);
        ending.map_or(Poll::Pending, Poll::Ready)
    }

    /// Waits for the report. A wait that is given up leaves nothing behind.
    pub(crate) async fn ended(&self, discard: bool) -> Arc<Ending> {
        let mut over = pin!(self.over.notified());
        poll_fn(|cx| {
            // First the place among those who are told, then the look: nothing is missed.
            let _ = over.as_mut().poll(cx);
            self.poll_ended(cx, discard)
        })
        .await
    }

    /// The report, if the connection is over.
    pub(crate) fn ending(&self) -> Option<Arc<Ending>> {
        self.lock().ending.clone()
    }

    /// The stream of HTTP/2 below, if there is one.
    #[cfg(feature = "http2")]
    pub(crate) fn http2(&self) -> Option<adieu_proto::Http2> {
        self.lock().http2()
    }

    /// Whether the peer has ended.
    pub(crate) fn peer_has_ended(&self) -> bool {
        self.lock().peer_has_ended()
    }

    /// Our side ends the connection, unless it is ending already.
    pub(crate) fn close(&self, cause: Cause, close: Close) {
        self.close_by(CloseRequest::of(cause, close));
    }

    /// The same with all that can be asked for.
    pub(crate) fn close_by(&self, request: CloseRequest) {
        self.change(|state, scratch, wakes| {
            state.close(request, scratch);
            state.wake_driver(wakes);
        });
    }

    /// The application let go of its `Socket`.
    pub(crate) fn socket_dropped(&self) {
        let unread = self.change(|state, scratch, wakes| state.drop_socket(scratch, wakes));
        drop(unread);
    }

    /// A trusted proxy has to send its header before anything else.
    pub(crate) fn expect_proxy_header(&self) {
        self.lock().expect_proxy_header();
    }

    /// Refuses the connection without waiting for its request.
    pub(crate) fn refuse(&self, error: adieu_proto::HandshakeError) {
        self.change(|state, scratch, _| state.refuse(error, scratch));
    }
}

impl Stoppable for Link {
    fn drain(&self, stop: Stop) {
        self.draining.store(true, Ordering::Relaxed);
        self.change(|state, scratch, wakes| state.drain(stop, scratch, wakes));
    }

    fn force(&self, stop: Stop) {
        self.change(|state, scratch, wakes| state.force(stop, scratch, wakes));
    }

    fn is_stream(&self) -> bool {
        self.is_stream
    }
}

#[cfg(feature = "hyper")]
/// Receives bytes that an HTTP library had read before the connection was ours.
pub(crate) fn receive(connection: &mut Connection, bytes: &[u8]) -> Messages {
    let mut scratch = Scratch::default();
    let mut rest = bytes;
    while !rest.is_empty() {
        let buffer = connection.read_buffer(&mut scratch);
        let n = rest.len().min(buffer.len());
        let (piece, more) = rest.split_at(n);
        buffer[..n].copy_from_slice(piece);
        connection.received(now(), n, &mut scratch);
        rest = more;
    }
    scratch.messages.take()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_connection_shares_takes_712_bytes_at_most() {
        // Each connection pays for it as long as it is open: what few of them have is boxed.
        assert!(size_of::<Link>() <= 712, "{}", size_of::<Link>());
    }
}
