//! What a run measured, and by which seed.

use std::env::var_os;
use std::fs::OpenOptions;
use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

/// Says what was measured, and appends it to the file that `ADIEU_FIGURES` names, where
/// `cargo xtask sessions` collects it.
///
/// # Panics
/// If that file cannot be written.
pub fn figure(what: &str, measured: &str) {
    println!("{what}: {measured}");
    let Some(file) = var_os("ADIEU_FIGURES") else { return };
    let file = OpenOptions::new().append(true).create(true).open(file);
    // In one write: tests beside each other append to the same file.
    let line = format!("{what}: {measured}\n");
    file.expect("the file of figures").write_all(line.as_bytes()).expect("it is written");
}

/// Says that a test, or a part of one, is skipped, and why. The test run shows it: what a test that
/// passes prints with `println` and `eprintln` it does not.
pub fn skipped(what: &str, why: &str) {
    let line = format!("SKIPPED: {what}: {why}\n");
    let _ = std::io::stderr().write_all(line.as_bytes());
}

/// The seed of this run: `ADIEU_SEED`, or always the same; in the long forms another each time. It
/// is printed.
#[must_use]
pub fn seed() -> u64 {
    let given = std::env::var("ADIEU_SEED").ok().and_then(|seed| seed.parse().ok());
    let is_long = ["ADIEU_LONG", "ADIEU_LONG_FORM"].iter().any(|name| var_os(name).is_some());
    let seed = given.unwrap_or_else(|| {
        if !is_long {
            return 1;
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        now.subsec_nanos().into()
    });
    println!("ADIEU_SEED={seed}");
    seed
}
