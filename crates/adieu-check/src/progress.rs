//! What is going on, on a terminal: one line that is rewritten, and a line for each result.

use std::io::{IsTerminal, Write};

use super::report::{Finding, painted};

/// Writes to stderr, so that stdout has the report alone.
pub(crate) struct Progress {
    terminal: bool,
}

impl Progress {
    pub(crate) fn new() -> Self {
        Progress { terminal: std::io::stderr().is_terminal() }
    }

    /// This is being done.
    pub(crate) fn doing(&self, what: &str) {
        if self.terminal {
            eprint!("\r\x1b[2K… {what}");
            let _ = std::io::stderr().flush();
        }
    }

    /// This is done.
    pub(crate) fn done(&self, finding: &Finding) {
        if self.terminal {
            let word = painted(finding.result, true);
            eprintln!("\r\x1b[2K{word} {}: {}", finding.title, finding.summary);
        }
    }

    /// Nothing is being done any more.
    pub(crate) fn clear(&self) {
        if self.terminal {
            eprint!("\r\x1b[2K");
        }
    }
}
