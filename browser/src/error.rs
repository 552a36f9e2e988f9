//! What can go wrong while driving a browser, said so that a reader of a CI log can act on it.

use std::fmt;
use std::io;
use std::time::Duration;

/// The result of everything in this crate that can fail.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a browser could not do as told.
pub enum Error {
    /// A program is missing on this machine.
    NotInstalled {
        /// The program looked for.
        program: String,
        /// The Debian package that has it.
        package: &'static str,
    },
    /// The operating system refused something.
    Io {
        /// What was being done, to be read after "could not".
        doing: String,
        /// What the system said.
        source: io::Error,
    },
    /// Something did not happen in time.
    Timeout {
        /// The condition, to be read after "waited for".
        waiting_for: String,
        /// How long it was waited for.
        limit: Duration,
    },
    /// A program ended while it was still needed.
    Exited {
        /// The program.
        program: String,
        /// The last lines it wrote.
        log: String,
    },
    /// The browser's driver answered with an error.
    Driver {
        /// The command, and what it was called with.
        command: String,
        /// The driver's words.
        message: String,
    },
    /// An answer that this crate cannot read.
    Malformed {
        /// Whose answer.
        from: String,
        /// The answer, or what is wrong with it.
        detail: String,
    },
    /// This browser offers no way to do it.
    Unsupported(&'static str),
}

impl Error {
    /// An [`Error::Io`], ready for `map_err`.
    pub fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Error {
        let doing = doing.into();
        move |source| Error::Io { doing, source }
    }

    /// An [`Error::Malformed`].
    pub fn malformed(from: impl Into<String>, detail: impl fmt::Display) -> Error {
        Error::Malformed { from: from.into(), detail: detail.to_string() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::NotInstalled { program, package } => {
                write!(f, "{program} is not installed; on Debian: apt-get install {package}")
            }
            Error::Io { doing, source } => write!(f, "could not {doing}: {source}"),
            Error::Timeout { waiting_for, limit } => {
                write!(f, "waited {:.1} s in vain for {waiting_for}", limit.as_secs_f64())
            }
            Error::Exited { program, log } => write!(f, "{program} ended too early:\n{log}"),
            Error::Driver { command, message } => write!(f, "{command} failed: {message}"),
            Error::Malformed { from, detail } => {
                write!(f, "cannot read the answer of {from}: {detail}")
            }
            Error::Unsupported(what) => write!(f, "this browser cannot {what}"),
        }
    }
}

/// The same words: a test that returns an error is shown with `Debug`.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}
