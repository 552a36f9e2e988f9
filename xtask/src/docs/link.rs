//! What a document links to, read by the parser that mdBook is built on. The tests of the documents
//! and `cargo xtask docs` share it.

use std::ops::Range;
use std::path::{Component, Path, PathBuf};

use pulldown_cmark::{Event, Options, Parser, Tag};

/// A link as it is written, and where in the document it stands.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) to: String,
    pub(crate) at: Range<usize>,
}

/// A file of the repository, and an anchor in it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) path: PathBuf,
    pub(crate) anchor: Option<String>,
}

/// Of Markdown, and of HTML in it.
pub(crate) fn links(text: &str) -> Vec<Link> {
    let of = |(event, range): (Event<'_>, Range<usize>)| match event {
        Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
            let to = dest_url.into_string();
            // The address is the last thing of a link, but for a title.
            let at = text[range.clone()].rfind(&to).map_or(range.start, |at| range.start + at);
            vec![Link { at: at..at + to.len(), to }]
        }
        Event::Html(html) | Event::InlineHtml(html) => attributes(&html, range.start),
        _ => Vec::new(),
    };
    Parser::new_ext(text, Options::ENABLE_TABLES).into_offset_iter().flat_map(of).collect()
}

/// What attributes of HTML link to. `base` is where this HTML begins.
pub(crate) fn attributes(html: &str, base: usize) -> Vec<Link> {
    let mut found = Vec::new();
    for name in [" href=\"", " src=\"", " srcset=\""] {
        for (at, _) in html.match_indices(name) {
            let start = at + name.len();
            let Some(length) = html[start..].find('"') else { continue };
            let to = html[start..start + length].to_owned();
            found.push(Link { to, at: base + start..base + start + length });
        }
    }
    found
}

/// Where a link in the document `from` leads, both counted from the root of the repository. `None`
/// if it leads out into the world.
pub(crate) fn target(from: &Path, to: &str) -> Option<Target> {
    if to.contains("://") || to.starts_with("mailto:") {
        return None;
    }
    let (path, anchor) = match to.split_once('#') {
        Some((path, anchor)) => (path, Some(anchor.to_owned())),
        None => (to, None),
    };
    let path = match path {
        "" => from.to_owned(),
        path => normal(&from.parent().unwrap_or(Path::new("")).join(path)),
    };
    Some(Target { path, anchor })
}

/// Without `.` and `..`.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir if normal.pop() => {}
            Component::CurDir => {}
            part => normal.push(part),
        }
    }
    normal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_found_where_they_stand_and_not_in_code() {
        let text = "[a](b.md#c) `[no](no)` ![p](d.png) [`e`](f.md)\n\n<img\n  src=\"g.png\">\n";
        let found = links(text);
        let to: Vec<&str> = found.iter().map(|link| &*link.to).collect();
        assert_eq!(to, ["b.md#c", "d.png", "f.md", "g.png"]);
        assert!(found.iter().all(|link| text[link.at.clone()] == link.to), "{found:?}");
    }

    #[test]
    fn a_target_is_counted_from_the_root() {
        let from = Path::new("docs/questions/a.md");
        let target = |to: &str| target(from, to).map(|it| (it.path, it.anchor));
        let is = |path: &str, anchor: Option<&str>| {
            Some((PathBuf::from(path), anchor.map(str::to_owned)))
        };
        assert_eq!(target("../b.md#c"), is("docs/b.md", Some("c")));
        assert_eq!(target("../../README.md"), is("README.md", None));
        assert_eq!(target("#d"), is("docs/questions/a.md", Some("d")));
        assert_eq!(target("https://example.com/"), None);
    }
}
