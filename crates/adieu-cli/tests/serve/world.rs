//! The command as a process, and what it says.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long anything that is waited for may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A key of the API.
pub(crate) const KEY: &str = "a-key-for-the-tests-of-adieu";

/// A secret of hooks.
pub(crate) const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// The program.
pub(crate) const ADIEU: &str = env!("CARGO_BIN_EXE_adieu");

/// What the last line of a start has in it.
const STARTED: &str = "Ctrl-C ends adieu";

/// The command, with nothing of the environment that it looks at.
pub(crate) fn adieu(arguments: &[&str]) -> Command {
    by(ADIEU, arguments)
}

/// The same by another program, which runs it.
pub(crate) fn by(program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null());
    for name in ["ADIEU_BACKEND_SECRET", "ADIEU_API_KEY", "RUST_LOG", "NO_COLOR"] {
        command.env_remove(name);
    }
    command
}

/// What a process writes to one of its streams, as it comes.
struct Stream {
    text: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
}

impl Stream {
    fn read(from: impl Read + Send + 'static) -> Self {
        let text = Arc::new(Mutex::new(String::new()));
        let to = text.clone();
        let reader = std::thread::spawn(move || {
            let mut from = BufReader::new(from);
            let mut line = Vec::new();
            // A terminal ends with an error.
            while from.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
                to.lock().unwrap().push_str(&String::from_utf8_lossy(&line));
                line.clear();
            }
        });
        Stream { text, reader: Some(reader) }
    }

    fn text(&self) -> String {
        self.text.lock().unwrap().clone()
    }

    fn end(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
    }
}

/// A run of the command; killed when it is dropped.
pub(crate) struct Adieu {
    child: Child,
    out: Stream,
    err: Stream,
}

impl Adieu {
    /// `adieu serve` on a free port, with these options.
    pub(crate) fn serve(options: &[&str]) -> Self {
        Self::spawn(adieu(&[&["serve", "--listen", "127.0.0.1:0"], options].concat()))
    }

    /// This command, which has to start.
    pub(crate) fn spawn(command: Command) -> Self {
        let adieu = Self::run(command);
        adieu.until("it starts", |adieu| adieu.said().contains(STARTED));
        adieu
    }

    /// This command, whatever becomes of it.
    pub(crate) fn run(mut command: Command) -> Self {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the command runs");
        let out = Stream::read(child.stdout.take().unwrap());
        let err = Stream::read(child.stderr.take().unwrap());
        Adieu { child, out, err }
    }

    /// The same with a terminal for what it prints.
    pub(crate) fn on_a_terminal(mut command: Command) -> Self {
        let (terminal, user) = terminal();
        command.stdout(Stdio::from(user)).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the command runs");
        // The last copy of the other end outside of the child.
        drop(command);
        let err = Stream::read(child.stderr.take().unwrap());
        let adieu = Adieu { child, out: Stream::read(terminal), err };
        adieu.until("it starts", |adieu| adieu.said().contains(STARTED));
        adieu
    }

    /// Waits until this is so, while it runs.
    #[track_caller]
    pub(crate) fn until(&self, what: &str, is: impl Fn(&Self) -> bool) {
        let started = Instant::now();
        while !is(self) {
            let late = started.elapsed() > PATIENCE;
            assert!(!late, "never: {what}\n{}\n{}", self.said(), self.errors());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    #[track_caller]
    pub(crate) fn until_said(&self, text: &str) {
        self.until(text, |adieu| adieu.said().contains(text));
    }

    #[track_caller]
    pub(crate) fn until_error(&self, text: &str) {
        self.until(text, |adieu| adieu.errors().contains(text));
    }

    /// What it has written to stdout.
    pub(crate) fn said(&self) -> String {
        self.out.text()
    }

    /// What it has written to stderr.
    pub(crate) fn errors(&self) -> String {
        self.err.text()
    }

    /// Its addresses of TCP, in order.
    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        let said = self.said();
        let lines = said.lines().filter(|line| line.contains("listening on http"));
        let address = |line: &str| {
            let (_, behind) = line.split_once("://")?;
            behind.split('/').next()?.parse().ok()
        };
        lines.filter_map(address).collect()
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addresses()[0]
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, name: &str) {
        let (signal, pid) = (format!("-{name}"), self.child.id().to_string());
        assert!(Command::new("kill").args([&signal, &pid]).status().unwrap().success());
    }

    /// Waits for its end, and for all that it has said.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        let started = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(started.elapsed() < PATIENCE, "it does not end: {}", self.errors());
            std::thread::sleep(Duration::from_millis(5));
        };
        self.out.end();
        self.err.end();
        status
    }

    /// Stops it; it ends well.
    pub(crate) fn stop(&mut self) {
        self.signal("TERM");
        let status = self.ended();
        assert!(status.success(), "{status}: {}", self.errors());
    }

    /// A request to its first address.
    pub(crate) fn get(&self, target: &str, fields: &str) -> Answer {
        Answer::of(TcpStream::connect(self.addr()).unwrap(), "GET", target, fields, "")
    }
}

impl Drop for Adieu {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Both ends of a terminal: that of a person, and that of a program.
pub(crate) fn terminal() -> (std::fs::File, std::os::fd::OwnedFd) {
    use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let terminal = openpt(flags).expect("a pseudo-terminal");
    grantpt(&terminal).expect("its rights");
    unlockpt(&terminal).expect("it is unlocked");
    let user = ioctl_tiocgptpeer(&terminal, flags).expect("its other end");
    (std::fs::File::from(terminal), user)
}

/// Runs a command to its end, which has to be a refusal; what it said.
#[track_caller]
pub(crate) fn refused(command: Command) -> String {
    let mut adieu = Adieu::run(command);
    let status = adieu.ended();
    let said = adieu.errors();
    assert!(!status.success(), "{status}: {said}");
    assert!(!said.contains("panicked"), "{said}");
    said
}

/// The same of `adieu serve` on a free port.
#[track_caller]
pub(crate) fn refuses(options: &[&str]) -> String {
    refused(adieu(&[&["serve", "--listen", "127.0.0.1:0"], options].concat()))
}

/// What was answered to a request.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    /// Over this stream, which ends with it.
    pub(crate) fn of(
        mut stream: impl Read + Write,
        method: &str,
        target: &str,
        fields: &str,
        body: &str,
    ) -> Self {
        let host = if fields.contains("Host:") { "" } else { "Host: localhost\r\n" };
        let length = match body.len() {
            0 => String::new(),
            length => format!("Content-Length: {length}\r\n"),
        };
        let head = format!(
            "{method} {target} HTTP/1.1\r\n{host}{length}Connection: close\r\n{fields}\r\n{body}"
        );
        // One that is refused need not be read to its end.
        let _ = stream.write_all(head.as_bytes());
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let (head, body) = answer.split_once("\r\n\r\n").expect("an answer");
        Answer { head: head.to_owned(), body: body.to_owned() }
    }

    pub(crate) fn status(&self) -> u16 {
        self.head.split(' ').nth(1).unwrap().parse().unwrap()
    }

    /// The value of a field.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let mut fields = self.head.lines().filter_map(|line| line.split_once(": "));
        fields.find(|(of, _)| of.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

/// A directory that ends with the test. Its path is short: a Unix socket's has 100 bytes at most.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("adieu-{}-{n}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir).unwrap();
        Scratch(dir)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The path as text.
    pub(crate) fn name(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The two files of a self-signed certificate for 127.0.0.1.
pub(crate) struct Certificate {
    pub(crate) cert: String,
    pub(crate) key: String,
}

impl Certificate {
    pub(crate) fn make() -> Self {
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        Certificate { cert: made.cert.pem(), key: made.signing_key.serialize_pem() }
    }

    pub(crate) fn write(&self, cert: &Path, key: &Path) {
        std::fs::write(cert, &self.cert).unwrap();
        std::fs::write(key, &self.key).unwrap();
    }
}
