//! All sessions. What happened comes in; a [`Step`] comes back: what to commit, and what to do once
//! it is committed. So nothing is acknowledged, announced or answered that a crash could undo.

mod event;
mod row;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use adieu::{Close, CloseCode};
use bytes::Bytes;
use serde_json::{Value, json};

pub use event::{Event, EventType};
use row::{Entry, Row};

use super::Timestamp;
use super::inbox::{Inbox, Judged};
use super::machine::{Action, Input, Refusal, Session, State, Why};
use super::outbox::{Outbox, OutboxLimits, Unknown};
use super::token::{Key, SessionId, Token};
use super::wait::{Departure, Waits};
use super::wire::{
    self, Fault, FromClient, NotResumed, Payload, Resume, SESSION_ENDED, SUPERSEDED, ToClient,
};
use crate::store::{Batch, Change, Contents};

/// How sessions behave.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How long the announcement of an end waits.
    pub waits: Waits,
    /// How much is kept for a client that does not acknowledge.
    pub outbox: OutboxLimits,
    /// Between two heartbeats of a page; zero = none.
    pub heartbeat: Duration,
    /// Whether the backend wants `connection.lost` and `connection.resumed`.
    pub tell_connections: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            waits: Waits::default(),
            outbox: OutboxLimits::default(),
            heartbeat: Duration::from_secs(20),
            tell_connections: false,
        }
    }
}

/// One connection of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Handle {
    /// Whose it is.
    pub session: SessionId,
    /// Which of its connections.
    pub generation: u32,
}

/// What to do once the changes are committed, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Send this text on the connection, if it is still there.
    Send(Handle, String),
    /// Close the connection.
    Close(Handle, Close),
    /// Events of this session wait for the backend.
    Deliver(SessionId),
}

/// What comes of something that happened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// To be committed, whole.
    pub changes: Batch,
    /// To be done after that.
    pub effects: Vec<Effect>,
}

/// No session of this name is here or away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoSession;

/// A row that cannot be read: another version wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnreadableSession(pub SessionId);

/// All sessions that are here or away.
#[derive(Debug)]
pub struct Hub {
    key: Key,
    settings: Settings,
    sessions: HashMap<SessionId, Entry>,
    deadlines: BTreeSet<(Timestamp, SessionId)>,
}

impl Hub {
    /// Without sessions.
    #[must_use]
    pub fn new(key: Key, settings: Settings) -> Self {
        Hub { key, settings, sessions: HashMap::new(), deadlines: BTreeSet::new() }
    }

    /// As it was stored. From `now` on, when it can accept again, each session has a fresh window.
    ///
    /// # Errors
    /// [`UnreadableSession`]: nothing is guessed.
    pub fn restore(
        key: Key,
        settings: Settings,
        contents: &Contents,
        now: Timestamp,
    ) -> Result<(Self, Step), UnreadableSession> {
        let mut hub = Hub::new(key, settings);
        let mut step = Step::default();
        for (id, bytes) in &contents.sessions {
            let row = Row::read(bytes).ok_or(UnreadableSession(*id))?;
            let kept = contents.messages.range((*id, 0)..=(*id, u64::MAX));
            let outbox = Outbox::restore(row.sent, kept.map(|(_, message)| (now, message.clone())));
            hub.sessions.insert(*id, Entry { row, outbox });
            let window = hub.settings.waits.gateway_down;
            hub.input(&mut step, now, *id, Input::Restarted { window });
        }
        Ok((hub, step))
    }

    /// Sessions that are here or away.
    #[must_use]
    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    /// When [`expire`](Self::expire) is due.
    #[must_use]
    pub fn deadline(&self) -> Option<Timestamp> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// A new session on a new connection. `reason`: why the one that it asked for is not resumed.
    pub fn start(
        &mut self,
        now: Timestamp,
        id: SessionId,
        user: Option<String>,
        origin: Option<String>,
        reason: Option<NotResumed>,
    ) -> (Handle, Step) {
        let (session, actions) = Session::start();
        let row = Row {
            session,
            user,
            origin,
            started: now,
            connections: 1,
            inbox: Inbox::default(),
            sent: 0,
            events: 0,
            account: None,
        };
        self.sessions.insert(id, Entry { row, outbox: Outbox::default() });
        let mut step = Step::default();
        self.act(&mut step, now, id, &actions);
        let handle = Handle { session: id, generation: session.generation() };
        step.effects.insert(0, Effect::Send(handle, self.connected(handle, false, reason)));
        self.save(&mut step, id);
        (handle, step)
    }

    /// A new connection of a session: all that the client lacks follows, or nothing is changed.
    ///
    /// # Errors
    /// [`NotResumed`]: why; begin a new one.
    pub fn resume(
        &mut self,
        now: Timestamp,
        resume: &Resume,
        origin: Option<&str>,
    ) -> Result<(Handle, Step), NotResumed> {
        let token = Token::verify(&resume.token, &self.key).ok_or(NotResumed::Invalid)?;
        let id = token.session;
        // Its MAC is ours, so there was one.
        let entry = self.sessions.get(&id).ok_or(NotResumed::Expired)?;
        if entry.row.origin.as_deref() != origin {
            return Err(NotResumed::Origin);
        }
        let lacks = entry.outbox.after(resume.received).map_err(|_| NotResumed::Lost)?;
        let lacks: Vec<String> =
            lacks.map(|(_, message)| String::from_utf8_lossy(message).into_owned()).collect();
        let input = Input::Resume { presented: token.generation };
        if let [Action::Refuse(refusal)] = entry.row.session.on(now, input).1[..] {
            return Err(match refusal {
                Refusal::Expired => NotResumed::Expired,
                Refusal::Stale => NotResumed::Stale,
            });
        }
        let mut step = Step::default();
        self.input(&mut step, now, id, input);
        let Some(entry) = self.sessions.get_mut(&id) else { return Err(NotResumed::Expired) };
        entry.row.connections += 1;
        let handle = Handle { session: id, generation: entry.row.session.generation() };
        let connected = self.connected(handle, true, None);
        step.effects.push(Effect::Send(handle, connected));
        step.effects.extend(lacks.into_iter().map(|message| Effect::Send(handle, message)));
        self.acknowledge(&mut step, id, resume.received);
        self.save(&mut step, id);
        Ok((handle, step))
    }

    /// A client said something. What it says wrong closes its connection, and no other.
    pub fn hear(&mut self, now: Timestamp, handle: Handle, text: &str) -> Step {
        let mut step = Step::default();
        // What an older connection still says counts for nothing: its client has said it again.
        if self.newest(handle).is_none() {
            return step;
        }
        let result =
            FromClient::read(text).and_then(|said| self.said(&mut step, now, handle, said));
        if let Err(fault) = result {
            step.effects.push(Effect::Close(handle, fault.close()));
        }
        step
    }

    fn said(
        &mut self,
        step: &mut Step,
        now: Timestamp,
        handle: Handle,
        said: FromClient,
    ) -> Result<(), Fault> {
        let id = handle.session;
        let confirm = Input::Confirm { generation: handle.generation };
        match said {
            FromClient::Message { sequence_id, payload } => {
                let Some(entry) = self.sessions.get_mut(&id) else { return Ok(()) };
                let judged = entry.row.inbox.judge(sequence_id);
                let received = entry.row.inbox.received();
                match judged {
                    Judged::Gap { expected } => {
                        return Err(Fault::Gap { expected, came: sequence_id });
                    }
                    Judged::Duplicate => {}
                    Judged::New => {
                        let data = match payload {
                            Payload::Text(text) => json!({ "text": text }),
                            payload @ Payload::Binary(_) => {
                                json!(wire::PayloadText::from(&payload))
                            }
                        };
                        self.tell(step, now, id, EventType::Message, data);
                    }
                }
                self.input(step, now, id, confirm);
                let ack = ToClient::SequenceAck { sequence_id: received };
                step.effects.push(Effect::Send(handle, ack.to_json()));
                self.save(step, id);
            }
            FromClient::SequenceAck { sequence_id } => {
                self.input(step, now, id, confirm);
                self.acknowledge_checked(step, id, sequence_id)?;
                self.save(step, id);
            }
            FromClient::Goodbye => {
                let generation = handle.generation;
                self.input(step, now, id, Input::Goodbye { generation });
            }
            FromClient::Heartbeat => {
                step.effects.push(Effect::Send(handle, ToClient::Heartbeat.to_json()));
            }
            FromClient::Unknown => {}
        }
        Ok(())
    }

    /// A connection ended. `account` is how, for the backend.
    pub fn ended(
        &mut self,
        now: Timestamp,
        handle: Handle,
        departure: Departure,
        account: Value,
    ) -> Step {
        let mut step = Step::default();
        let Some(entry) = self.newest(handle) else { return step };
        entry.row.account = Some(account);
        let wait = self.settings.waits.after(departure);
        let generation = handle.generation;
        self.input(&mut step, now, handle.session, Input::Detach { generation, departure, wait });
        step
    }

    /// The backend sends a message. It is kept until the client has acknowledged it.
    ///
    /// # Errors
    /// [`NoSession`].
    pub fn send(
        &mut self,
        now: Timestamp,
        id: SessionId,
        payload: &Payload,
    ) -> Result<Step, NoSession> {
        let entry = self.sessions.get_mut(&id).ok_or(NoSession)?;
        let mut step = Step::default();
        let sequence = entry.outbox.sent() + 1;
        let message = ToClient::Message { sequence_id: sequence, payload: payload.into() };
        let message = message.to_json();
        let settled = entry.outbox.settled();
        entry.outbox.push(now, Bytes::from(message.clone()), &self.settings.outbox);
        entry.row.sent = sequence;
        step.changes.push(Change::PutMessage { id, sequence, message: message.clone().into() });
        if entry.outbox.settled() > settled {
            let up_to = entry.outbox.settled();
            step.changes.push(Change::TrimMessages { id, up_to });
        }
        if entry.row.session.state() == State::Attached {
            let handle = Handle { session: id, generation: entry.row.session.generation() };
            step.effects.push(Effect::Send(handle, message));
        }
        self.save(&mut step, id);
        Ok(step)
    }

    /// The backend ends a session, with its own code and reason or with 4003.
    ///
    /// # Errors
    /// [`NoSession`].
    pub fn end(
        &mut self,
        now: Timestamp,
        id: SessionId,
        close: Option<Close>,
    ) -> Result<Step, NoSession> {
        self.sessions.get(&id).ok_or(NoSession)?;
        let mut step = Step::default();
        self.input(&mut step, now, id, Input::End);
        if let Some(own) = close {
            for effect in &mut step.effects {
                if let Effect::Close(_, close) = effect {
                    *close = own.clone();
                }
            }
        }
        Ok(step)
    }

    /// Announces who did not come back in time.
    pub fn expire(&mut self, now: Timestamp) -> Step {
        let mut step = Step::default();
        while let Some((at, id)) = self.deadlines.first().copied()
            && at <= now
        {
            self.input(&mut step, now, id, Input::Expire);
        }
        step
    }

    /// The backend has taken an event.
    #[must_use]
    pub fn delivered(&self, id: SessionId, sequence: u64) -> Step {
        let stream = stream(id);
        Step { changes: vec![Change::DeleteEvent { stream, sequence }], effects: Vec::new() }
    }

    /// The session whose newest connection this is.
    fn newest(&mut self, handle: Handle) -> Option<&mut Entry> {
        let entry = self.sessions.get_mut(&handle.session)?;
        let session = entry.row.session;
        let newest = session.generation() == handle.generation;
        (newest && session.state() == State::Attached).then_some(entry)
    }

    /// Gives the machine an input and does what it says.
    fn input(&mut self, step: &mut Step, now: Timestamp, id: SessionId, input: Input) {
        let Some(entry) = self.sessions.get_mut(&id) else { return };
        let before = entry.row.session;
        let (after, actions) = before.on(now, input);
        if after == before {
            return;
        }
        entry.row.session = after;
        if before.deadline() != after.deadline() {
            before.deadline().map(|at| self.deadlines.remove(&(at, id)));
            after.deadline().map(|at| self.deadlines.insert((at, id)));
        }
        self.act(step, now, id, &actions);
        match after.state() {
            State::Over => {
                self.sessions.remove(&id);
                step.changes.push(Change::DeleteSession { id });
            }
            _ => self.save(step, id),
        }
    }

    fn act(&mut self, step: &mut Step, now: Timestamp, id: SessionId, actions: &[Action]) {
        for action in actions {
            match *action {
                Action::TellStarted => {
                    let user = self.sessions.get(&id).and_then(|entry| entry.row.user.clone());
                    self.tell(step, now, id, EventType::SessionStarted, json!({ "user": user }));
                }
                Action::TellLost if self.settings.tell_connections => {
                    let data = self.account(id);
                    self.tell(step, now, id, EventType::ConnectionLost, data);
                }
                Action::TellResumed if self.settings.tell_connections => {
                    self.tell(step, now, id, EventType::ConnectionResumed, Value::Null);
                }
                Action::TellLost | Action::TellResumed | Action::Refuse(_) => {}
                Action::TellEnded(why) => {
                    let data = self.story(now, id, why);
                    self.tell(step, now, id, EventType::SessionEnded, data);
                }
                Action::Supersede(generation) => {
                    close(step, Handle { session: id, generation }, SUPERSEDED);
                }
                Action::CloseNewest => {
                    let Some(entry) = self.sessions.get(&id) else { continue };
                    let generation = entry.row.session.generation();
                    let said = actions.contains(&Action::TellEnded(Why::Goodbye));
                    let code = if said { CloseCode::NORMAL.get() } else { SESSION_ENDED };
                    close(step, Handle { session: id, generation }, code);
                }
            }
        }
    }

    fn account(&self, id: SessionId) -> Value {
        self.sessions.get(&id).and_then(|entry| entry.row.account.clone()).unwrap_or_default()
    }

    /// What the backend is told of a session that is over.
    fn story(&self, now: Timestamp, id: SessionId, why: Why) -> Value {
        let Some(entry) = self.sessions.get(&id) else { return Value::Null };
        json!({
            "why": why,
            "user": entry.row.user,
            "connections": entry.row.connections,
            "startedAt": entry.row.started,
            "lastedMs": now.0.saturating_sub(entry.row.started.0),
            "unacknowledged": entry.outbox.unacknowledged(),
            "ending": entry.row.account,
        })
    }

    /// Numbers an event and writes it down.
    fn tell(
        &mut self,
        step: &mut Step,
        now: Timestamp,
        id: SessionId,
        r#type: EventType,
        data: Value,
    ) {
        let Some(entry) = self.sessions.get_mut(&id) else { return };
        entry.row.events += 1;
        let (sequence, generation) = (entry.row.events, entry.row.session.generation());
        let name = format!("{id}-{sequence}");
        let event =
            Event { id: name, r#type, session_id: id, generation, sequence, time: now, data };
        let event = serde_json::to_vec(&event).unwrap_or_default().into();
        step.changes.push(Change::PutEvent { stream: stream(id), sequence, event });
        if !step.effects.contains(&Effect::Deliver(id)) {
            step.effects.push(Effect::Deliver(id));
        }
    }

    /// The client has all up to `n`.
    fn acknowledge(&mut self, step: &mut Step, id: SessionId, n: u64) {
        let _ = self.acknowledge_checked(step, id, n);
    }

    fn acknowledge_checked(&mut self, step: &mut Step, id: SessionId, n: u64) -> Result<(), Fault> {
        let Some(entry) = self.sessions.get_mut(&id) else { return Ok(()) };
        let before = entry.outbox.settled();
        match entry.outbox.acknowledge(n) {
            Err(Unknown::Future { sent }) => return Err(Fault::Future { sent, came: n }),
            Err(Unknown::LetGo) | Ok(()) => {}
        }
        let up_to = entry.outbox.settled();
        if up_to > before {
            step.changes.push(Change::TrimMessages { id, up_to });
        }
        Ok(())
    }

    /// Writes a session down, as it is at the end of the step.
    fn save(&mut self, step: &mut Step, id: SessionId) {
        step.changes
            .retain(|change| !matches!(change, Change::PutSession { id: of, .. } if *of == id));
        if let Some(entry) = self.sessions.get(&id) {
            step.changes.push(Change::PutSession { id, session: entry.row.to_bytes() });
        }
    }

    fn connected(&self, handle: Handle, resumed: bool, reason: Option<NotResumed>) -> String {
        let (session, generation) = (handle.session, handle.generation);
        let inbox = self.sessions.get(&session).map(|entry| entry.row.inbox).unwrap_or_default();
        ToClient::Connected {
            session_id: session,
            reconnection_token: &Token { session, generation }.sign(&self.key),
            generation,
            resumed,
            reason,
            window: millis(self.settings.waits.lost),
            sequence_ack: inbox.received(),
            heartbeat: millis(self.settings.heartbeat),
        }
        .to_json()
    }
}

fn close(step: &mut Step, handle: Handle, code: u16) {
    let close = Close::new(code, "").unwrap_or_else(|_| CloseCode::NORMAL.into());
    step.effects.push(Effect::Close(handle, close));
}

/// What events of a session are ordered by.
fn stream(id: SessionId) -> Bytes {
    Bytes::copy_from_slice(&id.to_bytes())
}

fn millis(length: Duration) -> u64 {
    u64::try_from(length.as_millis()).unwrap_or(u64::MAX)
}
