//! The browser client: installed as its lock file says, built, tested, and weighed.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::run;

/// Far beyond what the downloads and the tests take.
const LIMIT: Duration = Duration::from_secs(10 * 60);

fn npm(args: &[&str]) -> Command {
    let mut npm = Command::new("npm");
    npm.args(args).current_dir(dir());
    npm
}

fn dir() -> PathBuf {
    run::root().join("client")
}

/// Types, tests, and the size of what browsers load.
pub(crate) fn check() -> Result<(), String> {
    run::run(&mut npm(&["ci", "--no-audit", "--no-fund"]), LIMIT)?;
    run::run(&mut npm(&["run", "check"]), LIMIT)
}
