//! `cargo xtask deb`: the package for Debian. With `--try` it is installed in a small Debian of its
//! own, where systemd runs it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::{run, setup};

const TOOL: &str = "cargo-deb";
const TOOL_VERSION: &str = "3.8.0";

/// A large program, and an optimised build of the gateway.
const LIMIT: Duration = Duration::from_secs(60 * 60);

/// What `--try` needs, and what for.
const PACKAGES: [(&str, &str); 3] = [
    ("debootstrap", "makes a Debian in a directory"),
    ("lintian", "reads packages"),
    ("iproute2", "makes a network of its own"),
];

/// Starts a Debian with systemd, installs the package there, and tries what the unit promises.
const TRY: &str = "xtask/src/deb/try.sh";

/// Who makes the package, where nobody says it: the name is that of the copyright, the address is
/// nobody's.
const NOBODY: &str = "The Adieu authors <adieu@invalid.invalid>";

/// Builds the package; with `--try` tries it, too.
pub(crate) fn run(options: &[&str]) -> Result<(), String> {
    let try_it = match options {
        [] => false,
        ["--try"] => true,
        other => return Err(format!("deb has one option, --try; not {}", other.join(" "))),
    };
    install()?;
    let target = run::target_dir()?;
    let maintainer = maintainer();
    changelogs(&target, &maintainer)?;
    let mut deb = run::cargo(&["deb", "--locked", "-p", "adieu-cli", "--maintainer", &maintainer]);
    run::run(&mut deb, LIMIT)?;
    let package = newest(&target.join("debian"))?;
    println!("{}", package.display());
    if try_it { check(&package, &target) } else { Ok(()) }
}

fn install() -> Result<(), String> {
    if run::output(&mut run::cargo(&["deb", "--version"])).is_ok() {
        return Ok(());
    }
    println!("{TOOL} is missing and is installed now: some minutes on two cores.");
    run::run(&mut run::cargo(&["install", "--locked", TOOL, "--version", TOOL_VERSION]), LIMIT)
}

/// Debian's own variables, or git's configuration.
fn maintainer() -> String {
    let of = |variable: &str, key: &str| {
        let said = std::env::var(variable).ok();
        said.or_else(|| run::output(Command::new("git").args(["config", key])).ok())
            .map(|text| text.trim().to_owned())
            .filter(|text| !text.is_empty())
    };
    match (of("DEBFULLNAME", "user.name"), of("DEBEMAIL", "user.email")) {
        (Some(name), Some(address)) => format!("{name} <{address}>"),
        _ => NOBODY.into(),
    }
}

/// Our changelog, and Debian's form of one, which says where to read it.
fn changelogs(target: &Path, maintainer: &str) -> Result<(), String> {
    let metadata = run::metadata()?;
    let packages = metadata["packages"].as_array().into_iter().flatten();
    let version = packages
        .filter(|package| package["name"] == "adieu-cli")
        .find_map(|package| package["version"].as_str())
        .ok_or("cargo metadata has no adieu-cli")?;
    let date = run::output(Command::new("date").arg("-R"))?;
    let text = format!(
        "adieu ({version}-1) unstable; urgency=medium\n\n  \
         * What has changed is in /usr/share/doc/adieu/changelog.gz.\n\n \
         -- {maintainer}  {date}"
    );
    // What is below `release` is found there by cargo-deb.
    let dir = target.join("release/deb");
    let ours = fs::read_to_string(run::root().join("CHANGELOG.md"));
    let ours = ours.map_err(|error| format!("CHANGELOG.md: {error}"))?;
    compressed(&dir, "changelog", &ours)?;
    compressed(&dir, "changelog.Debian", &text)
}

/// A file as Debian wants documents: compressed, and without the time of that.
fn compressed(dir: &Path, name: &str, text: &str) -> Result<(), String> {
    let file = dir.join(name);
    fs::create_dir_all(dir).map_err(|error| format!("{}: {error}", dir.display()))?;
    fs::write(&file, text).map_err(|error| format!("{}: {error}", file.display()))?;
    run::output(Command::new("gzip").args(["-9", "-n", "-f"]).arg(&file)).map(drop)
}

/// The package that was built last.
fn newest(dir: &Path) -> Result<PathBuf, String> {
    let built = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    let debs = built.filter(|path| path.extension().is_some_and(|extension| extension == "deb"));
    let when = |path: &PathBuf| fs::metadata(path).and_then(|of| of.modified()).ok();
    debs.max_by_key(when).ok_or_else(|| format!("no package in {}", dir.display()))
}

/// Reads the package, installs it, starts it, and takes it away.
fn check(package: &Path, target: &Path) -> Result<(), String> {
    setup::install_missing(&PACKAGES)?;
    let mut lintian = Command::new("lintian");
    lintian.args(["--fail-on", "error", "--tag-display-limit", "0"]).arg(package);
    run::run(&mut lintian, LIMIT)?;
    let root = target.join("deb-try");
    let mut sh = Command::new("bash");
    sh.arg(run::root().join(TRY)).arg(package).arg(&root);
    run::run(&mut sh, LIMIT)
}
