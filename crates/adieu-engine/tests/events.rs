//! Events on their way to the backend: one node at a time delivers a queue, in order.

use adieu_engine::{Engine, Place, Queued, Taken, Whose};
use adieu_session::Slot;
use adieu_session::event::session_stream;

use crate::common::{A, B, LONG, Owned, Server, chance};

/// The texts of events; of those that have none their types.
fn texts(events: &[Queued]) -> Vec<String> {
    let text = |queued: &Queued| match &queued.event.data {
        adieu_session::event::Data::Text(text) => text.clone(),
        _ => queued.event.r#type.to_string(),
    };
    events.iter().map(text).collect()
}

fn taken(owned: &Owned, events: &[Queued], more_behind: Option<Place>) -> Taken {
    Taken {
        stream: session_stream(owned.id),
        slot: owned.id.slot(),
        events: events.iter().map(|event| (event.place, event.id.clone())).collect(),
        more_behind,
    }
}

async fn tell(engine: &Engine, me: adieu_engine::Node, taken: Taken, most: usize) -> Vec<Queued> {
    engine.taken(me, &[taken], most).await.remove(0).unwrap()
}

async fn says(engine: &Engine, owned: &mut Owned, text: &str, salt: u64) -> (Place, Whose) {
    let changes = vec![owned.says(text, salt), owned.count()];
    let told = owned.write(engine, changes, salt).await.unwrap().told;
    assert_eq!(told.len(), 1);
    (told[0].place, told[0].whose)
}

#[tokio::test]
async fn a_queue_is_one_nodes_until_it_gives_it_back_or_is_dead() {
    let (server, mut random) = (Server::start(), chance());
    let engine = server.loaded().await;
    let mut anna = Owned::begun(&engine, A, None, &mut random).await;
    let (slot, stream) = (anna.id.slot(), session_stream(anna.id));
    for (salt, text) in ["one", "two"].into_iter().enumerate() {
        says(&engine, &mut anna, text, salt as u64 + 5).await;
    }
    let next = async |me| engine.next(me, &[slot], 8, 2).await.remove(0).unwrap();
    assert_eq!(server.unchanged(next(B)).await, [], "A delivers it");
    let given = async |me| engine.give_back(me, slot, std::slice::from_ref(&stream)).await.unwrap();
    assert_eq!(server.unchanged(given(B)).await, 0, "it is not B's to give");
    assert_eq!(given(A).await, 1);
    let found = next(B).await;
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].stream, stream);
    assert_eq!(texts(&found[0].events), ["session.started", "one"], "so many as asked for");
    assert_eq!(server.unchanged(next(A)).await, []);
    // Who does not deliver it is given no more of it.
    let behind = Some(Place::default());
    assert_eq!(server.unchanged(tell(&engine, A, taken(&anna, &[], behind), 8)).await, []);
    let all = tell(&engine, B, taken(&anna, &[], behind), 8).await;
    assert_eq!(texts(&all), ["session.started", "one", "two"]);
    // Its node dies: it waits for another one.
    let orphaned = engine.orphan(&[slot], B, 8, LONG).await.remove(0).unwrap();
    assert_eq!((orphaned.sessions, orphaned.queues), (0, 1));
    assert_eq!(next(A).await.len(), 1);
}

#[tokio::test]
async fn an_event_that_was_taken_is_gone_and_no_other_is() {
    let (server, mut random) = (Server::start(), chance());
    let engine = server.loaded().await;
    let mut anna = Owned::begun(&engine, A, None, &mut random).await;
    for (salt, text) in ["one", "two", "three"].into_iter().enumerate() {
        says(&engine, &mut anna, text, salt as u64 + 5).await;
    }
    let all = tell(&engine, A, taken(&anna, &[], Some(Place::default())), 8).await;
    assert_eq!(texts(&all), ["session.started", "one", "two", "three"]);
    // Two nodes have sent it: the second one takes nothing else out.
    let first = taken(&anna, &all[..1], Some(all[0].place));
    assert_eq!(texts(&tell(&engine, A, first.clone(), 1).await), ["one"]);
    let late = Taken { more_behind: None, ..first };
    assert_eq!(server.unchanged(tell(&engine, B, late, 8)).await, []);
    // An event that has the place of another one stays.
    let mut wrong = all[1].clone();
    wrong.id = all[2].id.clone();
    let wrong = taken(&anna, &[wrong], None);
    assert_eq!(server.unchanged(tell(&engine, A, wrong, 8)).await, []);
    // Out of order, for a backend may write one off; and who has delivered it as a dead node.
    let middle = taken(&anna, &all[2..3], None);
    assert_eq!(tell(&engine, B, middle, 8).await, []);
    let left = tell(&engine, A, taken(&anna, &[], Some(Place::default())), 8).await;
    assert_eq!(texts(&left), ["one", "three"]);
    let rest = taken(&anna, &left, Some(left[1].place));
    assert_eq!(tell(&engine, A, rest.clone(), 8).await, []);
    assert_eq!(engine.count(&[anna.id.slot()]).await.unwrap().queues, 0);
    assert_eq!(server.unchanged(tell(&engine, A, rest, 8)).await, []);
}

#[tokio::test]
async fn a_queue_that_was_empty_is_of_who_writes_the_next_event() {
    let (server, mut random) = (Server::start(), chance());
    let engine = server.loaded().await;
    let mut anna = Owned::begun(&engine, A, None, &mut random).await;
    let all = tell(&engine, A, taken(&anna, &[], Some(Place::default())), 8).await;
    assert_eq!(tell(&engine, A, taken(&anna, &all, None), 8).await, []);
    anna.me = B;
    assert_eq!(says(&engine, &mut anna, "one", 5).await.1, Whose::New);
    assert_eq!(says(&engine, &mut anna, "two", 6).await.1, Whose::Mine);
    anna.me = A;
    assert_eq!(says(&engine, &mut anna, "three", 7).await.1, Whose::Other);
    let audit = adieu_engine::Audit { sessions: vec![], queues: vec![] };
    let audited = engine.audit(B, &[(anna.id.slot(), audit)]).await.remove(0).unwrap();
    assert_eq!(audited.queues, [session_stream(anna.id)]);
}

/// A node asks for what is behind the last event that it knows: no later one may stand before it,
/// also where the queue was empty in between and all happened within a millisecond.
#[tokio::test]
async fn a_later_event_stands_behind_an_earlier_one() {
    let (server, mut random) = (Server::start(), chance());
    let engine = server.loaded().await;
    let mut anna = Owned::begun(&engine, A, None, &mut random).await;
    let mut last = Place::default();
    for salt in 10..400 {
        let (place, _) = says(&engine, &mut anna, "hello", salt).await;
        assert!(place > last, "{place} behind {last}");
        last = place;
        let all = tell(&engine, A, taken(&anna, &[], Some(Place::default())), 64).await;
        assert_eq!(tell(&engine, A, taken(&anna, &all, None), 8).await, []);
    }
}

#[tokio::test]
async fn a_later_event_stands_behind_an_earlier_one_when_the_clock_was_set_back() {
    let (server, mut random) = (Server::with_a_clock(), chance());
    let engine = server.loaded().await;
    let mut anna = Owned::begun(&engine, A, None, &mut random).await;
    let all = tell(&engine, A, taken(&anna, &[], Some(Place::default())), 64).await;
    assert_eq!(tell(&engine, A, taken(&anna, &all, None), 8).await, []);
    server.set_clock(-3_600_000);
    let mut last = all[0].place;
    for salt in 10..13 {
        let (place, _) = says(&engine, &mut anna, "hello", salt).await;
        assert!(place > last, "{place} behind {last}");
        last = place;
    }
}

#[tokio::test]
async fn so_many_queues_are_given_at_once_as_are_asked_for() {
    let (server, mut random) = (Server::start(), chance());
    let engine = server.loaded().await;
    let slot = Slot::new(9);
    for _ in 0..5 {
        let mut one = Owned::new(A, None, &mut random);
        one.id = crate::common::session_in(slot, &mut random);
        let changes = one.beginning(1);
        one.write(&engine, changes, 1).await.unwrap();
    }
    engine.orphan(&[slot], A, 8, LONG).await.remove(0).unwrap();
    let mut found = 0;
    for expected in [2, 2, 1, 0] {
        let me = if found == 0 { A } else { B };
        let queues = engine.next(me, &[slot], 2, 8).await.remove(0).unwrap();
        assert_eq!(queues.len(), expected);
        found += queues.len();
    }
    assert_eq!(engine.count(&[slot]).await.unwrap().queues, 5);
}

#[tokio::test]
async fn a_dead_letter_is_kept_and_let_go() {
    let server = Server::start();
    let engine = server.loaded().await;
    let letters = || -> Vec<Vec<u8>> { server.run(&["HGETALL", "adieu{nodes}d"]) };
    engine.dead_letter(7, Some(b"one")).await.unwrap();
    engine.dead_letter(7, Some(b"one")).await.unwrap();
    engine.dead_letter(8, Some(b"two")).await.unwrap();
    let all = engine.dead_letters().await.unwrap();
    assert_eq!(all.into_iter().collect::<Vec<_>>(), [(7, "one".into()), (8, "two".into())]);
    engine.dead_letter(8, None).await.unwrap();
    engine.dead_letter(8, None).await.unwrap();
    assert_eq!(letters(), [b"7".to_vec(), b"one".to_vec()]);
}
