//! The source of the book: the pages of `docs/`, and beside them, under `repository/`, what they
//! link to in the rest of the repository, so that the book is whole by itself.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::link::{links, target};

const DOCS: &str = "docs";
const SUMMARY: &str = "docs/SUMMARY.md";

/// Files to be staged, counted from the root of the repository, and their text where they are
/// documents.
#[derive(Default)]
struct Staged {
    files: BTreeSet<PathBuf>,
    documents: BTreeMap<PathBuf, String>,
}

/// Writes the source of the book to an empty directory.
pub(super) fn write(root: &Path, to: &Path) -> io::Result<()> {
    let staged = collect(root)?;
    for file in &staged.files {
        copy(&root.join(file), &to.join(place(file)))?;
    }
    for (path, text) in &staged.documents {
        let mut text = rewritten(path, text);
        if path == Path::new(SUMMARY) {
            text += &appendix(&staged);
        }
        let to = to.join(place(path));
        fs::create_dir_all(to.parent().unwrap_or(&to))?;
        fs::write(to, text)?;
    }
    Ok(())
}

/// All of `docs/`, and what can be reached from there.
fn collect(root: &Path) -> io::Result<Staged> {
    let mut staged = Staged::default();
    let mut open = vec![PathBuf::from(DOCS)];
    while let Some(path) = open.pop() {
        if staged.files.contains(&path) || staged.documents.contains_key(&path) {
            continue;
        }
        let here = root.join(&path);
        if here.is_dir() {
            for entry in fs::read_dir(&here)? {
                open.push(path.join(entry?.file_name()));
            }
        } else if is_document(&path) {
            let text = fs::read_to_string(&here)?;
            let targets = links(&text).into_iter().filter_map(|link| target(&path, &link.to));
            // A link that leads nowhere is found in the book.
            open.extend(targets.map(|it| it.path).filter(|path| root.join(path).is_file()));
            staged.documents.insert(path, text);
        } else {
            staged.files.insert(path);
        }
    }
    Ok(staged)
}

fn is_document(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "md")
}

/// Where a file of the repository is in the source of the book.
fn place(path: &Path) -> PathBuf {
    match path.strip_prefix(DOCS) {
        Ok(page) => page.to_owned(),
        Err(_) => Path::new("repository").join(path),
    }
}

/// A document with its links as they lead from its place.
fn rewritten(path: &Path, text: &str) -> String {
    let up = "../".repeat(place(path).components().count() - 1);
    let mut new = String::with_capacity(text.len());
    let mut done = 0;
    for link in links(text) {
        let Some(to) = target(path, &link.to).filter(|to| to.path != path) else { continue };
        let _ = write!(new, "{}{up}{}", &text[done..link.at.start], place(&to.path).display());
        if let Some(anchor) = to.anchor {
            let _ = write!(new, "#{anchor}");
        }
        done = link.at.end;
    }
    new + &text[done..]
}

/// Chapters for the documents that are not in `docs/`.
fn appendix(staged: &Staged) -> String {
    let mut chapters = String::from("\n# The repository\n\n");
    for path in staged.documents.keys().filter(|path| !path.starts_with(DOCS)) {
        let _ = writeln!(chapters, "- [{}]({})", path.display(), place(path).display());
    }
    chapters
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to.parent().unwrap_or(to))?;
    fs::copy(from, to).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_lead_from_the_new_place() {
        let text = "[a](../b.md#c) and [d](../../crates/e.rs), [f](#g), [h](https://i/)";
        let new = rewritten(Path::new("docs/questions/x.md"), text);
        assert_eq!(
            new,
            "[a](../b.md#c) and [d](../repository/crates/e.rs), [f](#g), [h](https://i/)"
        );
        let new = rewritten(Path::new("client/README.md"), "[a](../docs/b.md)");
        assert_eq!(new, "[a](../../b.md)");
    }
}
