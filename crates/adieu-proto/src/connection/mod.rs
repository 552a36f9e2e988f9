//! One WebSocket: routes bytes to the stages, and what the stages say to the driver.

mod clocks;
#[cfg(feature = "deflate")]
mod compressed;
mod events;
mod frames;
mod opening;
mod prepared;
mod rare;
mod status;

pub use events::{Command, Decision, Outbound, TransportEvent};
pub use prepared::Prepared;
pub use status::Status;

use std::collections::VecDeque;
use std::io::IoSlice;
use std::mem;
use std::sync::Arc;
use std::time::Instant;

use crate::close::{
    Action, Close, CloseRequest, Context, Input, Machine, PeerEnd, Role, State, TransportKind,
    Truncation, Unsent,
};
use crate::close_code::CloseCode;
use crate::config::Config;
use crate::error::{HandshakeError, ProtocolError, TransportError};
use crate::frame::Reader;
use crate::handshake::opening::Opening;
use crate::liveness::{Evidence, Heartbeat, Movement, Question};
use crate::outgoing::Outgoing;
use crate::output::{Event, Output};
use crate::scratch::{self, Scratch};
use crate::seed::Seed;
use crate::timer::{Timer, Timers};
#[cfg(feature = "deflate")]
use rare::HasDeflate;
use rare::Rare;

/// One WebSocket connection, without I/O.
///
/// Tell it what happened ([`received`](Self::received),
/// [`handle_transport`](Self::handle_transport), [`handle_timeout`](Self::handle_timeout)) and what
/// the application wants ([`send`](Self::send), [`command`](Self::command),
/// [`decide`](Self::decide)). After every call take the messages out of
/// the [`Scratch`] and drain [`poll_output`](Self::poll_output) until it gives
/// [`Output::Timeout`].
///
/// ```
/// use std::{io::IoSlice, sync::Arc, time::Instant};
/// use adieu_proto::*;
///
/// // Moves bytes from one to the other; gives the events of `from`.
/// fn relay(from: &mut Connection, to: &mut Connection, s: &mut Scratch) -> Vec<Event> {
///     let (now, mut events) = (Instant::now(), Vec::new());
///     loop {
///         match from.poll_output(s) {
///             Output::Event(event) => events.push(event),
///             Output::Transmit => {
///                 let mut slices = [IoSlice::new(&[]); 8];
///                 let filled = from.slices(&mut slices);
///                 let bytes: Vec<u8> =
///                     slices[..filled].iter().flat_map(|slice| slice.to_vec()).collect();
///                 let event = TransportEvent::Transmitted { bytes: bytes.len(), held: false };
///                 from.handle_transport(now, event, s);
///                 to.read_buffer(s)[..bytes.len()].copy_from_slice(&bytes);
///                 to.received(now, bytes.len(), s);
///             }
///             _ => return events,
///         }
///     }
/// }
///
/// let scratch = &mut Scratch::default();
/// let config = Arc::new(Config::default());
/// let request = ClientRequest::new("example.com", "/");
/// let mut client = Connection::client(Instant::now(), config.clone(), request, [7; 32], scratch)?;
/// let mut server = Connection::server(Instant::now(), config);
///
/// relay(&mut client, &mut server, scratch);
/// let events = relay(&mut server, &mut client, scratch);
/// assert!(matches!(events[..], [Event::Request(..)]));
/// let accept = Decision::Accept(Negotiated::new(Version::Rfc6455));
/// server.decide(Instant::now(), accept, scratch)?;
/// relay(&mut server, &mut client, scratch);
/// client.send(&Message::from("hello"), scratch)?;
/// relay(&mut client, &mut server, scratch);
/// let messages = scratch.messages.take().unwrap_or_default();
/// assert_eq!(messages[0].as_text(), Some("hello"));
/// # Ok::<(), UsageError>(())
/// ```
#[cfg_attr(feature = "testing", derive(Clone))]
pub struct Connection {
    config: Arc<Config>,
    started: Instant,
    /// When bytes of the peer came last.
    last_received: Option<Instant>,
    /// Until the opening handshake has succeeded or failed.
    opening: Option<Box<Opening>>,
    reader: Reader,
    outgoing: Outgoing,
    machine: Machine,
    heartbeat: Heartbeat,
    timers: Timers,
    movement: Movement,
    /// What the peer has been asked and has not answered.
    question: Option<Box<Question>>,
    /// What few connections have.
    rare: Option<Box<Rare>>,
    outputs: VecDeque<Output>,
    /// Masks of a client (§5.3). A server has none.
    seed: Option<Box<Seed>>,
}

impl std::fmt::Debug for Connection {
    /// Where it stands; the bytes that it holds do not belong in a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut debug = f.debug_struct("Connection");
        debug.field("version", &self.machine.version()).field("state", &self.machine.state());
        debug.field("queued", &self.outgoing.unsent()).finish_non_exhaustive()
    }
}

impl Connection {
    fn new(now: Instant, config: Arc<Config>, opening: Opening, seed: Option<Box<Seed>>) -> Self {
        let role = if seed.is_some() { Role::Client } else { Role::Server };
        let mut timers = Timers::default();
        let handshake = config.length(Timer::Handshake, false, false);
        timers.set(Timer::Handshake, now.checked_add(handshake));
        Connection {
            started: now,
            last_received: None,
            opening: Some(Box::new(opening)),
            reader: Reader::hybi(role == Role::Server),
            outgoing: Outgoing::new(role == Role::Client),
            machine: Machine::new(role),
            heartbeat: Heartbeat::Off,
            timers,
            movement: Movement::new(now),
            question: None,
            rare: None,
            outputs: VecDeque::new(),
            config,
            seed,
        }
    }

    // What happened.

    /// Where bytes of the peer are to be read to: the buffer of a large message under way, or the
    /// scratch's. What it holds means nothing. Read as much as you like of it, then say how much
    /// with [`received`](Self::received), before any other call.
    #[inline]
    pub fn read_buffer<'a>(&'a mut self, scratch: &'a mut Scratch) -> &'a mut [u8] {
        let parses = self.machine.parses();
        let to_come = if parses { self.reader.to_come() } else { 0 };
        if to_come >= scratch::READ as u64 && self.reader.room().len() >= scratch::READ {
            return self.reader.room();
        }
        scratch.read_buffer(to_come)
    }

    /// So many bytes of the peer were read to the [`read_buffer`](Self::read_buffer). Messages that
    /// they complete are in [`Scratch::messages`] after this.
    pub fn received(&mut self, now: Instant, n: usize, scratch: &mut Scratch) {
        self.last_received = Some(now);
        self.is_heard(now);
        let to_come = if self.machine.parses() { self.reader.to_come() } else { 0 };
        if to_come >= scratch::READ as u64 && self.reader.room().len() >= scratch::READ {
            return self.read_payload(now, n, scratch);
        }
        let mut buffer = mem::take(&mut scratch.receive);
        self.read(now, &mut buffer[..n], scratch);
        scratch.receive = buffer;
    }

    fn read(&mut self, now: Instant, bytes: &mut [u8], scratch: &mut Scratch) {
        match self.opening {
            None => self.read_frames(now, bytes, scratch),
            Some(_) => self.read_opening(now, bytes, scratch),
        }
    }

    /// Something happened at the transport.
    #[inline]
    pub fn handle_transport(&mut self, now: Instant, event: TransportEvent, scratch: &mut Scratch) {
        match event {
            TransportEvent::Transmitted { bytes, held } => {
                self.transmitted(now, bytes, held, scratch);
            }
            event => self.handle_rare(now, event, scratch),
        }
    }

    #[inline(never)]
    fn handle_rare(&mut self, now: Instant, event: TransportEvent, scratch: &mut Scratch) {
        match event {
            TransportEvent::GivesEvidence => self.movement.gives_evidence(),
            TransportEvent::Multiplexed => self.machine.is_multiplexed(),
            TransportEvent::Transmitted { bytes, held } => {
                self.transmitted(now, bytes, held, scratch);
            }
            TransportEvent::Flushed => {
                let flushed = self.outgoing.flushed(scratch);
                if !self.movement.has_evidence() {
                    self.moves_without_evidence(now, flushed);
                }
                self.all_taken_has_left(now, scratch);
            }
            TransportEvent::Blocked => self.blocked(now),
            TransportEvent::WriteFailed(error) => {
                self.explain(error);
                self.advance(now, Input::WriteFailed, scratch);
            }
            TransportEvent::ReadingPaused => self.is_excused(now),
            TransportEvent::CloseNotify => {
                self.catch_up(now, scratch);
                self.advance(now, Input::CloseNotify, scratch);
            }
            TransportEvent::TlsFailed(error) => self.tls_failed(now, error, scratch),
            TransportEvent::PeerEnded(how, error) => self.peer_ended(now, how, error, scratch),
            TransportEvent::Http2(http2) => self.machine.was_http2(http2),
            TransportEvent::Released { kind, unacknowledged, close_notify } => {
                self.released(now, kind, unacknowledged, close_notify);
            }
        }
    }

    fn peer_ended(
        &mut self,
        now: Instant,
        how: PeerEnd,
        error: Option<TransportError>,
        scratch: &mut Scratch,
    ) {
        self.catch_up(now, scratch);
        self.explain(error);
        self.advance(now, Input::PeerEnded(how), scratch);
    }

    fn explain(&mut self, error: Option<TransportError>) {
        if let Some(error) = error {
            self.machine.explain(error);
        }
    }

    #[cfg(not(feature = "deflate"))]
    #[allow(clippy::unused_self, reason = "without compression nothing of the peer ever waits")]
    fn catch_up(&self, _: Instant, _: &mut Scratch) {}

    fn tls_failed(&mut self, now: Instant, error: TransportError, scratch: &mut Scratch) {
        self.catch_up(now, scratch);
        self.machine.explain(error.clone());
        if self.machine.opened() {
            let error = ProtocolError::UnreadableTls;
            self.advance(now, Input::Violation { error, said: None }, scratch);
        } else {
            self.refuse(now, HandshakeError::Tls(error), scratch);
        }
        self.advance(now, Input::WriteFailed, scratch);
    }

    fn released(
        &mut self,
        now: Instant,
        kind: TransportKind,
        unacknowledged: Option<u64>,
        close_notify: Option<bool>,
    ) {
        #[cfg(feature = "deflate")]
        self.give_up_compression(&mut Scratch::default());
        let (messages, bytes) = (self.outgoing.messages(), self.outgoing.unsent());
        let unsent = Unsent { messages, bytes, unacknowledged };
        let mut ending = self.machine.ending(kind, now - self.started, unsent, close_notify);
        ending.round_trip = self.movement.round_trip();
        ending.timeline.last_received = self.last_received.map(|at| at - self.started);
        #[cfg(feature = "deflate")]
        {
            ending.compressed = self.rare.deflate().map(|deflate| deflate.counts);
        }
        ending.switched_off = self.config.switched_off(!self.machine.version().is_hixie());
        self.outputs.push_back(Output::Event(Event::Ended(Box::new(ending))));
    }

    /// Time has passed. `evidence` is what the transport knows now, where it gives any.
    pub fn handle_timeout(
        &mut self,
        now: Instant,
        evidence: Option<Evidence>,
        scratch: &mut Scratch,
    ) {
        if let Some(evidence) = evidence {
            self.movement.look(now, evidence);
        }
        #[cfg(feature = "deflate")]
        if let Some(deflate) = self.rare.deflate_mut() {
            deflate.passes(now);
        }
        while let Some(timer) = self.timers.expired(now) {
            self.expired(now, timer, scratch);
        }
    }

    // What our side wants.

    /// Our side wants something of the ending.
    pub fn command(&mut self, now: Instant, command: Command, scratch: &mut Scratch) {
        let input = match command {
            Command::Close(request) if request.close.may_be_sent() => Input::Close(request),
            // The application met an unexpected condition: itself.
            Command::Close(request) => {
                let close = Close::with(CloseCode::INTERNAL_ERROR);
                Input::Close(CloseRequest { close, ..request })
            }
            Command::EndSeen => Input::EndSeen,
            Command::Drain => Input::Draining,
            Command::LetGo(why) => Input::LetGo(why),
        };
        self.advance(now, input, scratch);
    }

    // What to do.

    /// The next thing to do.
    #[inline]
    pub fn poll_output(&mut self, scratch: &mut Scratch) -> Output {
        if let Some(output) = self.outputs.pop_front() {
            return output;
        }
        scratch.keep_outputs(&mut self.outputs);
        if self.outgoing.is_empty() {
            Output::Timeout(self.timers.next())
        } else {
            Output::Transmit
        }
    }

    /// What a write may take, in order; how many slices were filled.
    #[inline]
    pub fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        self.outgoing.slices(slices)
    }

    /// Where it stands.
    #[must_use]
    #[inline]
    pub fn status(&self) -> Status<'_> {
        Status::of(self)
    }

    fn push(&mut self, output: Output, scratch: &mut Scratch) {
        if self.outputs.capacity() == 0 {
            mem::swap(&mut self.outputs, &mut scratch.outputs);
        }
        self.outputs.push_back(output);
    }

    // The close machine.

    /// Gives the close machine an input and does what it says.
    fn advance(&mut self, now: Instant, input: Input, scratch: &mut Scratch) {
        if self.opening.is_some() {
            self.end_refusal(now, &input, scratch);
        }
        let truncation = match self.opening.as_deref() {
            None => self.reader.truncation(),
            Some(opening) if opening.is_between_heads() => Truncation::BetweenMessages,
            Some(_) => Truncation::MidFrame,
        };
        let context = Context { at: now - self.started, truncation };
        let delivered = self.machine.delivers();
        let machine = mem::replace(&mut self.machine, Machine::new(Role::Server));
        let (machine, actions) = machine.on(context, input);
        self.machine = machine;
        // The application hears it at the step after which no message is delivered.
        if delivered && !self.machine.delivers() {
            self.push(Output::Event(Event::EndOfMessages), scratch);
            self.reader.discard();
        }
        for action in actions {
            self.act(now, action, scratch);
        }
        if !matches!(self.machine.state(), State::Connecting | State::Open) {
            self.heartbeat.stop(&mut self.timers);
            if !self.machine.may_send() {
                self.timers.stop(Timer::Write);
            }
            // What never opened opens no more.
            self.opening = None;
        }
        self.tell_when_flushed(now, scratch);
    }

    fn tell_when_flushed(&mut self, now: Instant, scratch: &mut Scratch) {
        let flushing = matches!(self.machine.state(), State::Flushing { .. });
        if flushing && self.outgoing.unsent() == 0 {
            self.advance(now, Input::Flushed, scratch);
        }
    }

    fn act(&mut self, now: Instant, action: Action, scratch: &mut Scratch) {
        match action {
            Action::TellClose(close) => {
                self.push(Output::Event(Event::CloseReceived(close)), scratch);
            }
            Action::QueueClose(close) => self.queue_close(&close, scratch),
            Action::DiscardOutput => {
                #[cfg(feature = "deflate")]
                self.give_up_compression(scratch);
                self.outgoing.discard(scratch);
            }
            Action::Finish => self.push(Output::Finish, scratch),
            Action::Disconnect => {
                self.timers.stop_all();
                self.push(Output::Disconnect, scratch);
            }
            Action::Start(timer) => self.start(timer, now),
            Action::Stop(timer) => self.timers.stop(timer),
        }
    }

    /// For tests that walk all states: everything that can make a difference from now on.
    #[cfg(feature = "testing")]
    #[doc(hidden)]
    pub fn hash_state(&self, hasher: &mut impl std::hash::Hasher) {
        use std::hash::Hash;
        // By name, so that no new field is forgotten. The limits never change.
        let Connection {
            config: _,
            started,
            // Told, and nothing depends on it.
            last_received: _,
            opening,
            reader,
            outgoing,
            machine,
            heartbeat,
            timers,
            movement,
            question,
            rare,
            outputs,
            seed,
        } = self;
        (started, opening, reader, outgoing, machine).hash(hasher);
        (heartbeat, timers, movement, question, rare, outputs.len(), seed).hash(hasher);
    }
}
