//! Follows the links of the book that was built.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::link::{attributes, target};

/// Pages of mdBook's own: their links are those of all pages, or counted from elsewhere.
const NOT_OURS: [&str; 2] = ["404.html", "toc.html"];

/// How many links hold; an error names those that do not.
pub(super) fn check(book: &Path) -> Result<usize, String> {
    let pages = pages(book)?;
    let (mut broken, mut hold) = (Vec::new(), 0);
    for (path, html) in &pages {
        for link in attributes(html, 0) {
            let Some(to) = target(path, &link.to) else { continue };
            if leads(book, &pages, &to.path, to.anchor.as_deref()) {
                hold += 1;
            } else {
                broken.push(format!("{}: {}", path.display(), link.to));
            }
        }
    }
    if pages.is_empty() || !broken.is_empty() {
        return Err(format!("links in the book that lead nowhere:\n  {}", broken.join("\n  ")));
    }
    Ok(hold)
}

fn leads(
    book: &Path,
    pages: &BTreeMap<PathBuf, String>,
    path: &Path,
    anchor: Option<&str>,
) -> bool {
    let Some(anchor) = anchor.filter(|anchor| !anchor.is_empty()) else {
        return book.join(path).is_file();
    };
    pages.get(path).is_some_and(|html| html.contains(&format!(" id=\"{anchor}\"")))
}

/// The pages, counted from the root of the book, and their HTML.
fn pages(book: &Path) -> Result<BTreeMap<PathBuf, String>, String> {
    let mut pages = BTreeMap::new();
    let mut open = BTreeSet::from([PathBuf::new()]);
    while let Some(path) = open.pop_first() {
        let here = book.join(&path);
        let why = |error| format!("{}: {error}", here.display());
        if here.is_dir() {
            for entry in fs::read_dir(&here).map_err(why)? {
                open.insert(path.join(entry.map_err(why)?.file_name()));
            }
        } else if path.extension().is_some_and(|extension| extension == "html")
            && !NOT_OURS.iter().any(|name| path == Path::new(name))
        {
            pages.insert(path, fs::read_to_string(&here).map_err(why)?);
        }
    }
    Ok(pages)
}
