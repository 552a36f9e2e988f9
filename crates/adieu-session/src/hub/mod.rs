//! All sessions. What happened comes in; a [`Step`] comes back: what to commit, and what to do once
//! it is committed. So nothing is acknowledged, announced or answered that a crash could undo.

mod backend;
#[cfg(test)]
mod broken_world;
mod event;
mod moment;
mod row;
mod said;
mod tell;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use adieu_proto::{Close, Message};
use bytes::Bytes;
use serde_json::Value;

pub use backend::{Counts, View};
pub use event::{Data, Event, EventType};
pub use moment::{Moment, What};
use row::{Entry, Live, Row};
pub use tell::session_stream as stream;

use super::Timestamp;
use super::inbox::Inbox;
use super::machine::{Action, Input, Refusal, Session, State};
use super::outbox::{Outbox, OutboxLimits};
use super::token::{Key, SessionId, Token};
use super::wait::{Departure, Waits};
use super::wire::{NotResumed, Resume, ToClient};
use crate::{Batch, Change, Contents};

/// How sessions behave.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How long the announcement of an end waits.
    pub waits: Waits,
    /// How much is kept for a client that does not acknowledge.
    pub outbox: OutboxLimits,
    /// Between two heartbeats of a page; zero = none. A page that owes an acknowledgement and has
    /// said nothing for three of them gets nothing more until it speaks.
    pub heartbeat: Duration,
    /// Whether there is a backend that wants events.
    pub tell: bool,
    /// Whether it wants `connection.lost` and `connection.resumed` too.
    pub tell_connections: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            waits: Waits::default(),
            outbox: OutboxLimits::default(),
            heartbeat: Duration::from_secs(20),
            tell: true,
            tell_connections: false,
        }
    }
}

/// A wait that is carried over a restart is no longer than this, beginning with the restart: the
/// clock may have been wrong before.
const MAX_CARRIED: Duration = Duration::from_secs(3600);

/// One connection of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Handle {
    /// Whose it is.
    pub session: SessionId,
    /// Which of its connections.
    pub generation: u32,
}

/// What to do once the changes are committed, in order.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Send this on the connection, if it is still there.
    Send(Handle, Message),
    /// Close the connection.
    Close(Handle, Close),
    /// An event waits for the backend, behind the others of its stream.
    Deliver {
        /// What it is ordered by.
        stream: Bytes,
        /// Its number there.
        sequence: u64,
        /// The event, as it was written down.
        event: Bytes,
    },
    /// For people to see.
    Moment(Moment),
}

/// What comes of something that happened.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Step {
    /// To be committed, whole.
    pub changes: Batch,
    /// To be done after that.
    pub effects: Vec<Effect>,
}

impl Step {
    /// Both, one behind the other.
    pub fn append(&mut self, mut next: Step) {
        self.changes.append(&mut next.changes);
        self.effects.append(&mut next.effects);
    }
}

/// No session of this name is here or away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoSession;

/// A row that cannot be read: another version wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnreadableSession(pub SessionId);

impl std::fmt::Display for UnreadableSession {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "session {} in the store cannot be read by this version of adieu", self.0)
    }
}

impl std::error::Error for UnreadableSession {}

/// Who starts a session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Newcomer {
    /// As whom the backend knows the person.
    pub user: Option<String>,
    /// Where the page is from.
    pub origin: Option<String>,
    /// The client does not speak adieu.v1.
    pub plain: bool,
    /// Why the session that it asked for is not resumed.
    pub not_resumed: Option<NotResumed>,
}

/// All sessions that are here or away.
#[derive(Debug)]
pub struct Hub {
    key: Key,
    settings: Settings,
    sessions: HashMap<SessionId, Entry>,
    deadlines: BTreeSet<(Timestamp, SessionId)>,
    /// The sessions of each user.
    users: HashMap<String, BTreeSet<SessionId>>,
    /// The number of the last event of any user.
    user_events: u64,
}

impl Hub {
    /// Without sessions.
    #[must_use]
    pub fn new(key: Key, settings: Settings) -> Self {
        Hub {
            key,
            settings,
            sessions: HashMap::new(),
            deadlines: BTreeSet::new(),
            users: HashMap::new(),
            user_events: 0,
        }
    }

    /// As it was stored. From `now` on, when it can accept again, each session has a fresh window;
    /// those that cannot come back are over.
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
        hub.user_events = contents.events.keys().map(|(_, number)| *number).max().unwrap_or(0);
        for (id, bytes) in &contents.sessions {
            let row = Row::read(bytes).ok_or(UnreadableSession(*id))?;
            let kept = contents.messages.range((*id, 0)..=(*id, u64::MAX));
            // Their age begins anew: time when nobody could fetch them counts against nobody.
            let outbox = Outbox::restore(row.sent, kept.map(|(_, message)| (now, message.clone())));
            if let Some(user) = &row.user {
                hub.users.entry(user.clone()).or_default().insert(*id);
            }
            let row = Row { session: row.session.not_after(now + MAX_CARRIED), ..row };
            row.session.deadline().map(|at| hub.deadlines.insert((at, *id)));
            hub.sessions.insert(*id, Entry { row, outbox, live: Live::default() });
        }
        let mut step = Step::default();
        for id in contents.sessions.keys() {
            hub.restarted(&mut step, now, *id);
        }
        Ok((hub, step))
    }

    fn restarted(&mut self, step: &mut Step, now: Timestamp, id: SessionId) {
        let Some(entry) = self.sessions.get(&id) else { return };
        let generation = entry.row.session.generation();
        let plain = entry.row.plain;
        let input = if plain {
            let departure = Departure::GatewayDown;
            Input::Detach { generation, departure, wait: Duration::ZERO }
        } else {
            let Waits { gateway_down, drained, .. } = self.settings.waits;
            let promised = entry.row.promised.map_or(Duration::ZERO, |at| at.since(now) + drained);
            Input::Restarted { window: gateway_down.max(promised.min(MAX_CARRIED)) }
        };
        self.input(step, now, id, input);
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

    /// A new session on a new connection.
    pub fn start(&mut self, now: Timestamp, id: SessionId, newcomer: Newcomer) -> (Handle, Step) {
        let Newcomer { user, origin, plain, not_resumed } = newcomer;
        let (session, actions) = Session::start();
        let row = Row {
            session,
            plain,
            user: user.clone(),
            origin,
            started: now,
            connections: 1,
            inbox: Inbox::default(),
            sent: 0,
            events: 0,
            account: None,
            promised: None,
        };
        let (outbox, live) = (Outbox::default(), Live::default());
        self.sessions.insert(id, Entry { row, outbox, live });
        let mut step = Step::default();
        let handle = Handle { session: id, generation: session.generation() };
        if !plain {
            step.effects.push(self.connected(handle, false, not_resumed));
        }
        self.act(&mut step, now, id, &actions);
        self.joined(&mut step, now, id, user);
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
        let (id, input) = self.resumable(now, resume, origin)?;
        let mut step = Step::default();
        let Some(entry) = self.sessions.get_mut(&id) else { return Err(NotResumed::Expired) };
        entry.row.connections += 1;
        entry.row.account = None;
        entry.row.promised = None;
        entry.live = Live { wired: resume.received, ..Live::default() };
        let after = match entry.row.session.state() {
            State::Away { departure, .. } => Some(departure),
            State::Attached | State::Over => None,
        };
        self.input(&mut step, now, id, input);
        let Some(entry) = self.sessions.get(&id) else { return Err(NotResumed::Expired) };
        let handle = Handle { session: id, generation: entry.row.session.generation() };
        step.effects.push(self.connected(handle, true, None));
        let replayed = self.flush(&mut step, now, id);
        // That it is on the way is no acknowledgement; what it says that it has received is one.
        self.acknowledge(&mut step, id, resume.received);
        let generation = handle.generation;
        let what = What::Resumed { generation, after, replayed };
        step.effects.push(Effect::Moment(Moment { session_id: id, at: now, what }));
        self.save(&mut step, id);
        Ok((handle, step))
    }

    /// Whether a session can be resumed, without doing so: what the backend may be asked after.
    ///
    /// # Errors
    /// [`NotResumed`]: why not.
    pub fn may_resume(
        &self,
        now: Timestamp,
        resume: &Resume,
        origin: Option<&str>,
    ) -> Result<SessionId, NotResumed> {
        self.resumable(now, resume, origin).map(|(id, _)| id)
    }

    /// Whoever is asked about may not be given up meanwhile: a wait that would be over before this
    /// is made longer.
    pub fn hold(&mut self, now: Timestamp, id: SessionId, until: Timestamp) -> Step {
        let mut step = Step::default();
        self.input(&mut step, now, id, Input::Hold { until });
        step
    }

    fn resumable(
        &self,
        now: Timestamp,
        resume: &Resume,
        origin: Option<&str>,
    ) -> Result<(SessionId, Input), NotResumed> {
        let token = Token::verify(&resume.token, &self.key).ok_or(NotResumed::Invalid)?;
        // Its MAC is ours, so there was one.
        let entry = self.sessions.get(&token.session).ok_or(NotResumed::Expired)?;
        if entry.row.origin.as_deref() != origin {
            return Err(NotResumed::Origin);
        }
        let input = Input::Resume { presented: token.generation };
        if let [Action::Refuse(refusal)] = entry.row.session.on(now, input).1[..] {
            return Err(match refusal {
                Refusal::Expired => NotResumed::Expired,
                Refusal::Stale => NotResumed::Stale,
            });
        }
        match entry.outbox.after(resume.received) {
            Ok(_) => Ok((token.session, input)),
            Err(_) => Err(NotResumed::Lost),
        }
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
        let waits = self.settings.waits;
        let Some(entry) = self.newest(handle) else { return step };
        entry.row.account = Some(account);
        let mut wait = waits.after(departure);
        if let Some(promised) = entry.row.promised.filter(|_| departure != Departure::Left) {
            wait = wait.max(promised.since(now) + waits.drained);
        }
        if entry.row.plain {
            // It has no token to come back with.
            wait = Duration::ZERO;
        }
        let generation = handle.generation;
        self.input(&mut step, now, handle.session, Input::Detach { generation, departure, wait });
        step
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

    /// Announces all who are away: they cannot come back to this gateway nor to a later one.
    pub fn give_up(&mut self, now: Timestamp) -> Step {
        for (at, id) in std::mem::take(&mut self.deadlines) {
            let at = at.min(now);
            if let Some(entry) = self.sessions.get_mut(&id) {
                entry.row.session = entry.row.session.not_after(at);
                self.deadlines.insert((at, id));
            }
        }
        self.expire(now)
    }

    /// The backend has taken an event.
    #[must_use]
    pub fn delivered(&self, stream: Bytes, sequence: u64) -> Step {
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
            State::Over => self.forget(step, now, id),
            _ => self.save(step, id),
        }
    }

    fn forget(&mut self, step: &mut Step, now: Timestamp, id: SessionId) {
        self.left(step, now, id);
        self.sessions.remove(&id);
        let put =
            |change: &Change| matches!(change, Change::PutSession { id: of, .. } if *of == id);
        step.changes.retain(|change| !put(change));
        step.changes.push(Change::DeleteSession { id });
    }

    /// Writes a session down, as it is at the end of the step.
    fn save(&mut self, step: &mut Step, id: SessionId) {
        let put =
            |change: &Change| matches!(change, Change::PutSession { id: of, .. } if *of == id);
        step.changes.retain(|change| !put(change));
        if let Some(entry) = self.sessions.get(&id) {
            step.changes.push(Change::PutSession { id, session: entry.row.to_bytes() });
        }
    }

    fn connected(&self, handle: Handle, resumed: bool, reason: Option<NotResumed>) -> Effect {
        let (session, generation) = (handle.session, handle.generation);
        let inbox = self.sessions.get(&session).map(|entry| entry.row.inbox).unwrap_or_default();
        let said = ToClient::Connected {
            session_id: session,
            reconnection_token: &Token { session, generation }.sign(&self.key),
            generation,
            resumed,
            reason,
            window: millis(self.settings.waits.lost),
            sequence_ack: inbox.received(),
            heartbeat: millis(self.settings.heartbeat),
        };
        Effect::Send(handle, Message::from(said.to_json()))
    }
}

fn millis(length: Duration) -> u64 {
    u64::try_from(length.as_millis()).unwrap_or(u64::MAX)
}
