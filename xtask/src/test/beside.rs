//! Runs test programs beside each other.
//!
//! Most of what a test of connections does is to wait: for a deadline, for a peer that dies, for a
//! process that starts. `cargo test` starts a program when the one before has ended, so the slowest
//! test of each program is waited for alone. Here several wait at once.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::targets::Target;
use crate::run::{self, Running};

/// How often the programs are looked at.
const POLL: Duration = Duration::from_millis(50);

/// Programs whose tests take longest, and most of it in waiting, the longest first. They start
/// before the others, so that none of them is alone at the end.
const LONGEST: &[&str] = &[
    "adieu-cli sessions",
    "adieu-cli check",
    "adieu vanished",
    "adieu faults",
    "adieu draining_readers",
    "adieu drain",
    "adieu backpressure",
    "adieu liveness_clocks",
    "adieu ways_to_go",
    "adieu pong_lane",
    "adieu logs",
    "adieu-gateway store",
    "rig cluster",
    "rig sentinel",
];

/// Lines of a failed program that are printed; all of its output is kept in a file.
const SHOWN_OF_A_FAILURE: usize = 80;

/// How many run at once, and with what.
pub(super) struct Beside {
    /// Programs for each core: while some wait, others have the core.
    pub(super) programs: usize,
    /// Tests within a program, for each core.
    pub(super) tests: usize,
    /// Variables of their environment.
    pub(super) environment: Vec<(&'static str, PathBuf)>,
    /// A program that runs for longer than this is stopped.
    pub(super) limit: Duration,
}

/// Runs all of them and prints a line for each, and the end of its output where it failed. An error
/// names those that failed.
pub(super) fn run(targets: Vec<Target>, beside: &Beside) -> Result<(), String> {
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let at_once = cores * beside.programs;
    let folder = run::target_dir()?.join("test-output");
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut waiting = VecDeque::from(longest_first(targets));
    let (count, mut ended, mut failed) = (waiting.len(), 0, Vec::new());
    println!("{count} programs, {at_once} at once; their output is below {}", folder.display());
    let mut running: Vec<Run> = Vec::new();
    while !(waiting.is_empty() && running.is_empty()) {
        while running.len() < at_once {
            let Some(target) = waiting.pop_front() else { break };
            running.push(Run::start(target, &folder, cores, beside)?);
        }
        let mut still = Vec::new();
        for mut run in running {
            match run.ending(beside.limit)? {
                None => still.push(run),
                Some(verdict) => {
                    ended += 1;
                    if !run.tell(&verdict, ended, count) {
                        failed.push(run.target.name);
                    }
                }
            }
        }
        running = still;
        thread::sleep(POLL);
    }
    if failed.is_empty() { Ok(()) } else { Err(format!("failed: {}", failed.join(", "))) }
}

/// The longest first, then as cargo has them.
fn longest_first(mut targets: Vec<Target>) -> Vec<Target> {
    let rank = |target: &Target| {
        let place = LONGEST.iter().position(|name| *name == target.name);
        place.unwrap_or(LONGEST.len())
    };
    targets.sort_by_key(rank);
    targets
}

/// A program that runs.
struct Run {
    target: Target,
    running: Running,
    output: PathBuf,
    began: Instant,
}

/// How a program ended.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Passed,
    Failed,
    /// It was stopped, because it took too long.
    Stopped,
}

impl Run {
    fn start(target: Target, folder: &Path, cores: usize, beside: &Beside) -> Result<Self, String> {
        let output = folder.join(format!("{}.txt", target.name.replace(' ', "-")));
        let files = File::create(&output).and_then(|file| Ok((file.try_clone()?, file)));
        let (out, err) = files.map_err(|error| format!("{}: {error}", output.display()))?;
        let mut command = Command::new(&target.program);
        command.arg(format!("--test-threads={}", cores * beside.tests));
        let environment = beside.environment.iter().map(|(name, value)| (name, value));
        command.envs(environment).current_dir(&target.folder);
        // As `cargo test` sets it.
        command.env("CARGO_MANIFEST_DIR", &target.folder);
        command.stdin(Stdio::null()).stdout(out).stderr(err);
        let running = Running::start(&mut command)?;
        Ok(Run { target, running, output, began: Instant::now() })
    }

    fn ending(&mut self, limit: Duration) -> Result<Option<Verdict>, String> {
        if let Some(status) = self.running.status()? {
            return Ok(Some(if status.success() { Verdict::Passed } else { Verdict::Failed }));
        }
        if self.began.elapsed() < limit {
            return Ok(None);
        }
        self.running.stop();
        Ok(Some(Verdict::Stopped))
    }

    /// Prints how it went; false if it failed.
    fn tell(&self, verdict: &Verdict, number: usize, count: usize) -> bool {
        let text = fs::read(&self.output).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let (name, time) = (&self.target.name, run::duration(self.began.elapsed()));
        let word = match verdict {
            Verdict::Passed => "ok",
            Verdict::Failed => "FAILED",
            Verdict::Stopped => "FAILED (stopped, it took too long)",
        };
        println!("{number:3} of {count}  {time:>12}  {name}: {word}. {}", tests(&text));
        if *verdict != Verdict::Passed {
            println!(
                "{}\n(all of it: {})",
                run::tail(&text, SHOWN_OF_A_FAILURE),
                self.output.display()
            );
        }
        *verdict == Verdict::Passed
    }
}

/// What the program itself says of its tests: `12 passed; 0 failed; …`.
fn tests(text: &str) -> &str {
    let last = text.lines().rev().find_map(|line| line.strip_prefix("test result: "));
    last.and_then(|result| result.split_once(". "))
        .map_or("it gave no result", |(_, counts)| counts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(name: &str) -> Target {
        Target { name: name.into(), program: "true".into(), folder: "/".into() }
    }

    #[test]
    fn the_longest_start_first_and_the_others_in_their_order() {
        let all = ["adieu a", "adieu b", "adieu-cli check", "adieu c", "adieu-cli sessions"];
        let order = longest_first(all.map(target).to_vec());
        let started: Vec<String> = order.into_iter().map(|target| target.name).collect();
        let expected = ["adieu-cli sessions", "adieu-cli check", "adieu a", "adieu b", "adieu c"];
        assert_eq!(started, expected);
    }

    #[test]
    fn the_counts_are_those_that_the_program_gives() {
        let text = "running 2 tests\n\ntest result: ok. 2 passed; 0 failed\n\n";
        assert_eq!(tests(text), "2 passed; 0 failed");
        assert_eq!(tests("thread main panicked"), "it gave no result");
    }
}
