//! A network of a test's own. It has no name and is a thread's: whatever becomes of the test, it is
//! gone when that thread is, and two runs beside each other do not meet.

use std::panic::resume_unwind;
use std::process::{Command, Stdio};
use std::thread;

/// Runs something on a thread with a network and mounts of its own, in which these commands have
/// been run before. `None`, and a line that the test run shows, where this machine does not let us.
pub(crate) fn apart<T: Send>(
    what: &str,
    commands: &[&str],
    act: impl FnOnce() -> T + Send,
) -> Option<T> {
    let done = thread::scope(|scope| {
        let begun = scope.spawn(|| leave(commands).map(|()| act()));
        begun.join().unwrap_or_else(|panic| resume_unwind(panic))
    });
    done.map_err(|why| {
        let root = Command::new("id").arg("-u").output().is_ok_and(|id| id.stdout == b"0\n");
        assert!(!root || std::env::var_os("CI").is_none(), "root may make a namespace: {why}");
        testkit::skipped(what, &format!("{why} (needs root and iproute2)"));
    })
    .ok()
}

/// Moves the calling thread, and the threads and programs that it starts, into new namespaces.
#[allow(unsafe_code, reason = "unshare is not in the standard library")]
fn leave(commands: &[&str]) -> Result<(), String> {
    // SAFETY: changes nothing but the calling thread.
    if unsafe { libc::unshare(libc::CLONE_NEWNET | libc::CLONE_NEWNS) } != 0 {
        return Err(format!("no namespace: {}", std::io::Error::last_os_error()));
    }
    let own_mounts = ["mount --make-rprivate /", "ip link set lo up"];
    own_mounts.iter().chain(commands).try_for_each(|command| run(command))
}

fn run(command: &str) -> Result<(), String> {
    let mut words = command.split_whitespace();
    let mut program = Command::new(words.next().unwrap_or_default());
    let output = program.args(words).stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("`{command}` cannot be started: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(()) } else { Err(format!("`{command}`: {}", said.trim())) }
}
