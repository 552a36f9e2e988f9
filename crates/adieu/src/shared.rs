//! What the driver and every handle of a connection share: the protocol, the transport, and the
//! messages between them. One lock; uncontended it costs some 30 ns.

use std::future::{Future, poll_fn};
use std::io::{self, ErrorKind, IoSlice};
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Instant;

use adieu_proto::{
    Cause, Close, Connection, Ending, Message, PeerEnd, Prepared, Request, UsageError, Version,
};
use tokio::io::ReadBuf;
use tokio::sync::Notify;

use crate::buffers::{self, Messages};
use crate::inbox::Inbox;
use crate::io::Io;
use crate::now;
use crate::peer::Peer;
use crate::proxy::ProxyHeader;
use crate::stopping::Stopping;
use crate::wakers::Wakers;

/// Slices of one write at most. Linux takes 1,024; a few large payloads fill any socket buffer.
const WRITE_SLICES: usize = 32;

/// Reads at the very end, when a peer that never ended has sent something meanwhile.
const LAST_READS: usize = 16;

pub(crate) struct Shared {
    /// Whom the transport is with.
    transport: Option<SocketAddr>,
    /// The request and what was agreed on; set before the handler is called.
    pub(crate) opened: OnceLock<Opened>,
    /// Tells that the account is there.
    pub(crate) over: Notify,
    /// The server stops: who takes a message shows that it is at work.
    stopping: AtomicBool,
    state: Mutex<State>,
}

/// What the opening handshake agreed on.
pub(crate) struct Opened {
    /// `None` as a client.
    pub(crate) request: Option<Request>,
    pub(crate) version: Version,
    pub(crate) subprotocol: Option<String>,
    /// Whose request it is, where trusted proxies tell more than the transport.
    pub(crate) proxied: Option<Box<Peer>>,
}

impl Opened {
    pub(crate) fn new(
        request: Option<Request>,
        version: Version,
        subprotocol: Option<String>,
    ) -> Self {
        Opened { request, version, subprotocol, proxied: None }
    }

    /// A request of this peer, whose transport is that one.
    pub(crate) fn of(mut self, peer: Peer, transport: Peer) -> Self {
        self.proxied = (peer != transport).then(|| Box::new(peer));
        self
    }
}

pub(crate) struct State {
    pub(crate) connection: Connection,
    pub(crate) io: Io,
    pub(crate) inbox: Inbox,
    /// The account, once it is over.
    pub(crate) ending: Option<Arc<Ending>>,
    /// The driver is in its wake: it writes at the end of it, so nobody else has to.
    pub(crate) driving: bool,
    /// The application let go of its `Socket`.
    pub(crate) socket_dropped: bool,
    /// The peer's end was read: nothing is left to read.
    pub(crate) peer_over: bool,
    /// What the first write that failed met. It took the socket's error away: reads that follow
    /// look like a FIN.
    write_error: Option<ErrorKind>,
    /// The peer's FIN was read.
    pub(crate) fin_seen: bool,
    /// Our FIN was sent: it counts as one byte that is not acknowledged.
    fin_sent: bool,
    /// When the driver woke last.
    pub(crate) woke: Instant,
    /// When bytes left last.
    last_write: Instant,
    pub(crate) stopping: Stopping,
    /// What a trusted proxy says in front of the handshake, where one has to.
    pub(crate) proxy_header: Option<Box<ProxyHeader>>,
    pub(crate) wakers: Wakers,
}

/// What became of a message for one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    Queued,
    /// So much waits to leave that there is no room.
    Full,
    /// The connection is closing or over.
    Closed,
    /// Its version cannot carry it.
    Refused,
}

impl Shared {
    pub(crate) fn new(connection: Connection, io: Io, transport: Peer) -> Arc<Self> {
        let mut connection = connection;
        if io.tells() {
            connection.delivery_is_told();
        }
        let state = State {
            connection,
            io,
            inbox: Inbox::default(),
            ending: None,
            driving: false,
            socket_dropped: false,
            peer_over: false,
            write_error: None,
            fin_seen: false,
            fin_sent: false,
            woke: now(),
            last_write: now(),
            stopping: Stopping::No,
            proxy_header: None,
            wakers: Wakers::default(),
        };
        Arc::new(Shared {
            transport: transport.addr(),
            opened: OnceLock::new(),
            over: Notify::new(),
            stopping: AtomicBool::new(false),
            state: Mutex::new(state),
        })
    }

    /// Whom the transport is with.
    pub(crate) fn transport(&self) -> Peer {
        Peer::new(self.transport)
    }

    /// Who is at the other end.
    pub(crate) fn peer(&self) -> Peer {
        let proxied = self.opened.get().and_then(|opened| opened.proxied.as_deref());
        proxied.copied().unwrap_or_else(|| self.transport())
    }

    /// A panic inside the lock leaves the state as it was between two calls: go on.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next message, or the end of them. Others may follow it into `taken`, which is empty.
    pub(crate) fn poll_recv(
        &self,
        cx: &Context<'_>,
        taken: &mut Messages,
    ) -> Poll<Option<Message>> {
        let mut state = self.lock();
        state.wakers.receiver_looks();
        let limit = state.connection.config().receive_queue;
        let was_full = state.inbox.is_full(limit);
        if let Some(message) = state.inbox.take(taken, limit) {
            state.stopping.was_taken();
            if was_full && !state.inbox.is_full(limit) {
                // Reading had paused.
                state.wake_driver();
            }
            return Poll::Ready(Some(message));
        }
        // An idle handler keeps no buffer.
        if let Some(own) = taken.take() {
            state.inbox.messages.get_or_insert(own);
        }
        if state.inbox.ended {
            state.connection.saw_end(now());
            state.wake_driver();
            return Poll::Ready(None);
        }
        state.wakers.receiver_is(cx.waker());
        if state.stopping.is_answering() {
            // In the driver's own wake nobody has to be told.
            state.wake_driver();
        }
        Poll::Pending
    }

    /// Whether `taken` may be gone through without a look at the state.
    pub(crate) fn is_unhurried(&self) -> bool {
        !self.stopping.load(Ordering::Relaxed)
    }

    /// The handler has taken a message from those that it was given before.
    pub(crate) fn was_taken(&self) {
        self.lock().stopping.was_taken();
    }

    /// The server stops.
    pub(crate) fn drain(&self, close: &Close) {
        self.stopping.store(true, Ordering::Relaxed);
        self.lock().drain(close);
    }

    /// Queues a message when there is room; gives it back while there is none.
    pub(crate) fn poll_send(
        &self,
        cx: &Context<'_>,
        message: &mut Option<Message>,
    ) -> Poll<Result<(), UsageError>> {
        let mut state = self.lock();
        if state.is_full() && state.connection.may_send() {
            state.wakers.sender_is(cx.waker());
            return Poll::Pending;
        }
        // It is copied from where it lies: each move of it costs as much as a copy.
        let Some(lent) = message else { return Poll::Ready(Ok(())) };
        let sent = state.send_and_write(|connection| connection.send_ref(lent));
        *message = None;
        Poll::Ready(sent)
    }

    /// Queues an encoded message and writes it at once, if there is room.
    pub(crate) fn send_prepared(&self, prepared: &Prepared) -> Taken {
        let mut state = self.lock();
        if !state.connection.may_send() {
            return Taken::Closed;
        }
        if state.is_full() {
            return Taken::Full;
        }
        let sent = state.send_and_write(|connection| connection.send_prepared(prepared));
        if sent.is_ok() { Taken::Queued } else { Taken::Refused }
    }

    /// The account, when it is there. Meanwhile messages are read and dropped, so that nothing
    /// stands between us and the peer's goodbye.
    fn poll_ended(&self, cx: &Context<'_>, discard: bool) -> Poll<Arc<Ending>> {
        let mut state = self.lock();
        if let Some(ending) = &state.ending {
            return Poll::Ready(ending.clone());
        }
        if discard {
            let limit = state.connection.config().receive_queue;
            let was_full = state.inbox.is_full(limit);
            state.inbox.clear();
            if state.inbox.ended {
                state.connection.saw_end(now());
                state.wake_driver();
            } else if was_full {
                state.wake_driver();
            }
            state.wakers.receiver_is(cx.waker());
        }
        Poll::Pending
    }

    /// Waits for the account. A wait that is given up leaves nothing behind.
    pub(crate) async fn ended(&self, discard: bool) -> Arc<Ending> {
        let mut over = pin!(self.over.notified());
        poll_fn(|cx| {
            // First the place among those who are told, then the look: nothing is missed.
            let _ = over.as_mut().poll(cx);
            self.poll_ended(cx, discard)
        })
        .await
    }

    /// Our side ends the connection, unless it is ending already.
    pub(crate) fn close(&self, close: Close, cause: Cause) {
        let mut state = self.lock();
        state.close(close, cause);
        state.wake_driver();
    }
}

impl State {
    /// Whether the application has taken all messages and waits for more.
    pub(crate) fn is_waited_for(&self) -> bool {
        self.inbox.is_empty() && self.wakers.has_receiver()
    }

    /// The driver's task is awake: it writes at the end of its wake, so nobody else has to.
    /// Whether it is another task than before.
    pub(crate) fn begin_wake(&mut self, cx: &Context<'_>) -> bool {
        self.driving = true;
        self.woke = now();
        self.borrow_buffers();
        self.wakers.handler_comes(true);
        self.wakers.driver_is(cx.waker())
    }

    /// From here on the handler sees what is there; what comes later has to wake it.
    pub(crate) fn handler_is_polled(&mut self) {
        self.wakers.handler_comes(false);
    }

    /// Whether so much waits to leave that `send` waits. Nothing is never too much.
    fn is_full(&self) -> bool {
        let queued = self.connection.queued();
        queued > 0 && queued >= self.connection.config().send_queue as u64
    }

    /// The driver has something to do. It needs no waking in the middle of its own wake: it
    /// looks once more before it sleeps.
    pub(crate) fn wake_driver(&mut self) {
        if !self.driving
            && let Some(driver) = &self.wakers.driver
        {
            driver.wake_by_ref();
        }
    }

    /// Whether the application has as many messages as may wait for it. What is only read to be
    /// dropped never waits, and neither does the rest of a TCP connection that broke: no more than
    /// the kernel's buffer is left of it, and how it broke stands at its end.
    pub(crate) fn is_behind(&self) -> bool {
        let full = self.inbox.is_full(self.connection.config().receive_queue);
        let broke = self.write_error.is_some() && !matches!(self.io, Io::Other(_));
        full && self.connection.delivers() && !broke
    }

    /// Our side wants to end it. Where a write has failed it was over before that: the account
    /// waits for what the transport still has to say.
    pub(crate) fn close(&mut self, close: Close, cause: Cause) {
        if self.write_error.is_none() {
            self.connection.close(now(), close, cause);
        }
    }

    /// Reads once. Pending when nothing is there, and for good once the peer's end was read.
    /// How much was read is only a measure of work done.
    pub(crate) fn read_once(&mut self, cx: &mut Context<'_>) -> Poll<usize> {
        let stopped = self.stopping.may_read() == 0;
        if stopped || self.peer_over || matches!(self.io, Io::Closed) {
            return Poll::Pending;
        }
        if let Some(poll) = self.poll_proxy_header(cx) {
            return poll.map(|()| 0);
        }
        let may_read = self.stopping.may_read();
        let room = self.connection.payload_room();
        if room.len() >= buffers::READ {
            // The rest of a large message, into its own buffer.
            let n = room.len().min(may_read);
            let mut buf = ReadBuf::new(&mut room[..n]);
            let poll = self.io.poll_read(cx, &mut buf);
            let read = buf.filled().len();
            return self.was_read(poll, read, |state| {
                let woke = state.woke;
                let State { connection, inbox, .. } = state;
                inbox.receive(|messages| connection.payload_received(woke, read, messages))
            });
        }
        buffers::receive(self.connection.to_come(), |buffer| {
            let n = buffer.len().min(may_read);
            let mut buf = ReadBuf::new(&mut buffer[..n]);
            let poll = self.io.poll_read(cx, &mut buf);
            let read = buf.filled().len();
            self.was_read(poll, read, |state| {
                let woke = state.woke;
                let State { connection, inbox, .. } = state;
                inbox.receive(|messages| {
                    connection.receive_into(woke, &mut buffer[..read], messages);
                })
            })
        })
    }

    /// What a read came to; `receive` says whether there are messages in what it brought.
    fn was_read(
        &mut self,
        poll: Poll<io::Result<()>>,
        read: usize,
        receive: impl FnOnce(&mut State) -> bool,
    ) -> Poll<usize> {
        let Poll::Ready(result) = poll else {
            self.nothing_read();
            return Poll::Pending;
        };
        self.stopping.was_read(read);
        match result {
            Ok(()) if read == 0 => self.peer_ended(None),
            Ok(()) => {
                if receive(self) {
                    self.wakers.wake_receiver();
                }
            }
            Err(error) => self.peer_ended(Some(&error)),
        }
        Poll::Ready(read)
    }

    /// The peer's direction is over: how. Linux gives the socket's error once, to a read or a
    /// write, and reads that follow look like a FIN: the first is remembered.
    pub(crate) fn peer_ended(&mut self, error: Option<&io::Error>) {
        let read = error.map(io::Error::kind);
        let how = match read.or(self.write_error) {
            None => PeerEnd::Fin,
            // EPIPE before our own FIN: an RST came when the peer's FIN was there unread. A stream
            // that takes nothing says nothing about its peer.
            Some(ErrorKind::BrokenPipe | ErrorKind::WriteZero) if read.is_none() => PeerEnd::Fin,
            Some(ErrorKind::TimedOut | ErrorKind::HostUnreachable)
            | Some(ErrorKind::NetworkUnreachable) => PeerEnd::Unreachable,
            // Not TLS, or TLS that cannot be read on: nothing can be said, the FIN still comes.
            Some(ErrorKind::InvalidData) => return self.tls_failed(),
            Some(_) => PeerEnd::Reset,
        };
        self.peer_over = true;
        self.fin_seen |= how == PeerEnd::Fin;
        self.connection.peer_ended(now(), how);
        if how == PeerEnd::Fin && self.write_error.is_some_and(|error| self.met_an_rst(error)) {
            self.connection.peer_ended(now(), PeerEnd::Reset);
        }
    }

    /// Shuts down our direction. Over TLS a `close_notify` leaves with that.
    pub(crate) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let _ = ready!(self.io.poll_shutdown(cx));
        self.fin_sent = true;
        if self.io.is_tls() {
            self.last_write = now();
        }
        Poll::Ready(())
    }

    /// Whether a write that failed met the RST of a peer that had sent its FIN: Linux calls that
    /// EPIPE. On streams other than TCP that says no more than that our bytes are not taken: of a
    /// Unix socket's peer that it reads no more.
    fn met_an_rst(&self, error: ErrorKind) -> bool {
        error == ErrorKind::ConnectionReset || self.io.tcp().is_some()
    }

    fn tls_failed(&mut self) {
        self.io.strip_tls();
        self.connection.tls_failed(now());
    }

    /// Lets go of the transport and has the account written.
    pub(crate) fn disconnect(&mut self) {
        if self.fin_seen && self.io.has_error() {
            // The RST came after the FIN that we read.
            self.connection.peer_ended(now(), PeerEnd::Reset);
        }
        let close_notify = self.io.close_notify();
        let unacknowledged = self.unacknowledged();
        // A close with unread input would send an RST and lose what is under way to the peer.
        let mut cx = Context::from_waker(Waker::noop());
        for _ in 0..LAST_READS {
            if self.peer_over || self.discard_once(&mut cx).is_pending() {
                break;
            }
        }
        self.io = Io::Closed;
        self.connection.disconnected(now(), unacknowledged, close_notify);
    }

    /// Bytes that left and were not acknowledged, where that is known. What left just now may
    /// still be acknowledged: unknown.
    fn unacknowledged(&mut self) -> Option<u64> {
        let delivery = self.io.delivery()?;
        self.connection.delivery(now(), delivery);
        let bytes = delivery.outstanding.saturating_sub(u64::from(self.fin_sent));
        let known = bytes == 0 || now() - self.last_write > delivery.rto;
        known.then_some(bytes)
    }

    /// Lets clocks run out that are due, with what the operating system knows.
    pub(crate) fn pass_time(&mut self) {
        let now = self.woke;
        if self.connection.timeout().is_some_and(|at| at <= now) {
            if let Some(delivery) = self.io.delivery() {
                self.connection.delivery(now, delivery);
            }
            self.connection.handle_timeout(now);
        }
    }

    fn discard_once(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        buffers::receive(0, |buffer| {
            let mut buf = ReadBuf::new(buffer);
            let result = ready!(self.io.poll_read(cx, &mut buf));
            self.peer_over = result.is_err() || buf.filled().is_empty();
            Poll::Ready(())
        })
    }

    /// Queues something and writes it, unless the driver will.
    fn send_and_write<T>(&mut self, send: impl FnOnce(&mut Connection) -> T) -> T {
        if self.driving {
            return send(&mut self.connection);
        }
        self.borrow_buffers();
        let sent = send(&mut self.connection);
        self.write_now();
        self.give_back_buffers();
        sent
    }

    /// Writes from outside the driver's task: no hop, no wake, unless the transport is full.
    fn write_now(&mut self) {
        while self.connection.wants_transmit() {
            if self.write(None) != Poll::Ready(true) {
                return self.wake_driver();
            }
        }
    }

    /// One write of what is queued; false if it failed.
    pub(crate) fn write(&mut self, cx: Option<&mut Context<'_>>) -> Poll<bool> {
        // From outside the driver's task nobody would shut down at once.
        let fin_follows = cx.is_some() && self.connection.fin_follows();
        let written = if let Some(bytes) = self.connection.in_one_piece() {
            self.io.poll_write(cx, &[IoSlice::new(bytes)], fin_follows)
        } else {
            let mut slices = [IoSlice::new(&[]); WRITE_SLICES];
            let filled = self.connection.slices(&mut slices);
            self.io.poll_write(cx, &slices[..filled], fin_follows)
        };
        match written {
            Poll::Pending => {
                self.connection.blocked(now());
                Poll::Pending
            }
            Poll::Ready(Ok(0)) if self.connection.has_output() => {
                self.write_failed(&ErrorKind::WriteZero.into());
                Poll::Ready(false)
            }
            Poll::Ready(Ok(n)) => {
                self.last_write = now();
                self.connection.transmitted(self.last_write, n);
                if !self.is_full() {
                    self.wakers.wake_senders();
                }
                Poll::Ready(true)
            }
            Poll::Ready(Err(error)) => {
                self.write_failed(&error);
                Poll::Ready(false)
            }
        }
    }

    fn write_failed(&mut self, error: &io::Error) {
        self.write_error.get_or_insert(error.kind());
        let now = now();
        if self.fin_seen && self.met_an_rst(error.kind()) {
            self.connection.peer_ended(now, PeerEnd::Reset);
        } else {
            self.connection.write_failed(now);
        }
        self.wakers.wake_senders();
    }
}
