//! How a document begins, and what in it can be linked to.

use std::collections::HashMap;
use std::ops::Range;

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

/// A heading, and the anchor that GitHub and mdBook give it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Heading {
    pub(crate) level: usize,
    pub(crate) text: String,
    pub(crate) anchor: String,
}

/// How a document begins: its first paragraph, cut behind what stands in bold at its beginning.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Opening {
    pub(crate) bold: String,
    pub(crate) rest: String,
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

#[test]
fn headings_have_the_anchors_that_people_see() {
    let text = "# A *b* `c()`!\n\n## … and d\n\n## E\n\n```\n# none\n```\n\n## E\n";
    let anchors: Vec<_> = headings(text).into_iter().map(|one| one.anchor).collect();
    assert_eq!(anchors, ["a-b-c", "-and-d", "e", "e-1"]);
    assert_eq!((headings(text)[0].level, &*headings(text)[0].text), (1, "A b c()!"));
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
