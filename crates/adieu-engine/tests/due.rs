//! Sessions that nobody owns, sessions of dead nodes, and what a node finds of its own.

use std::collections::HashSet;
use std::time::Duration;

use adieu_engine::{Audit, Audited, Engine, Finished, Orphaned, Owner, Released, Whose};
use adieu_session::command::Purpose;
use adieu_session::event::{session_stream, user_stream};
use adieu_session::fence::{Fence, Refused};
use adieu_session::{Departure, SessionId, Slot};
use bytes::Bytes;

use crate::common::{
    A, B, LIMITS, LONG, NOW, Owned, Random, SOON, Server, chance, claim, outgoing, session_in,
    until,
};

/// A session of this slot that is away, and due by now.
async fn away_in(engine: &Engine, slot: Slot, random: &mut Random) -> Owned {
    let mut owned = begun_in(engine, slot, random).await;
    owned.goes(engine, SOON, random).await;
    owned
}

/// A session of this slot.
async fn begun_in(engine: &Engine, slot: Slot, random: &mut Random) -> Owned {
    let mut owned = Owned::new(A, None, random);
    owned.id = session_in(slot, random);
    let salt = random.next();
    let changes = owned.beginning(salt);
    owned.write(engine, changes, salt).await.unwrap();
    owned
}

#[tokio::test]
async fn a_deadline_that_is_found_is_there_until_the_session_is_over() {
    let (server, mut random) = (Server::start(), chance());
    let engine = server.loaded().await;
    let slot = Slot::new(3);
    let mut before = away_in(&engine, slot, &mut random).await;
    let hidden = Duration::from_millis(20);
    let due = async || engine.due(A, slot, 8, hidden).await.unwrap().sessions.pop();
    let first = until("the deadline", due).await;
    assert_eq!((first.id, first.epoch(), first.departure), (before.id, 2, Some(Departure::Hidden)));
    // Who found it dies here. Others find it again, under an epoch of theirs.
    let second = until("the deadline again", due).await;
    assert_eq!((second.id, second.epoch()), (before.id, 3));
    let changes = before.end(4);
    let said = server.unchanged(before.write(&engine, changes, 4)).await;
    assert_eq!(said.unwrap_err(), Refused::Fenced, "its owner before");
    let mut first = Owned::given(A, first, Purpose::Expire);
    let changes = first.end(5);
    let said = server.unchanged(first.write(&engine, changes, 5)).await;
    assert_eq!(said.unwrap_err(), Refused::Fenced, "who found it the first time");
    let mut second = Owned::given(B, second, Purpose::Expire);
    let changes = second.end(6);
    second.write(&engine, changes, 6).await.unwrap();
    assert_eq!(engine.count(&[slot]).await.unwrap().away, 0);
}

#[tokio::test]
async fn a_client_that_is_back_is_before_the_end_that_was_due() {
    let (server, mut random) = (Server::start(), chance());
    let engine = server.loaded().await;
    let slot = Slot::new(3);
    let anna = away_in(&engine, slot, &mut random).await;
    let due = async || engine.due(A, slot, 8, LONG).await.unwrap().sessions.pop();
    let snapshot = until("the deadline", due).await;
    let claimed = claim(&engine, B, anna.id, &anna.resumption()).await.unwrap();
    assert!(matches!(claimed, adieu_engine::Claimed::Owner(..)), "{claimed:?}");
    let mut late = Owned::given(A, snapshot, Purpose::Expire);
    let changes = late.end(5);
    let said = server.unchanged(late.write(&engine, changes, 5)).await;
    assert_eq!(said.unwrap_err(), Refused::Fenced);
}

#[tokio::test]
async fn so_many_are_found_at_once_as_are_asked_for() {
    let (server, mut random) = (Server::start(), chance());
    let engine = server.loaded().await;
    let slots = [Slot::new(3), Slot::new(4)];
    let mut all = HashSet::new();
    for _ in 0..5 {
        all.insert(away_in(&engine, slots[0], &mut random).await.id);
        all.insert(away_in(&engine, slots[1], &mut random).await.id);
    }
    let mut found: Vec<SessionId> = Vec::new();
    let more = async || {
        let due = engine.sweep(B, &slots, 2, LONG).await;
        let mut new = Vec::new();
        for due in due {
            let sessions = due.unwrap().sessions;
            assert!(sessions.len() <= 2);
            new.extend(sessions.into_iter().map(|snapshot| snapshot.id));
        }
        (!new.is_empty()).then_some(new)
    };
    while found.len() < 10 {
        found.extend(until("deadlines", more).await);
    }
    let distinct: HashSet<_> = found.iter().copied().collect();
    assert_eq!((found.len(), distinct), (10, all));
}

#[tokio::test]
async fn a_client_that_was_told_to_come_back_is_waited_for() {
    let (server, mut random) = (Server::start(), chance());
    let engine = server.loaded().await;
    let slot = Slot::new(3);
    let away = away_in(&engine, slot, &mut random).await;
    assert!(engine.hold(away.id, LONG).await.unwrap());
    assert_eq!(engine.due(B, slot, 8, LONG).await.unwrap().sessions, []);
    // It makes no wait shorter.
    assert!(engine.hold(away.id, SOON).await.unwrap());
    assert_eq!(engine.due(B, slot, 8, LONG).await.unwrap().sessions, []);
    // One whose connection is still at a node is waited for when that is gone, or the node is.
    for dies in [false, true] {
        let mut here = begun_in(&engine, slot, &mut random).await;
        assert!(engine.hold(here.id, LONG).await.unwrap());
        if dies {
            engine.orphan(&[slot], A, 8, SOON).await.remove(0).unwrap();
        } else {
            here.goes(&engine, SOON, &mut random).await;
        }
        assert_eq!(engine.due(B, slot, 8, LONG).await.unwrap().sessions, [], "{dies}");
        let looked = engine.look(here.id, NOW).await.unwrap().unwrap();
        assert!(looked.view.until.unwrap().since(NOW) > Duration::from_secs(3_000));
    }
    let nobody = session_in(slot, &mut random);
    assert!(!server.unchanged(engine.hold(nobody, LONG)).await.unwrap());
}

#[tokio::test]
async fn what_a_dead_node_had_is_waited_for() {
    let (server, mut random) = (Server::start(), chance());
    let engine = server.loaded().await;
    let slot = Slot::new(3);
    let mut dead = Vec::new();
    for _ in 0..5 {
        dead.push(begun_in(&engine, slot, &mut random).await);
    }
    let mut lives = Owned { me: B, ..Owned::new(B, None, &mut random) };
    lives.id = session_in(slot, &mut random);
    let changes = lives.beginning(7);
    lives.write(&engine, changes, 7).await.unwrap();
    let orphan = async || engine.orphan(&[slot], A, 3, LONG).await.remove(0).unwrap();
    assert_eq!(orphan().await, Orphaned { sessions: 3, queues: 3 }, "there are more");
    assert_eq!(orphan().await, Orphaned { sessions: 2, queues: 2 });
    assert_eq!(server.unchanged(orphan()).await, Orphaned { sessions: 0, queues: 0 });
    for mut owned in dead {
        let looked = engine.look(owned.id, NOW).await.unwrap().unwrap();
        assert_eq!(looked.owner, Owner::Away);
        assert_eq!(looked.view.departure, Some(Departure::GatewayDown));
        // What the dead node still writes is refused.
        let changes = vec![owned.says("late", 9), owned.count()];
        let said = server.unchanged(owned.write(&engine, changes, 9)).await;
        assert_eq!(said.unwrap_err(), Refused::Fenced);
    }
    assert_eq!(engine.look(lives.id, NOW).await.unwrap().unwrap().owner, Owner::Node(B));
    let found = engine.next(B, &[slot], 8, 8).await.remove(0).unwrap();
    assert_eq!(found.len(), 5, "its queues wait for a node");
}

#[tokio::test]
async fn of_a_dead_node_what_was_over_already_is_due_at_once() {
    let (server, mut random) = (Server::start(), chance());
    let engine = server.loaded().await;
    let slot = Slot::new(3);
    let ended = begun_in(&engine, slot, &mut random).await;
    assert_eq!(engine.finish(B, ended.id, "").await, Ok(Finished::Asked));
    let mut plain = Owned::new(A, None, &mut random);
    (plain.id, plain.row.plain) = (session_in(slot, &mut random), true);
    let changes = plain.beginning(1);
    plain.write(&engine, changes, 1).await.unwrap();
    let waited_for = begun_in(&engine, slot, &mut random).await;
    engine.orphan(&[slot], A, 8, LONG).await.remove(0).unwrap();
    let mut found = HashSet::new();
    while found.len() < 2 {
        let due = async || {
            let all = engine.due(B, slot, 8, LONG).await.unwrap().sessions;
            (!all.is_empty()).then_some(all)
        };
        let all = until("the deadlines", due).await;
        found.extend(all.into_iter().map(|snapshot| snapshot.id));
    }
    assert_eq!(found, HashSet::from([ended.id, plain.id]));
    assert_eq!(engine.due(B, slot, 8, LONG).await.unwrap().sessions, []);
    let looked = engine.look(waited_for.id, NOW).await.unwrap().unwrap();
    assert_eq!(looked.owner, Owner::Away);
}

#[tokio::test]
async fn a_session_that_a_node_does_not_hold_is_released_once() {
    let (server, mut random) = (Server::start(), chance());
    let engine = server.loaded().await;
    let slot = Slot::new(3);
    let anna = begun_in(&engine, slot, &mut random).await;
    let id = anna.id;
    let release = async |me, epoch| engine.release(me, Released(id, epoch), SOON).await.unwrap();
    // Another node's, another epoch's.
    assert!(!server.unchanged(release(B, 1)).await);
    assert!(!server.unchanged(release(A, 2)).await);
    assert!(!server.unchanged(release(A, 0)).await);
    assert!(release(A, 1).await);
    assert!(!server.unchanged(release(A, 1)).await);
    assert!(!server.unchanged(release(A, 2)).await, "nobody owns it");
    let mut late = anna.clone();
    let changes = vec![late.says("late", 9), late.count()];
    let said = server.unchanged(late.write(&engine, changes, 9)).await;
    assert_eq!(said.unwrap_err(), Refused::Fenced);
    let due = async || engine.due(B, slot, 8, LONG).await.unwrap().sessions.pop();
    let snapshot = until("the deadline", due).await;
    assert_eq!(snapshot.departure, Some(Departure::GatewayDown));
    // A client that comes back at once at the same node is not released with the epoch before.
    let claimed = claim(&engine, A, anna.id, &anna.resumption()).await.unwrap();
    let adieu_engine::Claimed::Owner(back, _) = claimed else { panic!("{claimed:?}") };
    assert!(!server.unchanged(release(A, back.epoch() - 1)).await);
}

#[tokio::test]
async fn an_audit_finds_what_is_not_as_the_node_thinks() {
    let (server, mut random) = (Server::start(), chance());
    let engine = server.loaded().await;
    let slot = Slot::new(3);
    let right = begun_in(&engine, slot, &mut random).await;
    let stolen = begun_in(&engine, slot, &mut random).await;
    let lost = begun_in(&engine, slot, &mut random).await;
    let mail = begun_in(&engine, slot, &mut random).await;
    let ended = begun_in(&engine, slot, &mut random).await;
    let unknown = begun_in(&engine, slot, &mut random).await;
    let mut over = begun_in(&engine, slot, &mut random).await;
    let held_over = over.clone();
    let changes = over.end(3);
    over.write(&engine, changes, 3).await.unwrap();
    claim(&engine, B, stolen.id, &stolen.resumption()).await.unwrap();
    let message = outgoing("m", &mut random);
    engine.post(A, LIMITS, &[(mail.id, &message)]).await[0].clone().unwrap();
    let close = "{\"code\":4001}";
    assert_eq!(engine.finish(B, ended.id, close).await, Ok(Finished::Asked));
    let held = |owned: &Owned| (owned.id, owned.fence, owned.counters.sent);
    let mut sessions: Vec<_> =
        [&right, &stolen, &mail, &ended, &held_over].map(held).into_iter().collect();
    // A write of the node that the engine does not have.
    sessions.push((lost.id, Fence { nonce: 77, ..lost.fence }, 0));
    let known = [&right, &stolen, &lost, &mail, &ended].map(|owned| session_stream(owned.id));
    let audit = Audit { sessions, queues: known.to_vec() };
    let audit = async || engine.audit(A, &[(slot, audit.clone())]).await.remove(0).unwrap();
    let mut audited = server.unchanged(audit()).await;
    audited.refused.sort_by_key(|(_, why)| *why == Refused::RolledBack);
    audited.refused[..2].sort_by_key(|(id, _)| *id != stolen.id);
    let mut queues = [session_stream(unknown.id), session_stream(over.id)];
    queues.sort();
    audited.queues.sort();
    let expected = Audited {
        refused: vec![
            (stolen.id, Refused::Fenced),
            (over.id, Refused::Fenced),
            (lost.id, Refused::RolledBack),
        ],
        mail: vec![mail.id],
        ends: vec![(ended.id, Bytes::from_static(close.as_bytes()))],
        unknown: vec![Released(unknown.id, 1)],
        queues: queues.to_vec(),
    };
    assert_eq!(audited, expected);
    // Another node holds none of that, and hears of none.
    let nothing = Audit { sessions: vec![], queues: vec![] };
    let audited = engine.audit(B, &[(slot, nothing)]).await.remove(0).unwrap();
    let unknown = vec![Released(stolen.id, 2)];
    assert_eq!(audited, Audited { unknown, ..Audited::default() });
}

#[tokio::test]
async fn the_end_of_a_user_is_told_by_whoever_finds_it() {
    let (server, mut random) = (Server::start(), chance());
    let engine = server.loaded().await;
    let mut anna = Owned::begun(&engine, A, Some("a: {b}\n"), &mut random).await;
    let slot = anna.id.slot();
    let changes = vec![anna.leave(Duration::from_millis(5), 2), anna.delete()];
    anna.write(&engine, changes, 2).await.unwrap();
    let due = async || {
        let due = engine.due(B, slot, 8, LONG).await.unwrap();
        (!due.told.is_empty()).then_some(due.told)
    };
    let told = until("the end of the user", due).await;
    // The queue has the event of the start too, which the first node delivers.
    assert_eq!((told[0].0.clone(), told[0].2), (user_stream("a: {b}\n"), Whose::Other));
    assert_eq!(told.len(), 1);
    let _ = engine.orphan(&[slot], A, 8, LONG).await;
    let found = engine.next(B, &[slot], 8, 8).await.remove(0).unwrap();
    let events = found.iter().find(|queue| queue.stream == told[0].0).unwrap().events.clone();
    let types: Vec<_> = events.iter().map(|event| event.event.r#type.to_string()).collect();
    assert_eq!(types, ["user.joined", "user.left"]);
    assert_eq!(events[1].place, told[0].1);
}
