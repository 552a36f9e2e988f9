//! `cargo xtask test`: every check and every test, in an order that fails early and cheaply.

mod beside;
mod targets;

use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::Duration;

use self::beside::Beside;
use self::targets::Target;
use crate::autobahn;
use crate::client;
use crate::crates::published;
use crate::fuzz;
use crate::run;
use crate::setup;
use crate::tally::{Outcome, Step, Tally};

/// How much to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// Everything.
    Whole,
    /// What a developer wants to know before each commit.
    Fast,
}

/// A step that is not finished by then hangs; a cold build of everything on two cores takes a few
/// minutes.
const STEP_LIMIT: Duration = Duration::from_secs(30 * 60);

/// All that has tests, but for the documentation, which cargo tests apart from the others.
const TESTS: &[&str] = &["test", "--workspace", "--all-features", "--lib", "--bins", "--tests"];

/// Some tests run examples as programs; with targets named, `cargo test` does not build them. It is
/// for the whole workspace as well, because other features would have all built twice.
const EXAMPLES: &[&str] = &["build", "--workspace", "--all-features", "--examples", "--bins"];

/// The tests of the browsers have a step of their own, which needs the released program.
fn needs_a_browser(target: &Target) -> bool {
    target.name.starts_with("browser ")
}

const CLIPPY: &[&str] =
    &["clippy", "--workspace", "--all-targets", "--all-features", "--", "-D", "warnings"];

const MANUAL: &[&str] = &["test", "--workspace", "--all-features", "--doc"];

const OPTIMIZED: &[&str] =
    &["test", "--release", "-p", "adieu-proto", "--lib", "--tests", "--no-fail-fast"];

const PROGRAM: &[&str] = &["build", "--release", "-p", "adieu-cli", "--bin", "adieu"];

/// What a developer wants to know before each commit.
const FAST: &[Step] = &[
    Step::new("set-up", || setup::run().into()),
    Step::new("formatting", || cargo(&["fmt", "--all", "--check"])),
    Step::new("clippy, workspace", || cargo(CLIPPY)),
    Step::new("unit and integration tests", || tests().into()),
];

/// What is behind these in a whole run.
const THE_REST: &[Step] = &[
    Step::new("clippy, each crate and feature alone", || clippy_alone().into()),
    // The exhaustive walks of the close machine are too slow without optimization and ignore
    // themselves in a debug build.
    Step::new("protocol tests, optimized", || cargo(OPTIMIZED)),
    Step::new("fuzz targets", || fuzz::run(&fuzz::Options::default()).into()),
    Step::new("documentation tests", || cargo(MANUAL)),
    Step::new("documentation", || documentation().into()),
    Step::new("the book", || crate::docs::run().into()),
    Step::new("client", || client::check().into()),
    Step::new("webhook libraries", || crate::webhooks::run(&["--quick"]).into()),
    Step::new("deploy", crate::deploy::outcome).where_possible(),
    Step::new("release build", || cargo(PROGRAM)),
    Step::new("browser tests", || browsers().into()).after(&["set-up", "release build", "client"]),
    Step::new("compression with others", compression_with_others).after(&["browser tests"]),
    Step::new("browser table", || browser_table().into()).after(&["browser tests"]),
    Step::new("instructions", || crate::bench::instructions(&[]).into()).where_possible(),
    Step::new("autobahn", || autobahn::run(&autobahn::Options::default()).into()).where_possible(),
];

impl Extent {
    fn steps(self) -> impl ExactSizeIterator<Item = &'static Step> {
        let rest = if self == Extent::Whole { THE_REST } else { &[] };
        let steps: Vec<&Step> = FAST.iter().chain(rest).collect();
        steps.into_iter()
    }

    /// What it needs, for who has started it (measured: docs/testing.md).
    fn costs(self) -> &'static str {
        match self {
            Extent::Whole => {
                "From nothing, on two quiet cores, it takes about 25 minutes and 6 GB below \
                 target/; it brings Debian packages, which it names first, and into target/ what \
                 docs/testing.md lists."
            }
            Extent::Fast => {
                "From nothing, on two quiet cores, it takes about 6 minutes; where all is built, \
                 about 2. It brings Debian packages, which it names first."
            }
        }
    }
}

/// Runs the steps and prints the table; the exit code says whether all is well.
pub(crate) fn run(extent: Extent) -> ExitCode {
    let steps = extent.steps();
    let (count, costs) = (steps.len(), extent.costs());
    println!("{count} steps. {costs}");
    let mut tally = Tally::new(in_ci(), count);
    steps.for_each(|step| tally.step(step));
    println!("\n{}", tally.table());
    if tally.clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The CI variable as the common services set it.
fn in_ci() -> bool {
    std::env::var("CI").is_ok_and(|ci| !matches!(ci.as_str(), "" | "0" | "false"))
}

/// Builds every test and runs those that need no browser.
fn tests() -> Result<(), String> {
    run::run(&mut run::cargo(EXAMPLES), STEP_LIMIT)?;
    let targets = targets::build(TESTS, STEP_LIMIT)?;
    let targets = targets.into_iter().filter(|target| !needs_a_browser(target)).collect();
    let beside = Beside { programs: 2, tests: 2, environment: Vec::new(), limit: STEP_LIMIT };
    beside::run(targets, &beside)
}

fn cargo(args: &[&str]) -> Outcome {
    run::run(&mut run::cargo(args), STEP_LIMIT).into()
}

fn compression_with_others() -> Outcome {
    crate::deflate_interop::run(&crate::deflate_interop::Options::quick()).into()
}

/// Broken links in the documentation are errors.
fn documentation() -> Result<(), String> {
    let mut doc = run::cargo(&["doc", "--no-deps", "--workspace", "--all-features"]);
    run::run(doc.env("RUSTDOCFLAGS", "-Dwarnings"), STEP_LIMIT)
}

/// The browser tests drive the binary that people get.
fn browsers() -> Result<(), String> {
    let targets = targets::build(TESTS, STEP_LIMIT)?;
    let targets = targets.into_iter().filter(needs_a_browser).collect();
    let environment = vec![("ADIEU_BIN", released()?)];
    beside::run(targets, &Beside { programs: 1, tests: 1, environment, limit: STEP_LIMIT })
}

fn browser_table() -> Result<(), String> {
    let mut table = Command::new(built("debug", "browser-table")?);
    run::run(table.current_dir(run::root()).env("ADIEU_BIN", released()?), STEP_LIMIT)
}

/// The program that people get.
fn released() -> Result<PathBuf, String> {
    built("release", "adieu")
}

/// A program that an earlier step has built.
fn built(profile: &str, program: &str) -> Result<PathBuf, String> {
    let program = format!("{program}{}", std::env::consts::EXE_SUFFIX);
    let file = run::target_dir()?.join(profile).join(program);
    if file.is_file() { Ok(file) } else { Err(format!("{} is not there", file.display())) }
}

/// In a workspace build the features of all members are joined, which hides code that compiles
/// only because another crate switched a feature on. People build one crate with few features.
fn clippy_alone() -> Result<(), String> {
    let mut failed = Vec::new();
    for args in alone(&run::metadata()?) {
        let mut clippy = run::cargo(&["clippy", "--quiet"]);
        clippy.args(args.split(' ')).args(["--", "-D", "warnings"]);
        if run::run(&mut clippy, STEP_LIMIT).is_err() {
            failed.push(args);
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(format!("clippy {}", failed.join("; clippy "))) }
}

/// Cargo's arguments for each published crate: without features, and with each feature alone.
fn alone(metadata: &serde_json::Value) -> Vec<String> {
    let mut all = Vec::new();
    for package in published(metadata) {
        let name = package["name"].as_str().unwrap_or_default();
        all.push(format!("-p {name} --no-default-features"));
        let features = package["features"].as_object().into_iter().flatten();
        let features = features.map(|(feature, _)| feature).filter(|name| *name != "default");
        all.extend(features.map(|one| format!("-p {name} --no-default-features --features {one}")));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_published_crate_and_each_feature_is_checked_alone() {
        let metadata = json!({ "packages": [
            { "name": "a", "publish": null, "features": { "default": [], "tls": ["dep:x"] } },
            { "name": "b", "publish": [], "features": { "hidden": [] } },
            { "name": "c", "publish": null, "features": {} },
        ]});
        let expected = [
            "-p a --no-default-features",
            "-p a --no-default-features --features tls",
            "-p c --no-default-features",
        ];
        assert_eq!(alone(&metadata), expected);
    }
}
