//! A program of this crate as a process.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;

use testkit::{DEADLINE, wait_until};

/// SIGINT is the second bit of the masks in `/proc/PID/status`.
const SIGINT: u64 = 1 << 1;

/// A program that runs, and the lines that it prints. Dropped, it is killed.
pub(crate) struct Program {
    child: Child,
    lines: mpsc::Receiver<String>,
}

/// A program that serves.
pub(crate) struct Server {
    program: Program,
    pub(crate) addr: SocketAddr,
}

impl Program {
    /// Starts it with one argument, in a directory.
    pub(crate) fn start_in(dir: &Path, exe: &str, argument: &str) -> Self {
        let mut command = Command::new(exe);
        command.arg(argument).current_dir(dir).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{exe}: {error}"));
        let stdout = BufReader::new(child.stdout.take().expect("its standard output"));
        let (tell, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                // A test that has seen enough does not listen.
                let _ = tell.send(line);
            }
        });
        Program { child, lines }
    }

    pub(crate) fn start(exe: &str, argument: &str) -> Self {
        Self::start_in(Path::new("."), exe, argument)
    }

    /// The next line that it prints.
    #[track_caller]
    pub(crate) fn line(&self) -> String {
        self.lines.recv_timeout(DEADLINE).expect("a line")
    }

    /// The rest of what it prints, and how it exits.
    #[track_caller]
    pub(crate) fn finish(mut self) -> (Vec<String>, ExitStatus) {
        let mut rest = Vec::new();
        loop {
            match self.lines.recv_timeout(DEADLINE) {
                Ok(line) => rest.push(line),
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
                Err(mpsc::RecvTimeoutError::Timeout) => panic!("it does not exit: {rest:?}"),
            }
        }
        (rest, self.child.wait().expect("its status"))
    }

    /// Sends SIGINT, as Ctrl-C does, as soon as the program listens to it.
    fn interrupt(&self) {
        let pid = self.child.id();
        wait_until("the program listens to SIGINT", || catches_sigint(pid));
        let mut kill = Command::new("kill");
        let status = kill.args(["-INT", &pid.to_string()]).status().expect("kill runs");
        assert!(status.success(), "{status}");
    }
}

fn catches_sigint(pid: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask & SIGINT != 0)
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    /// Starts it on a free port; ready when it says that it listens.
    pub(crate) fn start(exe: &str) -> Self {
        Self::of(Program::start(exe, "127.0.0.1:0"))
    }

    pub(crate) fn start_in(dir: &Path, exe: &str) -> Self {
        Self::of(Program::start_in(dir, exe, "127.0.0.1:0"))
    }

    fn of(program: Program) -> Self {
        let line = program.line();
        let addr = line.strip_prefix("listening on ").and_then(|addr| addr.parse().ok());
        let addr = addr.unwrap_or_else(|| panic!("an address was expected: {line}"));
        Server { program, addr }
    }

    /// The next line that it prints.
    #[track_caller]
    pub(crate) fn line(&self) -> String {
        self.program.line()
    }

    /// Tells it to stop, as Ctrl-C does.
    pub(crate) fn interrupt(&self) {
        self.program.interrupt();
    }

    /// The rest of what it prints, and how it exits.
    #[track_caller]
    pub(crate) fn finish(self) -> (Vec<String>, ExitStatus) {
        self.program.finish()
    }
}
