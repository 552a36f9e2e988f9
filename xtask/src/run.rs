//! Starts other programs: shows the command, never waits for ever, says what went wrong.

use std::fs;
use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How often a running program is looked at. Short against every program started here.
const POLL: Duration = Duration::from_millis(50);

/// Long enough for a message of the compiler; a list of all cases is longer than a screen.
const TAIL_COLUMNS: usize = 240;

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().expect("xtask lies in the root of the repository").to_owned()
}

/// The cargo that started this program, at the root of the repository.
pub(crate) fn cargo(args: &[&str]) -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(args).current_dir(root());
    command
}

/// Cargo's target directory, which the environment may have moved.
pub(crate) fn target_dir() -> Result<PathBuf, String> {
    let metadata = metadata()?;
    let dir = metadata["target_directory"].as_str();
    dir.map(PathBuf::from).ok_or_else(|| "cargo metadata names no target directory".into())
}

/// What cargo knows about the workspace, without its dependencies.
pub(crate) fn metadata() -> Result<serde_json::Value, String> {
    let text = output(&mut cargo(&["metadata", "--no-deps", "--format-version", "1"]))?;
    serde_json::from_str(&text).map_err(|error| format!("cargo metadata: {error}"))
}

/// A command as a person would type it.
pub(crate) fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or_default();
    let mut words = vec![program.to_string_lossy().into_owned()];
    words.extend(command.get_args().map(|arg| arg.to_string_lossy().into_owned()));
    words.join(" ")
}

/// Runs a command with its output shown; an error names the command and how it failed.
pub(crate) fn run(command: &mut Command, limit: Duration) -> Result<(), String> {
    println!("{}", dim(&format!("$ {}", shown(command))));
    let name = shown(command);
    let mut child = Running::start(command.stdin(Stdio::null()))?;
    match child.wait(limit)? {
        Some(status) => success(&name, status),
        None => Err(format!("`{name}` was stopped: not finished after {}", duration(limit))),
    }
}

/// Runs a command with its errors shown and returns its standard output.
pub(crate) fn run_for_output(command: &mut Command, limit: Duration) -> Result<String, String> {
    println!("{}", dim(&format!("$ {}", shown(command))));
    let name = shown(command);
    let mut child = Running::start(command.stdin(Stdio::null()).stdout(Stdio::piped()))?;
    let pipe = child.child().stdout.take();
    let reader = thread::spawn(move || {
        let mut text = String::new();
        pipe.map_or(Ok(0), |mut pipe| pipe.read_to_string(&mut text)).map(|_| text)
    });
    match child.wait(limit)? {
        Some(status) => success(&name, status)?,
        None => {
            return Err(format!("`{name}` was stopped: not finished after {}", duration(limit)));
        }
    }
    let text = reader.join().map_err(|_| format!("`{name}`: its output cannot be read"))?;
    text.map_err(|error| format!("`{name}`: its output cannot be read: {error}"))
}

/// Runs a short command and returns its standard output.
pub(crate) fn output(command: &mut Command) -> Result<String, String> {
    let name = shown(command);
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("`{name}` cannot be started: {error}"))?;
    success(&name, output.status).map_err(|why| {
        let said = String::from_utf8_lossy(&output.stderr);
        format!("{why}\n{}", tail(&said, 15))
    })?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The last lines of a text, very long ones cut.
pub(crate) fn tail(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.trim_end().lines().collect();
    let last = &all[all.len().saturating_sub(lines)..];
    let cut = |line: &&str| line.chars().take(TAIL_COLUMNS).collect::<String>();
    last.iter().map(cut).collect::<Vec<_>>().join("\n")
}

/// A duration for people: `0.4 s`, `12.3 s`, `3 min 05 s`.
pub(crate) fn duration(duration: Duration) -> String {
    let tenths = (duration.as_millis() + 50) / 100;
    if tenths < 600 {
        return format!("{}.{} s", tenths / 10, tenths % 10);
    }
    format!("{} min {:02} s", duration.as_secs() / 60, duration.as_secs() % 60)
}

/// Grey on a terminal, plain elsewhere.
fn dim(text: &str) -> String {
    if std::io::stdout().is_terminal() { format!("\x1b[2m{text}\x1b[0m") } else { text.to_owned() }
}

fn success(name: &str, status: ExitStatus) -> Result<(), String> {
    // The status prints itself as "exit status: 101" or "signal: 9 (SIGKILL)".
    if status.success() { Ok(()) } else { Err(format!("`{name}` failed ({status})")) }
}

/// A program that does not outlive this value.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    name: String,
}

impl Running {
    /// Starts a program; its standard streams are the caller's choice.
    pub(crate) fn start(command: &mut Command) -> Result<Self, String> {
        let name = shown(command);
        let child =
            command.spawn().map_err(|error| format!("`{name}` cannot be started: {error}"))?;
        Ok(Self { child, name })
    }

    /// The process, for its pipes.
    pub(crate) fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// How it ended, or `None` while it runs.
    pub(crate) fn status(&mut self) -> Result<Option<ExitStatus>, String> {
        self.child.try_wait().map_err(|error| format!("`{}`: {error}", self.name))
    }

    /// Waits for its end; after `limit` stops it and returns `None`.
    pub(crate) fn wait(&mut self, limit: Duration) -> Result<Option<ExitStatus>, String> {
        let ended = poll(limit, || self.status())?;
        if ended.is_none() {
            self.stop();
        }
        Ok(ended)
    }

    /// Stops it and everything it started (`cargo test` starts the tests, which start browsers).
    pub(crate) fn stop(&mut self) {
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return;
        }
        for pid in descendants(self.child.id()) {
            let _ = Command::new("kill").args(["-KILL", &pid.to_string()]).status();
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Asks until there is an answer, or gives `None` when the time is up.
pub(crate) fn poll<T>(
    limit: Duration,
    mut ask: impl FnMut() -> Result<Option<T>, String>,
) -> Result<Option<T>, String> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(answer) = ask()? {
            return Ok(Some(answer));
        }
        if Instant::now() >= deadline {
            return Ok(None);
        }
        thread::sleep(POLL);
    }
}

/// The processes below `pid`, children before grandchildren. Empty where there is no `/proc`.
fn descendants(pid: u32) -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let parents: Vec<(u32, u32)> = pids.filter_map(|pid| Some((pid, parent(pid)?))).collect();
    let mut found = vec![pid];
    let mut next = 0;
    while let Some(&above) = found.get(next) {
        found.extend(parents.iter().filter(|(_, parent)| *parent == above).map(|(pid, _)| pid));
        next += 1;
    }
    found.split_off(1)
}

/// The parent of a process: the second field after its name, which stands in brackets and may
/// itself contain spaces and brackets.
fn parent(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_rounded_and_split_into_minutes() {
        assert_eq!(duration(Duration::from_millis(0)), "0.0 s");
        assert_eq!(duration(Duration::from_millis(12_340)), "12.3 s");
        assert_eq!(duration(Duration::from_millis(59_949)), "59.9 s");
        assert_eq!(duration(Duration::from_secs(185)), "3 min 05 s");
    }

    #[test]
    fn tail_keeps_the_last_lines() {
        assert_eq!(tail("a\nb\nc\n", 2), "b\nc");
        assert_eq!(tail("a", 2), "a");
        assert_eq!(tail(&"x".repeat(1000), 1).len(), TAIL_COLUMNS);
    }

    #[test]
    fn a_failure_names_the_command_and_the_status() {
        let why = output(Command::new("sh").args(["-c", "echo no >&2; exit 3"])).unwrap_err();
        assert!(why.contains("sh -c") && why.contains('3') && why.ends_with("no"), "{why}");
        let why = output(&mut Command::new("/nonexistent/program")).unwrap_err();
        assert!(why.starts_with("`program` cannot be started"), "{why}");
    }

    #[test]
    fn a_program_that_hangs_is_stopped_with_all_it_started() {
        let mut shell = Command::new("sh");
        shell.args(["-c", "sleep 600 & sleep 600; true"]).stdin(Stdio::null());
        let mut running = Running::start(&mut shell).unwrap();
        let pid = running.child().id();
        let two = || Ok(Some(descendants(pid)).filter(|below| below.len() == 2));
        let below = poll(Duration::from_secs(10), two).unwrap().expect("two sleeps");
        assert!(running.wait(Duration::ZERO).unwrap().is_none());
        // A killed orphan may stay a zombie until somebody reaps it; it runs no more.
        let gone = |pid: &u32| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            stat.is_empty() || stat.contains(") Z ")
        };
        let all = || Ok(below.iter().all(gone).then_some(()));
        assert!(poll(Duration::from_secs(10), all).unwrap().is_some(), "still there: {below:?}");
    }
}
