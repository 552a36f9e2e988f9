//! `cargo xtask test`: every check and every test, in an order that fails early and cheaply.

use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Duration;

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

/// Which tests `cargo test` runs: those of the browsers have a step of their own, and documentation
/// tests too, because cargo runs them apart from the others.
const TESTS: &[&str] = &[
    "test",
    "--workspace",
    "--exclude",
    "browser",
    "--all-features",
    "--lib",
    "--bins",
    "--tests",
    // One broken crate must not hide what else is broken.
    "--no-fail-fast",
];

const CLIPPY: &[&str] =
    &["clippy", "--workspace", "--all-targets", "--all-features", "--", "-D", "warnings"];

const EXAMPLES: &[&str] =
    &["build", "--workspace", "--exclude", "browser", "--all-features", "--examples", "--bins"];

const MANUAL: &[&str] = &["test", "--workspace", "--exclude", "browser", "--all-features", "--doc"];

const OPTIMIZED: &[&str] =
    &["test", "--release", "-p", "adieu-proto", "--lib", "--tests", "--no-fail-fast"];

const PROGRAM: &[&str] = &["build", "--release", "-p", "adieu-cli", "--bin", "adieu"];

const BROWSERS: &[&str] = &["test", "-p", "browser", "--", "--test-threads=2", "--nocapture"];

const TABLE: &[&str] = &["run", "-p", "browser", "--bin", "browser-table"];

/// What a developer wants to know before each commit.
const FAST: &[Step] = &[
    Step::new("set-up", || setup::run().into()),
    Step::new("formatting", || cargo(&["fmt", "--all", "--check"])),
    Step::new("clippy, workspace", || cargo(CLIPPY)),
    // Some tests run examples as programs; with targets named, `cargo test` does not build them.
    Step::new("examples", || cargo(EXAMPLES)),
    Step::new("unit and integration tests", || cargo(TESTS)),
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
    Step::new("browser tests", || browsers(BROWSERS).into()).after(&[
        "set-up",
        "release build",
        "client",
    ]),
    // With the build of the browser tests.
    Step::new("compression with others", compression_with_others).after(&["browser tests"]),
    Step::new("browser table", || browsers(TABLE).into()).after(&["browser tests"]),
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
                "From nothing, on two quiet cores, it takes about 35 minutes and 6 GB below \
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
fn browsers(args: &[&str]) -> Result<(), String> {
    let program = format!("adieu{}", std::env::consts::EXE_SUFFIX);
    let binary = run::target_dir()?.join("release").join(program);
    let mut command: Command = run::cargo(args);
    run::run(command.env("ADIEU_BIN", existing(&binary)?), STEP_LIMIT)
}

fn existing(file: &Path) -> Result<&Path, String> {
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
