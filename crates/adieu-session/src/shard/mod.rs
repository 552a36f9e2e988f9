//! The sessions of some slots, with what has to be found of them: deadlines, users, pages that
//! have not heard of their session. A command comes in, a [`Transaction`] comes out.

mod presence;
mod query;
mod shared;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::aggregate::{Aggregate, Context};
use super::command::{
    Answered, Command, Full, Guest, Outgoing, Reply, Resumption, SessionCommand, Settings, earlier,
};
use super::fence::Nonces;
use super::machine::Input;
use super::outbox::Kept;
use super::time::Skew;
use super::token::{Digest, Key, SessionId};
use super::transaction::{Effect, Handle, Transaction};
use super::wire::{NotResumed, TRY_AGAIN_LATER, close};
use super::{Change, Contents, Message, Timestamp};
use presence::Users;
pub use query::{Answer, Counts};
pub use shared::let_go;

/// Sessions that are ended, or told that the gateway stops, in one turn at most: nothing that is
/// asked meanwhile waits for longer than that takes. The store writes the pages of the file in
/// which their rows are: of 512 among 100,000 that took 23 ms to 33 ms of a core, and an
/// acknowledgement may wait for three commits.
pub const IN_ONE_TURN: usize = 128;

/// The sessions of some slots.
#[derive(Debug)]
pub struct Shard {
    key: Key,
    settings: Settings,
    sessions: BTreeMap<SessionId, Box<Aggregate>>,
    deadlines: BTreeSet<(Timestamp, SessionId)>,
    /// Sessions that keep messages, by when the oldest of these is let go.
    oldest: BTreeSet<(Timestamp, SessionId)>,
    users: Users,
    /// Sessions of whose name their page is not known to have heard, by its nonce: more than one
    /// where the page came again as somebody else.
    firsts: BTreeSet<(Digest, SessionId)>,
    /// Bytes that are kept for clients.
    kept: usize,
    /// Sessions that have to be written down at the end of the turn.
    touched: Vec<SessionId>,
    skew: Skew,
    nonces: Nonces,
    /// The gateway goes away: who is waited for cannot come back before the next start.
    stopping: bool,
}

impl Shard {
    /// Without sessions. `seed`: chance, by which its writes differ from those of another owner.
    #[must_use]
    pub fn new(key: Key, settings: Settings, seed: u64) -> Self {
        Shard {
            key,
            settings,
            sessions: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            oldest: BTreeSet::new(),
            users: Users::default(),
            firsts: BTreeSet::new(),
            kept: 0,
            touched: Vec::new(),
            skew: Skew::default(),
            nonces: Nonces::new(seed),
            stopping: false,
        }
    }

    /// How far the clock that people read is ahead of the one that deadlines are counted on, from
    /// now on.
    pub fn set_skew(&mut self, skew: Skew) {
        self.skew = skew;
    }

    /// As it was kept. From `now` on, when the gateway can accept again, each session has a fresh
    /// window; those that cannot come back are over.
    #[must_use]
    pub fn restore(
        key: Key,
        settings: Settings,
        contents: Contents,
        now: Timestamp,
        seed: u64,
    ) -> (Self, Transaction) {
        let mut shard = Shard::new(key, settings, seed);
        shard.users.restore(&contents, now + shard.settings.waits.user);
        let mut tx = Transaction::default();
        for (id, (row, counters)) in contents.sessions {
            let kept = contents.messages.range((id, 0)..=(id, u64::MAX));
            // Their age begins anew: time when nobody could fetch them counts against nobody.
            let kept = kept.map(|(_, message)| {
                let Message { tag, key, tail } = message.clone();
                Kept { at: now, tag, key, tail }
            });
            let fence = contents.fences.get(&id).copied().unwrap_or_default();
            let session = Aggregate::restore(id, (row, counters), fence, kept, now);
            if let Some(user) = &session.row().user {
                shard.users.add(user, id, session.kept());
            }
            shard.kept += session.kept();
            session.deadline().map(|at| shard.deadlines.insert((at, id)));
            let age = shard.settings.outbox.age;
            session.oldest_until(age).map(|at| shard.oldest.insert((at, id)));
            session.first().map(|first| shard.firsts.insert((first, id)));
            shard.sessions.insert(id, Box::new(session));
            shard.touched.push(id);
        }
        for id in std::mem::take(&mut shard.touched) {
            shard.with(now, id, &mut tx, Aggregate::restarted);
        }
        shard.write_down(&mut tx);
        (shard, tx)
    }

    /// When [`expire`](Self::expire) is due.
    #[must_use]
    pub fn deadline(&self) -> Option<Timestamp> {
        if self.stopping {
            return None;
        }
        let of = |index: &BTreeSet<(Timestamp, SessionId)>| index.first().map(|(at, _)| *at);
        let of_sessions = earlier(of(&self.deadlines), of(&self.oldest));
        earlier(of_sessions, self.users.deadline())
    }

    /// Does what is asked. What has changed of the sessions is written down by
    /// [`write_down`](Self::write_down), once for a turn.
    pub fn on(&mut self, now: Timestamp, command: Command, tx: &mut Transaction) -> Reply {
        match command {
            Command::Start(id, guest) => self.start(now, id, &guest, tx),
            Command::Session(id, SessionCommand::Resume(resumption)) => {
                self.resume(now, id, &resumption, tx)
            }
            Command::Session(id, SessionCommand::Adopt(adoption)) => {
                self.adopt(now, id, *adoption, tx)
            }
            Command::Session(id, SessionCommand::Disowned(fence, why)) => {
                self.disowned(id, fence, why, tx)
            }
            Command::Session(id, SessionCommand::Arrived(first, messages)) => {
                self.arrived(now, id, first, messages, tx)
            }
            Command::Session(id, command) => self.one(now, id, command, tx),
            Command::User(user, command) => self.each_of(now, &user, &command, tx),
            Command::Answered(id, answered) => self.answered(now, id, *answered, tx),
            Command::Closing { after, window, seed } => self.closing(now, after, window, seed, tx),
            Command::GiveUp => self.give_up(now, tx),
        }
    }

    /// Announces sessions and users that did not come back in time, and lets go of messages that
    /// were not acknowledged in time, of a bounded number of them; of none once clients are told
    /// that the gateway goes away.
    pub fn expire(&mut self, now: Timestamp, tx: &mut Transaction) {
        if self.stopping {
            return;
        }
        let due = |index: &BTreeSet<(Timestamp, SessionId)>| {
            index.first().filter(|(at, _)| *at <= now).map(|(_, id)| *id)
        };
        for _ in 0..IN_ONE_TURN {
            if let Some(id) = due(&self.deadlines) {
                self.input(now, id, Input::Expire, tx);
            } else if let Some(id) = due(&self.oldest) {
                self.with(now, id, tx, Aggregate::let_go_of_old);
            } else if !self.users.expire(now, self.skew, &self.settings, tx) {
                return;
            }
        }
    }

    /// What has changed of the sessions since the last time.
    pub fn write_down(&mut self, tx: &mut Transaction) {
        for id in std::mem::take(&mut self.touched) {
            if let Some(session) = self.sessions.get_mut(&id) {
                session.save(&mut self.nonces, tx);
            }
        }
    }

    fn start(
        &mut self,
        now: Timestamp,
        id: SessionId,
        guest: &Guest,
        tx: &mut Transaction,
    ) -> Reply {
        if self.settings.shared {
            return self.start_shared(now, id, guest, tx);
        }
        if let Some(found) = self.began_before(now, guest) {
            return self.attach(now, found, tx, |session| {
                session.came_with(guest.credentials);
                let presented = session.newest().generation;
                (Input::Resume { presented }, 0)
            });
        }
        let user = guest.user.clone();
        let limit = self.settings.limits.sessions_per_user;
        if user.as_deref().is_some_and(|user| self.users.sessions_of(user) >= limit) {
            return Reply::Full(Full::SessionsOfUser);
        }
        let session = Aggregate::start(&self.context(now), id, guest, tx);
        let handle = session.newest();
        session.first().map(|first| self.firsts.insert((first, id)));
        self.sessions.insert(id, Box::new(session));
        self.touched.push(id);
        if let Some(user) = user {
            self.users.joined(self.skew.shown(now), &user, id, &self.settings, tx);
        }
        Reply::Attached(handle)
    }

    /// The session of a page that was refreshed before it had heard of that.
    fn began_before(&self, now: Timestamp, guest: &Guest) -> Option<SessionId> {
        let (first, wall) = (guest.first?, self.skew.shown(now));
        let of = (first, SessionId::new([0; 16]))..=(first, SessionId::new([0xFF; 16]));
        let began = |id: &SessionId| self.sessions.get(id)?.began_with(guest, wall).then_some(*id);
        self.firsts.range(of).find_map(|(_, id)| began(id))
    }

    fn resume(
        &mut self,
        now: Timestamp,
        id: SessionId,
        resumption: &Resumption,
        tx: &mut Transaction,
    ) -> Reply {
        // The MAC of its token is ours, so there was such a session.
        let Some(session) = self.sessions.get(&id) else {
            return if self.settings.shared {
                Reply::Elsewhere
            } else {
                Reply::NotResumed(NotResumed::Expired)
            };
        };
        let input = match session.resumable(now, resumption) {
            Ok(input) => input,
            Err(reason) => return Reply::NotResumed(reason),
        };
        let known = session.row().user.clone();
        match &resumption.verdict {
            None if session.must_ask(&self.settings, resumption.credentials) => {
                let until = now + resumption.patience;
                self.input(now, id, Input::Hold { until }, tx);
                return Reply::Ask { user: known };
            }
            Some(verdict) if verdict.user.is_some() && verdict.user != known => {
                self.input(now, id, Input::Replace, tx);
                return Reply::NotResumed(NotResumed::Replaced);
            }
            _ => {}
        }
        let credentials = resumption.credentials;
        self.attach(now, id, tx, |session| {
            session.came_with(credentials);
            (input, resumption.received)
        })
    }

    fn attach(
        &mut self,
        now: Timestamp,
        id: SessionId,
        tx: &mut Transaction,
        input: impl FnOnce(&mut Aggregate) -> (Input, u64),
    ) -> Reply {
        let attached = self.with(now, id, tx, |session, context, tx| {
            let (input, received) = input(session);
            session.attach(context, input, received, tx)
        });
        attached.map_or(Reply::NoSession, Reply::Attached)
    }

    fn input(&mut self, now: Timestamp, id: SessionId, input: Input, tx: &mut Transaction) {
        self.with(now, id, tx, |session, context, tx| session.input(context, input, tx));
    }

    /// Does something with one session.
    fn one(
        &mut self,
        now: Timestamp,
        id: SessionId,
        command: SessionCommand,
        tx: &mut Transaction,
    ) -> Reply {
        if let SessionCommand::Send(outgoing) = &command {
            if let Some(full) = self.full_for(now, id, outgoing) {
                return Reply::Full(full);
            }
        }
        let speaks = command.says_a_message_on();
        if let Some(generation) = speaks.filter(|speaks| !self.may_speak(now, id, *speaks)) {
            // Its client comes back a moment later, and says again what was not acknowledged.
            let full = Full::MessagesOfUser;
            let handle = Handle { session: id, generation };
            tx.effects.push(Effect::Close(handle, close(TRY_AGAIN_LATER, &full.to_string())));
            return Reply::Full(full);
        }
        let done = self.with(now, id, tx, |session, context, tx| match command {
            SessionCommand::Hear(generation, said) => session.hear(context, generation, said, tx),
            SessionCommand::HearPlain(generation, said) => {
                session.hear_plain(context, generation, said, tx);
            }
            SessionCommand::ConnectionEnded(generation, departure, ending) => {
                session.connection_ended(context, generation, departure, ending, tx);
            }
            SessionCommand::ToldToComeBack(after) => session.told_to_come_back(context, after, tx),
            SessionCommand::Send(outgoing) => session.send(context, outgoing, tx),
            SessionCommand::End(close) => session.end(context, close, tx),
            // Of one session alone.
            SessionCommand::Resume(_)
            | SessionCommand::Adopt(_)
            | SessionCommand::Disowned(..)
            | SessionCommand::Arrived(..) => {}
        });
        done.map_or(Reply::NoSession, |()| Reply::Done)
    }

    /// Whether a message more is within the rate of the session's user. What an older connection
    /// says counts for nothing, nor here.
    fn may_speak(&mut self, now: Timestamp, id: SessionId, generation: u32) -> bool {
        let most = self.settings.limits.messages_per_user;
        let session = self.sessions.get_mut(&id).filter(|of| of.is_newest(generation));
        let Some(session) = session else { return true };
        let rate = session.row().user.as_ref().and_then(|user| self.users.rate(user));
        rate.unwrap_or(session.rate()).takes(now, most)
    }

    /// Does something with each session of a user.
    fn each_of(
        &mut self,
        now: Timestamp,
        user: &str,
        command: &SessionCommand,
        tx: &mut Transaction,
    ) -> Reply {
        let all = self.users.of(user);
        if all.is_empty() {
            return Reply::NoSession;
        }
        self.several(now, all.into_iter().map(|id| (id, command.clone())), tx)
    }

    /// Does several things; each is done or not, whatever becomes of the others.
    fn several(
        &mut self,
        now: Timestamp,
        all: impl Iterator<Item = (SessionId, SessionCommand)>,
        tx: &mut Transaction,
    ) -> Reply {
        let (mut done, mut full) = (0, Vec::new());
        for (id, command) in all {
            match self.one(now, id, command, tx) {
                Reply::Full(why) => full.push(why),
                Reply::NoSession => {}
                _ => done += 1,
            }
        }
        Reply::Several { done, full }
    }

    /// Does what the backend has answered to an event.
    fn answered(
        &mut self,
        now: Timestamp,
        id: SessionId,
        answered: Answered,
        tx: &mut Transaction,
    ) -> Reply {
        let Answered { send, close, mut written_off } = answered;
        tx.changes.append(&mut written_off);
        let send = send.into_iter().map(SessionCommand::Send);
        let all = send.chain(close.map(|close| SessionCommand::End(Some(close))));
        self.several(now, all.map(|command| (id, command)), tx)
    }

    /// Which limit does not allow that this is kept for a session. What makes the session keep no
    /// more than now is always allowed.
    fn full_for(&self, now: Timestamp, id: SessionId, outgoing: &Outgoing) -> Option<Full> {
        let session = self.sessions.get(&id)?;
        let more = session.growth(&self.context(now), outgoing);
        if more == 0 {
            return None;
        }
        let limits = &self.settings.limits;
        let user = session.row().user.as_deref();
        if user.is_some_and(|user| self.users.kept_of(user) + more > limits.bytes_per_user) {
            return Some(Full::BytesOfUser);
        }
        (self.kept + more > limits.bytes).then_some(Full::Bytes)
    }

    fn context(&self, now: Timestamp) -> Context<'_> {
        Context { key: &self.key, settings: &self.settings, now, skew: self.skew }
    }

    fn closing(
        &mut self,
        now: Timestamp,
        after: Option<SessionId>,
        window: Duration,
        seed: u64,
        tx: &mut Transaction,
    ) -> Reply {
        self.stopping = true;
        let next: Vec<_> =
            self.after(after).map(|session| session.id()).take(IN_ONE_TURN).collect();
        let told = next.iter().filter(|id| {
            let share = share_of(window, seed, **id);
            self.with(now, **id, tx, |session, context, tx| session.closing(context, share, tx))
                == Some(true)
        });
        let told = told.count();
        Reply::More(next.last().copied(), told)
    }

    fn give_up(&mut self, now: Timestamp, tx: &mut Transaction) -> Reply {
        let (mut last, mut had) = (None, 0);
        for _ in 0..IN_ONE_TURN {
            let given_up = if let Some((_, id)) = self.deadlines.first().copied() {
                self.with(now, id, tx, Aggregate::give_up).map(|()| id)
            } else {
                self.users.give_up(self.skew.shown(now), &self.settings, tx)
            };
            if given_up.is_none() {
                break;
            }
            (last, had) = (given_up, had + 1);
        }
        Reply::More(last, had)
    }

    /// Sessions in the order of their names, above this one.
    fn after(&self, after: Option<SessionId>) -> impl Iterator<Item = &Aggregate> {
        use std::ops::Bound::{Excluded, Unbounded};
        let from = after.map_or(Unbounded, Excluded);
        self.sessions.range((from, Unbounded)).map(|(_, session)| &**session)
    }

    /// Does something with a session, and keeps what finds it as it is then.
    fn with<T>(
        &mut self,
        now: Timestamp,
        id: SessionId,
        tx: &mut Transaction,
        work: impl FnOnce(&mut Aggregate, &Context<'_>, &mut Transaction) -> T,
    ) -> Option<T> {
        let session = self.sessions.get_mut(&id)?;
        let before = (session.deadline(), session.kept(), session.first(), session.is_dirty());
        let age = self.settings.outbox.age;
        let oldest = session.oldest_until(age);
        let context = Context { key: &self.key, settings: &self.settings, now, skew: self.skew };
        let result = work(session, &context, tx);
        let (deadline, kept, first, dirty) = before;
        if deadline != session.deadline() {
            deadline.map(|at| self.deadlines.remove(&(at, id)));
            session.deadline().map(|at| self.deadlines.insert((at, id)));
        }
        if oldest != session.oldest_until(age) {
            oldest.map(|at| self.oldest.remove(&(at, id)));
            session.oldest_until(age).map(|at| self.oldest.insert((at, id)));
        }
        if kept != session.kept() {
            self.kept = self.kept + session.kept() - kept;
            if let Some(user) = &session.row().user {
                self.users.keeps(user, kept, session.kept());
            }
        }
        if first != session.first() {
            first.map(|first| self.firsts.remove(&(first, id)));
        }
        if session.is_over() {
            self.forget(now, id, tx);
        } else if session.is_dirty() && !dirty {
            self.touched.push(id);
        }
        Some(result)
    }

    /// Lets go of a session of which the store has refused a write: it has another owner, or the
    /// store does not know it as it is here. Nothing is told of it. Gives its newest connection.
    pub fn disown(&mut self, id: SessionId) -> Option<Handle> {
        let session = self.sessions.remove(&id)?;
        session.deadline().map(|at| self.deadlines.remove(&(at, id)));
        session.first().map(|first| self.firsts.remove(&(first, id)));
        let oldest = session.oldest_until(self.settings.outbox.age);
        oldest.map(|at| self.oldest.remove(&(at, id)));
        self.kept -= session.kept();
        if let Some(user) = &session.row().user {
            self.users.disowned(user, id, session.kept());
        }
        Some(session.newest())
    }

    fn forget(&mut self, now: Timestamp, id: SessionId, tx: &mut Transaction) {
        let Some(mut session) = self.sessions.remove(&id) else { return };
        session.sign(&mut self.nonces, tx);
        self.kept -= session.kept();
        let oldest = session.oldest_until(self.settings.outbox.age);
        oldest.map(|at| self.oldest.remove(&(at, id)));
        session.first().map(|first| self.firsts.remove(&(first, id)));
        tx.put(Change::DeleteSession { id });
        if self.settings.shared {
            return self.left_shared(now, &session, tx);
        }
        if let Some(user) = session.row().user.clone() {
            self.users.left((now, self.skew), &user, &session, &self.settings, tx);
        }
    }
}

/// A part of a length of time that is this session's own, and another one with each seed.
fn share_of(longest: Duration, seed: u64, id: SessionId) -> Duration {
    let bytes = id.to_bytes();
    let (_, own) = bytes.split_at(8);
    let own = u64::from_be_bytes(own.try_into().unwrap_or_default());
    // Fibonacci hashing: the upper bits depend on all bits of the seed and of the name.
    let mixed = (own ^ seed).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
    longest.mul_f64(mixed as f64 / f64::from(u32::MAX))
}

/// The user is told in words that many values share.
pub(crate) type User = Arc<str>;
