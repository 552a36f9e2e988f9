//! An older copy takes the engine's place: what clients know and the engine has lost.

use adieu_engine::{Claimed, Engine, Posted};
use adieu_session::fence::Refused;

use crate::common::{A, B, LIMITS, Owned, Random, Server, claim, outgoing};

/// A message that a client has was lost, and another has its number now. What must not be.
pub(super) async fn another_message(
    server: &Server,
    text: &str,
    random: &mut Random,
) -> Vec<String> {
    let engine = server.engine();
    engine.load_functions_from(text).await.expect("functions that can be loaded");
    let mut anna = Owned::begun(&engine, A, None, random).await;
    let copy = server.dump();
    let (seen, unseen) = (outgoing("seen", random), outgoing("never seen", random));
    let posted = engine.post(A, LIMITS, &[(anna.id, &seen)]).await;
    assert_eq!(posted, [Ok(Posted::Waits(1, Some(A)))]);
    server.restore(&copy);
    let posted = engine.post(B, LIMITS, &[(anna.id, &unseen)]).await;
    assert_eq!(posted, [Ok(Posted::Waits(1, Some(A)))]);
    // The client acknowledges what it has got, and the backend was told that both are taken.
    let changes = vec![anna.trim(1, seen.tag), anna.count()];
    let said = anna.write(&engine, changes, 2).await;
    let (_, kept) = engine.mail(anna.id, 0).await.unwrap();
    let mut violations = Vec::new();
    if said != Err(Refused::RolledBack) {
        violations.push(format!("the owner is told {said:?}"));
    }
    if kept.iter().all(|kept| kept.tag != unseen.tag) {
        violations.push("a message that nobody has got is gone".to_owned());
    }
    violations
}

/// A message of a client was acknowledged to it, and lost. What must not be.
pub(super) async fn lost_word(server: &Server, text: &str, random: &mut Random) -> Vec<String> {
    let engine = server.engine();
    engine.load_functions_from(text).await.expect("functions that can be loaded");
    let mut anna = Owned::begun(&engine, A, None, random).await;
    let copy = server.dump();
    let changes = vec![anna.says("1", 2), anna.count()];
    anna.write(&engine, changes, 2).await.unwrap();
    server.restore(&copy);
    match claim(&engine, B, anna.id, &anna.resumption()).await.unwrap() {
        Claimed::Lost(_) => Vec::new(),
        other => vec![format!("a client that has lost a message is told {other:?}")],
    }
}

#[tokio::test]
async fn who_has_what_the_engine_has_lost_is_told_so() {
    let (text, mut random) = (Engine::text_of_functions(), Random::new(testkit::seed()));
    let server = Server::start();
    assert_eq!(another_message(&server, &text, &mut random).await, Vec::<String>::new());
    assert_eq!(lost_word(&server, &text, &mut random).await, Vec::<String>::new());
}
