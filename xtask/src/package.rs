//! `cargo xtask package`: what would go to crates.io. Each tarball is built by itself, against the
//! others instead of the registry, and has what a stranger needs who sees nothing else.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::crates::{published, text};
use crate::run;

/// A cold build of all tarballs on two cores takes a few minutes.
const LIMIT: Duration = Duration::from_secs(60 * 60);

/// A tarball beyond it holds something that nobody builds with.
const MAX_KIB: u64 = 400;

const WITH_IT: &[&str] = &["Cargo.toml", "README.md", "LICENSE-MIT", "LICENSE-APACHE"];

const LICENCES: &[&str] = &["LICENSE-MIT", "LICENSE-APACHE"];

/// What these documents say until the first release, and not after it.
const NOT_YET: &str = "is not on crates.io yet";

/// Packs, builds and looks through all published crates; `--list` builds nothing.
pub(crate) fn run(options: &[&str]) -> Result<(), String> {
    let build = match options {
        [] => true,
        ["--list"] => false,
        other => return Err(format!("package has one option, --list; not {}", other.join(" "))),
    };
    let metadata = run::metadata()?;
    let crates: Vec<&Value> = published(&metadata).collect();
    let mut complaints: Vec<String> = crates.iter().flat_map(|package| manifest(package)).collect();
    // What is not committed is looked at too: this runs before a commit.
    let mut cargo = run::cargo(&["package", "--quiet", "--locked", "--allow-dirty"]);
    crates.iter().for_each(|package| _ = cargo.args(["-p", text(package, "name")]));
    if !build {
        cargo.arg("--no-verify");
    }
    run::run(&mut cargo, LIMIT)?;
    let dir = PathBuf::from(text(&metadata, "target_directory")).join("package");
    for package in &crates {
        complaints.extend(tarball(package, &dir)?);
    }
    to_do_before_a_release(&crates)?;
    if complaints.is_empty() { Ok(()) } else { Err(complaints.join("\n  ")) }
}

/// What is missing in a manifest.
fn manifest(package: &Value) -> Vec<String> {
    let name = text(package, "name");
    let mut complaints = Vec::new();
    for field in ["description", "license", "documentation", "readme", "rust_version"] {
        if text(package, field).is_empty() {
            complaints.push(format!("{name}: no {field}"));
        }
    }
    for field in ["keywords", "categories"] {
        // crates.io takes no more of either.
        if !matches!(package[field].as_array().map_or(0, Vec::len), 1..=5) {
            complaints.push(format!("{name}: one to five {field}"));
        }
    }
    complaints
}

/// Looks through a tarball, and prints its size.
fn tarball(package: &Value, dir: &Path) -> Result<Vec<String>, String> {
    let stem = format!("{}-{}", text(package, "name"), text(package, "version"));
    let file = dir.join(format!("{stem}.crate"));
    let size = fs::metadata(&file).map_err(|error| format!("{}: {error}", file.display()))?.len();
    let listing = run::output(Command::new("tar").arg("-tzf").arg(&file))?;
    let files: Vec<&str> =
        listing.lines().filter_map(|line| line.strip_prefix(&stem)?.strip_prefix('/')).collect();
    println!("{stem}.crate: {} KiB, {} files", size.div_ceil(1024), files.len());
    let mut complaints = contents(&stem, &files, size);
    for licence in LICENCES.iter().filter(|licence| files.contains(licence)) {
        let mut tar = Command::new("tar");
        tar.arg("-xzOf").arg(&file).arg(format!("{stem}/{licence}"));
        let ours = fs::read_to_string(run::root().join(licence)).unwrap_or_default();
        if run::output(&mut tar)? != ours {
            complaints.push(format!("{stem}: {licence} is not that of the repository"));
        }
    }
    Ok(complaints)
}

/// What is missing in a tarball, and what is too much.
fn contents(stem: &str, files: &[&str], size: u64) -> Vec<String> {
    let missing = WITH_IT.iter().filter(|name| !files.contains(name));
    let missing = missing.map(|name| format!("{stem}: no {name}"));
    let tests = files.iter().filter(|name| name.starts_with("tests/"));
    let tests = tests.map(|name| format!("{stem}: {name} needs peers that are not published"));
    let large = size.div_ceil(1024);
    let large = (large > MAX_KIB).then(|| format!("{stem}: {large} KiB, more than {MAX_KIB}"));
    missing.chain(tests).chain(large).collect()
}

/// Prints what only a release can put right.
fn to_do_before_a_release(crates: &[&Value]) -> Result<(), String> {
    if crates.iter().any(|package| text(package, "repository").is_empty()) {
        println!(
            "before a release: the `repository` of the manifests and of client/package.json (there \
             is no address yet)"
        );
    }
    let said =
        run::output(Command::new("git").current_dir(run::root()).args(["grep", "-lE"]).args([
            NOT_YET,
            "--",
            "*.md",
            "crates/*/src/lib.rs",
        ]));
    for file in said.unwrap_or_default().lines() {
        println!("before a release: {file} says that Adieu {NOT_YET}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_manifest_names_what_a_stranger_looks_for() {
        let whole = json!({
            "name": "a", "description": "d", "license": "MIT", "documentation": "u",
            "readme": "README.md", "rust_version": "1.85", "keywords": ["k"], "categories": ["c"],
        });
        assert_eq!(manifest(&whole), Vec::<String>::new());
        let bare = json!({ "name": "a", "keywords": ["1", "2", "3", "4", "5", "6"] });
        let said = manifest(&bare).join("\n");
        assert!(
            said.contains("a: no readme") && said.contains("a: one to five keywords"),
            "{said}"
        );
        assert!(said.contains("a: one to five categories"), "{said}");
    }

    #[test]
    fn a_tarball_has_readme_and_licences_and_no_tests() {
        let whole = [WITH_IT, &["src/lib.rs"]].concat();
        assert_eq!(contents("a-1", &whole, 1024), Vec::<String>::new());
        let said = contents("a-1", &["Cargo.toml", "tests/large.json"], (MAX_KIB + 1) * 1024);
        let said = said.join("\n");
        assert!(said.contains("no README.md") && said.contains("no LICENSE-APACHE"), "{said}");
        assert!(said.contains("tests/large.json") && said.contains("401 KiB"), "{said}");
    }
}
