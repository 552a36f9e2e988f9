//! What a connection is while it is open: the protocol, the transport, and the messages between
//! them and the application. All of it stands behind one lock, with every method that changes it.

use std::io::IoSlice;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use adieu_proto::{
    CloseRequest, Command, Connection, Decision, Ending, HandshakeError, LetGo, Messages, Outbound,
    PeerEnd, Scratch, Timer, TransportEvent, UsageError, defaults,
};

use crate::link::drain::DrainState;
use crate::link::inbox::Inbox;
use crate::link::rare::Rare;
use crate::link::wakes::{Room, Senders, Waiting, Wakes};
use crate::now;
use crate::transport::{AnyTransport, Over, Read, Transport, WriteFailure};

/// Slices of one write at most. Linux takes 1,024; a few large payloads fill any socket buffer.
const WRITE_SLICES: usize = 32;

pub(super) struct State {
    pub(super) connection: Connection,
    pub(super) transport: AnyTransport,
    pub(super) inbox: Inbox,
    /// Places in the output that are reserved.
    pub(super) reserved: u32,
    pub(super) rare: Option<Box<Rare>>,
    /// The report, once the connection is over.
    pub(super) ending: Option<Arc<Ending>>,
    /// The driver is in its poll: it writes at the end of it, so nobody else has to.
    pub(super) polling: bool,
    /// In this poll of the driver the handler is still to be polled.
    pub(super) handler_is_next: bool,
    /// The application let go of its `Socket`.
    pub(super) socket_dropped: bool,
    /// Bytes that may be read before the application first asks for a message; [`ASKED`] then.
    unasked: u32,
    /// The peer's end was read: nothing is left to read.
    pub(super) read_over: bool,
    /// Nothing can leave any more.
    pub(super) write_failed: bool,
    /// When the driver was polled last.
    pub(super) polled: Instant,
    /// When bytes left last.
    pub(super) last_write: Instant,
    pub(super) drain: Option<Box<DrainState>>,
    /// The runtime is to look for what came, then the driver is to read again.
    pub(super) look_again: bool,
    pub(super) waiting: Waiting,
}

/// The application has asked for a message.
const ASKED: u32 = u32::MAX;

impl State {
    pub(super) fn new(mut connection: Connection, transport: AnyTransport) -> Self {
        let now = now();
        if transport.gives_evidence() {
            let scratch = &mut Scratch::default();
            connection.handle_transport(now, TransportEvent::GivesEvidence, scratch);
        }
        if transport.is_multiplexed() {
            let scratch = &mut Scratch::default();
            connection.handle_transport(now, TransportEvent::Multiplexed, scratch);
        }
        State {
            connection,
            transport,
            inbox: Inbox::default(),
            reserved: 0,
            rare: None,
            ending: None,
            polling: false,
            handler_is_next: false,
            socket_dropped: false,
            unasked: ASKED,
            read_over: false,
            write_failed: false,
            polled: now,
            last_write: now,
            drain: None,
            look_again: false,
            waiting: Waiting::default(),
        }
    }

    /// Collects the tasks that are to be woken, as follows from how things stand now: no wake is
    /// left over from before. It is called last, whenever the lock is about to be released.
    #[inline]
    pub(super) fn settle(&mut self, wakes: &mut Wakes) {
        if self.waiting.has_receiver() && (self.inbox.ended || !self.inbox.is_empty()) {
            self.waiting.wake_receiver(self.handler_is_next, wakes);
        }
        if self.waiting.room != Room::Unasked {
            self.settle_senders(wakes);
        }
    }

    #[inline(never)]
    fn settle_senders(&mut self, wakes: &mut Wakes) {
        if !self.connection.status().may_send() {
            self.waiting.room = Room::Unasked;
            wakes.senders = Senders::All;
        } else if self.waiting.room == Room::Awaited && !self.is_full() {
            self.waiting.room = Room::Offered;
            wakes.senders = Senders::First;
        }
    }

    /// The driver has something to do. In its own poll it needs no waking: it looks once more
    /// before it sleeps.
    pub(super) fn wake_driver(&self, wakes: &mut Wakes) {
        if !self.polling {
            self.waiting.wake_driver(wakes);
        }
    }

    /// The connection is over: what nobody can ask for any more is not kept with a `Sender`. Gives
    /// the messages, to be dropped where no lock is held.
    pub(super) fn is_over(&mut self) -> Messages {
        self.waiting.driver_is_done();
        self.socket_dropped.then(|| self.inbox.clear()).flatten()
    }

    /// The application let go of its `Socket`. Gives the messages that it has not read, to be
    /// dropped where no lock is held.
    pub(super) fn drop_socket(&mut self, scratch: &mut Scratch, wakes: &mut Wakes) -> Messages {
        self.socket_dropped = true;
        self.connection.command(now(), Command::EndSeen, scratch);
        self.wake_driver(wakes);
        self.inbox.clear()
    }

    /// Whether so much waits to leave, or is reserved, that `send` waits. An empty queue is never
    /// full, whatever the limit.
    #[inline]
    pub(super) fn is_full(&self) -> bool {
        let status = self.connection.status();
        let queued = status.queued() + u64::from(self.reserved) * defaults::RESERVE_COST;
        queued > 0 && queued >= status.config().send_queue as u64
    }

    /// The connection is open. Until the application asks for a message no more is read than the
    /// configuration allows.
    pub(super) fn opened(&mut self) {
        let limit = self.connection.status().config().receive_unasked;
        self.unasked = u32::try_from(limit).unwrap_or(ASKED);
    }

    /// The application asks for messages: from now on they may come.
    #[inline]
    fn asks(&mut self, wakes: &mut Wakes) {
        if self.unasked != ASKED {
            self.unasked = ASKED;
            self.wake_driver(wakes);
        }
    }

    /// The next message into the application's hands, or the end of the messages.
    #[inline]
    pub(super) fn take_message(
        &mut self,
        cx: &Context<'_>,
        taken: &mut Messages,
        scratch: &mut Scratch,
        wakes: &mut Wakes,
    ) -> Poll<Option<adieu_proto::Message>> {
        self.asks(wakes);
        let limit = self.connection.status().config().receive_queue;
        let was_full = self.inbox.is_full(limit);
        if let Some(message) = self.inbox.take(taken, limit) {
            self.waiting.receiver_has_looked();
            self.was_taken();
            if was_full && !self.inbox.is_full(limit) {
                // Reading had paused.
                self.wake_driver(wakes);
            }
            return Poll::Ready(Some(message));
        }
        self.inbox.give_back(taken);
        if self.inbox.ended {
            self.waiting.receiver_has_looked();
            self.connection.command(now(), Command::EndSeen, scratch);
            self.wake_driver(wakes);
            return Poll::Ready(None);
        }
        self.waiting.receiver_is(cx.waker());
        if self.drain.as_ref().is_some_and(|drain| drain.is_answering()) {
            // The handler has answered all: our Close is due.
            self.wake_driver(wakes);
        }
        Poll::Pending
    }

    /// The handler has taken a message.
    #[inline]
    pub(super) fn was_taken(&mut self) {
        if let Some(drain) = &mut self.drain {
            drain.was_taken();
        }
    }

    /// The application wants no more messages. Gives those that are there, to be dropped where no
    /// lock is held.
    pub(super) fn drop_messages(
        &mut self,
        cx: &Context<'_>,
        scratch: &mut Scratch,
        wakes: &mut Wakes,
    ) -> Messages {
        self.asks(wakes);
        let limit = self.connection.status().config().receive_queue;
        let was_full = self.inbox.is_full(limit);
        let dropped = self.inbox.clear();
        if self.inbox.ended {
            self.connection.command(now(), Command::EndSeen, scratch);
            self.wake_driver(wakes);
        } else {
            self.waiting.receiver_is(cx.waker());
            if was_full || self.drain.as_ref().is_some_and(|drain| drain.is_answering()) {
                self.wake_driver(wakes);
            }
        }
        dropped
    }

    /// Queues something and writes it, unless the driver will.
    #[inline]
    pub(super) fn send<'a>(
        &mut self,
        outbound: impl Into<Outbound<'a>>,
        scratch: &mut Scratch,
        wakes: &mut Wakes,
    ) -> Result<(), UsageError> {
        if self.polling {
            return self.connection.send(outbound, scratch);
        }
        let next_look = self.connection.status().timeout();
        self.connection.send(outbound, scratch)?;
        self.write_now(next_look, scratch, wakes);
        Ok(())
    }

    /// Our side wants to end the connection. Where a write has failed it was over before that: the
    /// report waits for what the transport still has to say.
    pub(super) fn close(&mut self, request: CloseRequest, scratch: &mut Scratch) {
        if !request.close.may_be_sent() {
            let code = request.close.code().map_or(0, |code| code.get());
            tracing::error!("close code {code} must not be sent: the peer is told 1011");
        }
        if !self.write_failed {
            self.connection.command(now(), Command::Close(request), scratch);
        }
    }

    /// Whether the peer has ended: its Close was read, or its end, or all is over.
    pub(super) fn peer_has_ended(&self) -> bool {
        self.ending.is_some() || self.connection.status().peer_has_ended()
    }

    /// The stream of HTTP/2 below, if there is one.
    #[cfg(feature = "http2")]
    pub(super) fn http2(&self) -> Option<adieu_proto::Http2> {
        match &self.ending {
            Some(ending) => ending.http2,
            None => self.transport.http2(),
        }
    }

    /// Messages that were read.
    pub(super) fn take_in(&mut self, messages: &mut Messages) {
        self.inbox.take_in(messages);
    }

    /// Bytes that have come and are not in the application's hands: of a message that is not whole
    /// and of those that wait.
    pub(super) fn received(&self) -> usize {
        self.connection.status().receiving() + self.inbox.cost()
    }

    pub(super) fn end_messages(&mut self) {
        self.inbox.ended = true;
    }

    // Reading.

    /// Whether the application has as many messages as may wait for it. What is only read to be
    /// dropped never waits, and neither does the rest of a TCP connection that broke: no more than
    /// the kernel's buffer is left of it, and how it broke stands at its end.
    pub(super) fn is_behind(&self) -> bool {
        let status = self.connection.status();
        self.inbox.is_full(status.config().receive_queue) && self.reads_to_deliver()
    }

    fn reads_to_deliver(&self) -> bool {
        let broke = self.write_failed && self.transport.tcp().is_some();
        self.connection.status().delivers() && !broke
    }

    /// Whether reading waits for the application, or for its answers.
    pub(super) fn reading_waits(&self) -> bool {
        self.is_behind() || self.may_read() == 0 || self.holds_input()
    }

    /// Whether nothing may be read for now, whatever the application does.
    pub(super) fn may_read_nothing(&self) -> bool {
        self.may_read() == 0
    }

    /// Nothing is read for now: an answer to our Ping may be waiting unread.
    pub(super) fn reading_paused(&mut self, scratch: &mut Scratch) {
        let polled = self.polled;
        self.connection.handle_transport(polled, TransportEvent::ReadingPaused, scratch);
    }

    fn may_read(&self) -> usize {
        let may_read = self.drain.as_ref().map_or(usize::MAX, |drain| drain.may_read());
        if self.unasked != ASKED && self.reads_to_deliver() {
            return may_read.min(self.unasked as usize);
        }
        may_read
    }

    /// Reads once. Pending when nothing is there, and for good once the peer's end was read. How
    /// much was read is only a measure of work done.
    pub(super) fn read_once(&mut self, cx: &mut Context<'_>, scratch: &mut Scratch) -> Poll<usize> {
        let may_read = self.may_read();
        if may_read == 0 || self.read_over || self.transport.is_released() {
            return Poll::Pending;
        }
        if self.awaits_proxy_header() {
            return self.read_proxy_header(cx, scratch).map(|()| 0);
        }
        #[cfg(feature = "http2")]
        if self.awaits_choice() {
            return self.read_choice(cx, scratch).map(|()| 0);
        }
        // Asked before the read: what the connection reads meanwhile is there for the next one.
        let dry = self.drain.as_ref().and_then(|_| self.transport.connection_is_dry());
        let buffer = self.connection.read_buffer(scratch);
        let n = buffer.len().min(may_read);
        let Poll::Ready(read) = self.transport.poll_read(cx, &mut buffer[..n]) else {
            self.nothing_was_read(dry);
            return Poll::Pending;
        };
        let n = if let Read::Data(n) = read { n } else { 0 };
        if let Some(drain) = &mut self.drain {
            drain.was_read(n);
        }
        if self.unasked != ASKED {
            self.unasked = self.unasked.saturating_sub(u32::try_from(n).unwrap_or(ASKED));
        }
        self.was_read(read, scratch);
        Poll::Ready(n)
    }

    #[inline]
    pub(super) fn was_read(&mut self, read: Read, scratch: &mut Scratch) {
        match read {
            Read::Data(n) => {
                self.connection.received(self.polled, n, scratch);
                self.inbox.take_in(&mut scratch.messages);
            }
            Read::CloseNotify => self.tell(TransportEvent::CloseNotify, scratch),
            Read::TlsFailed(error) => self.tell(TransportEvent::TlsFailed(error), scratch),
            Read::Over(over) => self.peer_ended(over, scratch),
            #[cfg(feature = "http2")]
            Read::Answered(answer) => self.connection.answered(self.polled, *answer, scratch),
        }
    }

    /// The transport gives nothing now. The runtime hears later than the kernel of what came: it
    /// is there all the same, and will be read.
    ///
    /// `dry`: of a stream, whether the connection below has read all that had arrived.
    fn nothing_was_read(&mut self, dry: Option<bool>) {
        let Some(drain) = self.drain.as_mut().filter(|drain| drain.is_reading()) else { return };
        match dry {
            Some(true) => return drain.was_read(0),
            // Its task has its turn first.
            Some(false) => return self.look_again = true,
            None => {}
        }
        match self.transport.tcp().map(|tcp| tcp.unread()) {
            // Records of TLS that are not whole yet are not waited for.
            Some(unread) if unread.is_none_or(|bytes| bytes == 0) => drain.was_read(0),
            Some(_) => {}
            None => self.look_again |= drain.gave_nothing(),
        }
    }

    pub(super) fn peer_ended(&mut self, over: Over, scratch: &mut Scratch) {
        self.read_over = true;
        // A stream of HTTP/2 is read and written by the task of its connection, in one poll of
        // which our end may leave and the peer's come: what had left by then left first.
        if self.transport.holds() && matches!(self.transport.poll_flush(None), Poll::Ready(Ok(())))
        {
            self.tell(TransportEvent::Flushed, scratch);
        }
        if let Some(http2) = self.transport.http2() {
            self.tell(TransportEvent::Http2(http2), scratch);
        }
        self.tell(TransportEvent::PeerEnded(over.how, over.error), scratch);
        if over.then_reset {
            self.tell(TransportEvent::PeerEnded(PeerEnd::Reset, None), scratch);
        }
    }

    pub(super) fn tell(&mut self, event: TransportEvent, scratch: &mut Scratch) {
        self.connection.handle_transport(now(), event, scratch);
    }

    pub(super) fn refuse(&mut self, error: HandshakeError, scratch: &mut Scratch) {
        // A connection that is open, or refused already, is not refused.
        let _ = self.connection.decide(now(), Decision::Refuse(error), scratch);
    }

    // Writing.

    /// Writes from outside the driver's task: no hop, no wake, unless the transport is full.
    /// `next_look` is when the driver looks at the clocks if nobody wakes it.
    pub(super) fn write_now(
        &mut self,
        next_look: Option<Instant>,
        scratch: &mut Scratch,
        wakes: &mut Wakes,
    ) {
        self.write_what_waits(None, scratch);
        if self.is_unfinished() || self.looks_late(next_look) {
            self.wake_driver(wakes);
        }
    }

    /// Whether the clock over output runs and the driver would look at it far too late.
    fn looks_late(&self, next_look: Option<Instant>) -> bool {
        let status = self.connection.status();
        let soon = self.last_write.checked_add(status.config().write_timeout.mul_f32(0.75));
        let Some(soon) = soon else { return false };
        next_look.is_none_or(|at| at > soon) && status.timeout() < next_look.or(Some(soon))
    }

    /// Whether the driver has to write, to flush, or to do what an end asks for.
    fn is_unfinished(&self) -> bool {
        #[cfg(feature = "deflate")]
        if self.has_work() {
            return true;
        }
        let status = self.connection.status();
        status.has_output() || self.transport.holds() || !status.may_send()
    }

    /// One write of what is queued, and a flush of what the transport holds; false if it failed.
    pub(super) fn write(
        &mut self,
        mut cx: Option<&mut Context<'_>>,
        scratch: &mut Scratch,
    ) -> Poll<bool> {
        if cx.is_none() && !self.transport.writes_anywhere() {
            return Poll::Pending;
        }
        if self.transport.holds() {
            match self.transport.poll_flush(cx.as_deref_mut()) {
                Poll::Pending => return self.is_blocked(scratch),
                Poll::Ready(Ok(())) => self.tell(TransportEvent::Flushed, scratch),
                Poll::Ready(Err(failure)) => return self.write_fails(failure, scratch),
            }
        }
        // From outside the driver's task nobody would finish our direction at once.
        let finishes = cx.is_some() && self.connection.status().fin_follows();
        // A write may have a part of it only.
        let connection = &self.connection;
        let end_follows =
            |slices: &[IoSlice<'_>]| finishes && length(slices) == connection.status().queued();
        let mut few = [IoSlice::new(&[]); 2];
        let written = match self.connection.slices(&mut few) {
            0 => return Poll::Ready(true),
            1 => self.transport.poll_write(cx, &few[..1], end_follows(&few[..1])),
            _ => {
                let mut slices = [IoSlice::new(&[]); WRITE_SLICES];
                let filled = self.connection.slices(&mut slices);
                let slices = &slices[..filled];
                self.transport.poll_write(cx, slices, end_follows(slices))
            }
        };
        match written {
            Poll::Pending => self.is_blocked(scratch),
            Poll::Ready(Ok(0)) => {
                let error = std::io::Error::from(std::io::ErrorKind::WriteZero);
                self.write_fails(WriteFailure::Failed(Some(error.into())), scratch)
            }
            Poll::Ready(Ok(bytes)) => {
                self.last_write = now();
                let held = self.transport.holds();
                let event = TransportEvent::Transmitted { bytes, held };
                self.connection.handle_transport(self.last_write, event, scratch);
                Poll::Ready(true)
            }
            Poll::Ready(Err(failure)) => self.write_fails(failure, scratch),
        }
    }

    fn is_blocked(&mut self, scratch: &mut Scratch) -> Poll<bool> {
        self.tell(TransportEvent::Blocked, scratch);
        Poll::Pending
    }

    fn write_fails(&mut self, failure: WriteFailure, scratch: &mut Scratch) -> Poll<bool> {
        self.write_failed = true;
        self.tell(
            match failure {
                WriteFailure::ResetBehindEnd => TransportEvent::PeerEnded(PeerEnd::Reset, None),
                WriteFailure::Failed(error) => TransportEvent::WriteFailed(error),
            },
            scratch,
        );
        Poll::Ready(false)
    }

    /// Finishes our direction.
    pub(super) fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        std::task::ready!(self.transport.poll_finish(cx));
        if self.transport.close_notify().is_some() {
            // A close_notify of ours left with it.
            self.last_write = now();
        }
        Poll::Ready(())
    }

    // Time.

    /// Lets clocks run out that are due, with what the transport knows.
    pub(super) fn pass_time(&mut self, scratch: &mut Scratch) {
        let now = self.polled;
        if self.connection.status().timeout().is_some_and(|at| at <= now) {
            let evidence = self.transport.evidence();
            self.connection.handle_timeout(now, evidence, scratch);
        }
        if self.drain.as_ref().is_some_and(|drain| drain.is_over(now)) {
            let let_go = Command::LetGo(LetGo::Clock(Timer::Drain));
            self.connection.command(now, let_go, scratch);
        }
    }

    /// When the driver has to look next.
    pub(super) fn timeout(&self) -> Option<Instant> {
        if self.ending.is_some() {
            return None;
        }
        let drain = self.drain.as_ref().and_then(|drain| drain.timeout());
        drain.into_iter().chain(self.connection.status().timeout()).min()
    }

    pub(super) fn let_go(&mut self, why: LetGo, scratch: &mut Scratch) {
        self.connection.command(now(), Command::LetGo(why), scratch);
    }

    /// Writes before the driver has its turn. With `cx` the FIN may follow in the same segment.
    pub(super) fn write_what_waits(
        &mut self,
        mut cx: Option<&mut Context<'_>>,
        scratch: &mut Scratch,
    ) {
        while (self.connection.status().has_output() || self.transport.holds())
            && self.write(cx.as_deref_mut(), scratch) == Poll::Ready(true)
        {}
    }

    /// For now there is nothing to do: leaves the buffers that hold nothing to the next.
    #[inline]
    pub(super) fn lend_back(&mut self, scratch: &mut Scratch) {
        self.inbox.lend_back(scratch);
    }
}

/// The bytes of these.
fn length(slices: &[IoSlice<'_>]) -> u64 {
    slices.iter().map(|slice| slice.len() as u64).sum()
}
