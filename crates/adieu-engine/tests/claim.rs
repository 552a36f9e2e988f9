//! Who becomes the owner of a session whose client is here.

use std::time::Duration;

use adieu_engine::{Claim, Claimed, Finished, Hint, Node, Owner, Posted};
use adieu_session::command::{AskResume, Purpose, Resumption, Verdict};
use adieu_session::fence::{Fence, Refused};
use adieu_session::wire::NotResumed;
use adieu_session::{Departure, Digest};

use crate::common::{A, B, LIMITS, LONG, NOW, Owned, SOON, Server, chance, claim, outgoing, until};

fn owner(claimed: Claimed) -> (Owned, Option<Departure>) {
    match claimed {
        Claimed::Owner(snapshot, after) => {
            (Owned::given(B, *snapshot, Purpose::Attach(0, after)), after)
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_client_that_is_back_has_its_session_at_another_node() {
    let (server, mut random) = (Server::start(), chance());
    let engine = server.loaded().await;
    let mut anna = Owned::begun(&engine, A, Some("anna"), &mut random).await;
    let sent: Vec<_> = (0..3).map(|n| outgoing(&format!("m{n}"), &mut random)).collect();
    for message in &sent {
        engine.post(A, LIMITS, &[(anna.id, message)]).await[0].clone().unwrap();
    }
    let changes = vec![anna.says("hello", 2), anna.count()];
    anna.write(&engine, changes, 2).await.unwrap();
    anna.goes(&engine, LONG, &mut random).await;
    let mut resumption = anna.resumption();
    (resumption.received, resumption.tag) = (1, Some(sent[0].tag));
    resumption.credentials = Digest::from_bytes([5; 16]);
    let (taken, after) = owner(claim(&engine, B, anna.id, &resumption).await.unwrap());
    assert_eq!(after, Some(Departure::Hidden));
    assert_eq!(taken.fence.epoch, anna.fence.epoch + 1);
    assert_eq!(taken.row.session.generation(), 2);
    assert_eq!(taken.row.session.confirmed(), 1);
    assert_eq!(taken.row.connections, 2);
    assert_eq!(taken.row.credentials, resumption.credentials);
    assert_eq!((taken.counters.received, taken.counters.sent, taken.counters.events), (1, 3, 2));
    assert_eq!(taken.counters.settled, sent[0].tag);
    let tails: Vec<_> = taken.messages.iter().map(|kept| (kept.tag, kept.tail.clone())).collect();
    let expected: Vec<_> = sent[1..].iter().map(|m| (m.tag, m.tail.clone())).collect();
    assert_eq!(tails, expected);
    let looked = engine.look(anna.id, NOW).await.unwrap().unwrap();
    assert_eq!((looked.owner, looked.view.departure), (Owner::Node(B), None));
    // The owner before hears that it is none.
    let changes = vec![anna.put()];
    let said = server.unchanged(anna.write(&engine, changes, 7)).await;
    assert_eq!(said.unwrap_err(), Refused::Fenced);
}

#[tokio::test]
async fn a_client_that_is_not_resumed_changes_nothing() {
    let (server, mut random) = (Server::start(), chance());
    let engine = server.loaded().await;
    let mut anna = Owned::new(A, None, &mut random);
    anna.row.origin = Some("https://example.org".into());
    let changes = anna.beginning(1);
    anna.write(&engine, changes, 1).await.unwrap();
    let sent: Vec<_> = (0..2).map(|n| outgoing(&format!("m{n}"), &mut random)).collect();
    for message in &sent {
        engine.post(A, LIMITS, &[(anna.id, message)]).await[0].clone().unwrap();
    }
    let changes = vec![anna.trim(1, sent[0].tag), anna.count()];
    anna.write(&engine, changes, 2).await.unwrap();
    let right = Resumption { origin: anna.row.origin.clone(), received: 1, ..anna.resumption() };
    let not = async |session, resumption: &Resumption| match server
        .unchanged(claim(&engine, B, session, resumption))
        .await
        .unwrap()
    {
        Claimed::NotResumed(why) => why,
        other => panic!("{other:?}"),
    };
    let nobody = Owned::new(A, None, &mut random);
    assert_eq!(not(nobody.id, &right).await, NotResumed::Expired);
    let elsewhere = Resumption { origin: Some("https://other.org".into()), ..right.clone() };
    assert_eq!(not(anna.id, &elsewhere).await, NotResumed::Origin);
    assert_eq!(
        not(anna.id, &Resumption { origin: None, ..right.clone() }).await,
        NotResumed::Origin
    );
    // Message 2 follows one that is not kept any more.
    let lost = Resumption { received: 0, ..right.clone() };
    assert_eq!(not(anna.id, &lost).await, NotResumed::Lost);
    // Two resumes later the first token is stale, and the one between them is not.
    let taken = async |resumption: &Resumption| {
        owner(claim(&engine, B, anna.id, resumption).await.unwrap()).0.row.session
    };
    assert_eq!(taken(&right).await.generation(), 2);
    let second = Resumption { generation: 2, ..right.clone() };
    assert_eq!(taken(&second).await.generation(), 3);
    assert_eq!(not(anna.id, &right).await, NotResumed::Stale);
    assert_eq!(taken(&second).await.generation(), 4, "the answer was lost: it comes once more");
    // A page that has no token yet, and comes by its nonce.
    let by_nonce = Resumption { generation: u32::MAX, ..right };
    assert_eq!(taken(&by_nonce).await.generation(), 5);
    assert_eq!(not(anna.id, &second).await, NotResumed::Stale);
}

#[tokio::test]
async fn a_client_that_has_what_the_engine_has_lost_ends_its_session() {
    let (server, mut random) = (Server::start(), chance());
    let engine = server.loaded().await;
    let message = outgoing("hello", &mut random);
    let other = outgoing("another", &mut random);
    let offers: [fn(&mut Resumption); 4] = [
        |shown| shown.generation = 2,
        |shown| shown.acknowledged = 1,
        |shown| shown.received = 2,
        |shown| shown.tag = None,
    ];
    for (at, offer) in offers.into_iter().enumerate() {
        let mut anna = Owned::begun(&engine, A, None, &mut random).await;
        engine.post(A, LIMITS, &[(anna.id, &message)]).await[0].clone().unwrap();
        let mut shown = Resumption { received: 1, tag: Some(message.tag), ..anna.resumption() };
        offer(&mut shown);
        if at == 3 {
            // Another message of this number.
            shown.tag = Some(other.tag);
        }
        let Claimed::Lost(snapshot) = claim(&engine, B, anna.id, &shown).await.unwrap() else {
            panic!("offer {at} is taken");
        };
        let mut lost = Owned::given(B, *snapshot, Purpose::Expire);
        assert_eq!(lost.fence.epoch, 2);
        // Hidden from others for a moment, and due after that.
        let slot = anna.id.slot();
        assert_eq!(engine.due(A, slot, 8, LONG).await.unwrap().sessions, [], "offer {at}");
        let looked = engine.look(anna.id, NOW).await.unwrap().unwrap();
        assert_eq!(looked.owner, Owner::Away);
        assert!(looked.view.until.unwrap().since(NOW) <= Duration::from_secs(5));
        let said = anna.end(7);
        assert_eq!(anna.write(&engine, said, 7).await.unwrap_err(), Refused::Fenced);
        let said = lost.end(8);
        lost.write(&engine, said, 8).await.unwrap();
        assert_eq!(engine.look(anna.id, NOW).await.unwrap(), None);
    }
}

#[tokio::test]
async fn the_tag_of_the_last_message_that_is_not_kept_is_known() {
    let (server, mut random) = (Server::start(), chance());
    let engine = server.loaded().await;
    let mut anna = Owned::begun(&engine, A, None, &mut random).await;
    let message = outgoing("hello", &mut random);
    engine.post(A, LIMITS, &[(anna.id, &message)]).await[0].clone().unwrap();
    let changes = vec![anna.trim(1, message.tag), anna.count()];
    anna.write(&engine, changes, 2).await.unwrap();
    let mut shown = Resumption { received: 1, tag: Some(message.tag), ..anna.resumption() };
    assert!(matches!(claim(&engine, B, anna.id, &shown).await, Ok(Claimed::Owner(..))));
    shown.tag = Some(outgoing("another", &mut random).tag);
    shown.generation = 2;
    assert!(matches!(claim(&engine, B, anna.id, &shown).await, Ok(Claimed::Lost(_))));
}

#[tokio::test]
async fn the_backend_is_asked_when_it_wants_to_be() {
    let (server, mut random) = (Server::start(), chance());
    let engine = server.loaded().await;
    for is_away in [false, true] {
        let mut anna = Owned::begun(&engine, A, Some("anna"), &mut random).await;
        if is_away {
            anna.goes(&engine, SOON, &mut random).await;
        }
        let (session, mut shown) = (anna.id, anna.resumption());
        shown.patience = LONG;
        let ask = async |ask, shown: &Resumption| {
            let claim = Claim { session, resumption: shown, ask };
            engine.claim(B, claim).await.unwrap()
        };
        let user = Some("anna".to_owned());
        assert_eq!(ask(AskResume::Always, &shown).await, Claimed::Ask(user.clone()));
        // It is waited for meanwhile, whether it was owned or due.
        assert_eq!(engine.due(B, session.slot(), 8, LONG).await.unwrap().sessions, []);
        let changes = anna.end(9);
        let before = Owned { fence: anna.fence, ..anna.clone() };
        assert_eq!(before.fence.epoch, 1, "asking claims nothing");
        // The owner may end it meanwhile: nothing was claimed.
        drop(changes);
        shown.credentials = Digest::from_bytes([1; 16]);
        assert_eq!(ask(AskResume::Changed, &shown).await, Claimed::Ask(user));
        shown.verdict = Some(Verdict { user: None });
        assert!(matches!(ask(AskResume::Always, &shown).await, Claimed::Owner(..)));
        let again = Resumption { generation: 2, verdict: None, ..shown };
        assert!(matches!(ask(AskResume::Changed, &again).await, Claimed::Owner(..)), "as before");
    }
}

#[tokio::test]
async fn a_session_that_is_asked_about_outlasts_the_end_of_its_connection() {
    let (server, mut random) = (Server::start(), chance());
    let engine = server.loaded().await;
    let mut anna = Owned::begun(&engine, A, None, &mut random).await;
    let resumption = Resumption { patience: LONG, ..anna.resumption() };
    let ask = Claim { session: anna.id, resumption: &resumption, ask: AskResume::Always };
    assert_eq!(engine.claim(B, ask).await.unwrap(), Claimed::Ask(None));
    anna.goes(&engine, SOON, &mut random).await;
    assert_eq!(engine.due(B, anna.id.slot(), 8, LONG).await.unwrap().sessions, []);
    // Once: of the next connection nobody was asked.
    let (mut back, _) = owner(claim(&engine, B, anna.id, &anna.resumption()).await.unwrap());
    back.goes(&engine, SOON, &mut random).await;
    let due = async || engine.due(B, anna.id.slot(), 8, LONG).await.unwrap().sessions.pop();
    assert_eq!(until("the deadline", due).await.id, anna.id);
}

#[tokio::test]
async fn the_owner_before_hears_of_a_claim() {
    let (server, mut random) = (Server::start(), chance());
    let engine = server.loaded().await;
    let mut hints = engine.hints(A).await.unwrap();
    let anna = Owned::begun(&engine, A, None, &mut random).await;
    let (taken, _) = owner(claim(&engine, B, anna.id, &anna.resumption()).await.unwrap());
    assert_eq!(hints.next().await, Some(Hint::Claimed(anna.id, 1)));
    // Of its own claim a node hears nothing; of the message that follows it does.
    let again = taken.resumption();
    owner(claim(&engine, B, anna.id, &again).await.unwrap());
    let mut hints = engine.hints(B).await.unwrap();
    let again = Resumption { generation: 3, ..again };
    owner(claim(&engine, B, anna.id, &again).await.unwrap());
    let message = outgoing("hello", &mut random);
    let posted = engine.post(A, LIMITS, &[(anna.id, &message)]).await;
    assert_eq!(posted, [Ok(Posted::Waits(1, Some(B)))]);
    match hints.next().await {
        Some(Hint::Message(id, 1, kept)) => {
            assert_eq!((id, kept.tag, &kept.tail), (anna.id, message.tag, &message.tail));
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_session_that_the_backend_has_ended_is_ended_by_who_claims_it() {
    let (server, mut random) = (Server::start(), chance());
    let engine = server.loaded().await;
    let anna = Owned::begun(&engine, A, None, &mut random).await;
    assert_eq!(engine.finish(B, anna.id, "{\"code\":4000}").await.unwrap(), Finished::Asked);
    let Claimed::Ending(snapshot) = claim(&engine, B, anna.id, &anna.resumption()).await.unwrap()
    else {
        panic!("a session that is ended is resumed");
    };
    assert_eq!(snapshot.ends.as_deref(), Some(&b"{\"code\":4000}"[..]));
    let mut ending = Owned::given(B, *snapshot, Purpose::Expire);
    assert_eq!(engine.due(A, anna.id.slot(), 8, LONG).await.unwrap().sessions, []);
    let changes = ending.end(4);
    ending.write(&engine, changes, 4).await.unwrap();
}

#[tokio::test]
async fn of_nodes_that_claim_at_once_each_has_an_epoch_of_its_own() {
    let (server, mut random) = (Server::start(), chance());
    let engine = server.loaded().await;
    let anna = Owned::begun(&engine, A, None, &mut random).await;
    let (first, resumption) = (anna.fence.epoch, anna.resumption());
    let engines: Vec<_> = (0..4).map(|_| server.engine()).collect();
    for round in 0..20u32 {
        let claims = engines
            .iter()
            .enumerate()
            .map(|(at, engine)| claim(engine, Node(100 + at as u64), anna.id, &resumption));
        let all = futures_util::future::join_all(claims).await;
        let mut fences: Vec<Fence> =
            all.into_iter().map(|claimed| owner(claimed.unwrap()).0.fence).collect();
        fences.sort();
        let epochs: Vec<_> = fences.iter().map(|fence| fence.epoch).collect();
        let from = first + 4 * round;
        assert_eq!(epochs, [from + 1, from + 2, from + 3, from + 4]);
    }
}
