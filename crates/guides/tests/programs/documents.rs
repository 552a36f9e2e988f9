//! The documents show the programs as they are and count their lines right.
//!
//! With `ADIEU_UPDATE_GUIDES=1` the programs and tables of the documents are written anew.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

/// The tasks of the guides: the end of the programs' names, and the title.
const TASKS: [(&str, &str); 6] = [
    ("chat", "A chat with state"),
    ("rooms", "Rooms"),
    ("tasks", "Two tasks"),
    ("cookie", "Auth by cookie"),
    ("shutdown", "Graceful shutdown"),
    ("talk", "A client"),
];

const MAX_OF_THE_SMALLEST: usize = 20;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn path_of(program: &str) -> PathBuf {
    root().join(format!("crates/guides/src/bin/{program}.rs"))
}

/// A program without the comment at its head.
fn shown(program: &str) -> String {
    let text = read(&path_of(program));
    let body = text.lines().skip_while(|line| line.starts_with("//!") || line.is_empty());
    body.fold(String::new(), |all, line| all + line + "\n")
}

/// Lines that are neither empty nor a comment.
fn lines_of(program: &str) -> usize {
    let counts = |line: &&str| !line.trim().is_empty() && !line.trim().starts_with("//");
    shown(program).lines().filter(counts).count()
}

/// The table of lines: the other library's programs beside Adieu's, whose names begin so.
fn table(title: &str, theirs: &str, ours: &[&str]) -> String {
    let mut table = format!("| task | {title} | Adieu | |\n|---|---|---|---|\n");
    let mut sum = [0, 0];
    let link =
        |program: &str| format!("[{}](../crates/guides/src/bin/{program}.rs)", lines_of(program));
    for (task, name) in TASKS {
        let theirs = format!("{theirs}_{task}");
        let ours = ours.iter().map(|prefix| format!("{prefix}_{task}"));
        let Some(ours) = ours.into_iter().find(|ours| path_of(ours).is_file()) else { continue };
        let counts = [lines_of(&theirs), lines_of(&ours)];
        sum = [sum[0] + counts[0], sum[1] + counts[1]];
        let (theirs, ours, fewer) = (link(&theirs), link(&ours), difference(counts));
        writeln!(table, "| {name} | {theirs} | {ours} | {fewer} |").expect("a String");
    }
    let [theirs, ours] = sum;
    writeln!(table, "| **all** | **{theirs}** | **{ours}** | {} |", difference(sum)).unwrap();
    table
}

fn difference([theirs, ours]: [usize; 2]) -> String {
    match theirs.abs_diff(ours) {
        0 => "the same".to_owned(),
        n if ours < theirs => format!("{n} fewer"),
        n => format!("{n} more"),
    }
}

/// What belongs behind a mark of a document.
fn behind(mark: &str) -> String {
    match mark.split(' ').collect::<Vec<_>>()[..] {
        ["program", name] => format!("```rust\n{}```\n", shown(name)),
        ["lines", "axum"] => table("axum's own", "axum_ws", &["axum"]),
        ["lines", "tungstenite"] => {
            table("tokio-tungstenite", "tungstenite", &["server", "client"])
        }
        _ => panic!("an unknown mark: {mark}"),
    }
}

/// The document with what belongs behind each of its marks, `<!-- program NAME -->` and
/// `<!-- lines NAME -->`, in place of the paragraph or block that stands there.
fn written_anew(document: &str) -> String {
    let mut out = String::new();
    let mut lines = document.lines().peekable();
    while let Some(line) = lines.next() {
        out += line;
        out += "\n";
        let mark = line.strip_prefix("<!-- ").and_then(|rest| rest.strip_suffix(" -->"));
        let Some(mark) = mark else { continue };
        out += &behind(mark);
        if lines.next_if(|line| line.starts_with("```")).is_some() {
            lines.by_ref().find(|line| *line == "```").expect("the end of a block");
        }
        while lines.next_if(|line| line.starts_with('|')).is_some() {}
    }
    out
}

/// The programs that a document shows.
fn programs_in(document: &str) -> Vec<&str> {
    let marks = document.lines().filter_map(|line| line.strip_prefix("<!-- program "));
    marks.filter_map(|rest| rest.strip_suffix(" -->")).collect()
}

#[track_caller]
fn shows(document: &str, programs: &[&str]) {
    let path = root().join("docs").join(document);
    let text = read(&path);
    assert_eq!(programs_in(&text), programs, "{document}");
    let right = written_anew(&text);
    if std::env::var_os("ADIEU_UPDATE_GUIDES").is_some_and(|value| value == "1") {
        fs::write(&path, &right).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    } else if let Some((has, wants)) = text.lines().zip(right.lines()).find(|(a, b)| a != b) {
        panic!("{document} has {has:?} and not {wants:?}: run this with ADIEU_UPDATE_GUIDES=1");
    } else {
        assert_eq!(text.len(), right.len(), "{document}: run this with ADIEU_UPDATE_GUIDES=1");
    }
}

#[test]
fn the_guide_from_axum_shows_and_counts_the_programs_that_run() {
    let programs = ["axum_chat", "axum_rooms", "axum_tasks", "axum_cookie", "axum_shutdown"];
    shows("from-axum-ws.md", &programs);
}

#[test]
fn the_guide_from_tungstenite_shows_and_counts_the_programs_that_run() {
    let names = TASKS.map(|(task, _)| match task {
        "talk" => "client_talk".to_owned(),
        task => format!("server_{task}"),
    });
    shows("from-tungstenite.md", &names.each_ref().map(String::as_str));
}

#[test]
fn the_ten_smallest_programs_are_shown_and_small() {
    let names = ["echo", "say", "listen", "broadcast", "axum", "tls", "header", "json"];
    let names = names.into_iter().chain(["heartbeat", "endings"]);
    let names: Vec<String> = names.map(|name| format!("small_{name}")).collect();
    shows("programs.md", &names.iter().map(String::as_str).collect::<Vec<_>>());
    for name in names {
        let lines = lines_of(&name);
        assert!(lines <= MAX_OF_THE_SMALLEST, "{name} has {lines} lines");
    }
}

#[test]
fn a_document_is_written_anew_where_it_is_marked_and_nowhere_else() {
    let right = written_anew("before\n\n<!-- program small_say -->\n\nafter\n");
    assert!(right.starts_with("before\n\n<!-- program small_say -->\n```rust\n#[tokio::main]\n"));
    assert!(right.ends_with("}\n```\n\nafter\n"), "{right}");
    assert_eq!(written_anew(&right), right);
    let stale = right.replace("#[tokio::main]\n", "");
    assert_eq!(written_anew(&stale), right);
    let counted = written_anew("<!-- lines axum -->\n| a | stale |\n|---|---|\n\n| other |\n");
    assert!(counted.ends_with("fewer |\n\n| other |\n") && !counted.contains("stale"), "{counted}");
}
