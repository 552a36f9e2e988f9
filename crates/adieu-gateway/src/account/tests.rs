use std::collections::BTreeMap;
use std::sync::Arc;

use adieu::{
    Cause, Close, ClosingHandshake, End, HandshakeError, LetGo, Side, Timer, Transport,
    TransportKind,
};
use serde_json::{Value, json};

use super::*;
use crate::hook::{BackendCounts, Waiting};
use crate::metrics::Metrics;
use crate::session::command::{Guest, SessionCommand};
use crate::session::event::Data;
use crate::session::{
    Command, Departure, Effect, Key, Reply, SessionId, Settings, Shard, Transaction,
};

fn report(cause: Cause, end: End, active_closer: Option<Side>) -> adieu::Ending {
    let transport = Transport { kind: TransportKind::Tls, end, active_closer, close_notify: None };
    let lasted = Duration::from_micros(1_500_250);
    adieu::Ending::from_parts(cause, ClosingHandshake::None, transport, lasted)
}

/// As `/endings` lists it.
fn listed(ending: &adieu::Ending) -> Value {
    let mut account = Account::new(7, "192.0.2.1:5".into(), None);
    account.end(ending, ConnectionEnding::of(ending));
    serde_json::to_value(account).unwrap()
}

/// The labels of the one ending that was counted.
fn counted(ending: &adieu::Ending) -> BTreeMap<String, String> {
    let metrics = Metrics::default();
    metrics.ending(&ConnectionEnding::of(ending));
    let text = metrics.encode(None, Waiting::default(), BackendCounts::default());
    let line = text.lines().find(|line| line.starts_with("adieu_connection_endings_total{"));
    let labels = line.unwrap_or_else(|| panic!("no ending was counted: {text}"));
    let labels = labels.split_once('{').unwrap().1.split_once('}').unwrap().0;
    let pair = |label: &str| {
        let (name, value) = label.split_once('=').unwrap();
        (name.to_owned(), value.trim_matches('"').to_owned())
    };
    labels.split(',').map(pair).collect()
}

/// `data` of the `session.ended` of a session whose only connection ended so.
fn told(ending: &adieu::Ending) -> Value {
    let mut shard = Shard::new(Key::new(&[7; 32]), Settings::default(), 1);
    let (now, later) = (Timestamp(1_000_000), Timestamp(100_000_000));
    let mut tx = Transaction::default();
    let id = SessionId::new([1; 16]);
    let reply = shard.on(now, Command::Start(id, Box::<Guest>::default()), &mut tx);
    let Reply::Attached(handle) = reply else { panic!("{reply:?}") };
    let departure = Departure::of(ending);
    let over = Arc::new(ConnectionEnding::of(ending));
    let over = SessionCommand::ConnectionEnded(handle.generation, departure, over);
    shard.on(now, Command::Session(id, over), &mut tx);
    shard.expire(later, &mut tx);
    let ended = tx.effects.iter().find_map(|effect| match effect {
        Effect::Deliver { event, .. } => match &event.data {
            Data::Ended(ending) => Some(serde_json::to_value(ending).unwrap()),
            _ => None,
        },
        _ => None,
    });
    ended.unwrap_or_else(|| panic!("no session.ended: {:?}", tx.effects))
}

#[test]
fn for_each_cause_endings_session_ended_and_the_metrics_say_the_same_words() {
    // Cause, initiator, mechanism, why the gateway closed it.
    let bad_utf8 = adieu::ProtocolError::InvalidUtf8;
    let table = [
        (Cause::Application, "gateway", "close_frame", Some("application")),
        (Cause::HandlerReturned, "gateway", "close_frame", Some("handler_returned")),
        (Cause::HandlerFailed, "gateway", "close_frame", Some("handler_failed")),
        (Cause::Panicked, "gateway", "crash", Some("panicked")),
        (Cause::Dropped, "gateway", "crash", Some("dropped")),
        (Cause::SlowConsumer, "gateway", "close_frame", Some("slow_consumer")),
        (Cause::NoBinary, "gateway", "close_frame", Some("no_binary")),
        (Cause::TooManyConnections, "gateway", "close_frame", Some("too_many_connections")),
        (Cause::TooMuchReceived, "gateway", "close_frame", Some("too_much_received")),
        (Cause::Drain, "gateway", "drain", None),
        (Cause::Peer, "client", "close_frame", None),
        (Cause::Violation(bad_utf8), "client", "protocol_error", None),
        (Cause::Timeout(Timer::Pong), "network", "pong_timeout", None),
        (Cause::Timeout(Timer::Write), "gateway", "write_timeout", None),
        (Cause::Eof, "unknown", "fin", None),
        (Cause::Reset, "unknown", "rst", None),
        (Cause::Unreachable, "network", "tcp_timeout", None),
        (Cause::TransportFailed, "unknown", "transport_error", None),
        (Cause::Handshake(HandshakeError::Full), "gateway", "handshake", None),
        (Cause::Handshake(HandshakeError::Method), "client", "handshake", None),
        (Cause::Handshake(HandshakeError::TimedOut), "unknown", "handshake", None),
    ];
    for (cause, initiator, mechanism, closed_because) in table {
        let ending = report(cause.clone(), End::Finished, Some(Side::Peer));
        let (listed, counted, told) = (listed(&ending), counted(&ending), told(&ending));
        assert_eq!(listed["ending"], told["ending"], "{cause:?}: one type, one set of words");
        for (field, word) in [("initiator", initiator), ("mechanism", mechanism)] {
            assert_eq!(listed["ending"][field], word, "/endings: {field} of {cause:?}");
            assert_eq!(told[field], word, "session.ended: {field} of {cause:?}");
            assert_eq!(counted[field], word, "metrics: {field} of {cause:?}");
        }
        assert_eq!(listed["ending"]["closedBecause"], json!(closed_because), "{cause:?}");
    }
}

#[test]
fn what_was_not_seen_is_null() {
    let json = listed(&report(Cause::HandlerReturned, End::Finished, Some(Side::Peer)));
    let ending = &json["ending"];
    assert_eq!((&ending["transport"], &ending["transportKind"]), (&"fin".into(), &"tls".into()));
    assert_eq!(ending["transportEndedFirst"], "client");
    for key in ["refusedBy", "letGo", "error", "detail", "firstClose", "received", "closeNotify"] {
        assert_eq!(ending.get(key), Some(&Value::Null), "{key}: {ending}");
    }
    assert_eq!(
        json["timeline"],
        json!({
            "opened": null, "closeSent": null, "closeReceived": null, "finSent": null,
            "peerEnded": null, "ended": 1500.25,
        })
    );
}

#[test]
fn what_was_seen_is_said() {
    let end = End::LetGo(LetGo::Clock(Timer::Close));
    let mut ending = report(Cause::TransportFailed, end, None);
    ending.draining = true;
    ending.switched_off = vec![Timer::Ping, Timer::Pong];
    ending.error = Some(std::io::Error::other("the tunnel collapsed").into());
    ending.timeline.peer_ended = Some(Duration::from_micros(1_234));
    let (ours, theirs) = (Close::new(1001, "").unwrap(), Close::new(4000, "bye").unwrap());
    ending.closing_handshake = ClosingHandshake::SentThenReceived { ours, theirs };
    let json = listed(&ending);
    for (key, value) in [
        ("transport", json!("abandoned")),
        ("letGo", json!("close")),
        ("draining", json!(true)),
        ("error", json!("the tunnel collapsed")),
        ("switchedOff", json!(["ping", "pong"])),
        ("firstClose", json!("gateway")),
        ("received", json!({ "code": 4000, "reason": "bye" })),
    ] {
        assert_eq!(json["ending"][key], value, "{key}: {json}");
    }
    assert_eq!(json["timeline"]["peerEnded"], 1.234);
}
