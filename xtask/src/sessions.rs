//! `cargo xtask sessions`: the tests of sessions in their long form, and what they measured.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::client;
use crate::run;

/// 200 rounds of kill -9, minutes of waiting, 5,000 sessions: about a quarter of an hour.
const LIMIT: Duration = Duration::from_secs(60 * 60);

const KEPT: &str = "conformance/sessions.txt";

const HEAD: &str = "\
# What the long form of the tests of sessions measured: cargo xtask sessions
# (tests/sessions of adieu-cli and tests/store of adieu-gateway, optimized, with ADIEU_LONG=1)
";

/// The same in real browsers: 400 first visits in each, half of them behind a slow line.
fn browsers(figures: &Path) -> Result<(), String> {
    let args = ["test", "-p", "browser", "--test", "sessions", "--", "--nocapture"];
    let adieu = run::target_dir()?.join("release/adieu");
    let mut test = run::cargo(&args);
    test.arg("--test-threads=1").env("ADIEU_FIGURES", figures).env("ADIEU_BIN", adieu);
    test.env("ADIEU_LONG", "1");
    run::run(&mut test, LIMIT)
}

/// Runs them and keeps the figures.
pub(crate) fn run() -> Result<(), String> {
    let kept = run::root().join(KEPT);
    let cannot = |error: std::io::Error| format!("{}: {error}", kept.display());
    let figures = run::target_dir()?.join("sessions-figures.txt");
    fs::write(&figures, "").map_err(cannot)?;
    let packages = ["-p", "adieu-session", "-p", "adieu-gateway", "-p", "adieu-cli"];
    let mut test = run::cargo(&["test", "--release"]);
    test.args(packages).args(["--lib", "--test", "sessions", "--test", "store"]);
    test.args(["--", "--nocapture", "--test-threads=1"]);
    test.env("ADIEU_LONG", "1").env("ADIEU_FIGURES", &figures);
    run::run(&mut test, LIMIT)?;
    client::check()?;
    run::run(&mut run::cargo(&["build", "--release", "-p", "adieu-cli"]), LIMIT)?;
    browsers(&figures)?;
    let text = fs::read_to_string(&figures).map_err(cannot)?;
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    fs::write(&kept, format!("{HEAD}\n{}\n", lines.join("\n\n"))).map_err(cannot)?;
    println!("{} figures in {KEPT}", lines.len());
    Ok(())
}
