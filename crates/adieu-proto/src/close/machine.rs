//! The close machine (RFC 6455 §5.5.1, §7; hixie-76 §5.3): the one place that decides what still
//! goes out when a connection ends, and that writes the report of it.
//!
//! ```text
//!                 peer's Close, violation, end           ┌────────────┐
//!            ┌────────────────────────────────────────►  │ HalfClosed │ the handler's last words
//!  Connecting│                                           └─────┬──────┘
//!      │     │                         handler saw the end,    │
//!      ▼     │                         or its grace ran out    ▼
//!  ┌───────────┐   our Close                             ┌────────────┐
//!  │   Open    ├────────────────────────────────────────►│  Flushing  │ output, then our Close
//!  └───────────┘                                         └──┬──────┬──┘
//!                         the peer's Close is still to come │      │ it is not awaited
//!                                             ┌─────────────▼─┐    │
//!                                             │ AwaitingClose │    │
//!                                             └─────────────┬─┘    │
//!                         it came, or its deadline ran out  ▼      ▼
//!              as a client, after      ┌───────────────────┐ ┌─────────────┐
//!              both Closes (§7.1.1):   │ AwaitingServerFin ├►│ AwaitingFin │ our FIN is out
//!                                      └───────────────────┘ └─────┬───────┘
//!              the peer's FIN or RST, from any state               ▼
//!              (or nothing: our side let go)                     Ended
//! ```

use std::time::Duration;

use crate::close::record::CloseRecord;
use crate::close::state::{Action, CloseCapability, Context, Input, Role, State};
use crate::close::{
    Cause, Close, CloseRequest, End, Ending, Http2, LetGo, PeerEnd, Side, TransportKind, Unsent,
};
use crate::close_code::CloseCode;
use crate::error::{HandshakeError, TransportError};
use crate::timer::Timer;
use crate::version::Version;

/// The state of the closing handshake and the report so far.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Machine {
    pub(super) state: State,
    pub(super) role: Role,
    version: Version,
    opened: Option<Duration>,
    /// The transport is one stream of many, which can be ended in both directions at once.
    pub(super) multiplexed: bool,
    pub(super) record: CloseRecord,
}

type Actions = Vec<Action>;

impl Machine {
    /// A connection whose opening handshake is under way.
    pub(crate) fn new(role: Role) -> Self {
        let version = Version::Rfc6455;
        let record = CloseRecord::default();
        let (state, opened, multiplexed) = (State::Connecting, None, false);
        Machine { state, role, version, opened, multiplexed, record }
    }

    #[inline]
    pub(crate) fn state(&self) -> State {
        self.state
    }

    /// The version that is spoken: RFC 6455 until another is agreed on.
    #[inline]
    pub(crate) fn version(&self) -> Version {
        self.version
    }

    /// This version was agreed on.
    pub(crate) fn speaks(&mut self, version: Version) {
        self.version = version;
    }

    /// The transport is one stream of many: HTTP/2.
    pub(crate) fn is_multiplexed(&mut self) {
        self.multiplexed = true;
    }

    /// What is known of the stream that the transport was.
    pub(crate) fn was_http2(&mut self, http2: Http2) {
        self.record.http2 = Some(http2);
    }

    /// The error of the transport that explains what follows. The first counts.
    pub(crate) fn explain(&mut self, error: TransportError) {
        self.record.error.get_or_insert(error);
    }

    /// Whether the opening handshake was completed.
    #[inline]
    pub(crate) fn opened(&self) -> bool {
        self.opened.is_some()
    }

    /// Whether our server is stopping.
    pub(crate) fn is_draining(&self) -> bool {
        self.record.draining
    }

    /// Whether the application may still send.
    #[inline]
    pub(crate) fn may_send(&self) -> bool {
        matches!(self.state, State::Open | State::HalfClosed)
    }

    /// Whether received messages still go to the application.
    #[inline]
    pub(crate) fn delivers(&self) -> bool {
        // The write side broke first: what had arrived before is still delivered.
        self.state == State::Open
            || (self.state == State::AwaitingFin && self.opened() && self.record.cause.is_none())
            || self.reads_on()
    }

    /// Whether the application, which closed, still reads: the peer may not have heard of our Close
    /// yet (§5.5.1), and what it says until its own is no less said.
    fn reads_on(&self) -> bool {
        let awaits = State::Flushing { await_close: true };
        self.record.reads_on
            && (self.state == awaits || self.state == State::AwaitingClose)
            && !self.peer_has_ended()
            && !self.record.violated
    }

    /// Whether frames are still read as frames: until the peer's last word or a violation.
    #[inline]
    pub(crate) fn parses(&self) -> bool {
        // What follows a refused handshake is no frame.
        self.opened() && self.record.truncation.is_none() && self.state != State::Ended
    }

    /// The report, complete once the state is [`State::Ended`].
    pub(crate) fn ending(
        &self,
        kind: TransportKind,
        lasted: Duration,
        unsent: Unsent,
        close_notify: Option<bool>,
    ) -> Ending {
        let mut ending = self.record.ending(kind, lasted, close_notify);
        ending.unsent = unsent;
        ending.timeline.opened = self.opened;
        ending
    }

    /// The one transition function.
    #[must_use]
    pub(crate) fn on(mut self, context: Context, input: Input) -> (Self, Actions) {
        match (&input, self.state) {
            (_, State::Ended) => return (self.on_ended(context, &input), Vec::new()),
            (Input::LetGo(why), _) => return self.let_go_at_once(context, *why),
            (Input::Draining, _) => return self.drains(),
            (Input::Timer(Timer::Handshake), _) if self.deadline_ends_all() => {
                return self.let_go(context, LetGo::Clock(Timer::Handshake));
            }
            _ => {}
        }
        if input == Input::CloseNotify {
            self.record.timeline.close_notify.get_or_insert(context.at);
            self.record.active_closer.get_or_insert(Side::Peer);
        }
        match self.state {
            State::Connecting => self.on_connecting(context, input),
            State::Open => self.on_open(context, input),
            State::HalfClosed => self.on_half_closed(context, &input),
            State::Flushing { .. } => self.on_flushing(context, input),
            State::AwaitingClose => self.on_awaiting_close(context, input),
            State::AwaitingServerFin => self.on_awaiting_server_fin(context, &input),
            State::AwaitingFin => self.on_awaiting_fin(context, input),
            State::Ended => (self, Vec::new()),
        }
    }

    fn on_connecting(mut self, context: Context, input: Input) -> (Self, Actions) {
        let error = match input {
            Input::Opened => {
                self.state = State::Open;
                self.opened = Some(context.at);
                return (self, vec![Action::Stop(Timer::Handshake)]);
            }
            Input::Refused(error) => error,
            Input::Close(_) => HandshakeError::Abandoned,
            Input::Timer(Timer::Handshake) => HandshakeError::TimedOut,
            Input::CloseNotify => {
                self.record.truncation = Some(context.truncation);
                HandshakeError::Incomplete
            }
            Input::PeerEnded(how) => return self.peer_ended(context, how),
            Input::WriteFailed => return self.write_failed(),
            _ => return (self, Vec::new()),
        };
        self.record.cause = Some(Cause::Handshake(error));
        let (machine, mut actions) = self.flush(false, None);
        if machine.role == Role::Server {
            actions.push(Action::Stop(Timer::Handshake));
        }
        (machine, actions)
    }

    /// Whether the handshake's deadline ends what is left of the ending: a client's caller waits
    /// for it, and the deadline is all that the caller was told. A server's peer has its time to
    /// read the refusal.
    fn deadline_ends_all(&self) -> bool {
        self.role == Role::Client && !self.opened() && self.state != State::Connecting
    }

    fn on_open(mut self, context: Context, input: Input) -> (Self, Actions) {
        match input {
            Input::Close(request) => self.close(request),
            // §7.1.7: the peer is silent, so nothing is awaited from it.
            Input::Timer(Timer::Pong) => {
                let close = Close::with(CloseCode::INTERNAL_ERROR);
                self.close(CloseRequest::of(Cause::Timeout(Timer::Pong), close))
            }
            // Reachable, but not reading: our Close may leave if it reads on at last.
            Input::Timer(Timer::Write) => {
                let close = Close::with(CloseCode::POLICY_VIOLATION);
                self.close(CloseRequest::of(Cause::Timeout(Timer::Write), close))
            }
            Input::Silent(timer) => self.unreachable(context, timer),
            Input::PeerClose(close) => {
                self.record.cause = Some(Cause::Peer);
                self.record.receive(context, close.clone());
                self.record.truncation = Some(context.truncation);
                self.state = State::HalfClosed;
                (self, vec![Action::Start(Timer::Grace), Action::TellClose(close)])
            }
            Input::Violation { error, said } => {
                self.record.cause = Some(Cause::Violation(error));
                self.record.violated(context, said);
                self.half_close()
            }
            Input::CloseNotify => {
                self.record.cause = Some(Cause::Eof);
                self.record.truncation = Some(context.truncation);
                self.half_close()
            }
            Input::PeerEnded(PeerEnd::Finished) => {
                self.record.cause = Some(Cause::Eof);
                self.record.note_end(context, PeerEnd::Finished);
                self.half_close()
            }
            Input::PeerEnded(how) => self.peer_ended(context, how),
            Input::WriteFailed => self.write_failed(),
            _ => (self, Vec::new()),
        }
    }

    fn on_half_closed(mut self, context: Context, input: &Input) -> (Self, Actions) {
        match input {
            Input::Close(_) | Input::EndSeen | Input::Timer(Timer::Grace | Timer::Write) => {
                self.conclude()
            }
            Input::Silent(timer) => self.unreachable(context, *timer),
            Input::PeerEnded(PeerEnd::Finished) => {
                self.record.note_end(context, PeerEnd::Finished);
                (self, Vec::new())
            }
            Input::PeerEnded(how) => self.peer_ended(context, *how),
            Input::WriteFailed => self.write_failed(),
            _ => (self, Vec::new()),
        }
    }

    fn on_flushing(mut self, context: Context, input: Input) -> (Self, Actions) {
        match input {
            Input::EndSeen => self.reads_no_more(),
            Input::Flushed => {
                if self.record.closing_handshake.sent().is_some() {
                    self.record.timeline.close_sent = Some(context.at);
                }
                if !self.nothing_is_awaited() {
                    self.state = State::AwaitingClose;
                    return (self, vec![Action::Stop(Timer::Flush), Action::Start(Timer::Close)]);
                }
                let (machine, mut actions) = self.all_is_said(context);
                actions.insert(0, Action::Stop(Timer::Flush));
                (machine, actions)
            }
            Input::PeerClose(close) => {
                self.record.receive(context, close);
                self.record.truncation = Some(context.truncation);
                (self, Vec::new())
            }
            Input::Violation { said, .. } => {
                self.record.violated(context, said);
                self.state = State::Flushing { await_close: false };
                (self, Vec::new())
            }
            Input::PeerEnded(PeerEnd::Finished) => {
                self.record.note_end(context, PeerEnd::Finished);
                (self, Vec::new())
            }
            Input::PeerEnded(how) => self.peer_ended(context, how),
            Input::WriteFailed => self.write_failed(),
            Input::Timer(Timer::Flush) | Input::Silent(Timer::Flush) => {
                self.let_go(context, LetGo::Clock(Timer::Flush))
            }
            _ => (self, Vec::new()),
        }
    }

    fn on_awaiting_close(mut self, context: Context, input: Input) -> (Self, Actions) {
        match input {
            Input::EndSeen => self.reads_no_more(),
            Input::PeerClose(close) => {
                self.record.receive(context, close);
                self.record.truncation = Some(context.truncation);
                self.all_is_said(context)
            }
            Input::Violation { said, .. } => {
                self.record.violated(context, said);
                self.fin(context)
            }
            // No Close can come behind it.
            Input::CloseNotify => self.fin(context),
            Input::PeerEnded(PeerEnd::Finished) => {
                self.record.note_end(context, PeerEnd::Finished);
                self.fin(context)
            }
            // An exit is waited for: our FIN goes out with the socket, nothing is awaited.
            Input::Timer(Timer::Close) | Input::Silent(Timer::Close) if self.record.draining => {
                self.record.timeline.fin_sent = Some(context.at);
                let (machine, mut actions) = self.let_go(context, LetGo::Clock(Timer::Close));
                actions.insert(0, Action::Finish);
                (machine, actions)
            }
            // §7.1.1: the answer does not come; our FIN may still move the peer to end.
            Input::Timer(Timer::Close) | Input::Silent(Timer::Close) => self.fin(context),
            Input::PeerEnded(how) => self.peer_ended(context, how),
            Input::WriteFailed => self.write_failed(),
            _ => (self, Vec::new()),
        }
    }

    fn on_awaiting_server_fin(mut self, context: Context, input: &Input) -> (Self, Actions) {
        match input {
            Input::PeerEnded(PeerEnd::Finished) => {
                self.record.note_end(context, PeerEnd::Finished);
                self.fin(context)
            }
            // "after a reasonable amount of time" the client may end TCP itself (§7.1.1).
            Input::Timer(Timer::Linger) | Input::Silent(Timer::Linger) => self.fin(context),
            Input::PeerEnded(how) => self.peer_ended(context, *how),
            Input::WriteFailed => self.write_failed(),
            _ => (self, Vec::new()),
        }
    }

    fn on_awaiting_fin(mut self, context: Context, input: Input) -> (Self, Actions) {
        let mut actions =
            if self.record.cause.is_none() { self.begin_late(&input) } else { vec![] };
        match input {
            Input::PeerClose(close) => {
                self.record.receive(context, close);
                self.record.truncation = Some(context.truncation);
                let finished = self.record.timeline.fin_sent.is_some();
                if finished && self.ends_both_directions() {
                    self.record.end.get_or_insert(End::LetGo(LetGo::BothClosed));
                    self.state = State::Ended;
                    actions.push(Action::Disconnect);
                }
            }
            Input::Violation { said, .. } => self.record.violated(context, said),
            Input::PeerEnded(how) => {
                let (machine, more) = self.peer_ended(context, how);
                actions.extend(more);
                return (machine, actions);
            }
            Input::Timer(Timer::Linger) | Input::Silent(Timer::Linger) => {
                let (machine, more) = self.let_go(context, LetGo::Clock(Timer::Linger));
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
        self.record.cause = match input {
            Input::Close(request) if opened => Some(request.cause.clone()),
            Input::Close(_) => Some(Cause::Handshake(HandshakeError::Abandoned)),
            Input::Refused(error) => Some(Cause::Handshake(error.clone())),
            Input::PeerClose(_) => Some(Cause::Peer),
            Input::Violation { error, .. } => Some(Cause::Violation(*error)),
            Input::CloseNotify if opened => Some(Cause::Eof),
            Input::CloseNotify => Some(Cause::Handshake(HandshakeError::Incomplete)),
            // The cause follows from how the transport ends.
            Input::PeerEnded(_) | Input::Timer(Timer::Linger) | Input::Silent(Timer::Linger) => {
                None
            }
            _ => return vec![],
        };
        match input {
            Input::PeerClose(close) if opened => vec![Action::TellClose(close.clone())],
            _ => vec![],
        }
    }

    /// The driver lets go of the transport and finds an RST behind the FIN that it had read; or, of
    /// a stream that both Closes have ended, the peer's own end behind its Close.
    fn on_ended(mut self, context: Context, input: &Input) -> Self {
        let Input::PeerEnded(how) = *input else { return self };
        match (self.record.end, how) {
            (Some(End::Finished), PeerEnd::Reset) => {
                self.record.end = Some(End::FinishedThenReset);
            }
            (Some(End::LetGo(LetGo::BothClosed)), PeerEnd::Finished | PeerEnd::Reset) => {
                self.record.end = None;
                self.record.note_end(context, how);
            }
            _ => {}
        }
        self
    }

    /// Our server is stopping: a fact beside the cause. A Close that is awaited is awaited from now
    /// on for as long as those of the drain.
    fn drains(mut self) -> (Self, Actions) {
        let first = !std::mem::replace(&mut self.record.draining, true);
        let awaits = self.state == State::AwaitingClose;
        let actions = if first && awaits { vec![Action::Start(Timer::Close)] } else { vec![] };
        (self, actions)
    }

    /// The application closed and is gone: what still comes is read and dropped.
    fn reads_no_more(mut self) -> (Self, Actions) {
        if self.record.reads_on {
            self.record.reads_on = false;
        }
        (self, Vec::new())
    }

    /// Our side ends it (§7.1.2 "Start the WebSocket Closing Handshake").
    fn close(mut self, request: CloseRequest) -> (Self, Actions) {
        let await_close = !matches!(request.cause, Cause::Timeout(_));
        self.record.reads_on = request.reads_on;
        self.record.cause = Some(request.cause);
        if let Some(error) = request.error {
            self.explain(error);
        }
        self.flush(await_close, Some(request.close))
    }

    /// The peer's side is over for the application; ours is not yet.
    fn half_close(mut self) -> (Self, Actions) {
        self.state = State::HalfClosed;
        (self, vec![Action::Start(Timer::Grace)])
    }

    /// The handler has said its last words: our answer is due (§5.5.1, §7.1.7).
    fn conclude(self) -> (Self, Actions) {
        let answer = match &self.record.cause {
            // §5.5.1: the answer echoes the code. An empty Close is answered by an empty one.
            Some(Cause::Peer) => {
                let code = self.record.closing_handshake.received().and_then(Close::code);
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
        let close = match CloseCapability::of(self.version) {
            CloseCapability::CodeAndReason => close,
            CloseCapability::Bare => close.map(|_| Close::empty()),
            CloseCapability::None => None,
        };
        let mut actions = Vec::new();
        self.state = State::Flushing { await_close: await_close && close.is_some() };
        if let Some(close) = close {
            self.record.closing_handshake.send(close.clone());
            actions.push(Action::QueueClose(close));
        }
        actions.push(Action::Start(Timer::Flush));
        (self, actions)
    }

    /// Everything has left and no Close is to come.
    fn all_is_said(mut self, context: Context) -> (Self, Actions) {
        if !self.server_ends_first() {
            return self.fin(context);
        }
        self.state = State::AwaitingServerFin;
        (self, vec![Action::Stop(Timer::Close), Action::Start(Timer::Linger)])
    }

    /// Our FIN (§7.1.1 "Close the WebSocket Connection").
    fn fin(mut self, context: Context) -> (Self, Actions) {
        self.record.timeline.fin_sent = Some(context.at);
        self.record.active_closer.get_or_insert(Side::Local);
        if self.ends_both_directions() {
            self.record.end.get_or_insert(End::LetGo(LetGo::BothClosed));
        }
        let (state, next) = match self.record.end {
            Some(_) => (State::Ended, Action::Disconnect),
            None => (State::AwaitingFin, Action::Start(Timer::Linger)),
        };
        self.state = state;
        (self, vec![Action::Stop(Timer::Close), Action::Finish, next])
    }

    /// Nothing can leave any more. A write error is no evidence of how the peer ended: read on.
    fn write_failed(mut self) -> (Self, Actions) {
        let mut actions = vec![Action::DiscardOutput];
        if self.record.end.is_some() {
            self.state = State::Ended;
            actions.push(Action::Disconnect);
        } else {
            for timer in [Timer::Handshake, Timer::Grace, Timer::Flush, Timer::Close] {
                if timer != Timer::Handshake || self.role == Role::Server {
                    actions.push(Action::Stop(timer));
                }
            }
            self.state = State::AwaitingFin;
            actions.push(Action::Start(Timer::Linger));
        }
        (self, actions)
    }

    /// The peer's direction is over and nothing is left to do.
    fn peer_ended(mut self, context: Context, how: PeerEnd) -> (Self, Actions) {
        let opened = self.opened();
        self.record.cause.get_or_insert(match how {
            PeerEnd::Finished if opened => Cause::Eof,
            PeerEnd::Reset if opened => Cause::Reset,
            PeerEnd::Lost if opened => Cause::Unreachable,
            PeerEnd::Unknown if opened => Cause::TransportFailed,
            PeerEnd::Finished => Cause::Handshake(HandshakeError::Incomplete),
            PeerEnd::Reset => Cause::Handshake(HandshakeError::Reset),
            PeerEnd::Lost => Cause::Handshake(HandshakeError::Unreachable),
            PeerEnd::Unknown => Cause::Handshake(HandshakeError::Failed),
        });
        self.record.note_end(context, how);
        self.state = State::Ended;
        (self, vec![Action::DiscardOutput, Action::Disconnect])
    }

    /// The peer is gone: nothing would reach it.
    fn unreachable(mut self, context: Context, timer: Timer) -> (Self, Actions) {
        self.record.cause.get_or_insert(Cause::Unreachable);
        self.let_go(context, LetGo::Clock(timer))
    }

    /// Our side lets go, wherever the connection stands.
    fn let_go_at_once(mut self, context: Context, why: LetGo) -> (Self, Actions) {
        let opened = self.opened();
        self.record.cause.get_or_insert(match why {
            _ if !opened => Cause::Handshake(HandshakeError::Abandoned),
            LetGo::Forced | LetGo::Clock(Timer::Drain) => Cause::Drain,
            LetGo::Clock(timer) => Cause::Timeout(timer),
            LetGo::TaskDropped | LetGo::RuntimeGone | LetGo::Refused | LetGo::BothClosed => {
                Cause::Dropped
            }
        });
        let finishes = matches!(self.state, State::AwaitingClose | State::AwaitingServerFin);
        if finishes {
            self.record.timeline.fin_sent = Some(context.at);
        }
        let (machine, mut actions) = self.let_go(context, why);
        if finishes {
            actions.insert(0, Action::Finish);
        }
        (machine, actions)
    }

    /// We let go without the peer.
    fn let_go(mut self, context: Context, why: LetGo) -> (Self, Actions) {
        let opened = self.opened();
        self.record.cause.get_or_insert(match why {
            LetGo::Clock(timer) if opened => Cause::Timeout(timer),
            LetGo::Clock(_) => Cause::Handshake(HandshakeError::TimedOut),
            _ => Cause::Dropped,
        });
        self.record.end.get_or_insert(End::LetGo(why));
        self.record.active_closer.get_or_insert(Side::Local);
        self.record.truncation.get_or_insert(context.truncation);
        self.state = State::Ended;
        (self, vec![Action::DiscardOutput, Action::Disconnect])
    }
}
