//! `cargo xtask new-user`: how long a new user takes from `git clone` to a chat of two browsers,
//! the build among it.

use std::fs;
use std::time::Duration;

use crate::run;

/// Two builds of everything on a busy machine.
const LIMIT: Duration = Duration::from_secs(60 * 60);

const KEPT: &str = "conformance/new-user.txt";

/// Runs the commands of the README in an empty folder and keeps how long they took.
pub(crate) fn run() -> Result<(), String> {
    let kept = run::root().join(KEPT);
    let figures = run::target_dir()?.join("new-user-figures.txt");
    let mut test =
        run::cargo(&["test", "-p", "browser", "--test", "new_user", "--", "--nocapture"]);
    test.env("NEW_USER_COLD", "1").env("ADIEU_FIGURES", &figures);
    run::run(&mut test, LIMIT)?;
    let cannot = |error: std::io::Error| format!("{}: {error}", kept.display());
    let figure = fs::read_to_string(&figures).map_err(cannot)?;
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let head = "# The path of a new user, by the commands of README.md: cargo xtask new-user\n\
                # (the crates were there, nothing was built)\n";
    fs::write(&kept, format!("{head}\n{figure}{cores} cores\n")).map_err(cannot)?;
    println!("kept in {KEPT}");
    Ok(())
}
