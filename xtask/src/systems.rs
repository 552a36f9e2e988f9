//! `cargo xtask systems`: checks that the library compiles for macOS and Windows, where parts of it
//! are others by `cfg`. Nothing is linked and nothing runs.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::crates::{features, published, text};
use crate::run;

/// The standard library included, some minutes on two cores.
const LIMIT: Duration = Duration::from_secs(60 * 60);

const TARGETS: &[&str] = &["aarch64-apple-darwin", "x86_64-pc-windows-msvc"];

/// Cryptography of C needs a compiler of C for each system.
const IN_C: &str = "adieu/ring";

/// Where the sources of the standard library lie that are no component of the toolchain, as
/// `…/library`. They have to be those of this compiler's version.
const SOURCES: &str = "ADIEU_RUST_LIBRARY";

pub(crate) fn run() -> Result<(), String> {
    let metadata = run::metadata()?;
    let is_library = |package: &&Value| matches!(text(package, "name"), "adieu" | "adieu-proto");
    let crates: Vec<&Value> = published(&metadata).filter(is_library).collect();
    for target in TARGETS {
        let mut check = run::cargo(&["check", "--locked", "--no-default-features"]);
        check.args(["--target", target]);
        for package in &crates {
            let features = features(package);
            let features: Vec<&str> = features.split(',').filter(|name| *name != IN_C).collect();
            check.args(["-p", text(package, "name"), "--features", &features.join(",")]);
        }
        standard_library(&mut check, target)?;
        run::run(&mut check, LIMIT)?;
    }
    Ok(())
}

/// Takes the standard library from rustup, or builds it from its sources.
fn standard_library(check: &mut Command, target: &str) -> Result<(), String> {
    let print = ["--print", "target-libdir", "--target", target];
    let built = run::output(Command::new("rustc").args(print))?;
    if PathBuf::from(built.trim()).is_dir() {
        return Ok(());
    }
    let sysroot = run::output(Command::new("rustc").args(["--print", "sysroot"]))?;
    let component = PathBuf::from(sysroot.trim()).join("lib/rustlib/src/rust/library");
    let named = std::env::var_os(SOURCES).map(PathBuf::from);
    let Some(sources) = named.or(Some(component)).filter(|path| path.join("std").is_dir()) else {
        return Err(format!(
            "no standard library for {target}: run `rustup target add {target}`, or name the \
             sources of this compiler's library in {SOURCES} (Debian's package rust-src has them)"
        ));
    };
    // What cargo calls unstable is enough for a check, and works with a stable compiler like this.
    check.args(["-Z", "build-std=std,panic_unwind"]).env("RUSTC_BOOTSTRAP", "1");
    check.env("__CARGO_TESTS_ONLY_SRC_ROOT", sources);
    Ok(())
}
