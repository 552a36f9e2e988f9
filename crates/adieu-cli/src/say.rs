//! What is printed for people. Whether anybody reads it changes nothing: a pipe that ends early or
//! a terminal that is gone is no error.

use std::fmt::Display;
use std::io::{IsTerminal, Write, stderr, stdout};
use std::sync::OnceLock;
use std::time::SystemTime;

use serde_json::json;

use crate::log::LogFormat;

/// How lines are written; text until it is set.
static FORMAT: OnceLock<LogFormat> = OnceLock::new();

/// Lines are written like those of the log from now on, so that a program can read all of them.
pub(crate) fn set_format(format: LogFormat) {
    let _ = FORMAT.set(format);
}

fn is_json() -> bool {
    FORMAT.get() == Some(&LogFormat::Json)
}

/// A line on stdout.
pub(crate) fn say(line: impl Display) {
    let _ = match is_json() {
        true => writeln!(stdout(), "{}", object("INFO", &line)),
        false => writeln!(stdout(), "{line}"),
    };
}

/// Whether what is said on stdout is shown to a person, and kept nowhere.
pub(crate) fn a_person_reads() -> bool {
    !is_json() && stdout().is_terminal()
}

/// A line of progress on a terminal, without its end: the next one is written over it.
pub(crate) fn say_over(line: impl Display) {
    if is_json() {
        return;
    }
    let mut out = stdout();
    let _ = write!(out, "\r{line}").and_then(|()| out.flush());
}

/// A line on stderr.
pub(crate) fn warn(line: impl Display) {
    let _ = match is_json() {
        true => writeln!(stderr(), "{}", object("WARN", &line)),
        false => writeln!(stderr(), "adieu: {line}"),
    };
}

/// A line on stderr: why the command ends.
pub(crate) fn fail(line: impl Display) {
    let _ = match is_json() {
        true => writeln!(stderr(), "{}", object("ERROR", &line)),
        false => writeln!(stderr(), "adieu: {line}"),
    };
}

/// A line as the log writes its own.
fn object(level: &str, line: &impl Display) -> serde_json::Value {
    let timestamp = humantime::format_rfc3339_micros(SystemTime::now()).to_string();
    json!({
        "timestamp": timestamp, "level": level, "message": line.to_string(), "target": "adieu",
    })
}
