//! What may be kept for clients that do not acknowledge: of a session, a user and a shard.

use super::super::super::command::Limits;
use super::super::super::wire::Fault;
use super::*;

/// A limit for each session, user and shard, in messages of ten characters.
fn limited(session: usize, user: usize, shard: usize) -> Hub {
    let one = r#""text":"0123456789"}"#.len();
    let outbox = OutboxLimits { bytes: session * one, ..OutboxLimits::default() };
    let (bytes_per_user, bytes) = (user * one, shard * one);
    let limits = Limits { bytes_per_user, bytes, ..Limits::default() };
    Hub::new(Settings { outbox, limits, ..Settings::default() })
}

fn ten() -> Outgoing {
    Outgoing::new(Payload::Text("0123456789".into()), Tag::new([7; 6]))
}

fn send(hub: &mut Hub, now: Timestamp, n: u8) -> Reply {
    hub.on(now, Command::Session(id(n), SessionCommand::Send(ten()))).0
}

fn to_anna(hub: &mut Hub) -> Reply {
    hub.on(NOW, Command::User("anna".into(), SessionCommand::Send(ten()))).0
}

#[test]
fn what_clients_do_not_acknowledge_in_time_blocks_nobody_for_longer() {
    let mut hub = limited(1, 2, 3);
    for (n, user) in [(1, "anna"), (2, "anna"), (3, "bob")] {
        hub.start(NOW, id(n), guest(user, "https://a"));
        assert_eq!(send(&mut hub, NOW, n), Reply::Done);
    }
    hub.start(NOW, id(4), guest("anna", "https://a"));
    hub.start(NOW, id(5), guest("carol", "https://a"));
    let just = NOW + Duration::from_millis(1);
    assert_eq!(send(&mut hub, just, 4), Reply::Full(Full::BytesOfUser));
    assert_eq!(send(&mut hub, just, 5), Reply::Full(Full::Bytes));
    let due = hub.0.deadline().expect("the messages are let go");
    assert_eq!(due, NOW + OutboxLimits::default().age);
    assert_eq!(hub.expire(Timestamp(due.0 - 1)), Transaction::default(), "never early");
    let step = hub.expire(due);
    assert!(step.effects.is_empty() && !step.awaited, "{step:?}");
    let trims = |change: &Change| matches!(change, Change::TrimMessages { up_to: 1, .. });
    assert_eq!(step.changes.iter().filter(|change| trims(change)).count(), 3);
    assert_eq!((hub.0.counts().kept, hub.0.deadline()), (0, None));
    assert_eq!(send(&mut hub, due, 4), Reply::Done);
    assert_eq!(send(&mut hub, due, 5), Reply::Done);
}

#[test]
fn a_client_that_was_sent_a_message_may_acknowledge_it_after_that_was_let_go() {
    let mut hub = limited(1, 2, 3);
    let (handle, token) = started(&mut hub);
    assert_eq!(send(&mut hub, NOW, 1), Reply::Done);
    let due = hub.0.deadline().unwrap();
    hub.expire(due);
    let ack = FromClient::read(r#"{"type":"sequenceAck","sequenceId":1}"#);
    let step = hub.hear(due, handle, ack);
    assert_eq!(step.effects, [], "the connection goes on");
    // A page that lacks it is not resumed with a gap.
    assert_eq!(resume(&mut hub, &token, 0).unwrap_err(), NotResumed::Lost);
    assert!(resume(&mut hub, &token, 1).is_ok());
}

#[test]
fn of_a_session_that_has_another_owner_nothing_is_let_go_here() {
    let mut hub = limited(1, 2, 3);
    started(&mut hub);
    assert_eq!(send(&mut hub, NOW, 1), Reply::Done);
    hub.0.disown(id(1));
    assert_eq!((hub.0.deadline(), hub.0.counts().kept), (None, 0));
}

#[test]
fn a_turn_lets_go_of_the_messages_of_a_bounded_number_of_sessions() {
    let count = IN_ONE_TURN + 10;
    let mut hub = Hub::new(Settings::default());
    for n in 0..count {
        hub.start(NOW, numbered(n), Guest::default());
        hub.send(NOW, numbered(n), "x").unwrap();
    }
    let (due, one) = (hub.0.deadline().unwrap(), hub.0.counts().kept / count);
    for left in [count - IN_ONE_TURN, 0] {
        hub.expire(due);
        assert_eq!(hub.0.counts().kept, left * one);
    }
}

#[test]
fn a_session_at_its_own_limit_is_refused_nothing_that_does_not_make_it_keep_more() {
    for hub in [limited(2, 2, 9), limited(2, 9, 2)] {
        let mut hub = hub;
        hub.start(NOW, id(1), guest("anna", "https://a"));
        for sent in 0..5 {
            assert_eq!(send(&mut hub, NOW, 1), Reply::Done, "after {sent}");
        }
        // Nor where the limits are smaller since a restart.
        let limits = Limits { bytes_per_user: 1, bytes: 1, ..Limits::default() };
        hub.0.settings.limits = limits;
        assert_eq!(send(&mut hub, NOW, 1), Reply::Done);
    }
}

#[test]
fn a_client_that_does_not_speak_adieu_v1_keeps_nothing_and_is_refused_nothing() {
    let mut hub = limited(1, 1, 1);
    hub.start(NOW, id(1), guest("anna", "https://a"));
    hub.start(NOW, id(2), Guest { plain: true, ..guest("anna", "https://a") });
    assert_eq!(send(&mut hub, NOW, 1), Reply::Done);
    assert_eq!(send(&mut hub, NOW, 2), Reply::Done);
}

#[test]
fn a_request_that_is_repeated_is_taken_however_full_it_is_by_then() {
    let mut hub = limited(9, 1, 9);
    hub.start(NOW, id(1), guest("anna", "https://a"));
    let keyed = || {
        let key = Some(key().idempotency("1"));
        SessionCommand::Send(Outgoing { key, ..ten() })
    };
    assert_eq!(hub.on(NOW, Command::Session(id(1), keyed())).0, Reply::Done);
    assert_eq!(send(&mut hub, NOW, 1), Reply::Full(Full::BytesOfUser));
    let (reply, step) = hub.on(NOW, Command::Session(id(1), keyed()));
    assert_eq!((reply, step), (Reply::Done, Transaction::default()));
}

#[test]
fn of_a_message_to_a_user_it_is_said_how_many_sessions_got_it_and_why_the_others_did_not() {
    let mut hub = limited(9, 2, 9);
    assert_eq!(to_anna(&mut hub), Reply::NoSession);
    for n in 1..=3 {
        hub.start(NOW, id(n), guest("anna", "https://a"));
    }
    let full = vec![Full::BytesOfUser];
    assert_eq!(to_anna(&mut hub), Reply::Several { done: 2, full: full.clone() });
    assert_eq!(to_anna(&mut hub), Reply::Several { done: 0, full: full.repeat(3) });
}

#[test]
fn of_an_answer_each_message_that_a_limit_does_not_allow_is_counted() {
    let mut hub = limited(9, 1, 9);
    hub.start(NOW, id(1), guest("anna", "https://a"));
    let answered = || {
        let answered = Answered { send: vec![ten(), ten(), ten()], ..Answered::default() };
        Command::Answered(id(1), Box::new(answered))
    };
    let full = vec![Full::BytesOfUser; 2];
    assert_eq!(hub.on(NOW, answered()).0, Reply::Several { done: 1, full });
    hub.on(NOW, Command::Session(id(1), SessionCommand::End(None)));
    assert_eq!(hub.on(NOW, answered()).0, Reply::Several { done: 0, full: Vec::new() });
}

#[test]
fn what_a_client_repeats_is_not_written_down_again() {
    let mut hub = Hub::new(Settings::default());
    let (handle, _) = started(&mut hub);
    let message = r#"{"type":"message","sequenceId":1,"text":"a"}"#;
    assert!(hear(&mut hub, handle, message).awaited);
    let sent = hub.send(NOW, id(1), "b").unwrap();
    assert!(sent.awaited);
    let acknowledgement = r#"{"type":"sequenceAck","sequenceId":1}"#;
    assert!(!hear(&mut hub, handle, acknowledgement).changes.is_empty());
    let nothing = r#"{"type":"sequenceAck","sequenceId":0}"#;
    for again in [message, acknowledgement, nothing] {
        let step = hear(&mut hub, handle, again);
        assert_eq!((step.changes, step.awaited), (vec![], false), "{again}");
    }
}

fn talkative(per_second: u32) -> Hub {
    let limits = Limits { messages_per_user: per_second, ..Limits::default() };
    Hub::new(Settings { limits, ..Settings::default() })
}

fn message(sequence_id: u64) -> Result<FromClient, Fault> {
    FromClient::read(&format!(r#"{{"type":"message","sequenceId":{sequence_id},"text":"a"}}"#))
}

/// Says messages one after the other, and gives how many of them were heard.
fn says(hub: &mut Hub, now: Timestamp, handle: Handle, numbers: std::ops::Range<u64>) -> usize {
    let heard = |n| {
        let hear = SessionCommand::Hear(handle.generation, message(n));
        let (reply, step) = hub.on(now, Command::Session(handle.session, hear));
        if reply == Reply::Full(Full::MessagesOfUser) {
            let closes = |effect: &Effect| {
                matches!(effect, Effect::Close(of, why)
                if *of == handle && why.code().is_some_and(|code| code.get() == 1013))
            };
            assert!(step.effects.iter().all(closes) && step.changes.is_empty(), "{step:?}");
        }
        reply == Reply::Done
    };
    numbers.map(heard).filter(|heard| *heard).count()
}

#[test]
fn one_user_has_a_rate_over_all_of_its_sessions_and_others_have_theirs() {
    let mut hub = talkative(2);
    let (one, _) = hub.start(NOW, id(1), guest("anna", "https://a"));
    let (two, _) = hub.start(NOW, id(2), guest("anna", "https://a"));
    let (bob, _) = hub.start(NOW, id(3), guest("bob", "https://a"));
    assert_eq!(says(&mut hub, NOW, one, 1..8), 7);
    assert_eq!(says(&mut hub, NOW, two, 1..8), 3, "five seconds' worth for both");
    assert_eq!(says(&mut hub, NOW, bob, 1..8), 7);
    // What was not heard is said again, and is within the rate then.
    let later = NOW + Duration::from_secs(2);
    assert_eq!(says(&mut hub, later, two, 4..8), 4);
    assert_eq!(hub.0.counts().attached, 3, "nobody has left");
}

#[test]
fn a_session_of_nobody_has_a_rate_of_its_own() {
    let mut hub = talkative(1);
    let guest = Guest::default();
    let (one, _) = hub.start(NOW, id(1), guest.clone());
    let (two, _) = hub.start(NOW, id(2), guest);
    assert_eq!(says(&mut hub, NOW, one, 1..9), 5);
    assert_eq!(says(&mut hub, NOW, two, 1..9), 5);
}
