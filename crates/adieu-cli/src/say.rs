//! What is printed for people. Whether anybody reads it changes nothing: a pipe that ends early or
//! a terminal that is gone is no error.

use std::fmt::Display;
use std::io::{Write, stderr, stdout};

/// A line on stdout.
pub(crate) fn say(line: impl Display) {
    let _ = writeln!(stdout(), "{line}");
}

/// The same without its end: the next one is written over it.
pub(crate) fn say_over(line: impl Display) {
    let mut out = stdout();
    let _ = write!(out, "\r{line}").and_then(|()| out.flush());
}

/// A line on stderr.
pub(crate) fn warn(line: impl Display) {
    let _ = writeln!(stderr(), "adieu: {line}");
}
