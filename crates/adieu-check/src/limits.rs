//! How many files a process may have open: each client needs one here and one in the server.

use std::fs;

/// Open besides the clients: pipes, the runtime's own, handshakes of the next check.
const BESIDES: usize = 64;

/// An error, for the user, if so many clients cannot be had. Where the system does not tell
/// (elsewhere than on Linux), the first socket too many does.
pub(crate) fn room_for(clients: usize) -> Result<(), String> {
    match fs::read_to_string("/proc/self/limits").ok().as_deref().and_then(open_files) {
        Some(limits) => judge(clients, limits),
        None => Ok(()),
    }
}

/// The limit that holds, and the one up to which a user may raise it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct OpenFiles {
    soft: usize,
    hard: usize,
}

fn judge(clients: usize, limits: OpenFiles) -> Result<(), String> {
    let needed = clients + BESIDES;
    if needed <= limits.soft {
        return Ok(());
    }
    let remedy = if needed <= limits.hard {
        format!("say `ulimit -n {needed}` first, and give the server as many")
    } else {
        format!("only root can raise the limit above {}", limits.hard)
    };
    Err(format!(
        // FAQ: check-open-files
        "{clients} clients need {needed} open files, and {} are allowed: {remedy}, or take fewer \
         --clients",
        limits.soft
    ))
}

/// Reads `/proc/PID/limits`.
fn open_files(limits: &str) -> Option<OpenFiles> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    let mut numbers = line.split_whitespace().map(|word| match word {
        "unlimited" => Some(usize::MAX),
        number => number.parse().ok(),
    });
    Some(OpenFiles { soft: numbers.next()??, hard: numbers.next()?? })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: &str = "\
Limit                     Soft Limit           Hard Limit           Units
Max processes             1000                 2000                 processes
Max open files            1024                 unlimited            files
";

    #[test]
    fn the_limits_are_read() {
        let limits = open_files(LIMITS).unwrap();
        assert_eq!(limits, OpenFiles { soft: 1024, hard: usize::MAX });
        assert_eq!(open_files("Max processes 1 2 processes\n"), None);
    }

    #[test]
    fn too_many_clients_are_told_what_to_do() {
        let limits = OpenFiles { soft: 1024, hard: 5000 };
        assert_eq!(judge(1024 - BESIDES, limits), Ok(()));
        let why = judge(1025 - BESIDES, limits).unwrap_err();
        assert!(why.contains("1024 are allowed: say `ulimit -n 1025` first"), "{why}");
        let why = judge(10_000, limits).unwrap_err();
        assert!(why.contains("only root can raise the limit above 5000"), "{why}");
    }
}
