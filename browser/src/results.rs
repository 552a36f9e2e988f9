//! What was measured, counted, and kept in one file per browser.
//!
//! `target/browser-results/<browser>.json` is written by the tests and read by `browser-table`; of
//! WebSockets over HTTP/2 it is `http2-<browser>.json`.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::browser::Kind;
use crate::carrier::Carrier;
use crate::error::{Error, Result};
use crate::page::PageEvent;
use crate::server::repository;

/// What was seen in all runs of one browser.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Results {
    /// Name and version of the browser.
    pub version: String,
    /// One row per action, in the order in which they were done.
    pub rows: Vec<Row>,
}

/// What was seen of one action.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Row {
    /// What was done, in words.
    pub action: String,
    /// The server's accounts, and how often each came.
    pub server: Counts,
    /// How often the peer's end was a FIN, a FIN and then an RST, an RST only; over HTTP/2, what
    /// ended the stream.
    pub transport: Counts,
    /// The page's accounts, and how often each came.
    pub page: Counts,
}

/// Texts and how often each was counted, in alphabetical order: two runs that saw the same write
/// the same file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts(Vec<(String, u64)>);

impl Counts {
    /// Counts one more.
    pub fn add(&mut self, text: impl Into<String>) {
        let text = text.into();
        match self.0.binary_search_by(|(known, _)| known.cmp(&text)) {
            Ok(at) => self.0[at].1 += 1,
            Err(at) => self.0.insert(at, (text, 1)),
        }
    }

    /// Texts and counts.
    pub fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        self.0.iter().map(|(text, count)| (text.as_str(), *count))
    }

    /// How many were counted in all.
    pub fn total(&self) -> u64 {
        self.0.iter().map(|(_, count)| count).sum()
    }

    fn to_json(&self) -> Value {
        self.iter().map(|(text, count)| json!({ "saw": text, "times": count })).collect()
    }

    fn from_json(list: &Value) -> Option<Counts> {
        let entry =
            |entry: &Value| Some((entry["saw"].as_str()?.to_owned(), entry["times"].as_u64()?));
        Some(Counts(list.as_array()?.iter().map(entry).collect::<Option<_>>()?))
    }
}

impl Row {
    /// An empty row.
    pub fn new(action: &str) -> Row {
        Row { action: action.to_owned(), ..Row::default() }
    }

    /// Counts one report of the server.
    pub fn add_account(&mut self, account: &Value) {
        let sentence = account["ending"]["sentence"].as_str().unwrap_or("no sentence");
        self.server.add(without_figures(sentence));
        self.transport.add(transport(account));
    }

    /// Counts one account of the page.
    pub fn add_page(&mut self, events: &[PageEvent]) {
        let words: Vec<String> = events.iter().map(describe).collect();
        self.page.add(if words.is_empty() { "nothing".to_owned() } else { words.join(", ") });
    }

    fn to_json(&self) -> Value {
        json!({
            "action": self.action,
            "server": self.server.to_json(),
            "transport": self.transport.to_json(),
            "page": self.page.to_json(),
        })
    }

    fn from_json(row: &Value) -> Option<Row> {
        Some(Row {
            action: row["action"].as_str()?.to_owned(),
            server: Counts::from_json(&row["server"])?,
            transport: Counts::from_json(&row["transport"])?,
            page: Counts::from_json(&row["page"])?,
        })
    }
}

impl Results {
    /// The row of an action, made if it is not there yet.
    pub fn row(&mut self, action: &str) -> &mut Row {
        let at = self.rows.iter().position(|row| row.action == action).unwrap_or_else(|| {
            self.rows.push(Row::new(action));
            self.rows.len() - 1
        });
        &mut self.rows[at]
    }

    /// Removes the file of a browser, so that a run that fails leaves nothing of an older one.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn forget(kind: Kind, carrier: Carrier) -> Result<()> {
        let path = path(kind, carrier)?;
        match fs::remove_file(&path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::io(format!("remove {}", path.display()))(e))
            }
            _ => Ok(()),
        }
    }

    /// The version and the rows, as they are kept in files.
    pub fn to_json(&self) -> Value {
        let rows: Vec<Value> = self.rows.iter().map(Row::to_json).collect();
        json!({ "version": self.version, "rows": rows })
    }

    /// Replaces the file of a browser.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn write(&self, kind: Kind, carrier: Carrier) -> Result<()> {
        let text = format!("{:#}\n", self.to_json());
        let path = path(kind, carrier)?;
        let doing = Error::io(format!("write {}", path.display()));
        fs::write(&path, text).map_err(doing)
    }

    /// Reads the file of a browser; `None` if it was not measured yet.
    ///
    /// # Errors
    /// [`Error::Io`], or [`Error::Malformed`] if the file was not written by [`Results::write`].
    pub fn read(kind: Kind, carrier: Carrier) -> Result<Option<Results>> {
        read_json(&path(kind, carrier)?, Results::from_json)
    }

    fn from_json(json: &Value) -> Option<Results> {
        Some(Results {
            version: json["version"].as_str()?.to_owned(),
            rows: json["rows"].as_array()?.iter().map(Row::from_json).collect::<Option<_>>()?,
        })
    }
}

/// What a file of JSON has; `None` if there is no file.
pub(crate) fn read_json<T>(path: &Path, of: fn(&Value) -> Option<T>) -> Result<Option<T>> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(Error::io(format!("read {}", path.display()))(e)),
    };
    let malformed = || Error::malformed(path.display().to_string(), "not results");
    let json: Value = serde_json::from_str(&text).map_err(|_| malformed())?;
    of(&json).map(Some).ok_or_else(malformed)
}

/// A file in the directory for what the tests measure, which is made if needed.
///
/// # Errors
/// [`Error::Io`].
pub fn file(name: &str) -> Result<PathBuf> {
    let directory = repository().join("target/browser-results");
    let doing = Error::io(format!("make {}", directory.display()));
    fs::create_dir_all(&directory).map_err(doing)?;
    Ok(directory.join(name))
}

fn path(kind: Kind, carrier: Carrier) -> Result<PathBuf> {
    file(&format!("{}{}.json", carrier.prefix(), kind.id()))
}

/// The sentence without its figures at the end, which differ from run to run: how many bytes were
/// left, and how long the connection lasted.
fn without_figures(sentence: &str) -> String {
    let is_figure = |part: &str| {
        part.starts_with("the connection lasted ")
            || part.contains(" of ours ") && part.ends_with(" never left")
            || part.ends_with(" were never acknowledged")
    };
    let mut parts: Vec<&str> = sentence.split("; ").collect();
    while parts.last().is_some_and(|part| is_figure(part)) {
        parts.pop();
    }
    parts.join("; ")
}

/// How the peer's direction ended, in the words of TCP, or of HTTP/2 where a stream carried it.
pub fn transport(account: &Value) -> String {
    let ending = &account["ending"];
    let (transport, http2) = (ending["transport"].as_str(), &ending["http2"]);
    let reset = || format!("RST_STREAM ({})", http2["reset"].as_str().unwrap_or("no code"));
    let end = match transport {
        Some("end_stream") => "END_STREAM".to_owned(),
        Some("end_stream_then_rst_stream") => format!("END_STREAM, then {}", reset()),
        Some("rst_stream") => reset(),
        Some("both_closed") => "the server's END_STREAM and RST_STREAM".to_owned(),
        Some("fin_then_rst") => "FIN, then RST".to_owned(),
        Some("fin") => "FIN".to_owned(),
        Some("rst") => "RST".to_owned(),
        Some("timed_out") => "timed out".to_owned(),
        Some("abandoned") => "abandoned".to_owned(),
        _ => "unknown".to_owned(),
    };
    match (http2["byConnection"].as_bool(), http2["goaway"].as_str()) {
        (Some(true), Some(code)) => format!("GOAWAY ({code}), then {end} of the connection"),
        (Some(true), None) => format!("{end} of the connection"),
        _ => end,
    }
}

fn describe(event: &PageEvent) -> String {
    match event {
        PageEvent::Error => "error".to_owned(),
        PageEvent::Close { code, reason, clean } => {
            let reason = if reason.is_empty() { String::new() } else { format!(", {reason:?}") };
            format!("close({code}{reason}, {})", if *clean { "clean" } else { "not clean" })
        }
        PageEvent::Hidden(true) => "pagehide (kept)".to_owned(),
        PageEvent::Hidden(false) => "pagehide".to_owned(),
        PageEvent::Restored => "pageshow (restored)".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_sights_are_counted_in_one_order() {
        let mut counts = Counts::default();
        for text in ["RST", "FIN", "RST"] {
            counts.add(text);
        }
        assert_eq!(counts.iter().collect::<Vec<_>>(), [("FIN", 1), ("RST", 2)]);
        assert_eq!(counts.total(), 3);
    }

    #[test]
    fn a_sentence_is_kept_without_its_figures() {
        let told = "The peer left; our answer never left; the peer reset TCP (RST)";
        let figures = "; 1 message of ours (3 bytes) never left; 5 bytes left but were never \
                       acknowledged; the connection lasted 1.5 s";
        assert_eq!(without_figures(&format!("{told}{figures}")), told);
        assert_eq!(without_figures("The peer left"), "The peer left");
    }

    #[test]
    fn the_end_of_a_stream_is_told_with_its_code_and_that_of_a_connection_as_such() {
        let told = |transport: &str, http2: Value| {
            super::transport(&json!({ "ending": { "transport": transport, "http2": http2 } }))
        };
        let reset = json!({ "reset": "CANCEL", "goaway": null, "byConnection": false });
        assert_eq!(told("rst_stream", reset), "RST_STREAM (CANCEL)");
        let goaway = json!({ "reset": null, "goaway": "NO_ERROR", "byConnection": true });
        assert_eq!(told("fin", goaway), "GOAWAY (NO_ERROR), then FIN of the connection");
        assert_eq!(told("fin", Value::Null), "FIN");
    }

    #[test]
    fn what_is_written_can_be_read() {
        let mut results = Results { version: "Chromium 156".into(), rows: vec![] };
        let account = json!({ "ending": {
            "sentence": "The peer ended it",
            "transport": "fin_then_rst",
        }});
        results.row("refresh").add_account(&account);
        results.row("refresh").add_page(&[PageEvent::Hidden(false), PageEvent::Error]);
        let json = results.to_json();
        assert_eq!(Results::from_json(&json).unwrap(), results);
        assert_eq!(json["rows"][0]["transport"][0]["saw"], "FIN, then RST");
        assert_eq!(json["rows"][0]["page"][0]["saw"], "pagehide, error");
    }
}
