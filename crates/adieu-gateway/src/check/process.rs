//! The server's process: started, signalled, watched until it exits.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::Instant;

use super::target::Target;

/// A server listens by then, an interpreter's start included.
const START: Duration = Duration::from_secs(20);

/// Between two looks at something that is waited for; short against every figure here.
const LOOK: Duration = Duration::from_millis(5);

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
}

impl Process {
    /// One that runs already.
    pub(crate) fn of(pid: u32) -> Result<Self, String> {
        let process = Process { pid, child: None, said: Arc::default() };
        if process.runs() { Ok(process) } else { Err(format!("there is no process {pid}")) }
    }

    /// Starts one, and waits until it listens.
    pub(crate) async fn start(line: &str, target: &Target) -> Result<Self, String> {
        if TcpStream::connect(target.addr).await.is_ok() {
            return Err(format!(
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
                return Err(format!("`{line}` ended ({status}){}", self.last_lines()));
            }
            if Instant::now() >= deadline {
                return Err(format!(
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
        match std::fs::read_to_string(format!("/proc/{}/stat", self.pid)) {
            Ok(stat) => !stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z')),
            Err(_) if PathBuf::from("/proc/self/stat").exists() => false,
            Err(_) => {
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

    /// Readies SIGTERM, so that nothing is started between the last message and the signal.
    pub(crate) fn arm(&self) -> Result<Signal, String> {
        let mut shell = Command::new("sh");
        shell.args(["-c", "read -r go && kill -TERM \"$0\"", &self.pid.to_string()]);
        shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
        let child = shell.spawn().map_err(|error| format!("cannot start a shell: {error}"))?;
        Ok(Signal(child))
    }

    /// Waits for its exit, at most until `deadline`.
    pub(crate) async fn exit(&mut self, signalled: Instant, deadline: Instant) -> Option<Exit> {
        loop {
            let status = self.status();
            let ended = status.is_some() || (self.child.is_none() && !self.runs());
            if ended {
                return Some(Exit { after: signalled.elapsed(), status });
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

/// A SIGTERM that is ready to go.
pub(crate) struct Signal(Child);

impl Signal {
    /// Sends it.
    pub(crate) async fn send(mut self) -> Result<(), String> {
        let no = |error: std::io::Error| format!("the signal could not be sent: {error}");
        let mut stdin = self.0.stdin.take().ok_or("the signal could not be sent")?;
        stdin.write_all(b"\n").await.map_err(no)?;
        drop(stdin);
        let status = self.0.wait().await.map_err(no)?;
        if status.success() { Ok(()) } else { Err("the process took no SIGTERM".to_owned()) }
    }
}

/// Reads what the server says, so that its pipe is never full, and keeps the end of it.
async fn keep(from: impl AsyncRead + Unpin, said: Arc<Mutex<VecDeque<String>>>) {
    let mut lines = BufReader::new(from).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
        said.truncate(KEPT);
        if said.len() == KEPT {
            said.pop_front();
        }
        said.push_back(line.chars().take(200).collect());
    }
}
