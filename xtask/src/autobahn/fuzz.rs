//! Runs `wstest`, the testsuite's program, against a server or for a client.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde_json::json;

use super::summary::Summary;
use crate::run::{self, Running};

/// All cases but those of compression take about 20 s against a server that answers; one that never
/// answers costs a few seconds a case. All of compression, with 1,000 messages each, take the
/// testsuite about ten minutes, and several times that on a busy machine.
const RUN_LIMIT: Duration = Duration::from_secs(90 * 60);

/// From the start of a server until it accepts connections.
const START_LIMIT: Duration = Duration::from_secs(30);

/// Which cases to run. There are no sections 8 and 11.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Extent {
    /// Whether section 9 is among them: large messages.
    pub(super) large: bool,
    /// How many of compression.
    pub(super) compression: Compression,
}

/// How many cases of sections 12 and 13, which are those of compression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compression {
    None,
    /// Three of each setting: small and larger messages, and messages in many frames.
    Few,
    /// All of them.
    All,
}

/// The settings of compression that are judged: kinds of text, then parameters of the extension.
const SETTINGS: [(u32, u32); 2] = [(12, 5), (13, 7)];

/// Of each setting: messages of 64 bytes, of 4 KiB, and of 8 KiB in frames of 256 bytes.
const FEW: [u32; 3] = [2, 5, 11];

impl Extent {
    /// The patterns of the testsuite.
    fn cases(self) -> Vec<String> {
        let sections = [1, 2, 3, 4, 5, 6, 7, 9, 10].iter();
        let sections = sections.filter(|section| self.large || **section != 9);
        let mut cases: Vec<String> = sections.map(|section| format!("{section}.*")).collect();
        match self.compression {
            Compression::None => {}
            Compression::Few => cases.extend(few()),
            Compression::All => cases.extend(SETTINGS.map(|(section, _)| format!("{section}.*"))),
        }
        cases
    }
}

fn few() -> impl Iterator<Item = String> {
    let settings = SETTINGS
        .iter()
        .flat_map(|(section, last)| (1..=*last).map(move |setting| format!("{section}.{setting}")));
    settings.flat_map(|setting| FEW.map(|case| format!("{setting}.{case}")))
}

/// The installed testsuite and where it may write.
#[derive(Debug)]
pub(super) struct Suite {
    /// The interpreter that has the testsuite.
    pub(super) python: PathBuf,
    /// A directory of our own.
    pub(super) work: PathBuf,
    /// Which cases to run.
    pub(super) extent: Extent,
}

impl Suite {
    /// Starts an echo server that takes its address as last argument, and judges it.
    pub(super) fn judge_echo(&self, echo: &mut Command) -> Result<Summary, String> {
        let files = Files::new(&self.work, "server")?;
        let address = free_address()?;
        let mut server = Running::start(files.peer_output(echo.arg(&address))?)?;
        accepting(&mut server, &address).map_err(|why| files.explain(&why))?;
        let summary = self.judge_server(&format!("ws://{address}"))?;
        match server.status()? {
            None => Ok(summary),
            Some(status) => Err(files.explain(&format!("the echo server ended ({status})"))),
        }
    }

    /// Judges a server that runs.
    pub(super) fn judge_server(&self, url: &str) -> Result<Summary, String> {
        let files = Files::new(&self.work, "server")?;
        files.write_spec(&json!({
            "outdir": files.reports(),
            "servers": [{ "agent": "adieu", "url": url }],
            "cases": self.extent.cases(),
            "exclude-cases": [],
            "exclude-agent-cases": {},
        }))?;
        let (mut wstest, progress) = self.start("fuzzingclient", &files)?;
        let ended = wstest.wait(RUN_LIMIT)?;
        let expected = finish(progress)?;
        match ended {
            Some(status) if status.success() => files.summary(expected),
            Some(status) => Err(files.explain(&format!("wstest failed ({status})"))),
            None => Err(files.explain("wstest was stopped: the cases took too long")),
        }
    }

    /// Judges a client that takes the URL of the fuzzing server as last argument.
    pub(super) fn judge_client(&self, client: &mut Command) -> Result<Summary, String> {
        let files = Files::new(&self.work, "client")?;
        let address = free_address()?;
        let url = format!("ws://{address}");
        files.write_spec(&json!({
            "outdir": files.reports(),
            "url": url,
            "cases": self.extent.cases(),
            "exclude-cases": [],
            "exclude-agent-cases": {},
        }))?;
        let (mut wstest, progress) = self.start("fuzzingserver", &files)?;
        accepting(&mut wstest, &address).map_err(|why| files.explain(&why))?;
        let mut client = Running::start(files.peer_output(client.arg(&url))?)?;
        let ended = client.wait(RUN_LIMIT)?;
        wstest.stop();
        let expected = finish(progress)?;
        match ended {
            Some(status) if status.success() => files.summary(expected),
            Some(status) => Err(files.explain(&format!("the client failed ({status})"))),
            None => Err(files.explain("the client was stopped: the cases took too long")),
        }
    }

    fn start(&self, mode: &str, files: &Files) -> Result<(Running, JoinHandle<u64>), String> {
        let mut wstest = Command::new(&self.python);
        // By way of the interpreter: the first line of a script cannot name a path with spaces.
        // Unbuffered: the progress is shown as it happens.
        wstest.arg("-u").arg(self.python.with_file_name("wstest"));
        wstest.args(["--mode", mode, "--webport", "0", "--spec"]).arg(files.spec());
        wstest.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(files.create("wstest.err")?);
        let log = files.create("wstest.log")?;
        let mut running = Running::start(&mut wstest)?;
        let output = running.child().stdout.take().ok_or("wstest has no standard output")?;
        Ok((running, thread::spawn(move || follow(BufReader::new(output), log))))
    }
}

/// Copies the output of `wstest` to its log and prints how far it is; returns how many cases it
/// announced.
fn follow(output: impl BufRead, mut log: impl Write) -> u64 {
    let mut progress = Progress::default();
    for line in output.lines().map_while(Result::ok) {
        // A log that cannot be written must not stall wstest on a full pipe.
        let _ = writeln!(log, "{line}");
        if let Some(news) = progress.on(&line) {
            println!("  {news}");
        }
    }
    progress.total
}

fn finish(progress: JoinHandle<u64>) -> Result<u64, String> {
    progress.join().map_err(|_| "the reader of wstest's output panicked".into())
}

#[derive(Debug, Default)]
struct Progress {
    total: u64,
    seen: u64,
    section: String,
}

impl Progress {
    /// A line to print when a section begins; there are too many cases for a line each.
    fn on(&mut self, line: &str) -> Option<String> {
        if let Some(rest) = line.strip_prefix("Ok, will run ") {
            self.total = rest.split(' ').next()?.parse().ok()?;
            return Some(format!("{} cases", self.total));
        }
        let case = line.strip_prefix("Running test case ID ")?.split(' ').next()?;
        self.seen += 1;
        let section = section(case);
        if section == self.section {
            return None;
        }
        self.section = section.clone();
        Some(format!("case {} of {}: section {section}", self.seen, self.total))
    }
}

/// Section 9 is half of the time, so its parts are shown.
fn section(case: &str) -> String {
    let shown = if case.starts_with("9.") { 2 } else { 1 };
    case.split('.').take(shown).collect::<Vec<_>>().join(".")
}

/// An address that was free a moment ago; nobody else picks ports on this machine's loopback in the
/// moment until it is used, and if they do, the server says so.
fn free_address() -> Result<String, String> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let address = listener.and_then(|listener| listener.local_addr());
    address.map(|address| address.to_string()).map_err(|error| format!("no free port: {error}"))
}

/// Waits until a server accepts connections; an error if it ends before.
fn accepting(server: &mut Running, address: &str) -> Result<(), String> {
    let ready = run::poll(START_LIMIT, || match server.status()? {
        Some(status) => Err(format!("the server ended before it listened ({status})")),
        None => Ok(TcpStream::connect(address).ok().map(drop)),
    })?;
    ready.ok_or_else(|| format!("nobody listens on {address} after {}", run::duration(START_LIMIT)))
}

/// The files of one run.
#[derive(Debug)]
struct Files {
    dir: PathBuf,
}

impl Files {
    fn new(work: &Path, side: &str) -> Result<Self, String> {
        let files = Self { dir: work.join(side) };
        // Verdicts of an earlier run must not be taken for those of this one.
        if files.reports().exists() {
            fs::remove_dir_all(files.reports()).map_err(|error| files.said(&error))?;
        }
        fs::create_dir_all(files.reports()).map_err(|error| files.said(&error))?;
        Ok(files)
    }

    fn reports(&self) -> PathBuf {
        self.dir.join("reports")
    }

    fn spec(&self) -> PathBuf {
        self.dir.join("spec.json")
    }

    fn create(&self, name: &str) -> Result<File, String> {
        File::create(self.dir.join(name)).map_err(|error| self.said(&error))
    }

    fn write_spec(&self, spec: &serde_json::Value) -> Result<(), String> {
        fs::write(self.spec(), spec.to_string()).map_err(|error| self.said(&error))
    }

    /// Sends the output of our peer to a file: an echo server says a line for each case.
    fn peer_output<'a>(&self, peer: &'a mut Command) -> Result<&'a mut Command, String> {
        let file = self.create("peer.log")?;
        let copy = file.try_clone().map_err(|error| self.said(&error))?;
        Ok(peer.stdin(Stdio::null()).stdout(file).stderr(copy))
    }

    fn summary(&self, expected: u64) -> Result<Summary, String> {
        let index = fs::read_to_string(self.reports().join("index.json"));
        let index = index.map_err(|_| self.explain("there is no report"))?;
        let summary = Summary::from_index(&index).map_err(|why| self.explain(&why))?;
        let cases = summary.cases();
        if expected == 0 || cases != expected {
            return Err(self.explain(&format!("{cases} of {expected} cases have a verdict")));
        }
        println!("  full report: {}", self.reports().join("index.html").display());
        Ok(summary)
    }

    /// A complaint with the last words of both programs.
    fn explain(&self, why: &str) -> String {
        let mut text = why.to_owned();
        for name in ["wstest.log", "wstest.err", "peer.log"] {
            let said = fs::read(self.dir.join(name)).unwrap_or_default();
            let said = run::tail(&String::from_utf8_lossy(&said), 5);
            if !said.is_empty() {
                text.push_str(&format!("\n{name}: {said}"));
            }
        }
        text
    }

    fn said(&self, error: &std::io::Error) -> String {
        format!("{}: {error}", self.dir.display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_tells_the_number_of_cases_and_each_section_once() {
        let output = b"Ok, will run 4 test cases against 1 servers\n\
            Running test case ID 1.1.1 for agent adieu from peer tcp4:127.0.0.1:9\n\
            Running test case ID 1.2.1 for agent adieu from peer tcp4:127.0.0.1:9\n\
            Running test case ID 9.1.1 for agent adieu from peer tcp4:127.0.0.1:9\n\
            Running test case ID 9.2.1 for agent adieu from peer tcp4:127.0.0.1:9\n";
        let mut progress = Progress::default();
        let text = String::from_utf8_lossy(output);
        let news: Vec<String> = text.lines().filter_map(|line| progress.on(line)).collect();
        let expected = [
            "4 cases",
            "case 1 of 4: section 1",
            "case 3 of 4: section 9.1",
            "case 4 of 4: section 9.2",
        ];
        assert_eq!(news, expected);
        let mut log = Vec::new();
        assert_eq!(follow(&output[..], &mut log), 4);
        assert_eq!(log, output);
    }

    #[test]
    fn few_cases_of_compression_are_three_of_each_setting() {
        let few: Vec<String> = few().collect();
        assert_eq!(few.len(), 36);
        assert_eq!(few[..4], ["12.1.2", "12.1.5", "12.1.11", "12.2.2"]);
        assert_eq!(few[35], "13.7.11");
        let extent = Extent { large: false, compression: Compression::All };
        assert_eq!(extent.cases().len(), 10);
    }

    #[test]
    fn a_server_that_ends_early_is_no_server() {
        let mut command = Command::new("true");
        let mut server = Running::start(&mut command).unwrap();
        let why = accepting(&mut server, &free_address().unwrap()).unwrap_err();
        assert!(why.contains("ended before it listened"), "{why}");
    }
}
