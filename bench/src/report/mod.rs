//! The report: `results.json`, and from it docs/performance.md with its charts.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

mod chart;
mod markdown;
mod targets;
mod turns;
mod view;

use view::View;

/// The kept figures.
///
/// # Errors
/// If there are none.
pub fn kept(root: &Path) -> Result<Value, String> {
    let file = results(root);
    let text = fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
    serde_json::from_str(&text).map_err(|error| format!("{}: {error}", file.display()))
}

/// Keeps figures.
///
/// # Errors
/// If they cannot be written.
pub fn keep(root: &Path, results_: &Value) -> Result<(), String> {
    let text = serde_json::to_string(results_).map_err(|error| error.to_string())?;
    save(&results(root), &text)
}

fn results(root: &Path) -> PathBuf {
    root.join("results.json")
}

fn save(file: &Path, text: &str) -> Result<(), String> {
    fs::write(file, text).map_err(|error| format!("{}: {error}", file.display()))
}

/// Writes the report.
///
/// # Errors
/// If it cannot be written.
pub fn write(root: &Path, results: &Value) -> Result<(), String> {
    let docs = root.join("../docs");
    save(&docs.join("performance.md"), &markdown::document(root, results))?;
    for (name, svg) in chart::all(View(results)) {
        save(&docs.join(name), &svg)?;
    }
    Ok(())
}

/// A cell as lines of text, for the terminal.
#[must_use]
pub fn plain(servers: &Map<String, Value>) -> String {
    let mut text = String::new();
    for (name, server) in servers {
        let _ = write!(text, "  {name:<18}");
        if let Some(why) = server["failed"].as_str() {
            let _ = write!(text, " FAILED: {why}");
        }
        for (key, value) in server["median"].as_object().into_iter().flatten() {
            let _ = write!(text, " {key} {:<9}", value.as_f64().unwrap_or(f64::NAN));
        }
        text.push('\n');
    }
    text + &turns::ratios(servers)
}
