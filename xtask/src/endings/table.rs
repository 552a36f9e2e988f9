//! The table of docs/check-table.md, and a short one for the terminal.

use std::fmt::Write as _;

use serde_json::Value;

use super::figures::Kept;

const HEAD: &str = "\
# What `adieu check` finds

Each row is a check of [check.md](check.md); the summary is that of the worst run. Servers of
Adieu's have nothing but its defaults; *by hand* has the shutdown that a careful user writes, the
others what their documentation shows. The programs are in `crates/adieu/examples/checked.rs` and
`conformance/peers`; medians and all figures are in `conformance/endings.json`.

This file is generated: `cargo xtask endings --peers`.
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

/// The page: a section for each check, a row for each server.
pub(super) fn markdown(kept: &Kept) -> String {
    let mut page = HEAD.to_owned();
    let Some((_, first)) = kept.servers().first() else { return page };
    for (n, check) in first.checks.iter().enumerate() {
        let _ = writeln!(page, "\n## {}\n\n| server | | seen |\n|---|---|---|", check.title);
        for (name, server) in kept.servers() {
            if let Some(found) = server.checks.get(n) {
                let (result, seen) = (&found.result, found.summary.replace('|', "\\|"));
                let _ = writeln!(page, "| {name} | {result} | {seen} |");
            }
        }
    }
    page
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::figures::Server;
    use super::*;

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
        assert_eq!(summary(&report("5 of 5")), "ok      A check: 5 of 5");
    }
}
