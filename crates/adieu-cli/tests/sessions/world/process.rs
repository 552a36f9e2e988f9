//! The command `adieu` as people start it: with its output, and without what the other tests add.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::Backend;

/// How long anything that is waited for may take.
const PATIENCE: Duration = Duration::from_secs(300);

/// The command with these arguments, and with nothing of the environment that it looks at.
pub(crate) fn adieu(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_adieu"));
    command.args(arguments);
    for name in ["ADIEU_BACKEND_SECRET", "ADIEU_API_KEY", "RUST_LOG"] {
        command.env_remove(name);
    }
    command
}

/// Runs to its end a command that is to refuse its start; what it said.
pub(crate) fn refused(arguments: &[&str]) -> String {
    let mut command = adieu(arguments);
    command.env("ADIEU_BACKEND_SECRET", Backend::SECRET);
    refused_by(command)
}

/// The same by this command.
pub(crate) fn refused_by(mut command: Command) -> String {
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let started = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if started.elapsed() > Duration::from_secs(20) {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("it starts: {command:?}");
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(!status.success(), "{command:?}: {said}");
    said
}

/// `adieu serve` on a free port; killed when it is dropped.
pub(crate) struct Process {
    child: Child,
    pub(crate) addr: SocketAddr,
    stdout: Option<BufReader<ChildStdout>>,
    errors: Arc<Mutex<String>>,
}

impl Process {
    /// With these options.
    pub(crate) fn start(options: &[&str]) -> Self {
        Self::spawn(adieu(&[]), options)
    }

    /// Told to this backend.
    pub(crate) fn told_to(backend: &Backend, options: &[&str]) -> Self {
        let mut command = adieu(&[]);
        command.env("ADIEU_BACKEND_SECRET", Backend::SECRET);
        let url = backend.url();
        Self::spawn(command, &[&["--backend", &url], options].concat())
    }

    /// The same by this command.
    pub(crate) fn spawn(mut command: Command, options: &[&str]) -> Self {
        command.args(["serve", "--listen", "127.0.0.1:0"]).args(options);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("adieu starts");
        let errors = Arc::new(Mutex::new(String::new()));
        let (heard, stderr) = (errors.clone(), BufReader::new(child.stderr.take().unwrap()));
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                heard.lock().unwrap().push_str(&format!("{line}\n"));
            }
        });
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let addr = line.split_once("://").and_then(|(_, addr)| addr.trim().split('/').next());
        let addr = addr.and_then(|addr| addr.parse().ok());
        let addr = addr.unwrap_or_else(|| panic!("{line:?} {}", errors.lock().unwrap()));
        Process { child, addr, stdout: Some(stdout), errors }
    }

    pub(crate) fn url(&self) -> String {
        format!("ws://{}/ws", self.addr)
    }

    /// Nobody reads any more what it prints.
    pub(crate) fn close_stdout(&mut self) {
        self.stdout = None;
    }

    /// What it printed until its end.
    pub(crate) fn rest_of_stdout(&mut self) -> String {
        let mut text = String::new();
        self.stdout.take().unwrap().read_to_string(&mut text).unwrap();
        text
    }

    /// What it wrote to stderr until now.
    pub(crate) fn errors(&self) -> String {
        self.errors.lock().unwrap().clone()
    }

    /// Waits until it has written this to stderr.
    pub(crate) fn until_error(&self, text: &str) {
        testkit::wait_until(text, || self.errors().contains(text));
    }

    pub(crate) fn signal(&self, name: &str) {
        let (signal, pid) = (format!("-{name}"), self.child.id().to_string());
        assert!(Command::new("kill").args([&signal, &pid]).status().unwrap().success());
    }

    /// Waits for its end.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(started.elapsed() < PATIENCE, "it does not end");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// A request of its own connection, with these fields; the head and the body.
    pub(crate) fn request(&self, method: &str, target: &str, fields: &str) -> (String, String) {
        let mut tcp = TcpStream::connect(self.addr).unwrap();
        tcp.set_read_timeout(Some(PATIENCE)).unwrap();
        let host = if fields.contains("Host:") { "" } else { "Host: localhost\r\n" };
        let head = format!("{method} {target} HTTP/1.1\r\n{host}Connection: close\r\n{fields}\r\n");
        tcp.write_all(head.as_bytes()).unwrap();
        let mut answer = Vec::new();
        let _ = tcp.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let (head, body) = answer.split_once("\r\n\r\n").expect("an answer");
        (head.to_owned(), body.to_owned())
    }

    /// A value of `/metrics`; 0 for what was never counted.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let (_, text) = self.request("GET", "/metrics", "");
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map_or(0.0, |value| value.parse().unwrap())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
