//! The client as a machine.
//!
//! ```text
//!              Tick (time)            connected
//!   Waiting ───────────► Connecting ───────────► Open
//!      ▲                     │                     │
//!      └──── Lost, no answer ┴─────────────────────┘
//!                            │
//!                            ▼ a final Close, an answered goodbye, Detach: from each of them
//!                          Over
//! ```

use std::collections::VecDeque;
use std::time::Duration;

use adieu_proto::Message;

use super::backoff::Backoff;
use super::chance::Chance;
use super::event::{Ended, EndedReason, Event};
use super::inbox::{Inbox, Number};
use super::io::{Input, Leave, Output};
use super::limits::{
    ASK_LIMIT, CONNECT_LIMIT, FIRST_VISIT, LEAVE_LIMIT, LONGEST_RETRY, Limits, MAX_VIOLATIONS,
};
use super::meaning::Meaning;
use super::open::Open;
use super::outbox::{Outbox, SendError};
use super::saved::Saved;
use super::wire::{Connected, FromGateway, ToGateway, first, is_token, resume};
use crate::Timestamp;
use crate::command::earlier;
use crate::wire::{CONNECTION_LOST, MAY_RETURN, SUBPROTOCOL, Tag};

/// No Close was seen.
const NO_CLOSE: u16 = 1006;

enum State {
    /// For the next try.
    Waiting {
        until: Timestamp,
    },
    /// Until the gateway's `connected`.
    Connecting {
        until: Timestamp,
    },
    Open(Open),
    Over {
        /// Another process may go on with the session.
        detached: bool,
    },
}

/// The wish to leave.
struct Leaving {
    how: Leave,
    said: bool,
    until: Timestamp,
}

impl Leaving {
    fn reason(&self) -> EndedReason {
        match self.how {
            Leave::Goodbye => EndedReason::Goodbye,
            Leave::Close { .. } => EndedReason::Closed,
        }
    }

    /// Whether this Close answers what was said.
    fn is_answered_by(&self, code: u16) -> bool {
        let closed = matches!(self.how, Leave::Close { .. }) && code != NO_CLOSE;
        self.said && (code == 1000 || closed)
    }
}

/// A client of adieu.v1: one session after the other, of which each outlives its connections.
pub struct Client {
    state: State,
    /// What the next process needs; its messages are in the outbox.
    known: Saved,
    /// Counts the sessions.
    session: u32,
    /// A connection of this session was open in this process.
    seen: bool,
    outbox: Outbox,
    inbox: Inbox,
    /// What the application is busy with: received when it asks for the next.
    given: Option<Number>,
    backoff: Backoff,
    chance: Chance,
    /// What `closing` said.
    retry_after: Option<Duration>,
    /// Connections in a row that ended in a violation.
    violations: u32,
    leaving: Option<Leaving>,
    controls: VecDeque<Output>,
    changed: bool,
    keeping_failed: bool,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = match self.state {
            State::Waiting { .. } => "waiting",
            State::Connecting { .. } => "connecting",
            State::Open(_) => "open",
            State::Over { .. } => "over",
        };
        write!(f, "Client({state}, {:?})", self.known)
    }
}

impl Client {
    /// A client that connects at its first [`Input::Tick`]. `saved`: what an earlier process has
    /// left; `seed`: from the operating system, for it makes the nonce of a first visit.
    #[must_use]
    pub fn new(limits: Limits, saved: Option<Saved>, seed: [u8; 32]) -> Self {
        let mut known = saved.unwrap_or_default();
        let mut outbox = Outbox::new(limits);
        outbox.restore(known.acknowledged, &std::mem::take(&mut known.messages));
        known.token = known.token.filter(|token| is_token(token));
        Client {
            state: State::Waiting { until: Timestamp(0) },
            known,
            session: 0,
            seen: false,
            outbox,
            inbox: Inbox::default(),
            given: None,
            backoff: Backoff::default(),
            chance: Chance::new(seed),
            retry_after: None,
            violations: 0,
            leaving: None,
            controls: VecDeque::new(),
            changed: false,
            keeping_failed: false,
        }
    }

    /// The one way from one state to another.
    pub fn on(&mut self, now: Timestamp, input: Input<'_>) {
        match (&mut self.state, input) {
            (State::Over { .. }, _) => {}
            (_, Input::Tick) => self.tick(now),
            (State::Connecting { until }, Input::Dialing) => *until = now + CONNECT_LIMIT,
            (_, Input::Dialing) => {}
            (_, Input::Unsupported) => {
                let text = format!("{SUBPROTOCOL} was not selected");
                self.finish(EndedReason::Unsupported, NO_CLOSE, text);
            }
            (State::Waiting { .. }, Input::Heard(_) | Input::Lost { .. }) => {}
            (_, Input::Heard(None)) => self.fail(now, "a binary message came", true),
            (_, Input::Heard(Some(text))) => match FromGateway::read(text) {
                Ok(said) => self.hear(now, said),
                Err(fault) => self.fail(now, &fault.to_string(), true),
            },
            (_, Input::Lost { code, reason }) => self.lost(now, code, reason, false),
            (_, Input::Leave(how)) => self.leave(now, how),
            // Who leaves goes on to do so.
            (_, Input::Detach) if self.leaving.is_some() => {}
            (_, Input::Detach) => self.detach(),
            (_, Input::NotKept(error)) => {
                if !std::mem::replace(&mut self.keeping_failed, true) {
                    self.inbox.event(Event::NotKept { error });
                }
            }
        }
    }

    /// Takes a message, to be sent until the gateway has acknowledged it. It works without a
    /// connection too.
    ///
    /// # Errors
    /// A [`SendError`]: the message is not taken.
    pub fn send(&mut self, message: &Message) -> Result<(), SendError> {
        if self.is_over() || self.leaving.is_some() {
            return Err(SendError::Over);
        }
        self.changed = true;
        self.outbox.push(message)
    }

    /// What the application is told next. A message counts as received when this is called again
    /// (or [`Input::Detach`] comes): a process that dies before gets it once more.
    pub fn next_event(&mut self, now: Timestamp) -> Option<Event> {
        self.given_is_received(now);
        if !self.has_event() {
            return None;
        }
        let (event, number) = self.inbox.pop()?;
        self.given = number;
        Some(event)
    }

    /// Whether there is something to tell. While a connection is being made, which has said what
    /// was received, no further message is given.
    #[must_use]
    pub fn has_event(&self) -> bool {
        let connecting = matches!(self.state, State::Connecting { .. });
        match self.inbox.next_number() {
            Some(number) => !connecting || number.session != self.session,
            None => self.inbox.has_more(),
        }
    }

    /// What is to be done next; call it until it is `None`. A [`Say`](Output::Say) may be left
    /// undone where another output follows.
    pub fn poll(&mut self) -> Option<Output> {
        self.poll_control().or_else(|| self.next_said())
    }

    /// The same, but for what is to be said: for a driver that waits until there is room for it.
    pub fn poll_control(&mut self) -> Option<Output> {
        self.controls.pop_front()
    }

    /// When [`Input::Tick`] is due.
    #[must_use]
    pub fn deadline(&self) -> Option<Timestamp> {
        let due = match &self.state {
            State::Waiting { until } => self.reads().then_some(*until),
            State::Connecting { until } => Some(*until),
            State::Open(open) => open.deadline(),
            State::Over { .. } => return None,
        };
        earlier(due, self.leaving.as_ref().map(|leaving| leaving.until))
    }

    /// Whether there is room for what may come: if not, nothing should be read.
    #[must_use]
    pub fn reads(&self) -> bool {
        !self.inbox.is_full() || self.leaving.is_some()
    }

    /// Whether nothing is to be done any more; what it has to tell may still wait.
    #[must_use]
    pub fn is_over(&self) -> bool {
        matches!(self.state, State::Over { .. })
    }

    /// Messages that the gateway has not acknowledged.
    #[must_use]
    pub fn unacknowledged(&self) -> usize {
        self.outbox.len()
    }

    /// The session, if there is one.
    #[must_use]
    pub fn session_id(&self) -> Option<&str> {
        self.known.session_id.as_deref()
    }

    /// Whether [`saved`](Self::saved) is another one since this was last asked. It has to be kept
    /// before an output is done.
    pub fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// Keeping has succeeded.
    pub fn kept(&mut self) {
        self.keeping_failed = false;
    }

    /// What has to survive a restart; `None` once there is nothing to go on with.
    #[must_use]
    pub fn saved(&self) -> Option<Saved> {
        let over = matches!(self.state, State::Over { detached: false });
        let acknowledged = self.outbox.acknowledged();
        (!over).then(|| Saved { messages: self.outbox.tails(), acknowledged, ..self.known.clone() })
    }

    fn tick(&mut self, now: Timestamp) {
        if let Some(leaving) = self.leaving.as_ref().filter(|leaving| leaving.until <= now) {
            return self.finish(leaving.reason(), NO_CLOSE, "no answer".into());
        }
        let full = !self.reads();
        let good = match &mut self.state {
            State::Waiting { until } if *until <= now && !full => return self.begin(now),
            State::Connecting { until } if *until <= now => {
                return self.fail(now, "no answer to the connection", false);
            }
            State::Open(open) => open.tick(now, full),
            _ => true,
        };
        if !good {
            self.fail(now, "no answer to a heartbeat", false);
        }
    }

    fn begin(&mut self, now: Timestamp) {
        self.retry_after = None;
        let known = &mut self.known;
        let offer = match (&known.token, known.nonce) {
            (Some(token), _) => {
                resume(token, known.received, known.tag, self.outbox.acknowledged())
            }
            (None, Some(nonce)) if known.nonce_made_at + FIRST_VISIT > now => first(nonce),
            (None, _) => {
                let nonce = self.chance.nonce();
                (known.nonce, known.nonce_made_at) = (Some(nonce), now);
                first(nonce)
            }
        };
        self.changed = true;
        self.controls.push_back(Output::Connect { offers: vec![SUBPROTOCOL.into(), offer] });
        self.state = State::Connecting { until: now + ASK_LIMIT };
    }

    fn hear(&mut self, now: Timestamp, said: FromGateway) {
        let open = match &mut self.state {
            State::Open(open) => {
                open.answer_by = None;
                Some(open)
            }
            _ => None,
        };
        match (said, open) {
            (FromGateway::Connected(connected), None) => self.connected(now, *connected),
            (FromGateway::Connected(_), Some(_)) => self.fail(now, "connected came twice", true),
            (FromGateway::Refused { reason }, _) => {
                self.finish(EndedReason::Refused, crate::wire::REFUSED, reason);
            }
            (FromGateway::Closing { retry_after }, _) if !retry_after.is_zero() => {
                self.retry_after = Some(retry_after.min(LONGEST_RETRY));
            }
            (FromGateway::Message { sequence_id, tag, message }, Some(_)) => {
                self.receive(now, sequence_id, tag, message);
            }
            (FromGateway::SequenceAck { sequence_id }, Some(_)) => {
                if self.outbox.acknowledge(sequence_id) {
                    self.violations = 0;
                    self.changed = true;
                } else {
                    self.fail(now, "an acknowledgement of what was never sent", true);
                }
            }
            (FromGateway::Message { .. } | FromGateway::SequenceAck { .. }, None) => {
                self.fail(now, "something came before connected", true);
            }
            _ => {}
        }
    }

    fn connected(&mut self, now: Timestamp, connected: Connected) {
        let Connected { session_id, reconnection_token, generation, resumed, .. } = connected;
        // A first visit that is repeated begins for the client only now, whatever the gateway
        // knows of an earlier connection.
        let had_token = self.known.token.is_some();
        if had_token && !resumed {
            let word = connected.reason.as_deref().unwrap_or("lost");
            let reason = EndedReason::not_resumed(word);
            if let Some(leaving) = &self.leaving {
                let reason = if leaving.said { leaving.reason() } else { reason };
                return self.finish(reason, NO_CLOSE, word.into());
            }
            self.end(reason, NO_CLOSE, String::new(), true);
        }
        // The gateway sends again what lies above the number that it was told.
        self.inbox.forget_messages_of(self.session);
        self.known.session_id = Some(session_id.clone());
        self.known.token = Some(reconnection_token);
        self.known.nonce = None;
        self.known.window = connected.window;
        self.seen = true;
        self.changed = true;
        // What was said on an earlier connection may not have come there.
        self.leaving.iter_mut().for_each(|leaving| leaving.said = false);
        self.outbox.connected(connected.sequence_ack);
        let every = Duration::from_millis(connected.heartbeat);
        self.state = State::Open(Open::new(now, self.known.received, every));
        self.inbox.event(if had_token && resumed {
            Event::Resumed { session_id, generation }
        } else {
            Event::Started { session_id }
        });
    }

    fn receive(&mut self, now: Timestamp, id: u64, tag: Option<Tag>, message: Message) {
        let (session, received) = (self.session, self.known.received);
        let number = Number { session, id, tag };
        let State::Open(open) = &mut self.state else { return };
        let before = if id == received { self.known.tag } else { None };
        let given = self.given.filter(|given| given.session == session && given.id == id);
        let before = before.or(given.and_then(|given| given.tag));
        if before.zip(tag).is_some_and(|(before, tag)| before != tag) {
            // The gateway's store is older than what it had sent: the resume will tell.
            return self.fail(now, "another message came under a number that was used", true);
        }
        match id {
            _ if id <= open.heard => open.owes(now),
            _ if id > open.heard + 1 => self.fail(now, "a message is missing", true),
            _ => {
                open.heard = id;
                self.violations = 0;
                // The application has it already, or will not ask for it any more.
                if given.is_none() && self.leaving.is_none() {
                    self.inbox.message(number, message);
                }
            }
        }
    }

    fn given_is_received(&mut self, now: Timestamp) {
        let Some(Number { session, id, tag }) = self.given.take() else { return };
        if session != self.session {
            return;
        }
        (self.known.received, self.known.tag) = (id, tag);
        self.changed = true;
        if let State::Open(open) = &mut self.state {
            open.heard = open.heard.max(id);
            open.owes(now);
        }
    }

    fn next_said(&mut self) -> Option<Output> {
        let State::Open(open) = &mut self.state else { return None };
        if open.acknowledges(self.leaving.is_some()) {
            let ack = ToGateway::SequenceAck { sequence_id: self.known.received };
            return Some(Output::Say(ack.to_json()));
        }
        if open.beats() {
            return Some(Output::Say(ToGateway::Heartbeat.to_json()));
        }
        if let Some(text) = self.outbox.next_unsent() {
            self.changed = true;
            return Some(Output::Say(text));
        }
        let leaving = self.leaving.as_mut().filter(|leaving| !leaving.said)?;
        leaving.said = true;
        Some(match &leaving.how {
            Leave::Goodbye => Output::Say(ToGateway::Goodbye.to_json()),
            Leave::Close { code, reason } => Output::Close { code: *code, reason: reason.clone() },
        })
    }

    /// Gives the connection up.
    fn fail(&mut self, now: Timestamp, reason: &str, violation: bool) {
        self.abandon(None, CONNECTION_LOST, reason);
        self.lost(now, NO_CLOSE, reason.into(), violation);
    }

    fn abandon(&mut self, last: Option<String>, code: u16, reason: &str) {
        if !matches!(self.state, State::Waiting { .. }) {
            self.controls.push_back(Output::Abandon { last, code, reason: reason.into() });
        }
    }

    fn lost(&mut self, now: Timestamp, code: u16, reason: String, violation: bool) {
        if let Some(leaving) = self.leaving.as_ref().filter(|l| l.is_answered_by(code)) {
            return self.finish(leaving.reason(), code, reason);
        }
        let meaning = if violation { Meaning::Violation } else { Meaning::of(code) };
        match meaning {
            Meaning::Superseded => self.finish(EndedReason::Superseded, code, reason),
            Meaning::Refused => self.finish(EndedReason::Refused, code, reason),
            Meaning::Ended => self.finish(EndedReason::Backend, code, reason),
            Meaning::Violation if self.violations + 1 >= MAX_VIOLATIONS => {
                self.finish(EndedReason::Violation, code, reason);
            }
            Meaning::Violation => {
                self.violations += 1;
                self.retry(now, code, reason);
            }
            Meaning::Again => self.retry(now, code, reason),
        }
    }

    fn retry(&mut self, now: Timestamp, code: u16, reason: String) {
        if let State::Open(open) = &self.state {
            self.backoff.lost(now.since(open.since));
        }
        let window = Duration::from_millis(self.known.window);
        let told = self.retry_after.take();
        let chance = self.chance.number();
        let retry_in = told.unwrap_or_else(|| self.backoff.next(now, window, chance));
        self.state = State::Waiting { until: now + retry_in };
        self.inbox.event(Event::Interrupted { code, reason, retry_in });
    }

    fn leave(&mut self, now: Timestamp, how: Leave) {
        if self.leaving.is_some() {
            return;
        }
        self.given_is_received(now);
        // The application will not ask for them any more, so they are not acknowledged.
        self.inbox.forget_messages_of(self.session);
        self.changed = true;
        let until = now + LEAVE_LIMIT;
        self.leaving = Some(Leaving { how, said: false, until });
        let nothing_to_end = self.known.token.is_none() && self.outbox.len() == 0;
        match &mut self.state {
            State::Waiting { .. } if nothing_to_end => {
                let reason = self.leaving.as_ref().map(Leaving::reason);
                let reason = reason.unwrap_or(EndedReason::Closed);
                self.finish(reason, NO_CLOSE, "there was no connection".into());
            }
            State::Waiting { until } => *until = now,
            _ => {}
        }
    }

    fn detach(&mut self) {
        // It gets no answer, so time does not matter.
        self.given_is_received(Timestamp(0));
        let ack = ToGateway::SequenceAck { sequence_id: self.known.received };
        let last = match &self.state {
            State::Open(open) if open.owed > 0 => Some(ack.to_json()),
            _ => None,
        };
        self.abandon(last, MAY_RETURN, "detached");
        self.changed = true;
        self.state = State::Over { detached: true };
    }

    /// The session is over, and no other begins.
    fn finish(&mut self, reason: EndedReason, code: u16, text: String) {
        self.abandon(None, 1000, "");
        self.end(reason, code, text, false);
        self.state = State::Over { detached: false };
    }

    /// The session is over. A message that was sent before any connection goes along to the next.
    fn end(&mut self, reason: EndedReason, code: u16, text: String, restarts: bool) {
        let mut unacknowledged = self.outbox.take(self.seen || !restarts);
        // The gateway commits what came before a goodbye, then answers it.
        if reason == EndedReason::Goodbye && code == 1000 {
            unacknowledged.clear();
        }
        let session_id = std::mem::take(&mut self.known).session_id.unwrap_or_default();
        self.session += 1;
        self.seen = false;
        self.changed = true;
        let ended = Ended { session_id, reason, code, text, restarts, unacknowledged };
        self.inbox.event(Event::Ended(ended));
    }
}
