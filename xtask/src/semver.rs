//! `cargo xtask semver`: what has changed in the interfaces that are promised, since a commit. For
//! the time before a release, not for each commit.

use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::crates::{features, published, text};
use crate::run;

/// The crates whose interfaces are promised (CONTRIBUTING.md, "What is promised").
const PROMISED: &[&str] = &["adieu-proto", "adieu"];

const TOOL: &str = "cargo-semver-checks";

/// The first version that reads what the rustdoc of Rust 1.95 writes is 0.46.
const TOOL_VERSION: &str = "0.51.0";

/// A large program, and the documentation of all dependencies, twice.
const LIMIT: Duration = Duration::from_secs(60 * 60);

/// Compares with the commit that `--since` names, else with the last release.
pub(crate) fn run(options: &[&str]) -> Result<(), String> {
    let since = match options {
        [] => last_release()?,
        ["--since", revision] => (*revision).to_owned(),
        other => return Err(format!("semver has one option, --since; not {}", other.join(" "))),
    };
    let commit = git(&["rev-parse", "--verify", &format!("{since}^{{commit}}")])?;
    install()?;
    let metadata = run::metadata()?;
    let mut broken = Vec::new();
    for package in published(&metadata).filter(|one| PROMISED.contains(&text(one, "name"))) {
        if run::run(&mut compare(package, commit.trim()), LIMIT).is_err() {
            broken.push(text(package, "name"));
        }
    }
    if broken.is_empty() {
        return Ok(());
    }
    Err(format!("since {since} there is a break, or it cannot be told: {}", broken.join(", ")))
}

/// Works without crates.io: both versions are built from this repository.
fn compare(package: &Value, commit: &str) -> Command {
    let mut compare = run::cargo(&["semver-checks", "--package", text(package, "name")]);
    compare.args(["--baseline-rev", commit, "--only-explicit-features"]);
    for feature in features(package).split(',').filter_map(|name| name.split('/').next_back()) {
        compare.args(["--features", feature]);
    }
    compare
}

fn last_release() -> Result<String, String> {
    let tag = git(&["describe", "--tags", "--abbrev=0", "--match", "v*"]);
    let tag = tag.map_err(|_| "there is no release yet: name a commit with --since".to_owned())?;
    Ok(tag.trim().to_owned())
}

fn git(args: &[&str]) -> Result<String, String> {
    run::output(Command::new("git").current_dir(run::root()).args(args))
}

fn install() -> Result<(), String> {
    if run::output(&mut run::cargo(&["semver-checks", "--version"])).is_ok() {
        return Ok(());
    }
    println!("{TOOL} is missing and is installed now; it is large: some ten minutes on two cores.");
    run::run(&mut run::cargo(&["install", "--locked", TOOL, "--version", TOOL_VERSION]), LIMIT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_comparison_names_the_features_of_the_interface() {
        let package = json!({ "name": "adieu-proto", "features": { "legacy": [], "testing": [] } });
        let shown = run::shown(&compare(&package, "abc"));
        assert!(shown.contains("--package adieu-proto --baseline-rev abc"), "{shown}");
        assert!(shown.ends_with("--only-explicit-features --features legacy"), "{shown}");
    }
}
