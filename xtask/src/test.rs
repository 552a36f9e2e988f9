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
use crate::tally::{Need, Outcome, Tally};

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

const EXAMPLES: &[&str] =
    &["build", "--workspace", "--exclude", "browser", "--all-features", "--examples", "--bins"];

/// Runs the steps and prints the table; the exit code says whether all is well.
pub(crate) fn run(extent: Extent) -> ExitCode {
    let mut tally = Tally::new(in_ci());
    let ready = tally.step("set-up", Need::Always, || setup::run().into());
    cargo(&mut tally, "formatting", &["fmt", "--all", "--check"]);
    let all = ["clippy", "--workspace", "--all-targets", "--all-features", "--", "-D", "warnings"];
    cargo(&mut tally, "clippy, workspace", &all);
    if extent == Extent::Whole {
        tally.step("clippy, each crate and feature alone", Need::Always, || clippy_alone().into());
    }
    // Some tests run examples as programs; with targets named, `cargo test` does not build them.
    cargo(&mut tally, "examples", EXAMPLES);
    cargo(&mut tally, "unit and integration tests", TESTS);
    if extent == Extent::Whole {
        the_rest(&mut tally, ready);
    }
    println!("\n{}", tally.table());
    if tally.clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn the_rest(tally: &mut Tally, ready: bool) {
    // The exhaustive walks of the close machine are too slow without optimization and ignore
    // themselves in a debug build.
    let release = ["test", "--release", "-p", "adieu-proto", "--lib", "--tests", "--no-fail-fast"];
    cargo(tally, "protocol tests, optimized", &release);
    tally.step("fuzz targets", Need::Always, || fuzz::run(&fuzz::Options::default()).into());
    let examples = ["test", "--workspace", "--exclude", "browser", "--all-features", "--doc"];
    cargo(tally, "documentation tests", &examples);
    tally.step("documentation", Need::Always, || documentation().into());
    tally.step("the book", Need::Always, || crate::docs::run().into());
    let client = tally.step("client", Need::Always, || client::check().into());
    tally.step("webhook libraries", Need::Always, || crate::webhooks::run(&["--quick"]).into());
    tally.step("deploy", Need::WherePossible, crate::deploy::outcome);
    let build = ["build", "--release", "-p", "adieu-cli", "--bin", "adieu"];
    let built = cargo(tally, "release build", &build);
    let tested = tally.step("browser tests", Need::Always, || {
        let cannot = match (ready, built, client) {
            (false, ..) => Some("the set-up failed"),
            (_, false, _) => Some("there is no release build"),
            (.., false) => Some("the client is not well"),
            (true, true, true) => None,
        };
        let tests = ["test", "-p", "browser", "--", "--test-threads=2", "--nocapture"];
        cannot.map_or_else(|| browsers(&tests).into(), |why| Outcome::Skipped(why.into()))
    });
    tally.step("browser table", Need::Always, || {
        if !tested {
            return Outcome::Skipped("the browser tests did not pass".into());
        }
        browsers(&["run", "-p", "browser", "--bin", "browser-table"]).into()
    });
    tally.step("instructions", Need::WherePossible, || crate::bench::instructions(&[]).into());
    tally.step("autobahn", Need::WherePossible, || {
        autobahn::run(&autobahn::Options::default()).into()
    });
}

/// The CI variable as the common services set it.
fn in_ci() -> bool {
    std::env::var("CI").is_ok_and(|ci| !matches!(ci.as_str(), "" | "0" | "false"))
}

fn cargo(tally: &mut Tally, name: &str, args: &[&str]) -> bool {
    tally.step(name, Need::Always, || run::run(&mut run::cargo(args), STEP_LIMIT).into())
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
