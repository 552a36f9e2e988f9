//! `cargo xtask endings`: what `adieu check` finds, with its full numbers, of a server with
//! nothing but Adieu's defaults, of an axum application with Adieu inside, and of other libraries.
//!
//! The figures are kept in `conformance/endings.json`, the table in `docs/check-table.md`.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::run;

mod figures;
mod table;

use figures::Kept;

/// A cold release build of everything on two cores stays far below it.
const BUILD_LIMIT: Duration = Duration::from_secs(30 * 60);

/// A server that hangs in every way keeps a check busy for about five minutes.
const CHECK_LIMIT: Duration = Duration::from_secs(10 * 60);

/// Runs of our own servers: one good run may be luck.
const RUNS: usize = 3;

/// What to run, from the command line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Options {
    runs: usize,
    peers: bool,
}

impl Options {
    /// Reads the words after `cargo xtask endings`.
    pub(crate) fn parse(words: &[&str]) -> Result<Self, String> {
        let mut options = Options { runs: RUNS, peers: false };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            match *word {
                "--peers" => options.peers = true,
                "--runs" => {
                    let runs = words.next().and_then(|runs| runs.parse().ok());
                    options.runs = runs.filter(|n| *n > 0).ok_or("--runs needs a number")?;
                }
                other => return Err(format!("endings has no option {other}")),
            }
        }
        Ok(options)
    }
}

/// A server that is checked.
struct Server {
    /// Its name in the table.
    name: &'static str,
    /// How it is started; `PORT` is replaced.
    command: String,
    /// Ours must be found well; the others are there to compare with.
    ours: bool,
}

/// Runs the checks, prints the table, keeps both; an error names what fell short.
pub(crate) fn run(options: &Options) -> Result<(), String> {
    let release = run::target_dir()?.join("release");
    let adieu = program(&release, "adieu");
    build(options)?;
    let kept_file = run::root().join("conformance/endings.json");
    let mut kept = fs::read_to_string(&kept_file)
        .map_or_else(|_| Ok(Kept::default()), |text| Kept::parse(&text))
        .map_err(|why| format!("{}: {why}", kept_file.display()))?;
    let mut faults = Vec::new();
    for server in servers(&release, options) {
        let runs = if server.ours { options.runs } else { 1 };
        let mut reports = Vec::new();
        for n in 1..=runs {
            println!("\n=== {}, run {n} of {runs}", server.name);
            let report = check(&adieu, &server)?;
            println!("{}", table::summary(&report));
            reports.push(report);
        }
        let found = figures::Server::new(&reports)?;
        if server.ours {
            faults.extend(found.faults().map(|fault| format!("{}: {fault}", server.name)));
        }
        kept.put(server.name, found);
    }
    write(&kept_file, &kept.to_json())?;
    write(&run::root().join("docs/check-table.md"), &table::markdown(&kept))?;
    println!("\nconformance/endings.json and docs/check-table.md are written");
    if faults.is_empty() { Ok(()) } else { Err(format!("not well:\n  {}", faults.join("\n  "))) }
}

fn write(file: &Path, text: &str) -> Result<(), String> {
    fs::write(file, text).map_err(|error| format!("{}: {error}", file.display()))
}

fn build(options: &Options) -> Result<(), String> {
    let command = ["build", "--release", "-p", "adieu-gateway", "--bin", "adieu"];
    run::run(&mut run::cargo(&command), BUILD_LIMIT)?;
    let checked = ["build", "--release", "-p", "adieu", "--example", "checked"];
    run::run(&mut run::cargo(&checked), BUILD_LIMIT)?;
    // A workspace of its own, with a target directory of its own.
    let mut peers = run::cargo(&["build", "--release", "--locked"]);
    let dir = peers_dir();
    peers.current_dir(&dir).env("CARGO_TARGET_DIR", dir.join("target"));
    run::run(&mut peers, BUILD_LIMIT)?;
    if options.peers {
        let mut npm = Command::new("npm");
        npm.args(["ci", "--no-audit", "--no-fund"]).current_dir(dir.join("ws"));
        run::run(&mut npm, BUILD_LIMIT)?;
    }
    Ok(())
}

fn peers_dir() -> PathBuf {
    run::root().join("conformance/peers")
}

fn program(dir: &Path, name: &str) -> PathBuf {
    dir.join(format!("{name}{}", std::env::consts::EXE_SUFFIX))
}

fn servers(release: &Path, options: &Options) -> Vec<Server> {
    let peers = peers_dir().join("target/release");
    let ours = |name, program: PathBuf, args: &str| Server {
        name,
        command: format!("'{}' {args}", program.display()),
        ours: true,
    };
    let other = |name, program: &Path, args: &str| Server {
        name,
        command: format!("'{}' {args}", program.display()),
        ours: false,
    };
    let checked = program(&release.join("examples"), "checked");
    let mut servers = vec![
        ours("Adieu", checked, "127.0.0.1:PORT"),
        ours("axum with Adieu", program(&peers, "adieu-axum"), "PORT"),
    ];
    if options.peers {
        let tungstenite = program(&peers, "tungstenite");
        let script = peers_dir().join("ws/server.js");
        let node = |name, mode: &str| Server {
            name,
            command: format!("node '{}' PORT {mode}", script.display()),
            ours: false,
        };
        servers.extend([
            other("axum", &program(&peers, "axum"), "PORT"),
            other("tokio-tungstenite", &tungstenite, "PORT"),
            other("tokio-tungstenite, by hand", &tungstenite, "PORT hand"),
            node("npm ws", ""),
            node("npm ws, by hand", "hand"),
        ]);
    }
    servers
}

/// One run of `adieu check` against a server that it starts itself.
fn check(adieu: &Path, server: &Server) -> Result<Value, String> {
    let port = free_port()?;
    let line = server.command.replace("PORT", &port.to_string());
    let mut command = Command::new(adieu);
    command.args(["check", "--json", &format!("ws://127.0.0.1:{port}/"), "--cmd", line.trim()]);
    let out = std::env::temp_dir().join(format!("adieu-endings-{}.json", std::process::id()));
    let file = fs::File::create(&out).map_err(|error| format!("{}: {error}", out.display()))?;
    // Its progress goes to the terminal.
    let mut running = run::Running::start(command.stdin(Stdio::null()).stdout(file))?;
    let status = running.wait(CHECK_LIMIT)?.ok_or("`adieu check` did not finish")?;
    let said = fs::read_to_string(&out).map_err(|error| format!("{}: {error}", out.display()))?;
    let _ = fs::remove_file(&out);
    // 0: nothing is bad, 1: something is. Anything else is no judgement.
    if !matches!(status.code(), Some(0 | 1)) {
        return Err(format!("`adieu check` could not judge {} ({status})", server.name));
    }
    serde_json::from_str(&said).map_err(|error| format!("the report of adieu check: {error}"))
}

/// A port that was free a moment ago.
fn free_port() -> Result<u16, String> {
    let bound = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|it| it.local_addr());
    bound.map(|addr| addr.port()).map_err(|error| format!("no free port: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_and_unknown_ones_refused() {
        assert_eq!(Options::parse(&[]).unwrap(), Options { runs: 3, peers: false });
        let both = Options::parse(&["--peers", "--runs", "5"]).unwrap();
        assert_eq!(both, Options { runs: 5, peers: true });
        assert!(Options::parse(&["--runs", "0"]).is_err());
        assert!(Options::parse(&["--runs"]).is_err());
        assert!(Options::parse(&["--fast"]).unwrap_err().contains("--fast"));
    }
}
