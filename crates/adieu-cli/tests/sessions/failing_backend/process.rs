//! A backend that is a process of its own: it aborts when it hears poison, and is started again.

use std::fs::OpenOptions;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::Bytes;
use axum::http::StatusCode;
use axum::routing::post;
use serde_json::Value;

use super::crowd::Told;
use crate::world::Scratch;

const ADDR: &str = "ADIEU_TEST_BACKEND_ADDR";
const DIR: &str = "ADIEU_TEST_BACKEND_DIR";

/// What it dies of.
pub(super) const POISON: &str = "poison";

/// How long whoever watches it takes to start it again.
const RESTART: Duration = Duration::from_millis(200);

/// Not a test: this program, started again, is the backend.
#[tokio::test]
#[ignore = "the backend of the others"]
async fn a_backend_of_its_own() {
    let (Some(addr), Some(dir)) = (std::env::var_os(ADDR), std::env::var_os(DIR)) else { return };
    let dir = PathBuf::from(dir);
    let listener = tokio::net::TcpListener::bind(addr.to_str().unwrap()).await.unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    let told = OpenOptions::new().append(true).create(true).open(dir.join("told")).unwrap();
    let told = Arc::new(Mutex::new(told));
    let hook = async move |body: Bytes| {
        let event: Value = serde_json::from_slice(&body).unwrap();
        if event["data"].as_str() == Some(POISON) {
            std::process::abort();
        }
        if event["type"] != "connect" {
            // In one write, and before it answers: a process that dies has taken it or has not.
            let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros();
            let of = |name: &str| event[name].to_string();
            let (id, kind, session, sequence) =
                (of("id"), of("type"), of("sessionid"), of("sequence"));
            let line = format!("[{id},{kind},{session},{sequence},{at}]\n");
            told.lock().unwrap().write_all(line.as_bytes()).unwrap();
        }
        StatusCode::NO_CONTENT
    };
    std::fs::write(dir.join("addr"), addr).unwrap();
    axum::serve(listener, Router::new().route("/", post(hook))).await.unwrap();
}

/// It, and who starts it again.
pub(super) struct MortalBackend {
    dir: Scratch,
    addr: SocketAddr,
    deaths: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    watcher: Option<std::thread::JoinHandle<()>>,
}

fn spawn(addr: &str, dir: &Path) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--ignored", "--exact", "failing_backend::process::a_backend_of_its_own"]);
    command.env(ADDR, addr).env(DIR, dir);
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

impl MortalBackend {
    pub(super) fn start() -> Self {
        let dir = Scratch::new();
        std::fs::create_dir(dir.path()).unwrap();
        let child = spawn(&testkit::own_address().to_string(), dir.path());
        let file = dir.path().join("addr");
        let read = || std::fs::read_to_string(&file).ok()?.parse().ok();
        testkit::wait_until("the backend listens", || read().is_some());
        let addr: SocketAddr = read().unwrap();
        let (deaths, stop) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
        let (path, counted, stopped) = (dir.path().to_owned(), deaths.clone(), stop.clone());
        let watcher = std::thread::spawn(move || {
            keep_alive(child, &addr.to_string(), &path, &counted, &stopped);
        });
        MortalBackend { dir, addr, deaths, stop, watcher: Some(watcher) }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}/", self.addr)
    }

    /// How often it has died.
    pub(super) fn deaths(&self) -> usize {
        self.deaths.load(Ordering::Relaxed)
    }

    /// All that it took, in all of its lives.
    pub(super) fn told(&self) -> Vec<Told> {
        let (now, wall) = (Instant::now(), SystemTime::now());
        let text = std::fs::read_to_string(self.dir.path().join("told")).unwrap_or_default();
        let read = |line: &str| {
            let row: Value = serde_json::from_str(line).ok()?;
            let text = |n: usize| Some(row[n].as_str()?.to_owned());
            let at = UNIX_EPOCH + Duration::from_micros(row[4].as_u64()?);
            Some(Told {
                id: text(0)?,
                kind: text(1)?,
                session: text(2)?,
                sequence: row[3].as_u64(),
                at: now - wall.duration_since(at).unwrap_or_default(),
            })
        };
        text.lines().filter_map(read).collect()
    }
}

fn keep_alive(mut child: Child, addr: &str, dir: &Path, deaths: &AtomicUsize, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        if child.try_wait().unwrap().is_some() {
            deaths.fetch_add(1, Ordering::Relaxed);
            std::thread::sleep(RESTART);
            child = spawn(addr, dir);
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    let _ = child.kill();
    let _ = child.wait();
}

impl Drop for MortalBackend {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(watcher) = self.watcher.take() {
            let _ = watcher.join();
        }
    }
}
