//! Each id of an error or an ending has its heading in the FAQ, and each heading its id in the
//! code; each sentence there is one that the code says.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::links::documents;
use super::reading::headings;
use super::{below, quoted, read, root, unescaped};

/// In front of a sentence that has no type: where its entry of the FAQ is.
const MARKER: &str = "// FAQ: ";

const INDEX: &str = "docs/faq.md";

fn pages() -> Vec<PathBuf> {
    documents().into_iter().filter(|page| page.starts_with("docs/faq")).collect()
}

/// All sources of the crates, tests included, and of the browser client.
fn sources() -> String {
    below(&root().join("crates"), "rs") + &below(&root().join("client/src"), "ts")
}

/// The ids that a source gives: what its functions `id` return, and what markers name.
fn ids(source: &str) -> Vec<String> {
    let functions = source.split("fn id(").skip(1).map(body);
    let returned = functions.flat_map(|body| {
        let literals = body.split('"').skip(1).step_by(2);
        literals.map(str::to_owned).collect::<Vec<_>>()
    });
    let markers = source.lines().filter_map(|line| line.trim_start().strip_prefix(MARKER));
    let marked = markers.flat_map(|names| names.split(", ")).map(str::to_owned);
    returned.chain(marked).collect()
}

/// Of a function, from its parameters on: what stands between its braces.
fn body(function: &str) -> &str {
    let mut depth = 0;
    for (at, c) in function.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 1 => return &function[..at],
            '}' => depth -= 1,
            _ => {}
        }
    }
    function
}

fn entries(page: &Path) -> Vec<String> {
    let all = headings(&read(&root().join(page))).into_iter();
    all.filter(|heading| heading.level == 3).map(|heading| heading.text).collect()
}

#[test]
fn each_id_has_its_heading_and_none_is_left_over() {
    let ids = ids(&sources());
    let headings: Vec<String> = pages().iter().flat_map(|page| entries(page)).collect();
    let (ids_set, headings_set): (BTreeSet<_>, BTreeSet<_>) =
        (ids.iter().collect(), headings.iter().collect());
    let missing: Vec<_> = ids_set.difference(&headings_set).collect();
    let left_over: Vec<_> = headings_set.difference(&ids_set).collect();
    assert!(missing.is_empty(), "no heading of the third level in docs/faq: {missing:?}");
    assert!(left_over.is_empty(), "headings in docs/faq without an id in the code: {left_over:?}");
    assert_eq!(headings.len(), headings_set.len(), "an id has two headings");
    assert_eq!(ids.len(), ids_set.len(), "two errors have the same id");
    assert!(ids.len() > 100, "only {} ids were found", ids.len());
}

#[test]
fn each_entry_begins_with_a_sentence_and_the_code_says_it() {
    // What tests print there, they assert.
    let code = unescaped(&sources()) + &below(&root().join("conformance"), "txt");
    for page in pages() {
        let text = read(&root().join(&page));
        assert_eq!(quoted(&text).len(), entries(&page).len(), "{}: quotations", page.display());
        for sentence in quoted(&text) {
            // Between the pieces stands what differs.
            let unsaid = sentence.split('…').map(str::trim).find(|piece| !code.contains(piece));
            assert_eq!(unsaid, None, "{}: no code says this of {sentence:?}", page.display());
        }
    }
}

#[test]
fn the_index_has_each_sentence_with_its_entry() {
    let index = read(&root().join(INDEX));
    for page in pages() {
        let text = read(&root().join(&page));
        let to = page.strip_prefix("docs").expect("a page of the FAQ").display().to_string();
        for (id, sentence) in entries(&page).iter().zip(quoted(&text)) {
            let row = format!("| {sentence} | [`{id}`]({to}#{id}) |");
            assert!(index.contains(&row), "{INDEX} has no row {row}");
        }
    }
}

#[test]
fn the_readers_of_ids_see_what_they_should() {
    let source = "fn id(&self) -> &'static str {\n match self { A {} => \"a-b\", B => b.id() }\n\
                  }\nfn other() { \"no\" }\n    // FAQ: c, d\n    \"text\"\n";
    assert_eq!(ids(source), ["a-b", "c", "d"]);
    assert!(ids("let a = b.id();").is_empty());
}
