//! One session, as a pure function: what happened goes in with the time; the session changes, and
//! what is to be committed and done comes out. It knows of no other session.

mod adopted;
mod row;
mod said;
mod sending;
mod tell;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use adieu_proto::Message;

pub(crate) use adopted::Arrival;
pub use row::{Counters, Row};
pub use sending::View;
pub(crate) use tell::put;

use row::Live;

use super::command::{Guest, Resumption, Settings};
use super::ending::ConnectionEnding;
use super::fence::{Fence, Nonces};
use super::inbox::Inbox;
use super::machine::{Action, Input, Refusal, Session, State};
use super::outbox::{Kept, Outbox};
use super::rate::Rate;
use super::time::Skew;
use super::token::{Digest, Key, SessionId, Token};
use super::transaction::{Effect, Handle, Transaction};
use super::transition::TransitionKind;
use super::wait::{Departure, Waits};
use super::wire::{NotResumed, ToClient};
use super::{Change, Timestamp};

/// A wait that is carried over a restart is no longer than this, beginning with the restart: the
/// clock may have been wrong before.
pub(crate) const MAX_CARRIED: Duration = Duration::from_secs(3600);

/// How long a session that is away is waited for over all restarts: a gateway
/// that is started again and again must not postpone every end for ever.
const MAX_RENEWED: Duration = Duration::from_secs(900);

/// How long a page may ask to be first found by its nonce.
const FIRST_VISIT: Duration = Duration::from_secs(60);

/// What a page that went is waited for at most, however long it says that it takes to load.
const LONGEST_LOAD: Duration = Duration::from_secs(60);

/// What all sessions have in common, and the time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Context<'a> {
    pub(crate) key: &'a Key,
    pub(crate) settings: &'a Settings,
    pub(crate) now: Timestamp,
    pub(crate) skew: Skew,
}

impl Context<'_> {
    /// The time that people read.
    pub(crate) fn wall(&self) -> Timestamp {
        self.skew.shown(self.now)
    }
}

/// What has to be written down of a session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Dirty {
    #[default]
    Nothing,
    /// Numbers for which nothing waits.
    Later,
    Counters,
    Row,
}

/// A session.
#[derive(Clone, Debug)]
pub(crate) struct Aggregate {
    id: SessionId,
    row: Row,
    inbox: Inbox,
    events: u64,
    outbox: Outbox,
    /// Of the last messages of the backend that had one.
    keys: VecDeque<Digest>,
    live: Live,
    dirty: Dirty,
    /// Of the last write, whoever made it.
    fence: Fence,
    /// Of what is written from now on.
    epoch: u32,
}

impl Aggregate {
    /// A new session on a new connection.
    pub(crate) fn start(
        context: &Context<'_>,
        id: SessionId,
        guest: &Guest,
        tx: &mut Transaction,
    ) -> Self {
        let (session, actions) = Session::start();
        let row = Row {
            session,
            plain: guest.plain,
            user: guest.user.clone(),
            origin: guest.origin.clone(),
            credentials: guest.credentials,
            first: guest.first,
            meta: guest.meta.clone(),
            started: context.wall(),
            connections: 1,
            ending: None,
            promised: None,
            away_since: None,
            waited_ms: 0,
        };
        let (inbox, outbox, keys, live, fence) = Default::default();
        let dirty = Dirty::Row;
        let mut new =
            Aggregate { id, row, inbox, events: 0, outbox, keys, live, dirty, fence, epoch: 1 };
        if !guest.plain {
            tx.effects.push(new.connected(context, false, guest.not_resumed));
        }
        new.tell_started(context, guest, tx);
        debug_assert_eq!(actions, [Action::TellStarted]);
        new
    }

    /// As it was kept.
    pub(crate) fn restore(
        id: SessionId,
        (row, counters): (Row, Counters),
        fence: Fence,
        kept: impl IntoIterator<Item = Kept>,
        now: Timestamp,
    ) -> Self {
        let Counters { received, sent, events, settled } = counters;
        let outbox = Outbox::restore(sent, settled, kept);
        let row = Row { session: row.session.not_after(now + MAX_CARRIED), ..row };
        let (inbox, live) = (Inbox::restore(received), Live::default());
        let (keys, dirty) = (outbox.keys().collect(), Dirty::Nothing);
        let epoch = fence.epoch + 1;
        Aggregate { id, row, inbox, events, outbox, keys, live, dirty, fence, epoch }
    }

    /// The gateway accepts again: the person has a fresh window to come back.
    pub(crate) fn restarted(&mut self, context: &Context<'_>, tx: &mut Transaction) {
        let now = context.now;
        let generation = self.row.session.generation();
        if self.row.plain {
            let (departure, wait) = (Departure::GatewayDown, Duration::ZERO);
            return self.input(context, Input::Detach { generation, departure, wait }, tx);
        }
        let Waits { gateway_down, drained, .. } = context.settings.waits;
        self.row.waited_ms += millis(self.waited_until(now));
        self.row.away_since = Some(now);
        let waited = Duration::from_millis(self.row.waited_ms);
        let promised = self.row.promised.map_or(Duration::ZERO, |at| (at + drained).since(now));
        let fresh = (gateway_down + self.share_of(gateway_down / 4))
            .min(MAX_RENEWED.saturating_sub(waited))
            .max(promised.min(MAX_CARRIED));
        self.dirty = Dirty::Row;
        self.input(context, Input::Restarted { window: fresh }, tx);
    }

    /// How long the process before this one waited for it: not longer than it was to wait. When
    /// that process ended nobody has written down.
    fn waited_until(&self, now: Timestamp) -> Duration {
        match (self.row.session.state(), self.row.away_since) {
            (State::Away { until, .. }, Some(since)) => until.min(now).since(since),
            _ => Duration::ZERO,
        }
    }

    /// A part of a length of time that is this session's own: not all of them end at once.
    fn share_of(&self, longest: Duration) -> Duration {
        let bytes = self.id.to_bytes();
        longest * u32::from(bytes[15]) / 256
    }

    /// Its name.
    pub(crate) fn id(&self) -> SessionId {
        self.id
    }

    /// As it is kept.
    pub(crate) fn row(&self) -> &Row {
        &self.row
    }

    /// When [`expire`](Self::expire) is due.
    pub(crate) fn deadline(&self) -> Option<Timestamp> {
        self.row.session.deadline()
    }

    /// When [`let_go_of_old`](Self::let_go_of_old) is due; `None`: it keeps nothing.
    pub(crate) fn oldest_until(&self, age: Duration) -> Option<Timestamp> {
        self.outbox.deadline(age)
    }

    /// Bytes that it keeps for its client.
    pub(crate) fn kept(&self) -> usize {
        self.outbox.bytes()
    }

    /// The rate of its messages, where it is nobody's.
    pub(crate) fn rate(&mut self) -> &mut Rate {
        &mut self.live.rate
    }

    pub(crate) fn is_over(&self) -> bool {
        self.row.session.state() == State::Over
    }

    pub(crate) fn is_dirty(&self) -> bool {
        self.dirty != Dirty::Nothing
    }

    /// Its newest connection.
    pub(crate) fn newest(&self) -> Handle {
        Handle { session: self.id, generation: self.row.session.generation() }
    }

    /// The nonce by which a page that has not heard of it finds it, while that holds.
    pub(crate) fn first(&self) -> Option<Digest> {
        self.row.first
    }

    /// Whether a page with this nonce that comes with `guest` is the one that began it. The backend
    /// has just said whose page it is: many pages have another token at each load. Where the
    /// backend names nobody, the credentials must be the same.
    pub(crate) fn began_with(&self, guest: &Guest, wall: Timestamp) -> bool {
        let row = &self.row;
        row.first.is_some()
            && (row.first, &row.origin, &row.user) == (guest.first, &guest.origin, &guest.user)
            && (row.user.is_some() || row.credentials == guest.credentials)
            && wall <= row.started + FIRST_VISIT
            && self.outbox.settled() == 0
    }

    /// What the transaction changes of it is a write of its owner; the first one claims it.
    pub(crate) fn sign(&mut self, nonces: &mut Nonces, tx: &mut Transaction) {
        let next = Fence { epoch: self.epoch, nonce: nonces.next() };
        let after = std::mem::replace(&mut self.fence, next);
        tx.put_later(Change::Write { id: self.id, after, next });
    }

    /// Writes down what has changed since the last time.
    pub(crate) fn save(&mut self, nonces: &mut Nonces, tx: &mut Transaction) {
        let (id, counters) = (self.id, self.counters());
        if self.is_dirty() {
            self.sign(nonces, tx);
        }
        match std::mem::take(&mut self.dirty) {
            Dirty::Nothing => {}
            Dirty::Later => tx.put_later(Change::PutCounters { id, counters }),
            Dirty::Counters => tx.put(Change::PutCounters { id, counters }),
            Dirty::Row => {
                let row = Box::new(self.row.clone());
                tx.put(Change::PutSession { id, row, counters });
            }
        }
    }

    pub(crate) fn counters(&self) -> Counters {
        Counters {
            received: self.inbox.received(),
            sent: self.outbox.sent(),
            events: self.events,
            settled: self.outbox.settled_tag(),
        }
    }

    fn counted(&mut self) {
        self.dirty = self.dirty.max(Dirty::Counters);
    }

    fn counted_later(&mut self) {
        self.dirty = self.dirty.max(Dirty::Later);
    }

    /// Whether this client may have it.
    ///
    /// # Errors
    /// [`NotResumed`]: why not.
    pub(crate) fn resumable(
        &self,
        now: Timestamp,
        resumption: &Resumption,
    ) -> Result<Input, NotResumed> {
        if self.row.origin != resumption.origin {
            return Err(NotResumed::Origin);
        }
        let input = Input::Resume { presented: resumption.generation };
        if let [Action::Refuse(refusal)] = self.row.session.on(now, input).1[..] {
            return Err(match refusal {
                Refusal::Expired => NotResumed::Expired,
                Refusal::Stale => NotResumed::Stale,
            });
        }
        let received = resumption.received;
        let known = resumption.tag.is_none_or(|tag| self.outbox.has(received, tag));
        let claims = resumption.acknowledged <= self.inbox.received();
        if known && claims && self.outbox.after(received).is_ok() {
            Ok(input)
        } else {
            Err(NotResumed::Lost)
        }
    }

    /// Whether the backend has to be asked before this client may have it.
    pub(crate) fn must_ask(&self, settings: &Settings, credentials: Digest) -> bool {
        settings.ask_resume.applies(self.row.credentials != credentials)
    }

    /// A new connection has it: all that the client lacks follows.
    pub(crate) fn attach(
        &mut self,
        context: &Context<'_>,
        input: Input,
        received: u64,
        tx: &mut Transaction,
    ) -> Handle {
        let after = match self.row.session.state() {
            State::Away { departure, .. } => Some(departure),
            State::Attached | State::Over => None,
        };
        self.row.connections += 1;
        (self.row.ending, self.row.promised, self.row.away_since) = (None, None, None);
        self.row.waited_ms = 0;
        let Live { load_ms, rate, .. } = self.live;
        self.live = Live { wired: received, load_ms, rate, owes_since: None };
        self.dirty = Dirty::Row;
        self.input(context, input, tx);
        let handle = self.newest();
        tx.effects.push(self.connected(context, true, None));
        let replayed = self.flush(context, tx);
        // That it is on the way is no acknowledgement; what it says that it has received is one.
        self.acknowledge(received, tx);
        let kind = TransitionKind::Resumed { generation: handle.generation, after, replayed };
        self.transition(context, kind, tx);
        handle
    }

    /// It came with these credentials.
    pub(crate) fn came_with(&mut self, credentials: Digest) {
        if self.row.credentials != credentials {
            self.row.credentials = credentials;
            self.dirty = Dirty::Row;
        }
    }

    /// A connection ended.
    pub(crate) fn connection_ended(
        &mut self,
        context: &Context<'_>,
        generation: u32,
        departure: Departure,
        ending: Arc<ConnectionEnding>,
        tx: &mut Transaction,
    ) {
        if !self.is_newest(generation) {
            return;
        }
        let now = context.now;
        self.row.ending = Some(ending);
        self.row.away_since = Some(now);
        self.dirty = Dirty::Row;
        let wait = if self.row.plain {
            // It has no token to come back with.
            Duration::ZERO
        } else {
            self.wait_after(context, departure)
        };
        self.input(context, Input::Detach { generation, departure, wait }, tx);
    }

    fn wait_after(&self, context: &Context<'_>, departure: Departure) -> Duration {
        let waits = &context.settings.waits;
        let mut wait = waits.after(departure);
        if departure == Departure::Hidden && !wait.is_zero() {
            // As long as this page takes to load, and as much again, for a line gets no faster.
            let load = Duration::from_millis(u64::from(self.live.load_ms));
            wait = wait.max((load * 2).min(LONGEST_LOAD));
        }
        if let Some(promised) = self.row.promised.filter(|_| departure != Departure::Left) {
            wait = wait.max(promised.since(context.now) + waits.drained);
        }
        wait
    }

    /// The connection of this generation is the one that counts.
    pub(crate) fn is_newest(&self, generation: u32) -> bool {
        let session = self.row.session;
        session.generation() == generation && session.state() == State::Attached
    }

    /// It is not waited for any longer than until now.
    pub(crate) fn give_up(&mut self, context: &Context<'_>, tx: &mut Transaction) {
        self.row.session = self.row.session.not_after(context.now);
        self.input(context, Input::Expire, tx);
    }

    /// Gives the machine an input and does what it says.
    pub(crate) fn input(&mut self, context: &Context<'_>, input: Input, tx: &mut Transaction) {
        let before = self.row.session;
        let (after, actions) = before.on(context.now, input);
        if after == before {
            return;
        }
        self.row.session = after;
        self.dirty = Dirty::Row;
        for action in &actions {
            self.act(context, *action, &actions, tx);
        }
    }

    fn connected(
        &self,
        context: &Context<'_>,
        resumed: bool,
        reason: Option<NotResumed>,
    ) -> Effect {
        let handle = self.newest();
        let Handle { session, generation } = handle;
        let said = ToClient::Connected {
            session_id: session,
            reconnection_token: &Token { session, generation }.sign(context.key),
            generation,
            resumed,
            reason,
            window: millis(context.settings.waits.lost),
            sequence_ack: self.inbox.received(),
            heartbeat: millis(context.settings.heartbeat),
        };
        Effect::SendSecret(handle, Message::from(said.to_json()))
    }
}

pub(crate) fn millis(length: Duration) -> u64 {
    u64::try_from(length.as_millis()).unwrap_or(u64::MAX)
}
