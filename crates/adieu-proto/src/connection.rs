//! One WebSocket: routes bytes to the stages, and what the stages say to the driver.

use std::collections::VecDeque;
use std::hash::{Hash, Hasher};
use std::io::IoSlice;
use std::mem;
use std::time::Instant;

use bytes::Bytes;

use crate::close::{Action, Input, Machine, Moment, Speech, State, Wish};
use crate::code::Close;
use crate::config::{Config, defaults};
use crate::ending::{Cause, Cut, Ending, Unsent};
use crate::error::{HandshakeError, ProtocolError, UsageError};
use crate::frame::{Opcode, Reader, Received, hixie, hybi};
use crate::handshake::opening::{Gather, Gathered, Opening, take_nonce};
use crate::handshake::{self, Answer, ClientRequest, Limits, Request, Version};
use crate::heartbeat::Heartbeat;
use crate::message::Message;
use crate::outgoing::Outgoing;
use crate::seed::Seed;
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
    config: std::sync::Arc<Config>,
    started: Instant,
    version: Version,
    opening: Opening,
    reader: Reader,
    outgoing: Outgoing,
    /// A Pong that waits for room: only the newest is kept.
    pong: Option<Bytes>,
    machine: Machine,
    heartbeat: Heartbeat,
    timers: Timers,
    outputs: VecDeque<Output>,
    /// Masks of a client (§5.3). A server has none.
    seed: Option<Seed>,
}

impl std::fmt::Debug for Connection {
    /// Where it stands; the bytes that it holds do not belong in a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut debug = f.debug_struct("Connection");
        debug.field("version", &self.version).field("state", &self.machine.state());
        debug.field("queued", &self.queued()).finish_non_exhaustive()
    }
}

/// Room for outputs that is kept when they are drained; a burst's room is given back.
const KEEP_OUTPUTS: usize = 16;

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
    /// As a server: the request is still to come.
    #[must_use]
    pub fn server(now: Instant, config: std::sync::Arc<Config>) -> Self {
        let opening = Opening::Request(Gather::default());
        Self::new(now, config, opening, None)
    }

    /// As a client: the request goes out. `seed` has to be random and secret (§10.3): the
    /// handshake's key and all masks come from it.
    ///
    /// # Errors
    /// [`UsageError::Request`] if the request cannot be sent.
    pub fn client(
        now: Instant,
        config: std::sync::Arc<Config>,
        request: ClientRequest,
        seed: [u8; 32],
    ) -> Result<Self, UsageError> {
        request.check()?;
        let mut seed = Seed::new(seed);
        let nonce = seed.nonce();
        let head = request.to_bytes(nonce);
        let opening =
            Opening::Answer { gather: Gather::default(), request: Box::new(request), nonce };
        let mut connection = Self::new(now, config, opening, Some(seed));
        connection.outgoing.append(|out| out.extend_from_slice(&head));
        Ok(connection)
    }

    /// As a server inside an HTTP library that has sent the 101 for `request`. For hixie-76 the
    /// nonce is still to be received, wherever the library found it.
    #[must_use]
    pub fn upgraded(
        now: Instant,
        config: std::sync::Arc<Config>,
        request: Request,
        version: Version,
    ) -> Self {
        let opening = Opening::Nonce { request, nonce: Vec::new() };
        let mut connection = Self::new(now, config, opening, None);
        connection.speak(version);
        if version != Version::Hixie76 {
            connection.opened(now, None);
        }
        connection
    }

    fn new(
        now: Instant,
        config: std::sync::Arc<Config>,
        opening: Opening,
        seed: Option<Seed>,
    ) -> Self {
        let mut timers = Timers::default();
        timers.set(Timer::Handshake, now + config.handshake_timeout);
        Connection {
            started: now,
            version: Version::Rfc6455,
            opening,
            reader: Reader::hybi(seed.is_none()),
            outgoing: Outgoing::default(),
            pong: None,
            machine: Machine::new(Speech::Codes),
            heartbeat: Heartbeat::Off,
            timers,
            outputs: VecDeque::new(),
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

    /// The limits in force.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    // What happened.

    /// Bytes of the peer. They are unmasked in place.
    pub fn receive(&mut self, now: Instant, bytes: &mut [u8]) {
        let mut input = bytes;
        self.heartbeat.heard(now, self.config.ping_interval, &mut self.timers);
        match &mut self.opening {
            Opening::Over => self.read_frames(now, input),
            Opening::Request(_) => self.read_request(now, input),
            Opening::Answer { .. } => self.read_answer(now, input),
            // The driver decides before it reads on; more than a head's worth is no client.
            Opening::Decision { rest, .. } if rest.len() < self.config.max_head => {
                rest.extend_from_slice(input);
            }
            Opening::Decision { .. } => self.refuse(now, HandshakeError::UnexpectedBytes),
            Opening::Nonce { request, nonce } => {
                let Some(nonce) = take_nonce(nonce, &mut input) else { return };
                match handshake::challenge(request, nonce) {
                    Ok(answer) => {
                        self.outgoing.append(|out| out.extend_from_slice(&answer));
                        self.opened(now, None);
                        self.read_frames(now, input);
                    }
                    Err(error) => self.fail_opening(now, error),
                }
            }
        }
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
            self.timers.set(Timer::Flush, now + self.config.flush_timeout);
        }
        let gone = self.outgoing.ever_gone();
        self.heartbeat.left(now, gone, self.config.pong_timeout, &mut self.timers);
        if flushing && self.outgoing.is_empty() {
            self.advance(now, Input::Flushed);
        }
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
                timer => self.advance(now, Input::Timer(timer)),
            }
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
        let ending = self.machine.ending(now - self.started, unsent, close_notify);
        self.outputs.push_back(Output::Event(Event::Ended(Box::new(ending))));
    }

    // What the application wants.

    /// Accepts the request that [`Event::Request`] told.
    ///
    /// # Errors
    /// [`UsageError::Subprotocol`] for one that was not offered; [`UsageError::NotOpen`] if no
    /// request waits.
    pub fn accept(
        &mut self,
        now: Instant,
        subprotocol: Option<&str>,
        tls: bool,
    ) -> Result<(), UsageError> {
        let Opening::Decision { request, version, .. } = &self.opening else {
            return Err(UsageError::NotOpen);
        };
        if let Some(name) = subprotocol.filter(|name| request.subprotocols().all(|s| s != *name)) {
            return Err(UsageError::Subprotocol(name.to_owned()));
        }
        let answer = handshake::answer(request, *version, subprotocol, tls).to_bytes();
        let Opening::Decision { request, version, mut rest } =
            mem::replace(&mut self.opening, Opening::Over)
        else {
            return Err(UsageError::NotOpen);
        };
        self.outgoing.append(|out| out.extend_from_slice(&answer));
        self.speak(version);
        if version == Version::Hixie76 {
            // The head goes out before the nonce is there: a proxy may hold it back until then.
            self.opening = Opening::Nonce { request, nonce: Vec::new() };
        } else {
            self.opened(now, None);
        }
        if !rest.is_empty() {
            self.receive(now, &mut rest);
        }
        Ok(())
    }

    /// Refuses the opening handshake with an HTTP answer.
    pub fn refuse(&mut self, now: Instant, error: HandshakeError) {
        if let Some(answer) = Answer::refusal(&error, self.config.versions) {
            self.refuse_with(now, error, &answer);
        } else {
            self.fail_opening(now, error);
        }
    }

    /// Refuses with an answer of the application's own; `error` goes into the account.
    pub fn refuse_with(&mut self, now: Instant, error: HandshakeError, answer: &Answer) {
        if self.machine.state() == State::Connecting {
            // A hixie-76 client that has its 101 would take an answer for the sixteen bytes.
            let answered = matches!(self.opening, Opening::Nonce { .. });
            self.opening = Opening::Over;
            if !answered {
                let bytes = answer.to_bytes();
                self.outgoing.append(|out| out.extend_from_slice(&bytes));
            }
            self.advance(now, Input::Refused(error));
        }
    }

    /// Queues a message.
    ///
    /// # Errors
    /// [`UsageError::Closed`] or [`UsageError::NotOpen`] if nothing can be sent;
    /// [`UsageError::NoBinary`] for a hixie version.
    pub fn send(&mut self, message: impl Into<Message>) -> Result<(), UsageError> {
        if !self.machine.may_send() {
            let connecting = self.machine.state() == State::Connecting;
            return Err(if connecting { UsageError::NotOpen } else { UsageError::Closed });
        }
        let message = message.into();
        if self.version.is_hixie() {
            let Message::Text(text) = &message else {
                return Err(UsageError::NoBinary(self.version));
            };
            self.outgoing.append(|out| hixie::write_text(out, text.as_bytes()));
        } else {
            self.send_hybi(message);
        }
        self.outgoing.message_ends();
        Ok(())
    }

    fn send_hybi(&mut self, message: Message) {
        let opcode = match &message {
            Message::Text(_) => Opcode::Text,
            Message::Binary(_) => Opcode::Binary,
        };
        match &mut self.seed {
            None => {
                let len = message.len();
                self.outgoing.append(|out| hybi::write_header(out, true, opcode, len, None));
                self.outgoing.payload(message.into_bytes());
            }
            Some(seed) => {
                let mask = Some(seed.mask());
                let payload = message.as_bytes();
                self.outgoing.append(|out| hybi::write_frame(out, opcode, payload, mask));
            }
        }
    }

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
        if let Some(output) = self.outputs.pop_front() {
            return output;
        }
        if self.outputs.capacity() > KEEP_OUTPUTS {
            self.outputs = VecDeque::new();
        }
        if self.outgoing.is_empty() {
            Output::Timeout(self.timers.next())
        } else {
            Output::Transmit
        }
    }

    /// Whether the next output is [`Output::Transmit`].
    #[must_use]
    pub fn wants_transmit(&self) -> bool {
        self.outputs.is_empty() && !self.outgoing.is_empty()
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

    /// For tests that walk all states: everything that can make a difference from now on.
    #[doc(hidden)]
    pub fn hash_state(&self, hasher: &mut impl Hasher) {
        // By name, so that no new field is forgotten. The limits never change.
        let Connection {
            config: _,
            started,
            version,
            opening,
            reader,
            outgoing,
            pong,
            machine,
            heartbeat,
            timers,
            outputs,
            seed,
        } = self;
        (started, version, opening, reader, outgoing, pong, machine).hash(hasher);
        (heartbeat, timers, outputs.len(), seed).hash(hasher);
    }

    // The stages.

    fn limits(&self) -> Limits {
        Limits { bytes: self.config.max_head, fields: defaults::MAX_FIELDS }
    }

    fn read_request(&mut self, now: Instant, input: &[u8]) {
        let limits = self.limits();
        let Opening::Request(gather) = &mut self.opening else { return };
        let Gathered { head, rest } = match gather.push(input, limits) {
            Ok(None) => return,
            Ok(Some(whole)) => whole,
            Err(error) => return self.refuse(now, error),
        };
        let request = Request::parse(&head, limits)
            .and_then(|request| Ok((handshake::detect(&request, self.config.versions)?, request)));
        match request {
            Ok((version, request)) => {
                let event = Event::Request(request.clone(), version);
                self.opening = Opening::Decision { request, version, rest };
                self.outputs.push_back(Output::Event(event));
            }
            Err(error) => self.refuse(now, error),
        }
    }

    fn read_answer(&mut self, now: Instant, input: &[u8]) {
        let limits = self.limits();
        let Opening::Answer { gather, request, nonce } = &mut self.opening else { return };
        let answer = match gather.push(input, limits) {
            Ok(None) => return,
            Ok(Some(Gathered { head, rest })) => {
                request.check_answer(&head, *nonce, limits.fields).map(|chosen| (chosen, rest))
            }
            Err(error) => Err(error),
        };
        match answer {
            Ok((subprotocol, mut rest)) => {
                self.opened(now, subprotocol);
                self.read_frames(now, &mut rest);
            }
            Err(error) => self.fail_opening(now, error),
        }
    }

    /// Ends the opening handshake: as a server with an answer, while there is one to give.
    fn fail_opening(&mut self, now: Instant, error: HandshakeError) {
        let answers = match &self.opening {
            // Nothing was asked, so nothing is answered (RFC 9112 §9.5: close idle connections).
            Opening::Request(gather) => !gather.is_empty(),
            Opening::Decision { .. } => true,
            // The head of the 101 has gone out, or we are the client.
            _ => false,
        };
        match Answer::refusal(&error, self.config.versions) {
            Some(answer) if answers => self.refuse_with(now, error, &answer),
            _ => {
                self.opening = Opening::Over;
                self.advance(now, Input::Refused(error));
            }
        }
    }

    fn speak(&mut self, version: Version) {
        self.version = version;
        self.machine.speaks(match version {
            Version::Hixie75 => Speech::Mute,
            Version::Hixie76 => Speech::Bare,
            _ => Speech::Codes,
        });
        if version.is_hixie() {
            self.reader = Reader::hixie();
        }
    }

    fn opened(&mut self, now: Instant, subprotocol: Option<String>) {
        self.opening = Opening::Over;
        // The hixie versions have no Ping.
        let interval = self.config.ping_interval.filter(|_| !self.version.is_hixie());
        self.heartbeat = Heartbeat::start(interval, now, &mut self.timers);
        self.outputs.push_back(Output::Event(Event::Opened(subprotocol)));
        self.advance(now, Input::Opened);
    }

    fn read_frames(&mut self, now: Instant, input: &mut [u8]) {
        let mut input = input;
        while self.machine.parses() {
            match self.reader.next(&mut input, self.config.max_message) {
                Ok(Some(received)) => self.received(now, received),
                Ok(None) => return,
                Err(violation) => {
                    let (error, said) = (violation.error, violation.said);
                    self.advance(now, Input::Violation { error, said });
                }
            }
        }
    }

    fn received(&mut self, now: Instant, received: Received) {
        match received {
            Received::Message(message) if self.machine.delivers() => {
                self.outputs.push_back(Output::Event(Event::Message(message)));
            }
            Received::Message(_) | Received::Pong => {}
            Received::Ping(payload) if self.outgoing.len() <= defaults::PONG_QUEUE as u64 => {
                self.control(Opcode::Pong, &payload);
            }
            Received::Ping(payload) => self.pong = Some(payload),
            // hixie-75 has no goodbye: its FF 00 is an empty frame, skipped like any other.
            Received::Close(_) if self.version == Version::Hixie75 => {}
            Received::Close(close) => self.advance(now, Input::PeerClose(close)),
        }
    }

    /// Queues a control frame, unless our Close is in the queue: nothing follows it (§5.5.1).
    fn control(&mut self, opcode: Opcode, payload: &[u8]) {
        if self.machine.may_send() {
            self.frame(opcode, payload);
        }
    }

    fn frame(&mut self, opcode: Opcode, payload: &[u8]) {
        let mask = self.seed.as_mut().map(Seed::mask);
        self.outgoing.append(|out| hybi::write_frame(out, opcode, payload, mask));
    }

    fn queue_close(&mut self, close: &Close) {
        if self.version.is_hixie() {
            return self.outgoing.append(|out| out.extend_from_slice(&hixie::CLOSE));
        }
        let mut body = Vec::with_capacity(2 + close.reason().len());
        if let Some(code) = close.code() {
            body.extend_from_slice(&code.get().to_be_bytes());
            body.extend_from_slice(close.reason().as_bytes());
        }
        self.frame(Opcode::Close, &body);
    }

    /// Gives the close machine an input and does what it says.
    fn advance(&mut self, now: Instant, input: Input) {
        let cut = match self.opening {
            Opening::Over => self.reader.cut(),
            Opening::Request(ref gather) | Opening::Answer { ref gather, .. }
                if gather.is_empty() =>
            {
                Cut::BetweenMessages
            }
            Opening::Decision { ref rest, .. } if rest.is_empty() => Cut::BetweenMessages,
            _ => Cut::MidFrame,
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
            self.pong = None;
            // What never opened opens no more.
            self.opening = Opening::Over;
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
            Action::Start(timer) => self.timers.set(timer, now + self.length(timer)),
            Action::Stop(timer) => self.timers.stop(timer),
        }
    }

    fn length(&self, timer: Timer) -> std::time::Duration {
        match timer {
            Timer::Handshake => self.config.handshake_timeout,
            Timer::Ping => self.config.ping_interval.unwrap_or_default(),
            Timer::Pong => self.config.pong_timeout,
            Timer::Grace => self.config.grace,
            Timer::Flush => self.config.flush_timeout,
            Timer::Close => self.config.close_timeout,
            Timer::Linger => self.config.linger,
        }
    }
}
