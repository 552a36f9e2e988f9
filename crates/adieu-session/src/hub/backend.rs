//! What the backend asks for, and what the gateway itself says to clients.

use std::time::Duration;

use adieu_proto::{Close, Message, Utf8Bytes};
use bytes::Bytes;
use serde::Serialize;

use super::super::machine::{Input, State};
use super::super::wait::Departure;
use super::super::wire::{Payload, TOO_SLOW, ToClient};
use super::super::{SessionId, Timestamp};
use super::said::send;
use super::tell::close;
use super::{Effect, Handle, Hub, NoSession, Step, millis};
use crate::Change;

/// Heartbeats that a page which owes an acknowledgement may miss before it gets nothing more.
const SILENT_AFTER: u32 = 3;

/// A session as the API shows it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct View {
    /// Its name.
    pub session_id: SessionId,
    /// As whom the backend knows the person.
    pub user_id: Option<String>,
    /// Whether a connection is open.
    pub attached: bool,
    /// What the end of the last connection said, if it is away.
    pub departure: Option<Departure>,
    /// When its end is announced, if nobody comes back.
    pub until: Option<Timestamp>,
    /// Of its newest connection.
    pub generation: u32,
    /// Its client does not speak adieu.v1.
    pub plain: bool,
    /// Connections that it has had.
    pub connections: u32,
    /// When it began.
    pub started_at: Timestamp,
    /// Messages that were sent to the client.
    pub sent: u64,
    /// Of those: not acknowledged.
    pub unacknowledged: usize,
    /// Messages that the client has sent.
    pub received: u64,
}

/// How many there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Sessions whose connection is open.
    pub attached: usize,
    /// Sessions that may come back.
    pub away: usize,
    /// Users with a session.
    pub users: usize,
}

impl Hub {
    /// How many there are.
    #[must_use]
    pub fn counts(&self) -> Counts {
        // Who is away is waited for, and all that is waited for is in the list.
        let away = self.deadlines.len();
        Counts { attached: self.sessions.len() - away, away, users: self.users.len() }
    }

    /// The backend sends a message. It is kept until the client has acknowledged it; a client that
    /// does not speak adieu.v1 acknowledges nothing, so it gets it once or not at all.
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
        if entry.row.plain {
            entry.row.sent += 1;
            let generation = entry.row.session.generation();
            let message = match payload {
                Payload::Text(text) => Message::from(text.clone()),
                Payload::Binary(bytes) => Message::from(bytes.clone()),
            };
            step.effects.push(Effect::Send(Handle { session: id, generation }, message));
            return Ok(step);
        }
        let sequence = entry.outbox.sent() + 1;
        let message = ToClient::Message { sequence_id: sequence, payload: payload.into() };
        let message = Bytes::from(message.to_json());
        let settled = entry.outbox.settled();
        entry.outbox.push(now, message.clone(), &self.settings.outbox);
        entry.row.sent = sequence;
        step.changes.push(Change::PutMessage { id, sequence, message });
        let up_to = entry.outbox.settled();
        if up_to > settled {
            step.changes.push(Change::TrimMessages { id, up_to });
        }
        self.flush(&mut step, now, id);
        self.save(&mut step, id);
        Ok(step)
    }

    /// Sends what the newest connection was not sent yet, unless its page is silent; how many.
    pub(super) fn flush(&mut self, step: &mut Step, now: Timestamp, id: SessionId) -> usize {
        let silent = self.settings.heartbeat * SILENT_AFTER;
        let Some(entry) = self.sessions.get_mut(&id) else { return 0 };
        if entry.row.session.state() != State::Attached || entry.row.plain {
            return 0;
        }
        let owes = entry.live.owes_since;
        if !silent.is_zero() && owes.is_some_and(|since| since + silent < now) {
            return 0;
        }
        let handle = Handle { session: id, generation: entry.row.session.generation() };
        let Ok(unsent) = entry.outbox.after(entry.live.wired) else {
            // What it was not sent is not kept any more: never a silent gap.
            close(step, handle, TOO_SLOW, "too much waits for this client");
            return 0;
        };
        let before = step.effects.len();
        for (_, message) in unsent {
            // Written by us as text.
            let text = Utf8Bytes::try_from(message.clone()).unwrap_or_default();
            step.effects.push(Effect::Send(handle, Message::Text(text)));
        }
        let sent = step.effects.len() - before;
        if sent > 0 {
            entry.live.wired = entry.outbox.sent();
            entry.live.owes_since.get_or_insert(now);
        }
        sent
    }

    /// The sessions of a user.
    pub fn of_user(&self, user: &str) -> impl Iterator<Item = SessionId> + '_ {
        self.users.get(user).into_iter().flatten().copied()
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

    /// Tells a client that the gateway goes away, and when to come back; it is waited for until
    /// then, and some more.
    pub fn closing(&mut self, now: Timestamp, id: SessionId, retry_after: Duration) -> Step {
        let mut step = Step::default();
        let Some(entry) = self.sessions.get_mut(&id) else { return step };
        if entry.row.session.state() != State::Attached || entry.row.plain {
            return step;
        }
        // Written down: it holds for the next process too, whatever becomes of this one.
        entry.row.promised = Some(now + retry_after);
        let handle = Handle { session: id, generation: entry.row.session.generation() };
        step.effects.push(send(handle, &ToClient::Closing { retry_after: millis(retry_after) }));
        self.save(&mut step, id);
        step
    }

    /// All sessions, in no order.
    pub fn ids(&self) -> impl Iterator<Item = SessionId> + '_ {
        self.sessions.keys().copied()
    }

    /// A session as the API shows it.
    #[must_use]
    pub fn view(&self, id: SessionId) -> Option<View> {
        let entry = self.sessions.get(&id)?;
        let (departure, until) = match entry.row.session.state() {
            State::Away { departure, until } => (Some(departure), Some(until)),
            State::Attached | State::Over => (None, None),
        };
        Some(View {
            session_id: id,
            user_id: entry.row.user.clone(),
            attached: departure.is_none(),
            departure,
            until,
            generation: entry.row.session.generation(),
            plain: entry.row.plain,
            connections: entry.row.connections,
            started_at: entry.row.started,
            sent: entry.row.sent,
            unacknowledged: entry.outbox.unacknowledged(),
            received: entry.row.inbox.received(),
        })
    }
}
