//! A Redis Cluster.

use std::net::SocketAddr;

use crate::redis::{Redis, RedisOptions};
use crate::resp::Reply;
use crate::{wait_for, wait_until};

const SLOTS: usize = 16_384;

/// How many times a command is sent on to another node.
const MOVES: usize = 8;

/// How a Cluster is to be.
#[derive(Clone, Debug)]
#[must_use]
pub struct ClusterOptions {
    primaries: usize,
    replicas: usize,
    node_timeout: u32,
    each: RedisOptions,
}

impl ClusterOptions {
    /// Three primaries with one replica each, and a node time-out of 2 s.
    pub fn new() -> Self {
        ClusterOptions { primaries: 3, replicas: 1, node_timeout: 2_000, each: RedisOptions::new() }
    }

    /// So many primaries: at least three, for a majority without one.
    pub fn primaries(mut self, count: usize) -> Self {
        self.primaries = count;
        self
    }

    /// So many replicas for each primary.
    pub fn replicas(mut self, count: usize) -> Self {
        self.replicas = count;
        self
    }

    /// `cluster-node-timeout` in milliseconds.
    pub fn node_timeout(mut self, milliseconds: u32) -> Self {
        self.node_timeout = milliseconds;
        self
    }

    /// The options of each node: an append-only file, say.
    pub fn each(mut self, options: RedisOptions) -> Self {
        self.each = options;
        self
    }

    /// Starts it and waits until all nodes say that it is well, and the replicas have what their
    /// primaries have.
    ///
    /// # Panics
    /// If that does not happen.
    #[must_use]
    pub fn start(self) -> Cluster {
        let timeout = self.node_timeout.to_string();
        let each = self.each.of_cluster().setting("cluster-node-timeout", &timeout);
        let count = self.primaries * (1 + self.replicas);
        let nodes: Vec<Redis> = (0..count).map(|_| each.clone().start()).collect();
        let ids = nodes.iter().map(|node| node.command(&["CLUSTER", "MYID"]).text()).collect();
        let cluster = Cluster { nodes, ids };
        cluster.share_slots(self.primaries);
        cluster.meet();
        for replica in self.primaries..count {
            cluster.replicate(replica, replica % self.primaries);
        }
        cluster.wait_well();
        cluster
    }
}

impl Default for ClusterOptions {
    fn default() -> Self {
        ClusterOptions::new()
    }
}

/// A Cluster. Its nodes have numbers: first the primaries, then the first replica of each, then
/// the second ones, as they were at the start.
#[derive(Debug)]
pub struct Cluster {
    nodes: Vec<Redis>,
    ids: Vec<String>,
}

impl Cluster {
    /// All nodes.
    #[must_use]
    pub fn nodes(&self) -> &[Redis] {
        &self.nodes
    }

    /// A node, to break it.
    ///
    /// # Panics
    /// If there is no such node.
    #[must_use]
    pub fn node(&mut self, number: usize) -> &mut Redis {
        &mut self.nodes[number]
    }

    /// Where the nodes are: what a client is given.
    #[must_use]
    pub fn addrs(&self) -> Vec<SocketAddr> {
        self.nodes.iter().map(Redis::addr).collect()
    }

    /// The node that has the key's slot, as more than half of the nodes that answer say, if none of
    /// these sees it as failed. A node that was away may still name an old one.
    #[must_use]
    pub fn owner(&self, key: &str) -> Option<usize> {
        let answers = self.nodes.iter().filter_map(|node| self.owner_as_seen_by(node, key));
        let named: Vec<Option<usize>> = answers.collect();
        let votes = |owner| named.iter().filter(|name| **name == Some(owner)).count();
        (0..self.nodes.len()).find(|owner| votes(*owner) * 2 > named.len())
    }

    /// `None` if it does not answer, `Some(None)` if it knows nobody.
    fn owner_as_seen_by(&self, node: &Redis, key: &str) -> Option<Option<usize>> {
        let slot = node.try_command(&["CLUSTER", "KEYSLOT", key]).ok()?.integer();
        let view = node.try_command(&["CLUSTER", "NODES"]).ok()?.text();
        let owner = view.lines().map(Line::parse).find(|line| !line.fails && line.has(slot));
        Some(owner.and_then(|owner| self.ids.iter().position(|id| *id == owner.id)))
    }

    /// Sends a command to the node that has the key's slot. While nobody has, or that one does not
    /// answer, it waits and sends the command again: it has to be one that may be executed twice.
    ///
    /// # Panics
    /// If nobody ever answers.
    pub fn command(&self, key: &str, args: &[&str]) -> Reply {
        wait_for(&format!("{args:?} is answered"), || {
            let owner = self.owner(key)?;
            self.follow(owner, args).filter(|reply| match reply.error() {
                Some(error) => !["CLUSTERDOWN", "MOVED", "LOADING", "TRYAGAIN"]
                    .iter()
                    .any(|code| error.starts_with(code)),
                None => true,
            })
        })
    }

    fn follow(&self, mut number: usize, args: &[&str]) -> Option<Reply> {
        for _ in 0..MOVES {
            let reply = self.nodes[number].try_command(args).ok()?;
            let moved = reply.error().and_then(|error| error.strip_prefix("MOVED "));
            let to = moved.and_then(|moved| moved.split(' ').nth(1)?.parse::<SocketAddr>().ok());
            let Some(to) = to else { return Some(reply) };
            number = self.nodes.iter().position(|node| node.addr() == to)?;
        }
        None
    }

    /// Waits until each node answers, says that the Cluster is well and sees nobody as failed, and
    /// until each replica is linked.
    ///
    /// # Panics
    /// If that does not happen.
    pub fn wait_well(&self) {
        wait_until("all nodes say that the Cluster is well", || {
            self.nodes.iter().all(|node| self.is_well(node).unwrap_or(false))
        });
    }

    fn is_well(&self, node: &Redis) -> Option<bool> {
        let info = node.try_command(&["CLUSTER", "INFO"]).ok()?.text();
        let view = node.try_command(&["CLUSTER", "NODES"]).ok()?.text();
        let replication = node.try_info("replication")?;
        let linked = replication["role"] == "master" || replication["master_link_status"] == "up";
        let lines: Vec<Line> = view.lines().map(Line::parse).collect();
        let all_well = lines.iter().all(|line| !line.fails);
        Some(
            info.contains("cluster_state:ok")
                && linked
                && all_well
                && lines.len() == self.ids.len(),
        )
    }

    /// Each primary gets its part of the slots, and an epoch of its own: two of the same would be
    /// sorted out by gossip, later.
    fn share_slots(&self, primaries: usize) {
        for number in 0..primaries {
            let first = SLOTS * number / primaries;
            let last = SLOTS * (number + 1) / primaries - 1;
            let (first, last) = (first.to_string(), last.to_string());
            self.ask(number, &["CLUSTER", "ADDSLOTSRANGE", &first, &last]);
            self.ask(number, &["CLUSTER", "SET-CONFIG-EPOCH", &(number + 1).to_string()]);
        }
    }

    fn meet(&self) {
        for node in &self.nodes[1..] {
            let (host, port) = (node.addr().ip().to_string(), node.addr().port().to_string());
            self.ask(0, &["CLUSTER", "MEET", &host, &port, &node.bus().to_string()]);
        }
        wait_until("all nodes know each other", || {
            self.nodes.iter().all(|node| {
                let view = node.command(&["CLUSTER", "NODES"]).text();
                self.ids.iter().all(|id| view.contains(id))
            })
        });
    }

    /// The primary may not be known as such yet.
    fn replicate(&self, replica: usize, primary: usize) {
        wait_until("a node becomes a replica", || {
            let ask = ["CLUSTER", "REPLICATE", &self.ids[primary]];
            self.nodes[replica].command(&ask).is_ok()
        });
    }

    fn ask(&self, number: usize, args: &[&str]) {
        let reply = self.nodes[number].command(args);
        assert!(reply.is_ok(), "{args:?}: {reply}");
    }
}

/// A line of `CLUSTER NODES`: id, address, flags, primary, two times, epoch, link, slots.
struct Line {
    id: String,
    fails: bool,
    slots: Vec<(i64, i64)>,
}

impl Line {
    fn parse(line: &str) -> Self {
        let words: Vec<&str> = line.split_whitespace().collect();
        let word = |at: usize| words.get(at).copied().unwrap_or_default();
        let bad = |flag: &str| matches!(flag, "fail" | "fail?" | "handshake" | "noaddr");
        let slots = words.iter().skip(8).filter_map(|slots| {
            let (first, last) = slots.split_once('-').unwrap_or((slots, slots));
            Some((first.parse().ok()?, last.parse().ok()?))
        });
        Line { id: word(0).to_owned(), fails: word(2).split(',').any(bad), slots: slots.collect() }
    }

    fn has(&self, slot: i64) -> bool {
        self.slots.iter().any(|(first, last)| (*first..=*last).contains(&slot))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_cluster_nodes_is_read() {
        let line = Line::parse(
            "e1 127.0.0.1:10001@10002 myself,master - 0 0 1 connected 0-5460 7000 [9300->-e2]",
        );
        assert_eq!((line.id.as_str(), line.fails), ("e1", false));
        assert!(
            line.has(0) && line.has(5460) && line.has(7000) && !line.has(5461) && !line.has(9300)
        );
        assert!(Line::parse("e1 127.0.0.1:1@2 master,fail - 0 0 1 disconnected 0-5").fails);
        assert!(Line::parse("e1 127.0.0.1:1@2 master,fail? - 0 0 1 connected 0-5").fails);
    }
}
