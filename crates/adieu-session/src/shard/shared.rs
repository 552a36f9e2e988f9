//! Sessions that many nodes share through an engine: a shard holds those of which it has the
//! connection, and the engine all of them.

use std::sync::Arc;

use adieu_proto::Close;

use super::super::aggregate::{Aggregate, Arrival};
use super::super::command::{Adoption, Guest, Purpose, Reply};
use super::super::event::{Data, Event, EventType, event_id};
use super::super::fence::{Fence, Refused};
use super::super::machine::{Input, State};
use super::super::token::SessionId;
use super::super::transaction::{Effect, Transaction};
use super::super::wire::{SUPERSEDED, TRY_AGAIN_LATER, close};
use super::super::{Change, Message, Timestamp};
use super::Shard;

/// What the client of a session hears that its node has to let go.
#[must_use]
pub fn let_go(why: Refused) -> Close {
    match why {
        Refused::RolledBack => close(TRY_AGAIN_LATER, "the session's last messages are lost"),
        _ => close(SUPERSEDED, "the session goes on elsewhere"),
    }
}

impl Shard {
    /// A new session. The engine says whether its page has begun one before, and whether its user
    /// has room for it.
    pub(super) fn start_shared(
        &mut self,
        now: Timestamp,
        id: SessionId,
        guest: &Guest,
        tx: &mut Transaction,
    ) -> Reply {
        let session = Aggregate::start(&self.context(now), id, guest, tx);
        let handle = session.newest();
        if let Some(user) = &guest.user {
            self.users.add(user, id, 0);
            let event = self.of_user(now, &session, EventType::UserJoined);
            let most = self.settings.limits.sessions_per_user;
            tx.put(Change::Join { id, user: user.clone(), event, most });
        }
        self.sessions.insert(id, Box::new(session));
        self.touched.push(id);
        Reply::Attached(handle)
    }

    /// The engine has made this shard the owner of a session. What it had of it is of an epoch
    /// before, and none of that is written any more.
    pub(super) fn adopt(
        &mut self,
        now: Timestamp,
        id: SessionId,
        adoption: Adoption,
        tx: &mut Transaction,
    ) -> Reply {
        if self.sessions.contains_key(&id) {
            tx.leave_out(id);
            self.touched.retain(|touched| *touched != id);
            if let Some(older) = self.disown(id) {
                let superseded = close(SUPERSEDED, "a newer connection has the session");
                tx.effects.push(Effect::Close(older, superseded));
            }
        }
        let (session, purpose) = Aggregate::adopted(id, adoption, now);
        self.kept += session.kept();
        let age = self.settings.outbox.age;
        session.oldest_until(age).map(|at| self.oldest.insert((at, id)));
        session.deadline().map(|at| self.deadlines.insert((at, id)));
        if let Some(user) = &session.row().user {
            self.users.add(user, id, session.kept());
        }
        self.sessions.insert(id, Box::new(session));
        match purpose {
            Purpose::Attach(received, after) => {
                let attached = self.with(now, id, tx, |session, context, tx| {
                    session.attached_elsewhere(context, received, after, tx)
                });
                attached.map_or(Reply::NoSession, Reply::Attached)
            }
            Purpose::Expire => self.over(now, id, Input::Expire, tx),
            Purpose::Replace => self.over(now, id, Input::Replace, tx),
            Purpose::End(close) => {
                self.with(now, id, tx, |session, context, tx| session.end(context, close, tx));
                Reply::Done
            }
        }
    }

    fn over(&mut self, now: Timestamp, id: SessionId, input: Input, tx: &mut Transaction) -> Reply {
        self.input(now, id, input, tx);
        Reply::Done
    }

    /// Messages that the engine has numbered: those that the session has not got yet follow the
    /// others to its client.
    pub(super) fn arrived(
        &mut self,
        now: Timestamp,
        id: SessionId,
        first: u64,
        messages: Vec<Message>,
        tx: &mut Transaction,
    ) -> Reply {
        let arrival = self.with(now, id, tx, |session, context, tx| {
            session.arrived(context, first, messages, tx)
        });
        match arrival {
            None => Reply::NoSession,
            Some(Arrival::Done) => Reply::Done,
            Some(Arrival::Behind(missing)) => Reply::Missing(missing),
        }
    }

    /// The engine says that a session is not this shard's any more. What the shard has written
    /// since it was asked about would have found that out itself.
    pub(super) fn disowned(
        &mut self,
        id: SessionId,
        fence: Fence,
        why: Refused,
        tx: &mut Transaction,
    ) -> Reply {
        let Some(session) = self.sessions.get(&id) else { return Reply::NoSession };
        let (_, ours, _) = session.claim();
        let same = match why {
            Refused::RolledBack => ours == fence && !session.is_dirty(),
            _ => ours.epoch == fence.epoch,
        };
        if !same {
            return Reply::Done;
        }
        tx.leave_out(id);
        self.touched.retain(|touched| *touched != id);
        if let Some(handle) = self.disown(id) {
            tx.effects.push(Effect::Close(handle, let_go(why)));
        }
        Reply::Done
    }

    /// A session less of its user: the engine says whether it was the last.
    pub(super) fn left_shared(
        &mut self,
        now: Timestamp,
        session: &Aggregate,
        tx: &mut Transaction,
    ) {
        let Some(user) = session.row().user.clone() else { return };
        let id = session.id();
        self.users.disowned(&user, id, session.kept());
        let event = self.of_user(now, session, EventType::UserLeft);
        let plain = session.row().plain;
        let linger = if plain { self.settings.waits.user } else { Default::default() };
        tx.put(Change::Leave { id, user, event, linger });
    }

    /// What is told of the session's user, if the engine says that it is the first or the last.
    fn of_user(
        &self,
        now: Timestamp,
        session: &Aggregate,
        r#type: EventType,
    ) -> Option<Arc<Event>> {
        let user = session.row().user.clone().filter(|_| self.settings.tell)?;
        let context = self.context(now);
        let session_id = session.id();
        Some(Arc::new(Event {
            id: event_id(session_id, None, r#type, session.salt(&context)),
            r#type,
            session_id,
            user: Some(user.clone()),
            meta: None,
            generation: session.newest().generation,
            sequence: None,
            time: context.wall(),
            data: Data::User { user_id: user },
        }))
    }

    /// Lets go of the sessions that are away, once that is written down: the engine waits for them
    /// from now on.
    pub fn let_go_of_away(&mut self) {
        let away: Vec<_> = self.deadlines.iter().map(|(_, id)| *id).collect();
        for id in away {
            self.disown(id);
        }
    }

    /// Lets go of all sessions: this node does not own them any more. Their newest connections.
    pub fn disown_all(&mut self) -> Vec<super::Handle> {
        self.touched.clear();
        let all: Vec<_> = self.sessions.keys().copied().collect();
        all.into_iter().filter_map(|id| self.disown(id)).collect()
    }

    /// The sessions that it holds: which write of each was the last, and the number of the last
    /// message that it knows.
    pub fn held(&self) -> impl Iterator<Item = (SessionId, Fence, u64)> {
        let all = self.sessions.values().map(AsRef::as_ref);
        let open = |session: &&Aggregate| session.row().session.state() == State::Attached;
        all.filter(open).map(Aggregate::claim)
    }
}
