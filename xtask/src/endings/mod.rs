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
mod servers;
mod storm;
mod table;

use figures::Kept;
use servers::{Over, Server};
use storm::Storm;

/// A server that hangs in every way keeps a check busy for about five minutes.
const CHECK_LIMIT: Duration = Duration::from_secs(10 * 60);

/// Runs of our own servers, and of all in the storm: one good run may be luck.
const RUNS: usize = 3;

const NO_PART: &str = "--only needs `checks`, `compression`, `http2` or `storm`";

/// `adieu check` with as many open files as this user may have.
const WITH_FILES: &str = "ulimit -Sn \"$(ulimit -Hn)\" && exec \"$@\"";

/// What to run, from the command line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Options {
    runs: usize,
    peers: bool,
    parts: Parts,
}

/// The parts of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Parts {
    /// All checks, of servers that do not compress.
    checks: bool,
    /// The checks of compression, of servers that do.
    compression: bool,
    /// All checks, over HTTP/2.
    http2: bool,
    storm: bool,
}

impl Parts {
    const ALL: Parts = Parts { checks: true, compression: true, http2: true, storm: true };
    const NONE: Parts = Parts { checks: false, compression: false, http2: false, storm: false };
}

impl Options {
    /// Reads the words after `cargo xtask endings`.
    pub(crate) fn parse(words: &[&str]) -> Result<Self, String> {
        let mut options = Options { runs: RUNS, peers: false, parts: Parts::ALL };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            match *word {
                "--peers" => options.peers = true,
                "--runs" => {
                    let runs = words.next().and_then(|runs| runs.parse().ok());
                    options.runs = runs.filter(|n| *n > 0).ok_or("--runs needs a number")?;
                }
                "--only" if options.parts != Parts::ALL => {
                    return Err("--only can be given once".to_owned());
                }
                "--only" => {
                    options.parts = match words.next() {
                        Some(&"checks") => Parts { checks: true, ..Parts::NONE },
                        Some(&"compression") => Parts { compression: true, ..Parts::NONE },
                        Some(&"http2") => Parts { http2: true, ..Parts::NONE },
                        Some(&"storm") => Parts { storm: true, ..Parts::NONE },
                        _ => return Err(NO_PART.to_owned()),
                    };
                }
                other => return Err(format!("endings has no option {other}")),
            }
        }
        Ok(options)
    }
}

/// Runs the checks, prints the table, keeps both; an error names what fell short.
pub(crate) fn run(options: &Options) -> Result<(), String> {
    let release = run::target_dir()?.join("release");
    let adieu = servers::program(&release, "adieu");
    servers::build(options.peers, options.parts.checks || options.parts.storm)?;
    let kept_file = run::root().join("conformance/endings.json");
    let mut kept = fs::read_to_string(&kept_file)
        .map_or_else(|_| Ok(Kept::default()), |text| Kept::parse(&text))
        .map_err(|why| format!("{}: {why}", kept_file.display()))?;
    let mut faults = Vec::new();
    let parts = options.parts;
    if parts.checks {
        let servers = servers::checked(&release, options.peers);
        checks(options, &adieu, &servers, &[], &mut kept, &mut faults)?;
    }
    if parts.compression {
        let servers = servers::compressing(&release, options.peers);
        let only = ["--only".to_owned(), servers::COMPRESSION.join(",")];
        checks(options, &adieu, &servers, &only, &mut kept, &mut faults)?;
    }
    if parts.http2 {
        let servers = servers::over_http2(&release, options.peers)?;
        checks(options, &adieu, &servers, &[], &mut kept, &mut faults)?;
    }
    if parts.storm {
        let storm = storm(options, &adieu, &release, &mut faults)?;
        println!("\n{}", table::storm_rows(&storm));
        // Figures of two runs are not to be compared: without the others ours are not kept.
        if options.peers {
            kept.storm = Some(storm);
        } else {
            println!("without --peers the figures of the storm stay as they were");
        }
    }
    write(&kept_file, &kept.to_json())?;
    write(&run::root().join("docs/check-table.md"), &table::markdown(&kept))?;
    println!("\nconformance/endings.json and docs/check-table.md are written");
    if faults.is_empty() { Ok(()) } else { Err(format!("not well:\n  {}", faults.join("\n  "))) }
}

fn checks(
    options: &Options,
    adieu: &Path,
    servers: &[Server],
    only: &[String],
    kept: &mut Kept,
    faults: &mut Vec<String>,
) -> Result<(), String> {
    let only: Vec<&str> = only.iter().map(String::as_str).collect();
    for server in servers {
        let runs = if server.ours { options.runs } else { 1 };
        let mut reports = Vec::new();
        for n in 1..=runs {
            println!("\n=== {}, run {n} of {runs}", server.name);
            let report = check(adieu, server, &only)?;
            println!("{}", table::summary(&report));
            reports.push(report);
        }
        let found = figures::Server::new(&reports)?;
        if server.ours {
            let may_skip = server.may_skip();
            let short = found.faults(&may_skip);
            faults.extend(short.map(|fault| format!("{}: {fault}", server.name)));
        }
        kept.put(&server.name, found);
    }
    Ok(())
}

fn storm(
    options: &Options,
    adieu: &Path,
    release: &Path,
    faults: &mut Vec<String>,
) -> Result<Storm, String> {
    let connections = connections()?;
    let clients = connections.to_string();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let mut storm = Storm::new(connections, cores as u64);
    let servers = servers::storming(release, options.peers);
    for n in storm::turns(servers.len(), options.runs) {
        let server = &servers[n];
        println!("\n=== close storm: {}", server.name);
        storm::wait_for_room(connections)?;
        let report = check(adieu, server, &["--only", storm::CHECK, "--clients", &clients])?;
        println!("{}", table::summary(&report));
        let judged = storm.add(&server.name, &report)?;
        if let (Err(fault), true) = (judged, server.ours) {
            faults.push(format!("{}, close storm: {fault}", server.name));
        }
    }
    Ok(storm)
}

/// The size of the storm, from the cases.
fn connections() -> Result<u64, String> {
    let file = run::root().join("conformance/cases.json");
    let text = fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
    let cases: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
    cases["close_storm"]["connections"].as_u64().ok_or_else(|| "the cases have no storm".to_owned())
}

fn write(file: &Path, text: &str) -> Result<(), String> {
    fs::write(file, text).map_err(|error| format!("{}: {error}", file.display()))
}

/// One run of `adieu check` against a server that it starts itself.
fn check(adieu: &Path, server: &Server, options: &[&str]) -> Result<Value, String> {
    let port = free_port()?;
    let line = server.command.replace("PORT", &port.to_string());
    let mut command = Command::new("sh");
    command.args(["-c", WITH_FILES, "adieu"]).arg(adieu).args(["check", "--json"]);
    command.arg(format!("ws://127.0.0.1:{port}/")).args(["--cmd", line.trim()]).args(options);
    command.args((server.over == Over::Http2).then_some("--http2"));
    let out = report_file();
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

fn report_file() -> PathBuf {
    std::env::temp_dir().join(format!("adieu-endings-{}.json", std::process::id()))
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
        let all = Options { runs: 3, peers: false, parts: Parts::ALL };
        assert_eq!(Options::parse(&[]).unwrap(), all);
        let both = Options::parse(&["--peers", "--runs", "5"]).unwrap();
        assert_eq!(both, Options { runs: 5, peers: true, ..all });
        for (word, parts) in [
            ("checks", Parts { checks: true, ..Parts::NONE }),
            ("compression", Parts { compression: true, ..Parts::NONE }),
            ("http2", Parts { http2: true, ..Parts::NONE }),
            ("storm", Parts { storm: true, ..Parts::NONE }),
        ] {
            assert_eq!(Options::parse(&["--only", word]).unwrap().parts, parts);
        }
        assert!(Options::parse(&["--only", "close"]).unwrap_err().contains("`storm`"));
        assert!(Options::parse(&["--only", "storm", "--only", "checks"]).is_err());
        assert!(Options::parse(&["--runs", "0"]).is_err());
        assert!(Options::parse(&["--runs"]).is_err());
        assert!(Options::parse(&["--fast"]).unwrap_err().contains("--fast"));
    }

    #[test]
    fn the_cases_say_how_large_the_storm_is() {
        assert_eq!(connections(), Ok(10_000));
    }
}
