//! What a session is, survives the engine byte for byte: rows, messages and events of any content.

use std::sync::Arc;

use adieu_engine::{Claimed, Hint, Place, Taken};
use adieu_session::command::{Outgoing, Purpose};
use adieu_session::ending::{ConnectionEnding, Initiator, Mechanism, SessionCause, SessionEnding};
use adieu_session::event::{ConnectionLost, Data, EventType, Meta, SessionStart, session_stream};
use adieu_session::wire::{Payload, Tag};
use adieu_session::{Change, Departure, Digest, Session, State, Timestamp};
use bytes::Bytes;
use serde_json::{Value, json};

use crate::common::{
    A, B, LIMITS, LONG, Owned, Random, SOON, Server, chance, claim, session_in, until,
};

/// A text of any characters, those among them that end a line, a text or a name elsewhere.
fn text(random: &mut Random) -> String {
    const ODD: [char; 12] =
        ['\0', '\n', '\r', '"', '\\', '{', '}', ':', ' ', '\u{7f}', '\u{2028}', '\u{10FFFF}'];
    let length = random.size(60);
    let mut one = || match random.below(3) {
        0 => ODD[random.below(ODD.len() as u64) as usize],
        1 => char::from(b' ' + random.below(95) as u8),
        _ => char::from_u32(random.below(0x11_0000) as u32).unwrap_or('é'),
    };
    (0..length).map(|_| one()).collect()
}

fn bytes<const N: usize>(random: &mut Random) -> [u8; N] {
    let odd = random.once_in(3);
    [(); N].map(|()| {
        if odd {
            *b"\n\r\0\xff: {}".get(random.below(8) as usize).unwrap_or(&0)
        } else {
            random.next() as u8
        }
    })
}

fn some<T>(random: &mut Random, make: impl FnOnce(&mut Random) -> T) -> Option<T> {
    if random.once_in(2) { Some(make(random)) } else { None }
}

fn json_value(random: &mut Random, depth: u32) -> Value {
    match random.below(if depth == 0 { 6 } else { 8 }) {
        0 => Value::Null,
        1 => json!(random.once_in(2)),
        2 => json!(random.next()),
        3 => json!(random.next() as i64),
        // Any number that has a fraction: what was written is read again as the same one.
        4 => {
            let number = f64::from_bits(random.next());
            json!(if number.is_finite() { number } else { 0.1 })
        }
        5 => json!(text(random)),
        6 => (0..random.below(4)).map(|_| json_value(random, depth - 1)).collect(),
        _ => Value::Object(object(random, depth - 1)),
    }
}

fn object(random: &mut Random, depth: u32) -> Meta {
    (0..random.below(5)).map(|_| (text(random), json_value(random, depth))).collect()
}

fn ending(random: &mut Random) -> ConnectionEnding {
    let ending = json!({
        "sentence": text(random),
        "id": "client-closed",
        "initiator": Initiator::Client,
        "mechanism": Mechanism::Goodbye,
        "detail": some(random, text),
        "closedBecause": null,
        "code": some(random, |random| random.next() as u16),
        "reason": text(random),
        "clean": random.once_in(2),
        "draining": random.once_in(2),
        "refusedBy": null,
        "received": { "code": random.next() as u16, "reason": text(random) },
        "sent": null,
        "firstClose": "client",
        "transport": "fin",
        "transportKind": "tcp",
        "transportEndedFirst": null,
        "letGo": null,
        "closeNotify": some(random, |random| random.once_in(2)),
        "cut": "nowhere",
        "unsentMessages": random.next(),
        "unsentBytes": random.next(),
        "unacknowledgedBytes": some(random, Random::next),
        "detectionLatencyMs": some(random, Random::next),
        "lastedMs": random.next(),
        "switchedOff": ["heartbeat"],
        "error": some(random, text),
        "compressed": null,
        "http2": null,
    });
    serde_json::from_value(ending).expect("an ending")
}

fn data(random: &mut Random) -> (EventType, Data) {
    match random.below(6) {
        0 => {
            let start = SessionStart {
                user_id: some(random, |random| text(random).into()),
                plain: random.once_in(2),
                path: text(random).into(),
                query: some(random, |random| text(random).into()),
                connect_id: some(random, |random| text(random).into()),
            };
            (EventType::SessionStarted, Data::Started(Box::new(start)))
        }
        1 => {
            let ended = SessionEnding {
                cause: SessionCause::Goodbye,
                initiator: Initiator::Client,
                mechanism: Mechanism::Goodbye,
                user_id: some(random, |random| text(random).into()),
                connections: random.next() as u32,
                started_at: Timestamp(random.next()),
                lasted_ms: random.next(),
                received: random.next(),
                sent: random.next(),
                unacknowledged: random.next(),
                ending: some(random, |random| Arc::new(ending(random))),
            };
            (EventType::SessionEnded, Data::Ended(Arc::new(ended)))
        }
        2 => {
            let lost = ConnectionLost {
                departure: Departure::Lost,
                until: Timestamp(random.next()),
                ending: some(random, |random| Arc::new(ending(random))),
            };
            (EventType::ConnectionLost, Data::Lost(Box::new(lost)))
        }
        3 => (EventType::ConnectionResumed, Data::Resumed),
        4 => (EventType::Message, Data::from(Payload::Binary(bytes::<40>(random).to_vec()))),
        _ => (EventType::Message, Data::Text(text(random))),
    }
}

/// A session of any content, whose fields are those that the engine keeps.
fn anyone(random: &mut Random) -> Owned {
    let user = some(random, text);
    let mut owned = Owned::new(A, user.as_deref(), random);
    owned.id = session_in(owned.id.slot(), random);
    owned.row.origin = some(random, |random| format!("https://{}", text(random)).into());
    owned.row.credentials = Digest::from_bytes(bytes(random));
    owned.row.first = some(random, |random| Digest::from_bytes(bytes(random)));
    owned.row.meta = some(random, |random| Arc::new(object(random, 2)));
    owned.row.started = Timestamp(random.below(1 << 53));
    owned.row.connections = random.below(1 << 31) as u32;
    let (generation, confirmed) = (2 + random.below(1 << 31) as u32, 1);
    owned.row.session = Session::restored(State::Attached, generation, confirmed);
    owned.counters.received = random.below(1 << 53);
    owned.counters.events = random.below(1 << 53);
    owned
}

fn message(random: &mut Random) -> Outgoing {
    let payload = match random.below(2) {
        0 => Payload::Text(text(random)),
        _ => Payload::Binary(bytes::<33>(random).to_vec()),
    };
    let mut message = Outgoing::new(payload, Tag::new(bytes(random)));
    message.key = some(random, |random| Digest::from_bytes(bytes(random)));
    message
}

#[tokio::test]
async fn a_session_comes_out_of_the_engine_as_it_went_in() {
    let (server, mut random) = (Server::start(), chance());
    let engine = server.loaded().await;
    let mut hints = engine.hints(A).await.unwrap();
    for round in 0..150 {
        let mut owned = anyone(&mut random);
        let mut events = Vec::new();
        let mut changes = Vec::new();
        for number in 0..4 {
            let (r#type, data) = data(&mut random);
            let put = owned.event(r#type, data, round * 8 + number);
            let Change::PutEvent { event, .. } = &put else { unreachable!() };
            events.push(event.clone());
            changes.push(put);
        }
        changes.extend(owned.row.user.is_some().then(|| owned.join(1_000, round)));
        changes.push(owned.put());
        owned.write(&engine, changes, random.next()).await.unwrap();
        // Messages, one of which another node posts.
        let mut sent = Vec::new();
        for number in 0..3u64 {
            let message = message(&mut random);
            let me = if number == 2 { B } else { A };
            let posted = engine.post(me, LIMITS, &[(owned.id, &message)]).await.remove(0).unwrap();
            if posted != adieu_engine::Posted::Repeated {
                sent.push(message);
            }
            if me == B && posted != adieu_engine::Posted::Repeated {
                let Some(Hint::Message(id, number, kept)) = hints.next().await else {
                    panic!("the owner hears of it")
                };
                let last = &sent[sent.len() - 1];
                assert_eq!((id, number as usize), (owned.id, sent.len()));
                assert_eq!((kept.tag, kept.key, &kept.tail), (last.tag, last.key, &last.tail));
            }
        }
        owned.counters.sent = sent.len() as u64;
        let first = sent.remove(0);
        let changes = vec![owned.trim(1, first.tag), owned.count()];
        owned.write(&engine, changes, random.next()).await.unwrap();
        owned.counters.settled = first.tag;
        // Away with an ending, and back at another node.
        owned.row.ending = some(&mut random, |random| Arc::new(ending(random)));
        owned.goes(&engine, SOON, &mut random).await;
        let due = async || {
            let all = engine.due(B, owned.id.slot(), 64, LONG).await.unwrap().sessions;
            all.into_iter().find(|snapshot| snapshot.id == owned.id)
        };
        let snapshot = until("the deadline", due).await;
        let mut away = Owned::given(B, snapshot, Purpose::Expire);
        let until = away.row.session.deadline().unwrap();
        away.row.session = Session::restored(
            State::Away { departure: Departure::Hidden, until },
            away.row.session.generation(),
            away.row.session.confirmed(),
        );
        owned.row.session = Session::restored(
            State::Away { departure: Departure::Hidden, until },
            owned.row.session.generation(),
            owned.row.session.confirmed(),
        );
        same(&away, &owned, &sent);
        let mut shown = owned.resumption();
        shown.origin = owned.row.origin.clone();
        shown.credentials = owned.row.credentials;
        (shown.received, shown.tag) = (1, Some(first.tag));
        let Claimed::Owner(snapshot, after) = claim(&engine, B, owned.id, &shown).await.unwrap()
        else {
            panic!("the client is resumed");
        };
        assert_eq!(after, Some(Departure::Hidden));
        let back = Owned::given(B, *snapshot, Purpose::Attach(1, after));
        let generation = owned.row.session.generation();
        owned.row.session = Session::restored(State::Attached, generation + 1, generation);
        owned.row.connections += 1;
        owned.row.ending = None;
        same(&back, &owned, &sent);
        // And its events.
        let stream = session_stream(owned.id);
        let more_behind = Some(Place::default());
        let taken = Taken { stream, slot: owned.id.slot(), events: vec![], more_behind };
        let queued = engine.taken(A, &[taken], 16).await.remove(0).unwrap();
        let came: Vec<_> = queued.iter().map(|queued| queued.event.clone()).collect();
        assert_eq!(came, events);
        assert!(queued.iter().all(|queued| queued.id == queued.event.id));
        let again: Vec<Vec<u8>> =
            came.iter().map(|event| serde_json::to_vec(event).unwrap()).collect();
        let before: Vec<Vec<u8>> =
            events.iter().map(|event| serde_json::to_vec(event).unwrap()).collect();
        assert_eq!(again, before, "byte for byte");
    }
}

fn same(came: &Owned, owned: &Owned, sent: &[Outgoing]) {
    assert_eq!(came.row, owned.row);
    assert_eq!(came.counters, owned.counters);
    let messages: Vec<(Tag, Option<Digest>, &Bytes)> =
        came.messages.iter().map(|kept| (kept.tag, kept.key, kept.tail.bytes())).collect();
    let expected: Vec<_> =
        sent.iter().map(|sent| (sent.tag, sent.key, sent.tail.bytes())).collect();
    assert_eq!(messages, expected);
}
