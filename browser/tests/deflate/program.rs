//! Programs of others, in node, Bun and Python: conformance/deflate.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use browser::server::repository;

/// Until a program says a line; behind its last message it has little to do.
const PATIENCE: Duration = Duration::from_secs(120);

/// A program that does not outlive this value, and the lines that it prints.
pub(crate) struct Program {
    child: Child,
    lines: Receiver<String>,
}

impl Program {
    pub(crate) fn start(command: &mut Command) -> Program {
        let command = command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let output = BufReader::new(child.stdout.take().expect("its output"));
        let (say, lines) = channel();
        thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                if say.send(line).is_err() {
                    break;
                }
            }
        });
        Program { child, lines }
    }

    /// The next line that it prints.
    pub(crate) fn line(&self, what: &str) -> String {
        self.lines.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("the program tells no {what}"))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn dir() -> PathBuf {
    repository().join("conformance/deflate")
}

/// A script for node, or for Bun.
pub(crate) fn script(name: &str, file: &str) -> Command {
    let bun = dir().join("node_modules/.bin/bun");
    let mut command = Command::new(if name == "bun" { bun } else { "node".into() });
    command.arg(dir().join(file)).arg(name);
    command
}

/// The program of Python, with the packages that `ADIEU_PYTHON_PACKAGES` names.
pub(crate) fn python(role: &str) -> Command {
    let packages = std::env::var_os("ADIEU_PYTHON_PACKAGES");
    let mut command = Command::new("python3");
    command.env("PYTHONPATH", packages.expect("cargo xtask deflate-interop names the packages"));
    command.arg("-u").arg(dir().join("peer.py")).arg(role);
    command
}
