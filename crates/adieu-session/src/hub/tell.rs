//! What the backend and people are told.

use adieu_proto::CloseCode;
use bytes::Bytes;
use serde_json::{Value, json};

use super::super::machine::{Action, State, Why};
use super::super::wait::Departure;
use super::super::wire::{self, SESSION_ENDED, SUPERSEDED};
use super::super::{SessionId, Timestamp};
use super::{Data, Effect, Event, EventType, Handle, Hub, Moment, Step, What};
use crate::Change;

impl Hub {
    /// Does what the machine says.
    pub(super) fn act(
        &mut self,
        step: &mut Step,
        now: Timestamp,
        id: SessionId,
        actions: &[Action],
    ) {
        for action in actions {
            match *action {
                Action::TellStarted => self.tell_started(step, now, id),
                Action::TellLost => self.tell_lost(step, now, id),
                Action::TellResumed if self.settings.tell_connections => {
                    self.tell(step, now, id, EventType::ConnectionResumed, Data::Json(json!({})));
                }
                Action::TellResumed | Action::Refuse(_) => {}
                Action::TellEnded(why) => {
                    let story = self.story(now, id, why);
                    step.effects.push(moment(id, now, What::Ended { story: story.clone() }));
                    self.tell(step, now, id, EventType::SessionEnded, Data::Json(story));
                }
                Action::Supersede(generation) => {
                    let reason = "a newer connection has the session";
                    close(step, Handle { session: id, generation }, SUPERSEDED, reason);
                }
                Action::CloseNewest => {
                    let Some(entry) = self.sessions.get(&id) else { continue };
                    let generation = entry.row.session.generation();
                    let said = actions.contains(&Action::TellEnded(Why::Goodbye));
                    let (code, reason) = if said {
                        (CloseCode::NORMAL.get(), "")
                    } else {
                        (SESSION_ENDED, "the session was ended")
                    };
                    close(step, Handle { session: id, generation }, code, reason);
                }
            }
        }
    }

    fn tell_started(&mut self, step: &mut Step, now: Timestamp, id: SessionId) {
        let Some(entry) = self.sessions.get(&id) else { return };
        let (user, plain) = (entry.row.user.clone(), entry.row.plain);
        let data = json!({ "userId": user, "plain": plain });
        step.effects.push(moment(id, now, What::Started { user, plain }));
        self.tell(step, now, id, EventType::SessionStarted, Data::Json(data));
    }

    fn tell_lost(&mut self, step: &mut Step, now: Timestamp, id: SessionId) {
        let Some(entry) = self.sessions.get(&id) else { return };
        let State::Away { departure, until } = entry.row.session.state() else { return };
        let ending = entry.row.account.clone().unwrap_or_default();
        if self.settings.tell_connections {
            let data = json!({ "departure": departure, "until": until, "ending": ending });
            self.tell(step, now, id, EventType::ConnectionLost, Data::Json(data));
        }
        step.effects.push(moment(id, now, What::Away { departure, until, ending }));
    }

    /// What the backend is told of a session that is over.
    fn story(&self, now: Timestamp, id: SessionId, why: Why) -> Value {
        let Some(entry) = self.sessions.get(&id) else { return Value::Null };
        let ending = entry.row.account.clone();
        let (cause, initiator, mechanism) = cause(why, ending.as_ref());
        json!({
            "cause": cause,
            "initiator": initiator,
            "mechanism": mechanism,
            "userId": entry.row.user,
            "connections": entry.row.connections,
            "startedAt": entry.row.started,
            "lastedMs": now.0.saturating_sub(entry.row.started.0),
            "received": entry.row.inbox.received(),
            "sent": entry.row.sent,
            "unacknowledged": entry.outbox.unacknowledged(),
            "ending": ending,
        })
    }

    /// Numbers an event and writes it down.
    pub(super) fn tell(
        &mut self,
        step: &mut Step,
        now: Timestamp,
        id: SessionId,
        r#type: EventType,
        data: Data,
    ) {
        if !self.settings.tell {
            return;
        }
        let Some(entry) = self.sessions.get_mut(&id) else { return };
        entry.row.events += 1;
        let sequence = entry.row.events;
        let event = Event {
            id: event_id(id, Some(sequence), r#type),
            r#type,
            session_id: id,
            user: entry.row.user.clone(),
            generation: entry.row.session.generation(),
            sequence: Some(sequence),
            time: now,
            data,
        };
        put(step, session_stream(id), sequence, &event);
    }

    /// A session of this user has started: the first of them is a person who came.
    pub(super) fn joined(
        &mut self,
        step: &mut Step,
        now: Timestamp,
        id: SessionId,
        user: Option<String>,
    ) {
        let Some(user) = user else { return };
        let sessions = self.users.entry(user.clone()).or_default();
        sessions.insert(id);
        if sessions.len() == 1 {
            self.tell_user(step, now, id, EventType::UserJoined, &user);
        }
    }

    /// A session is over: with the last one of a user the person is gone.
    pub(super) fn left(&mut self, step: &mut Step, now: Timestamp, id: SessionId) {
        let user = self.sessions.get(&id).and_then(|entry| entry.row.user.clone());
        let Some(user) = user else { return };
        let Some(sessions) = self.users.get_mut(&user) else { return };
        sessions.remove(&id);
        if sessions.is_empty() {
            self.users.remove(&user);
            self.tell_user(step, now, id, EventType::UserLeft, &user);
        }
    }

    fn tell_user(
        &mut self,
        step: &mut Step,
        now: Timestamp,
        id: SessionId,
        r#type: EventType,
        user: &str,
    ) {
        if !self.settings.tell {
            return;
        }
        // Only the order among those that wait counts: they are numbered together.
        self.user_events += 1;
        let stream = user_stream(user);
        let generation = self.sessions.get(&id).map_or(0, |entry| entry.row.session.generation());
        let event = Event {
            id: event_id(id, None, r#type),
            r#type,
            session_id: id,
            user: Some(user.to_owned()),
            generation,
            sequence: None,
            time: now,
            data: Data::Json(json!({ "userId": user })),
        };
        put(step, stream, self.user_events, &event);
    }
}

fn put(step: &mut Step, stream: Bytes, sequence: u64, event: &Event) {
    // Strings, numbers and JSON: nothing in it can fail.
    let event = Bytes::from(serde_json::to_vec(event).unwrap_or_default());
    let (of, same) = (stream.clone(), event.clone());
    step.changes.push(Change::PutEvent { stream: of, sequence, event: same });
    step.effects.push(Effect::Deliver { stream, sequence, event });
}

/// The signature of a hook covers this and the body, so this says which event it is.
fn event_id(id: SessionId, sequence: Option<u64>, r#type: EventType) -> String {
    let r#type = r#type.to_string().replace('.', "-");
    match sequence {
        Some(sequence) => format!("{id}_{sequence}_{type}"),
        None => format!("{id}_{type}"),
    }
}

/// Why a session is over in a word, who began that, and by what. Where its last connection has an
/// account, that says the latter two.
fn cause(why: Why, ending: Option<&Value>) -> (&'static str, Value, Value) {
    let seen = |cause| {
        let said = |name| ending.map_or_else(|| json!(""), |ending: &Value| ending[name].clone());
        (cause, said("initiator"), said("mechanism"))
    };
    match why {
        Why::Goodbye if ending.is_none() => ("goodbye", json!("client"), json!("goodbye")),
        Why::Backend => ("ended_by_backend", json!("backend"), json!("api")),
        Why::Expired(Departure::GatewayDown) => ("gateway_down", json!("gateway"), json!("crash")),
        Why::Goodbye | Why::Expired(Departure::Left) => seen("left"),
        Why::Expired(Departure::Hidden) => seen("hidden"),
        Why::Expired(Departure::Lost) => seen("lost"),
        Why::Expired(Departure::Drained) => seen("drained"),
    }
}

fn moment(session_id: SessionId, at: Timestamp, what: What) -> Effect {
    Effect::Moment(Moment { session_id, at, what })
}

pub(super) fn close(step: &mut Step, handle: Handle, code: u16, reason: &str) {
    step.effects.push(Effect::Close(handle, wire::close(code, reason)));
}

/// What events of a session are ordered by.
pub fn session_stream(id: SessionId) -> Bytes {
    [b"s", &id.to_bytes()[..]].concat().into()
}

/// What events of a user are ordered by.
fn user_stream(user: &str) -> Bytes {
    [b"u", user.as_bytes()].concat().into()
}
