//! Finding all processes of a browser, and signalling them.
//!
//! A browser is a tree of processes of which branches outlive the trunk: after the first process
//! died, the rest belongs to init. So besides the descendants, every process counts that was
//! started with the browser's own directory in its arguments or environment.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::wait::wait_for;

/// Until killed processes are gone; the kernel needs milliseconds, a loaded machine more.
const GONE_LIMIT: Duration = Duration::from_secs(10);

/// A process as `/proc` has it.
struct Process {
    parent: u32,
    zombie: bool,
}

/// The running processes that descend from `root` or were started with `directory`.
pub(crate) fn family(root: u32, directory: &Path) -> Vec<u32> {
    let all = snapshot();
    let mut pids: Vec<u32> = all
        .iter()
        .filter(|(_, process)| !process.zombie)
        .map(|(pid, _)| *pid)
        .filter(|pid| descends(*pid, root, &all) || mentions(*pid, directory))
        .collect();
    pids.sort_unstable();
    pids
}

/// Sends one signal to all of them with one call, so that none has time to notice another's death.
pub(crate) fn signal(signal: &str, pids: &[u32]) -> Result<()> {
    if pids.is_empty() {
        return Ok(());
    }
    // Every POSIX shell has `kill` built in. That one of them is gone already is no failure.
    Command::new("/bin/sh")
        .args(["-c", "kill -s \"$@\" 2>/dev/null", "sh", signal])
        .args(pids.iter().map(u32::to_string))
        .status()
        .map(drop)
        .map_err(Error::io(format!("send SIG{signal} to {pids:?}")))
}

/// Kills whatever `pids` lists, again and again until it lists nothing.
pub(crate) fn kill_until_none(what: &str, pids: impl Fn() -> Vec<u32>) -> Result<()> {
    wait_for(format_args!("the end of all processes of {what}"), GONE_LIMIT, || {
        let left = pids();
        signal("KILL", &left)?;
        Ok(left.is_empty().then_some(()))
    })
}

fn snapshot() -> HashMap<u32, Process> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(|pid: u32| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            Some((pid, parse_stat(&stat)?))
        })
        .collect()
}

/// The name is in brackets and may itself hold brackets and spaces; state and parent follow.
fn parse_stat(stat: &str) -> Option<Process> {
    let mut fields = stat[stat.rfind(')')? + 1..].split_ascii_whitespace();
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    Some(Process { parent, zombie: matches!(state, "Z" | "X") })
}

fn descends(pid: u32, root: u32, all: &HashMap<u32, Process>) -> bool {
    let mut at = pid;
    // A snapshot is not taken at one instant: a reused pid could close a circle.
    for _ in 0..all.len() {
        if at == root {
            return true;
        }
        match all.get(&at) {
            Some(process) if process.parent > 1 => at = process.parent,
            _ => return false,
        }
    }
    false
}

fn mentions(pid: u32, directory: &Path) -> bool {
    let needle = directory.as_os_str().as_encoded_bytes();
    ["cmdline", "environ"].iter().any(|file| {
        fs::read(format!("/proc/{pid}/{file}"))
            .is_ok_and(|bytes| bytes.windows(needle.len()).any(|window| window == needle))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_hold_brackets() {
        let process = parse_stat("12 (a) b) S 7 12 12 0").unwrap();
        assert_eq!((process.parent, process.zombie), (7, false));
        assert!(parse_stat("12 (gone) Z 7 12").unwrap().zombie);
    }

    #[test]
    fn a_process_is_found_by_its_parent_and_by_its_arguments_and_dies() {
        let marker = format!("/nowhere/{}-family", std::process::id());
        let mut child = Command::new("/bin/sh")
            .args(["-c", "read forever", &marker])
            .stdin(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let own = std::process::id();
        assert!(family(own, Path::new("/nowhere/else")).contains(&child.id()));
        assert_eq!(family(u32::MAX, Path::new(&marker)), [child.id()]);
        kill_until_none("the child", || family(u32::MAX, Path::new(&marker))).unwrap();
        assert!(!child.wait().unwrap().success());
    }
}
