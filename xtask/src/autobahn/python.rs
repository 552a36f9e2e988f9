//! Finds a Python 2.7 and installs the testsuite for it.
//!
//! The testsuite never moved to Python 3, and Debian no longer has a Python 2, so it is looked for
//! where people who still need one keep it. The testsuite itself lives under `target/`.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::run;

/// Names the Python 2.7 to use, where it is in no usual place.
const CHOSEN: &str = "AUTOBAHN_PYTHON";

/// Every package with its version.
const REQUIREMENTS: &str = include_str!("requirements.txt");

/// The last virtualenv that runs on Python 2.7, and the last one on Python 3 that makes
/// environments for 2.7.
const VIRTUALENV: [&str; 2] = ["virtualenv==20.15.1", "virtualenv==20.21.1"];

/// Downloads and compiles a few small packages: half a minute on a good line.
const INSTALL_LIMIT: Duration = Duration::from_secs(10 * 60);

/// Prints where the interpreter is, if it is a 2.7 that works at all: a version manager's shim has
/// the right name and fails when its version is not selected.
const PROBE: &str = "import sys; assert sys.version_info[:2] == (2, 7); print(sys.executable)";

/// A Python 2.7 that works.
pub(super) fn find() -> Result<PathBuf, String> {
    let found = candidates().into_iter().find_map(|candidate| {
        let said = run::output(Command::new(candidate).args(["-c", PROBE])).ok()?;
        Some(PathBuf::from(said.trim()))
    });
    found.ok_or_else(|| format!("no Python 2.7 here; {CHOSEN} can name one"))
}

fn candidates() -> Vec<PathBuf> {
    if let Some(chosen) = env::var_os(CHOSEN) {
        return vec![chosen.into()];
    }
    let mut all: Vec<PathBuf> = ["python2.7", "python2", "python"].map(PathBuf::from).into();
    all.extend(pyenv_root().map(|root| in_pyenv(&root)).unwrap_or_default());
    all
}

fn pyenv_root() -> Option<PathBuf> {
    let root = env::var_os("PYENV_ROOT").map(PathBuf::from);
    root.or_else(|| Some(Path::new(&env::var_os("HOME")?).join(".pyenv")))
}

/// Every 2.7 that pyenv has installed, whichever version is selected.
fn in_pyenv(root: &Path) -> Vec<PathBuf> {
    let versions = fs::read_dir(root.join("versions")).into_iter().flatten().flatten();
    let old = versions.filter(|version| version.file_name().to_string_lossy().starts_with("2.7"));
    let mut pythons: Vec<PathBuf> = old.map(|version| version.path().join("bin/python")).collect();
    pythons.sort();
    pythons
}

/// Installs the testsuite under `work` unless it is there; returns the interpreter that has it.
pub(super) fn install(python: &Path, work: &Path) -> Result<PathBuf, String> {
    let venv = work.join("venv");
    let inside = venv.join("bin/python");
    let complete = venv.join("requirements.txt");
    if fs::read_to_string(&complete).is_ok_and(|had| had == REQUIREMENTS) && works(&inside) {
        return Ok(inside);
    }
    println!("Installing the Autobahn testsuite for {}", python.display());
    let said = |error| format!("{}: {error}", work.display());
    if venv.exists() {
        fs::remove_dir_all(&venv).map_err(said)?;
    }
    fs::create_dir_all(work).map_err(said)?;
    make_venv(python, work, &venv)?;
    let wanted = work.join("requirements.txt");
    fs::write(&wanted, REQUIREMENTS).map_err(said)?;
    let mut pip = Command::new(&inside);
    pip.args(["-m", "pip", "install", "--quiet", "--requirement"]).arg(&wanted);
    run::run(calm(&mut pip), INSTALL_LIMIT)?;
    // Written last: an installation that was interrupted is made again.
    fs::write(&complete, REQUIREMENTS).map_err(said)?;
    Ok(inside)
}

fn works(python: &Path) -> bool {
    run::output(Command::new(python).args(["-c", "import autobahntestsuite"])).is_ok()
}

/// Makes a virtual environment for Python 2.7, with its own pip or, where it has none, with
/// that of a Python 3.
fn make_venv(python: &Path, work: &Path, venv: &Path) -> Result<(), String> {
    let [old, new] = VIRTUALENV;
    let tools = work.join("virtualenv");
    let with_old = virtualenv(python, old, &tools, python, venv);
    with_old.or_else(|first| {
        let second = virtualenv(Path::new("python3"), new, &tools, python, venv);
        second.map_err(|second| format!("no virtual environment for Python 2.7: {first}; {second}"))
    })
}

fn virtualenv(
    runner: &Path,
    version: &str,
    tools: &Path,
    python: &Path,
    venv: &Path,
) -> Result<(), String> {
    if tools.exists() {
        fs::remove_dir_all(tools).map_err(|error| format!("{}: {error}", tools.display()))?;
    }
    let mut pip = Command::new(runner);
    pip.args(["-m", "pip", "install", "--quiet", "--target"]).arg(tools).arg(version);
    run::run(calm(&mut pip), INSTALL_LIMIT)?;
    let mut make = Command::new(runner);
    make.args(["-m", "virtualenv", "--quiet", "--python"]).arg(python).arg(venv);
    run::run(make.env("PYTHONPATH", tools), INSTALL_LIMIT)
}

/// Without the reminders that Python 2.7 is old and pip could be newer.
fn calm(pip: &mut Command) -> &mut Command {
    pip.env("PYTHONWARNINGS", "ignore")
        .env("PIP_NO_PYTHON_VERSION_WARNING", "1")
        .env("PIP_DISABLE_PIP_VERSION_CHECK", "1")
        .env("PIP_ROOT_USER_ACTION", "ignore")
}

/// The version of the testsuite among the requirements.
pub(super) fn suite_version() -> &'static str {
    let line = REQUIREMENTS.lines().find_map(|line| line.strip_prefix("autobahntestsuite=="));
    line.expect("the testsuite is among its requirements")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_requirement_is_pinned() {
        let packages = REQUIREMENTS.lines().filter(|line| !line.starts_with('#'));
        packages.for_each(|line| assert!(line.contains("=="), "{line}"));
        assert_eq!(suite_version().split('.').count(), 3);
    }
}
