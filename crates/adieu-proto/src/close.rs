//! The close machine (RFC 6455 §5.5.1, §7; hixie-76 §5.3): the one place that decides what still
//! goes out when a connection ends, and that writes the account of it.
//!
//! ```text
//!                 peer's Close, violation, FIN          ┌────────────┐
//!            ┌───────────────────────────────────────►  │  Yielding  │ the handler's last words
//!  Connecting│                                          └─────┬──────┘
//!      │     │                        handler saw the end,    │
//!      ▼     │                        or its grace ran out    ▼
//!  ┌───────────┐   our Close                            ┌────────────┐
//!  │   Open    ├───────────────────────────────────────►│  Flushing  │ output, then our Close
//!  └───────────┘                                        └──┬──────┬──┘
//!                        the peer's Close is still to come │      │ it is not awaited
//!                                            ┌─────────────▼─┐    │
//!                                            │ AwaitingClose │    │
//!                                            └─────────────┬─┘    │
//!                        it came, or its deadline ran out  ▼      ▼
//!                                                       ┌────────────┐
//!                                                       │ AwaitingFin│ our FIN is out
//!                                                       └─────┬──────┘
//!               the peer's FIN or RST, from any state         ▼
//!               (or nothing: our clock ran out)             Ended
//! ```

use std::time::Duration;

use crate::code::{Close, CloseCode};
use crate::ending::{Cause, Cut, End, Ending, Side, Timeline, Transport, Unsent};
use crate::error::{HandshakeError, ProtocolError};
use crate::facts::Facts;
use crate::timer::Timer;

/// What a version can say in a goodbye.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Speech {
    /// Code and reason (RFC 6455, hybi-07, hybi-08).
    Codes,
    /// `FF 00` and nothing else (hixie-76).
    Bare,
    /// No closing handshake at all (hixie-75).
    Mute,
}

/// Our side wants to end it: why, and with which words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// What the account will give as the cause, if it is the first.
    pub cause: Cause,
    /// What to tell the peer.
    pub close: Close,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// The opening handshake is complete.
    Opened,
    /// The opening handshake failed; the refusal, if there is one, is queued.
    Refused(HandshakeError),
    /// Our side wants to end it.
    Close(Wish),
    /// The application has read everything up to the end, or is gone.
    SawEnd,
    /// A Close frame of the peer.
    PeerClose(Close),
    /// The peer broke the protocol; `said` is what its Close said if that was the offence.
    Violation {
        /// What it did.
        error: ProtocolError,
        /// The offending Close, as said.
        said: Option<Close>,
    },
    /// The peer's FIN, after all its bytes.
    Fin,
    /// The peer's RST.
    Reset,
    /// The operating system gave up on the peer.
    Unreachable,
    /// All queued output has left.
    Flushed,
    /// Nothing can leave any more. Says nothing about why.
    WriteError,
    /// A clock ran out.
    Timer(Timer),
    /// A clock ran out, and the peer's kernel acknowledges nothing.
    Silent(Timer),
}

/// What to do about it, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// The application gets no more messages than it has.
    EndMessages,
    /// Tell the application early that the peer's Close was read.
    TellClosing(Close),
    /// Queue our Close behind all output. Nothing may be queued after it.
    QueueClose(Close),
    /// Drop the output: it cannot leave.
    DiscardOutput,
    /// Shut down our direction (all output has left).
    ShutdownWrite,
    /// Let go of the transport, then tell the ending.
    Disconnect,
    /// Start a clock.
    Start(Timer),
    /// Stop a clock.
    Stop(Timer),
}

/// When an input came: since accept, and where the peer's bytes stood.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// Time since accept.
    pub at: Duration,
    /// Where the peer's bytes stood.
    pub cut: Cut,
}

/// Where a connection is on its way to the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// The opening handshake is under way.
    Connecting,
    /// Both sides may send.
    Open,
    /// The peer has ended; the handler may still read what arrived and say its last words.
    Yielding,
    /// Output leaves, our Close last. The peer's Close is awaited after it, or not.
    Flushing {
        /// Whether our FIN waits for the peer's Close.
        await_close: bool,
    },
    /// Our Close has left, the peer's has not come.
    AwaitingClose,
    /// Our FIN has left (or nothing can leave); the peer's has not come.
    AwaitingFin,
    /// It is over and accounted for.
    Ended,
}

/// The state of the closing handshake and the account so far.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Machine {
    state: State,
    speech: Speech,
    opened: Option<Duration>,
    facts: Facts,
}

type Actions = Vec<Action>;

impl Machine {
    /// A connection whose opening handshake is under way.
    #[must_use]
    pub fn new(speech: Speech) -> Self {
        Machine { state: State::Connecting, speech, opened: None, facts: Facts::default() }
    }

    /// Where it is.
    #[must_use]
    pub fn state(&self) -> State {
        self.state
    }

    /// The version is known, and with it what can be said.
    pub fn speaks(&mut self, speech: Speech) {
        self.speech = speech;
    }

    /// Whether the opening handshake was completed.
    #[must_use]
    pub fn opened(&self) -> bool {
        self.opened.is_some()
    }

    /// Whether our server is stopping.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.facts.cause == Some(Cause::Drain)
    }

    /// Whether the application may still send.
    #[must_use]
    pub fn may_send(&self) -> bool {
        matches!(self.state, State::Open | State::Yielding)
    }

    /// Whether received messages still go to the application.
    #[must_use]
    pub fn delivers(&self) -> bool {
        // The write side broke first: what had arrived before is still delivered.
        self.state == State::Open
            || (self.state == State::AwaitingFin && self.facts.cause.is_none())
    }

    /// Whether frames are still read as frames: until the peer's last word or a violation.
    #[must_use]
    pub fn parses(&self) -> bool {
        // What follows a refused handshake is no frame.
        self.facts.cut.is_none() && self.opened() && self.state != State::Ended
    }

    /// Whether our FIN follows the output that leaves at once.
    #[must_use]
    pub fn fin_follows(&self) -> bool {
        let heard = self.facts.goodbye.received().is_some() || self.facts.end.is_some();
        matches!(self.state, State::Flushing { await_close } if !await_close || heard)
    }

    /// The account, complete once the state is [`State::Ended`].
    #[must_use]
    pub fn ending(&self, lasted: Duration, unsent: Unsent, close_notify: Option<bool>) -> Ending {
        let goodbye = self.facts.goodbye.clone();
        let left = self.facts.timeline.close_sent.is_some();
        Ending {
            cause: self.facts.cause.clone().unwrap_or(Cause::Dropped),
            goodbye: if left { goodbye } else { goodbye.unsaid() },
            transport: Transport {
                end: self.facts.end.unwrap_or(End::Reset),
                first: self.facts.first.unwrap_or(Side::Local),
                close_notify,
            },
            cut: self.facts.cut.unwrap_or(Cut::BetweenMessages),
            unsent,
            timeline: Timeline { opened: self.opened, ..self.facts.timeline },
            lasted,
            round_trip: None,
        }
    }

    /// The one transition function.
    #[must_use]
    pub fn on(self, moment: Moment, input: Input) -> (Self, Actions) {
        match self.state {
            State::Connecting => self.on_connecting(moment, input),
            State::Open => self.on_open(moment, input),
            State::Yielding => self.on_yielding(moment, &input),
            State::Flushing { .. } => self.on_flushing(moment, input),
            State::AwaitingClose => self.on_awaiting_close(moment, input),
            State::AwaitingFin => self.on_awaiting_fin(moment, input),
            State::Ended => (self.on_ended(&input), Vec::new()),
        }
    }

    fn on_connecting(mut self, moment: Moment, input: Input) -> (Self, Actions) {
        let error = match input {
            Input::Opened => {
                self.state = State::Open;
                self.opened = Some(moment.at);
                return (self, vec![Action::Stop(Timer::Handshake)]);
            }
            Input::Refused(error) => error,
            Input::Close(_) => HandshakeError::Abandoned,
            Input::Timer(Timer::Handshake) => HandshakeError::TimedOut,
            Input::Fin | Input::Reset | Input::Unreachable => {
                return self.peer_ended(moment, &input);
            }
            Input::WriteError => return self.write_broke(),
            _ => return (self, Vec::new()),
        };
        self.facts.cause = Some(Cause::Handshake(error));
        let (machine, mut actions) = self.flush(false, None);
        actions.push(Action::Stop(Timer::Handshake));
        (machine, actions)
    }

    fn on_open(mut self, moment: Moment, input: Input) -> (Self, Actions) {
        match input {
            Input::Close(wish) => self.close(wish),
            // §7.1.7: the peer is silent, so nothing is awaited from it.
            Input::Timer(Timer::Pong) => {
                let close = Close::with(CloseCode::INTERNAL_ERROR);
                self.close(Wish { cause: Cause::Timeout(Timer::Pong), close })
            }
            // Reachable, but not reading: our Close may leave if it reads on at last.
            Input::Timer(Timer::Write) => {
                let close = Close::with(CloseCode::POLICY_VIOLATION);
                self.close(Wish { cause: Cause::Timeout(Timer::Write), close })
            }
            Input::Silent(timer) => {
                let (machine, mut actions) = self.unreachable(moment, timer);
                actions.insert(0, Action::EndMessages);
                (machine, actions)
            }
            Input::PeerClose(close) => {
                self.facts.cause = Some(Cause::Peer);
                self.hear(moment, close.clone());
                self.facts.cut = Some(moment.cut);
                let (machine, mut actions) = self.yield_to_handler();
                actions.push(Action::TellClosing(close));
                (machine, actions)
            }
            Input::Violation { error, said } => {
                self.facts.cause = Some(Cause::Violation(error));
                self.violated(moment, said);
                self.yield_to_handler()
            }
            Input::Fin => {
                self.facts.cause = Some(Cause::Eof);
                self.note_end(moment, End::Fin);
                self.yield_to_handler()
            }
            Input::Reset | Input::Unreachable => {
                let (machine, mut actions) = self.peer_ended(moment, &input);
                actions.insert(0, Action::EndMessages);
                (machine, actions)
            }
            Input::WriteError => self.write_broke(),
            _ => (self, Vec::new()),
        }
    }

    fn on_yielding(mut self, moment: Moment, input: &Input) -> (Self, Actions) {
        match input {
            Input::Close(_) | Input::SawEnd | Input::Timer(Timer::Grace | Timer::Write) => {
                self.conclude()
            }
            Input::Silent(timer) => self.unreachable(moment, *timer),
            Input::Fin => {
                self.note_end(moment, End::Fin);
                (self, Vec::new())
            }
            Input::Reset | Input::Unreachable => self.peer_ended(moment, input),
            Input::WriteError => self.write_broke(),
            _ => (self, Vec::new()),
        }
    }

    fn on_flushing(mut self, moment: Moment, input: Input) -> (Self, Actions) {
        match input {
            Input::Flushed => {
                if self.facts.goodbye.sent().is_some() {
                    self.facts.timeline.close_sent = Some(moment.at);
                }
                if !self.fin_follows() {
                    self.state = State::AwaitingClose;
                    return (self, vec![Action::Stop(Timer::Flush), Action::Start(Timer::Close)]);
                }
                let (machine, mut actions) = self.fin(moment);
                actions.insert(0, Action::Stop(Timer::Flush));
                (machine, actions)
            }
            Input::PeerClose(close) => {
                self.hear(moment, close);
                self.facts.cut = Some(moment.cut);
                (self, Vec::new())
            }
            Input::Violation { said, .. } => {
                self.violated(moment, said);
                self.state = State::Flushing { await_close: false };
                (self, Vec::new())
            }
            Input::Fin => {
                self.note_end(moment, End::Fin);
                (self, Vec::new())
            }
            Input::Reset | Input::Unreachable => self.peer_ended(moment, &input),
            Input::WriteError => self.write_broke(),
            Input::Timer(Timer::Flush) => self.let_go(moment, Timer::Flush),
            _ => (self, Vec::new()),
        }
    }

    fn on_awaiting_close(mut self, moment: Moment, input: Input) -> (Self, Actions) {
        match input {
            Input::PeerClose(close) => {
                self.hear(moment, close);
                self.facts.cut = Some(moment.cut);
                self.fin(moment)
            }
            Input::Violation { said, .. } => {
                self.violated(moment, said);
                self.fin(moment)
            }
            Input::Fin => {
                self.note_end(moment, End::Fin);
                self.fin(moment)
            }
            // An exit is waited for: our FIN goes out with the socket, nothing is awaited.
            Input::Timer(Timer::Close) if self.facts.cause == Some(Cause::Drain) => {
                self.facts.timeline.fin_sent = Some(moment.at);
                let (machine, mut actions) = self.let_go(moment, Timer::Close);
                actions.insert(0, Action::ShutdownWrite);
                (machine, actions)
            }
            // §7.1.1: the answer does not come; our FIN may still move the peer to end.
            Input::Timer(Timer::Close) => self.fin(moment),
            Input::Reset | Input::Unreachable => self.peer_ended(moment, &input),
            Input::WriteError => self.write_broke(),
            _ => (self, Vec::new()),
        }
    }

    fn on_awaiting_fin(mut self, moment: Moment, input: Input) -> (Self, Actions) {
        let mut actions = if self.facts.cause.is_none() { self.begin_late(&input) } else { vec![] };
        match input {
            Input::PeerClose(close) => {
                self.hear(moment, close);
                self.facts.cut = Some(moment.cut);
            }
            Input::Violation { said, .. } => self.violated(moment, said),
            Input::Fin | Input::Reset | Input::Unreachable => {
                let (machine, more) = self.peer_ended(moment, &input);
                actions.extend(more);
                return (machine, actions);
            }
            Input::Timer(Timer::Linger) => {
                let (machine, more) = self.let_go(moment, Timer::Linger);
                actions.extend(more);
                return (machine, actions);
            }
            _ => {}
        }
        (self, actions)
    }

    /// The write side broke before anything had begun the ending: what comes next is the cause.
    fn begin_late(&mut self, input: &Input) -> Actions {
        let opened = self.opened();
        match input {
            Input::Close(wish) if opened => self.facts.cause = Some(wish.cause.clone()),
            Input::Close(_) => self.facts.cause = Some(Cause::Handshake(HandshakeError::Abandoned)),
            Input::Refused(error) => self.facts.cause = Some(Cause::Handshake(error.clone())),
            Input::PeerClose(_) => self.facts.cause = Some(Cause::Peer),
            Input::Violation { error, .. } => self.facts.cause = Some(Cause::Violation(*error)),
            // The cause follows from how the transport ends.
            Input::Fin | Input::Reset | Input::Unreachable | Input::Timer(Timer::Linger) => {}
            _ => return vec![],
        }
        match input {
            _ if !opened => vec![],
            Input::PeerClose(close) => {
                vec![Action::EndMessages, Action::TellClosing(close.clone())]
            }
            _ => vec![Action::EndMessages],
        }
    }

    /// The driver lets go of the transport and finds an RST behind the FIN that it had read.
    fn on_ended(mut self, input: &Input) -> Self {
        if *input == Input::Reset && self.facts.end == Some(End::Fin) {
            self.facts.end = Some(End::FinThenReset);
        }
        self
    }

    /// Our side ends it (§7.1.2 "Start the WebSocket Closing Handshake").
    fn close(mut self, wish: Wish) -> (Self, Actions) {
        let await_close = !matches!(wish.cause, Cause::Timeout(_));
        self.facts.cause = Some(wish.cause);
        let (machine, mut actions) = self.flush(await_close, Some(wish.close));
        actions.insert(0, Action::EndMessages);
        (machine, actions)
    }

    /// The peer's side is over for the application; ours is not yet.
    fn yield_to_handler(mut self) -> (Self, Actions) {
        self.state = State::Yielding;
        (self, vec![Action::EndMessages, Action::Start(Timer::Grace)])
    }

    /// The handler has said its last words: our answer is due (§5.5.1, §7.1.7).
    fn conclude(self) -> (Self, Actions) {
        let answer = match &self.facts.cause {
            // §5.5.1: the answer echoes the code. An empty Close is answered by an empty one.
            Some(Cause::Peer) => {
                let code = self.facts.goodbye.received().and_then(Close::code);
                Some(code.map_or_else(Close::empty, Close::with))
            }
            Some(Cause::Violation(error)) => Some(Close::with(error.close_code())),
            // After a FIN nobody waits for a Close.
            _ => None,
        };
        let (machine, mut actions) = self.flush(false, answer);
        actions.insert(0, Action::Stop(Timer::Grace));
        (machine, actions)
    }

    /// Output has to leave, our Close last.
    fn flush(mut self, await_close: bool, close: Option<Close>) -> (Self, Actions) {
        let close = match self.speech {
            Speech::Codes => close,
            Speech::Bare => close.map(|_| Close::empty()),
            Speech::Mute => None,
        };
        let mut actions = Vec::new();
        self.state = State::Flushing { await_close: await_close && close.is_some() };
        if let Some(close) = close {
            self.facts.goodbye.say(close.clone());
            actions.push(Action::QueueClose(close));
        }
        actions.push(Action::Start(Timer::Flush));
        (self, actions)
    }

    /// Everything has left: our FIN (§7.1.1 "Close the WebSocket Connection").
    fn fin(mut self, moment: Moment) -> (Self, Actions) {
        self.facts.timeline.fin_sent = Some(moment.at);
        self.facts.first.get_or_insert(Side::Local);
        let mut actions = vec![Action::Stop(Timer::Close), Action::ShutdownWrite];
        if self.facts.end.is_some() {
            self.state = State::Ended;
            actions.push(Action::Disconnect);
        } else {
            self.state = State::AwaitingFin;
            actions.push(Action::Start(Timer::Linger));
        }
        (self, actions)
    }

    /// Nothing can leave any more. A write error is no evidence of how the peer ended: read on.
    fn write_broke(mut self) -> (Self, Actions) {
        let mut actions = vec![Action::DiscardOutput];
        if self.facts.end.is_some() {
            self.state = State::Ended;
            actions.push(Action::Disconnect);
        } else {
            for timer in [Timer::Handshake, Timer::Grace, Timer::Flush, Timer::Close] {
                actions.push(Action::Stop(timer));
            }
            self.state = State::AwaitingFin;
            actions.push(Action::Start(Timer::Linger));
        }
        (self, actions)
    }

    /// The peer's direction is over and nothing is left to do.
    fn peer_ended(mut self, moment: Moment, how: &Input) -> (Self, Actions) {
        let (end, cause) = match how {
            Input::Fin => (End::Fin, Cause::Eof),
            Input::Reset => (End::Reset, Cause::Reset),
            _ => (End::TimedOut, Cause::Unreachable),
        };
        self.facts.cause.get_or_insert(match (self.opened, how) {
            (Some(_), _) => cause,
            (None, Input::Fin) => Cause::Handshake(HandshakeError::Incomplete),
            (None, Input::Reset) => Cause::Handshake(HandshakeError::Reset),
            (None, _) => Cause::Handshake(HandshakeError::TimedOut),
        });
        self.note_end(moment, end);
        self.state = State::Ended;
        (self, vec![Action::DiscardOutput, Action::Disconnect])
    }

    /// The peer is gone: nothing would reach it.
    fn unreachable(mut self, moment: Moment, timer: Timer) -> (Self, Actions) {
        self.facts.cause.get_or_insert(Cause::Unreachable);
        self.let_go(moment, timer)
    }

    /// A clock ran out: we let go without the peer.
    fn let_go(mut self, moment: Moment, timer: Timer) -> (Self, Actions) {
        self.facts.cause.get_or_insert(match self.opened {
            Some(_) => Cause::Timeout(timer),
            None => Cause::Handshake(HandshakeError::TimedOut),
        });
        self.facts.end.get_or_insert(End::Abandoned(timer));
        self.facts.first.get_or_insert(Side::Local);
        self.facts.cut.get_or_insert(moment.cut);
        self.state = State::Ended;
        (self, vec![Action::DiscardOutput, Action::Disconnect])
    }

    fn hear(&mut self, moment: Moment, close: Close) {
        if self.facts.goodbye.received().is_none() {
            self.facts.timeline.close_received = Some(moment.at);
            self.facts.goodbye.hear(close);
        }
    }

    fn violated(&mut self, moment: Moment, said: Option<Close>) {
        if let Some(said) = said {
            self.hear(moment, said);
        }
        self.facts.cut.get_or_insert(Cut::MidFrame);
    }

    /// The first FIN or RST counts; an RST after a FIN is noted as that.
    fn note_end(&mut self, moment: Moment, end: End) {
        match (self.facts.end, end) {
            (None, _) => {
                self.facts.end = Some(end);
                self.facts.timeline.peer_ended = Some(moment.at);
            }
            (Some(End::Fin), End::Reset) => self.facts.end = Some(End::FinThenReset),
            _ => {}
        }
        self.facts.first.get_or_insert(Side::Peer);
        self.facts.cut.get_or_insert(moment.cut);
    }
}
