//! Sentinels replace a primary that dies.
#![cfg(target_os = "linux")]

use rig::{RedisOptions, Sentinels, wait_for, wait_until};

#[test]
fn a_dead_primary_is_replaced_by_its_replica_and_comes_back_as_one() {
    if !rig::has("Sentinel", &["redis-server"]) {
        return;
    }
    let mut all = Sentinels::start(&RedisOptions::new().password("secret"), 1);
    assert_eq!(all.primary(), Some(0));
    assert_eq!(all.addrs().len(), 3);
    assert!(all.servers()[0].command(&["SET", "a", "1"]).is_ok());
    wait_until("the replica has it", || {
        all.servers()[1].command(&["GET", "a"]) == rig::Reply::Bulk(b"1".to_vec())
    });
    // One sentinel less: two of three are the quorum.
    all.sentinels()[2].kill_9();
    all.servers()[0].kill_9();
    let new = wait_for("another primary", || all.primary().filter(|number| *number != 0));
    assert_eq!(new, 1);
    assert_eq!(all.servers()[1].command(&["GET", "a"]).text(), "1");
    assert!(all.servers()[1].command(&["SET", "b", "2"]).is_ok());
    all.servers()[0].restart();
    wait_until("the old primary is a replica with all data", || {
        let old = &all.servers()[0];
        let info = old.try_info("replication").unwrap_or_default();
        info.get("role").is_some_and(|role| role == "slave")
            && old
                .try_command(&["GET", "b"])
                .is_ok_and(|reply| reply == rig::Reply::Bulk(b"2".to_vec()))
    });
    assert_eq!(all.primary(), Some(1));
}
