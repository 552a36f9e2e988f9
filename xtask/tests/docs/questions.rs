//! Each page of the book begins with a question and answers it at once; the list of questions has
//! each, with its page.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::link::{links, target};
use super::links::documents;
use super::reading::{headings, opening};
use super::{read, root};

/// The book's table of contents, and the page that lists the questions.
const SUMMARY: &str = "docs/SUMMARY.md";
const QUESTIONS: &str = "docs/questions.md";

fn text(page: &Path) -> String {
    read(&root().join(page))
}

/// The pages that a document links to, in their order.
fn linked(from: &str) -> Vec<PathBuf> {
    let from = Path::new(from);
    let targets = links(&text(from)).into_iter().filter_map(|link| target(from, &link.to));
    targets.map(|target| target.path).collect()
}

/// The question of a page: its title, or what stands in bold at its beginning.
fn question(page: &Path) -> Option<String> {
    let text = text(page);
    let title = headings(&text).into_iter().next()?.text;
    let opening = opening(&text);
    let asked = if title.ends_with('?') { title } else { opening.bold };
    let is_answered = asked.ends_with('?') && !opening.rest.is_empty();
    is_answered.then_some(asked)
}

#[test]
fn each_page_begins_with_its_question_and_answers_it() {
    let silent: Vec<_> =
        linked(SUMMARY).into_iter().filter(|page| question(page).is_none()).collect();
    assert!(silent.is_empty(), "no question, or no answer in the first paragraph: {silent:?}");
}

#[test]
fn each_document_is_a_chapter_of_the_book() {
    let chapters = linked(SUMMARY);
    let is_page = |page: &PathBuf| page.starts_with("docs") && page != Path::new(SUMMARY);
    let missing: Vec<_> =
        documents().into_iter().filter(is_page).filter(|page| !chapters.contains(page)).collect();
    assert!(missing.is_empty(), "not in {SUMMARY}: {missing:?}");
    assert!(chapters.len() >= 50, "only {} chapters", chapters.len());
}

/// Compares as people read: `code` as its text.
#[test]
fn the_list_of_questions_has_each_with_its_page() {
    let list = text(Path::new(QUESTIONS));
    let listed: BTreeMap<PathBuf, String> = list
        .lines()
        .filter_map(|line| line.strip_prefix("- [")?.strip_suffix(')')?.rsplit_once("]("))
        .map(|(asked, to)| (Path::new("docs").join(to), asked.replace('`', "")))
        .collect();
    let mut pages = linked(SUMMARY);
    pages.retain(|page| page != Path::new(QUESTIONS));
    for page in &pages {
        let listed = listed.get(page).map(String::as_str);
        let asked = question(page);
        assert_eq!(listed, asked.as_deref(), "{QUESTIONS}, {}", page.display());
    }
    assert_eq!(listed.len(), pages.len(), "{QUESTIONS} lists pages that are in no chapter");
}
