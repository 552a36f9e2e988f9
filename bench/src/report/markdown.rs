//! docs/performance.md.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::report::targets;
use crate::report::view::{Cell, View, digits, figure};
use crate::sample::{CPU, GENERATOR_CPU, RATE};
use crate::server::{ADIEU, FLOOR};

/// The whole document. What is written by hand, where the time goes, is in bench/notes.md.
pub(super) fn document(root: &Path, results: &Value) -> String {
    let view = View(results);
    let mut text = String::from(include_str!("method.md"));
    text += &machine(results);
    text += "\n## Targets\n\n";
    text += &targets::table(view);
    if let Ok(notes) = fs::read_to_string(root.join("notes.md")) {
        let _ = write!(text, "\n{}\n", notes.trim());
    }
    echo(&mut text, view);
    let lead = "Open loop: each message is timed from when it was due.";
    section(&mut text, "Latency at a fixed rate", "", lead);
    text += &by_server(view, "rate-512-c100", &["p50_us", "p99_us", CPU]);
    let lead = "TCP, upgrade and end, 32 at a time; CPU time of the server for each.";
    section(&mut text, "Connect cycles", "performance-many.svg", lead);
    text += &by_cell(view, &["cycle"], CPU);
    many(&mut text, view);
    let lead = "Calls of the server for each message, counted by strace: 512 B, 20 connections.";
    section(&mut text, "System calls", "", lead);
    for (id, title) in [("syscalls-d1", "1 in flight"), ("syscalls-d16", "\n16 in flight")] {
        let _ = write!(text, "{title}:\n\n");
        text += &by_server(view, id, &["reads", "writes", "waits"]);
    }
    let lead = "What 16 KiB of non-ASCII text cost more than 16 KiB of binary when `adieu-proto` \
                receives them, beside the standard library's check of the same text.";
    section(&mut text, "UTF-8", "", lead);
    text += &utf8(view);
    text += &instructions(root);
    text
}

fn echo(text: &mut String, view: View<'_>) {
    let lead = "CPU time of the server for each message, and its ratio to the floor.";
    section(text, "Echo", "performance-echo.svg", lead);
    *text += &by_cell(view, &["echo"], CPU);
    *text += "\nMessages a second at that. With `*` the generator spent more CPU time on a message \
              than the server: the rate is the generator's limit, the CPU time above is not.\n\n";
    *text += &rates(view, &["echo"]);
}

fn many(text: &mut String, view: View<'_>) {
    let lead = "Resident memory of the process over that before they came, for each connection.";
    section(text, "Memory of 10,000 idle connections", "performance-memory.svg", lead);
    *text += &by_server(view, "idle", &["connected_bytes", "messaged_bytes", "base_bytes"]);
    let lead = "The server closes 10,000 connections with 1001 at once; each Close is answered. \
                Bun sends its FIN with the Close and waits for no answer. CPU time for each \
                connection.";
    section(text, "Close storm", "", lead);
    let keys = ["last_close_ms", "half_fin_ms", "last_fin_ms", CPU, "resets"];
    *text += &by_server(view, "storm", &keys);
    let lead = "A text of 120 B to 5,000 connections; CPU time for each delivery.";
    section(text, "Fan-out", "", lead);
    *text += &by_server(view, "fan-out", &[CPU, "round_ms"]);
}

fn section(text: &mut String, title: &str, picture: &str, lead: &str) {
    let _ = write!(text, "\n## {title}\n\n");
    if !picture.is_empty() {
        let _ = write!(text, "![{title}, as a chart]({picture})\n\n");
    }
    let _ = write!(text, "{lead}\n\n");
}

fn machine(results: &Value) -> String {
    let machine = &results["machine"];
    let word = |key: &str| machine[key].as_str().unwrap_or("unknown").to_owned();
    let virtual_ = if machine["virtual"] == true { ", in a virtual machine" } else { "" };
    let mut text = format!(
        "\n## Machine and versions\n\n{}, {} cores{virtual_}; Linux {}{}; {}; node {}. ",
        word("cpu"),
        machine["cores"],
        word("kernel"),
        machine["congestion"].as_str().map_or(String::new(), |name| format!(" (TCP {name})")),
        word("rustc"),
        word("node").trim_start_matches('v')
    );
    let versions = results["versions"].as_object().into_iter().flatten();
    let versions = versions.filter_map(|(name, version)| {
        let version = version.as_str().filter(|version| !version.is_empty())?;
        Some(format!("{name} {version}"))
    });
    text += &versions.collect::<Vec<_>>().join(", ");
    let quick = if results["quick"] == true { " **A quick run: few samples.**" } else { "" };
    let _ = writeln!(text, ".{quick} A sample of echo is {} ms long.", results["sample_ms"]);
    text
}

fn line<'a>(text: &mut String, fields: impl IntoIterator<Item = &'a str>) {
    let fields: Vec<&str> = fields.into_iter().collect();
    let _ = writeln!(text, "| {} |", fields.join(" | "));
}

fn head(text: &mut String, fields: &[&str]) {
    line(text, fields.iter().copied());
    line(text, fields.iter().enumerate().map(|(i, _)| if i == 0 { "---" } else { "--:" }));
}

/// One row per cell, one column per server, and how Adieu stands to the best peer.
fn by_cell(view: View<'_>, kinds: &[&str], key: &str) -> String {
    let servers = view.servers();
    let mut text = String::new();
    let heads: Vec<&str> = ["", "n"].into_iter().chain(servers.iter().copied()).collect();
    head(&mut text, &[heads.as_slice(), &["Adieu ÷ best peer"]].concat());
    for cell in view.cells(kinds) {
        let mut row = vec![cell.title().to_owned(), cell.samples(ADIEU).to_string()];
        row.extend(servers.iter().map(|server| with_ratio(cell, server, key)));
        row.push(against_best(view, cell, key));
        line(&mut text, row.iter().map(String::as_str));
    }
    text
}

fn with_ratio(cell: Cell<'_>, server: &str, key: &str) -> String {
    let Some(value) = cell.median(server, key) else {
        return cell.failure(server).map_or("–", |_| "failed").to_owned();
    };
    match cell.ratio(server, FLOOR, key) {
        Some(ratio) if server != FLOOR => format!("{} ({})", figure(key, value), digits(ratio)),
        _ => figure(key, value),
    }
}

fn against_best(view: View<'_>, cell: Cell<'_>, key: &str) -> String {
    let best = cell.best(view, key);
    let ratio = best.and_then(|peer| Some((peer, cell.ratio(ADIEU, peer, key)?)));
    ratio.map_or("–".into(), |(peer, ratio)| format!("{} ({peer})", digits(ratio)))
}

fn rates(view: View<'_>, kinds: &[&str]) -> String {
    let servers = view.servers();
    let mut text = String::new();
    head(&mut text, &[&[""], servers.as_slice()].concat());
    for cell in view.cells(kinds) {
        let mut row = vec![cell.title().to_owned()];
        row.extend(servers.iter().map(|server| {
            let limited = cell.median(server, GENERATOR_CPU) > cell.median(server, CPU);
            let rate = cell.median(server, RATE).map(|rate| figure(RATE, rate));
            rate.map_or("–".into(), |rate| rate + if limited { " *" } else { "" })
        }));
        line(&mut text, row.iter().map(String::as_str));
    }
    text
}

/// One row per server, one column per figure with its ratio to the best peer's.
fn by_server(view: View<'_>, id: &str, keys: &[&str]) -> String {
    let Some(cell) = view.cell(id) else { return "Not measured.\n".into() };
    let mut text = String::new();
    let names: Vec<&str> = keys.iter().map(|key| targets::name(key)).collect();
    head(&mut text, &[&["", "n"], names.as_slice()].concat());
    for server in view.servers() {
        let mut row = vec![server.to_owned(), cell.samples(server).to_string()];
        row.extend(keys.iter().map(|key| {
            cell.median(server, key).map_or_else(
                || cell.failure(server).unwrap_or("–").to_owned(),
                |value| figure(key, value),
            )
        }));
        line(&mut text, row.iter().map(String::as_str));
    }
    for over in [FLOOR, "best peer"] {
        let mut row = vec![format!("Adieu ÷ {over}"), String::new()];
        row.extend(keys.iter().map(|key| match over {
            FLOOR => cell.ratio(ADIEU, FLOOR, key).map_or("–".into(), digits),
            _ => against_best(view, cell, key),
        }));
        line(&mut text, row.iter().map(String::as_str));
    }
    text
}

fn utf8(view: View<'_>) -> String {
    let Some(cell) = view.cell("utf8") else { return "Not measured.\n".into() };
    let mut text = String::new();
    head(&mut text, &["", "n", "CPU"]);
    for name in [ADIEU, crate::cells::STD] {
        let value = cell.median(name, CPU).map_or("–".into(), |value| figure(CPU, value));
        line(&mut text, [name, &cell.samples(name).to_string(), &value]);
    }
    text
}

/// The kept instruction counts.
fn instructions(root: &Path) -> String {
    let kept = fs::read_to_string(root.join("instructions.json")).ok();
    let kept: Option<Value> = kept.and_then(|text| serde_json::from_str(&text).ok());
    let Some(kept) = kept else { return String::new() };
    let mut text = String::from(
        "\n## Instructions\n\n`cargo xtask instructions` counts them with callgrind and fails if \
         one has grown by more than 3 %.\n\n",
    );
    head(&mut text, &["part", "one operation", "instructions"]);
    for part in crate::parts::PARTS {
        let count = kept["instructions"][part.name].as_f64().map_or("–".into(), digits);
        line(&mut text, [part.name, part.what, &count]);
    }
    text
}
