//! Debian's packages, unpacked below `target` and not installed: that needs no rights, starts no
//! service, and leaves the machine as it is.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::run;
use crate::setup;

/// A slow mirror on a slow line still finishes within this time.
const LIMIT: Duration = Duration::from_secs(20 * 60);

/// Programs that were unpacked.
#[derive(Clone, Debug)]
pub(crate) struct Unpacked {
    root: PathBuf,
}

impl Unpacked {
    /// What was unpacked into a directory before, if this program was among it.
    pub(crate) fn before(dir: &Path, program: &str) -> Option<Self> {
        let root = dir.join("root");
        root.join(program).is_file().then_some(Unpacked { root })
    }

    /// Unpacks these packages, each a name or `name=version`, and those that they need and that are
    /// not installed on this machine. What a directory has already is kept.
    pub(crate) fn of(packages: &[&str], dir: &Path) -> Result<Self, String> {
        let (root, list) = (dir.join("root"), dir.join("unpacked"));
        let asked = packages.join(" ");
        if fs::read_to_string(&list).is_ok_and(|unpacked| unpacked == asked) {
            return Ok(Unpacked { root });
        }
        let mut all = with_needed(packages)?;
        all.sort();
        all.dedup();
        let debs = dir.join("debs");
        let _ = fs::remove_dir_all(&debs);
        fs::create_dir_all(&debs).map_err(|error| format!("{}: {error}", debs.display()))?;
        run::run(setup::apt().arg("download").args(&all).current_dir(&debs), LIMIT)?;
        for deb in fs::read_dir(&debs).into_iter().flatten().flatten() {
            run::run(Command::new("dpkg-deb").arg("-x").arg(deb.path()).arg(&root), LIMIT)?;
        }
        let _ = fs::remove_dir_all(&debs);
        // Pages of the web, manuals and translations: no program that is started here reads them.
        let _ = fs::remove_dir_all(root.join("usr/share"));
        fs::write(&list, asked).map_err(|error| format!("{}: {error}", list.display()))?;
        Ok(Unpacked { root })
    }

    /// Where they lie.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// One of the programs, which finds the libraries that came with it.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.root.join(program));
        command.env("LD_LIBRARY_PATH", self.libraries());
        command
    }

    /// Where the libraries lie, for the dynamic linker.
    pub(crate) fn libraries(&self) -> String {
        let below = |dir: &Path| fs::read_dir(dir).into_iter().flatten().flatten();
        let of_all = ["usr/lib", "lib"].iter().flat_map(|dir| below(&self.root.join(dir)));
        let of_all = of_all.map(|entry| entry.path()).filter(|path| path.is_dir());
        // Some are for one package alone: those of systemd.
        let dirs = of_all.flat_map(|dir| [dir.clone(), dir.join("systemd")]);
        let dirs: Vec<String> =
            dirs.filter(|dir| dir.is_dir()).map(|dir| dir.display().to_string()).collect();
        dirs.join(":")
    }
}

/// The packages, with their versions, and those that they need.
fn with_needed(packages: &[&str]) -> Result<Vec<String>, String> {
    let simulate = || {
        let mut install = setup::apt();
        install.args(["install", "--simulate", "--no-install-recommends", "--reinstall"]);
        run::output(install.args(packages))
    };
    let said = simulate().or_else(|_| {
        // A new machine has no lists of packages yet.
        run::run(setup::apt().arg("update"), LIMIT)?;
        simulate()
    })?;
    Ok(needed(&said))
}

/// What is to be installed, of lines like `Inst libllvm19 (1:19.1.7-3 Debian:12 [amd64])`.
fn needed(simulated: &str) -> Vec<String> {
    let lines = simulated.lines().filter_map(|line| line.strip_prefix("Inst "));
    let packages = lines.filter_map(|line| {
        let (name, rest) = line.split_once(" (")?;
        Some(format!("{}={}", name.split(' ').next()?, rest.split(' ').next()?))
    });
    packages.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_package_needs_is_read_from_apt() {
        let said = "NOTE: only a simulation\nInst libllvm19 (1:19.1.7-3 Debian:12 [amd64])\n\
                    Inst libc6 [2.36] (2.37-1 Debian:12 [amd64])\nConf libllvm19 (1:19.1.7-3)\n";
        assert_eq!(needed(said), ["libllvm19=1:19.1.7-3", "libc6=2.37-1"]);
    }
}
