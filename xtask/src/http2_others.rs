//! Servers of others that take WebSockets over HTTP/2: how they are installed, and how each is
//! started.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::{deflate_interop, run};

/// Downloads and a cold release build.
const LIMIT: Duration = Duration::from_secs(30 * 60);

/// A server; a port follows its command, and a certificate, its key and a page where it serves TLS.
pub(crate) struct Other {
    pub(crate) library: &'static str,
    /// With its version.
    pub(crate) name: String,
    pub(crate) command: String,
}

/// Installs all of them.
pub(crate) fn install() -> Result<Vec<Other>, String> {
    let peers = run::root().join("conformance/peers");
    let packages = run::target_dir()?.join("http2-others/python");
    let mut build = run::cargo(&["build", "--release", "--locked", "--features", "http2"]);
    build.args(["--bin", "axum-http2"]).current_dir(&peers);
    run::run(build.env("CARGO_TARGET_DIR", peers.join("target")), LIMIT)?;
    let mut npm = Command::new("npm");
    npm.args(["ci", "--no-audit", "--no-fund"]).current_dir(peers.join("ws"));
    run::run(&mut npm, LIMIT)?;
    let dir = peers.join("http2");
    deflate_interop::pip(&dir, &packages)?;
    let node = run::output(Command::new("node").arg("--version"))?;
    let axum = version(&peers.join("Cargo.lock"), "name = \"axum\"\nversion = \"", "\"")?;
    let ws = version(&peers.join("ws/package.json"), "\"ws\": \"", "\"")?;
    let hypercorn = version(&dir.join("requirements.txt"), "hypercorn==", "\n")?;
    let (script, app) = (shown(&dir.join("server.js")), shown(&dir.join("server.py")));
    Ok(vec![
        Other {
            library: "axum",
            name: format!("axum {axum}"),
            command: shown(&peers.join("target/release/axum-http2")),
        },
        Other {
            library: "npm ws",
            name: format!("npm ws {ws} on Node {}", node.trim()),
            command: format!("node {script}"),
        },
        Other {
            library: "Hypercorn",
            name: format!("Hypercorn {hypercorn}"),
            command: format!("env PYTHONPATH={} python3 {app}", shown(&packages)),
        },
    ])
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// What stands between these in a file.
fn version(file: &PathBuf, before: &str, behind: &str) -> Result<String, String> {
    let text = fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
    let found = text.split_once(before).and_then(|(_, rest)| rest.split_once(behind));
    let found = found.ok_or_else(|| format!("{}: no {before}", file.display()))?;
    Ok(found.0.to_owned())
}
