//! What the documents say about the code is true: each test they name exists and runs, each
//! sentence they quote is one that a test asserts, each default is the one in `config.rs`.

use std::fs;
use std::path::{Path, PathBuf};

mod code;
mod faq;
#[path = "../../src/docs/link.rs"]
mod link;
mod links;
mod questions;
mod reading;

/// Documents that name tests, and how many at least.
const DOCUMENTS: [(&str, usize); 5] = [
    ("docs/endings.md", 9),
    ("docs/old-answers.md", 9),
    ("conformance/edges.md", 9),
    ("docs/from-axum-ws.md", 2),
    ("docs/from-tungstenite.md", 2),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a workspace").to_owned()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The sources of a test target: one file, or all below a directory. Empty if there is none.
fn target(name: &str) -> String {
    let path = root().join(name);
    let file = path.with_extension("rs");
    if file.is_file() { read(&file) } else { below(&path, "rs") }
}

/// All files of one kind below a directory.
fn below(dir: &Path, kind: &str) -> String {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    let texts = paths.iter().map(|path| match path.extension() {
        Some(extension) if extension == kind => read(path),
        _ if path.is_dir() => below(path, kind),
        _ => String::new(),
    });
    texts.collect()
}

/// A test that a document names: `crates/x/tests/y::name`, perhaps with a row of its table behind
/// it in quotes.
#[derive(Debug, PartialEq, Eq)]
struct Named {
    target: String,
    test: String,
    row: Option<String>,
}

fn named(document: &str) -> Vec<Named> {
    // Lines are wrapped where they are full, also between a test and its row.
    let text = document.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut all = Vec::new();
    let parts: Vec<&str> = text.split('`').collect();
    for (code, behind) in parts.iter().skip(1).step_by(2).zip(parts.iter().skip(2).step_by(2)) {
        let Some((target, test)) = code.split_once("::") else { continue };
        if !target.contains("/tests/") && !target.contains("/src/") {
            continue;
        }
        let row = behind.strip_prefix(" (\"").and_then(|row| row.split_once("\")"));
        let row = row.map(|(row, _)| row.to_owned());
        all.push(Named { target: target.to_owned(), test: test.to_owned(), row });
    }
    all
}

/// Whether a function is a test, or part of one.
fn runs(source: &str, name: &str) -> bool {
    let call = format!("{name}(");
    let Some(at) = source.find(&format!("fn {call}")) else { return false };
    let before: Vec<&str> = source[..at].lines().rev().take(4).collect();
    let is_test = before.iter().any(|line| line.trim() == "#[test]" || line.contains("::test"));
    is_test || source.matches(&call).count() > 1
}

/// A source as its string literals mean it, as far as the sentences need that.
fn unescaped(source: &str) -> String {
    let mut text = String::with_capacity(source.len());
    let mut rest = source;
    while let Some((before, after)) = rest.split_once('\\') {
        text += before;
        rest = match after.strip_prefix('\n') {
            Some(wrapped) => wrapped.trim_start(),
            None => after,
        };
    }
    text + rest
}

/// The quotations of a document (lines that begin with `>`), each as one line.
fn quoted(document: &str) -> Vec<String> {
    let mut quotations: Vec<String> = Vec::new();
    let mut goes_on = false;
    for line in document.lines() {
        let line = line.trim_start();
        match (line.strip_prefix("> "), quotations.last_mut()) {
            (Some(more), Some(last)) if goes_on => *last = format!("{last} {more}"),
            (Some(first), _) => quotations.push(first.to_owned()),
            (None, _) => {}
        }
        goes_on = line.starts_with('>');
    }
    quotations
}

#[test]
fn each_named_test_exists_and_runs() {
    for (document, at_least) in DOCUMENTS {
        let all = named(&read(&root().join(document)));
        assert!(all.len() >= at_least, "{document} names {} tests", all.len());
        for Named { target: name, test, row } in all {
            let source = target(&name);
            assert!(runs(&source, &test), "{document}: there is no test {name}::{test}");
            let Some(row) = row else { continue };
            let literal = format!("\"{row}\"");
            assert!(source.contains(&literal), "{document}: {name}::{test} has no row {literal}");
        }
    }
}

#[test]
fn each_quoted_sentence_is_asserted_by_a_test() {
    let document = root().join("docs/endings.md");
    let tests = unescaped(&below(&root().join("crates/adieu/tests"), "rs"));
    let sentences = quoted(&read(&document));
    assert!(sentences.len() >= 15, "only {} sentences are quoted", sentences.len());
    for sentence in sentences {
        assert!(tests.contains(&sentence), "no test asserts this sentence: {sentence}");
    }
}

/// A row that names a constant gives its value.
#[test]
fn each_default_is_the_one_of_the_code() {
    let config = read(&root().join("crates/adieu-proto/src/config.rs"));
    let document = read(&root().join("docs/endings.md"));
    let mut found = 0;
    for line in config.lines() {
        let Some((name, value)) = line
            .trim()
            .strip_prefix("pub const ")
            .and_then(|rest| rest.split_once(": Duration = Duration::from_"))
        else {
            continue;
        };
        let number: String = value.chars().filter(char::is_ascii_digit).collect();
        let ms = number.parse::<f64>().expect("a number");
        let seconds = if value.starts_with("secs") { ms } else { ms / 1000.0 };
        let cell = format!("| `{name}` | {seconds} s |");
        assert!(document.contains(&cell), "docs/endings.md has no cell {cell}");
        found += 1;
    }
    assert!(found >= 7, "only {found} defaults were found in config.rs");
}

/// The first program of a document that is in Rust.
fn program(document: &str) -> &str {
    let (_, after) = document.split_once("```rust").expect("a program");
    let (_, text) = after.split_once('\n').expect("its first line");
    text.split_once("```").expect("its end").0
}

/// The one in the crate is compiled with its documentation tests.
#[test]
fn the_first_program_of_the_readme_is_the_one_that_is_compiled() {
    let of = |file: &str| program(&read(&root().join(file))).to_owned();
    assert_eq!(of("README.md"), of("crates/adieu/README.md"));
    assert!(read(&root().join("crates/adieu/examples/hello.rs")).ends_with(&of("README.md")));
}

#[test]
fn the_readers_of_documents_see_what_they_should() {
    let document =
        "Test: `a/tests/b::c_d` (\"FIN and\nno Close\"), and `a/tests/b::e`; `Cause::Eof`.";
    let test = |test: &str, row: Option<&str>| Named {
        target: "a/tests/b".into(),
        test: test.into(),
        row: row.map(Into::into),
    };
    assert_eq!(named(document), [test("c_d", Some("FIN and no Close")), test("e", None)]);
    let source = "#[test]\nfn a() {\n    b();\n}\nfn b() {}\nfn c() {}\n";
    assert!(runs(source, "a") && runs(source, "b") && !runs(source, "c") && !runs(source, "d"));
    assert_eq!(unescaped("\"one \\\n     two \\\"three\\\"\""), "\"one two \"three\"\"");
    assert_eq!(quoted("> a\n> b\n\ntext\n> c\n"), ["a b", "c"]);
}
