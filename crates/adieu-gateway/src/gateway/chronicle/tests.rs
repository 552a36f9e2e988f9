use serde_json::{Value, json};

use super::*;
use std::sync::Arc;
use std::time::Duration;

use crate::session::Departure;
use crate::session::ending::{ConnectionEnding, SessionCause, SessionEnding};
use crate::session::moment::What;

fn chronicle() -> Chronicle {
    Chronicle::new()
}

fn id(number: u64) -> SessionId {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    SessionId::new(bytes)
}

fn record(chronicle: &Chronicle, session: u64, at: u64, what: What) {
    let moment = Moment { session_id: id(session), at: Timestamp(at), what };
    let counts = Counts { attached: 1, away: 2, users: 3, kept: 4 };
    chronicle.record(&moment, counts, |_| Answer::Sessions(Vec::new()));
}

fn started() -> What {
    What::Started { user: Some("anna".into()), plain: false }
}

fn away(until: u64) -> What {
    let (departure, until) = (Departure::Hidden, Timestamp(until));
    What::Away { departure, until, ending: Some(ending()) }
}

fn resumed(generation: u32) -> What {
    let after = Some(Departure::Hidden);
    What::Resumed { generation, after, replayed: 0 }
}

/// How a connection ended that the client closed.
fn ending() -> Arc<ConnectionEnding> {
    let transport = adieu::Transport {
        kind: adieu::TransportKind::Tcp,
        end: adieu::End::Finished,
        active_closer: Some(adieu::Side::Peer),
        close_notify: None,
    };
    let handshake = adieu::ClosingHandshake::None;
    let second = Duration::from_secs(1);
    let report = adieu::Ending::from_parts(adieu::Cause::Eof, handshake, transport, second);
    let sentence = "The peer said goodbye.".to_owned();
    Arc::new(ConnectionEnding { sentence, ..ConnectionEnding::of(&report) })
}

fn ended(cause: SessionCause) -> What {
    let last = ending();
    What::Ended {
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

fn list(chronicle: &Chronicle) -> Value {
    serde_json::to_value(chronicle.list()).unwrap()
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
    let chronicle = chronicle();
    for (at, what) in [
        (10, started()),
        (20, away(28)),
        (21, resumed(2)),
        (30, away(38)),
        (38, ended(SessionCause::Hidden)),
    ] {
        record(&chronicle, 1, at, what);
    }
    let list = list(&chronicle);
    assert_eq!(list["here"], json!([]));
    let story = &list["over"][0];
    assert_eq!((&story["userId"], &story["startedAt"]), (&json!("anna"), &json!(10)));
    assert_eq!(story["knownFrom"], Value::Null, "all of it is known");
    assert_eq!(story["connections"], 2);
    let away = json!({
        "what": "away", "at": 20, "departure": "hidden", "until": 28,
        "sentence": "The peer said goodbye.",
    });
    assert_eq!(story["moments"][0], away);
    let resumed = json!({
        "what": "resumed", "at": 21, "generation": 2, "superseded": false, "replayed": 0,
    });
    assert_eq!(story["moments"][1], resumed);
    let ended = json!({
        "what": "ended", "at": 38, "cause": "hidden", "connections": 2, "received": 1, "sent": 0,
        "unacknowledged": 0, "sentence": null,
    });
    assert_eq!(story["moments"][3], ended, "why it went was told before");
    assert_eq!(list["causes"], json!({ "hidden": 1 }));
    assert_eq!(list["counts"], json!({ "attached": 1, "away": 2, "users": 3 }));
}

#[test]
fn an_end_at_once_says_how_the_connection_ended() {
    let chronicle = chronicle();
    record(&chronicle, 1, 10, started());
    record(&chronicle, 1, 20, ended(SessionCause::Left));
    assert_eq!(list(&chronicle)["over"][0]["moments"][0]["sentence"], "The peer said goodbye.");
}

#[test]
fn news_are_told_with_whose_they_are_and_numbered_on_from_the_list() {
    let chronicle = chronicle();
    record(&chronicle, 1, 10, started());
    let mut news = chronicle.subscribe();
    let number = list(&chronicle)["number"].as_u64().unwrap();
    record(&chronicle, 2, 11, started());
    record(&chronicle, 1, 12, away(20));
    let first: Value = serde_json::from_str(&news.try_recv().unwrap()).unwrap();
    assert_eq!(first["type"], "moment");
    assert_eq!(first["number"], number + 1);
    assert_eq!(first["session"]["userId"], "anna");
    assert_eq!(first["moment"], json!({ "what": "started", "at": 11 }));
    let second: Value = serde_json::from_str(&news.try_recv().unwrap()).unwrap();
    assert_eq!(second["session"]["sessionId"], id(1).to_string());
    assert_eq!(second["moment"]["until"], 20);
    assert!(news.try_recv().is_err());
}

#[test]
fn a_restored_session_begins_with_what_the_hub_knows() {
    let chronicle = chronicle();
    let moment = Moment { session_id: id(1), at: Timestamp(39), what: away(99) };
    chronicle.record(&moment, Counts::default(), |_| Answer::Sessions(vec![view(1)]));
    chronicle.restored(Timestamp(40), &view(1), Counts::default());
    chronicle.restored(Timestamp(40), &view(2), Counts::default());
    let list = list(&chronicle);
    assert_eq!(list["here"].as_array().unwrap().len(), 2, "none is there twice");
    for (story, known_from) in [(&list["here"][0], 40), (&list["here"][1], 39)] {
        assert_eq!((&story["userId"], &story["plain"]), (&json!("bert"), &json!(true)));
        assert_eq!((&story["startedAt"], &story["knownFrom"]), (&json!(7), &json!(known_from)));
        assert_eq!(story["moments"][0]["until"], 99);
    }
}

#[test]
fn connections_are_counted_on_from_what_the_hub_knows() {
    let chronicle = chronicle();
    let resume = |at, generation| {
        let moment = Moment { session_id: id(1), at: Timestamp(at), what: resumed(generation) };
        chronicle.record(&moment, Counts::default(), |_| Answer::Sessions(vec![view(1)]));
        list(&chronicle)["here"][0]["connections"].clone()
    };
    assert_eq!(resume(10, 4), 4, "the hub knows of the fourth");
    assert_eq!(resume(20, 5), 5);
}

#[test]
fn what_was_forgotten_is_said_to_be_unknown() {
    let chronicle = chronicle();
    record(&chronicle, 1, 20, ended(SessionCause::Lost));
    let story = &list(&chronicle)["over"][0];
    assert_eq!((&story["startedAt"], &story["knownFrom"]), (&json!(10), &json!(20)));
    assert_eq!((&story["userId"], &story["plain"]), (&json!("anna"), &Value::Null));
}

#[test]
fn all_of_it_is_bounded() {
    let chronicle = chronicle();
    let sessions = HERE as u64 + 50;
    for session in 0..sessions {
        record(&chronicle, session, session, started());
    }
    let all = list(&chronicle);
    assert_eq!(all["here"].as_array().unwrap().len(), HERE);
    assert_eq!(all["here"][0]["startedAt"], sessions - 1, "newest first");
    for session in 0..sessions {
        record(&chronicle, session, 2 * sessions, ended(SessionCause::Left));
    }
    let all = list(&chronicle);
    assert_eq!(all["over"].as_array().unwrap().len(), OVER);
    assert_eq!(all["here"], json!([]));
    assert_eq!(all["causes"]["left"], sessions, "also those that are forgotten");
    let inner = chronicle.inner();
    assert_eq!((inner.here.len(), inner.order.len()), (0, 0));
}

#[test]
fn a_long_story_loses_its_beginning_and_says_so() {
    let chronicle = chronicle();
    record(&chronicle, 1, 1, started());
    for at in 2..=MOMENTS as u64 + 3 {
        record(&chronicle, 1, at, away(at + 1));
    }
    let story = &list(&chronicle)["here"][0];
    assert_eq!(story["moments"].as_array().unwrap().len(), MOMENTS);
    assert_eq!((&story["startedAt"], &story["knownFrom"]), (&json!(1), &json!(3)));
    assert_eq!(story["moments"][0]["at"], 4);
}

#[test]
fn a_list_has_the_newest_moments_and_of_every_session_the_last() {
    let chronicle = chronicle();
    let sessions = (LISTED / MOMENTS) as u64 + 2;
    for session in 0..sessions {
        for at in 0..MOMENTS as u64 {
            record(&chronicle, session, at, away(at));
        }
    }
    let list = list(&chronicle);
    let lengths = |story: &Value| story["moments"].as_array().unwrap().len();
    let lengths: Vec<_> = list["here"].as_array().unwrap().iter().map(lengths).collect();
    assert_eq!(lengths[0], MOMENTS);
    assert_eq!(lengths[sessions as usize - 2..], [1, 1]);
    let last = &list["here"][sessions as usize - 1];
    assert_eq!(last["moments"][0]["at"], MOMENTS as u64 - 1, "it says where the session is");
    assert_eq!(last["knownFrom"], MOMENTS as u64 - 2);
}

#[test]
fn an_idle_session_is_small() {
    let of_story = size_of::<Story>() + size_of::<Kept>();
    let of_maps = size_of::<SessionId>() * 2 + size_of::<u64>();
    assert!(of_story + of_maps < 200, "{of_story} + {of_maps}, beside what maps leave free");
    assert!(size_of::<Told>() <= 48, "{}", size_of::<Told>());
}
