//! A Redis of a test's own.

use std::collections::BTreeMap;
use std::future::Future;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use adieu_engine::{Engine, Options};
use testkit::DEADLINE;

/// A server that ends with the test.
pub(crate) struct Server {
    process: Child,
    dir: PathBuf,
}

/// All keys: what `DUMP` says of each, and when it expires.
pub(crate) type Dump = BTreeMap<Vec<u8>, (Vec<u8>, i64)>;

impl Server {
    /// Starts one, and waits until it answers.
    pub(crate) fn start() -> Self {
        Server::start_with(&[])
    }

    /// The same, with a file to which it appends each second.
    pub(crate) fn kept() -> Self {
        Server::start_with(&["--appendonly", "yes", "--appendfsync", "everysec"])
    }

    fn start_with(options: &[&str]) -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("adieu-engine-{}-{number}", std::process::id());
        let dir = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&dir).expect("a directory for the server");
        let process = Command::new("redis-server")
            .args(["--port", "0", "--save", "", "--unixsocket"])
            .arg(dir.join("redis.sock"))
            .arg("--dir")
            .arg(&dir)
            .args(options)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("redis-server is installed");
        let server = Server { process, dir };
        let deadline = Instant::now() + DEADLINE;
        let client = redis::Client::open(server.url()).expect("a URL");
        while client.get_connection().is_err() {
            assert!(Instant::now() < deadline, "redis-server does not answer");
            std::thread::sleep(Duration::from_millis(2));
        }
        server
    }

    /// Where it is.
    pub(crate) fn url(&self) -> String {
        format!("redis+unix://{}", self.dir.join("redis.sock").display())
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
    #[allow(dead_code)]
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

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}
