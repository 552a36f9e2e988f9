//! Looking at sessions changes nothing, and finds all of them.

use std::collections::BTreeSet;

use adieu_engine::{Counts, Owner};
use adieu_session::{SessionId, Slot};

use crate::common::{A, B, LIMITS, LONG, NOW, Owned, Server, chance, outgoing, session_in};

#[tokio::test]
async fn a_list_has_each_session_once_in_the_order_of_names() {
    let (server, mut random) = (Server::start(), chance());
    let engine = server.loaded().await;
    let slot = Slot::new(77);
    let mut all = BTreeSet::new();
    for number in 0..7 {
        let mut one = Owned::new(if number % 2 == 0 { A } else { B }, None, &mut random);
        one.id = session_in(slot, &mut random);
        let changes = one.beginning(1);
        one.write(&engine, changes, 1).await.unwrap();
        if number == 3 {
            one.goes(&engine, LONG, &mut random).await;
        }
        all.insert(one.id.to_string());
    }
    let (mut found, mut above): (Vec<String>, Option<SessionId>) = (Vec::new(), None);
    for expected in [3, 3, 1, 0] {
        let page = server.unchanged(engine.list(&[slot], above, 3, NOW)).await.unwrap();
        assert_eq!(page.len(), expected);
        above = page.last().map(|looked| looked.view.session_id).or(above);
        found.extend(page.iter().map(|looked| looked.view.session_id.to_string()));
    }
    assert_eq!(found, all.into_iter().collect::<Vec<_>>());
    assert_eq!(engine.list(&[Slot::new(78)], None, 3, NOW).await.unwrap(), []);
}

#[tokio::test]
async fn the_sessions_of_a_user_are_found_by_the_user() {
    let (server, mut random) = (Server::start(), chance());
    let engine = server.loaded().await;
    let one = Owned::begun(&engine, A, Some("anna"), &mut random).await;
    let mut two = Owned::begun(&engine, B, Some("anna"), &mut random).await;
    engine.post(A, LIMITS, &[(one.id, &outgoing("m", &mut random))]).await[0].clone().unwrap();
    two.goes(&engine, LONG, &mut random).await;
    let all = server.unchanged(engine.look_at_user("anna", NOW)).await.unwrap();
    let owner = |id| all.iter().find(|looked| looked.view.session_id == id).unwrap();
    assert_eq!(all.len(), 2);
    assert_eq!(owner(one.id).owner, Owner::Node(A));
    assert_eq!((owner(one.id).view.sent, owner(one.id).view.unacknowledged), (1, 1));
    assert_eq!(owner(two.id).owner, Owner::Away);
    assert_eq!(engine.look_at_user("nobody", NOW).await.unwrap(), []);
    // A plain client that is awaited is no session.
    let slot = Slot::of_user("anna");
    let counts = Counts { attached: 1, away: 1, users: 1, queues: 3 };
    assert_eq!(server.unchanged(engine.count(&[slot])).await.unwrap(), counts);
    let mut one = one;
    let changes = vec![one.leave(LONG, 5), one.delete()];
    one.write(&engine, changes, 5).await.unwrap();
    let changes = vec![two.leave(LONG, 6), two.delete()];
    two.write(&engine, changes, 6).await.unwrap();
    assert_eq!(engine.look_at_user("anna", NOW).await.unwrap(), []);
    let counts = Counts { attached: 0, away: 0, users: 0, queues: 3 };
    assert_eq!(engine.count(&[slot]).await.unwrap(), counts);
}

#[tokio::test]
async fn a_session_that_is_not_there_is_not_seen() {
    let (server, mut random) = (Server::start(), chance());
    let engine = server.loaded().await;
    let nobody = Owned::new(A, None, &mut random);
    assert_eq!(server.unchanged(engine.look(nobody.id, NOW)).await.unwrap(), None);
    let slots: Vec<_> = (0..1024).map(Slot::new).collect();
    assert_eq!(engine.count(&slots).await.unwrap(), Counts::default());
}
