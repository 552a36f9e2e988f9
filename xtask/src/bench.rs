//! `cargo xtask bench`: builds the servers of bench/ and runs its measurements. The work is there.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::run;

/// A cold release build of everything on two cores stays far below it.
const BUILD_LIMIT: Duration = Duration::from_secs(30 * 60);

/// A run of all cells takes less than half an hour on an idle machine.
const RUN_LIMIT: Duration = Duration::from_secs(2 * 60 * 60);

/// The workspace of the measurements.
fn dir() -> PathBuf {
    run::root().join("bench")
}

/// Where it is built. The environment's target directory is the main workspace's.
fn release() -> PathBuf {
    dir().join("target/release")
}

/// Cargo in that workspace.
fn cargo(args: &[&str]) -> Command {
    let mut cargo = run::cargo(args);
    cargo.current_dir(dir()).env("CARGO_TARGET_DIR", dir().join("target"));
    cargo
}

/// Builds, then measures with these options.
pub(crate) fn run(options: &[&str]) -> Result<(), String> {
    run::run(&mut cargo(&["build", "--release", "--locked"]), BUILD_LIMIT)?;
    if !dir().join("js/node_modules/ws").is_dir() {
        let mut npm = Command::new("npm");
        npm.args(["ci", "--no-audit", "--no-fund"]).current_dir(dir().join("js"));
        run::run(&mut npm, BUILD_LIMIT)?;
    }
    run::run(Command::new(release().join("bench")).args(options), RUN_LIMIT)
}
