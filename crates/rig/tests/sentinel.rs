//! Sentinels replace a primary that dies.
#![cfg(target_os = "linux")]

use rig::{Redis, RedisOptions, Reply, Sentinels, wait_for, wait_until};

#[test]
fn a_dead_primary_is_replaced_by_its_replica_and_comes_back_as_one() {
    if !rig::has("Sentinel", &["redis-server"]) {
        return;
    }
    let mut all = Sentinels::start(&RedisOptions::new().password("secret"), 1);
    assert_eq!(all.addrs().len(), 3);
    // Usually the first; on a very busy machine there may have been a failover already.
    let old = wait_for("a primary", || all.primary());
    let other = 1 - old;
    let set = |server: &Redis, key| assert!(server.command(&["SET", key, "1"]).is_ok());
    let has = |server: &Redis, key| {
        server.try_command(&["GET", key]).is_ok_and(|reply| reply == Reply::Bulk(b"1".to_vec()))
    };
    set(&all.servers()[old], "a");
    wait_until("the replica has it", || has(&all.servers()[other], "a"));
    // One sentinel less: two of three are the quorum.
    all.sentinels()[2].kill_9();
    all.servers()[old].kill_9();
    let new = wait_for("another primary", || all.primary().filter(|number| *number != old));
    assert!(has(&all.servers()[new], "a"));
    set(&all.servers()[new], "b");
    all.servers()[old].restart();
    wait_until("the old primary is a replica with all data", || {
        let old = &all.servers()[old];
        let info = old.try_info("replication").unwrap_or_default();
        info.get("role").is_some_and(|role| role == "slave") && has(old, "b")
    });
    all.sentinels()[2].restart();
    wait_until("the sentinel that was away knows", || {
        let ask = ["SENTINEL", "GET-MASTER-ADDR-BY-NAME", all.name()];
        let port = all.sentinels()[2].command(&ask).items()[1].text();
        port == all.servers()[new].addr().port().to_string()
    });
}
