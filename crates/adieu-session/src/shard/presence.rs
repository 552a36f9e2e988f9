//! Users: the first session of a user is a person who came, the last one a person who left.

use std::collections::{BTreeSet, HashMap};

use super::super::aggregate::Aggregate;
use super::super::change::Leaving;
use super::super::command::Settings;
use super::super::event::{Data, Event, EventType, event_id, user_stream};
use super::super::rate::Rate;
use super::super::time::Skew;
use super::super::transaction::Transaction;
use super::super::{Change, Contents, SessionId, Timestamp};
use super::User;

/// The users of some slots.
#[derive(Debug, Default)]
pub(super) struct Users {
    users: HashMap<User, Present>,
    /// Users without a session, by when they are told as gone.
    leaving: BTreeSet<(Timestamp, User)>,
    /// The number of the last event of any user: only the order among those that wait counts.
    events: u64,
}

#[derive(Debug, Default)]
struct Present {
    /// In order; of most users it is one.
    sessions: Vec<SessionId>,
    /// Bytes that are kept for these.
    kept: usize,
    /// Until when a client that has no token to come back with is expected back.
    plain_until: Option<Timestamp>,
    /// Of its messages.
    rate: Rate,
    /// It has no session.
    leaving: Option<Leaving>,
}

impl Present {
    fn add(&mut self, id: SessionId) {
        if let Err(at) = self.sessions.binary_search(&id) {
            if self.sessions.is_empty() {
                self.sessions.reserve_exact(1);
            }
            self.sessions.insert(at, id);
        }
    }

    fn remove(&mut self, id: SessionId) {
        if let Ok(at) = self.sessions.binary_search(&id) {
            self.sessions.remove(at);
        }
    }
}

impl Users {
    /// Of those that were leaving, none is given up before `until`.
    pub(super) fn restore(&mut self, contents: &Contents, until: Timestamp) {
        let users = contents.events.keys().filter(|(stream, _)| stream.starts_with(b"u"));
        self.events = users.map(|(_, number)| *number).max().unwrap_or(0);
        for (user, leaving) in &contents.leaving {
            self.users.entry(user.clone()).or_default().leaving = Some(*leaving);
            self.leaving.insert((leaving.until, user.clone()));
            self.leave_at(user, until);
        }
    }

    fn leave_at(&mut self, user: &User, until: Timestamp) {
        let Some(leaving) = self.users.get_mut(user).and_then(|of| of.leaving.as_mut()) else {
            return;
        };
        self.leaving.remove(&(leaving.until, user.clone()));
        leaving.until = until;
        self.leaving.insert((until, user.clone()));
    }

    /// A session that was there before.
    pub(super) fn add(&mut self, user: &User, id: SessionId, kept: usize) {
        let of = self.users.entry(user.clone()).or_default();
        of.add(id);
        of.kept += kept;
    }

    /// Users with a session.
    pub(super) fn len(&self) -> usize {
        self.users.len() - self.leaving.len()
    }

    pub(super) fn deadline(&self) -> Option<Timestamp> {
        self.leaving.first().map(|(at, _)| *at)
    }

    pub(super) fn of(&self, user: &str) -> Vec<SessionId> {
        self.users.get(user).map(|of| of.sessions.clone()).unwrap_or_default()
    }

    pub(super) fn sessions_of(&self, user: &str) -> usize {
        self.users.get(user).map_or(0, |of| of.sessions.len())
    }

    pub(super) fn kept_of(&self, user: &str) -> usize {
        self.users.get(user).map_or(0, |of| of.kept)
    }

    /// The rate of its messages.
    pub(super) fn rate(&mut self, user: &str) -> Option<&mut Rate> {
        self.users.get_mut(user).map(|of| &mut of.rate)
    }

    /// A session of this user keeps more, or less.
    pub(super) fn keeps(&mut self, user: &User, before: usize, now: usize) {
        if let Some(of) = self.users.get_mut(user) {
            of.kept = of.kept + now - before;
        }
    }

    /// A session of this user has started.
    pub(super) fn joined(
        &mut self,
        wall: Timestamp,
        user: &User,
        id: SessionId,
        settings: &Settings,
        tx: &mut Transaction,
    ) {
        let of = self.users.entry(user.clone()).or_default();
        of.add(id);
        if let Some(leaving) = of.leaving.take() {
            // The person was never told as gone.
            self.leaving.remove(&(leaving.until, user.clone()));
            tx.put(Change::DeleteLeaving { user: user.clone() });
        } else if of.sessions.len() == 1 {
            self.tell(wall, EventType::UserJoined, user, (id, 1), settings, tx);
        }
    }

    /// A session of this user has another owner, which tells of it from now on.
    pub(super) fn disowned(&mut self, user: &User, id: SessionId, kept: usize) {
        let Some(of) = self.users.get_mut(user) else { return };
        of.remove(id);
        of.kept -= kept;
        if of.sessions.is_empty() && of.leaving.is_none() {
            self.users.remove(user);
        }
    }

    /// A session of this user is over.
    pub(super) fn left(
        &mut self,
        (now, skew): (Timestamp, Skew),
        user: &User,
        session: &Aggregate,
        settings: &Settings,
        tx: &mut Transaction,
    ) {
        let Some(of) = self.users.get_mut(user) else { return };
        of.remove(session.id());
        of.kept -= session.kept();
        if session.row().plain {
            of.plain_until = Some(now + settings.waits.user);
        }
        if !of.sessions.is_empty() {
            return;
        }
        let (session, generation) = (session.id(), session.newest().generation);
        match of.plain_until.filter(|until| *until > now) {
            Some(until) => {
                let leaving = Leaving { until, session, generation };
                of.leaving = Some(leaving);
                self.leaving.insert((until, user.clone()));
                tx.put(Change::PutLeaving { user: user.clone(), leaving });
            }
            None => {
                self.users.remove(user);
                self.tell(
                    skew.shown(now),
                    EventType::UserLeft,
                    user,
                    (session, generation),
                    settings,
                    tx,
                );
            }
        }
    }

    /// Tells of a user who did not come back in time, if there is one.
    pub(super) fn expire(
        &mut self,
        now: Timestamp,
        skew: Skew,
        settings: &Settings,
        tx: &mut Transaction,
    ) -> bool {
        let due = self.leaving.first().is_some_and(|(at, _)| *at <= now);
        due && self.give_up(skew.shown(now), settings, tx).is_some()
    }

    /// The same of one who may still come back; the last session of that user.
    pub(super) fn give_up(
        &mut self,
        wall: Timestamp,
        settings: &Settings,
        tx: &mut Transaction,
    ) -> Option<SessionId> {
        let (_, user) = self.leaving.pop_first()?;
        let Leaving { session, generation, .. } = self.users.remove(&user)?.leaving?;
        self.tell(wall, EventType::UserLeft, &user, (session, generation), settings, tx);
        tx.put(Change::DeleteLeaving { user });
        Some(session)
    }

    fn tell(
        &mut self,
        wall: Timestamp,
        r#type: EventType,
        user: &User,
        (session_id, generation): (SessionId, u32),
        settings: &Settings,
        tx: &mut Transaction,
    ) {
        if !settings.tell {
            return;
        }
        self.events += 1;
        let event = Event {
            id: event_id(session_id, None, r#type, None),
            r#type,
            session_id,
            user: Some(user.clone()),
            meta: None,
            generation,
            sequence: None,
            time: wall,
            data: Data::User { user_id: user.clone() },
        };
        super::super::aggregate::put(tx, user_stream(user), self.events, event);
    }
}
