//! An X server without a screen, for the browser that has no headless mode.

use std::fs;
use std::process::Command;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::instance::{Instance, find_program};
use crate::processes;
use crate::wait::wait_for;

/// The name of the program within its instance.
pub(crate) const XVFB: &str = "Xvfb";

/// Starts an X server on a display that is free, and returns the display's name.
///
/// The server itself looks for a number (`-displayfd`), so that two of them never agree on one.
pub(crate) fn start(instance: &mut Instance) -> Result<String> {
    let program = find_program(XVFB, "xvfb")?;
    let screen = ["-screen", "0", "1280x1024x24", "-nolisten", "tcp", "-noreset"];
    instance.spawn(XVFB, Command::new(program).args(screen).args(["-displayfd", "1"]))?;
    let number = instance.wait_while_running(XVFB, "the display number", display_number)?;
    Ok(format!(":{number}"))
}

/// A line of its own among the warnings.
fn display_number(instance: &Instance) -> Option<u32> {
    let log = instance.log(XVFB);
    let complete = log.rfind('\n')?;
    log[..complete].lines().find_map(|line| line.trim().parse().ok())
}

/// Lets the server take its lock file and socket away, which it cannot once it was killed.
pub(crate) fn stop(instance: &Instance) -> Result<()> {
    let (Some(pid), Some(display)) = (instance.pid(XVFB), display_number(instance)) else {
        return Ok(());
    };
    let socket = format!("/tmp/.X11-unix/X{display}");
    processes::signal("TERM", &[pid])?;
    wait_for(
        format_args!("Xvfb to remove {socket}"),
        Duration::from_secs(5),
        || match fs::metadata(&socket) {
            Ok(_) => Ok(None),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Some(())),
            Err(e) => Err(Error::io(format!("look at {socket}"))(e)),
        },
    )
}
