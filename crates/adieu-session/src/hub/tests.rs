use adieu_proto::CloseCode;
use serde_json::json;

use super::super::wire::{FromClient, Payload, SUPERSEDED};
use super::*;

pub(super) const NOW: Timestamp = Timestamp(1_700_000_000_000);

pub(super) fn key() -> Key {
    Key::new(&[7; 32])
}

pub(super) fn id(n: u8) -> SessionId {
    SessionId::new([n; 16])
}

pub(super) fn text(text: &str) -> Payload {
    Payload::Text(text.into())
}

/// What a step sends.
fn said(step: &Step) -> Vec<&str> {
    let text = |effect| match effect {
        &Effect::Send(_, Message::Text(ref text)) => Some(text.as_str()),
        _ => None,
    };
    step.effects.iter().filter_map(text).collect()
}

fn newcomer(user: &str, origin: &str) -> Newcomer {
    let (user, origin) = (Some(user.into()), Some(origin.into()));
    Newcomer { user, origin, ..Newcomer::default() }
}

/// The events that are no user's.
fn of_session(step: &Step) -> Vec<Event> {
    let event = |change: &Change| match change {
        Change::PutEvent { stream, event, .. } if stream.starts_with(b"s") => {
            Some(serde_json::from_slice(event).unwrap())
        }
        _ => None,
    };
    step.changes.iter().filter_map(event).collect()
}

/// The types of the events of users.
fn of_users(step: &Step) -> Vec<EventType> {
    let event = |change: &Change| match change {
        Change::PutEvent { stream, event, .. } if stream.starts_with(b"u") => {
            let event: Event = serde_json::from_slice(event).unwrap();
            Some(event.r#type)
        }
        _ => None,
    };
    step.changes.iter().filter_map(event).collect()
}

/// The token in a `connected`.
fn token(step: &Step) -> String {
    let said = said(step);
    let json: Value = serde_json::from_str(said.first().expect("a connected")).unwrap();
    json["reconnectionToken"].as_str().expect("a connected").to_owned()
}

pub(super) fn events(step: &Step) -> Vec<(EventType, u64)> {
    of_session(step).iter().map(|event| (event.r#type, event.sequence.unwrap())).collect()
}

/// What is to be done, apart from what is for people and for the backend.
fn done(step: &Step) -> Vec<&Effect> {
    let told = |effect: &&Effect| !matches!(effect, Effect::Moment(_) | Effect::Deliver { .. });
    step.effects.iter().filter(told).collect()
}

fn started(hub: &mut Hub) -> (Handle, String) {
    let (handle, step) = hub.start(NOW, id(1), newcomer("anna", "https://a"));
    assert_eq!(events(&step), [(EventType::SessionStarted, 1)]);
    (handle, token(&step))
}

fn hear(hub: &mut Hub, handle: Handle, said: &str) -> Step {
    hub.hear(NOW, handle, FromClient::read(said))
}

fn resume(hub: &mut Hub, token: &str, received: u64) -> Result<(Handle, Step), NotResumed> {
    hub.resume(NOW, &Resume { token: token.into(), received }, Some("https://a"))
}

#[test]
fn a_refresh_is_no_event_and_nothing_is_lost() {
    let mut hub = Hub::new(key(), Settings::default());
    let (first, token) = started(&mut hub);
    hub.send(NOW, id(1), &text("a")).unwrap();
    let gone = hub.ended(NOW, first, Departure::Hidden, Value::Null);
    assert_eq!(events(&gone), []);
    // What is sent meanwhile waits.
    let step = hub.send(NOW, id(1), &text("b")).unwrap();
    assert_eq!(done(&step), Vec::<&Effect>::new());
    let (second, step) = resume(&mut hub, &token, 0).unwrap();
    assert_eq!((second.generation, events(&step)), (2, vec![]));
    assert_eq!(
        said(&step)[1..],
        [
            r#"{"type":"message","sequenceId":1,"text":"a"}"#,
            r#"{"type":"message","sequenceId":2,"text":"b"}"#
        ]
    );
    assert_eq!(hub.deadline(), None, "nobody is waited for");
}

#[test]
fn who_does_not_come_back_is_announced_once_with_the_account() {
    let mut hub = Hub::new(key(), Settings::default());
    let (first, token) = started(&mut hub);
    hub.send(NOW, id(1), &text("never read")).unwrap();
    hub.ended(NOW, first, Departure::Hidden, json!({ "sentence": "went" }));
    let due = hub.deadline().unwrap();
    assert_eq!(due, NOW + Duration::from_secs(8));
    assert_eq!(hub.expire(Timestamp(due.0 - 1)), Step::default(), "never early");
    let step = hub.expire(due);
    assert_eq!(events(&step), [(EventType::SessionEnded, 2)]);
    assert_eq!(of_users(&step), [EventType::UserLeft]);
    let Data::Json(data) = &of_session(&step)[0].data else { panic!("{step:?}") };
    assert_eq!(data["cause"], "hidden");
    assert_eq!(data["userId"], "anna");
    assert_eq!(data["unacknowledged"], 1);
    assert_eq!(data["ending"]["sentence"], "went");
    assert_eq!((hub.len(), hub.deadline()), (0, None));
    assert_eq!(resume(&mut hub, &token, 0).unwrap_err(), NotResumed::Expired);
}

#[test]
fn a_newer_connection_takes_over_and_the_older_ones_words_and_end_count_for_nothing() {
    let mut hub = Hub::new(key(), Settings::default());
    let (first, token) = started(&mut hub);
    let (second, step) = resume(&mut hub, &token, 0).unwrap();
    let Effect::Close(closed, close) = done(&step)[0] else { panic!("{step:?}") };
    assert_eq!((*closed, close.code().map(CloseCode::get)), (first, Some(SUPERSEDED)));
    for late in [
        hear(&mut hub, first, r#"{"type":"message","sequenceId":1,"text":"late"}"#),
        hear(&mut hub, first, r#"{"type":"goodbye"}"#),
        hub.ended(NOW, first, Departure::Left, Value::Null),
        // A page in the back/forward cache of Chromium is noticed after ten minutes.
        hub.ended(NOW + Duration::from_secs(600), first, Departure::Lost, Value::Null),
    ] {
        assert_eq!(late, Step::default());
    }
    let step = hear(&mut hub, second, r#"{"type":"message","sequenceId":1,"text":"here"}"#);
    assert_eq!(events(&step), [(EventType::Message, 2)]);
}

#[test]
fn a_refusal_says_why_and_touches_nothing() {
    let mut hub = Hub::new(key(), Settings::default());
    let (handle, token) = started(&mut hub);
    let (other, other_token) = {
        let (handle, step) = hub.start(NOW, id(2), Newcomer::default());
        (handle, self::token(&step))
    };
    let foreign = Token { session: id(1), generation: 1 }.sign(&Key::new(&[8; 32]));
    let refused = |hub: &mut Hub, token: &str, received, origin: Option<&str>| {
        hub.resume(NOW, &Resume { token: token.into(), received }, origin).unwrap_err()
    };
    let own = Some("https://a");
    assert_eq!(refused(&mut hub, &foreign, 0, own), NotResumed::Invalid);
    assert_eq!(refused(&mut hub, "", 0, own), NotResumed::Invalid);
    assert_eq!(refused(&mut hub, &token, 0, Some("https://b")), NotResumed::Origin);
    assert_eq!(refused(&mut hub, &token, 5, own), NotResumed::Lost, "what was never sent");
    assert!(hub.newest(handle).is_some() && hub.newest(other).is_some());
    // Used up twice: the first token is stale.
    let (_, step) = resume(&mut hub, &token, 0).unwrap();
    let newer = self::token(&step);
    resume(&mut hub, &newer, 0).unwrap();
    assert_eq!(refused(&mut hub, &token, 0, own), NotResumed::Stale);
    assert!(hub.resume(NOW, &Resume { token: other_token, received: 0 }, None).is_ok());
}

#[test]
fn what_a_client_says_wrong_closes_its_connection_alone() {
    let mut hub = Hub::new(key(), Settings::default());
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
    assert!(hub.newest(handle).is_some(), "the session goes on");
}

#[test]
fn goodbye_and_the_backend_end_it_at_once() {
    let mut hub = Hub::new(key(), Settings::default());
    let (handle, _) = started(&mut hub);
    let step = hear(&mut hub, handle, r#"{"type":"goodbye"}"#);
    assert_eq!(events(&step), [(EventType::SessionEnded, 2)]);
    assert!(step.effects.contains(&Effect::Close(handle, CloseCode::NORMAL.into())));
    let (handle, _) = started(&mut hub);
    let own = Close::new(4321, "banned").unwrap();
    let step = hub.end(NOW, id(1), Some(own.clone())).unwrap();
    assert!(step.effects.contains(&Effect::Close(handle, own)));
    assert_eq!(hub.end(NOW, id(1), None), Err(NoSession));
    assert_eq!(hub.send(NOW, id(1), &text("a")), Err(NoSession));
}

#[test]
fn a_client_that_was_told_when_to_come_back_is_waited_for_until_then_and_some_more() {
    let mut hub = Hub::new(key(), Settings::default());
    let (handle, token) = started(&mut hub);
    let step = hub.closing(NOW, id(1), Duration::from_secs(7));
    assert_eq!(said(&step), [r#"{"type":"closing","retryAfter":7000}"#]);
    // It may be gone before our Close is: the promise counts.
    for departure in [Departure::Drained, Departure::Hidden, Departure::Lost] {
        let mut hub =
            Hub { sessions: hub.sessions.clone(), ..Hub::new(key(), Settings::default()) };
        let later = NOW + Duration::from_secs(1);
        hub.ended(later, handle, departure, Value::Null);
        assert_eq!(hub.deadline(), Some(NOW + Duration::from_secs(7 + 15)), "{departure:?}");
    }
    let (_, _) = resume(&mut hub, &token, 0).unwrap();
    assert_eq!(hub.deadline(), None);
}

#[test]
fn a_page_that_owes_an_acknowledgement_and_is_silent_gets_nothing_more_until_it_speaks() {
    let mut hub = Hub::new(key(), Settings::default());
    let (handle, _) = started(&mut hub);
    let send = |hub: &mut Hub, seconds: u64| {
        let step = hub.send(NOW + Duration::from_secs(seconds), id(1), &text("x")).unwrap();
        said(&step).len()
    };
    assert_eq!(send(&mut hub, 0), 1);
    assert_eq!(send(&mut hub, 60), 1, "three heartbeats");
    assert_eq!(send(&mut hub, 61), 0, "it is kept");
    let later = NOW + Duration::from_secs(3_000);
    let ack = Message::from(r#"{"type":"sequenceAck","sequenceId":2}"#);
    let step = hub.hear(later, handle, FromClient::of(&ack));
    assert_eq!(said(&step), [r#"{"type":"message","sequenceId":3,"text":"x"}"#]);
    // One that owes nothing may be silent for as long as it likes.
    hub.hear(later, handle, FromClient::read(r#"{"type":"sequenceAck","sequenceId":3}"#));
    assert_eq!(send(&mut hub, 9_000), 1);
}

#[test]
fn a_client_for_which_more_waits_than_is_kept_is_closed_and_never_sent_a_gap() {
    let outbox = OutboxLimits { messages: 2, ..OutboxLimits::default() };
    let mut hub = Hub::new(key(), Settings { outbox, ..Settings::default() });
    let (handle, token) = started(&mut hub);
    hub.send(NOW, id(1), &text("1")).unwrap();
    // Silent: the others are kept, and then let go.
    let late = NOW + Duration::from_secs(100);
    for n in 2..6 {
        let step = hub.send(late, id(1), &text(&n.to_string())).unwrap();
        assert_eq!(said(&step), [] as [&str; 0]);
    }
    let step = hub.hear(late, handle, FromClient::read(r#"{"type":"sequenceAck","sequenceId":1}"#));
    let [Effect::Close(closed, close)] = done(&step)[..] else { panic!("{step:?}") };
    assert_eq!((*closed, close.code().map(CloseCode::get)), (handle, Some(1008)));
    assert_eq!(resume(&mut hub, &token, 1).unwrap_err(), NotResumed::Lost);
}

#[test]
fn a_client_without_the_subprotocol_cannot_come_back() {
    let mut hub = Hub::new(key(), Settings::default());
    let newcomer = || Newcomer { plain: true, ..newcomer("anna", "https://a") };
    let (handle, step) = hub.start(NOW, id(1), newcomer());
    assert_eq!(said(&step), [] as [&str; 0], "no connected");
    let step = hub.hear_plain(NOW, handle, Ok(Payload::Binary(vec![1, 2, 3])));
    assert_eq!(of_session(&step)[0].data, Data::Binary("AQID".into()));
    let step = hub.send(NOW, id(1), &text("as it is")).unwrap();
    assert_eq!(said(&step), ["as it is"]);
    let step = hub.ended(NOW, handle, Departure::Lost, Value::Null);
    assert_eq!(events(&step).last().unwrap().0, EventType::SessionEnded);
    let told = of_session(&step);
    let Data::Json(story) = &told.last().unwrap().data else { panic!("{step:?}") };
    assert_eq!((&story["received"], &story["sent"]), (&json!(1), &json!(1)));
    assert!(hub.is_empty());
    // Nor after a restart, nor is it told to.
    let (_, step) = hub.start(NOW, id(1), newcomer());
    let mut contents = Contents::default();
    step.changes.into_iter().for_each(|change| contents.apply(change));
    assert_eq!(hub.closing(NOW, id(1), Duration::from_secs(1)), Step::default());
    let (hub, step) = Hub::restore(key(), Settings::default(), &contents, NOW).unwrap();
    assert_eq!(events(&step), [(EventType::SessionEnded, 2)]);
    assert!(hub.is_empty());
}

#[test]
fn a_user_joins_with_the_first_session_and_leaves_with_the_last() {
    let mut hub = Hub::new(key(), Settings::default());
    let mut start = |n| hub.start(NOW, id(n), newcomer("anna", "https://a"));
    let (one, step) = start(1);
    assert_eq!(of_users(&step), [EventType::UserJoined]);
    let (two, step) = start(2);
    assert_eq!(of_users(&step), []);
    assert_eq!(hub.of_user("anna").count(), 2);
    let step = hub.ended(NOW, one, Departure::Left, Value::Null);
    assert_eq!(of_users(&step), []);
    let step = hub.ended(NOW, two, Departure::Hidden, Value::Null);
    assert_eq!(of_users(&step), [], "the same grace");
    let step = hub.expire(NOW + Duration::from_secs(8));
    assert_eq!(of_users(&step), [EventType::UserLeft]);
    assert_eq!(hub.of_user("anna").count(), 0);
}

#[test]
fn without_a_backend_nothing_is_kept_for_one() {
    let mut hub = Hub::new(key(), Settings { tell: false, ..Settings::default() });
    let (handle, step) = hub.start(NOW, id(1), newcomer("anna", "https://a"));
    assert!(events(&step).is_empty() && of_users(&step).is_empty());
    let step = hear(&mut hub, handle, r#"{"type":"message","sequenceId":1,"text":"a"}"#);
    assert_eq!(said(&step), [r#"{"type":"sequenceAck","sequenceId":1}"#]);
    assert!(events(&step).is_empty());
}

fn contents(step: Step) -> Contents {
    let mut contents = Contents::default();
    step.changes.into_iter().for_each(|change| contents.apply(change));
    contents
}

#[test]
fn over_a_restart_a_promise_holds_messages_are_as_new_and_a_wrong_clock_is_not_believed() {
    let settings = Settings::default;
    let mut hub = Hub::new(key(), settings());
    let (handle, mut step) = hub.start(NOW, id(1), newcomer("anna", "https://a"));
    let token = token(&step);
    step.append(hub.send(NOW, id(1), &text("a")).unwrap());
    let promise = Duration::from_secs(300);
    let mut promised = step.clone();
    promised.append(hub.closing(NOW, id(1), promise));
    let later = NOW + Duration::from_secs(200);
    let (hub_then, _) = Hub::restore(key(), settings(), &contents(promised), later).unwrap();
    assert_eq!(hub_then.deadline(), Some(NOW + promise + Duration::from_secs(15)));
    // Down for longer than messages are kept, and another is sent before the client is back.
    let later = NOW + Duration::from_secs(3_000);
    let (mut again, _) = Hub::restore(key(), settings(), &contents(step.clone()), later).unwrap();
    again.send(later, id(1), &text("b")).unwrap();
    let resume = Resume { token, received: 0 };
    assert!(again.resume(later, &resume, Some("https://a")).is_ok());
    // The clock was years ahead when it was written.
    let years = NOW + Duration::from_secs(10 * 365 * 86_400);
    step.append(hub.ended(years, handle, Departure::Lost, Value::Null));
    let (hub, _) = Hub::restore(key(), settings(), &contents(step), NOW).unwrap();
    assert_eq!(hub.deadline(), Some(NOW + MAX_CARRIED));
}

#[test]
fn who_is_being_judged_is_not_given_up_meanwhile() {
    let mut hub = Hub::new(key(), Settings::default());
    let (handle, token) = started(&mut hub);
    hub.ended(NOW, handle, Departure::Hidden, Value::Null);
    let until = NOW + Duration::from_secs(20);
    hub.hold(NOW, id(1), until);
    assert_eq!(hub.deadline(), Some(until));
    hub.hold(NOW, id(1), NOW);
    assert_eq!(hub.deadline(), Some(until), "never shorter");
    assert!(resume(&mut hub, &token, 0).is_ok());
}
