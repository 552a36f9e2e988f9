//! `cargo xtask fuzz`: builds the targets in fuzz/ with instructions that count coverage, and runs
//! them. What they hold is said there, at the head of each.
//!
//! Stable Rust does it: coverage is a pass of LLVM, libFuzzer comes with the crate libfuzzer-sys,
//! and the parsers are safe code, so that no sanitizer is asked for. The layout is cargo-fuzz's;
//! who has that may use it as well.

mod log;
mod options;

use std::collections::VecDeque;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use self::log::Progress;
pub(crate) use self::options::Options;
use crate::{run, setup};

/// The targets, the largest first: what is left at the end is short.
const TARGETS: [&str; 10] = [
    "connection",
    "deflate",
    "inflate",
    "heads",
    "wire",
    "forwarded",
    "offer",
    "token",
    "proxy",
    "http2_frames",
];

/// So many run at a time.
const SIDE_BY_SIDE: usize = 2;

/// All targets together take so long without `--minutes`.
const SHORT: Duration = Duration::from_secs(60);

/// What one input may take. Each takes less than a millisecond; a machine may be busy.
const INPUT_LIMIT: Duration = Duration::from_secs(120);

/// A cold build on two cores takes about a minute and a half.
const BUILD_LIMIT: Duration = Duration::from_secs(30 * 60);

/// How often a long run says how far it is.
const REPORT: Duration = Duration::from_secs(60);

const FIGURES: &str = "conformance/fuzz.txt";

/// How rustc counts coverage: as cargo-fuzz has it, without a sanitizer.
const FLAGS: [&str; 8] = [
    "--cfg=fuzzing",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    // Backtraces name what was called.
    "-Cforce-frame-pointers=yes",
    "-Ccodegen-units=1",
];

/// Builds the targets, then runs them or repeats an input.
pub(crate) fn run(options: &Options) -> Result<(), String> {
    // Before the build: who works on meanwhile changes what is not run.
    let when = when()?;
    let built = Built::new()?;
    if let Some((target, input)) = options.repeated()? {
        // The program is started at the root, this one perhaps elsewhere.
        let cannot = |error| format!("{}: {error}", input.display());
        let input = std::path::absolute(input).map_err(cannot)?;
        return run::run(built.program(target).arg(input), INPUT_LIMIT);
    }
    let targets = options.targets();
    let rounds = targets.len().div_ceil(SIDE_BY_SIDE) as u32;
    let time = options.minutes.map_or(SHORT / rounds, |minutes| Duration::from_secs(60 * minutes));
    println!(
        "{}: {} each, two at a time, {} in all",
        targets.join(", "),
        run::duration(time),
        run::duration(time * rounds)
    );
    let done = built.run_all(&targets, time)?;
    for (target, progress) in &done {
        println!("{target}: {progress}");
    }
    if let (Some(minutes), None) = (options.minutes, options.target) {
        keep(minutes, &when, &done)?;
    }
    Ok(())
}

/// The targets, built.
struct Built {
    /// Where the programs are.
    programs: PathBuf,
}

impl Built {
    fn new() -> Result<Self, String> {
        println!(
            "Builds fuzz/ in fuzz/target with instructions that count coverage: about a minute and \
             a half on two cores, once. Nothing is installed but the crates that fuzz/Cargo.lock \
             names and, where it is missing, a compiler for C++."
        );
        setup::install_missing(&[("g++", "compiles libFuzzer")])?;
        let host = host()?;
        // With a target named, build scripts and macros are built without the flags.
        let mut build = run::cargo(&["build", "--release", "--locked", "--target", &host]);
        build.current_dir(dir()).env("CARGO_TARGET_DIR", dir().join("target"));
        build.env("CARGO_ENCODED_RUSTFLAGS", FLAGS.join("\u{1f}"));
        run::run(&mut build, BUILD_LIMIT)?;
        Ok(Built { programs: dir().join("target").join(host).join("release") })
    }

    fn program(&self, target: &str) -> Command {
        let mut command = Command::new(self.programs.join(target));
        command.current_dir(run::root());
        command
    }

    /// Runs the targets for so long each; the figures of each, or what was found.
    fn run_all(&self, targets: &[&str], time: Duration) -> Result<Vec<(String, Progress)>, String> {
        let queue = Mutex::new(VecDeque::from_iter(targets.iter().copied()));
        let done = Mutex::new(Vec::new());
        let next = || queue.lock().ok().and_then(|mut queue| queue.pop_front());
        thread::scope(|scope| {
            for _ in 0..SIDE_BY_SIDE {
                scope.spawn(|| {
                    while let Some(target) = next() {
                        let result = self.run_one(target, time);
                        if let Err(why) = &result {
                            println!("{target}: {why}");
                        }
                        if let Ok(mut done) = done.lock() {
                            done.push((target.to_owned(), result));
                        }
                    }
                });
            }
        });
        let done = done.into_inner().map_err(|_| "a target could not be watched")?;
        let (mut all, mut wrong) = (Vec::new(), Vec::new());
        for (target, result) in done {
            match result {
                Ok(progress) => all.push((target, progress)),
                Err(why) => wrong.push(format!("{target}: {why}")),
            }
        }
        all.sort_by_key(|(target, _)| TARGETS.iter().position(|name| name == target));
        if wrong.is_empty() { Ok(all) } else { Err(wrong.join("\n\n")) }
    }

    /// Runs a target for so long.
    fn run_one(&self, target: &str, time: Duration) -> Result<Progress, String> {
        let log = dir().join("target").join(format!("{target}.log"));
        let cannot = |error: std::io::Error| format!("{}: {error}", log.display());
        let file = File::create(&log).map_err(cannot)?;
        let mut command = self.program(target);
        command.args(arguments(target, time)?).env("RUST_BACKTRACE", "0");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(file);
        let mut running = run::Running::start(&mut command)?;
        let began = Instant::now();
        let read = || fs::read(&log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        loop {
            let slice = REPORT.min(time + 2 * INPUT_LIMIT);
            let ended = run::poll(slice, || running.status())?;
            let text = read().map_err(cannot)?;
            match ended {
                Some(status) if status.success() => return log::progress(&text),
                Some(_) => return Err(log::finding(target, &text)),
                None if began.elapsed() > time + 2 * INPUT_LIMIT => {
                    running.stop();
                    return Err("it was stopped: its time was long over".into());
                }
                None => {
                    let so_far = run::duration(began.elapsed());
                    if let Ok(progress) = log::progress(&text) {
                        println!("{target}: {so_far} of {}; {progress}", run::duration(time));
                    }
                }
            }
        }
    }
}

/// What libFuzzer is told. It adds what it finds to the first directory; the second, which is in
/// git, is only read.
fn arguments(target: &str, time: Duration) -> Result<Vec<String>, String> {
    let found = dir().join("target/corpus").join(target);
    let artifacts = dir().join("artifacts").join(target);
    for dir in [&found, &artifacts] {
        fs::create_dir_all(dir).map_err(|error| format!("{}: {error}", dir.display()))?;
    }
    let seeds = dir().join("corpus").join(target);
    let artifacts = format!("-artifact_prefix={}/", relative(&artifacts).display());
    let mut arguments = vec![
        format!("-max_total_time={}", time.as_secs().max(1)),
        format!("-timeout={}", INPUT_LIMIT.as_secs()),
        "-max_len=4096".into(),
        "-print_final_stats=1".into(),
        artifacts,
    ];
    let dirs = [found, seeds];
    arguments.extend(dirs.iter().map(|dir| relative(dir).display().to_string()));
    Ok(arguments)
}

fn dir() -> PathBuf {
    run::root().join("fuzz")
}

/// As a person at the root of the repository names it.
fn relative(path: &Path) -> &Path {
    let root = run::root();
    path.strip_prefix(&root).unwrap_or(path)
}

/// The machine that this is, as rustc calls it.
fn host() -> Result<String, String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let said = run::output(Command::new(rustc).arg("-vV"))?;
    let host = said.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).ok_or_else(|| "rustc does not say on which host it runs".into())
}

/// The day and the commit.
fn when() -> Result<String, String> {
    let git = |args: &[&str]| run::output(Command::new("git").args(args).current_dir(run::root()));
    // A source archive has neither.
    let commit = git(&["rev-parse", "--short=12", "HEAD"]).unwrap_or_else(|_| "unknown".into());
    let status = git(&["status", "--porcelain", "--untracked-files=no"]).unwrap_or_default();
    let changed = if status.is_empty() { "" } else { " and changes that were not committed" };
    let date = run::output(Command::new("date").args(["-u", "+%Y-%m-%d"]))?;
    Ok(format!("{}, commit {}{changed}", date.trim(), commit.trim()))
}

/// Writes the figures down.
fn keep(minutes: u64, when: &str, done: &[(String, Progress)]) -> Result<(), String> {
    let file = run::root().join(FIGURES);
    let text = log::table(minutes, when, done);
    fs::write(&file, text).map_err(|error| format!("{}: {error}", file.display()))?;
    println!("figures in {FIGURES}");
    Ok(())
}
