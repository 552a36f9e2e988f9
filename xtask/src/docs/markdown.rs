//! What a document links to, and what in it can be linked to, read by the parser that mdBook is
//! built on. The tests of the documents and `cargo xtask docs` share it.

use std::collections::HashMap;
use std::ops::Range;
use std::path::{Component, Path, PathBuf};

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

/// A heading, and the anchor that GitHub and mdBook give it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Heading {
    pub(crate) level: usize,
    pub(crate) text: String,
    pub(crate) anchor: String,
}

/// A link as it is written, and where in the document it stands.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) to: String,
    pub(crate) at: Range<usize>,
}

/// How a document begins: its first paragraph, cut behind what stands in bold at its very beginning.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Opening {
    pub(crate) bold: String,
    pub(crate) rest: String,
}

/// A file of the repository, and an anchor in it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) path: PathBuf,
    pub(crate) anchor: Option<String>,
}

type Events<'a> = Vec<(Event<'a>, Range<usize>)>;

fn events(text: &str) -> Events<'_> {
    Parser::new_ext(text, Options::ENABLE_TABLES).into_offset_iter().collect()
}

/// What is to be read between two events.
fn plain(events: &[(Event<'_>, Range<usize>)]) -> String {
    let parts = events.iter().map(|(event, _)| match event {
        Event::Text(text) | Event::Code(text) => text,
        Event::SoftBreak | Event::HardBreak => " ",
        _ => "",
    });
    parts.collect()
}

pub(crate) fn headings(text: &str) -> Vec<Heading> {
    let events = events(text);
    let mut seen = HashMap::new();
    let starts = events.iter().enumerate().filter_map(|(at, (event, _))| match event {
        Event::Start(Tag::Heading { level, .. }) => Some((at, *level as usize)),
        _ => None,
    });
    let headings = starts.map(|(at, level)| {
        let ends = |(event, _): &(Event<'_>, _)| matches!(event, Event::End(TagEnd::Heading(_)));
        let end = events[at..].iter().position(ends).map_or(events.len(), |n| at + n);
        let text = plain(&events[at..end]);
        let anchor = unique(&mut seen, slug(&text));
        Heading { level, text, anchor }
    });
    headings.collect()
}

/// Letters and digits in small, a hyphen for each blank, and nothing of the rest.
fn slug(heading: &str) -> String {
    let kept = heading.trim().chars().filter_map(|c| match c {
        c if c.is_alphanumeric() || c == '_' || c == '-' => Some(c.to_lowercase().to_string()),
        c if c.is_whitespace() => Some("-".to_owned()),
        _ => None,
    });
    kept.collect()
}

/// The second heading of the same words is told apart by a number.
fn unique(seen: &mut HashMap<String, usize>, slug: String) -> String {
    let times = seen.entry(slug.clone()).or_insert(0);
    *times += 1;
    if *times == 1 { slug } else { format!("{slug}-{}", *times - 1) }
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
    events(text).into_iter().flat_map(of).collect()
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

/// The first paragraph, if it stands in front of the second heading.
pub(crate) fn opening(text: &str) -> Opening {
    let events = events(text);
    let is = |wanted: fn(&Event<'_>) -> bool| events.iter().position(|(event, _)| wanted(event));
    let Some(start) = is(|event| matches!(event, Event::Start(Tag::Paragraph))) else {
        return Opening::default();
    };
    let before = &events[..start];
    let is_heading = |event: &Event<'_>| matches!(event, Event::Start(Tag::Heading { .. }));
    if before.iter().filter(|(event, _)| is_heading(event)).count() > 1 {
        return Opening::default();
    }
    let of = |end: TagEnd| events.iter().position(|(event, _)| *event == Event::End(end));
    let end = of(TagEnd::Paragraph).unwrap_or(events.len());
    let bold = match events.get(start + 1) {
        Some((Event::Start(Tag::Strong), _)) => of(TagEnd::Strong).unwrap_or(start),
        _ => start,
    };
    Opening { bold: plain(&events[start..bold]), rest: plain(&events[bold..end]).trim().to_owned() }
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
    fn headings_have_the_anchors_that_people_see() {
        let text = "# A *b* `c()`!\n\n## … and d\n\n## E\n\n```\n# none\n```\n\n## E\n";
        let anchors: Vec<_> = headings(text).into_iter().map(|one| one.anchor).collect();
        assert_eq!(anchors, ["a-b-c", "-and-d", "e", "e-1"]);
        assert_eq!((headings(text)[0].level, &*headings(text)[0].text), (1, "A b c()!"));
    }

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

    #[test]
    fn the_opening_is_the_first_paragraph() {
        let of = |text: &str| {
            let opening = opening(text);
            (opening.bold, opening.rest)
        };
        assert_eq!(of("# T\n\n**Why\nso?** So.\n"), ("Why so?".into(), "So.".into()));
        assert_eq!(of("# Why?\n\nSo. **Yes.**\n"), (String::new(), "So. Yes.".into()));
        assert_eq!(of("# Why?\n\n## Late\n\nSo.\n"), (String::new(), String::new()));
    }
}
