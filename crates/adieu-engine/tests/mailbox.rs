//! Messages of the backend, and ends that it asks for.

use adieu_engine::{Finished, Hint, Limits, Place, Posted, Queued};
use adieu_session::Digest;
use adieu_session::command::Purpose;
use adieu_session::fence::Refused;

use crate::common::{A, B, LIMITS, LONG, NOW, Owned, SOON, Server, chance, claim, outgoing, until};

fn key(number: u8) -> Option<Digest> {
    Some(Digest::from_bytes([number; 16]))
}

#[tokio::test]
async fn messages_wait_in_their_order_whoever_posts_them() {
    let (server, mut random) = (Server::start(), chance());
    let engine = server.loaded().await;
    let mut hints = engine.hints(A).await.unwrap();
    let mut anna = Owned::begun(&engine, A, None, &mut random).await;
    let sent: Vec<_> = (0..3).map(|n| outgoing(&format!("m{n}"), &mut random)).collect();
    let posted = engine.post(A, LIMITS, &[(anna.id, &sent[0])]).await;
    assert_eq!(posted, [Ok(Posted::Waits(1, Some(A)))]);
    let posted = engine.post(B, LIMITS, &[(anna.id, &sent[1])]).await;
    assert_eq!(posted, [Ok(Posted::Waits(2, Some(A)))]);
    // The owner hears of that of another node, not of its own.
    match hints.next().await {
        Some(Hint::Message(id, 2, kept)) => assert_eq!((id, kept.tag), (anna.id, sent[1].tag)),
        other => panic!("{other:?}"),
    }
    anna.goes(&engine, LONG, &mut random).await;
    let posted = engine.post(B, LIMITS, &[(anna.id, &sent[2])]).await;
    assert_eq!(posted, [Ok(Posted::Waits(3, None))]);
    for behind in 0..=4u64 {
        let (first, kept) = engine.mail(anna.id, behind).await.unwrap();
        let tails: Vec<_> = kept.into_iter().map(|kept| kept.tail).collect();
        let expected: Vec<_> =
            sent.iter().skip(behind as usize).map(|message| message.tail.clone()).collect();
        assert_eq!((first, tails), (behind + 1, expected));
    }
}

#[tokio::test]
async fn a_message_to_nobody_is_kept_nowhere() {
    let (server, mut random) = (Server::start(), chance());
    let engine = server.loaded().await;
    let nobody = Owned::new(A, Some("anna"), &mut random);
    let mut message = outgoing("m", &mut random);
    message.key = key(1);
    let posted = server.unchanged(engine.post(A, LIMITS, &[(nobody.id, &message)])).await;
    assert_eq!(posted, [Ok(Posted::NoSession)]);
    let posted = server.unchanged(engine.post_to_user(A, LIMITS, "anna", &message)).await;
    assert_eq!(posted, Ok(vec![]));
    assert_eq!(engine.finish(A, nobody.id, "").await, Ok(Finished::NoSession));
    assert_eq!(engine.mail(nobody.id, 0).await, Ok((1, vec![])));
}

#[tokio::test]
async fn a_message_with_a_key_is_taken_once_for_each_session() {
    let (server, mut random) = (Server::start(), chance());
    let engine = server.loaded().await;
    let one = Owned::begun(&engine, A, Some("anna"), &mut random).await;
    let two = Owned::begun(&engine, B, Some("anna"), &mut random).await;
    let mut message = outgoing("m", &mut random);
    message.key = key(b'\n');
    let first = engine.post(A, LIMITS, &[(one.id, &message)]).await;
    assert_eq!(first, [Ok(Posted::Waits(1, Some(A)))]);
    let again = server.unchanged(engine.post(B, LIMITS, &[(one.id, &message)])).await;
    assert_eq!(again, [Ok(Posted::Repeated)]);
    // To the user: the session that has it is not sent it again, and the other one is.
    let mut all = engine.post_to_user(A, LIMITS, "anna", &message).await.unwrap();
    all.sort_by_key(|(id, _)| *id == two.id);
    let expected = [(one.id, Posted::Repeated), (two.id, Posted::Waits(1, Some(B)))];
    assert_eq!(all, expected);
    let all = server.unchanged(engine.post_to_user(A, LIMITS, "anna", &message)).await.unwrap();
    assert!(all.iter().all(|(_, posted)| *posted == Posted::Repeated), "{all:?}");
    message.key = key(2);
    let other = engine.post(A, LIMITS, &[(one.id, &message)]).await;
    assert_eq!(other, [Ok(Posted::Waits(2, Some(A)))]);
    let (_, kept) = engine.mail(one.id, 0).await.unwrap();
    let keys: Vec<_> = kept.iter().map(|kept| kept.key).collect();
    assert_eq!(keys, [key(b'\n'), key(2)]);
}

#[tokio::test]
async fn the_oldest_messages_give_way_and_the_newest_never() {
    let (server, mut random) = (Server::start(), chance());
    let engine = server.loaded().await;
    let text = "x".repeat(100);
    let size = outgoing(&text, &mut random).tail.bytes().len() + 7;
    let limits = [
        (Limits { messages: 2, bytes: 1 << 20 }, 2),
        (Limits { messages: 1_000, bytes: 3 * size }, 3),
        (Limits { messages: 0, bytes: 0 }, 1),
    ];
    for (limits, kept) in limits {
        let anna = Owned::begun(&engine, A, None, &mut random).await;
        let sent: Vec<_> = (0..5).map(|_| outgoing(&text, &mut random)).collect();
        for message in &sent {
            engine.post(B, limits, &[(anna.id, message)]).await[0].clone().unwrap();
        }
        let (first, all) = engine.mail(anna.id, 0).await.unwrap();
        let tags: Vec<_> = all.iter().map(|kept| kept.tag).collect();
        let expected: Vec<_> = sent[5 - kept..].iter().map(|message| message.tag).collect();
        assert_eq!((first, tags), (6 - kept as u64, expected), "{limits:?}");
        let bytes: usize = server.run(&[
            "HGET",
            &format!("adieu{{{:03x}}}s:{}", anna.id.slot().number(), anna.id),
            "b",
        ]);
        assert_eq!(bytes, kept * size, "bytes that are counted: {limits:?}");
        // Who has all of them is resumed, and who has not is told so.
        let mut shown = anna.resumption();
        (shown.received, shown.tag) = (5, Some(sent[4].tag));
        assert!(matches!(
            claim(&engine, B, anna.id, &shown).await,
            Ok(adieu_engine::Claimed::Owner(..))
        ));
    }
}

#[tokio::test]
async fn a_client_that_acknowledges_nothing_has_no_mailbox() {
    let (server, mut random) = (Server::start(), chance());
    let engine = server.loaded().await;
    let mut anna = Owned::new(A, None, &mut random);
    anna.row.plain = true;
    let changes = anna.beginning(1);
    anna.write(&engine, changes, 1).await.unwrap();
    let mut hints = engine.hints(A).await.unwrap();
    let message = outgoing("hello", &mut random);
    let posted = engine.post(B, LIMITS, &[(anna.id, &message)]).await;
    assert_eq!(posted, [Ok(Posted::Waits(1, Some(A)))]);
    assert!(
        matches!(hints.next().await, Some(Hint::Message(_, 1, kept)) if kept.tag == message.tag)
    );
    assert_eq!(engine.mail(anna.id, 0).await.unwrap(), (2, vec![]));
}

#[tokio::test]
async fn an_end_is_asked_of_who_can_do_it() {
    let (server, mut random) = (Server::start(), chance());
    let engine = server.loaded().await;
    let mut hints = engine.hints(A).await.unwrap();
    let mut anna = Owned::begun(&engine, A, None, &mut random).await;
    // Here.
    assert_eq!(engine.finish(A, anna.id, "").await, Ok(Finished::Owner));
    // At another node, which hears of it; once more, with another Close.
    let close = "{\"code\":4000,\"reason\":\"no\"}";
    assert_eq!(engine.finish(B, anna.id, close).await, Ok(Finished::Asked));
    match hints.next().await {
        Some(Hint::Ends(id, said)) => assert_eq!((id, &said[..]), (anna.id, close.as_bytes())),
        other => panic!("{other:?}"),
    }
    // Its owner is away before it has done that: whoever is next does it, at once.
    anna.goes(&engine, SOON, &mut random).await;
    let due = async || engine.due(B, anna.id.slot(), 8, LONG).await.unwrap().sessions.pop();
    let snapshot = until("the deadline", due).await;
    assert_eq!(snapshot.ends.as_deref(), Some(close.as_bytes()));
    // And one that is away is the caller's to end; each caller fences the one before.
    let Ok(Finished::Yours(first)) = engine.finish(A, anna.id, "").await else {
        panic!("a session that nobody owns is the caller's");
    };
    assert_eq!(first.ends.as_deref(), Some(&b""[..]));
    let Ok(Finished::Yours(second)) = engine.finish(B, anna.id, "").await else {
        panic!("a session that nobody owns is the caller's");
    };
    let mut first = Owned::given(A, *first, Purpose::Expire);
    let changes = first.end(5);
    let said = server.unchanged(first.write(&engine, changes, 5)).await;
    assert_eq!(said.unwrap_err(), Refused::Fenced);
    let mut second = Owned::given(B, *second, Purpose::Expire);
    let changes = second.end(6);
    second.write(&engine, changes, 6).await.unwrap();
    assert_eq!(engine.finish(A, anna.id, "").await, Ok(Finished::NoSession));
}

/// The queue of a session that has begun and said something.
async fn queue_of(engine: &adieu_engine::Engine, owned: &Owned) -> Vec<Queued> {
    let _ = engine.give_back(owned.me, owned.id.slot(), &[stream(owned)]).await.unwrap();
    let mut found = engine.next(B, &[owned.id.slot()], 8, 8).await.remove(0).unwrap();
    assert_eq!(found.len(), 1);
    found.remove(0).events
}

fn stream(owned: &Owned) -> bytes::Bytes {
    adieu_session::event::session_stream(owned.id)
}

#[tokio::test]
async fn what_the_backend_answers_is_done_once() {
    let (server, mut random) = (Server::start(), chance());
    let engine = server.loaded().await;
    let anna = Owned::begun(&engine, A, None, &mut random).await;
    let events = queue_of(&engine, &anna).await;
    let send = [outgoing("one", &mut random), outgoing("two", &mut random)];
    let place = events[0].place;
    for of in [(anna.id, place, "another"), (anna.id, Place(1, 1), &*events[0].id)] {
        let done = server.unchanged(engine.answered(B, LIMITS, of, &send, Some(""))).await;
        assert_eq!(done, Ok(None), "another event");
    }
    let of = (anna.id, place, &*events[0].id);
    let (posted, finished) =
        engine.answered(B, LIMITS, of, &send, Some("")).await.unwrap().unwrap();
    assert_eq!(posted, [Posted::Waits(1, Some(A)), Posted::Waits(2, Some(A))]);
    assert_eq!(finished, Finished::Asked);
    let again = server.unchanged(engine.answered(B, LIMITS, of, &send, Some(""))).await;
    assert_eq!(again, Ok(None));
    assert_eq!(engine.mail(anna.id, 0).await.unwrap().1.len(), 2);
}

/// The node that has done the answer dies before it tells that the event is taken.
#[tokio::test]
async fn a_queue_of_which_the_last_event_was_answered_is_no_queue_any_more() {
    let (server, mut random) = (Server::start(), chance());
    let engine = server.loaded().await;
    let anna = Owned::begun(&engine, A, None, &mut random).await;
    let (slot, events) = (anna.id.slot(), queue_of(&engine, &anna).await);
    let of = (anna.id, events[0].place, &*events[0].id);
    let done = engine.answered(B, LIMITS, of, &[], None).await.unwrap();
    assert_eq!(done, Some((vec![], Finished::NoSession)));
    engine.orphan(&[slot], B, 8, LONG).await.remove(0).unwrap();
    assert_eq!(engine.next(A, &[slot], 8, 8).await, [Ok(vec![])]);
    assert_eq!(engine.count(&[slot]).await.unwrap().queues, 0);
    // Nor is it a node's that does not die.
    let audit = adieu_engine::Audit { sessions: vec![], queues: vec![] };
    let audited = engine.audit(A, &[(slot, audit)]).await.remove(0).unwrap();
    assert_eq!(audited.queues, Vec::<bytes::Bytes>::new());
}

#[tokio::test]
async fn an_answer_to_an_event_of_a_session_that_is_over_is_nothing() {
    let (server, mut random) = (Server::start(), chance());
    let engine = server.loaded().await;
    let mut anna = Owned::begun(&engine, A, None, &mut random).await;
    let changes = anna.end(2);
    anna.write(&engine, changes, 2).await.unwrap();
    assert_eq!(engine.look(anna.id, NOW).await.unwrap(), None);
    let events = queue_of(&engine, &anna).await;
    assert_eq!(events.len(), 2);
    let send = [outgoing("too late", &mut random)];
    let of = (anna.id, events[0].place, &*events[0].id);
    let done = engine.answered(B, LIMITS, of, &send, Some("")).await.unwrap();
    assert_eq!(done, Some((vec![Posted::NoSession], Finished::NoSession)));
}
