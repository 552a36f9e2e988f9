//! The servers that are checked, and how they are built.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::{http2_others, run};

/// A cold release build of everything on two cores stays far below it.
const BUILD_LIMIT: Duration = Duration::from_secs(30 * 60);

/// The checks of compression, by their ids in `adieu check`.
pub(super) const COMPRESSION: [&str; 5] =
    ["deflate_offers", "deflate", "deflate_errors", "deflate_cut", "deflate_bomb"];

/// A server that is checked.
pub(super) struct Server {
    /// Its name in the table.
    pub(super) name: String,
    /// How it is started; `PORT` is replaced.
    pub(super) command: String,
    /// Ours must be found well; the others are there to compare with.
    pub(super) ours: bool,
    pub(super) over: Over,
}

/// How its WebSockets are checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Over {
    /// HTTP/1.1, without compression.
    Http1,
    /// HTTP/1.1, and it agrees on compression.
    Compressed,
    /// HTTP/2, which it speaks by prior knowledge.
    Http2,
}

impl Server {
    fn new(name: impl Into<String>, program: &Path, args: &str, ours: bool) -> Self {
        let (name, command) = (name.into(), format!("'{}' {args}", program.display()));
        Server { name, command, ours, over: Over::Http1 }
    }

    fn over(self, over: Over) -> Self {
        Server { over, ..self }
    }

    /// The checks that are skipped where all is well.
    pub(super) fn may_skip(&self) -> Vec<&'static str> {
        match self.over {
            Over::Compressed => Vec::new(),
            // Without TLS, browsers have no HTTP/2.
            Over::Http1 => [&COMPRESSION[..], &["http2"]].concat(),
            Over::Http2 => [&COMPRESSION[..], &["old"]].concat(),
        }
    }
}

/// The programs of all servers.
struct Programs {
    checked: PathBuf,
    adieu_axum: PathBuf,
    axum: PathBuf,
    tungstenite: PathBuf,
    script: PathBuf,
}

impl Programs {
    fn new(release: &Path) -> Self {
        let peers = peers_dir().join("target/release");
        Programs {
            checked: program(&release.join("examples"), "checked"),
            adieu_axum: program(&peers, "adieu-axum"),
            axum: program(&peers, "axum"),
            tungstenite: program(&peers, "tungstenite"),
            script: peers_dir().join("ws/server.js"),
        }
    }

    fn ours(&self) -> [Server; 2] {
        [
            Server::new("Adieu", &self.checked, "127.0.0.1:PORT", true),
            Server::new("axum with Adieu", &self.adieu_axum, "PORT", true),
        ]
    }

    fn node(&self, name: &'static str, mode: &str) -> Server {
        let command = format!("node '{}' PORT {mode}", self.script.display());
        Server { name: name.to_owned(), command, ours: false, over: Over::Http1 }
    }
}

/// Those of the table of checks.
pub(super) fn checked(release: &Path, peers: bool) -> Vec<Server> {
    let programs = Programs::new(release);
    let mut servers = Vec::from(programs.ours());
    if peers {
        let tungstenite = &programs.tungstenite;
        servers.extend([
            Server::new("axum", &programs.axum, "PORT", false),
            Server::new("tokio-tungstenite", tungstenite, "PORT", false),
            Server::new("tokio-tungstenite, by hand", tungstenite, "PORT hand", false),
            programs.node("npm ws", ""),
            programs.node("npm ws, by hand", "hand"),
        ]);
    }
    servers
}

/// Those that agree on compression.
pub(super) fn compressing(release: &Path, peers: bool) -> Vec<Server> {
    let programs = Programs::new(release);
    let ours =
        Server::new("Adieu, compressing", &programs.checked, "127.0.0.1:PORT --compress", true);
    let mut servers = vec![ours.over(Over::Compressed)];
    if peers {
        let node = programs.node("npm ws, compressing", "compress");
        servers.push(node.over(Over::Compressed));
    }
    servers
}

/// Those that take WebSockets over HTTP/2. The others are installed first.
pub(super) fn over_http2(release: &Path, peers: bool) -> Result<Vec<Server>, String> {
    let programs = Programs::new(release);
    let ours = Server::new("Adieu, HTTP/2", &programs.checked, "127.0.0.1:PORT --http2", true);
    let mut servers = vec![ours.over(Over::Http2)];
    for other in if peers { http2_others::install()? } else { Vec::new() } {
        let (name, command) = (format!("{}, HTTP/2", other.library), other.command + " PORT");
        servers.push(Server { name, command, ours: false, over: Over::Http2 });
    }
    Ok(servers)
}

/// Those of the storm: only who says goodbye at SIGTERM can be compared.
pub(super) fn storming(release: &Path, peers: bool) -> Vec<Server> {
    let programs = Programs::new(release);
    let mut servers = Vec::from(programs.ours());
    if peers {
        let tungstenite = &programs.tungstenite;
        servers.extend([
            Server::new("axum, by hand", &programs.axum, "PORT hand", false),
            Server::new("tokio-tungstenite, by hand", tungstenite, "PORT hand", false),
            programs.node("npm ws, by hand", "hand"),
        ]);
    }
    servers
}

/// Builds what is run, in release mode; the other libraries in Rust only where they take part.
pub(super) fn build(peers: bool, libraries: bool) -> Result<(), String> {
    let command = ["build", "--release", "-p", "adieu-cli", "--bin", "adieu"];
    run::run(&mut run::cargo(&command), BUILD_LIMIT)?;
    let checked = [
        "build",
        "--release",
        "-p",
        "adieu",
        "--features",
        "deflate,http2",
        "--example",
        "checked",
    ];
    run::run(&mut run::cargo(&checked), BUILD_LIMIT)?;
    // A workspace of its own, with a target directory of its own.
    let dir = peers_dir();
    if libraries {
        let mut others = run::cargo(&["build", "--release", "--locked"]);
        others.current_dir(&dir).env("CARGO_TARGET_DIR", dir.join("target"));
        run::run(&mut others, BUILD_LIMIT)?;
    }
    if peers {
        let mut npm = Command::new("npm");
        npm.args(["ci", "--no-audit", "--no-fund"]).current_dir(dir.join("ws"));
        run::run(&mut npm, BUILD_LIMIT)?;
    }
    Ok(())
}

fn peers_dir() -> PathBuf {
    run::root().join("conformance/peers")
}

/// A program as this system names it.
pub(super) fn program(dir: &Path, name: &str) -> PathBuf {
    dir.join(format!("{name}{}", std::env::consts::EXE_SUFFIX))
}
