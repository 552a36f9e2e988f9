//! A Redis of a test's own.

use std::collections::BTreeMap;
use std::future::Future;

use adieu_engine::{Engine, Options};
use rig::{Fsync, Redis, RedisOptions};

/// A server that ends with the test.
pub(crate) struct Server(Redis);

/// Where it listens, in its directory.
const SOCKET: &str = "redis.sock";

fn usual() -> RedisOptions {
    RedisOptions::new().setting("unixsocket", SOCKET)
}

/// All keys: what `DUMP` says of each, and when it expires.
pub(crate) type Dump = BTreeMap<Vec<u8>, (Vec<u8>, i64)>;

impl Server {
    /// Starts one.
    pub(crate) fn start() -> Self {
        Server(usual().start())
    }

    /// The same, with a file to which it appends each second.
    pub(crate) fn kept() -> Self {
        Server(usual().append_only(Fsync::EverySecond).start())
    }

    /// Starts one whose clock can be set.
    pub(crate) fn with_a_clock() -> Self {
        Server(usual().clock().start())
    }

    /// A replica of it that has all.
    pub(crate) fn replica(&self) -> Redis {
        let replica = RedisOptions::new().replica_of(self.0.addr()).start();
        replica.wait_linked();
        replica
    }

    /// Its clock is ahead of the machine's by so many milliseconds.
    pub(crate) fn set_clock(&self, ahead: i64) {
        self.0.set_clock(ahead);
    }

    fn url(&self) -> String {
        format!("redis+unix://{}/{SOCKET}", self.0.directory().display())
    }

    /// An engine on it, with connections of its own.
    pub(crate) fn engine(&self) -> Engine {
        let options = Options { url: self.url(), volatile: true };
        Engine::new(&options).expect("a URL of an engine")
    }

    /// The same, and its functions are loaded.
    pub(crate) async fn loaded(&self) -> Engine {
        let engine = self.engine();
        engine.load_functions().await.expect("functions that can be loaded");
        engine
    }

    /// A connection past the engine.
    pub(crate) fn raw(&self) -> redis::Connection {
        let client = redis::Client::open(self.url()).expect("a URL");
        client.get_connection().expect("a connection")
    }

    /// Runs a command past the engine.
    pub(crate) fn run<T: redis::FromRedisValue>(&self, words: &[&str]) -> T {
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]);
        command.query(&mut self.raw()).unwrap_or_else(|error| panic!("{words:?}: {error}"))
    }

    /// All that is in it.
    pub(crate) fn dump(&self) -> Dump {
        let mut raw = self.raw();
        let keys: Vec<Vec<u8>> = redis::cmd("KEYS").arg("*").query(&mut raw).expect("keys");
        let mut all = Dump::new();
        for key in keys {
            let (value, expires): (Option<Vec<u8>>, i64) = redis::pipe()
                .cmd("DUMP")
                .arg(&key)
                .cmd("PEXPIRETIME")
                .arg(&key)
                .query(&mut raw)
                .expect("a key");
            all.extend(value.map(|value| (key, (value, expires))));
        }
        all
    }

    /// Makes it have again what it had: an older copy that takes its place.
    pub(crate) fn restore(&self, dump: &Dump) {
        let mut raw = self.raw();
        let _: () = redis::cmd("FLUSHDB").query(&mut raw).expect("it is flushed");
        for (key, (value, expires)) in dump {
            let mut restore = redis::cmd("RESTORE");
            restore.arg(key).arg(expires.max(&0)).arg(value).arg("ABSTTL");
            let _: () = restore.query(&mut raw).expect("a key is restored");
        }
    }

    /// What this changes: nothing.
    pub(crate) async fn unchanged<T>(&self, what: impl Future<Output = T>) -> T {
        let before = self.dump();
        let said = what.await;
        let after = self.dump();
        let names = |dump: &Dump| -> Vec<String> {
            dump.keys().map(|key| String::from_utf8_lossy(key).into_owned()).collect()
        };
        assert_eq!(names(&before), names(&after), "keys before and after");
        for (key, value) in &before {
            let name = String::from_utf8_lossy(key);
            assert_eq!(after.get(key), Some(value), "{name} has changed");
        }
        said
    }
}
