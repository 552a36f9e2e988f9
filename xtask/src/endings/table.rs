//! The table of docs/check-table.md, and a short one for the terminal.

use std::fmt::Write as _;

use serde_json::Value;

use super::figures::Kept;
use super::storm::{COLUMNS, Storm};

const HEAD: &str = "\
# What `adieu check` finds

**How do WebSocket servers end their connections, Adieu and others?** Each check has a table here,
with *ok*, *weak* or *bad* for each server and what was seen. `cargo xtask endings`, which measures
it, fails if Adieu is not ok everywhere.

Each row is a check of [check.md](check.md); the summary is that of the worst run. Servers of
Adieu's have nothing but its defaults; *by hand* has the shutdown that a careful user writes, the
others what their documentation shows; *compressing* have permessage-deflate switched on with its
defaults, and only the checks of compression were made; with *HTTP/2* behind the name every
WebSocket was a stream of HTTP/2 (prior knowledge, without TLS). The programs are in
`crates/adieu/examples/checked.rs` and `conformance/peers`; medians and all figures are in
`conformance/endings.json`.

This file is generated: `cargo xtask endings --peers`.
";

const STORM: &str = "\
SIGTERM with CLIENTS idle clients in another process: the server closes all of them at once with
1001, and waits for each. How many read a Close, how many of them then a FIN and at no time an
RST; when the last one read its Close, and when its FIN; the server's processor time, user and
system, from the signal to its exit, for each connection. The servers took turns in one run,
there and back, TURNS times each, on a machine of CORES cores that the clients shared: median,
and in brackets the least and the most. Times are to be compared with each other only.

";

/// The results of one report, a line each.
pub(super) fn summary(report: &Value) -> String {
    let checks = report["checks"].as_array().into_iter().flatten();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let lines = checks.map(|check| {
        let (result, title) = (text(&check["result"]), text(&check["title"]));
        format!("{result:7} {title}: {}", text(&check["summary"]))
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// The page: a section for each check, a row for each server; then the storm.
pub(super) fn markdown(kept: &Kept) -> String {
    let mut page = HEAD.to_owned();
    checks(&mut page, kept);
    if let Some(storm) = &kept.storm {
        let text = STORM.replace("CLIENTS", &thousands(storm));
        let turns = storm.servers.first().map_or(0, |(_, figures)| figures.turns());
        let text = text.replace("TURNS", &turns.to_string());
        let text = text.replace("CORES", &storm.cores.to_string());
        let _ = write!(page, "\n## Close storm\n\n{text}");
        page.push_str(&storm_rows(storm));
    }
    page
}

fn checks(page: &mut String, kept: &Kept) {
    for check in kept.checks() {
        let _ = writeln!(page, "\n## {}\n\n| server | | seen |\n|---|---|---|", check.title);
        for (name, server) in kept.servers() {
            if let Some(found) = server.checks.iter().find(|it| it.id == check.id) {
                let (result, seen) = (&found.result, found.summary.replace('|', "\\|"));
                let _ = writeln!(page, "| {name} | {result} | {seen} |");
            }
        }
    }
}

/// The table of the storm, also for the terminal.
pub(super) fn storm_rows(storm: &Storm) -> String {
    let heads: Vec<&str> = COLUMNS.iter().map(|(_, head)| *head).collect();
    let mut rows = format!("| server | {} | CPU, times Adieu's |\n", heads.join(" | "));
    let _ = writeln!(rows, "|---|{}", "--:|".repeat(COLUMNS.len() + 1));
    let cpu = |n: usize| Some(storm.servers.get(n)?.1.range("cpu_us_per_client")?.median);
    for (n, (name, figures)) in storm.servers.iter().enumerate() {
        let cells = COLUMNS.map(|(column, _)| {
            let decimals = if column == "exit_seconds" { 2 } else { 0 };
            figures.range(column).map_or_else(|| "–".to_owned(), |range| range.shown(decimals))
        });
        // Ours is the first.
        let times = cpu(n).zip(cpu(0)).map(|(its, ours)| format!("{:.2}", its / ours));
        let times = times.unwrap_or_else(|| "–".to_owned());
        let _ = writeln!(rows, "| {name} | {} | {times} |", cells.join(" | "));
    }
    rows
}

/// The number of connections as it is read: `10,000`.
fn thousands(storm: &Storm) -> String {
    let digits = storm.connections.to_string();
    let groups: Vec<&str> = digits
        .as_bytes()
        .rchunks(3)
        .rev()
        .map(|group| std::str::from_utf8(group).unwrap_or_default())
        .collect();
    groups.join(",")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::figures::Server;
    use super::*;

    #[test]
    fn the_storm_has_a_row_for_each_server_and_a_ratio() {
        let report = |cpu: f64| {
            json!({ "checks": [{ "id": "shutdown_idle", "result": "ok", "summary": "",
                "figures": { "clean": 10_000, "cpu_us_per_client": cpu, "exit_seconds": 0.4 } }] })
        };
        let mut storm = Storm::new(10_000, 2);
        for (name, cpu) in [("ours", 40.0), ("other", 60.0), ("other", 62.0)] {
            storm.add(name, &report(cpu)).unwrap().unwrap();
        }
        let mut kept = Kept::default();
        kept.storm = Some(storm);
        let page = markdown(&kept);
        assert!(page.contains("SIGTERM with 10,000 idle clients"), "{page}");
        assert!(page.contains("| ours | – | 10000 | – | – | – | 40 | 0.40 | 1.00 |"), "{page}");
        assert!(page.contains("| 62 (60–62) | 0.40 | 1.55 |"), "{page}");
    }

    #[test]
    fn each_check_has_a_row_for_each_server() {
        let report = |seen: &str| {
            json!({ "checks": [{
                "id": "a", "title": "A check", "result": "ok", "summary": seen, "figures": {},
            }] })
        };
        let mut kept = Kept::default();
        kept.put("one", Server::new(&[report("5 of 5")]).unwrap());
        kept.put("two", Server::new(&[report("a|b")]).unwrap());
        let page = markdown(&kept);
        assert!(page.contains("## A check\n\n| server | | seen |\n|---|---|---|\n| one | ok |"));
        assert!(page.contains("| two | ok | a\\|b |"), "{page}");
        let mut other = report("7 of 7");
        other["checks"][0]["id"] = json!("b");
        other["checks"][0]["title"] = json!("Another");
        kept.put("three", Server::new(&[other]).unwrap());
        let page = markdown(&kept);
        assert!(page.ends_with(
            "## Another\n\n| server | | seen |\n|---|---|---|\n| three | ok | 7 of 7 |\n"
        ));
        assert!(!page.contains("| three | ok | 5 of 5 |"), "{page}");
        assert_eq!(summary(&report("5 of 5")), "ok      A check: 5 of 5");
    }
}
