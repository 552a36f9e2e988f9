//! A Cluster promotes the replica of a primary that dies.
#![cfg(target_os = "linux")]

use rig::{ClusterOptions, wait_for};

#[test]
fn the_replica_of_a_dead_primary_takes_its_slots() {
    if !rig::has("a Redis Cluster", &["redis-server"]) {
        return;
    }
    let mut cluster = ClusterOptions::new().start();
    assert_eq!(cluster.nodes().len(), 6);
    // A key for each primary.
    let keys: Vec<String> = (0..3)
        .map(|owner| {
            let mut names = (0..).map(|number| format!("key-{number}"));
            names.find(|name| cluster.owner(name) == Some(owner)).expect("a key")
        })
        .collect();
    for key in &keys {
        assert!(cluster.command(key, &["SET", key, "1"]).is_ok());
    }
    // The wrong node says where the key is.
    let moved = cluster.nodes()[1].command(&["GET", &keys[0]]);
    let at = cluster.nodes()[0].addr().to_string();
    assert!(moved.error().is_some_and(|e| e.starts_with("MOVED") && e.ends_with(&at)), "{moved}");
    // Its replica has the write.
    rig::wait_until("the replica has it", || {
        let info = |number: usize, name: &str| {
            cluster.nodes()[number].info("replication").get(name).cloned().unwrap_or_default()
        };
        info(0, "master_repl_offset") == info(3, "slave_repl_offset")
    });

    cluster.node(0).kill_9();
    let new = wait_for("another owner", || cluster.owner(&keys[0]).filter(|owner| *owner != 0));
    assert_eq!(new, 3, "the replica of the first primary");
    for key in &keys {
        assert_eq!(cluster.command(key, &["GET", key]).text(), "1");
    }
    cluster.node(0).restart();
    cluster.wait_well();
    assert_eq!(cluster.nodes()[0].info("replication")["role"], "slave");
    assert_eq!(cluster.owner(&keys[0]), Some(3));
}
