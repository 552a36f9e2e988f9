//! A primary, its replicas, and three sentinels that watch them.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use crate::redis::{Redis, RedisOptions};
use crate::resp::Reply;
use crate::wait_until;

/// The name under which the sentinels know the primary.
const NAME: &str = "rig";

const SENTINELS: usize = 3;
const QUORUM: usize = 2;

/// A primary that does not answer for so many milliseconds is down for one sentinel. With 1000, the
/// period of Sentinel's own questions, one of some 500 failovers on a busy machine was followed by
/// a second one after a second: back to the old primary, which had come back empty.
const DOWN_AFTER: &str = "1500";

/// After so many milliseconds a failover that came to nothing is tried again (by another sentinel:
/// after twice as long).
const FAILOVER_TIMEOUT: &str = "5000";

/// Milliseconds. Sentinel's own times are longer: it asks whether servers are there each 1 s
/// and for their `INFO` each 10 s, and tells the others what it sees each 2 s. It makes an old
/// primary a replica when that one has said for four times the last, 8 s, that it is a primary.
///
/// When its own clock stood still for 2 s it does nothing for 30 s (it calls that TILT). Here
/// it is for less than [`DOWN_AFTER`]: a machine that stood still as a whole must not have a
/// primary replaced.
const TIMES: [[&str; 2]; 5] = [
    ["ping-period", "250"],
    ["info-period", "1000"],
    ["publish-period", "500"],
    ["tilt-trigger", "1000"],
    ["tilt-period", "2000"],
];

/// Servers under three sentinels, of which two must agree. A primary is down after 1.5 s.
///
/// Some other times are shorter than Sentinel's own, until a sentinel is restarted: a failover is
/// not much quicker by that, the return of the old primary as a replica is.
#[derive(Debug)]
pub struct Sentinels {
    servers: Vec<Redis>,
    sentinels: Vec<Redis>,
}

impl Sentinels {
    /// Starts a primary with so many replicas, all with these options, and the sentinels. Waits
    /// until all of them know each other and the replicas have what the primary has.
    ///
    /// # Panics
    /// If that does not happen.
    #[must_use]
    pub fn start(options: &RedisOptions, replicas: usize) -> Self {
        let primary = options.clone().start();
        let at = primary.addr();
        let mut servers = vec![primary];
        servers.extend((0..replicas).map(|_| options.clone().replica_of(at).start()));
        servers[1..].iter().for_each(Redis::wait_linked);
        let (host, port) = (at.ip(), at.port());
        let one = RedisOptions::new()
            .sentinel()
            .setting("sentinel monitor", &format!("{NAME} {host} {port} {QUORUM}"))
            .setting("sentinel down-after-milliseconds", &format!("{NAME} {DOWN_AFTER}"))
            .setting("sentinel failover-timeout", &format!("{NAME} {FAILOVER_TIMEOUT}"))
            .setting("sentinel parallel-syncs", &format!("{NAME} 1"));
        let one = match options.secret() {
            Some(password) => one.setting("sentinel auth-pass", &format!("{NAME} {password}")),
            None => one,
        };
        let sentinels: Vec<Redis> = (0..SENTINELS).map(|_| one.clone().start()).collect();
        for sentinel in &sentinels {
            let reply = sentinel.command(&[&["SENTINEL", "DEBUG"], TIMES.as_flattened()].concat());
            assert!(reply.is_ok(), "SENTINEL DEBUG: {reply}");
        }
        let all = Sentinels { servers, sentinels };
        wait_until("the sentinels agree", || {
            all.sentinels.iter().all(|sentinel| all.is_complete(sentinel))
        });
        all
    }

    /// The name under which the sentinels know the primary.
    #[must_use]
    pub fn name(&self) -> &'static str {
        NAME
    }

    /// The first primary, and then its replicas, wherever they are now.
    #[must_use]
    pub fn servers(&mut self) -> &mut [Redis] {
        &mut self.servers
    }

    /// The sentinels. They can be killed and stopped too.
    #[must_use]
    pub fn sentinels(&mut self) -> &mut [Redis] {
        &mut self.sentinels
    }

    /// Where the sentinels are: what a client is given.
    #[must_use]
    pub fn addrs(&self) -> Vec<SocketAddr> {
        self.sentinels.iter().map(Redis::addr).collect()
    }

    /// Where the primary is, if the sentinels that answer say the same, and are at least the
    /// quorum.
    #[must_use]
    pub fn primary_addr(&self) -> Option<SocketAddr> {
        let ask = ["SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME];
        let answers = self.sentinels.iter().filter_map(|one| one.try_command(&ask).ok());
        let said: Vec<SocketAddr> = answers.filter_map(|reply| address(&reply)).collect();
        let first = *said.first().filter(|_| said.len() >= QUORUM)?;
        said.iter().all(|addr| *addr == first).then_some(first)
    }

    /// The number of the server that is the primary: the sentinels that answer say so, and so does
    /// the server itself.
    #[must_use]
    pub fn primary(&self) -> Option<usize> {
        let addr = self.primary_addr()?;
        let number = self.servers.iter().position(|server| server.addr() == addr)?;
        let info = self.servers[number].try_info("replication")?;
        (info.get("role")? == "master").then_some(number)
    }

    /// Whether a sentinel knows everybody, and sees nobody down.
    fn is_complete(&self, sentinel: &Redis) -> bool {
        let is_well = |reply: Reply, count: usize, kind: &str| {
            let Reply::Array(items) = reply else { return false };
            let all = items.iter().map(pairs);
            items.len() == count && all.into_iter().all(|item| item["flags"] == kind)
        };
        let ask = |what: &str| sentinel.try_command(&["SENTINEL", what, NAME]);
        let quorum = ask("CKQUORUM").is_ok_and(|reply| matches!(reply, Reply::Status(_)));
        let masters = sentinel.try_command(&["SENTINEL", "MASTERS"]);
        let knows = |reply: std::io::Result<Reply>, count, kind| {
            reply.is_ok_and(|reply| is_well(reply, count, kind))
        };
        quorum
            && knows(masters, 1, "master")
            && knows(ask("REPLICAS"), self.servers.len() - 1, "slave")
            && knows(ask("SENTINELS"), SENTINELS - 1, "sentinel")
    }
}

/// A list of names and values.
fn pairs(item: &Reply) -> BTreeMap<String, String> {
    item.items().chunks(2).map(|pair| (pair[0].text(), pair[1].text())).collect()
}

fn address(reply: &Reply) -> Option<SocketAddr> {
    let Reply::Array(items) = reply else { return None };
    let [host, port] = items.as_slice() else { return None };
    format!("{}:{}", host.text(), port.text()).parse().ok()
}
