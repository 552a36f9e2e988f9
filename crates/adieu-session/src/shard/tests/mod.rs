mod broken_world;
mod harness;
mod indexes;
mod limits;
mod restarts;
mod resuming;
mod shared;
mod two_machines;
mod users;

use adieu_proto::{CloseCode, Message};
use serde_json::Value;

use super::super::command::Outgoing;
use super::super::ending::{Mechanism, SessionCause};
use super::super::event::{Data, Event, EventType};
use super::super::outbox::OutboxLimits;
use super::super::transaction::{Effect, Handle};
use super::super::wait::Departure;
use super::super::wire::{FinalClose, FromClient, Payload, SUPERSEDED, Tag};
use super::*;
use harness::*;

/// What a step sends.
fn said(step: &Transaction) -> Vec<&str> {
    let text = |effect| match effect {
        &Effect::Send(_, Message::Text(ref text))
        | &Effect::SendSecret(_, Message::Text(ref text)) => Some(text.as_str()),
        _ => None,
    };
    step.effects.iter().filter_map(text).collect()
}

fn guest(user: &str, origin: &str) -> Guest {
    let (user, origin) = (Some(user.into()), Some(origin.into()));
    Guest { user, origin, ..Guest::default() }
}

/// The events that are no user's.
fn of_session(step: &Transaction) -> Vec<Event> {
    let event = |change: &Change| match change {
        Change::PutEvent { stream, event, .. } if stream.starts_with(b"s") => {
            Some(Event::clone(event))
        }
        _ => None,
    };
    step.changes.iter().filter_map(event).collect()
}

/// The types of the events of users.
fn of_users(step: &Transaction) -> Vec<EventType> {
    let event = |change: &Change| match change {
        Change::PutEvent { stream, event, .. } if stream.starts_with(b"u") => Some(event.r#type),
        _ => None,
    };
    step.changes.iter().filter_map(event).collect()
}

/// The token in a `connected`.
fn token(step: &Transaction) -> String {
    let said = said(step);
    let json: Value = serde_json::from_str(said.first().expect("a connected")).unwrap();
    json["reconnectionToken"].as_str().expect("a connected").to_owned()
}

pub(super) fn events(step: &Transaction) -> Vec<(EventType, u64)> {
    of_session(step).iter().map(|event| (event.r#type, event.sequence.unwrap())).collect()
}

/// What is to be done, apart from what is for people and for the backend.
fn done(step: &Transaction) -> Vec<&Effect> {
    let told = |effect: &&Effect| !matches!(effect, Effect::Transition(_) | Effect::Deliver { .. });
    step.effects.iter().filter(told).collect()
}

fn started(hub: &mut Hub) -> (Handle, String) {
    let (handle, step) = hub.start(NOW, id(1), guest("anna", "https://a"));
    assert_eq!(events(&step), [(EventType::SessionStarted, 1)]);
    (handle, token(&step))
}

fn hear(hub: &mut Hub, handle: Handle, said: &str) -> Transaction {
    hub.hear(NOW, handle, FromClient::read(said))
}

fn from(origin: &str, received: u64) -> Resumption {
    Resumption { received, origin: Some(origin.into()), ..Resumption::default() }
}

fn resume(hub: &mut Hub, token: &str, received: u64) -> Result<(Handle, Transaction), NotResumed> {
    hub.resume(NOW, token, from("https://a", received))
}

#[test]
fn a_refresh_is_no_event_and_nothing_is_lost() {
    let mut hub = Hub::new(Settings::default());
    let (first, token) = started(&mut hub);
    hub.send(NOW, id(1), "a").unwrap();
    let gone = hub.ended(NOW, first, Departure::Hidden, &ending());
    assert_eq!(events(&gone), []);
    // What is sent meanwhile waits.
    let step = hub.send(NOW, id(1), "b").unwrap();
    assert_eq!(done(&step), Vec::<&Effect>::new());
    let (second, step) = resume(&mut hub, &token, 0).unwrap();
    assert_eq!((second.generation, events(&step)), (2, vec![]));
    assert_eq!(
        said(&step)[1..],
        [
            r#"{"type":"message","sequenceId":1,"tag":"BwcHBwcH","text":"a"}"#,
            r#"{"type":"message","sequenceId":2,"tag":"BwcHBwcH","text":"b"}"#
        ]
    );
    assert!(hub.0.deadlines.is_empty(), "nobody is waited for");
}

#[test]
fn what_has_the_token_in_it_is_sent_as_a_secret_and_nothing_else_is() {
    let mut hub = Hub::new(Settings::default());
    let (first, step) = hub.start(NOW, id(1), guest("anna", "https://a"));
    let token = token(&step);
    let is_secret = |step: &Transaction| -> Vec<bool> {
        let sent = step.effects.iter().filter_map(|effect| match effect {
            Effect::Send(..) => Some(false),
            Effect::SendSecret(..) => Some(true),
            _ => None,
        });
        sent.collect()
    };
    assert_eq!(is_secret(&step), [true]);
    assert_eq!(is_secret(&hub.send(NOW, id(1), "a").unwrap()), [false]);
    hub.ended(NOW, first, Departure::Hidden, &ending());
    let (_, step) = resume(&mut hub, &token, 0).unwrap();
    assert_eq!(is_secret(&step), [true, false], "connected, and what waited");
}

#[test]
fn who_does_not_come_back_is_announced_once_with_the_account() {
    let mut hub = Hub::new(Settings::default());
    let (first, token) = started(&mut hub);
    hub.send(NOW, id(1), "never read").unwrap();
    hub.ended(NOW, first, Departure::Hidden, &ending());
    let due = hub.0.deadline().unwrap();
    assert_eq!(due, NOW + Duration::from_secs(8));
    assert_eq!(hub.expire(Timestamp(due.0 - 1)), Transaction::default(), "never early");
    let step = hub.expire(due);
    assert_eq!(events(&step), [(EventType::SessionEnded, 2)]);
    assert_eq!(of_users(&step), [EventType::UserLeft]);
    let Data::Ended(told) = &of_session(&step)[0].data else { panic!("{step:?}") };
    assert_eq!((told.cause, told.mechanism), (SessionCause::Hidden, Mechanism::Fin));
    assert_eq!((told.user_id.as_deref(), told.unacknowledged), (Some("anna"), 1));
    assert_eq!(told.ending, Some(ending()));
    assert_eq!((hub.0.len(), hub.0.deadline()), (0, None));
    assert_eq!(resume(&mut hub, &token, 0).unwrap_err(), NotResumed::Expired);
}

#[test]
fn a_newer_connection_takes_over_and_the_older_ones_words_and_end_count_for_nothing() {
    let mut hub = Hub::new(Settings::default());
    let (first, token) = started(&mut hub);
    let (second, step) = resume(&mut hub, &token, 0).unwrap();
    let Effect::Close(closed, close) = done(&step)[0] else { panic!("{step:?}") };
    assert_eq!((*closed, close.code().map(CloseCode::get)), (first, Some(SUPERSEDED)));
    for late in [
        hear(&mut hub, first, r#"{"type":"message","sequenceId":1,"text":"late"}"#),
        hear(&mut hub, first, r#"{"type":"goodbye"}"#),
        hub.ended(NOW, first, Departure::Left, &ending()),
        // A page in the back/forward cache of Chromium is noticed after ten minutes.
        hub.ended(NOW + Duration::from_secs(600), first, Departure::Lost, &ending()),
    ] {
        assert_eq!(late, Transaction::default());
    }
    let step = hear(&mut hub, second, r#"{"type":"message","sequenceId":1,"text":"here"}"#);
    assert_eq!(events(&step), [(EventType::Message, 2)]);
}

#[test]
fn a_refusal_says_why_and_touches_nothing() {
    let mut hub = Hub::new(Settings::default());
    let (_, token) = started(&mut hub);
    let other_token = self::token(&hub.start(NOW, id(2), Guest::default()).1);
    let refused = |hub: &mut Hub, token: &str, received, origin: &str| {
        hub.resume(NOW, token, from(origin, received)).unwrap_err()
    };
    let own = "https://a";
    assert_eq!(refused(&mut hub, &token, 0, "https://b"), NotResumed::Origin);
    assert_eq!(refused(&mut hub, &token, 5, own), NotResumed::Lost, "what was never sent");
    let unknown = Resumption { acknowledged: 1, ..from(own, 0) };
    let claims = hub.resume(NOW, &token, unknown).unwrap_err();
    assert_eq!(claims, NotResumed::Lost, "it was acknowledged what was never taken");
    assert_eq!(hub.0.counts().attached, 2);
    // Used up twice: the first token is stale.
    let (_, step) = resume(&mut hub, &token, 0).unwrap();
    let newer = self::token(&step);
    resume(&mut hub, &newer, 0).unwrap();
    assert_eq!(refused(&mut hub, &token, 0, own), NotResumed::Stale);
    assert!(hub.resume(NOW, &other_token, Resumption::default()).is_ok());
}

#[test]
fn what_a_client_says_wrong_closes_its_connection_alone() {
    let mut hub = Hub::new(Settings::default());
    let (handle, _) = started(&mut hub);
    for (wrong, code) in [
        ("no json", 1007),
        (r#"{"type":"message","sequenceId":1}"#, 1007),
        (r#"{"type":"message","sequenceId":3,"text":"a"}"#, 1008),
        (r#"{"type":"sequenceAck","sequenceId":1}"#, 1008),
    ] {
        let step = hear(&mut hub, handle, wrong);
        let [Effect::Close(closed, close)] = done(&step)[..] else { panic!("{step:?}") };
        assert_eq!((*closed, close.code().map(CloseCode::get)), (handle, Some(code)), "{wrong}");
        assert!(!close.reason().is_empty());
    }
    assert_eq!(hub.0.counts().attached, 1, "the session goes on");
}

#[test]
fn goodbye_and_the_backend_end_it_at_once() {
    let mut hub = Hub::new(Settings::default());
    let (handle, _) = started(&mut hub);
    let step = hear(&mut hub, handle, r#"{"type":"goodbye"}"#);
    assert_eq!(events(&step), [(EventType::SessionEnded, 2)]);
    assert!(step.effects.contains(&Effect::Close(handle, CloseCode::NORMAL.into())));
    let (handle, _) = started(&mut hub);
    let own = FinalClose::new(4321, "banned").unwrap();
    let end = |close| Command::Session(id(1), SessionCommand::End(close));
    let (_, step) = hub.on(NOW, end(Some(own.clone())));
    assert!(step.effects.contains(&Effect::Close(handle, own.into())));
    assert_eq!(hub.on(NOW, end(None)).0, Reply::NoSession);
    assert_eq!(hub.send(NOW, id(1), "a"), Err(Reply::NoSession));
}

#[test]
fn a_page_that_owes_an_acknowledgement_and_is_silent_gets_nothing_more_until_it_speaks() {
    let mut hub = Hub::new(Settings::default());
    let (handle, _) = started(&mut hub);
    let send = |hub: &mut Hub, seconds: u64| {
        let step = hub.send(NOW + Duration::from_secs(seconds), id(1), "x").unwrap();
        said(&step).len()
    };
    assert_eq!(send(&mut hub, 0), 1);
    assert_eq!(send(&mut hub, 60), 1, "three heartbeats");
    assert_eq!(send(&mut hub, 61), 0, "it is kept");
    let later = NOW + Duration::from_secs(3_000);
    let ack = Message::from(r#"{"type":"sequenceAck","sequenceId":2}"#);
    let step = hub.hear(later, handle, FromClient::of(&ack));
    let third = r#"{"type":"message","sequenceId":3,"tag":"BwcHBwcH","text":"x"}"#;
    assert_eq!(said(&step), [third]);
    // One that owes nothing may be silent for as long as it likes.
    hub.hear(later, handle, FromClient::read(r#"{"type":"sequenceAck","sequenceId":3}"#));
    assert_eq!(send(&mut hub, 9_000), 1);
}

#[test]
fn a_client_for_which_more_waits_than_is_kept_is_closed_and_never_sent_a_gap() {
    let outbox = OutboxLimits { messages: 2, ..OutboxLimits::default() };
    let mut hub = Hub::new(Settings { outbox, ..Settings::default() });
    let (handle, token) = started(&mut hub);
    hub.send(NOW, id(1), "1").unwrap();
    // Silent: the others are kept, and then let go.
    let late = NOW + Duration::from_secs(100);
    for n in 2..6 {
        let step = hub.send(late, id(1), &n.to_string()).unwrap();
        assert_eq!(said(&step), [] as [&str; 0]);
    }
    let step = hub.hear(late, handle, FromClient::read(r#"{"type":"sequenceAck","sequenceId":1}"#));
    let [Effect::Close(closed, close)] = done(&step)[..] else { panic!("{step:?}") };
    assert_eq!((*closed, close.code().map(CloseCode::get)), (handle, Some(1008)));
    assert_eq!(resume(&mut hub, &token, 1).unwrap_err(), NotResumed::Lost);
}

#[test]
fn a_client_without_the_subprotocol_cannot_come_back() {
    let mut hub = Hub::new(Settings::default());
    let plain = || Guest { plain: true, ..guest("anna", "https://a") };
    let (handle, step) = hub.start(NOW, id(1), plain());
    assert_eq!(said(&step), [] as [&str; 0], "no connected");
    let heard = SessionCommand::HearPlain(1, Ok(Payload::Binary(vec![1, 2, 3])));
    let (_, step) = hub.on(NOW, Command::Session(id(1), heard));
    assert_eq!(of_session(&step)[0].data, Data::Binary("AQID".into()));
    let step = hub.send(NOW, id(1), "as it is").unwrap();
    assert_eq!(said(&step), ["as it is"]);
    let step = hub.ended(NOW, handle, Departure::Lost, &ending());
    assert_eq!(events(&step).last().unwrap().0, EventType::SessionEnded);
    let told = of_session(&step);
    let Data::Ended(told) = &told.last().unwrap().data else { panic!("{step:?}") };
    assert_eq!((told.received, told.sent, told.unacknowledged), (1, 1, 0));
    assert!(hub.0.is_empty());
    // Nor after a restart, nor is it told to.
    let (_, step) = hub.start(NOW, id(1), plain());
    let contents = contents([step]);
    let (reply, step) = hub.closing(NOW, Duration::from_secs(1));
    assert_eq!((reply, step.changes.len()), (Reply::More(Some(id(1)), 0), 0));
    let (hub, step) = Hub::restore(Settings::default(), &contents, NOW);
    assert_eq!(events(&step), [(EventType::SessionEnded, 2)]);
    assert!(hub.0.is_empty());
}

#[test]
fn without_a_backend_nothing_is_kept_for_one() {
    let mut hub = Hub::new(Settings { tell: false, ..Settings::default() });
    let (handle, step) = hub.start(NOW, id(1), guest("anna", "https://a"));
    assert!(events(&step).is_empty() && of_users(&step).is_empty());
    let step = hear(&mut hub, handle, r#"{"type":"message","sequenceId":1,"text":"a"}"#);
    assert_eq!(said(&step), [r#"{"type":"sequenceAck","sequenceId":1}"#]);
    assert!(events(&step).is_empty());
}

#[test]
fn a_message_changes_the_numbers_of_its_session_alone() {
    let mut hub = Hub::new(Settings::default());
    let (handle, _) = started(&mut hub);
    let first = hear(&mut hub, handle, r#"{"type":"message","sequenceId":1,"text":"a"}"#);
    assert!(matches!(first.changes.last(), Some(Change::PutCounters { .. })), "{first:?}");
    let sent = hub.send(NOW, id(1), "b").unwrap();
    assert!(matches!(sent.changes.last(), Some(Change::PutCounters { .. })), "{sent:?}");
    assert!(first.awaited && sent.awaited);
    // An acknowledgement as well, and nothing waits for it: the client says it again.
    let ack = hear(&mut hub, handle, r#"{"type":"sequenceAck","sequenceId":1}"#);
    assert!(!ack.awaited && ack.changes.len() == 3, "{ack:?}");
    let rows = |change: &Change| matches!(change, Change::PutSession { .. });
    assert!(!ack.changes.iter().any(rows), "{ack:?}");
}

#[test]
fn however_many_are_due_a_turn_ends_a_bounded_number_of_them() {
    let mut hub = Hub::new(Settings::default());
    let count = IN_ONE_TURN * 2 + 10;
    for n in 0..count {
        let id = numbered(n);
        let (handle, _) = hub.start(NOW, id, Guest::default());
        hub.ended(NOW, handle, Departure::Hidden, &ending());
    }
    let due = hub.0.deadline().unwrap();
    for left in [count - IN_ONE_TURN, count - 2 * IN_ONE_TURN, 0] {
        let step = hub.expire(due);
        assert!(events(&step).len() <= IN_ONE_TURN);
        assert_eq!(hub.0.len(), left);
    }
    // The same when all are told that the gateway stops, and when they are given up.
    for n in 0..count {
        hub.start(NOW, numbered(n), Guest::default());
    }
    let (mut after, mut told) = (None, 0);
    loop {
        let window = Duration::from_secs(10);
        let (reply, step) = hub.on(NOW, Command::Closing { after, window, seed: 7 });
        assert!(step.effects.len() <= IN_ONE_TURN);
        let Reply::More(Some(last), more) = reply else { break };
        (after, told) = (Some(last), told + more);
    }
    assert_eq!(told, count);
    // Nor when those that are away are given up, and users who may come back.
    let mut hub = Hub::new(Settings::default());
    for n in 0..2 * count {
        let plain = n < count;
        let guest = Guest { plain, ..guest(&format!("user {n}"), "https://a") };
        let (handle, _) = hub.start(NOW, numbered(n), guest);
        hub.ended(NOW, handle, Departure::Hidden, &ending());
    }
    let (mut turns, mut given_up) = (0, 0);
    while let (Reply::More(Some(_), had), step) = hub.on(NOW, Command::GiveUp) {
        assert!(had <= IN_ONE_TURN && events(&step).len() <= IN_ONE_TURN);
        assert!(of_users(&step).len() <= IN_ONE_TURN, "{} users", of_users(&step).len());
        (turns, given_up) = (turns + 1, given_up + had);
    }
    assert_eq!((given_up, turns), (2 * count, (2 * count).div_ceil(IN_ONE_TURN)));
    assert_eq!((hub.0.len(), hub.0.counts().users, hub.0.deadline()), (0, 0, None));
}

#[test]
fn a_request_that_is_repeated_is_one_message_over_a_restart_too() {
    let mut hub = Hub::new(Settings::default());
    let (_, start) = hub.start(NOW, id(1), Guest::default());
    let keyed = |key: &str, text: &str| {
        let mut outgoing = Outgoing::new(Payload::Text(text.into()), Tag::new([7; 6]));
        outgoing.key = Some(self::key().idempotency(key));
        Command::Session(id(1), SessionCommand::Send(outgoing))
    };
    let (_, first) = hub.on(NOW, keyed("1", "a"));
    let (reply, again) = hub.on(NOW, keyed("1", "a"));
    assert_eq!((reply, again), (Reply::Done, Transaction::default()));
    let (_, other) = hub.on(NOW, keyed("2", "a"));
    assert_eq!(said(&other).len(), 1);
    let (mut hub, _) = Hub::restore(Settings::default(), &contents([start, first, other]), NOW);
    for key in ["1", "2"] {
        assert_eq!(hub.on(NOW, keyed(key, "a")).1, Transaction::default(), "{key}");
    }
}
