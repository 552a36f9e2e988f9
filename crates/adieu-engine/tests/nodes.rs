//! Which nodes there are, and which are dead.

use std::time::Duration;

use adieu_engine::{ChannelPurpose as Purpose, Engine, Lease, Member, Node, Renewal};

use adieu_session::Slot;

use crate::common::{A, B, Server, until};

/// Short enough to be waited for, long enough for a busy machine between two calls.
const SHORT: Lease =
    Lease { length: Duration::from_millis(300), grace: Duration::from_millis(500) };

/// Of nodes that live for as long as the test does.
const LONG: Lease = Lease { length: Duration::from_secs(600), grace: Duration::from_secs(900) };

const C: Node = Node(7_000_000_000_000_003);

async fn renew(engine: &Engine, me: Node, lease: Lease) -> Member {
    match engine.renew(me, lease, "{}").await.unwrap() {
        Renewal::Alive(member) => *member,
        Renewal::Dead => panic!("{me} is dead"),
    }
}

/// Says that a lease ends then, by the engine's clock.
fn lease_ends(server: &Server, node: Node, at: u64) {
    let _: i64 = server.run(&["ZADD", "adieu{nodes}L", &at.to_string(), &node.to_string()]);
}

/// Says that a node has its lease without a gap since then.
fn steady_since(server: &Server, node: Node, at: u64) {
    let _: i64 = server.run(&["HSET", "adieu{nodes}S", &node.to_string(), &at.to_string()]);
}

#[tokio::test]
async fn a_node_lives_for_as_long_as_it_renews_its_lease() {
    let server = Server::start();
    let engine = server.loaded().await;
    let first = renew(&engine, A, LONG).await;
    assert_eq!((first.since, first.lapsed.len(), first.replicas), (first.now, 0, 0));
    assert_eq!(first.history.len(), 40);
    let second = renew(&engine, A, LONG).await;
    assert_eq!((second.since, &second.history), (first.since, &first.history));
    renew(&engine, B, LONG).await;
    let (nodes, dead) = engine.nodes(Duration::from_secs(60)).await.unwrap();
    let names: Vec<_> = nodes.iter().map(|(node, says, _)| (*node, says.as_str())).collect();
    assert_eq!(names, [(A, "{}"), (B, "{}")]);
    let left = nodes[0].2;
    assert!((1..=600_000).contains(&left), "{left}");
    assert_eq!(dead, []);
}

#[tokio::test]
async fn a_lease_that_is_over_is_seen_by_the_others_and_ends_a_life_when_one_says_so() {
    let server = Server::start();
    let engine = server.loaded().await;
    renew(&engine, A, SHORT).await;
    let lapsed = async || {
        let member = renew(&engine, B, SHORT).await;
        (member.lapsed == [A]).then_some(member)
    };
    until("the end of a lease", lapsed).await;
    // Whoever had its own lease for the length of one without a gap, may say that it is dead.
    let reaped = async || {
        renew(&engine, B, SHORT).await;
        engine.reap(B, A, SHORT).await.unwrap().then_some(())
    };
    until("the end of a life", reaped).await;
    assert!(engine.reap(C, A, SHORT).await.unwrap(), "it is dead, whoever asks");
    assert_eq!(engine.renew(A, SHORT, "{}").await.unwrap(), Renewal::Dead);
    let (nodes, dead) = engine.nodes(Duration::from_secs(60)).await.unwrap();
    assert_eq!((nodes.len(), dead), (1, vec![A]));
    let (_, dead) = until("the day after", async || {
        let all = engine.nodes(Duration::from_millis(1)).await.unwrap();
        all.1.is_empty().then_some(all)
    })
    .await;
    assert_eq!(dead, []);
    assert_eq!(renew(&engine, B, SHORT).await.lapsed, []);
}

#[tokio::test]
async fn nobody_is_given_up_by_who_may_not() {
    let server = Server::start();
    let engine = server.loaded().await;
    let now = renew(&engine, A, LONG).await.now;
    renew(&engine, B, LONG).await;
    let reap = async |me, other| engine.reap(me, other, LONG).await.unwrap();
    // A lives; B has just begun; C has no lease.
    steady_since(&server, B, now - 601_000);
    assert!(!server.unchanged(reap(B, A)).await, "its lease is not over");
    lease_ends(&server, A, now - 1);
    assert!(!server.unchanged(reap(C, A)).await, "C is none");
    steady_since(&server, B, now - 1_000);
    assert!(!server.unchanged(reap(B, A)).await, "B was away a moment ago");
    steady_since(&server, B, now - 601_000);
    lease_ends(&server, B, now - 1);
    assert!(!server.unchanged(reap(B, A)).await, "B's own lease is over");
    lease_ends(&server, B, now + 600_000);
    assert!(reap(B, A).await);
    assert!(reap(B, C).await, "one that nobody has seen");
}

#[tokio::test]
async fn a_gap_in_a_lease_is_known() {
    let server = Server::start();
    let engine = server.loaded().await;
    let first = renew(&engine, A, LONG).await;
    renew(&engine, B, LONG).await;
    lease_ends(&server, A, first.now - 1);
    let later = until("another millisecond", async || {
        let member = renew(&engine, A, LONG).await;
        lease_ends(&server, A, first.now - 1);
        (member.now > first.now).then_some(member)
    })
    .await;
    assert!(later.since > first.since);
    assert_eq!(later.pause, 0, "B was there all the time");
}

#[tokio::test]
async fn after_the_engine_was_away_no_session_is_ended_for_a_while() {
    let server = Server::start();
    let engine = server.loaded().await;
    let first = renew(&engine, A, LONG).await;
    assert_eq!(first.pause, 0);
    renew(&engine, B, LONG).await;
    lease_ends(&server, A, first.now - 2);
    lease_ends(&server, B, first.now - 1);
    let back = renew(&engine, B, LONG).await;
    assert_eq!(back.pause, back.now + 900_000);
    assert_eq!(back.lapsed, [A]);
    assert_eq!(renew(&engine, A, LONG).await.pause, back.pause, "it holds for all");
}

#[tokio::test]
async fn after_the_engine_was_replaced_no_session_is_ended_for_a_while() {
    let server = Server::start();
    let engine = server.loaded().await;
    let first = renew(&engine, A, LONG).await;
    let () = server.run(&["SET", "adieu{nodes}h", "another history"]);
    let after = renew(&engine, A, LONG).await;
    assert_eq!((&after.history, after.pause), (&first.history, after.now + 900_000));
    assert_eq!(renew(&engine, A, LONG).await.pause, after.pause, "once");
}

#[tokio::test]
async fn a_clock_that_is_set_back_makes_no_lease_longer() {
    let server = Server::start();
    let engine = server.loaded().await;
    let first = renew(&engine, A, LONG).await;
    renew(&engine, B, LONG).await;
    // An hour ago the clock said so: A's lease would be over in an hour and ten minutes.
    lease_ends(&server, A, first.now + 3_600_000 + 600_000);
    let back = renew(&engine, B, LONG).await;
    assert_eq!(back.pause, back.now + 900_000);
    let (nodes, _) = engine.nodes(Duration::from_secs(60)).await.unwrap();
    let of_a = nodes.iter().find(|(node, ..)| *node == A).map(|(_, _, left)| *left).unwrap();
    assert!((1..=600_000).contains(&of_a), "{of_a}");
    // Whose lease was made shorter, gives nobody up before it has lived for one.
    assert_eq!(renew(&engine, A, LONG).await.since, back.now);
}

#[tokio::test]
async fn an_engine_whose_clock_is_set_ends_nobody_for_a_while() {
    let server = Server::with_a_clock();
    let engine = server.loaded().await;
    renew(&engine, A, LONG).await;
    let first = renew(&engine, B, LONG).await;
    for (ahead, what) in [(-3_600_000, "back"), (0, "forth again")] {
        server.set_clock(ahead);
        let set = until("the clock", async || {
            let member = renew(&engine, A, LONG).await;
            let by = member.now as i64 - first.now as i64;
            ((by - ahead).abs() < 600_000).then_some(member)
        })
        .await;
        assert_eq!(set.pause, set.now + 900_000, "it is set {what}");
        let (nodes, dead) = engine.nodes(Duration::from_secs(60)).await.unwrap();
        assert!(nodes.iter().all(|(_, _, left)| *left <= 600_000), "{nodes:?}");
        assert_eq!(dead, []);
        assert!(!engine.reap(A, B, LONG).await.unwrap(), "it is set {what}");
        renew(&engine, B, LONG).await;
    }
}

#[tokio::test]
async fn a_node_that_leaves_is_dead_at_once() {
    let server = Server::start();
    let engine = server.loaded().await;
    renew(&engine, A, LONG).await;
    engine.leave(A).await.unwrap();
    engine.leave(A).await.unwrap();
    assert_eq!(engine.renew(A, LONG, "{}").await.unwrap(), Renewal::Dead);
    let (nodes, dead) = engine.nodes(Duration::from_secs(60)).await.unwrap();
    assert_eq!((nodes, dead), (vec![], vec![A]));
    // Nobody's lease is over by that: nobody waits.
    assert_eq!(renew(&engine, B, LONG).await.pause, 0);
}

#[tokio::test]
async fn a_value_that_all_share_is_the_first_ones() {
    let server = Server::start();
    let engine = server.loaded().await;
    let bytes: Vec<u8> = (0..=255).collect();
    assert_eq!(engine.shared_value("key", &bytes).await.unwrap(), bytes);
    assert_eq!(server.unchanged(engine.shared_value("key", b"mine")).await.unwrap(), bytes);
    assert_eq!(engine.shared_value("other", b"mine").await.unwrap(), b"mine");
}

#[tokio::test]
async fn a_replica_that_stands_still_is_waited_for_and_then_is_none() {
    let server = Server::start();
    let engine = server.loaded().await;
    let mut replica = server.replica();
    let slots = [Slot::new(1)];
    let waits = async |most| {
        engine.shared_value("key", b"a write").await.unwrap();
        engine.replicated(Purpose::Reads, &slots, 1, most).await
    };
    let replicas = async |count| {
        let member = renew(&engine, A, LONG).await;
        (member.replicas == count).then_some(())
    };
    until("a replica", async || replicas(1).await).await;
    assert!(waits(Duration::from_secs(2)).await);
    replica.stop();
    renew(&engine, B, LONG).await;
    assert!(!waits(Duration::from_millis(50)).await);
    until("a replica that is silent", async || replicas(0).await).await;
    replica.cont();
    until("the replica again", async || replicas(1).await).await;
    assert!(waits(Duration::from_secs(2)).await);
}

#[tokio::test]
async fn a_connection_that_is_lost_is_opened_again_whatever_was_asked_on_it() {
    let server = Server::start();
    let engine = server.loaded().await;
    for purpose in [Purpose::Commits, Purpose::Events, Purpose::Reads] {
        let waits = async || {
            let slots = [Slot::new(1)];
            engine.replicated(purpose, &slots, 0, Duration::from_secs(1)).await.then_some(())
        };
        waits().await.expect("it is open");
        let _: i64 = server.run(&["CLIENT", "KILL", "TYPE", "normal"]);
        until("another connection", waits).await;
    }
}

#[tokio::test]
async fn functions_that_were_flushed_are_loaded_again() {
    let server = Server::start();
    let engine = server.loaded().await;
    renew(&engine, A, LONG).await;
    let () = server.run(&["FUNCTION", "FLUSH"]);
    let error = engine.renew(A, LONG, "{}").await.unwrap_err();
    assert_eq!(error.id(), "engine-away", "{error}: it is asked again");
    renew(&engine, A, LONG).await;
}

#[tokio::test]
async fn an_engine_that_forgets_or_evicts_is_no_good_one() {
    let server = Server::start();
    let engine = server.loaded().await;
    assert_eq!(engine.flaws(true).await.unwrap(), Vec::<String>::new());
    let flaws = engine.flaws(false).await.unwrap();
    assert!(flaws.len() == 1 && flaws[0].contains("appendonly"), "{flaws:?}");
    let () = server.run(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]);
    assert_eq!(engine.flaws(true).await.unwrap(), Vec::<String>::new(), "it has no limit");
    let () = server.run(&["CONFIG", "SET", "maxmemory", "100mb"]);
    let flaws = engine.flaws(true).await.unwrap();
    assert!(flaws.len() == 1 && flaws[0].contains("allkeys-lru"), "{flaws:?}");
    // One whose memory is full takes nothing, and says so.
    let () = server.run(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
    let () = server.run(&["CONFIG", "SET", "maxmemory", "1"]);
    let error = server.unchanged(engine.renew(A, LONG, "{}")).await.unwrap_err();
    assert_eq!(error.id(), "engine-refused", "{error}");
}
