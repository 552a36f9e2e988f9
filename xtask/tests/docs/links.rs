//! Each link of each document leads to a file that is there, and to a heading that is in it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::link::{links, target};
use super::reading::headings;
use super::{read, root};

/// All documents of the repository, counted from its root.
pub(crate) fn documents() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut dirs = vec![PathBuf::new()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(root().join(&dir)).expect("a directory that can be read") {
            let entry = entry.expect("an entry that can be read");
            let (path, name) = (dir.join(entry.file_name()), entry.file_name());
            let name = name.to_string_lossy();
            let ours = !name.starts_with('.') && name != "target" && name != "node_modules";
            let kind = entry.file_type().expect("a file type");
            // A symbolic link has the document a second time, where its own links lead elsewhere.
            if ours && kind.is_dir() {
                dirs.push(path);
            } else if kind.is_file() && path.extension().is_some_and(|it| it == "md") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn anchors(path: &Path) -> BTreeSet<String> {
    headings(&read(&root().join(path))).into_iter().map(|heading| heading.anchor).collect()
}

#[test]
fn each_link_of_each_document_leads_somewhere() {
    let (mut broken, mut followed) = (Vec::new(), 0);
    let mut known = BTreeMap::new();
    for from in documents() {
        for link in links(&read(&root().join(&from))) {
            let Some(to) = target(&from, &link.to) else { continue };
            followed += 1;
            let is_document = to.path.extension().is_some_and(|extension| extension == "md");
            let leads = match &to.anchor {
                // A directory is nothing in a book.
                _ if !root().join(&to.path).is_file() => false,
                None => true,
                Some(anchor) if is_document => known
                    .entry(to.path.clone())
                    .or_insert_with(|| anchors(&to.path))
                    .contains(anchor),
                Some(_) => false,
            };
            if !leads {
                broken.push(format!("{}: {}", from.display(), link.to));
            }
        }
    }
    assert!(followed > 400, "only {followed} links were found");
    assert!(broken.is_empty(), "links that lead nowhere:\n  {}", broken.join("\n  "));
}
