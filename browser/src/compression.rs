//! What a browser offers for compression and what it is answered, in a file for each browser.
//!
//! `target/browser-results/deflate-<browser>.json` is written by `tests/deflate` and read by
//! `browser-table`.

use std::fs;

use serde_json::{Value, json};

use crate::browser::Kind;
use crate::error::{Error, Result};
use crate::results::{self, read_json};

/// What was seen of one browser.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Compression {
    /// Its `Sec-WebSocket-Extensions`.
    pub offered: String,
    /// What it was answered by a server with the defaults.
    pub by_default: Answer,
    /// What it was answered by a server with `client_window_bits = 12`.
    pub with_window: Answer,
}

/// An answer, and what became of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// The `Sec-WebSocket-Extensions` of the server.
    pub answered: String,
    /// `WebSocket.extensions` of the page.
    pub told: String,
}

impl Answer {
    fn to_json(&self) -> Value {
        json!({ "answered": self.answered, "told": self.told })
    }

    fn from_json(answer: &Value) -> Option<Answer> {
        let text = |name: &str| Some(answer[name].as_str()?.to_owned());
        Some(Answer { answered: text("answered")?, told: text("told")? })
    }
}

impl Compression {
    /// Replaces the file of a browser.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn write(&self, kind: Kind) -> Result<()> {
        let seen = json!({
            "offered": self.offered,
            "by_default": self.by_default.to_json(),
            "with_window": self.with_window.to_json(),
        });
        let file = file(kind)?;
        let doing = Error::io(format!("write {}", file.display()));
        fs::write(&file, format!("{seen:#}\n")).map_err(doing)
    }

    /// Reads the file of a browser; `None` if it was not measured yet.
    ///
    /// # Errors
    /// [`Error::Io`], or [`Error::Malformed`] if the file was not written by
    /// [`Compression::write`].
    pub fn read(kind: Kind) -> Result<Option<Compression>> {
        read_json(&file(kind)?, |seen| {
            Some(Compression {
                offered: seen["offered"].as_str()?.to_owned(),
                by_default: Answer::from_json(&seen["by_default"])?,
                with_window: Answer::from_json(&seen["with_window"])?,
            })
        })
    }
}

fn file(kind: Kind) -> Result<std::path::PathBuf> {
    results::file(&format!("deflate-{}.json", kind.id()))
}
