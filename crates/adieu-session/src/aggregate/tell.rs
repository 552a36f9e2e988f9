//! What the backend and people are told of a session.

use std::sync::Arc;

use adieu_proto::CloseCode;

use super::super::command::Guest;
use super::super::ending::{SessionEnding, cause};
use super::super::event::{
    ConnectionLost, Data, Event, EventType, SessionStart, event_id, session_stream,
};
use super::super::machine::{Action, State, Why};
use super::super::transaction::{Effect, Handle, Transaction};
use super::super::transition::{Transition, TransitionKind};
use super::super::wire::{SESSION_ENDED, SUPERSEDED, close};
use super::super::{Change, Timestamp};
use super::{Aggregate, Context, millis};

impl Aggregate {
    /// Does one thing of all that the machine says.
    pub(super) fn act(
        &mut self,
        context: &Context<'_>,
        action: Action,
        all: &[Action],
        tx: &mut Transaction,
    ) {
        let tell_connections = context.settings.tell_connections;
        match action {
            Action::TellLost => self.tell_lost(context, tx),
            Action::TellResumed if tell_connections => {
                self.tell(context, EventType::ConnectionResumed, Data::Resumed, tx);
            }
            // The start is told where the guest is known.
            Action::TellResumed | Action::Refuse(_) | Action::TellStarted => {}
            Action::TellEnded(why) => {
                let ending = Arc::new(self.ending(context.wall(), why));
                self.transition(context, TransitionKind::Ended { ending: ending.clone() }, tx);
                self.tell(context, EventType::SessionEnded, Data::Ended(ending), tx);
            }
            Action::Supersede(generation) => {
                let older = Handle { session: self.id, generation };
                let superseded = close(SUPERSEDED, "a newer connection has the session");
                tx.effects.push(Effect::Close(older, superseded));
            }
            Action::CloseNewest => {
                let (code, reason) = if all.contains(&Action::TellEnded(Why::Goodbye)) {
                    (CloseCode::NORMAL.get(), "")
                } else if all.contains(&Action::TellEnded(Why::Replaced)) {
                    (SUPERSEDED, "another user has this tab")
                } else {
                    (SESSION_ENDED, "the session was ended")
                };
                tx.effects.push(Effect::Close(self.newest(), close(code, reason)));
            }
        }
    }

    pub(super) fn tell_started(
        &mut self,
        context: &Context<'_>,
        guest: &Guest,
        tx: &mut Transaction,
    ) {
        let (user, plain) = (self.row.user.clone(), self.row.plain);
        self.transition(context, TransitionKind::Started { user: user.clone(), plain }, tx);
        let Guest { path, query, connect_id, .. } = guest.clone();
        let start = SessionStart { user_id: user, plain, path, query, connect_id };
        self.tell(context, EventType::SessionStarted, Data::Started(Box::new(start)), tx);
    }

    fn tell_lost(&mut self, context: &Context<'_>, tx: &mut Transaction) {
        let State::Away { departure, until } = self.row.session.state() else { return };
        let (until, ending) = (context.skew.shown(until), self.row.ending.clone());
        if context.settings.tell_connections {
            let lost = ConnectionLost { departure, until, ending: ending.clone() };
            self.tell(context, EventType::ConnectionLost, Data::Lost(Box::new(lost)), tx);
        }
        self.transition(context, TransitionKind::Away { departure, until, ending }, tx);
    }

    /// What the backend is told of a session that is over.
    fn ending(&self, wall: Timestamp, why: Why) -> SessionEnding {
        let row = &self.row;
        let (cause, initiator, mechanism) = cause(why, row.ending.as_deref());
        SessionEnding {
            cause,
            initiator,
            mechanism,
            user_id: row.user.clone(),
            connections: row.connections,
            started_at: row.started,
            lasted_ms: millis(wall.since(row.started)),
            received: self.inbox.received(),
            sent: self.outbox.sent(),
            unacknowledged: self.outbox.unacknowledged() as u64,
            ending: row.ending.clone(),
        }
    }

    /// Numbers an event and writes it down.
    pub(super) fn tell(
        &mut self,
        context: &Context<'_>,
        r#type: EventType,
        data: Data,
        tx: &mut Transaction,
    ) {
        if !context.settings.tell {
            return;
        }
        self.events += 1;
        self.counted();
        let sequence = self.events;
        let event = Event {
            id: event_id(self.id, Some(sequence), r#type, self.salt(context)),
            r#type,
            session_id: self.id,
            user: self.row.user.clone(),
            meta: self.row.meta.clone(),
            generation: self.row.session.generation(),
            sequence: Some(sequence),
            time: context.wall(),
            data,
        };
        put(tx, session_stream(self.id), sequence, event);
    }

    pub(super) fn transition(
        &self,
        context: &Context<'_>,
        kind: TransitionKind,
        tx: &mut Transaction,
    ) {
        let at = context.wall();
        tx.effects.push(Effect::Transition(Transition { session_id: self.id, at, kind }));
    }
}

/// Writes an event down, and then has it delivered.
pub(crate) fn put(tx: &mut Transaction, stream: bytes::Bytes, sequence: u64, event: Event) {
    let event = Arc::new(event);
    let (of, same) = (stream.clone(), event.clone());
    tx.put(Change::PutEvent { stream: of, sequence, event: same });
    tx.effects.push(Effect::Deliver { stream, sequence, event });
}
