use serde_json::{Value, json};

use super::*;
use std::sync::Arc;
use std::time::Duration;

use crate::session::Departure;
use crate::session::ending::{ConnectionEnding, SessionCause, SessionEnding};
use crate::session::transition::TransitionKind;

fn timelines() -> Timelines {
    Timelines::new()
}

fn id(number: u64) -> SessionId {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    SessionId::new(bytes)
}

fn record(timelines: &Timelines, session: u64, at: u64, kind: TransitionKind) {
    let transition = Transition { session_id: id(session), at: Timestamp(at), kind };
    let counts = Counts { attached: 1, away: 2, users: 3, kept: 4 };
    timelines.record(&transition, counts, |_| Answer::Sessions(Vec::new()));
}

fn started() -> TransitionKind {
    TransitionKind::Started { user: Some("anna".into()), plain: false }
}

fn away(until: u64) -> TransitionKind {
    let (departure, until) = (Departure::Hidden, Timestamp(until));
    TransitionKind::Away { departure, until, ending: Some(ending()) }
}

fn resumed(generation: u32) -> TransitionKind {
    let after = Some(Departure::Hidden);
    TransitionKind::Resumed { generation, after, replayed: 0 }
}

/// How a connection ended that the client closed.
fn ending() -> Arc<ConnectionEnding> {
    let sentence = "The peer said goodbye.".to_owned();
    let ending = crate::gateway::tests::ending(Duration::from_secs(1));
    Arc::new(ConnectionEnding { sentence, ..ending })
}

fn ended(cause: SessionCause) -> TransitionKind {
    let last = ending();
    TransitionKind::Ended {
        ending: Arc::new(SessionEnding {
            cause,
            initiator: last.initiator,
            mechanism: last.mechanism,
            user_id: Some("anna".into()),
            connections: 2,
            started_at: Timestamp(10),
            lasted_ms: 0,
            received: 1,
            sent: 0,
            unacknowledged: 0,
            ending: Some(last),
        }),
    }
}

fn list(timelines: &Timelines) -> Value {
    serde_json::to_value(timelines.list()).unwrap()
}

fn view(session: u64) -> View {
    View {
        session_id: id(session),
        user_id: Some("bert".into()),
        attached: false,
        departure: Some(Departure::GatewayDown),
        until: Some(Timestamp(99)),
        generation: 4,
        plain: true,
        connections: 4,
        started_at: Timestamp(7),
        sent: 0,
        unacknowledged: 0,
        received: 0,
    }
}

#[test]
fn a_session_has_its_story_from_its_start_to_its_end() {
    let timelines = timelines();
    for (at, kind) in [
        (10, started()),
        (20, away(28)),
        (21, resumed(2)),
        (30, away(38)),
        (38, ended(SessionCause::Hidden)),
    ] {
        record(&timelines, 1, at, kind);
    }
    let list = list(&timelines);
    assert_eq!(list["here"], json!([]));
    let timeline = &list["over"][0];
    assert_eq!((&timeline["userId"], &timeline["startedAt"]), (&json!("anna"), &json!(10)));
    assert_eq!(timeline["knownFrom"], Value::Null, "all of it is known");
    assert_eq!(timeline["connections"], 2);
    let away = json!({
        "kind": "away", "at": 20, "departure": "hidden", "until": 28,
        "sentence": "The peer said goodbye.",
    });
    assert_eq!(timeline["entries"][0], away);
    let resumed = json!({
        "kind": "resumed", "at": 21, "generation": 2, "superseded": false, "replayed": 0,
    });
    assert_eq!(timeline["entries"][1], resumed);
    let ended = json!({
        "kind": "ended", "at": 38, "cause": "hidden", "connections": 2, "received": 1, "sent": 0,
        "unacknowledged": 0, "sentence": null,
    });
    assert_eq!(timeline["entries"][3], ended, "why it went was told before");
    assert_eq!(list["causes"], json!({ "hidden": 1 }));
    assert_eq!(list["counts"], json!({ "attached": 1, "away": 2, "users": 3 }));
}

#[test]
fn an_end_at_once_says_how_the_connection_ended() {
    let timelines = timelines();
    record(&timelines, 1, 10, started());
    record(&timelines, 1, 20, ended(SessionCause::Left));
    assert_eq!(list(&timelines)["over"][0]["entries"][0]["sentence"], "The peer said goodbye.");
}

#[test]
fn news_are_told_with_whose_they_are_and_numbered_on_from_the_list() {
    let timelines = timelines();
    record(&timelines, 1, 10, started());
    let mut news = timelines.subscribe();
    let number = list(&timelines)["number"].as_u64().unwrap();
    record(&timelines, 2, 11, started());
    record(&timelines, 1, 12, away(20));
    let first: Value = serde_json::from_str(&news.try_recv().unwrap()).unwrap();
    assert_eq!(first["type"], "entry");
    assert_eq!(first["number"], number + 1);
    assert_eq!(first["session"]["userId"], "anna");
    assert_eq!(first["entry"], json!({ "kind": "started", "at": 11 }));
    let second: Value = serde_json::from_str(&news.try_recv().unwrap()).unwrap();
    assert_eq!(second["session"]["sessionId"], id(1).to_string());
    assert_eq!(second["entry"]["until"], 20);
    assert!(news.try_recv().is_err());
}

#[test]
fn a_restored_session_begins_with_what_the_hub_knows() {
    let timelines = timelines();
    let transition = Transition { session_id: id(1), at: Timestamp(39), kind: away(99) };
    timelines.record(&transition, Counts::default(), |_| Answer::Sessions(vec![view(1)]));
    timelines.restored(Timestamp(40), &view(1), Counts::default());
    timelines.restored(Timestamp(40), &view(2), Counts::default());
    let list = list(&timelines);
    assert_eq!(list["here"].as_array().unwrap().len(), 2, "none is there twice");
    for (timeline, known_from) in [(&list["here"][0], 40), (&list["here"][1], 39)] {
        assert_eq!((&timeline["userId"], &timeline["plain"]), (&json!("bert"), &json!(true)));
        assert_eq!(
            (&timeline["startedAt"], &timeline["knownFrom"]),
            (&json!(7), &json!(known_from))
        );
        assert_eq!(timeline["entries"][0]["until"], 99);
    }
}

#[test]
fn connections_are_counted_on_from_what_the_hub_knows() {
    let timelines = timelines();
    let resume = |at, generation| {
        let transition =
            Transition { session_id: id(1), at: Timestamp(at), kind: resumed(generation) };
        timelines.record(&transition, Counts::default(), |_| Answer::Sessions(vec![view(1)]));
        list(&timelines)["here"][0]["connections"].clone()
    };
    assert_eq!(resume(10, 4), 4, "the hub knows of the fourth");
    assert_eq!(resume(20, 5), 5);
}

#[test]
fn what_was_forgotten_is_said_to_be_unknown() {
    let timelines = timelines();
    record(&timelines, 1, 20, ended(SessionCause::Lost));
    let timeline = &list(&timelines)["over"][0];
    assert_eq!((&timeline["startedAt"], &timeline["knownFrom"]), (&json!(10), &json!(20)));
    assert_eq!((&timeline["userId"], &timeline["plain"]), (&json!("anna"), &Value::Null));
}

#[test]
fn all_of_it_is_bounded() {
    let timelines = timelines();
    let sessions = HERE as u64 + 50;
    for session in 0..sessions {
        record(&timelines, session, session, started());
    }
    let all = list(&timelines);
    assert_eq!(all["here"].as_array().unwrap().len(), HERE);
    assert_eq!(all["here"][0]["startedAt"], sessions - 1, "newest first");
    for session in 0..sessions {
        record(&timelines, session, 2 * sessions, ended(SessionCause::Left));
    }
    let all = list(&timelines);
    assert_eq!(all["over"].as_array().unwrap().len(), OVER);
    assert_eq!(all["here"], json!([]));
    assert_eq!(all["causes"]["left"], sessions, "also those that are forgotten");
    let inner = timelines.inner();
    assert_eq!((inner.here.len(), inner.order.len()), (0, 0));
}

#[test]
fn a_long_story_loses_its_beginning_and_says_so() {
    let timelines = timelines();
    record(&timelines, 1, 1, started());
    for at in 2..=ENTRIES as u64 + 3 {
        record(&timelines, 1, at, away(at + 1));
    }
    let timeline = &list(&timelines)["here"][0];
    assert_eq!(timeline["entries"].as_array().unwrap().len(), ENTRIES);
    assert_eq!((&timeline["startedAt"], &timeline["knownFrom"]), (&json!(1), &json!(3)));
    assert_eq!(timeline["entries"][0]["at"], 4);
}

#[test]
fn a_list_has_the_newest_entries_and_of_every_session_the_last() {
    let timelines = timelines();
    let sessions = (LISTED / ENTRIES) as u64 + 2;
    for session in 0..sessions {
        for at in 0..ENTRIES as u64 {
            record(&timelines, session, at, away(at));
        }
    }
    let list = list(&timelines);
    let lengths = |timeline: &Value| timeline["entries"].as_array().unwrap().len();
    let lengths: Vec<_> = list["here"].as_array().unwrap().iter().map(lengths).collect();
    assert_eq!(lengths[0], ENTRIES);
    assert_eq!(lengths[sessions as usize - 2..], [1, 1]);
    let last = &list["here"][sessions as usize - 1];
    assert_eq!(last["entries"][0]["at"], ENTRIES as u64 - 1, "it says where the session is");
    assert_eq!(last["knownFrom"], ENTRIES as u64 - 2);
}

#[test]
fn an_idle_session_is_small() {
    let of_timeline = size_of::<Timeline>() + size_of::<Kept>();
    let of_maps = size_of::<SessionId>() * 2 + size_of::<u64>();
    assert!(of_timeline + of_maps < 200, "{of_timeline} + {of_maps}, beside what maps leave free");
    assert!(size_of::<TimelineEntry>() <= 48, "{}", size_of::<TimelineEntry>());
}
