//! What owners change of their sessions: a batch becomes a call for each session.

use std::collections::HashMap;
use std::sync::Arc;

use adieu_session::event::{Event, session_stream, user_stream};
use adieu_session::fence::{Fence, Refused};
use adieu_session::wire::Tag;
use adieu_session::{Batch, Change, Counters, Digest, Row, SessionId, State, Timestamp};
use bytes::Bytes;
use redis::Value;

use crate::channel::{Call, Purpose};
use crate::reply::{Parts, Reply};
use crate::row::{hex, word_of};
use crate::{Engine, EngineError, Node};

/// Where an event stands in its queue: in the order of these. The default is before all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place(pub u64, pub u64);

impl Place {
    pub(crate) fn read(value: Reply) -> Result<Self, EngineError> {
        let text = value.text()?;
        let strange = || EngineError::strange(format!("{text:?} is no place in a queue"));
        let (ms, number) = text.split_once('-').ok_or_else(strange)?;
        Ok(Place(ms.parse().map_err(|_| strange())?, number.parse().map_err(|_| strange())?))
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.0, self.1)
    }
}

/// Which node delivers a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// The caller, from now on: nobody delivered it.
    New,
    /// The caller, as before.
    Mine,
    /// Another one.
    Other,
}

impl Whose {
    pub(crate) fn of(word: &str) -> Self {
        match word {
            "new" => Whose::New,
            "mine" => Whose::Mine,
            _ => Whose::Other,
        }
    }
}

/// An event that waits for the backend now.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    /// What it is ordered by.
    pub stream: Bytes,
    /// Where it stands.
    pub place: Place,
    /// Which node delivers it.
    pub whose: Whose,
    /// The event.
    pub event: Arc<Event>,
}

/// What came of a batch.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Committed {
    /// Sessions of which nothing was changed, and why.
    pub refused: Vec<(SessionId, Refused)>,
    /// Events that wait for the backend.
    pub told: Vec<Told>,
}

/// What a batch does to one session.
#[derive(Debug)]
struct Writing<'b> {
    id: SessionId,
    call: Call,
    of_session: Vec<&'b Arc<Event>>,
    joins: Option<&'b Arc<Event>>,
    leaves: Option<&'b Arc<Event>>,
}

impl Engine {
    /// Makes a batch of changes, each session's in one step; `now` is the time of the shard that
    /// made it. A session may be in it once. It may be called again with the same batch when it is
    /// not known whether it was made: what was made before is made once.
    ///
    /// # Errors
    /// [`EngineError`]; some sessions' changes may have been made.
    pub async fn write(
        &self,
        me: Node,
        batch: &Batch,
        now: Timestamp,
    ) -> Result<Committed, EngineError> {
        let mut writing = writings(me, batch, now);
        let calls: Vec<Call> = writing.iter_mut().map(|of| std::mem::take(&mut of.call)).collect();
        let answers = self.channel(Purpose::Commits).calls(&calls).await;
        let mut committed = Committed::default();
        for (of, answer) in writing.iter().zip(answers) {
            read(of, answer?, &mut committed)?;
        }
        Ok(committed)
    }
}

fn writings(me: Node, batch: &Batch, now: Timestamp) -> Vec<Writing<'_>> {
    let mut fences: HashMap<SessionId, (Fence, Fence)> = HashMap::new();
    for change in batch {
        if let Change::Write { id, after, next } = change {
            fences.insert(*id, (*after, *next));
        }
    }
    let mut all: Vec<Writing<'_>> = Vec::new();
    let mut places: HashMap<SessionId, usize> = HashMap::new();
    for change in batch {
        let Some(id) = change.session() else { continue };
        let Some((after, next)) = fences.get(&id) else { continue };
        let at = *places.entry(id).or_insert_with(|| {
            let call = Call::of(id.slot(), "write")
                .arg(id.to_string())
                .number(after.epoch)
                .arg(hex(after.nonce))
                .number(next.epoch)
                .arg(hex(next.nonce))
                .number(me.0);
            all.push(Writing { id, call, of_session: Vec::new(), joins: None, leaves: None });
            all.len() - 1
        });
        put(&mut all[at], change, *after, now);
    }
    all
}

fn put<'b>(of: &mut Writing<'b>, change: &'b Change, after: Fence, now: Timestamp) {
    let call = &mut of.call;
    match change {
        Change::PutSession { row, counters, .. } => put_row(call, row, counters, after, now),
        Change::PutCounters { counters, .. } => {
            fields(
                call,
                &[("i", counters.received.to_string()), ("v", counters.events.to_string())],
            );
        }
        Change::DeleteSession { .. } => call.push("D"),
        Change::TrimMessages { up_to, tag, .. } => put_trim(call, *up_to, *tag),
        Change::PutEvent { event, .. } => {
            of.of_session.push(event);
            call.push("E");
            call.push(event.id.as_bytes());
            call.push(json(event));
        }
        Change::Join { user, event, most, .. } => {
            of.joins = event.as_ref();
            call.push("J");
            call.push(user.as_bytes());
            put_user_event(call, event.as_ref());
            call.push(most.to_string());
        }
        Change::Leave { user, event, linger, .. } => {
            of.leaves = event.as_ref();
            call.push("V");
            call.push(user.as_bytes());
            call.push(linger.as_millis().to_string());
            put_user_event(call, event.as_ref());
        }
        // The engine numbers and keeps messages itself, and says who is the last of a user.
        Change::Write { .. }
        | Change::PutMessage { .. }
        | Change::PutLeaving { .. }
        | Change::DeleteLeaving { .. }
        | Change::DeleteEvent { .. }
        | Change::PutDeadLetter { .. }
        | Change::DeleteDeadLetter { .. }
        | Change::PutMeta { .. } => {}
    }
}

fn put_row(call: &mut Call, row: &Row, counters: &Counters, after: Fence, now: Timestamp) {
    let session = row.session;
    let mut all: Vec<(&str, Vec<u8>)> = vec![
        ("g", session.generation().to_string().into()),
        ("c", session.confirmed().to_string().into()),
        ("i", counters.received.to_string().into()),
        ("v", counters.events.to_string().into()),
        ("k", row.connections.to_string().into()),
        ("d", row.credentials.to_bytes().to_vec()),
    ];
    let is_new = after == Fence::default();
    if is_new {
        all.push(("s", row.started.0.to_string().into()));
        let texts = [("u", &row.user), ("o", &row.origin)];
        all.extend(
            texts.into_iter().filter_map(|(name, text)| {
                text.as_ref().map(|text| (name, text.as_bytes().to_vec()))
            }),
        );
        all.extend(row.plain.then(|| ("p", b"1".to_vec())));
        all.extend(row.first.map(|first| ("f", first.to_bytes().to_vec())));
    }
    if let State::Away { departure, .. } = session.state() {
        all.push(("y", word_of(departure).into()));
    }
    fields(call, &all);
    match row.first {
        Some(first) if is_new => {
            call.push("B");
            call.push(Digest::to_bytes(first));
        }
        None if !is_new => call.push("b"),
        _ => {}
    }
    if let Some(meta) = row.meta.as_ref().filter(|_| is_new) {
        call.push("M");
        call.push(serde_json::to_vec(meta).unwrap_or_default());
    }
    match session.state() {
        State::Attached => call.push("O"),
        State::Away { until, .. } => {
            call.push("W");
            call.push(until.since(now).as_millis().to_string());
            if let Some(ending) = &row.ending {
                call.push("L");
                call.push(serde_json::to_vec(ending).unwrap_or_default());
            }
        }
        State::Over => {}
    }
}

fn put_trim(call: &mut Call, up_to: u64, tag: Tag) {
    call.push("T");
    call.push(up_to.to_string());
    call.push(tag.to_bytes());
}

fn put_user_event(call: &mut Call, event: Option<&Arc<Event>>) {
    match event {
        Some(event) => {
            call.push(event.id.as_bytes());
            call.push(json(event));
        }
        // Nobody is told.
        None => {
            call.push("");
            call.push("");
        }
    }
}

fn fields(call: &mut Call, all: &[(&str, impl AsRef<[u8]>)]) {
    call.push("F");
    call.push(all.len().to_string());
    for (name, value) in all {
        call.push(name.as_bytes());
        call.push(value.as_ref());
    }
}

/// Strings and numbers: nothing in it can fail.
pub(crate) fn json(event: &Event) -> Vec<u8> {
    serde_json::to_vec(event).unwrap_or_default()
}

fn read(of: &Writing<'_>, answer: Value, committed: &mut Committed) -> Result<(), EngineError> {
    let mut parts = Parts::of(answer)?;
    let refused = match parts.next()?.text()?.as_str() {
        "OK" => {
            let mut of_session = of.of_session.iter();
            for part in parts.rest() {
                let mut part = Parts::of(part.0)?;
                let queue = part.next()?.text()?;
                let (place, whose) = (Place::read(part.next()?)?, part.next()?.text()?);
                let of_user = queue.strip_prefix("u:");
                let event = match part.next()?.text()?.as_str() {
                    "J" => of.joins,
                    "V" => of.leaves,
                    _ => of_session.next().copied(),
                };
                let Some(event) = event else {
                    return Err(EngineError::strange("more events than were written"));
                };
                let stream = of_user.map_or_else(|| session_stream(of.id), user_stream);
                let (whose, event) = (Whose::of(&whose), event.clone());
                committed.told.push(Told { stream, place, whose, event });
            }
            return Ok(());
        }
        // The answer of the first time was lost, and with it which node delivers its events: the
        // node finds that in its next audit.
        "REPEATED" => return Ok(()),
        "FENCED" => Refused::Fenced,
        "ROLLED_BACK" => Refused::RolledBack,
        "FULL" => Refused::Full,
        "BEGAN" => Refused::Began(crate::row::session_id(parts.next()?)?),
        other => return Err(EngineError::strange(format!("{other:?} to a write"))),
    };
    committed.refused.push((of.id, refused));
    Ok(())
}
