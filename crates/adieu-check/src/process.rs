//! The server's process: started, signalled, watched until it exits.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdin, Command};
use tokio::time::Instant;

use super::target::Target;

/// A server listens by then, an interpreter's start included.
const START: Duration = Duration::from_secs(20);

/// Between two looks at something that is waited for; short against every figure here.
const LOOK: Duration = Duration::from_millis(5);

/// A process stops at SIGSTOP at once; the scheduler may need a moment.
const HELD: Duration = Duration::from_secs(2);

/// Sends the signals that it reads, one a line, to the process `$0`.
const SIGNALS: &str = "while read -r name; do kill -\"$name\" \"$0\" || exit 1; done";

/// The unit of the times in `/proc/PID/stat`: the same wherever Rust runs on Linux.
const TICK: Duration = Duration::from_millis(10);

/// Lines of the server's that are kept, to show them if it fails.
const KEPT: usize = 8;

/// The server under test. One that was started here is killed when this is dropped.
pub(crate) struct Process {
    pid: u32,
    child: Option<Child>,
    said: Arc<Mutex<VecDeque<String>>>,
}

/// How a process ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Exit {
    pub(crate) after: Duration,
    /// Only a parent is told.
    pub(crate) status: Option<ExitStatus>,
    /// What it had used by then, where the system tells.
    pub(crate) cpu: Option<Duration>,
}

impl Process {
    /// One that runs already.
    pub(crate) fn of(pid: u32) -> Result<Self, String> {
        let process = Process { pid, child: None, said: Arc::default() };
        // FAQ: check-no-process
        if process.runs() { Ok(process) } else { Err(format!("there is no process {pid}")) }
    }

    /// Starts one, and waits until it listens.
    pub(crate) async fn start(line: &str, target: &Target) -> Result<Self, String> {
        if TcpStream::connect(target.addr).await.is_ok() {
            return Err(format!(
                // FAQ: check-taken
                "something listens at {} already: stop it, or name it with --pid",
                target.addr
            ));
        }
        let mut shell = Command::new("sh");
        // `exec`: the signal must reach the server, not a shell in front of it.
        shell.args(["-c", &format!("exec {line}")]).kill_on_drop(true);
        shell.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = shell.spawn().map_err(|error| format!("cannot start a shell: {error}"))?;
        let said = Arc::default();
        if let Some(stdout) = child.stdout.take() {
            tokio::spawn(keep(stdout, Arc::clone(&said)));
        }
        if let Some(stderr) = child.stderr.take() {
            tokio::spawn(keep(stderr, Arc::clone(&said)));
        }
        let pid = child.id().ok_or("the server ended at once")?;
        let mut process = Process { pid, child: Some(child), said };
        process.listening(line, target).await?;
        Ok(process)
    }

    async fn listening(&mut self, line: &str, target: &Target) -> Result<(), String> {
        let deadline = Instant::now() + START;
        while TcpStream::connect(target.addr).await.is_err() {
            if let Some(status) = self.status() {
                // Its last words arrive on another task.
                tokio::time::sleep(LOOK * 10).await;
                // FAQ: check-ended
                return Err(format!("`{line}` ended ({status}){}", self.last_lines()));
            }
            if Instant::now() >= deadline {
                return Err(format!(
                    // FAQ: check-not-listening
                    "`{line}` does not listen at {} after {} s{}",
                    target.addr,
                    START.as_secs(),
                    self.last_lines()
                ));
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }

    fn last_lines(&self) -> String {
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.iter().map(|line| format!("\n  {line}")).collect()
    }

    fn status(&mut self) -> Option<ExitStatus> {
        self.child.as_mut()?.try_wait().ok().flatten()
    }

    /// Whether it runs; one that ended and whose parent has not asked does not.
    fn runs(&self) -> bool {
        match Stat::of(self.pid) {
            Some(stat) => stat.runs(),
            None if PathBuf::from("/proc/self/stat").exists() => false,
            None => {
                let mut kill = std::process::Command::new("kill");
                let kill = kill.args(["-0", &self.pid.to_string()]).stderr(Stdio::null());
                kill.status().is_ok_and(|status| status.success())
            }
        }
    }

    /// How many sockets it has open, where the system tells (Linux).
    pub(crate) fn sockets(&self) -> Option<usize> {
        let entries = std::fs::read_dir(format!("/proc/{}/fd", self.pid)).ok()?;
        let links = entries.flatten().filter_map(|entry| std::fs::read_link(entry.path()).ok());
        Some(links.filter(|link| link.to_string_lossy().starts_with("socket:")).count())
    }

    /// The processor time that it has used, where the system tells (Linux).
    pub(crate) fn cpu(&self) -> Option<Duration> {
        Stat::of(self.pid).map(|stat| stat.cpu)
    }

    /// Readies the signals, so that nothing is started between the last message and SIGTERM.
    pub(crate) fn arm(&self) -> Result<Signals, String> {
        let mut shell = Command::new("sh");
        shell.args(["-c", SIGNALS, &self.pid.to_string()]);
        shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
        let mut child = shell.spawn().map_err(|error| format!("cannot start a shell: {error}"))?;
        let stdin = child.stdin.take().ok_or("cannot talk to a shell")?;
        Ok(Signals { pid: self.pid, child, stdin })
    }

    /// Waits for its exit, at most until `deadline`.
    pub(crate) async fn exit(&mut self, signalled: Instant, deadline: Instant) -> Option<Exit> {
        let mut cpu = None;
        loop {
            let stat = Stat::of(self.pid);
            cpu = stat.map(|stat| stat.cpu).or(cpu);
            // To ask for its status takes a process away, and what it used with it: only one
            // that was seen to have ended is asked.
            let runs = stat.is_some_and(Stat::runs);
            let status = if runs { None } else { self.status() };
            let ended = status.is_some() || (self.child.is_none() && !runs && !self.runs());
            if ended {
                return Some(Exit { after: signalled.elapsed(), status, cpu });
            }
            if Instant::now() >= deadline {
                return None;
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Kills one that was started here, and waits until it is gone.
    pub(crate) async fn kill(mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill().await;
        }
    }
}

/// Signals that are ready to go.
pub(crate) struct Signals {
    pid: u32,
    child: Child,
    stdin: ChildStdin,
}

impl Signals {
    /// Stops the process, as a busy machine does: what is sent now waits in its kernel, and is
    /// there when SIGTERM comes. Without this it would be a race that a fast server wins.
    pub(crate) async fn hold(&mut self) -> Result<(), String> {
        self.say("STOP").await?;
        let deadline = Instant::now() + HELD;
        while Stat::of(self.pid).is_some_and(|stat| stat.state != 'T') {
            if Instant::now() >= deadline {
                return Err("the process took no SIGSTOP".to_owned());
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Ok(())
    }

    /// Sends SIGTERM, and lets the process go on if it was held.
    pub(crate) async fn send(mut self) -> Result<(), String> {
        self.say("TERM").await?;
        self.say("CONT").await?;
        drop(self.stdin);
        let status = self.child.wait().await;
        let status = status.map_err(|error| format!("the signal could not be sent: {error}"))?;
        if status.success() { Ok(()) } else { Err("the process took no SIGTERM".to_owned()) }
    }

    async fn say(&mut self, signal: &str) -> Result<(), String> {
        let line = format!("{signal}\n");
        let said = self.stdin.write_all(line.as_bytes()).await;
        said.map_err(|error| format!("the signal could not be sent: {error}"))
    }
}

/// What Linux tells of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stat {
    /// The letter for what it does.
    state: char,
    /// User and system time of all its threads, also of those that have ended.
    cpu: Duration,
}

impl Stat {
    fn of(pid: u32) -> Option<Self> {
        Self::parse(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    fn parse(stat: &str) -> Option<Self> {
        // The name before it may hold anything.
        let mut fields = stat.rsplit_once(") ")?.1.split(' ');
        let state = fields.next()?.chars().next()?;
        let mut ticks = fields.skip(10).map(|field| field.parse::<u64>().ok());
        let ticks = ticks.next()?? + ticks.next()??;
        Some(Stat { state, cpu: TICK.checked_mul(u32::try_from(ticks).ok()?)? })
    }

    /// One that ended and whose parent has not asked does not.
    fn runs(self) -> bool {
        self.state != 'Z'
    }
}

/// Reads what the server says, so that its pipe is never full, and keeps the end of it.
async fn keep(from: impl AsyncRead + Unpin, said: Arc<Mutex<VecDeque<String>>>) {
    let mut lines = BufReader::new(from).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.len() == KEPT {
            said.pop_front();
        }
        said.push_back(line.chars().take(200).collect());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_does_not_confuse_the_fields() {
        let stat = "71 (a) b) R 1 71 71 0 -1 4194304 85 0 0 0 120 34 7 8 20 0 1 0 99 0 0";
        let expected = Stat { state: 'R', cpu: Duration::from_millis(1540) };
        assert_eq!(Stat::parse(stat), Some(expected));
        assert_eq!(Stat::parse("71 (a) R 1 71"), None);
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn what_a_process_used_is_known_when_it_has_ended() {
        let child = Command::new("sh")
            .args(["-c", "n=0; while [ $n -lt 300000 ]; do n=$((n + 1)); done; exit 3"])
            .spawn()
            .unwrap();
        let pid = child.id().unwrap();
        let mut process = Process { pid, child: Some(child), said: Arc::default() };
        let now = Instant::now();
        let exit = process.exit(now, now + START).await.expect("it ends");
        assert_eq!(exit.status.and_then(|status| status.code()), Some(3));
        let cpu = exit.cpu.expect("Linux tells");
        assert!(cpu > Duration::ZERO && cpu <= exit.after + TICK * 2, "{exit:?}");
    }
}
