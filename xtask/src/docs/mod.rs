//! `cargo xtask docs`: the book, built by mdBook of `docs/` and of what its pages link to.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::run;

mod built;
mod link;
mod stage;

const TOOL: &str = "mdbook";

/// Another version may give headings other anchors.
const TOOL_VERSION: &str = "0.5.4";

/// The program is compiled where it is missing.
const INSTALL_LIMIT: Duration = Duration::from_secs(30 * 60);

const BUILD_LIMIT: Duration = Duration::from_secs(5 * 60);

/// Builds the book and follows each of its links.
pub(crate) fn run() -> Result<(), String> {
    let mdbook = installed().map_or_else(install, Ok)?;
    let target = run::target_dir()?;
    let (source, book) = (target.join("book-source"), target.join("book"));
    empty(&source)?;
    empty(&book)?;
    stage::write(&run::root(), &source)
        .map_err(|error| format!("{}: {error}", source.display()))?;
    let mut build = Command::new(mdbook);
    build.arg("build").arg("--dest-dir").arg(&book).arg(run::root());
    build.env("MDBOOK_BOOK__SRC", &source);
    run::run(&mut build, BUILD_LIMIT)?;
    let links = built::check(&book)?;
    println!("{links} links hold. The book is {}", book.join("index.html").display());
    Ok(())
}

fn empty(dir: &Path) -> Result<(), String> {
    let _ = fs::remove_dir_all(dir);
    fs::create_dir_all(dir).map_err(|error| format!("{}: {error}", dir.display()))
}

/// The program of this version: in the search path, or where cargo installs it.
fn installed() -> Option<PathBuf> {
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(env::home_dir()?.join(".cargo")));
    let of_cargo = home.map(|home| home.join("bin").join(TOOL));
    let candidates = [Some(PathBuf::from(TOOL)), of_cargo].into_iter().flatten();
    candidates.into_iter().find(|program| {
        let version = run::output(Command::new(program).arg("--version"));
        version.is_ok_and(|said| said.trim().trim_start_matches("mdbook v") == TOOL_VERSION)
    })
}

fn install() -> Result<PathBuf, String> {
    println!("{TOOL} {TOOL_VERSION} is missing and is installed now: some minutes on two cores.");
    let mut cargo = run::cargo(&["install", "--locked", TOOL, "--version", TOOL_VERSION]);
    // Without its web server, which would be most of the work.
    cargo.args(["--no-default-features", "--features", "search"]);
    run::run(&mut cargo, INSTALL_LIMIT)?;
    installed().ok_or_else(|| format!("{TOOL} was installed, and is not found in the search path"))
}
