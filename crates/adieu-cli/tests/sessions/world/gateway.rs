//! The command `adieu serve`, as a process that is stopped or killed.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use testkit::own_address;

use super::Backend;

/// The key of the API.
pub(crate) const API_KEY: &str = "a-key-for-the-tests-of-adieu";

/// How long a start or a stop may take.
const PATIENCE: Duration = Duration::from_secs(300);

/// How often a metric is looked at while it is waited for: each look is a request.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// A running gateway; killed when it is dropped.
pub(crate) struct Gateway {
    child: Child,
    pub(crate) addr: SocketAddr,
    /// What it has written to its output since it listens.
    said: Arc<Mutex<String>>,
}

impl Gateway {
    /// On a free port, told by a backend.
    pub(crate) fn start(data: Option<&Path>, backend: &Backend, options: &[&str]) -> Self {
        Self::start_at(&own_address().to_string(), data, Some(backend), options)
    }

    /// At this address, told by a backend at that one.
    pub(crate) fn start_told_at(listen: &str, backend: &str) -> Self {
        Self::run(listen, None, Some(backend), &[], Backend::SECRET)
    }

    /// On a free port, with this in `ADIEU_BACKEND_SECRET`.
    pub(crate) fn start_with_secret(secret: &str, options: &[&str]) -> Self {
        Self::run("127.0.0.1:0", None, None, options, secret)
    }

    /// At this address, told by a backend at that one, with these options.
    pub(crate) fn start_with(listen: &str, backend: &str, options: &[&str]) -> Self {
        Self::run(listen, None, Some(backend), options, Backend::SECRET)
    }

    /// At this address: that of one that was there before, as a rule.
    pub(crate) fn start_at(
        listen: &str,
        data: Option<&Path>,
        backend: Option<&Backend>,
        options: &[&str],
    ) -> Self {
        let backend = backend.map(Backend::url);
        Self::run(listen, data, backend.as_deref(), options, Backend::SECRET)
    }

    fn run(
        listen: &str,
        data: Option<&Path>,
        backend: Option<&str>,
        options: &[&str],
        secret: &str,
    ) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_adieu"));
        command.args(["serve", "--listen", listen]).args(options);
        let has_engine = options.contains(&"--engine");
        match super::engine::url(data).filter(|_| !has_engine) {
            Some(url) => drop(command.args(["--engine", &url, "--engine-volatile"])),
            None => drop(data.map(|data| command.arg("--data").arg(data))),
        }
        if let Some(backend) = backend {
            command.args(["--backend", backend]);
        }
        command.env("ADIEU_BACKEND_SECRET", secret).env("ADIEU_API_KEY", API_KEY);
        command.env("RUST_LOG", std::env::var("ADIEU_TEST_LOG").unwrap_or("error".into()));
        let mut child = command.stdout(Stdio::piped()).spawn().expect("adieu starts");
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let started = Instant::now();
        let addr = loop {
            let line = lines.next().expect("it says where it listens").unwrap();
            if let Some((_, addr)) = line.split_once("://") {
                break addr.trim_end_matches('/').parse().unwrap();
            }
            assert!(started.elapsed() < PATIENCE, "it does not start");
        };
        // It goes on to write.
        let said = Arc::new(Mutex::new(String::new()));
        let keep = Arc::clone(&said);
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                *keep.lock().unwrap() += &(line + "\n");
            }
        });
        Gateway { child, addr, said }
    }

    pub(crate) fn url(&self) -> String {
        format!("ws://{}/ws", self.addr)
    }

    pub(crate) fn kill_9(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// In the place of one that is being replaced.
    pub(crate) fn nothing() -> Self {
        let child = Command::new("true").spawn().unwrap();
        let addr = SocketAddr::from(([127, 0, 0, 1], 0));
        Gateway { child, addr, said: Arc::default() }
    }

    pub(crate) fn terminate(&self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    }

    /// Waits for its end. What it said is shown where the test fails.
    pub(crate) async fn ended(mut self) -> ExitStatus {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                eprintln!("the gateway said:\n{}", self.said.lock().unwrap());
                return status;
            }
            assert!(started.elapsed() < PATIENCE, "it does not end");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// A request to its API; the status and the body.
    pub(crate) async fn request(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        let auth = format!("Authorization: Bearer {API_KEY}\r\n");
        request(self.addr, method, path, &format!("{auth}Content-Type: text/plain\r\n"), body).await
    }

    /// Sends a text to a session.
    pub(crate) async fn send(&self, session: &str, text: &str) {
        let (status, body) =
            self.request("POST", &format!("/api/sessions/{session}/messages"), text).await;
        assert_eq!(status, 202, "{body}");
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Bytes of memory that it has touched.
    pub(crate) fn memory(&self) -> u64 {
        memory_of(self.pid())
    }

    /// How many descriptors it has open.
    pub(crate) fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.pid())).unwrap().count()
    }

    /// A value of `/metrics`.
    pub(crate) async fn metric(&self, name: &str) -> f64 {
        self.try_metric(name).await.unwrap_or_else(|| panic!("no {name}"))
    }

    /// The same; what was never counted has none.
    async fn try_metric(&self, name: &str) -> Option<f64> {
        let (_, text) = self.request("GET", "/metrics", "").await;
        let line = text.lines().find(|line| line.strip_prefix(name).is_some_and(is_value));
        line?.rsplit(' ').next()?.parse().ok()
    }

    /// Waits until that many are counted.
    pub(crate) async fn until_metric(&self, name: &str, least: f64) {
        let started = Instant::now();
        while self.try_metric(name).await.unwrap_or_default() < least {
            assert!(started.elapsed() < PATIENCE, "{name} never comes to {least}");
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Waits until no more than that are counted.
    pub(crate) async fn until_no_more(&self, name: &str, most: f64) {
        let started = Instant::now();
        while self.metric(name).await > most {
            assert!(started.elapsed() < PATIENCE, "{name} never comes down to {most}");
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// What the API shows of a session.
    pub(crate) async fn view(&self, session: &str) -> serde_json::Value {
        let (status, body) = self.request("GET", &format!("/api/sessions/{session}"), "").await;
        assert_eq!(status, 200, "{body}");
        serde_json::from_str(&body).unwrap()
    }
}

fn is_value(rest: &str) -> bool {
    rest.starts_with(' ')
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Bytes of memory that a process has touched.
pub(crate) fn memory_of(pid: u32) -> u64 {
    let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let kilobytes = rollup.lines().find_map(|line| line.strip_prefix("Rss:")).unwrap();
    kilobytes.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() * 1024
}

/// A request over a connection of its own.
pub(crate) async fn request(
    addr: SocketAddr,
    method: &str,
    path: &str,
    fields: &str,
    body: &str,
) -> (u16, String) {
    try_request(addr, method, path, fields, body).await.expect("an answer")
}

/// The same of a gateway that may be killed meanwhile: `None` if there was no whole answer.
pub(crate) async fn try_request(
    addr: SocketAddr,
    method: &str,
    path: &str,
    fields: &str,
    body: &str,
) -> Option<(u16, String)> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut tcp = tokio::net::TcpStream::connect(addr).await.ok()?;
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n{fields}\
         Content-Length: {length}\r\n\r\n"
    );
    // One that refuses a body need not read it all.
    let _ = tcp.write_all(format!("{head}{body}").as_bytes()).await;
    let mut answer = Vec::new();
    let _ = tcp.read_to_end(&mut answer).await;
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
}
