//! `cargo xtask autobahn`: the Autobahn testsuite judges our server and our client.
//!
//! The verdicts are kept in `conformance/` and compared: a case that got worse is a failure, and
//! so is any verdict but OK, save for the three cases that are informational for everybody.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::run;
use crate::tally::Outcome;

mod fuzz;
mod python;
mod summary;

use fuzz::{Compression, Extent, Suite};
use summary::Summary;

/// A cold release build of the library with its dependencies on two cores stays far below it.
const BUILD_LIMIT: Duration = Duration::from_secs(20 * 60);

/// What to judge, from the command line. The default is both of our examples, all sections.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    quick: bool,
    compression: bool,
    /// The URL of a server that runs already.
    server: Option<String>,
    /// A shell command that is a client.
    client: Option<String>,
}

impl Options {
    /// Reads the words after `cargo xtask autobahn`.
    pub(crate) fn parse(words: &[&str]) -> Result<Self, String> {
        let mut options = Self::default();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let mut value = || words.next().map(|value| (*value).to_owned());
            match *word {
                "--quick" => options.quick = true,
                "--compression" => options.compression = true,
                "--server" => options.server = Some(value().ok_or("--server needs a URL")?),
                "--client" => options.client = Some(value().ok_or("--client needs a command")?),
                other => return Err(format!("autobahn has no option {other}")),
            }
        }
        Ok(options)
    }

    fn extent(&self) -> Extent {
        let compression = match (self.compression, self.foreign()) {
            (true, _) => Compression::All,
            (false, false) => Compression::Few,
            // Others may not have it.
            (false, true) => Compression::None,
        };
        Extent { large: !self.quick, compression }
    }

    /// Somebody else's server or client is judged alone, and its verdicts are not ours to keep.
    fn foreign(&self) -> bool {
        self.server.is_some() || self.client.is_some()
    }
}

/// Why there is no clean result.
#[derive(Debug)]
pub(crate) enum Stopped {
    /// The testsuite cannot run on this machine, which says nothing about us.
    Cannot(String),
    /// It ran, and something is wrong; or our own example could not be run.
    Failed(String),
}

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Cannot(why) | Self::Failed(why)) = self;
        f.write_str(why)
    }
}

impl From<Result<(), Stopped>> for Outcome {
    fn from(result: Result<(), Stopped>) -> Self {
        match result {
            Ok(()) => Self::Passed,
            Err(Stopped::Cannot(why)) => Self::Skipped(why),
            Err(Stopped::Failed(why)) => Self::Failed(why),
        }
    }
}

/// Runs what the options ask for; both sides are judged even if the first one fails.
pub(crate) fn run(options: &Options) -> Result<(), Stopped> {
    let target = run::target_dir().map_err(Stopped::Failed)?;
    let work = target.join("autobahn");
    let python = python::find().map_err(Stopped::Cannot)?;
    let suite = python::install(&python, &work).map_err(Stopped::Cannot)?;
    let suite = Suite { python: suite, work, extent: options.extent() };
    let mut faults = Vec::new();
    if options.server.is_some() || !options.foreign() {
        faults.extend(server(&suite, options, &target).err());
    }
    if options.client.is_some() || !options.foreign() {
        faults.extend(client(&suite, options, &target).err());
    }
    if faults.is_empty() { Ok(()) } else { Err(Stopped::Failed(faults.join("\n"))) }
}

fn server(suite: &Suite, options: &Options, target: &Path) -> Result<(), String> {
    let summary = match &options.server {
        Some(url) => suite.judge_server(url)?,
        None => suite.judge_echo(&mut example(target, "echo")?)?,
    };
    settle("server", summary, options)
}

fn client(suite: &Suite, options: &Options, target: &Path) -> Result<(), String> {
    let mut command = match &options.client {
        Some(line) => {
            let mut shell = Command::new("sh");
            shell.args(["-c", &format!("{line} \"$1\""), "sh"]);
            shell
        }
        None => example(target, "autobahn_client")?,
    };
    settle("client", suite.judge_client(&mut command)?, options)
}

/// Builds an example of the library as people would run it, with compression. It is then started
/// without cargo, so that stopping it is stopping one process.
fn example(target: &Path, name: &str) -> Result<Command, String> {
    let build = ["build", "--release", "-p", "adieu", "--example", name, "--features", "deflate"];
    run::run(&mut run::cargo(&build), BUILD_LIMIT)?;
    let file = format!("{name}{}", std::env::consts::EXE_SUFFIX);
    let mut command = Command::new(target.join("release/examples").join(file));
    command.arg("--compress");
    Ok(command)
}

/// Prints the verdicts, compares them with the kept ones and keeps the new ones if none is worse.
fn settle(side: &str, summary: Summary, options: &Options) -> Result<(), String> {
    println!("{side}: {}", summary.counts());
    let mut faults = summary.faults();
    if options.foreign() {
        return said(side, &faults);
    }
    let extent = options.extent();
    let (compression, rest) = summary.split();
    let parts = [
        Part::new(format!("conformance/autobahn-{side}.json"), rest, extent.large)?,
        Part::new(
            format!("conformance/autobahn-{side}-compression.json"),
            compression,
            extent.compression == Compression::All,
        )?,
    ];
    parts.iter().for_each(|part| faults.extend(part.got_worse()));
    said(side, &faults)?;
    parts.iter().try_for_each(|part| part.keep(side))
}

/// The verdicts on some sections, and those that are kept of them.
struct Part {
    name: String,
    file: PathBuf,
    kept: Option<Summary>,
    now: Summary,
    /// Whether all cases of the sections were run.
    all: bool,
}

impl Part {
    fn new(name: String, now: Summary, all: bool) -> Result<Self, String> {
        let file = run::root().join(&name);
        let kept = match fs::read_to_string(&file) {
            Ok(text) => Some(Summary::parse(&text).map_err(|why| format!("{name}: {why}"))?),
            Err(_) => None,
        };
        Ok(Part { name, file, kept, now, all })
    }

    fn got_worse(&self) -> Vec<String> {
        self.kept.as_ref().map_or_else(Vec::new, |kept| kept.got_worse(&self.now, self.all))
    }

    /// Called when none is worse.
    fn keep(&self, side: &str) -> Result<(), String> {
        let (name, cases) = (&self.name, self.now.cases());
        if !self.all || self.kept.as_ref() == Some(&self.now) {
            println!("{side}: {cases} cases as they are in {name}");
            return Ok(());
        }
        println!("{side}: {cases} verdicts are new or better: {name} is written");
        fs::write(&self.file, self.now.to_json()).map_err(|error| format!("{name}: {error}"))
    }
}

fn said(side: &str, faults: &[String]) -> Result<(), String> {
    faults.iter().for_each(|fault| println!("{side}: {fault}"));
    if faults.is_empty() {
        return Ok(());
    }
    Err(format!("{side}: {} complaints, listed above", faults.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_and_unknown_ones_refused() {
        assert_eq!(Options::parse(&[]).unwrap(), Options::default());
        let both = Options::parse(&["--quick", "--server", "ws://127.0.0.1:9001"]).unwrap();
        assert!(both.quick && both.foreign());
        assert_eq!(both.server.as_deref(), Some("ws://127.0.0.1:9001"));
        assert!(Options::parse(&["--server"]).unwrap_err().contains("needs a URL"));
        assert!(Options::parse(&["--fast"]).unwrap_err().contains("--fast"));
    }
}
