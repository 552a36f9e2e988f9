//! `cargo xtask webhooks`: the official libraries of Standard Webhooks verify what the gateway
//! sends.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::run;

/// Far beyond what the downloads, a cold build and the events take.
const LIMIT: Duration = Duration::from_secs(30 * 60);

const LIBRARIES: &str = "conformance/webhooks";
const KEPT: &str = "conformance/webhooks.txt";

/// Sessions of which each backend hears: 31 events and questions in each.
const SESSIONS: usize = 400;
const FEW_SESSIONS: usize = 12;

const HEAD: &str = "\
# What official libraries of Standard Webhooks verified and parsed as it is, of what `adieu serve`
# sent: cargo xtask webhooks. The gateway had two secrets, each library knew one of them. Of each of
# the first 100 they refused three forgeries: a changed body, another id, a time 301 s earlier.
";

/// Installs the libraries and runs the tests; `--quick` has few events and keeps nothing.
pub(crate) fn run(options: &[&str]) -> Result<(), String> {
    let quick = match options {
        [] => false,
        ["--quick"] => true,
        other => return Err(format!("webhooks has one option, --quick; not {}", other.join(" "))),
    };
    let dir = run::root().join(LIBRARIES);
    let mut npm = Command::new("npm");
    npm.args(["ci", "--no-audit", "--no-fund"]).current_dir(&dir);
    run::run(&mut npm, LIMIT)?;
    let python = python_packages(&dir)?;
    let figures = run::target_dir()?.join("webhooks/figures.txt");
    let cannot = |file: &Path, error| format!("{}: {error}", file.display());
    fs::write(&figures, "").map_err(|error| cannot(&figures, error))?;
    let sessions = if quick { FEW_SESSIONS } else { SESSIONS };
    let packages = ["test", "-p", "adieu-session", "-p", "adieu-gateway", "-p", "adieu-cli"];
    let mut test = run::cargo(&packages);
    test.args(["--test", "sessions", "--", "--ignored", "--nocapture", "webhooks::"]);
    test.env("ADIEU_WEBHOOKS", python).env("ADIEU_FIGURES", &figures);
    test.env("ADIEU_WEBHOOKS_SESSIONS", sessions.to_string());
    run::run(&mut test, LIMIT)?;
    if quick {
        return Ok(());
    }
    let text = fs::read_to_string(&figures).map_err(|error| cannot(&figures, error))?;
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    let versions = versions(&dir)?;
    let kept = run::root().join(KEPT);
    let text = format!("{HEAD}\n{versions}\n\n{}\n", lines.join("\n\n"));
    fs::write(&kept, text).map_err(|error| cannot(&kept, error))?;
    println!("{} languages in {KEPT}", lines.len());
    Ok(())
}

/// Installs the library for Python in a directory of its own: that needs no virtual environment.
fn python_packages(dir: &Path) -> Result<PathBuf, String> {
    let packages = run::target_dir()?.join("webhooks/python");
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--upgrade"]);
    pip.arg("--requirement").arg(dir.join("requirements.txt")).arg("--target").arg(&packages);
    pip.env("PIP_ROOT_USER_ACTION", "ignore");
    run::run(&mut pip, LIMIT)?;
    Ok(packages)
}

/// The pinned versions in a line.
fn versions(dir: &Path) -> Result<String, String> {
    let read = |name: &str| {
        let file = dir.join(name);
        fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))
    };
    let package: serde_json::Value = serde_json::from_str(&read("package.json")?)
        .map_err(|error| format!("package.json: {error}"))?;
    let npm = package["dependencies"]["standardwebhooks"].as_str().unwrap_or("?").to_owned();
    let pinned = read("requirements.txt")?;
    let pip =
        pinned.lines().find_map(|line| line.strip_prefix("standardwebhooks==")).unwrap_or("?");
    Ok(format!("standardwebhooks {npm} of npm, standardwebhooks {pip} of PyPI"))
}
