//! One WebSocket: routes bytes to the stages, and what the stages say to the driver.

mod frames;
mod opening;

pub use frames::Prepared;

use std::collections::VecDeque;
use std::hash::{Hash, Hasher};
use std::io::IoSlice;
use std::mem;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use crate::close::{Action, Input, Machine, Moment, Speech, State, Wish};
use crate::code::Close;
use crate::config::{Config, defaults};
use crate::ending::{Cause, Cut, Ending, Unsent};
use crate::error::{HandshakeError, ProtocolError};
use crate::frame::{Opcode, Reader};
use crate::handshake::opening::Opening;
use crate::handshake::{Request, Version};
use crate::heartbeat::Heartbeat;
use crate::message::Message;
use crate::outgoing::Outgoing;
use crate::pool::Pool;
use crate::progress::{Delivery, Progress, Verdict};
use crate::seed::Seed;
use crate::spare::Spare;
use crate::timer::{Timer, Timers};

/// One WebSocket connection, without I/O.
///
/// After every call, drain [`poll_output`](Self::poll_output) until it gives
/// [`Output::Timeout`].
///
/// ```
/// use std::{io::IoSlice, sync::Arc, time::Instant};
/// use adieu_proto::{ClientRequest, Config, Connection, Event, Message, Output};
///
/// // Moves bytes from one to the other; gives the events of `from`.
/// fn relay(from: &mut Connection, to: &mut Connection, now: Instant) -> Vec<Event> {
///     let mut events = Vec::new();
///     loop {
///         match from.poll_output() {
///             Output::Event(event) => events.push(event),
///             Output::Transmit => {
///                 let mut slices = [IoSlice::new(&[]); 8];
///                 let filled = from.slices(&mut slices);
///                 let mut bytes: Vec<u8> =
///                     slices[..filled].iter().flat_map(|slice| slice.to_vec()).collect();
///                 from.transmitted(now, bytes.len());
///                 to.receive(now, &mut bytes);
///             }
///             _ => return events,
///         }
///     }
/// }
///
/// let now = Instant::now();
/// let config = Arc::new(Config::default());
/// let request = ClientRequest::new("example.com", "/");
/// let mut client = Connection::client(now, config.clone(), request, [7; 32])?;
/// let mut server = Connection::server(now, config);
///
/// relay(&mut client, &mut server, now);
/// assert!(matches!(relay(&mut server, &mut client, now)[..], [Event::Request(..)]));
/// server.accept(now, None, false)?;
/// relay(&mut server, &mut client, now);
/// client.send("hello")?;
/// relay(&mut client, &mut server, now);
/// let events = relay(&mut server, &mut client, now);
/// assert!(matches!(&events[..], [Event::Message(m)] if m.as_text() == Some("hello")));
/// # Ok::<(), adieu_proto::UsageError>(())
/// ```
#[derive(Clone)]
pub struct Connection {
    config: Arc<Config>,
    started: Instant,
    /// When bytes of the peer came last.
    heard: Option<Instant>,
    version: Version,
    /// Until the opening handshake has succeeded or failed.
    opening: Option<Box<Opening>>,
    reader: Reader,
    outgoing: Outgoing,
    /// A Pong that waits for room: only the newest is kept.
    pong: Option<Box<Bytes>>,
    machine: Machine,
    heartbeat: Heartbeat,
    timers: Timers,
    progress: Progress,
    outputs: VecDeque<Output>,
    /// Lent.
    pool: Option<Arc<dyn Pool>>,
    /// Masks of a client (§5.3). A server has none.
    seed: Option<Box<Seed>>,
}

impl std::fmt::Debug for Connection {
    /// Where it stands; the bytes that it holds do not belong in a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut debug = f.debug_struct("Connection");
        debug.field("version", &self.version).field("state", &self.machine.state());
        debug.field("queued", &self.queued()).finish_non_exhaustive()
    }
}

/// What the driver has to do next.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Output {
    /// Write what [`Connection::slices`] holds, and say how much left. If the transport takes
    /// nothing, stop and go on when it is writable.
    Transmit,
    /// Shut down our direction of the transport.
    ShutdownWrite,
    /// Let go of the transport, then call [`Connection::disconnected`].
    Disconnect,
    /// Tell the application.
    Event(Event),
    /// Nothing for now. Call [`Connection::handle_timeout`] at this time, if there is one.
    Timeout(Option<Instant>),
}

/// What the application hears.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// As a server: a valid request. Answer with [`Connection::accept`] or
    /// [`Connection::refuse`].
    Request(Request, Version),
    /// The opening handshake is complete; as a client, with the chosen subprotocol.
    Opened(Option<String>),
    /// A message.
    Message(Message),
    /// No further messages will come.
    EndOfMessages,
    /// The peer's Close was read, early; the account follows when the transport is over.
    Closing(Close),
    /// The account. Exactly once, last.
    Ended(Box<Ending>),
}

/// How the peer's direction of the transport ended, as the driver saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerEnd {
    /// A FIN, after all its bytes.
    Fin,
    /// An RST.
    Reset,
    /// The operating system gave up (ETIMEDOUT, EHOSTUNREACH).
    Unreachable,
}

impl Connection {
    fn new(now: Instant, config: Arc<Config>, opening: Opening, seed: Option<Box<Seed>>) -> Self {
        let mut timers = Timers::default();
        timers.set(Timer::Handshake, now + config.handshake_timeout);
        Connection {
            started: now,
            heard: None,
            version: Version::Rfc6455,
            opening: Some(Box::new(opening)),
            reader: Reader::hybi(seed.is_none()),
            outgoing: Outgoing::default(),
            pong: None,
            machine: Machine::new(Speech::Codes),
            heartbeat: Heartbeat::Off,
            timers,
            progress: Progress::new(now),
            outputs: VecDeque::new(),
            pool: None,
            config,
            seed,
        }
    }

    /// The version that is spoken, once the handshake is complete.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// Bytes of output that have not left.
    #[must_use]
    pub fn queued(&self) -> u64 {
        self.outgoing.len()
    }

    /// Whether [`send`](Self::send) may still succeed.
    #[must_use]
    pub fn may_send(&self) -> bool {
        self.machine.may_send()
    }

    /// Whether received messages still reach the application. If not, whatever comes is read
    /// and dropped, so reading must not pause.
    #[must_use]
    pub fn delivers(&self) -> bool {
        self.machine.delivers()
    }

    /// Bytes of the frame under way that are still to come: how much a read may well ask for.
    #[must_use]
    pub fn to_come(&self) -> u64 {
        if self.machine.parses() { self.reader.to_come() } else { 0 }
    }

    /// The limits in force.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    // What happened.

    /// Bytes of the peer. They are unmasked in place.
    pub fn receive(&mut self, now: Instant, bytes: &mut [u8]) {
        self.read(now, bytes, None);
    }

    /// As [`receive`](Self::receive), but messages go behind those in `messages` instead of being
    /// outputs: they came before what the outputs tell of these bytes. Those that come with the
    /// end of the opening handshake are outputs all the same: take the outputs before the next.
    pub fn receive_into(
        &mut self,
        now: Instant,
        bytes: &mut [u8],
        messages: &mut VecDeque<Message>,
    ) {
        self.read(now, bytes, Some(messages));
    }

    fn read(&mut self, now: Instant, bytes: &mut [u8], inbox: Option<&mut VecDeque<Message>>) {
        self.heard = Some(now);
        self.heartbeat.heard(now, self.config.ping_interval, &mut self.timers);
        match self.opening {
            None => self.read_frames(now, bytes, inbox),
            Some(_) => self.read_opening(now, bytes),
        }
    }

    /// Where the payload that is to come may be read to instead of being
    /// [received](Self::receive), which saves a copy: the room of a large message under way. Empty
    /// if it may not. What it holds means nothing.
    pub fn payload_room(&mut self) -> &mut [u8] {
        if self.machine.parses() { self.reader.room() } else { &mut [] }
    }

    /// So many bytes of the peer were read to the [`payload_room`](Self::payload_room). A message
    /// that they complete goes behind those in `messages`.
    pub fn payload_received(&mut self, now: Instant, n: usize, messages: &mut VecDeque<Message>) {
        self.heard = Some(now);
        self.heartbeat.heard(now, self.config.ping_interval, &mut self.timers);
        self.read_payload(now, n, messages);
    }

    /// The peer's direction ended, after all its bytes were received.
    pub fn peer_ended(&mut self, now: Instant, how: PeerEnd) {
        let input = match how {
            PeerEnd::Fin => Input::Fin,
            PeerEnd::Reset => Input::Reset,
            PeerEnd::Unreachable => Input::Unreachable,
        };
        self.advance(now, input);
    }

    /// So many bytes of output have left.
    pub fn transmitted(&mut self, now: Instant, n: usize) {
        self.outgoing.advance(n);
        if self.outgoing.len() <= defaults::PONG_QUEUE as u64
            && let Some(payload) = self.pong.take()
        {
            self.control(Opcode::Pong, &payload);
        }
        let flushing = matches!(self.machine.state(), State::Flushing { .. });
        if flushing && n > 0 {
            self.start(Timer::Flush, now);
        }
        if self.outgoing.is_empty() {
            self.timers.stop(Timer::Write);
        } else if n > 0 && self.timers.is_set(Timer::Write) {
            self.start(Timer::Write, now);
        }
        if self.heartbeat.left(self.outgoing.ever_gone()) {
            self.start(Timer::Pong, now);
        }
        if flushing && self.outgoing.is_empty() {
            self.advance(now, Input::Flushed);
        }
    }

    /// The transport takes nothing for now. Its time to take something runs, once.
    pub fn blocked(&mut self, now: Instant) {
        if self.machine.may_send() && !self.timers.is_set(Timer::Write) {
            self.start(Timer::Write, now);
        }
    }

    /// From now on [`delivery`](Self::delivery) is called before each
    /// [`handle_timeout`](Self::handle_timeout): time-outs are counted from the last sign of
    /// progress, and no peer that still reads is given up.
    pub fn delivery_is_told(&mut self) {
        self.progress.is_told();
    }

    /// What the operating system knows of bytes that left.
    pub fn delivery(&mut self, now: Instant, delivery: Delivery) {
        self.progress.look(now, delivery);
    }

    /// Nothing can leave any more. Read on: how the peer ended is still to be heard.
    pub fn write_failed(&mut self, now: Instant) {
        self.advance(now, Input::WriteError);
    }

    /// The driver does not read for now, because the application is behind: an answer to our
    /// Ping may be waiting unread. Call before [`handle_timeout`](Self::handle_timeout).
    pub fn reading_paused(&mut self, now: Instant) {
        self.heartbeat.excuse(now, self.config.ping_interval, &mut self.timers);
    }

    /// The peer's bytes are no TLS, or cannot be read as TLS any more. From here on nothing can
    /// be sent, and nothing that still comes counts as said by the peer.
    pub fn tls_failed(&mut self, now: Instant) {
        if self.machine.opened() {
            let error = ProtocolError::UnreadableTls;
            self.advance(now, Input::Violation { error, said: None });
        } else {
            self.refuse(now, HandshakeError::Tls);
        }
        self.advance(now, Input::WriteError);
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(timer) = self.timers.expired(now) {
            match timer {
                Timer::Ping => {
                    let interval = self.config.ping_interval;
                    if self.heartbeat.ping_due(now, interval, &mut self.timers) {
                        self.control(Opcode::Ping, &[]);
                        self.heartbeat.leaving(self.outgoing.ever_queued());
                    }
                }
                Timer::Handshake => self.fail_opening(now, HandshakeError::TimedOut),
                Timer::Grace => self.advance(now, Input::Timer(timer)),
                timer => self.judge(now, timer),
            }
        }
    }

    /// A clock that watches over progress ran out, or stopped to look.
    fn judge(&mut self, now: Instant, timer: Timer) {
        let length = self.progress.patience(self.length(timer), self.config.drain_timeout);
        match (self.progress.judge(timer, length, now, &mut self.timers), timer) {
            (Verdict::GoesOn, _) => {}
            (Verdict::Silent, Timer::Pong | Timer::Write) => {
                self.advance(now, Input::Silent(timer));
            }
            _ => self.advance(now, Input::Timer(timer)),
        }
    }

    /// The transport is closed: `unacknowledged` is what the operating system says of bytes that
    /// left, `close_notify` what TLS says. The account follows.
    pub fn disconnected(
        &mut self,
        now: Instant,
        unacknowledged: Option<u64>,
        close_notify: Option<bool>,
    ) {
        let unsent = Unsent {
            messages: self.outgoing.messages(),
            bytes: self.outgoing.len(),
            unacknowledged,
        };
        let mut ending = self.machine.ending(now - self.started, unsent, close_notify);
        ending.round_trip = self.progress.round_trip();
        ending.timeline.heard = self.heard.map(|at| at - self.started);
        self.outputs.push_back(Output::Event(Event::Ended(Box::new(ending))));
    }

    // What the application wants.

    /// Ends the connection from our side. The first call counts; later ones, and those after
    /// the peer began, change nothing.
    pub fn close(&mut self, now: Instant, close: Close, cause: Cause) {
        self.advance(now, Input::Close(Wish { cause, close }));
    }

    /// Nobody drives the connection any more: what has not left by now will not, what has not
    /// come will not be read. Leads to the account at once.
    pub fn abandon(&mut self, now: Instant) {
        for timer in [Timer::Flush, Timer::Close, Timer::Linger] {
            self.advance(now, Input::Timer(timer));
        }
    }

    /// The application has read to the end of the messages, or is gone: our answer may go out.
    pub fn saw_end(&mut self, now: Instant) {
        self.advance(now, Input::SawEnd);
    }

    // What to do.

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Output {
        if let Some(output) = self.pop_output() {
            return output;
        }
        if self.outgoing.is_empty() {
            Output::Timeout(self.timers.next())
        } else {
            Output::Transmit
        }
    }

    /// The next thing to do that is neither writing nor waiting.
    pub fn pop_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Whether the next output is [`Output::Transmit`].
    #[must_use]
    pub fn wants_transmit(&self) -> bool {
        self.outputs.is_empty() && !self.outgoing.is_empty()
    }

    /// Whether anything waits to leave, whatever has to be done before.
    #[must_use]
    pub fn has_output(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// Whether [`Output::ShutdownWrite`] follows as soon as what waits has left: both may leave in
    /// one segment.
    #[must_use]
    pub fn fin_follows(&self) -> bool {
        self.machine.fin_follows()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    #[must_use]
    pub fn timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// What a write may take, in order; how many slices were filled.
    pub fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        self.outgoing.slices(slices)
    }

    /// The same, if it lies in one piece, as small messages do.
    #[must_use]
    pub fn in_one_piece(&self) -> Option<&[u8]> {
        self.outgoing.in_one_piece()
    }

    /// Takes spare buffers where it has none of its own: call it before there is work to do.
    pub fn borrow_buffers(&mut self, spare: &mut Spare) {
        spare.lend_pool(&mut self.pool);
        spare.lend(&mut self.outputs);
        self.outgoing.borrow(&mut spare.queue);
    }

    /// Leaves the buffers that hold nothing to the next: call it when the work is done.
    pub fn give_back_buffers(&mut self, spare: &mut Spare) {
        spare.keep_pool(&mut self.pool);
        spare.keep(&mut self.outputs);
        self.outgoing.give_back(&mut spare.queue);
    }

    /// For tests that walk all states: everything that can make a difference from now on.
    #[doc(hidden)]
    pub fn hash_state(&self, hasher: &mut impl Hasher) {
        // By name, so that no new field is forgotten. The limits never change, and where a buffer
        // comes from makes no difference.
        let Connection {
            config: _,
            started,
            // Told, and nothing depends on it.
            heard: _,
            version,
            opening,
            reader,
            outgoing,
            pong,
            machine,
            heartbeat,
            timers,
            progress,
            outputs,
            pool: _,
            seed,
        } = self;
        (started, version, opening, reader, outgoing, pong, machine).hash(hasher);
        (heartbeat, timers, progress, outputs.len(), seed).hash(hasher);
    }

    // The close machine.

    /// Gives the close machine an input and does what it says.
    fn advance(&mut self, now: Instant, input: Input) {
        let cut = match self.opening.as_deref() {
            None => self.reader.cut(),
            Some(opening) if opening.is_between_heads() => Cut::BetweenMessages,
            Some(_) => Cut::MidFrame,
        };
        let moment = Moment { at: now - self.started, cut };
        let machine = mem::replace(&mut self.machine, Machine::new(Speech::Mute));
        let (machine, actions) = machine.on(moment, input);
        self.machine = machine;
        for action in actions {
            self.act(now, action);
        }
        if !matches!(self.machine.state(), State::Connecting | State::Open) {
            self.heartbeat.stop(&mut self.timers);
            if !self.machine.may_send() {
                self.timers.stop(Timer::Write);
            }
            self.pong = None;
            // What never opened opens no more.
            self.opening = None;
        }
        let flushing = matches!(self.machine.state(), State::Flushing { .. });
        if flushing && self.outgoing.is_empty() {
            self.advance(now, Input::Flushed);
        }
    }

    fn act(&mut self, now: Instant, action: Action) {
        match action {
            Action::EndMessages => self.outputs.push_back(Output::Event(Event::EndOfMessages)),
            Action::TellClosing(close) => {
                self.outputs.push_back(Output::Event(Event::Closing(close)));
            }
            Action::QueueClose(close) => self.queue_close(&close),
            Action::DiscardOutput => self.outgoing.discard(),
            Action::ShutdownWrite => self.outputs.push_back(Output::ShutdownWrite),
            Action::Disconnect => {
                self.timers.stop_all();
                self.outputs.push_back(Output::Disconnect);
            }
            Action::Start(Timer::Grace) => {
                self.timers.set(Timer::Grace, now + self.config.grace);
            }
            Action::Start(timer) => self.start(timer, now),
            Action::Stop(timer) => self.timers.stop(timer),
        }
    }

    /// Starts a clock that watches over progress.
    fn start(&mut self, timer: Timer, now: Instant) {
        let length = self.length(timer);
        self.progress.start(timer, length, now, &mut self.timers);
    }

    fn length(&self, timer: Timer) -> std::time::Duration {
        match timer {
            Timer::Handshake => self.config.handshake_timeout,
            Timer::Ping => self.config.ping_interval.unwrap_or_default(),
            Timer::Pong => self.config.pong_timeout,
            Timer::Grace => self.config.grace,
            Timer::Write => self.config.write_timeout,
            Timer::Flush if self.progress.told() => self.config.drain_timeout,
            Timer::Flush => self.config.flush_timeout,
            Timer::Close if self.machine.is_draining() => self.config.drain_close_timeout,
            Timer::Close => self.config.close_timeout,
            Timer::Linger => self.config.linger,
        }
    }
}
