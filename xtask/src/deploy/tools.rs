//! The programs that check `deploy/`: those of Debian are unpacked and those of PyPI installed, all
//! below `target/deploy`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::debian::Unpacked;
use crate::run;

/// Debian's packages, and what each is for.
const PACKAGES: [(&str, &str); 5] = [
    ("systemd", "systemd-analyze reads the units"),
    ("prometheus", "promtool tests the alerts"),
    ("nginx", "the proxy in front of the gateway"),
    ("haproxy", "another"),
    ("caddy", "another"),
];

/// PyPI's, with their versions.
const REQUIREMENTS: &str = include_str!("requirements.txt");

/// Some hundred MB on a slow line.
const LIMIT: Duration = Duration::from_secs(20 * 60);

pub(super) struct Tools {
    pub(super) debian: Unpacked,
    python: PathBuf,
    /// For files that are made to be checked.
    pub(super) scratch: PathBuf,
}

impl Tools {
    /// Brings what is missing.
    pub(super) fn bring() -> Result<Self, String> {
        let dir = run::target_dir()?.join("deploy");
        let scratch = dir.join("scratch");
        fs::create_dir_all(&scratch).map_err(|error| format!("{}: {error}", dir.display()))?;
        if !dir.join("unpacked").is_file() {
            println!("Unpacked into {}, and not installed, are of Debian:", dir.display());
            PACKAGES.iter().for_each(|(package, why)| println!("  {package}: {why}"));
            println!("and of PyPI hadolint and kubernetes-validate: about 100 MB, half a minute.");
        }
        let debian = Unpacked::of(&PACKAGES.map(|(package, _)| package), &dir)?;
        let python = install(&dir)?;
        Ok(Tools { debian, python, scratch })
    }

    /// hadolint is a program of its own.
    pub(super) fn hadolint(&self) -> Command {
        Command::new(self.python.join("bin/hadolint"))
    }

    pub(super) fn kubernetes_validate(&self) -> Command {
        let mut command = Command::new("python3");
        command.args(["-m", "kubernetes_validate"]).env("PYTHONPATH", &self.python);
        command
    }
}

/// Installs PyPI's packages in a directory of their own: that needs no virtual environment.
fn install(dir: &Path) -> Result<PathBuf, String> {
    let (packages, list) = (dir.join("python"), dir.join("requirements.txt"));
    if fs::read_to_string(&list).is_ok_and(|installed| installed == REQUIREMENTS) {
        return Ok(packages);
    }
    let wanted = dir.join("wanted.txt");
    let cannot = |file: &Path, error| format!("{}: {error}", file.display());
    fs::write(&wanted, REQUIREMENTS).map_err(|error| cannot(&wanted, error))?;
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--upgrade"]);
    pip.arg("--requirement").arg(&wanted).arg("--target").arg(&packages);
    run::run(pip.env("PIP_ROOT_USER_ACTION", "ignore"), LIMIT)?;
    // Written last: an installation that was interrupted is made again.
    fs::rename(&wanted, &list).map_err(|error| cannot(&list, error))?;
    Ok(packages)
}
