//! `cargo xtask deflate-interop`: our server and our client compress with libraries of others and
//! with browsers.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::run;

/// Far beyond what the downloads, a cold build and the messages take.
const LIMIT: Duration = Duration::from_secs(60 * 60);

const PEERS: &str = "conformance/deflate";
const KEPT: &str = "conformance/deflate-interop.txt";

/// Messages of each connection.
const MESSAGES: u32 = 10_000;
const FEW_MESSAGES: u32 = 200;

/// The tests of `browser/tests/deflate`, one for each peer.
const NAMES: [&str; 7] = ["chromium", "firefox", "webkit", "ws", "undici", "bun", "websockets"];

/// Those that cost little to install. Browsers are among the browser tests.
const CHEAP: [&str; 2] = ["ws", "undici"];

const HEAD: &str = "\
# Compression (permessage-deflate, RFC 7692) with others: cargo xtask deflate-interop
# Our side sends messages of 0 bytes to 100 KiB: words of many scripts, JSON, base64 and bytes that
# do not shrink, zeros, repeated messages; a fifth of them binary. The peer echoes each. Each echo
# is compared with what was sent, and at the end the peer tells the number, the bytes and the CRC-32
# of what it has got. Browsers and undici have no server. Only messages that were sent compressed
# are counted in \"to it\" and \"from it\".
";

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Options {
    messages: u32,
    /// These alone.
    peers: Vec<&'static str>,
    /// Not optimized, as other tests are; nothing is kept.
    quick: bool,
}

impl Options {
    /// Reads the words after `cargo xtask deflate-interop`.
    pub(crate) fn parse(words: &[&str]) -> Result<Self, String> {
        let mut options = Options { messages: MESSAGES, peers: NAMES.to_vec(), quick: false };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            match (*word, words.as_slice().first()) {
                ("--quick", _) => options = Self::quick(),
                ("--messages", Some(count)) => {
                    let count = count.parse().ok().filter(|count| *count > 0);
                    options.messages = count.ok_or("--messages needs a number")?;
                    words.next();
                }
                ("--peer", Some(name)) => {
                    let known = NAMES.iter().find(|known| *known == name);
                    let known = known.ok_or_else(|| format!("peers are {}", NAMES.join(", ")))?;
                    options.peers = vec![known];
                    words.next();
                }
                (other, _) => {
                    return Err(format!("deflate-interop has no option {other}, or it needs more"));
                }
            }
        }
        Ok(options)
    }

    /// What belongs to the whole test run.
    pub(crate) fn quick() -> Self {
        Options { messages: FEW_MESSAGES, peers: CHEAP.to_vec(), quick: true }
    }

    fn installs(&self, name: &str) -> bool {
        self.peers.contains(&name)
    }

    /// Figures of a part would take the place of those of all.
    fn keeps(&self) -> bool {
        self.peers == NAMES && self.messages >= MESSAGES
    }
}

/// Installs the libraries, runs the tests and keeps what they saw.
pub(crate) fn run(options: &Options) -> Result<(), String> {
    let dir = run::root().join(PEERS);
    npm(&dir, options)?;
    let work = run::target_dir()?.join("deflate-interop");
    fs::create_dir_all(&work).map_err(|error| format!("{}: {error}", work.display()))?;
    let python = work.join("python");
    if options.installs("websockets") {
        pip(&dir, &python)?;
    }
    let figures = work.join("figures.txt");
    let cannot = |file: &PathBuf, error| format!("{}: {error}", file.display());
    fs::write(&figures, "").map_err(|error| cannot(&figures, error))?;
    let mut test = test(options);
    test.env("ADIEU_PYTHON_PACKAGES", python).env("ADIEU_FIGURES", &figures);
    run::run(&mut test, LIMIT)?;
    if !options.keeps() {
        return Ok(());
    }
    let text = fs::read_to_string(&figures).map_err(|error| cannot(&figures, error))?;
    let kept = run::root().join(KEPT);
    fs::write(&kept, table(&text)).map_err(|error| cannot(&kept, error))?;
    println!("{} connections in {KEPT}", text.lines().count());
    Ok(())
}

const OPTIMIZED: [&str; 6] = ["test", "-p", "browser", "--test", "deflate", "--release"];

fn test(options: &Options) -> Command {
    // For the whole workspace, as the other tests are built: other features would have all built
    // once more. Of its tests of this name only those of the browsers have tests of these names.
    let whole = ["test", "--workspace", "--all-features", "--test", "deflate"];
    let mut test = run::cargo(if options.quick { &whole[..] } else { &OPTIMIZED[..] });
    test.args(["--", "--include-ignored", "--nocapture", "--test-threads=1", "--exact"]);
    test.args(&options.peers).env("ADIEU_DEFLATE_MESSAGES", options.messages.to_string());
    if !options.quick {
        // Another seed each time; and a browser that is missing is a failure.
        test.env("ADIEU_LONG_FORM", "deflate-interop").env("CI", "1");
    }
    test
}

fn npm(dir: &Path, options: &Options) -> Result<(), String> {
    let mut npm = Command::new("npm");
    npm.args(["ci", "--no-audit", "--no-fund"]).current_dir(dir);
    // Bun alone is a development dependency: it has 100 MB.
    npm.args((!options.installs("bun")).then_some("--omit=dev"));
    run::run(&mut npm, LIMIT)
}

/// Installs the library for Python in a directory of its own: that needs no virtual environment.
pub(crate) fn pip(dir: &Path, packages: &Path) -> Result<(), String> {
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--upgrade"]);
    pip.arg("--requirement").arg(dir.join("requirements.txt")).arg("--target").arg(packages);
    run::run(pip.env("PIP_ROOT_USER_ACTION", "ignore"), LIMIT)
}

/// A block for each line, whose parts are apart by tabs.
fn table(figures: &str) -> String {
    let mut lines: Vec<&str> = figures.lines().collect();
    lines.sort_unstable();
    let block =
        |line: &&str| line.replace(": \t", "\n").replace('\t', "\n").replace('\n', "\n    ");
    let blocks: Vec<String> = lines.iter().map(block).collect();
    format!("{HEAD}\n{}\n", blocks.join("\n\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_and_figures_of_a_part_are_not_kept() {
        let all = Options::parse(&[]).unwrap();
        assert!(all.keeps() && !all.quick);
        let some = Options::parse(&["--peer", "ws", "--messages", "20000"]).unwrap();
        assert_eq!((some.messages, some.peers.as_slice()), (20_000, ["ws"].as_slice()));
        assert!(!some.keeps() && some.installs("ws") && !some.installs("bun"));
        assert!(!Options::parse(&["--quick"]).unwrap().keeps());
        for wrong in [&["--messages", "0"][..], &["--messages"], &["--peer", "lynx"], &["--all"]] {
            assert!(Options::parse(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_connection_is_a_block_of_the_table() {
        let table = table("b 1 as client; ours: \t3 messages\tended\na 1 as client; ours: \tx\n");
        let blocks =
            "a 1 as client; ours\n    x\n\nb 1 as client; ours\n    3 messages\n    ended\n";
        assert_eq!(table, format!("{HEAD}\n{blocks}"));
    }
}
