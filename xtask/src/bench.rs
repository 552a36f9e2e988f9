//! `cargo xtask bench`, `cargo xtask instructions` and `cargo xtask fairness`: build what is in
//! bench/ and run it. The work is there.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::{run, setup};

/// A cold release build of everything on two cores stays far below it.
const BUILD_LIMIT: Duration = Duration::from_secs(30 * 60);

/// A run of all cells takes less than half an hour on an idle machine.
const RUN_LIMIT: Duration = Duration::from_secs(2 * 60 * 60);

/// The workspace of the measurements.
fn dir() -> PathBuf {
    run::root().join("bench")
}

/// A program of it. The environment's target directory is the main workspace's.
fn program(name: &str) -> Command {
    Command::new(dir().join("target/release").join(name))
}

/// Cargo in that workspace.
fn cargo(args: &[&str]) -> Command {
    let mut cargo = run::cargo(args);
    cargo.current_dir(dir()).env("CARGO_TARGET_DIR", dir().join("target"));
    cargo
}

/// Builds, then measures with these options.
pub(crate) fn run(options: &[&str]) -> Result<(), String> {
    setup::install_missing(&[("strace", "counts system calls")])?;
    run::run(&mut cargo(&["build", "--release", "--locked"]), BUILD_LIMIT)?;
    if !dir().join("js/node_modules/ws").is_dir() {
        let mut npm = Command::new("npm");
        npm.args(["ci", "--no-audit", "--no-fund"]).current_dir(dir().join("js"));
        run::run(&mut npm, BUILD_LIMIT)?;
    }
    run::run(program("bench").args(options), RUN_LIMIT)
}

/// Counts the instructions of the protocol's hot parts; fails if they have grown.
pub(crate) fn instructions(options: &[&str]) -> Result<(), String> {
    setup::install_missing(&[("valgrind", "counts instructions")])?;
    let build = ["build", "--release", "--locked", "--bin", "instructions"];
    run::run(&mut cargo(&build), BUILD_LIMIT)?;
    run::run(program("instructions").args(options), RUN_LIMIT)
}

/// Measures how long others on the same runtime wait for Adieu, and keeps the table.
pub(crate) fn fairness() -> Result<(), String> {
    run::run(&mut cargo(&["build", "--release", "--locked", "--bin", "fairness"]), BUILD_LIMIT)?;
    run::run(program("fairness").arg("--keep"), RUN_LIMIT)
}
