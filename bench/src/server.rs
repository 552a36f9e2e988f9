//! The servers under test: how each is started, and what the system says about it.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::OsString;
use std::fs;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::load::dial::wrong;
use crate::peer::Mode;
use crate::sys;

/// The core of the servers.
pub const SERVER_CORE: usize = 0;
/// The core of the generator.
pub const GENERATOR_CORE: usize = 1;

/// Name of the floor in all tables.
pub const FLOOR: &str = "floor";
/// Name of ours.
pub const ADIEU: &str = "Adieu";

/// Ours on tokio's other runtime, with one worker; measured only where it is asked for.
pub const ADIEU_MULTI: &str = "Adieu-multi";

/// The gateway, a backend behind it, which says each message back through the API; measured only
/// where it is asked for, as are the others that begin so.
pub const GATEWAY: &str = "gateway";

/// Names of the servers that compress. Ours where each message stands alone, at the level of its
/// peer; with 4 KiB of earlier messages, as it is by default; where both sides have them; and where
/// it does not compress.
pub const ADIEU_ALONE: &str = "Adieu alone";
/// By default.
pub const ADIEU_HISTORY: &str = "Adieu 4 KiB";
/// Both sides.
pub const ADIEU_BOTH: &str = "Adieu both";
/// Not at all.
pub const ADIEU_OFF: &str = "Adieu off";
/// Bun, where each message stands alone.
pub const BUN_SHARED: &str = "Bun shared";
/// Bun with a window of 4 KiB.
pub const BUN_32KB: &str = "Bun 32KB";
/// npm ws by default.
pub const NPM_WS: &str = "npm ws";
/// Python's websockets by default.
pub const WEBSOCKETS: &str = "websockets";

/// Names of the servers over TLS: ours over HTTP/2 and over HTTP/1.1, and axum over HTTP/2.
pub const ADIEU_HTTP2: &str = "Adieu HTTP/2";
/// Over HTTP/1.1.
pub const ADIEU_TLS: &str = "Adieu HTTP/1.1";
/// Another one.
pub const AXUM_HTTP2: &str = "axum HTTP/2";

/// Names the Python of [`WEBSOCKETS`], if it is not the one in bench/target/python.
const PYTHON: &str = "ADIEU_BENCH_PYTHON";

/// Names a program `adieu` or `gateway` of another commit, to be measured beside this one's.
const BEFORE: &str = "ADIEU_BENCH_BEFORE";

/// A kind of server.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Its name in all tables.
    pub name: &'static str,
    /// Its version.
    pub version: String,
    program: PathBuf,
    script: Option<PathBuf>,
    /// What follows the mode on its command line.
    option: Option<&'static str>,
}

/// Whether a server is measured where none is named.
#[must_use]
pub fn is_measured_unasked(name: &str) -> bool {
    name != ADIEU_MULTI && !name.starts_with(GATEWAY) && !name.ends_with("-before")
}

/// All, in the order of the tables.
#[must_use]
pub fn peers(root: &Path) -> Vec<Peer> {
    let programs = std::env::current_exe().unwrap_or_default();
    let lock = fs::read_to_string(root.join("Cargo.lock")).unwrap_or_default();
    let native = |name, program: &str, package: &str| Peer {
        name,
        version: locked(&lock, package).unwrap_or_default(),
        program: programs.with_file_name(program),
        script: None,
        option: None,
    };
    let modules = root.join("js/node_modules");
    let script = |name, package: &str, program: PathBuf, script: &str| Peer {
        name,
        version: installed(&modules, package).unwrap_or_default(),
        program,
        script: Some(root.join("js").join(script)),
        option: None,
    };
    let bun = modules.join(".bin/bun");
    let gateway = |name, option| Peer { option: Some(option), ..native(name, "gateway", "") };
    let before = std::env::var_os(BEFORE).map(PathBuf::from).map(|program| {
        let is_gateway = program.file_name().is_some_and(|name| name == GATEWAY);
        let name = if is_gateway { "gateway-before" } else { "Adieu-before" };
        Peer { program, ..native(name, "", "") }
    });
    let mut peers = vec![
        Peer { version: String::new(), ..native(FLOOR, "floor", "bench") },
        native(ADIEU, "adieu", "adieu"),
        Peer { option: Some("multi"), ..native(ADIEU_MULTI, "adieu", "adieu") },
        native(GATEWAY, "gateway", "adieu-gateway"),
        gateway("gateway-reply", "reply"),
        gateway("gateway-batch", "batch"),
        gateway("gateway-redb", "redb"),
        native("fastwebsockets", "fastwebsockets", "fastwebsockets"),
        native("tokio-tungstenite", "tungstenite", "tokio-tungstenite"),
        native("axum", "axum", "axum"),
        script("Bun", "bun", bun, "bun.js"),
        script(NPM_WS, "ws", "node".into(), "ws.js"),
    ];
    peers.extend(before);
    peers
}

/// Those that compress, in the order of the tables.
#[must_use]
pub fn compressing(root: &Path) -> Vec<Peer> {
    let all = peers(root);
    let with = |like: &str, name, option| with_option(&all, like, name, option);
    let python = root.join("target/python/bin/python");
    let requirements = fs::read_to_string(root.join("py/requirements.txt")).unwrap_or_default();
    let websockets = Peer {
        name: WEBSOCKETS,
        version: requirements.trim().rsplit("==").next().unwrap_or_default().to_owned(),
        program: std::env::var_os(PYTHON).map_or(python, PathBuf::from),
        script: Some(root.join("py/echo.py")),
        option: None,
    };
    let ours_and_others = [
        with(ADIEU, ADIEU_OFF, "off"),
        with(ADIEU, ADIEU_ALONE, "alone"),
        with(ADIEU, ADIEU_HISTORY, "history"),
        with(ADIEU, ADIEU_BOTH, "both"),
        with("Bun", BUN_SHARED, "shared"),
        with("Bun", BUN_32KB, "32KB"),
        with(NPM_WS, NPM_WS, "deflate"),
        Some(websockets),
    ];
    ours_and_others.into_iter().flatten().collect()
}

/// Those over TLS, in the order of the tables.
#[must_use]
pub fn over_tls(root: &Path) -> Vec<Peer> {
    let all = peers(root);
    let servers = [(ADIEU, ADIEU_HTTP2), ("axum", AXUM_HTTP2), (ADIEU, ADIEU_TLS)];
    servers.into_iter().filter_map(|(like, name)| with_option(&all, like, name, "tls")).collect()
}

/// The same server under another name and with an option.
fn with_option(all: &[Peer], like: &str, name: &'static str, option: &'static str) -> Option<Peer> {
    let peer = all.iter().find(|peer| peer.name == like).cloned()?;
    Some(Peer { name, option: Some(option), ..peer })
}

/// The version of a package in a lock file; the newest, which comes last, where there are two.
fn locked(lock: &str, package: &str) -> Option<String> {
    let (_, rest) = lock.rsplit_once(&format!("name = \"{package}\"\nversion = \""))?;
    rest.split_once('"').map(|(version, _)| version.to_owned())
}

/// The version of an installed npm package.
fn installed(modules: &Path, package: &str) -> Option<String> {
    let text = fs::read_to_string(modules.join(package).join("package.json")).ok()?;
    let json: serde_json::Value = serde_json::from_str(&text).ok()?;
    json["version"].as_str().map(str::to_owned)
}

/// A server that runs, until this is dropped.
#[derive(Debug)]
pub struct Server {
    /// Its name.
    pub name: &'static str,
    /// Where it listens.
    pub port: u16,
    child: Child,
    /// What each thread had spent when last seen: one that is gone is in no list any more.
    spent: RefCell<HashMap<OsString, u64>>,
}

impl Server {
    /// Starts one on its core.
    ///
    /// # Errors
    /// If it cannot be started, or says no port.
    pub fn start(peer: &Peer, mode: Mode) -> io::Result<Self> {
        let mut command = Command::new(&peer.program);
        command.args(&peer.script).arg(mode.word()).args(peer.option);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        // A child inherits the core of its parent.
        sys::pin(SERVER_CORE)?;
        let spawned = command.spawn();
        sys::pin(GENERATOR_CORE)?;
        let told = |error| wrong(format!("{} ({}): {error}", peer.name, peer.program.display()));
        let child = spawned.map_err(told)?;
        let mut server = Server { name: peer.name, port: 0, child, spent: RefCell::default() };
        let mut line = String::new();
        if let Some(out) = server.child.stdout.take() {
            BufReader::new(out).read_line(&mut line)?;
        }
        let no_port = |_| wrong(format!("{} printed no port but {line:?}", peer.name));
        server.port = line.trim().parse().map_err(no_port)?;
        Ok(server)
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether all its threads are traced.
    ///
    /// # Errors
    /// If it is gone.
    pub fn is_traced(&self) -> io::Result<bool> {
        for task in fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            let status = fs::read_to_string(task?.path().join("status"))?;
            let tracer = status.lines().find_map(|line| line.strip_prefix("TracerPid:"));
            if tracer.is_none_or(|tracer| tracer.trim() == "0") {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether it gives bytes back as they are, masks included.
    #[must_use]
    pub fn is_raw(&self) -> bool {
        self.name == FLOOR
    }

    /// CPU time of all its threads so far, in the kernel and outside.
    ///
    /// # Errors
    /// If it is gone.
    pub fn cpu(&self) -> io::Result<Duration> {
        let mut spent = self.spent.borrow_mut();
        for task in fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            let task = task?;
            // It may end between the two looks.
            let Ok(stat) = fs::read_to_string(task.path().join("schedstat")) else { continue };
            let ran = stat.split_whitespace().next().and_then(|ran| ran.parse::<u64>().ok());
            let ran = ran.ok_or_else(|| wrong("no schedstat in /proc".into()))?;
            spent.insert(task.file_name(), ran);
        }
        Ok(Duration::from_nanos(spent.values().sum()))
    }

    /// Bytes of memory that it has touched.
    ///
    /// # Errors
    /// If it is gone.
    pub fn memory(&self) -> io::Result<u64> {
        // The sum over its mappings; the counter in `status` may be some pages behind.
        let rollup = fs::read_to_string(format!("/proc/{}/smaps_rollup", self.child.id()))?;
        let kilobytes = rollup.lines().find_map(|line| line.strip_prefix("Rss:"));
        let kilobytes = kilobytes.and_then(|it| it.trim().strip_suffix(" kB"));
        let kilobytes = kilobytes.and_then(|it| it.trim().parse::<u64>().ok());
        kilobytes.map(|it| it * 1024).ok_or_else(|| wrong("no Rss in /proc".into()))
    }

    /// Memory once it has nothing more to do.
    ///
    /// # Errors
    /// If it is gone.
    pub fn settled_memory(&self) -> io::Result<u64> {
        self.settled_cpu()?;
        self.memory()
    }

    /// CPU time so far, once it has nothing more to do: what is left after the last answer (a
    /// socket to be closed, a collection of garbage) belongs to the work before it.
    ///
    /// # Errors
    /// If it is gone.
    pub fn settled_cpu(&self) -> io::Result<Duration> {
        let mut before = self.cpu()?;
        for _ in 0..SETTLING {
            std::thread::sleep(Duration::from_millis(10));
            let now = self.cpu()?;
            if now - before < Duration::from_micros(100) {
                return Ok(now);
            }
            before = now;
        }
        Ok(before)
    }
}

/// How often is looked whether a server still works, at most.
const SETTLING: usize = 100;

impl Drop for Server {
    fn drop(&mut self) {
        // It has nothing to say any more.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_a_lock_file() {
        let lock = "[[package]]\nname = \"axum-core\"\nversion = \"0.5.6\"\n\n\
                    [[package]]\nname = \"axum\"\nversion = \"0.7.0\"\n\n\
                    [[package]]\nname = \"axum\"\nversion = \"0.8.9\"\nsource = \"x\"\n";
        assert_eq!(locked(lock, "axum").as_deref(), Some("0.8.9"));
        assert_eq!(locked(lock, "hyper"), None);
    }
}
