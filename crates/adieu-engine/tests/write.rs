//! What owners change, under the fence.

use std::time::Duration;

use adieu_engine::{Claimed, Committed, Owner, Place, Posted, Whose};
use adieu_session::command::Purpose;
use adieu_session::event::{Data, EventType, session_stream, user_stream};
use adieu_session::fence::{Fence, Refused};
use adieu_session::{Change, Departure, Digest, Slot};
use serde_json::json;

use crate::common::{
    A, B, LIMITS, LONG, NOW, Owned, Random, SOON, Server, chance, claim, new_row, next_of,
    outgoing, until,
};

/// The types of the events of a commit, and what each is ordered by.
fn types(committed: &Committed) -> Vec<EventType> {
    committed.told.iter().map(|told| told.event.r#type).collect()
}

#[tokio::test]
async fn a_session_begins_with_its_events_and_is_owned() {
    let (server, mut random) = (Server::start(), chance());
    let engine = server.loaded().await;
    let mut anna = Owned::new(A, Some("anna"), &mut random);
    let changes = anna.beginning(1);
    let committed = anna.write(&engine, changes, 1).await.unwrap();
    assert_eq!(types(&committed), [EventType::SessionStarted, EventType::UserJoined]);
    let streams: Vec<_> = committed.told.iter().map(|told| told.stream.clone()).collect();
    assert_eq!(streams, [session_stream(anna.id), user_stream("anna")]);
    assert!(committed.told.iter().all(|told| told.whose == Whose::New));
    let looked = engine.look(anna.id, NOW).await.unwrap().unwrap();
    assert_eq!(looked.owner, Owner::Node(A));
    assert!(looked.view.attached);
    assert_eq!(looked.view.user_id.as_deref(), Some("anna"));
    assert_eq!((looked.view.generation, looked.view.connections), (1, 1));
}

#[tokio::test]
async fn the_same_write_twice_is_made_once() {
    let (server, mut random) = (Server::start(), chance());
    let engine = server.loaded().await;
    let mut anna = Owned::new(A, Some("anna"), &mut random);
    let mut batches = Vec::new();
    for salt in 1..=4 {
        let changes = match salt {
            1 => anna.beginning(salt),
            2 => vec![anna.says("hello", salt), anna.count()],
            3 => {
                anna.detach(LONG);
                vec![anna.put()]
            }
            _ => anna.end(salt),
        };
        let batch = anna.batch(changes, salt);
        let first = engine.write(A, &batch, NOW).await.unwrap();
        assert_eq!(first.refused, [], "{salt}");
        let again = server.unchanged(engine.write(A, &batch, NOW)).await.unwrap();
        assert_eq!(again, Committed::default(), "write {salt} once more");
        anna.fence = next_of(&batch);
        batches.push(batch);
    }
    // Whatever comes late, after the end too, changes nothing.
    for (at, batch) in batches.iter().enumerate() {
        let late = server.unchanged(engine.write(A, batch, NOW)).await.unwrap();
        let refused: Vec<_> = late.refused.iter().map(|(_, why)| *why).collect();
        let expected: &[Refused] = if at == 3 { &[] } else { &[Refused::Fenced] };
        assert_eq!(refused, expected, "write {at} after the end");
    }
}

#[tokio::test]
async fn a_write_of_before_that_comes_late_changes_nothing() {
    let (server, mut random) = (Server::start(), chance());
    let engine = server.loaded().await;
    let mut anna = Owned::begun(&engine, A, None, &mut random).await;
    let late = anna.batch(vec![anna.clone().says("one", 11)], 11);
    let changes = vec![anna.says("one", 11), anna.count()];
    anna.write(&engine, changes, 11).await.unwrap();
    let changes = vec![anna.says("two", 12), anna.count()];
    anna.write(&engine, changes, 12).await.unwrap();
    let said = server.unchanged(engine.write(A, &late, NOW)).await.unwrap();
    // No fence tells it from one that builds on what the engine has lost.
    assert_eq!(said.refused, [(anna.id, Refused::RolledBack)]);
}

#[tokio::test]
async fn a_start_that_comes_late_begins_nothing() {
    let (server, mut random) = (Server::start(), chance());
    let engine = server.loaded().await;
    let mut anna = Owned::new(A, Some("anna"), &mut random);
    let start = {
        let mut first = anna.clone();
        let changes = first.beginning(1);
        first.batch(changes, 1)
    };
    let changes = anna.beginning(1);
    anna.write(&engine, changes, 1).await.unwrap();
    let changes = vec![anna.says("hello", 2), anna.count()];
    anna.write(&engine, changes, 2).await.unwrap();
    let said = server.unchanged(engine.write(A, &start, NOW)).await.unwrap();
    assert_eq!(said.refused, [(anna.id, Refused::Fenced)]);
    let changes = anna.end(3);
    anna.write(&engine, changes, 3).await.unwrap();
    let said = server.unchanged(engine.write(A, &start, NOW)).await.unwrap();
    assert_eq!(said.refused, [(anna.id, Refused::Fenced)]);
    // And so is a start of the same session by another write.
    let mut other = Owned { id: anna.id, ..Owned::new(B, Some("anna"), &mut random) };
    let changes = other.beginning(9);
    let said = server.unchanged(other.write(&engine, changes, 9)).await;
    assert_eq!(said.unwrap_err(), Refused::Fenced);
}

#[tokio::test]
async fn what_is_refused_changes_no_key() {
    let (server, mut random) = (Server::start(), chance());
    let engine = server.loaded().await;
    let anna = Owned::begun(&engine, A, Some("anna"), &mut random).await;
    let message = outgoing("for her", &mut random);
    let posted = engine.post(A, LIMITS, &[(anna.id, &message)]).await;
    assert_eq!(posted, [Ok(Posted::Waits(1, Some(A)))]);
    // All that a write can have, behind a fence that is not the engine's.
    let all = |owned: &Owned, salt| {
        let mut owned = owned.clone();
        let mut changes = vec![owned.trim(1, message.tag), owned.says("hello", salt)];
        owned.detach(LONG);
        changes.push(owned.put());
        changes.extend(owned.end(salt));
        owned.batch(changes, salt)
    };
    let Claimed::Owner(..) = claim(&engine, B, anna.id, &anna.resumption()).await.unwrap() else {
        panic!("a client that is here is resumed");
    };
    // The owner before.
    let said = server.unchanged(engine.write(A, &all(&anna, 5), NOW)).await.unwrap();
    assert_eq!((said.refused, said.told), (vec![(anna.id, Refused::Fenced)], vec![]));
    // The same epoch and another write before; an epoch that the engine has not given.
    for fence in [Fence { epoch: 2, nonce: 99 }, Fence { epoch: 7, nonce: 1 }] {
        let lost = Owned { fence, ..anna.clone() };
        let said = server.unchanged(engine.write(B, &all(&lost, 5), NOW)).await.unwrap();
        assert_eq!(said.refused, [(anna.id, Refused::RolledBack)], "{fence:?}");
    }
    // A session that there is not.
    let nobody = Owned { fence: anna.fence, ..Owned::new(A, Some("ben"), &mut random) };
    let said = server.unchanged(engine.write(A, &all(&nobody, 5), NOW)).await.unwrap();
    assert_eq!(said.refused, [(nobody.id, Refused::Fenced)]);
}

#[tokio::test]
async fn one_session_that_is_refused_leaves_the_others_of_a_batch() {
    let (server, mut random) = (Server::start(), chance());
    let engine = server.loaded().await;
    let mut here = Owned::begun(&engine, A, None, &mut random).await;
    let gone = Owned { fence: here.fence, ..Owned::new(A, None, &mut random) };
    let changes = vec![here.says("hello", 3), here.count()];
    let mut batch = here.batch(changes, 3);
    batch.extend(gone.batch(vec![gone.clone().says("lost", 4)], 4));
    let said = engine.write(A, &batch, NOW).await.unwrap();
    assert_eq!(said.refused, [(gone.id, Refused::Fenced)]);
    assert_eq!(said.told.len(), 1);
    assert_eq!(said.told[0].stream, session_stream(here.id));
}

#[tokio::test]
async fn a_message_that_the_client_has_is_named_by_its_tag() {
    let (server, mut random) = (Server::start(), chance());
    let engine = server.loaded().await;
    let mut anna = Owned::begun(&engine, A, None, &mut random).await;
    let sent: Vec<_> = (0..4).map(|n| outgoing(&format!("m{n}"), &mut random)).collect();
    for (at, message) in sent.iter().enumerate() {
        let posted = engine.post(A, LIMITS, &[(anna.id, message)]).await;
        assert_eq!(posted, [Ok(Posted::Waits(at as u64 + 1, Some(A)))]);
    }
    let other = outgoing("never sent", &mut random).tag;
    for (up_to, tag) in [(2, other), (2, sent[2].tag), (5, sent[3].tag), (5, other)] {
        let changes = vec![anna.trim(up_to, tag)];
        let said = server.unchanged(anna.write(&engine, changes, 8)).await;
        assert_eq!(said.unwrap_err(), Refused::RolledBack, "up to {up_to}");
    }
    let changes = vec![anna.trim(2, sent[1].tag), anna.count()];
    anna.write(&engine, changes, 9).await.unwrap();
    let left = |mail: (u64, Vec<adieu_session::outbox::Kept>)| {
        (mail.0, mail.1.into_iter().map(|kept| kept.tag).collect::<Vec<_>>())
    };
    let kept = left(engine.mail(anna.id, 0).await.unwrap());
    assert_eq!(kept, (3, vec![sent[2].tag, sent[3].tag]));
    // The last one that is not kept any more is known too; those before it are not.
    let changes = vec![anna.trim(2, other)];
    let said = server.unchanged(anna.write(&engine, changes, 10)).await;
    assert_eq!(said.unwrap_err(), Refused::RolledBack);
    let changes = vec![anna.trim(2, sent[1].tag), anna.trim(1, other), anna.count()];
    anna.write(&engine, changes, 11).await.unwrap();
    assert_eq!(left(engine.mail(anna.id, 0).await.unwrap()), kept);
    let changes = vec![anna.trim(4, sent[3].tag)];
    anna.write(&engine, changes, 12).await.unwrap();
    assert_eq!(left(engine.mail(anna.id, 0).await.unwrap()), (5, vec![]));
    let looked = engine.look(anna.id, NOW).await.unwrap().unwrap();
    assert_eq!((looked.view.sent, looked.view.unacknowledged), (4, 0));
}

/// A turn of a shard hears two acknowledgements, and both are in its one write.
#[tokio::test]
async fn two_acknowledgements_in_one_write_take_no_other_message_out() {
    let (server, mut random) = (Server::start(), chance());
    let engine = server.loaded().await;
    let mut anna = Owned::begun(&engine, A, None, &mut random).await;
    let sent: Vec<_> = (0..4).map(|n| outgoing(&format!("m{n}"), &mut random)).collect();
    for message in &sent {
        engine.post(A, LIMITS, &[(anna.id, message)]).await[0].clone().unwrap();
    }
    let changes = vec![anna.trim(1, sent[0].tag), anna.trim(2, sent[1].tag), anna.count()];
    anna.write(&engine, changes, 9).await.unwrap();
    let (first, kept) = engine.mail(anna.id, 0).await.unwrap();
    let tags: Vec<_> = kept.iter().map(|kept| kept.tag).collect();
    assert_eq!((first, tags), (3, vec![sent[2].tag, sent[3].tag]));
}

#[tokio::test]
async fn a_user_is_told_with_the_first_session_and_the_last() {
    let (server, mut random) = (Server::start(), chance());
    let engine = server.loaded().await;
    let slot = Slot::of_user("anna");
    let users = async || engine.count(&[slot]).await.unwrap().users;
    let mut first = Owned::new(A, Some("anna"), &mut random);
    let mut second = Owned::new(B, Some("anna"), &mut random);
    let changes = first.beginning(1);
    let told = types(&first.write(&engine, changes, 1).await.unwrap());
    assert_eq!(told, [EventType::SessionStarted, EventType::UserJoined]);
    let changes = second.beginning(2);
    let told = types(&second.write(&engine, changes, 2).await.unwrap());
    assert_eq!(told, [EventType::SessionStarted]);
    assert_eq!(users().await, 1);
    let changes = first.end(3);
    assert_eq!(types(&first.write(&engine, changes, 3).await.unwrap()), [EventType::SessionEnded]);
    assert_eq!(users().await, 1);
    let changes = second.end(4);
    let told = types(&second.write(&engine, changes, 4).await.unwrap());
    assert_eq!(told, [EventType::SessionEnded, EventType::UserLeft]);
    assert_eq!(users().await, 0);
    // And the next time anew.
    let mut third = Owned::new(B, Some("anna"), &mut random);
    let changes = third.beginning(5);
    let told = types(&third.write(&engine, changes, 5).await.unwrap());
    assert_eq!(told, [EventType::SessionStarted, EventType::UserJoined]);
}

/// A connection that ends before its start is written down: both are in one turn.
#[tokio::test]
async fn a_session_that_begins_and_ends_in_one_write_tells_of_both() {
    let (server, mut random) = (Server::start(), chance());
    let engine = server.loaded().await;
    let mut anna = Owned::new(A, Some("anna"), &mut random);
    let mut changes = anna.beginning(1);
    changes.extend(anna.end(1));
    let said = anna.write(&engine, changes, 1).await.unwrap();
    let told: Vec<_> = said.told.iter().map(|told| (&told.event.r#type, told.whose)).collect();
    let all = [
        (&EventType::SessionStarted, Whose::New),
        (&EventType::UserJoined, Whose::New),
        (&EventType::SessionEnded, Whose::Mine),
        (&EventType::UserLeft, Whose::Mine),
    ];
    assert_eq!(told, all);
    assert_eq!(engine.look(anna.id, NOW).await.unwrap(), None);
}

#[tokio::test]
async fn a_user_without_a_token_is_waited_for() {
    let (server, mut random) = (Server::start(), chance());
    let engine = server.loaded().await;
    let slot = Slot::of_user("anna");
    let plain = async |salt: u64, linger, random: &mut _| {
        let mut anna = Owned::new(A, Some("anna"), random);
        anna.row.plain = true;
        let changes = anna.beginning(salt);
        let began = types(&anna.write(&engine, changes, salt).await.unwrap());
        let salt = salt + 1;
        let ended = anna.event(EventType::SessionEnded, Data::Resumed, salt);
        let changes = vec![ended, anna.leave(linger, salt), anna.delete()];
        (began, types(&anna.write(&engine, changes, salt).await.unwrap()))
    };
    let (began, ended) = plain(1, LONG, &mut random).await;
    assert_eq!(began, [EventType::SessionStarted, EventType::UserJoined]);
    assert_eq!(ended, [EventType::SessionEnded]);
    // Nobody is there, and nobody is told as gone.
    let counts = engine.count(&[slot]).await.unwrap();
    assert_eq!((counts.attached, counts.away, counts.users), (0, 0, 0));
    // The next one is back before that: the backend hears nothing of the user.
    let (began, ended) = plain(3, Duration::from_millis(30), &mut random).await;
    assert_eq!((began, ended), (vec![EventType::SessionStarted], vec![EventType::SessionEnded]));
    // In time nobody is: the deadline tells it, once.
    let due = async || {
        let due = engine.due(B, slot, 8, LONG).await.unwrap();
        assert_eq!(due.sessions, []);
        (!due.told.is_empty()).then_some(due.told)
    };
    let told = until("the end of the user", due).await;
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].0, user_stream("anna"));
    assert_eq!(engine.due(B, slot, 8, LONG).await.unwrap().told, []);
    let (began, ended) = plain(5, SOON, &mut random).await;
    assert_eq!(began, [EventType::SessionStarted, EventType::UserJoined]);
    assert_eq!(ended, [EventType::SessionEnded, EventType::UserLeft]);
}

#[tokio::test]
async fn a_session_with_a_token_does_not_cut_the_wait_for_a_plain_one_short() {
    let (server, mut random) = (Server::start(), chance());
    let engine = server.loaded().await;
    let mut plain = Owned::new(A, Some("anna"), &mut random);
    plain.row.plain = true;
    let changes = plain.beginning(1);
    plain.write(&engine, changes, 1).await.unwrap();
    let mut page = Owned::begun(&engine, B, Some("anna"), &mut random).await;
    let changes = vec![plain.leave(LONG, 2), plain.delete()];
    assert_eq!(types(&plain.write(&engine, changes, 2).await.unwrap()), []);
    // The last session goes without a wait of its own; the other client may be back.
    let changes = page.end(3);
    assert_eq!(types(&page.write(&engine, changes, 3).await.unwrap()), [EventType::SessionEnded]);
    let mut back = Owned::new(B, Some("anna"), &mut random);
    let changes = back.beginning(4);
    assert_eq!(types(&back.write(&engine, changes, 4).await.unwrap()), [EventType::SessionStarted]);
}

#[tokio::test]
async fn a_user_has_so_many_sessions_and_no_more() {
    let (server, mut random) = (Server::start(), chance());
    let engine = server.loaded().await;
    let mut all = Vec::new();
    for salt in 1..=2 {
        let mut one = Owned::new(A, Some("anna"), &mut random);
        let changes = vec![one.join(2, salt), one.put()];
        one.write(&engine, changes, salt).await.unwrap();
        all.push(one);
    }
    let mut third = Owned::new(B, Some("anna"), &mut random);
    let changes = vec![third.join(2, 3), third.put()];
    let said = server.unchanged(third.write(&engine, changes.clone(), 3)).await;
    assert_eq!(said.unwrap_err(), Refused::Full);
    // A plain client that is awaited is none.
    let changes_of_first = vec![all[0].leave(LONG, 4), all[0].delete()];
    all[0].write(&engine, changes_of_first, 4).await.unwrap();
    third.write(&engine, changes, 3).await.unwrap();
}

#[tokio::test]
async fn a_page_that_has_not_heard_of_its_session_finds_it() {
    let (server, mut random) = (Server::start(), chance());
    let engine = server.loaded().await;
    let nonce = Digest::from_bytes([b'\n'; 16]);
    let user = |n: u8| if n == 0 { None } else { Some("anna") };
    for n in 0..=1 {
        let guest = |random: &mut Random| {
            let mut guest = Owned::new(A, user(n), random);
            // Where nobody says whose page it is, its nonce says the slot.
            guest.id = crate::common::session_in(Slot::new(5 + u16::from(n)), random);
            guest.row = new_row(user(n));
            guest.row.origin = Some("https://example.org".into());
            guest.row.first = Some(nonce);
            // Many pages have another token at each load: the user says who it is.
            guest.row.credentials = match n {
                0 => Digest::from_bytes([9; 16]),
                _ => Digest::from_bytes(random.next().to_le_bytes().repeat(2).try_into().unwrap()),
            };
            guest
        };
        let mut first = guest(&mut random);
        let changes = first.beginning(1);
        first.write(&engine, changes, 1).await.unwrap();
        let began = async |mut again: Owned| {
            let changes = again.beginning(2);
            server.unchanged(again.write(&engine, changes, 2)).await.unwrap_err()
        };
        assert_eq!(began(guest(&mut random)).await, Refused::Began(first.id));
        // Another site, other credentials: another page.
        let mut other = guest(&mut random);
        other.row.origin = None;
        let changes = other.beginning(3);
        other.write(&engine, changes, 3).await.unwrap();
        assert_eq!(
            began(Owned { row: other.row.clone(), ..guest(&mut random) }).await,
            Refused::Began(other.id),
            "the newest one has the nonce"
        );
        let changes = other.end(4);
        other.write(&engine, changes, 4).await.unwrap();
    }
}

#[tokio::test]
async fn a_page_that_has_heard_of_its_session_does_not_find_it_by_the_nonce() {
    let (server, mut random) = (Server::start(), chance());
    let engine = server.loaded().await;
    let guest = |random: &mut _| {
        let mut guest = Owned::new(A, None, random);
        guest.id = crate::common::session_in(Slot::new(5), random);
        guest.row.first = Some(Digest::from_bytes([3; 16]));
        guest
    };
    let mut first = guest(&mut random);
    let changes = first.beginning(1);
    first.write(&engine, changes, 1).await.unwrap();
    first.row.first = None;
    let changes = vec![first.put()];
    first.write(&engine, changes, 2).await.unwrap();
    let mut second = guest(&mut random);
    let changes = second.beginning(3);
    second.write(&engine, changes, 3).await.unwrap();
    // One whose client has acknowledged something has heard of it, too.
    let message = outgoing("hello", &mut random);
    engine.post(A, LIMITS, &[(second.id, &message)]).await[0].clone().unwrap();
    let changes = vec![second.trim(1, message.tag), second.count()];
    second.write(&engine, changes, 4).await.unwrap();
    let mut third = guest(&mut random);
    let changes = third.beginning(5);
    third.write(&engine, changes, 5).await.unwrap();
    // And of a session that is over nothing is left to find.
    let changes = third.end(6);
    third.write(&engine, changes, 6).await.unwrap();
    let mut fourth = guest(&mut random);
    let changes = fourth.beginning(7);
    fourth.write(&engine, changes, 7).await.unwrap();
}

/// The same page has come again with other credentials, and has two sessions by that.
#[tokio::test]
async fn the_end_of_one_session_of_a_page_does_not_hide_the_other() {
    let (server, mut random) = (Server::start(), chance());
    let engine = server.loaded().await;
    let guest = |credentials, random: &mut _| {
        let mut guest = Owned::new(A, None, random);
        guest.id = crate::common::session_in(Slot::new(5), random);
        guest.row.first = Some(Digest::from_bytes([3; 16]));
        guest.row.credentials = Digest::from_bytes([credentials; 16]);
        guest
    };
    for ends in [false, true] {
        let mut first = guest(1, &mut random);
        let changes = first.beginning(1);
        first.write(&engine, changes, 1).await.unwrap();
        let mut second = guest(2, &mut random);
        let changes = second.beginning(2);
        second.write(&engine, changes, 2).await.unwrap();
        first.row.first = None;
        let changes = if ends { first.end(3) } else { vec![first.put()] };
        first.write(&engine, changes, 3).await.unwrap();
        let mut again = guest(2, &mut random);
        let changes = again.beginning(4);
        let said = server.unchanged(again.write(&engine, changes, 4)).await;
        assert_eq!(said.unwrap_err(), Refused::Began(second.id), "{ends}");
        let changes = second.end(5);
        second.write(&engine, changes, 5).await.unwrap();
    }
}

#[tokio::test]
async fn a_session_that_is_away_has_a_deadline_and_says_why() {
    let (server, mut random) = (Server::start(), chance());
    let engine = server.loaded().await;
    let mut anna = Owned::begun(&engine, A, None, &mut random).await;
    anna.goes(&engine, Duration::from_secs(100), &mut random).await;
    let looked = engine.look(anna.id, NOW).await.unwrap().unwrap();
    assert_eq!((looked.owner, looked.view.attached), (Owner::Away, false));
    assert_eq!(looked.view.departure, Some(Departure::Hidden));
    let left = looked.view.until.unwrap().since(NOW);
    assert!(left <= Duration::from_secs(100) && left > Duration::from_secs(70), "{left:?}");
    assert_eq!(engine.due(B, anna.id.slot(), 8, LONG).await.unwrap().sessions, []);
}

#[tokio::test]
async fn a_session_that_is_over_leaves_its_events_and_nothing_else() {
    let (server, mut random) = (Server::start(), chance());
    let engine = server.loaded().await;
    let mut anna = Owned::new(A, Some("anna"), &mut random);
    anna.row.meta = json!({ "room": 7 }).as_object().cloned().map(Into::into);
    anna.row.first = Some(Digest::from_bytes([1; 16]));
    let changes = anna.beginning(1);
    let mut told = anna.write(&engine, changes, 1).await.unwrap().told;
    engine.post(A, LIMITS, &[(anna.id, &outgoing("m", &mut random))]).await[0].clone().unwrap();
    anna.goes(&engine, LONG, &mut random).await;
    let changes = anna.end(2);
    told.extend(anna.write(&engine, changes, 2).await.unwrap().told);
    let places: Vec<Place> = told.iter().map(|told| told.place).collect();
    assert_eq!(places.len(), 4);
    let slot = format!("adieu{{{:03x}}}", anna.id.slot().number());
    let keys: Vec<String> = server
        .dump()
        .into_keys()
        .map(|key| String::from_utf8(key).unwrap())
        .map(|key| key.strip_prefix(&*slot).unwrap().to_owned())
        .collect();
    let mut left = [
        "c".to_owned(),
        "n".to_owned(),
        format!("q:{}", anna.id),
        "q:u:anna".to_owned(),
        "r".to_owned(),
        format!("z:{}", anna.id),
    ];
    left.sort();
    assert_eq!(keys, left);
    // What is remembered of it is so for a minute.
    let lives: i64 = server.run(&["PTTL", &format!("{slot}z:{}", anna.id)]);
    assert!((30_000..=60_000).contains(&lives), "{lives}");
}

#[tokio::test]
async fn an_event_of_a_queue_that_another_node_delivers_is_told_by_that_one() {
    let (server, mut random) = (Server::start(), chance());
    let engine = server.loaded().await;
    let anna = Owned::begun(&engine, A, None, &mut random).await;
    let Claimed::Owner(snapshot, _) = claim(&engine, B, anna.id, &anna.resumption()).await.unwrap()
    else {
        panic!("a client that is here is resumed");
    };
    let mut anna = Owned::given(B, *snapshot, Purpose::Attach(0, None));
    let changes = vec![anna.says("hello", 2), anna.count()];
    let said = anna.write(&engine, changes, 2).await.unwrap();
    assert_eq!(said.told.len(), 1);
    assert_eq!(said.told[0].whose, Whose::Other);
}

#[tokio::test]
async fn nobody_is_told_where_no_event_is() {
    let (server, mut random) = (Server::start(), chance());
    let engine = server.loaded().await;
    let mut anna = Owned::new(A, Some("anna"), &mut random);
    let (id, user) = (anna.id, anna.row.user.clone().unwrap());
    let join = Change::Join { id, user: user.clone(), event: None, most: 8 };
    let changes = vec![join, anna.put()];
    assert_eq!(anna.write(&engine, changes, 1).await.unwrap().told, []);
    let leave = Change::Leave { id, user, event: None, linger: Duration::from_millis(1) };
    let changes = vec![leave, anna.delete()];
    assert_eq!(anna.write(&engine, changes, 2).await.unwrap().told, []);
    let slot = Slot::of_user("anna");
    let gone = async || {
        let due = engine.due(B, slot, 8, LONG).await.unwrap();
        assert_eq!(due.told, []);
        let users: i64 = server.run(&["GET", &format!("adieu{{{:03x}}}n", slot.number())]);
        (users == 0).then_some(())
    };
    until("the end of the user", gone).await;
    assert_eq!(engine.count(&[slot]).await.unwrap().queues, 0);
}
