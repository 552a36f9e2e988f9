//! Makes `docs/browsers.md` of what the tests in `tests/endings` and `tests/deflate` measured.

use std::fmt::Write as _;
use std::fs;
use std::process::ExitCode;

use browser::compression::Compression;
use browser::results::{Counts, Results, Row};
use browser::server::repository;
use browser::{Error, Kind, Result};

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

fn main() -> ExitCode {
    match write_table() {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("{e}");
            ExitCode::FAILURE
        }
    }
}

/// Leaves the file as it is unless all browsers were measured.
fn write_table() -> Result<()> {
    let (mut measured, mut compression) = (Vec::new(), Vec::new());
    for kind in Kind::ALL {
        let missing = || {
            let advice = format!(
                "run `cargo test -p browser --test endings --test deflate {}` first",
                kind.id()
            );
            Error::io(format!("find results of {}", kind.name()))(std::io::Error::other(advice))
        };
        measured.push((kind, Results::read(kind)?.ok_or_else(missing)?));
        compression.push((kind, Compression::read(kind)?.ok_or_else(missing)?));
    }
    let path = repository().join("docs/browsers.md");
    let text = table(&measured) + &offers(&compression) + TAIL;
    fs::write(&path, text).map_err(Error::io("write docs/browsers.md"))?;
    println!("docs/browsers.md is up to date.");
    Ok(())
}

fn table(measured: &[(Kind, Results)]) -> String {
    let versions: Vec<&str> = measured.iter().map(|(_, found)| found.version.as_str()).collect();
    let mut text = format!("{HEAD}\nMeasured: {}.\n", versions.join(", "));
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
}
