//! docs/connect.md and the help say the same.

use std::collections::BTreeSet;
use std::path::Path;

use crate::world::run;

fn help() -> String {
    run(&["--help"]).out
}

fn document() -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/connect.md");
    std::fs::read_to_string(file).expect("docs/connect.md")
}

/// The cells of a table's rows, without those of other tables and without code marks.
fn rows(document: &str, first_column: &str) -> Vec<Vec<String>> {
    let cells = |line: &str| -> Vec<String> {
        let line = line.trim().trim_matches('|');
        line.split(" | ").map(|cell| cell.replace('`', "").trim().to_owned()).collect()
    };
    let mut lines = document.lines().skip_while(|line| !line.starts_with(first_column));
    assert!(lines.next().is_some(), "no table begins with {first_column}");
    lines.skip(1).take_while(|line| line.starts_with('|')).map(cells).collect()
}

#[test]
fn every_option_stands_in_the_document_as_in_the_help() {
    let help = help();
    let in_help: BTreeSet<String> = help
        .lines()
        .map(str::trim_start)
        .filter(|line| line.starts_with('-'))
        .map(|line| line.split("  ").next().unwrap_or_default().to_owned())
        .collect();
    let all = rows(&document(), "| option |");
    let in_document: BTreeSet<String> = all.iter().map(|row| row[0].clone()).collect();
    assert!(in_help.len() > 20, "{help}");
    assert_eq!(in_help, in_document);
}

#[test]
fn every_exit_code_stands_in_the_document_as_in_the_help() {
    let help = help();
    let codes = help.split_once("Exit codes:\n").expect("exit codes").1;
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let in_help: Vec<Vec<String>> = codes.lines().map(words).collect();
    let all = rows(&document(), "| code |");
    let in_document: Vec<Vec<String>> = all.iter().map(|row| words(&row.join(" "))).collect();
    assert_eq!(in_help, in_document);
    assert_eq!(in_help.len(), 10, "{help}");
}
