//! Counts the instructions of the hot parts of `adieu-proto` with valgrind's callgrind and
//! compares them with bench/instructions.json. `cargo xtask instructions` runs it.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use bench::parts::{self, PARTS, Part};
use serde_json::{Map, Value, json};

/// Operations of a part: enough that what grows now and then is spread evenly.
const OPERATIONS: usize = 200;

/// A part may grow by so much, in percent. The counts themselves repeat to the last digit, but
/// another compiler or C library moves them a little.
const TOLERANCE: f64 = 3.0;

const USAGE: &str = "\
Counts instructions per operation of the hot parts of adieu-proto (with valgrind) and fails if one
needs more than 3 % more than is kept in bench/instructions.json.

  --bless   keep what is counted now
";

/// Where callgrind writes for us, deleted at the end.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Instructions for each operation of a part.
fn count(part: &Part) -> Result<f64, String> {
    let name = format!("adieu-instructions-{}-{}", std::process::id(), part.name);
    let out = Scratch(std::env::temp_dir().join(name));
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut valgrind = Command::new("valgrind");
    valgrind.args([
        "--tool=callgrind",
        "--collect-atstart=no",
        "--toggle-collect=*parts*measured*",
        // Entered from there, it stops the count until it returns. By its whole name: of two
        // patterns that begin alike callgrind 3.19 heeds the first only.
        "--toggle-collect=bench::parts::arrive",
    ]);
    valgrind.arg(format!("--callgrind-out-file={}", out.0.display()));
    // A `rep movsb` counts as an instruction for each byte, which hides all else in a large copy.
    valgrind.env("GLIBC_TUNABLES", "glibc.cpu.x86_rep_movsb_threshold=1073741824");
    valgrind.arg(program).args(["--part", part.name]).stdin(Stdio::null());
    let output = valgrind.output().map_err(|error| format!("valgrind: {error}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("valgrind, {}: {}\n{said}", part.name, output.status));
    }
    let text = fs::read_to_string(&out.0).map_err(|error| format!("callgrind's file: {error}"))?;
    let total = total(&text).filter(|total| *total > 0);
    let total = total.ok_or_else(|| format!("callgrind counted nothing in {}", part.name))?;
    Ok((total as f64 / OPERATIONS as f64 * 10.0).round() / 10.0)
}

/// The sum in a file of callgrind.
fn total(text: &str) -> Option<u64> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("summary: ").or_else(|| line.strip_prefix("totals: ")));
    line?.trim().parse().ok()
}

/// Runs one part, under valgrind.
fn run_part(name: &str) -> Result<(), String> {
    let part = PARTS.iter().find(|part| part.name == name);
    let part = part.ok_or_else(|| format!("no part {name}"))?;
    parts::measured(&mut (part.prepare)(OPERATIONS));
    Ok(())
}

fn rustc() -> String {
    let output = Command::new("rustc").arg("--version").output();
    let text = output.map(|it| String::from_utf8_lossy(&it.stdout).trim().to_owned());
    text.unwrap_or_default()
}

/// The change in percent, and how it is judged.
fn judge(kept: Option<f64>, now: f64) -> (String, bool) {
    let Some(kept) = kept else { return ("new: keep it with --bless".into(), true) };
    let change = (now / kept - 1.0) * 100.0;
    match change {
        c if c > TOLERANCE => (format!("{c:+.1} %  TOO MUCH"), true),
        c if c < -TOLERANCE => (format!("{c:+.1} %  better: keep it with --bless"), false),
        c => (format!("{c:+.1} %"), false),
    }
}

fn compare(file: &Path, bless: bool) -> Result<(), String> {
    let text = fs::read_to_string(file).unwrap_or_else(|_| "{}".into());
    let kept: Value =
        serde_json::from_str(&text).map_err(|error| format!("{}: {error}", file.display()))?;
    let (mut counted, mut faults) = (Map::new(), String::new());
    println!("{:<22} {:>10} {:>10}", "part", "kept", "now");
    for part in PARTS {
        let now = count(part)?;
        let before = kept["instructions"][part.name].as_f64();
        let (verdict, fault) = judge(before, now);
        let shown = before.map_or_else(|| "-".to_owned(), |it| it.to_string());
        println!("{:<22} {shown:>10} {now:>10}  {verdict}", part.name);
        if fault {
            let _ = write!(faults, "\n  {} ({}): {verdict}", part.name, part.what);
        }
        counted.insert(part.name.to_owned(), json!(now));
    }
    if bless {
        let json = json!({ "rustc": rustc(), "instructions": counted });
        let text = serde_json::to_string_pretty(&json).map_err(|error| error.to_string())?;
        return fs::write(file, text + "\n").map_err(|error| error.to_string());
    }
    if faults.is_empty() {
        return Ok(());
    }
    let compiler = kept["rustc"].as_str().unwrap_or_default();
    if compiler != rustc() {
        let _ = write!(faults, "\nThe kept figures are of {compiler}, these of {}.", rustc());
    }
    Err(format!("instructions per operation, against {}:{faults}", file.display()))
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("instructions.json");
    let done = match args.as_slice() {
        [] => compare(&file, false),
        ["--bless"] => compare(&file, true),
        ["--part", name] => run_part(name),
        _ => Err(USAGE.to_owned()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_fails_and_gain_does_not() {
        assert!(judge(Some(100.0), 103.5).1 && judge(None, 1.0).1);
        assert!(!judge(Some(100.0), 102.5).1 && !judge(Some(100.0), 50.0).1);
        assert_eq!(total("version: 1\nevents: Ir\nsummary: 4200\n"), Some(4200));
    }
}
