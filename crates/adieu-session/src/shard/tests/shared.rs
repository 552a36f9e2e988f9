//! Sessions that many nodes share: a shard is given them, and lets go of them.

use super::super::super::command::{Adoption, Purpose};
use super::super::super::fence::{Fence, Refused};
use super::super::super::machine::{Session, State};
use super::super::super::wire::Tail;
use super::super::super::{Message as Stored, Row};
use super::*;

fn shared() -> Hub {
    Hub::new(Settings { shared: true, tell_connections: true, ..Settings::default() })
}

/// The first session as an engine has it: of another node, with a message that was not received.
fn adoption(purpose: Purpose) -> Adoption {
    let (_, step) = Hub::new(Settings::default()).start(NOW, id(1), guest("anna", "https://a"));
    let row = step.changes.iter().find_map(|change| match change {
        Change::PutSession { row, .. } => Some(Row::clone(row)),
        _ => None,
    });
    let mut row = row.unwrap();
    row.session = Session::restored(State::Attached, 4, 3);
    let counters =
        super::super::super::Counters { received: 7, sent: 2, events: 9, ..Default::default() };
    let tail = Tail::of(&Payload::Text("two".into()));
    let two = Kept { at: Timestamp(0), tag: Tag::new([2; 6]), key: None, tail };
    let fence = Fence { epoch: 5, nonce: 0xAB };
    Adoption { row, counters, fence, messages: vec![two], purpose }
}

fn adopt(hub: &mut Hub, purpose: Purpose) -> (Reply, Transaction) {
    let adopt = SessionCommand::Adopt(Box::new(adoption(purpose)));
    hub.on(NOW, Command::Session(id(1), adopt))
}

fn message(n: u8) -> Stored {
    let tail = Tail::of(&Payload::Text(n.to_string()));
    Stored { tag: Tag::new([n; 6]), key: None, tail }
}

fn write(step: &Transaction) -> (Fence, Fence) {
    let write = step.changes.iter().find_map(|change| match change {
        Change::Write { after, next, .. } => Some((*after, *next)),
        _ => None,
    });
    write.expect("a write")
}

#[test]
fn a_session_that_was_claimed_goes_on_where_the_engine_has_it() {
    let mut hub = shared();
    let attach = Purpose::Attach(1, Some(Departure::Hidden));
    let (reply, step) = adopt(&mut hub, attach);
    assert_eq!(reply, Reply::Attached(Handle { session: id(1), generation: 4 }));
    let said = said(&step);
    assert!(said[0].contains("\"resumed\":true") && said[0].contains("\"sequenceAck\":7"));
    assert!(said[1].contains("\"sequenceId\":2") && said[1].contains("\"text\":\"two\""));
    // Its next write builds on the claim, in the epoch of the claim.
    let (after, next) = write(&step);
    assert_eq!((after, next.epoch), (Fence { epoch: 5, nonce: 0xAB }, 5));
    // The number of an event may be given out twice by an engine that loses writes, its id not.
    let [resumed] = &of_session(&step)[..] else { panic!("{step:?}") };
    assert_eq!(resumed.sequence, Some(10));
    assert_eq!(resumed.id, format!("{}_10_connection-resumed_00000000000000ab", id(1)));
}

#[test]
fn who_is_the_first_and_the_last_of_a_user_is_for_the_engine_to_say() {
    let mut hub = shared();
    let (handle, step) = hub.start(NOW, id(1), guest("anna", "https://a"));
    let joins = |change: &Change| matches!(change, Change::Join { most: 100, .. });
    assert!(step.changes.iter().any(joins) && of_users(&step).is_empty(), "{step:?}");
    let step = hub.hear(NOW, handle, Ok(FromClient::Goodbye));
    let leaves = |change: &Change| matches!(change, Change::Leave { linger: Duration::ZERO, .. });
    assert!(step.changes.iter().any(leaves) && of_users(&step).is_empty(), "{step:?}");
}

#[test]
fn a_session_that_is_away_is_let_go_and_its_client_is_sent_to_the_engine() {
    let mut hub = shared();
    let (handle, _) = hub.start(NOW, id(1), guest("anna", "https://a"));
    hub.ended(NOW, handle, Departure::Hidden, &ending());
    assert_eq!(hub.0.len(), 1, "until that is written");
    hub.0.let_go_of_away();
    assert!(hub.0.is_empty());
    assert_eq!(hub.0.deadline(), None);
    let resume = SessionCommand::Resume(Box::default());
    assert_eq!(hub.on(NOW, Command::Session(id(1), resume)).0, Reply::Elsewhere);
}

#[test]
fn messages_that_the_engine_numbered_come_once_and_without_a_gap() {
    let mut hub = shared();
    adopt(&mut hub, Purpose::Attach(2, None));
    let mut arrive = |first, all: &[u8]| {
        let arrived = SessionCommand::Arrived(first, all.iter().copied().map(message).collect());
        let (reply, step) = hub.on(NOW, Command::Session(id(1), arrived));
        (reply, said(&step).len())
    };
    assert_eq!(arrive(3, &[3]), (Reply::Done, 1));
    assert_eq!(arrive(5, &[5]), (Reply::Missing(4), 0));
    assert_eq!(arrive(3, &[3, 4, 5]), (Reply::Done, 2));
    assert_eq!(arrive(5, &[5]), (Reply::Done, 0));
}

/// The room of a message goes with the place of its effect.
#[test]
fn what_was_to_be_done_of_a_session_that_another_node_has_is_left_out_in_its_place() {
    let mut hub = shared();
    let (one, _) = hub.start(NOW, id(1), guest("anna", "https://a"));
    let (two, _) = hub.start(NOW, id(2), guest("bert", "https://a"));
    let mut tx = Transaction::default();
    let hear = |handle: Handle, n| {
        let said = FromClient::Message { sequence_id: n, payload: Payload::Text("hello".into()) };
        Command::Session(handle.session, SessionCommand::Hear(handle.generation, Ok(said)))
    };
    hub.0.on(NOW, hear(one, 1), &mut tx);
    let before = tx.effects.len();
    hub.0.on(NOW, hear(two, 1), &mut tx);
    let of_two = tx.effects[before..].to_vec();
    let fenced = SessionCommand::Disowned(Fence { epoch: 1, nonce: 0 }, Refused::Fenced);
    hub.0.on(NOW, Command::Session(id(1), fenced), &mut tx);
    assert_eq!(tx.effects[..before], vec![Effect::LeftOut(id(1)); before]);
    assert_eq!(tx.effects[before..][..of_two.len()], of_two);
    let [Effect::Close(closed, close)] = &tx.effects[before + of_two.len()..] else { panic!() };
    assert_eq!((*closed, close.code().map(CloseCode::get)), (one, Some(SUPERSEDED)));
    hub.0.write_down(&mut tx);
    assert!(tx.changes.iter().all(|change| change.session() == Some(id(2))), "{:?}", tx.changes);
}

#[test]
fn what_an_audit_says_of_a_write_before_the_last_one_changes_nothing() {
    let mut hub = shared();
    let (handle, step) = hub.start(NOW, id(1), guest("anna", "https://a"));
    let (_, first) = write(&step);
    hub.hear(NOW, handle, Ok(FromClient::Heartbeat));
    let said = FromClient::Message { sequence_id: 1, payload: Payload::Text("hello".into()) };
    hub.hear(NOW, handle, Ok(said));
    let disowned =
        |fence| Command::Session(id(1), SessionCommand::Disowned(fence, Refused::RolledBack));
    hub.on(NOW, disowned(first));
    assert_eq!(hub.0.len(), 1);
    let (_, last, _) = hub.0.held().next().unwrap();
    hub.on(NOW, disowned(last));
    assert!(hub.0.is_empty());
}

#[test]
fn a_session_whose_time_is_over_is_ended_by_the_node_that_was_given_it() {
    let mut hub = shared();
    let mut due = adoption(Purpose::Expire);
    let away = State::Away { departure: Departure::Lost, until: NOW };
    due.row.session = Session::restored(away, 4, 3);
    let (_, step) = hub.on(NOW, Command::Session(id(1), SessionCommand::Adopt(Box::new(due))));
    let [ended] = &of_session(&step)[..] else { panic!("{step:?}") };
    assert_eq!((ended.r#type, ended.sequence), (EventType::SessionEnded, Some(10)));
    assert!(hub.0.is_empty());
    assert_eq!(write(&step).0, Fence { epoch: 5, nonce: 0xAB });
}
