//! `cargo xtask msrv`: builds each published crate with the oldest compiler that its manifest
//! names, and with the newest dependencies that this compiler takes. Our own lock file has newer
//! ones.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::crates::{features, published, text};
use crate::debian::Unpacked;
use crate::run;

/// A cold build on two cores takes a few minutes.
const LIMIT: Duration = Duration::from_secs(60 * 60);

/// Debian's packages of older compilers: the compiler, the standard library, cargo.
const DEBIAN: &[[&str; 3]] =
    &[["rustc-web", "libstd-rust-web-dev", "cargo-web"], ["rustc", "libstd-rust-dev", "cargo"]];

/// Tests all versions that the manifests name and for which a compiler can be had.
pub(crate) fn run() -> Result<(), String> {
    let metadata = run::metadata()?;
    let dir = PathBuf::from(text(&metadata, "target_directory")).join("msrv");
    let (mut tested, mut summary) = (false, Vec::new());
    for (version, crates) in by_version(&metadata) {
        let names: Vec<&str> = crates.iter().map(|package| text(package, "name")).collect();
        let names = names.join(", ");
        let Some(toolchain) = Toolchain::find(version, &dir.join(version))? else {
            let none = "neither rustup nor Debian has a compiler of this version here: NOT TESTED";
            summary.push(format!("{version} ({names}): {none}"));
            continue;
        };
        check(&toolchain, &crates, &dir.join(version))?;
        tested = true;
        summary.push(format!("{version} ({names}): builds with {}", toolchain.version()?));
    }
    summary.iter().for_each(|line| println!("{line}"));
    if tested { Ok(()) } else { Err("no version could be tested".into()) }
}

/// The published crates by the version that they ask for.
fn by_version(metadata: &Value) -> BTreeMap<&str, Vec<&Value>> {
    let mut versions: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
    for package in published(metadata) {
        versions.entry(text(package, "rust_version")).or_default().push(package);
    }
    versions
}

/// Builds the crates in a copy of the repository, whose lock file is made for this compiler.
fn check(toolchain: &Toolchain, crates: &[&Value], dir: &Path) -> Result<(), String> {
    let copy = dir.join("workspace");
    copy_to(&copy)?;
    let mut update = run::cargo(&["update", "--quiet"]);
    update.env("CARGO_RESOLVER_INCOMPATIBLE_RUST_VERSIONS", "fallback");
    run::run(update.current_dir(&copy), LIMIT)?;
    let mut check = toolchain.cargo();
    check.current_dir(&copy).args(["check", "--locked", "--lib", "--bins", "--target-dir"]);
    check.arg(dir.join("build"));
    for package in crates {
        check.args(["-p", text(package, "name"), "--features", &features(package)]);
    }
    run::run(&mut check, LIMIT)
}

/// What git knows of the work tree, and what it does not ignore.
fn copy_to(copy: &Path) -> Result<(), String> {
    let list = ["ls-files", "--cached", "--others", "--exclude-standard", "--deduplicate"];
    let files = run::output(Command::new("git").current_dir(run::root()).args(list))?;
    let _ = fs::remove_dir_all(copy);
    for file in files.lines().filter(|file| run::root().join(file).is_file()) {
        let (from, to) = (run::root().join(file), copy.join(file));
        let made = fs::create_dir_all(to.parent().unwrap_or(copy));
        made.and_then(|()| fs::copy(from, &to)).map_err(|error| format!("{file}: {error}"))?;
    }
    Ok(())
}

/// A compiler of one version, and the cargo beside it.
enum Toolchain {
    /// The name that rustup gives it.
    Rustup(String),
    /// Debian's packages, unpacked here and not installed.
    Unpacked(Unpacked),
}

impl Toolchain {
    fn find(version: &str, dir: &Path) -> Result<Option<Self>, String> {
        let list = run::output(Command::new("rustup").args(["toolchain", "list"]));
        let list = list.unwrap_or_default();
        let named = |name: &&str| name.starts_with(&format!("{version}.")) || *name == version;
        let names = list.lines().filter_map(|line| line.split_whitespace().next());
        if let Some(name) = names.into_iter().find(named) {
            return Ok(Some(Toolchain::Rustup(name.to_owned())));
        }
        debian(version, dir)
    }

    fn cargo(&self) -> Command {
        match self {
            Toolchain::Rustup(name) => {
                let mut cargo = Command::new("rustup");
                cargo.args(["run", name, "cargo"]).env_remove("RUSTC").env_remove("CARGO");
                cargo
            }
            Toolchain::Unpacked(unpacked) => {
                let mut cargo = unpacked.command("usr/bin/cargo");
                cargo.env("RUSTC", unpacked.root().join("usr/bin/rustc"));
                cargo.env_remove("RUSTUP_TOOLCHAIN");
                cargo
            }
        }
    }

    fn version(&self) -> Result<String, String> {
        Ok(run::output(self.cargo().arg("--version"))?.trim().to_owned())
    }
}

/// The compiler of Debian's packages, where they have one of this version.
fn debian(version: &str, dir: &Path) -> Result<Option<Toolchain>, String> {
    if let Some(unpacked) = Unpacked::before(dir, "usr/bin/cargo") {
        return Ok(Some(Toolchain::Unpacked(unpacked)));
    }
    let mut madison = Command::new("apt-cache");
    madison.arg("madison").args(DEBIAN.iter().map(|names| names[0]));
    let offers = run::output(&mut madison).unwrap_or_default();
    let Some((compiler, full)) = offered(&offers, version) else { return Ok(None) };
    let names = DEBIAN.iter().filter(|names| names[0] == compiler).flatten();
    let packages: Vec<String> = names.map(|name| format!("{name}={full}")).collect();
    let packages: Vec<&str> = packages.iter().map(String::as_str).collect();
    Unpacked::of(&packages, dir).map(|unpacked| Some(Toolchain::Unpacked(unpacked)))
}

/// A package and its full version, of a line like ` rustc-web | 1.85.0+dfsg3-1 | http://…`.
fn offered<'a>(madison: &'a str, version: &str) -> Option<(&'a str, &'a str)> {
    let offers = madison.lines().filter_map(|line| {
        let mut columns = line.split('|').map(str::trim);
        Some((columns.next()?, columns.next()?))
    });
    offers.into_iter().find(|(_, full)| full.starts_with(&format!("{version}.")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_version_is_tested_once_with_all_its_crates() {
        let metadata = json!({ "packages": [
            { "name": "a", "publish": null, "rust_version": "1.85" },
            { "name": "b", "publish": [], "rust_version": "1.80" },
            { "name": "c", "publish": null, "rust_version": "1.90" },
            { "name": "d", "publish": null, "rust_version": "1.85" },
        ]});
        let versions = by_version(&metadata);
        let names = |version| versions[version].iter().map(|package| text(package, "name"));
        assert_eq!(versions.keys().collect::<Vec<_>>(), [&"1.85", &"1.90"]);
        assert_eq!(names("1.85").collect::<Vec<_>>(), ["a", "d"]);
    }

    #[test]
    fn debian_is_asked_for_exactly_this_version() {
        let offers = " rustc-web | 1.96.0+dfsg1-1 | http://deb/ main\n \
                      rustc-web | 1.85.0+dfsg3-1 | http://deb/ main\n";
        assert_eq!(offered(offers, "1.85"), Some(("rustc-web", "1.85.0+dfsg3-1")));
        assert_eq!(offered(offers, "1.8"), None);
    }
}
