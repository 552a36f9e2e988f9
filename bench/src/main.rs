//! `cargo xtask bench` runs this: measures all servers, keeps the figures, writes the report.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use bench::cells::{self, Cell, Plan};
use bench::sample::CPU;
use bench::{machine, report, server, sys};
use serde_json::{Map, Value, json};

const USAGE: &str = "\
Measures Adieu beside the floor of the kernel and other servers.

  --quick        few and short samples: about three minutes
  --only CELLS   these cells (their names, or beginnings of names; commas between).
                 deflate-… and http2-…, which have servers of their own, only if they are named,
                 and only with the feature deflate or http2
  --peers NAMES  these servers, the floor and Adieu in any case. Adieu-multi, which
                 runs on tokio's multi-threaded runtime, and gateway, which has a backend behind
                 it (gateway-reply, -batch and -redb: told or kept in another way), only if they
                 are named
  --samples N    so many samples of each server in each cell
  --verify       compare every byte that comes back (costs the generator time)
  --prefer       go before other processes of this machine (needs root): steadier times, at
                 the cost of whatever else runs
  --report       measure nothing: write the report anew from the kept figures
  --list         the names of the cells and servers

Only a run of all cells and servers replaces the kept figures and the report.
";

#[derive(Debug, Default)]
struct Options {
    quick: bool,
    only: Vec<String>,
    peers: Vec<String>,
    samples: Option<usize>,
    verify: bool,
    prefer: bool,
    report: bool,
    list: bool,
    help: bool,
}

impl Options {
    fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Options::default();
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or(format!("{word} needs a value"));
            let list = |text: String| text.split(',').map(str::to_owned).collect();
            match word.as_str() {
                "--quick" => options.quick = true,
                "--only" => options.only = list(value()?),
                "--peers" => options.peers = list(value()?),
                "--samples" => {
                    let samples = value()?.parse().ok().filter(|n| *n > 0);
                    options.samples = Some(samples.ok_or("--samples needs a number")?);
                }
                "--verify" => options.verify = true,
                "--prefer" => options.prefer = true,
                "--report" => options.report = true,
                "--list" => options.list = true,
                "--help" | "-h" => options.help = true,
                other => return Err(format!("no such option: {other}\n\n{USAGE}")),
            }
        }
        Ok(options)
    }

    /// A misspelt name would measure less than was asked for.
    fn check(&self, root: &Path) -> Result<(), String> {
        let peers = server::peers(root);
        for name in &self.peers {
            if !peers.iter().any(|peer| peer.name.eq_ignore_ascii_case(name)) {
                return Err(format!("no server is called {name}; see --list"));
            }
        }
        for name in &self.only {
            if !cells::all().iter().any(|cell| cell.id.starts_with(name.as_str())) {
                return Err(format!("no cell is called {name}; see --list"));
            }
        }
        Ok(())
    }

    fn is_whole(&self) -> bool {
        self.only.is_empty() && self.peers.is_empty()
    }

    fn wants(&self, cell: &Cell) -> bool {
        let unasked = self.only.is_empty() && cell.is_measured_unasked();
        unasked || self.only.iter().any(|it| cell.id.starts_with(it.as_str()))
    }

    fn plan(&self, root: &Path) -> Plan {
        let mut peers = server::peers(root);
        let always = [server::FLOOR, server::ADIEU];
        let named = |name: &str| self.peers.iter().any(|it| it.eq_ignore_ascii_case(name));
        peers.retain(|peer| match self.peers.is_empty() {
            true => server::is_measured_unasked(peer.name),
            false => always.contains(&peer.name) || named(peer.name),
        });
        let (samples, large, millis) = if self.quick { (3, 1, 200) } else { (9, 5, 400) };
        Plan {
            peers,
            samples: self.samples.unwrap_or(samples),
            large_samples: self.samples.unwrap_or(large),
            length: Duration::from_millis(millis),
            verify: self.verify,
        }
    }
}

fn measure(options: &Options, plan: &Plan) -> io::Result<Value> {
    let mut kept = Vec::new();
    for cell in cells::all().iter().filter(|cell| options.wants(cell)) {
        let began = Instant::now();
        println!("\n{}: {}", cell.id, cell.title);
        let json = cell.run(plan)?.to_json();
        print!("{}", report::plain(&json));
        println!("  ({:.1} s)", began.elapsed().as_secs_f64());
        kept.push(json!({
            "id": cell.id, "kind": cell.kind(), "title": cell.title, "servers": json,
        }));
    }
    let versions: Map<String, Value> =
        plan.peers.iter().map(|peer| (peer.name.to_owned(), json!(peer.version))).collect();
    Ok(json!({
        "machine": machine::describe(),
        "versions": versions,
        "quick": options.quick,
        "sample_ms": plan.length.as_millis() as u64,
        "figure_of_merit": CPU,
        "cells": kept,
    }))
}

fn run() -> Result<(), String> {
    let options = Options::parse(std::env::args().skip(1))?;
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    options.check(&root)?;
    let plan = options.plan(&root);
    let others = [server::compressing(&root), server::over_tls(&root)].concat();
    if options.help {
        print!("{USAGE}");
        return Ok(());
    }
    if options.list {
        cells::all().iter().for_each(|cell| println!("{:<20} {}", cell.id, cell.title));
        let servers = plan.peers.iter().chain(&others);
        servers.for_each(|peer| println!("{:<20} {}", peer.name, peer.version));
        return Ok(());
    }
    if options.report {
        return report::write(&root, &report::kept(&root)?);
    }
    sys::pin(server::GENERATOR_CORE).map_err(|error| format!("two cores are needed: {error}"))?;
    if options.prefer {
        sys::prefer().map_err(|error| format!("--prefer: {error}"))?;
    }
    sys::raise_open_files();
    let results = measure(&options, &plan).map_err(|error| error.to_string())?;
    if options.is_whole() {
        report::keep(&root, &results)?;
        report::write(&root, &results)?;
    }
    Ok(())
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("bench: {why}");
            ExitCode::FAILURE
        }
    }
}
