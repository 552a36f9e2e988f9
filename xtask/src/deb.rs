//! `cargo xtask deb`: the package for Debian. With `--try` it is installed in a small Debian of its
//! own and started as its unit says.

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

/// Starts what the unit starts, in the installed system, and asks it.
const TRY: &str = include_str!("deb/try.sh");

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
    changelog(&target, &maintainer)?;
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

/// Debian's form of a changelog: where to read what has changed.
fn changelog(target: &Path, maintainer: &str) -> Result<(), String> {
    let metadata = run::metadata()?;
    let packages = metadata["packages"].as_array().into_iter().flatten();
    let version = packages
        .filter(|package| package["name"] == "adieu-cli")
        .find_map(|package| package["version"].as_str())
        .ok_or("cargo metadata has no adieu-cli")?;
    let date = run::output(Command::new("date").arg("-R"))?;
    let text = format!(
        "adieu ({version}-1) unstable; urgency=medium\n\n  \
         * What has changed is in /usr/share/doc/adieu/CHANGELOG.md.gz.\n\n \
         -- {maintainer}  {date}"
    );
    let file = target.join("release/deb-changelog");
    fs::create_dir_all(target.join("release")).map_err(|error| error.to_string())?;
    fs::write(&file, text).map_err(|error| format!("{}: {error}", file.display()))
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
    lintian.args(["--fail-on", "error", "--no-tag-display-limit"]).arg(package);
    run::run(&mut lintian, LIMIT)?;
    let root = target.join("deb-try");
    let mut sh = Command::new("bash");
    sh.args(["-c", TRY, "try"]).arg(package).arg(&root);
    run::run(&mut sh, LIMIT)
}
