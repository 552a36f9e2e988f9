//! Makes `docs/browsers.md` of what the tests in `tests/endings` and `tests/deflate` measured, and
//! of what the long form of `tests/http2` did.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use browser::compression::Compression;
use browser::results::{Counts, Results, Row};
use browser::server::repository;
use browser::{Carrier, Error, Kind, Result};

const HEAD: &str = "\
# How browsers end a WebSocket

**What do Chromium, Firefox and WebKitGTK do to a WebSocket at a refresh, a closed tab, a kill?** At
a refresh and when the tab is closed they send Close 1001 and end TCP; killed, they leave a FIN and
no Close; in what they differ, the tables say.

Each browser was driven against the live page of `adieu serve` over loopback. The column \"server\"
quotes the account that `GET /endings` gives of the connection, without its duration; \"page\" lists
the events that the page itself was given. Some rows are races between the browser's FIN and our
answer: their counts differ from run to run, and the tests ask only that nothing else is seen.

This file is generated. To measure again:

```
cargo build --release -p adieu-cli
cargo test -p browser --test endings --test deflate
cargo run -p browser --bin browser-table
```
";

const COMPRESSION: &str = "
## What it offers to compress

The server was one of the library with `Config::deflate`. Below are `Sec-WebSocket-Extensions` of
the request, of the answer with the defaults, and of the answer with `client_window_bits = 12`; in
brackets what the page reads in `WebSocket.extensions`, where that is something else. Messages went
both ways compressed and came back as they were sent (`conformance/deflate-interop.txt`).

| | offers | is answered | with 12 bits |
|---|---|---|---|
";

const TAIL: &str = "
WebKitGTK uses libsoup for its network; what it does says little about Safari. \"pagehide (kept)\"
means that the page went to the back/forward cache. A page that is left or gone cannot be asked.
";

/// The beginning of the part of HTTP/2.
const HTTP2: &str = "
## Over HTTP/2

The same, where the page came over HTTP/2 and its WebSocket is a stream of that connection (RFC
8441): `adieu serve --http2`. WebKitGTK opens its WebSockets over HTTP/1.1 even then. What this
means for an application is in [http2.md](http2.md). To measure it again:
`cargo xtask http2-browsers`.
";

/// Those whose WebSockets are streams.
const OVER_HTTP2: [Kind; 2] = [Kind::Chromium, Kind::Firefox];

fn main() -> ExitCode {
    let written = match std::env::args().nth(1).as_deref() {
        None => write_table(),
        Some("http2") => write_over_http2(),
        Some(other) => {
            eprintln!("{other:?} is not known: give \"http2\" for its part alone, or nothing");
            return ExitCode::FAILURE;
        }
    };
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("{e}");
            ExitCode::FAILURE
        }
    }
}

/// Leaves the file as it is unless all browsers were measured. Its part of HTTP/2, which is
/// measured by a command of its own, stays as it is.
fn write_table() -> Result<()> {
    let (mut measured, mut compression) = (Vec::new(), Vec::new());
    for kind in Kind::ALL {
        let missing = || {
            let of = format!("--test endings --test deflate {}", kind.id());
            not_measured(kind, &format!("cargo test -p browser {of}"))
        };
        measured.push((kind, Results::read(kind, Carrier::Tcp)?.ok_or_else(missing)?));
        compression.push((kind, Compression::read(kind)?.ok_or_else(missing)?));
    }
    let old = read()?;
    let (_, over_http2) = parts(&old);
    write(&(table(&measured) + &offers(&compression) + TAIL + over_http2))
}

/// Writes the part of HTTP/2, unless a browser was not measured.
fn write_over_http2() -> Result<()> {
    let mut measured = Vec::new();
    for kind in OVER_HTTP2 {
        let missing = || not_measured(kind, "cargo xtask http2-browsers");
        measured.push((kind, Results::read(kind, Carrier::Http2)?.ok_or_else(missing)?));
    }
    let old = read()?;
    let (over_tcp, _) = parts(&old);
    write(&(over_tcp.to_owned() + &streams(&measured)))
}

fn not_measured(kind: Kind, command: &str) -> Error {
    let advice = format!("run `{command}` first");
    Error::io(format!("find results of {}", kind.name()))(std::io::Error::other(advice))
}

fn file() -> PathBuf {
    repository().join("docs/browsers.md")
}

fn read() -> Result<String> {
    fs::read_to_string(file()).map_err(Error::io("read docs/browsers.md"))
}

fn write(text: &str) -> Result<()> {
    fs::write(file(), text).map_err(Error::io("write docs/browsers.md"))?;
    println!("docs/browsers.md is up to date.");
    Ok(())
}

/// What is before the part of HTTP/2, and that part, which may be missing.
fn parts(text: &str) -> (&str, &str) {
    let heading = HTTP2.lines().nth(1).unwrap_or_default();
    text.split_at(text.find(&format!("\n{heading}\n")).unwrap_or(text.len()))
}

/// One table of all: what is done, then each browser.
fn streams(measured: &[(Kind, Results)]) -> String {
    let head = "| | | server | stream | page |\n|---|---|---|---|---|\n";
    let mut text = format!("{HTTP2}\nMeasured: {}.\n\n{head}", versions(measured));
    for action in actions(measured) {
        for (kind, results) in measured {
            if let Some(row) = results.rows.iter().find(|row| row.action == action) {
                text += &format!("| {action} {}", line(kind.name(), row));
            }
        }
    }
    text
}

fn versions(measured: &[(Kind, Results)]) -> String {
    let versions: Vec<&str> = measured.iter().map(|(_, found)| found.version.as_str()).collect();
    versions.join(", ")
}

fn table(measured: &[(Kind, Results)]) -> String {
    let mut text = format!("{HEAD}\nMeasured: {}.\n", versions(measured));
    for action in actions(measured) {
        // Writing to a string cannot fail.
        let _ = write!(text, "\n## {action}\n\n| | server | TCP | page |\n|---|---|---|---|\n");
        for (kind, results) in measured {
            if let Some(row) = results.rows.iter().find(|row| row.action == action) {
                text += &line(kind.name(), row);
            }
        }
    }
    text
}

/// What each offers for compression.
fn offers(measured: &[(Kind, Compression)]) -> String {
    let mut text = COMPRESSION.to_owned();
    for (kind, seen) in measured {
        let cells = [&seen.by_default, &seen.with_window].map(|answer| {
            let told = answer.told != answer.answered;
            let told = if told { format!(" (`{}`)", answer.told) } else { String::new() };
            format!("`{}`{told}", answer.answered)
        });
        let _ = writeln!(text, "| {} | `{}` | {} |", kind.name(), seen.offered, cells.join(" | "));
    }
    text
}

/// All actions, in the order of the browser that was measured first.
fn actions(measured: &[(Kind, Results)]) -> Vec<&str> {
    let mut actions: Vec<&str> = Vec::new();
    for row in measured.iter().flat_map(|(_, results)| &results.rows) {
        if !actions.contains(&row.action.as_str()) {
            actions.push(&row.action);
        }
    }
    actions
}

fn line(name: &str, row: &Row) -> String {
    let cells = [&row.server, &row.transport, &row.page].map(cell);
    format!("| {name} | {} |\n", cells.join(" | "))
}

/// Counts are shown where there was more than one run; what came in only some runs gets a line.
fn cell(counts: &Counts) -> String {
    let total = counts.total();
    let lines = counts.iter().map(|(text, times)| {
        let text = text.replace('|', "\\|");
        if total > 1 { format!("{text} ({times}/{total})") } else { text }
    });
    lines.collect::<Vec<_>>().join("<br>")
}

#[cfg(test)]
mod tests {
    use browser::compression::Answer;

    use super::*;

    #[test]
    fn a_race_shows_its_counts() {
        let mut row = Row::new("refresh");
        for text in ["FIN", "RST", "FIN"] {
            row.transport.add(text);
        }
        row.page.add("nothing");
        assert_eq!(line("Chromium", &row), "| Chromium |  | FIN (2/3)<br>RST (1/3) | nothing |\n");
    }

    #[test]
    fn what_a_page_reads_is_shown_where_it_is_not_the_answer() {
        let answer = |answered: &str| Answer { answered: answered.into(), told: "x".into() };
        let (by_default, with_window) = (answer("x"), answer("x; y"));
        let seen = Compression { offered: "x; z".into(), by_default, with_window };
        let table = offers(&[(Kind::Firefox, seen)]);
        assert!(table.ends_with("| Firefox | `x; z` | `x` | `x; y` (`x`) |\n"), "{table}");
    }

    #[test]
    fn every_action_of_every_browser_has_a_table() {
        let row = |action| Row::new(action);
        let some = Results { version: "A 1".into(), rows: vec![row("refresh"), row("leave")] };
        let other = Results { version: "B 2".into(), rows: vec![row("leave"), row("kill")] };
        let measured = [(Kind::Chromium, some), (Kind::Firefox, other)];
        assert_eq!(actions(&measured), ["refresh", "leave", "kill"]);
        assert!(table(&measured).contains("Measured: A 1, B 2."));
    }
    #[test]
    fn the_part_of_http2_is_found_again() {
        let mut row = Row::new("Refresh");
        row.transport.add("RST_STREAM (CANCEL)");
        let results = Results { version: "A 1".into(), rows: vec![row] };
        let streams = streams(&[(Kind::Chromium, results)]);
        let told = "| Refresh | Chromium |  | RST_STREAM (CANCEL) |  |\n";
        assert!(streams.contains("Measured: A 1.") && streams.ends_with(told), "{streams}");
        let both = format!("{HEAD}{TAIL}{streams}");
        assert_eq!(parts(&both), (&*format!("{HEAD}{TAIL}"), &*streams));
        assert_eq!(parts(HEAD), (HEAD, ""));
    }
}
