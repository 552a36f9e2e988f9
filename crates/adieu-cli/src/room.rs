//! Whether the system gives this process what it cannot start without: threads and descriptors.
//! Where one is missing the runtime panics, here it is said.

use std::sync::{Arc, PoisonError, RwLock};
use std::thread;

/// Threads beside those of the runtime: of the store, of the memory, and two that may block.
const THREADS: usize = 4;

/// Looks for room. What it takes for that it gives back.
///
/// # Errors
/// What is missing, and what to raise.
pub(crate) fn look() -> Result<(), String> {
    descriptors()?;
    let workers = thread::available_parallelism().map_or(1, usize::from);
    threads(workers + THREADS)
}

fn threads(count: usize) -> Result<(), String> {
    let gate = Arc::new(RwLock::new(()));
    let closed = gate.write().unwrap_or_else(PoisonError::into_inner);
    let mut waiting = Vec::new();
    let mut failed = None;
    for _ in 0..count {
        let gate = gate.clone();
        match thread::Builder::new().spawn(move || drop(gate.read())) {
            Ok(thread) => waiting.push(thread),
            Err(error) => {
                failed = Some(error);
                break;
            }
        }
    }
    drop(closed);
    let started = waiting.len();
    for thread in waiting {
        let _ = thread.join();
    }
    match failed {
        None => Ok(()),
        // FAQ: serve-threads
        Some(error) => Err(format!(
            "cannot start: {count} threads are needed and the system gave {started} ({error}): \
             raise ulimit -u, the tasks that its service or container may have (TasksMax, \
             --pids-limit), or its memory"
        )),
    }
}

#[cfg(unix)]
fn descriptors() -> Result<(), String> {
    use rustix::io::Errno;

    /// Those of the runtime, of its signals, of listeners and of the store, and some to spare.
    const DESCRIPTORS: usize = 32;

    let mut open = Vec::new();
    for _ in 0..DESCRIPTORS {
        match std::fs::File::open("/dev/null") {
            Ok(file) => open.push(file),
            Err(error) => {
                let errno = Errno::from_io_error(&error);
                // Another error says nothing of how many there may be.
                let full = matches!(errno, Some(Errno::MFILE | Errno::NFILE));
                return if full { Err(too_few(DESCRIPTORS, open.len(), &error)) } else { Ok(()) };
            }
        }
    }
    Ok(())
}

#[cfg(unix)]
fn too_few(needed: usize, opened: usize, error: &std::io::Error) -> String {
    // FAQ: serve-descriptors
    format!(
        "cannot start: {needed} descriptors are needed, and {opened} are left ({error}): {}; raise \
         it to 1024 or more",
        limit()
    )
}

/// How many files this process may open.
#[cfg(unix)]
pub(crate) fn limit() -> String {
    match rlimit::getrlimit(rlimit::Resource::NOFILE) {
        Ok((limit, _)) => format!("ulimit -n is {limit}"),
        Err(_) => "ulimit -n is low".to_owned(),
    }
}

#[cfg(not(unix))]
pub(crate) fn limit() -> String {
    "few files may be open".to_owned()
}

#[cfg(not(unix))]
fn descriptors() -> Result<(), String> {
    Ok(())
}
