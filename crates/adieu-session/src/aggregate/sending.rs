//! What the backend sends and ends, and what the gateway itself says to clients.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::super::command::Outgoing;
use super::super::machine::{Input, State};
use super::super::outbox::Kept;
use super::super::time::Skew;
use super::super::token::Digest;
use super::super::transaction::{Effect, Transaction};
use super::super::wait::Departure;
use super::super::wire::{FinalClose, TOO_SLOW, ToClient, close};
use super::super::{Change, SessionId, Timestamp};
use super::said::send;
use super::{Aggregate, Context, Dirty, millis};

/// Keys of messages that a session remembers: a client of the API that repeats a request does so
/// within seconds.
const KEYS: usize = 64;

/// Heartbeats that a page which owes an acknowledgement may miss before it gets nothing more.
const SILENT_AFTER: u32 = 3;

/// A session as the API shows it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct View {
    /// Its name.
    pub session_id: SessionId,
    /// As whom the backend knows the person.
    pub user_id: Option<Arc<str>>,
    /// Whether a connection is open.
    pub attached: bool,
    /// What the end of the last connection said, if it is away.
    pub departure: Option<Departure>,
    /// When its end is announced, if the person does not come back.
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

impl Aggregate {
    /// Bytes that it would keep more than now, if this were sent to it: none where it was taken
    /// before, and none of a client that does not speak adieu.v1.
    pub(crate) fn growth(&self, context: &Context<'_>, outgoing: &Outgoing) -> usize {
        if self.row.plain || outgoing.key.is_some_and(|key| self.keys.contains(&key)) {
            return 0;
        }
        let bytes = outgoing.tail.bytes().len();
        self.outbox.growth(bytes, context.now, &context.settings.outbox)
    }

    /// The backend sends a message. It is kept until the client has acknowledged it; a client that
    /// does not speak adieu.v1 acknowledges nothing, so it gets it once or not at all.
    pub(crate) fn send(&mut self, context: &Context<'_>, outgoing: Outgoing, tx: &mut Transaction) {
        if outgoing.key.is_some_and(|key| !self.is_new(key)) {
            return;
        }
        if self.row.plain {
            // It gets the message once or not at all: there is nothing to wait for.
            self.counted_later();
            self.outbox.count();
            tx.effects.push(Effect::Send(self.newest(), outgoing.plain));
            return;
        }
        self.counted();
        let Outgoing { tag, key, tail, .. } = outgoing;
        let settled = self.outbox.settled();
        let kept = Kept { at: context.now, tag, key, tail: tail.clone() };
        let sequence = self.outbox.push(kept, &context.settings.outbox);
        let id = self.id;
        tx.put(Change::PutMessage { id, sequence, tag, key, tail });
        let up_to = self.outbox.settled();
        if up_to > settled {
            let tag = self.outbox.settled_tag();
            tx.put(Change::TrimMessages { id, up_to, tag });
        }
        self.flush(context, tx);
    }

    /// Whether a message with this key was not sent yet, as far as keys are remembered.
    fn is_new(&mut self, key: Digest) -> bool {
        if self.keys.contains(&key) {
            return false;
        }
        self.keys.push_back(key);
        // After a restart there may be more: one for each message that is kept.
        let above = self.keys.len().saturating_sub(KEYS);
        self.keys.drain(..above);
        true
    }

    /// Sends what the newest connection was not sent yet, unless its page is silent; how many.
    pub(super) fn flush(&mut self, context: &Context<'_>, tx: &mut Transaction) -> usize {
        if self.row.session.state() != State::Attached || self.row.plain {
            return 0;
        }
        let (now, silent) = (context.now, context.settings.heartbeat * SILENT_AFTER);
        let owes = self.live.owes_since;
        if !silent.is_zero() && owes.is_some_and(|since| since + silent < now) {
            return 0;
        }
        let handle = self.newest();
        let Ok(unsent) = self.outbox.after(self.live.wired) else {
            // What it was not sent is not kept any more: never a silent gap.
            let slow = close(TOO_SLOW, "too much waits for this client");
            tx.effects.push(Effect::Close(handle, slow));
            return 0;
        };
        let before = tx.effects.len();
        for (sequence, kept) in unsent {
            tx.effects.push(Effect::Send(handle, kept.tail.message(sequence, kept.tag)));
        }
        let sent = tx.effects.len() - before;
        if sent > 0 {
            self.live.wired = self.outbox.sent();
            self.live.owes_since.get_or_insert(now);
        }
        sent
    }

    /// The backend ends the session, with its own code and reason or with 4003.
    pub(crate) fn end(
        &mut self,
        context: &Context<'_>,
        close: Option<FinalClose>,
        tx: &mut Transaction,
    ) {
        let before = tx.effects.len();
        self.input(context, Input::End, tx);
        let Some(own) = close else { return };
        for effect in &mut tx.effects[before..] {
            if let Effect::Close(_, close) = effect {
                *close = own.clone().into();
            }
        }
    }

    /// Tells the client that the gateway goes away, and when to come back; it is waited for until
    /// then, and some more. Whether there is a client to tell.
    pub(crate) fn closing(
        &mut self,
        context: &Context<'_>,
        retry_after: Duration,
        tx: &mut Transaction,
    ) -> bool {
        if self.row.session.state() != State::Attached || self.row.plain {
            return false;
        }
        self.row.promised = Some(context.now + retry_after);
        if !context.settings.shared {
            // Written down: it holds for the next process too, whatever becomes of this one.
            // Another node would find a session without an owner, and wait for longer.
            self.dirty = Dirty::Row;
        }
        let retry_after = millis(retry_after);
        tx.effects.push(send(self.newest(), &ToClient::Closing { retry_after }));
        true
    }

    /// Its client was told to come back after so long, and is in time if it does.
    pub(crate) fn told_to_come_back(
        &mut self,
        context: &Context<'_>,
        after: Duration,
        tx: &mut Transaction,
    ) {
        let back = context.now + after;
        self.row.promised = self.row.promised.max(Some(back));
        self.dirty = Dirty::Row;
        let until = back + context.settings.waits.drained;
        self.input(context, Input::Hold { until }, tx);
    }

    /// As the API shows it.
    pub(crate) fn view(&self, skew: Skew) -> View {
        let (departure, until) = match self.row.session.state() {
            State::Away { departure, until } => (Some(departure), Some(skew.shown(until))),
            State::Attached | State::Over => (None, None),
        };
        View {
            session_id: self.id,
            user_id: self.row.user.clone(),
            attached: departure.is_none(),
            departure,
            until,
            generation: self.row.session.generation(),
            plain: self.row.plain,
            connections: self.row.connections,
            started_at: self.row.started,
            sent: self.outbox.sent(),
            unacknowledged: self.outbox.unacknowledged(),
            received: self.inbox.received(),
        }
    }
}
