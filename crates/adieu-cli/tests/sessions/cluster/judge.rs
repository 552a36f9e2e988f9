//! What people know against what the backend was told.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use super::people::{Left, Story};
use crate::world::{Backend, Seen};

/// What was wrong, and how often; and what was measured.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Verdict {
    /// Sessions that were not there any more when their person came back.
    pub(super) lost: usize,
    /// Ends that were told of a person who was there afterwards.
    pub(super) false_departures: usize,
    /// Ends that were not told, or twice under two ids.
    pub(super) wrong_ends: usize,
    /// Messages that were acknowledged and never heard.
    pub(super) lost_messages: usize,
    /// Messages of the backend that were taken and never received by who was there to the end.
    pub(super) lost_posts: usize,
    /// Events out of order, with a gap, or behind the end.
    pub(super) out_of_order: usize,
    /// Users who joined or left twice in a row.
    pub(super) wrong_presence: usize,
}

impl Verdict {
    pub(super) fn is_clean(&self) -> bool {
        *self == Verdict::default()
    }
}

/// Judges all of it; each fault is printed.
pub(super) fn judge(
    stories: &[Story],
    posted: &HashMap<String, Vec<String>>,
    backend: &Backend,
) -> Verdict {
    let mut verdict = Verdict::default();
    let told = backend.stories();
    for story in stories {
        let events = told.get(&story.session).map_or(&[][..], |events| events);
        let wrong = |count: &mut usize, what: &str| {
            *count += 1;
            eprintln!("{what}: {story:?}\n{:?}", types(events));
        };
        if story.left == Left::Lost {
            wrong(&mut verdict.lost, "a session was lost");
            continue;
        }
        let ends: Vec<_> = events.iter().filter(|seen| seen.r#type == "session.ended").collect();
        match ends[..] {
            [end] if end.at < story.at && story.left != Left::WithItsNode => {
                wrong(&mut verdict.false_departures, "it was told as ended before it was");
            }
            [_] => {}
            _ => wrong(&mut verdict.wrong_ends, "it was not told once as ended"),
        }
        let heard: Vec<_> =
            events.iter().filter(|seen| seen.r#type == "message").map(Seen::text).collect();
        if heard.len() < story.acknowledged {
            wrong(&mut verdict.lost_messages, "acknowledged and not heard");
        } else if heard.len() > story.said.len() || heard[..] != story.said[..heard.len()] {
            wrong(&mut verdict.out_of_order, "heard in another order");
        }
        let numbers = events.iter().map(|seen| seen.sequence);
        let gapless = numbers.eq((1..=events.len() as u64).map(Some));
        let last = events.last().is_none_or(|seen| seen.r#type == "session.ended");
        if !gapless || !last {
            wrong(&mut verdict.out_of_order, "not in the order of the numbers");
        }
        let sent = posted.get(&story.session).map_or(&[][..], |sent| sent);
        // Each text once and in order, without those that were not answered.
        let mut received = story.received.iter();
        let missing = sent.iter().filter(|text| !received.any(|came| came == *text)).count();
        if story.left == Left::Goodbye && missing > 0 && story.at_the_end() {
            wrong(&mut verdict.lost_posts, "taken and not received");
        }
    }
    verdict.wrong_presence = presence(backend);
    verdict
}

impl Story {
    /// Whether the person waited for all that it was sent.
    fn at_the_end(&self) -> bool {
        self.reason.as_deref() == Some("the end")
    }
}

fn types(events: &[Seen]) -> Vec<(Option<u64>, &str, &str)> {
    events.iter().map(|seen| (seen.sequence, &*seen.r#type, &*seen.id)).collect()
}

/// Users who joined or left twice in a row.
fn presence(backend: &Backend) -> usize {
    let mut here: BTreeMap<String, bool> = BTreeMap::new();
    let mut wrong = 0;
    for seen in backend.seen() {
        let (Some(user), joined) = (seen.user.clone(), seen.r#type == "user.joined") else {
            continue;
        };
        if !joined && seen.r#type != "user.left" {
            continue;
        }
        let before = here.insert(user.clone(), joined).unwrap_or(false);
        if before == joined {
            eprintln!("{user}: {} twice in a row", seen.r#type);
            wrong += 1;
        }
    }
    wrong + here.values().filter(|here| **here).count()
}

/// Whether each of these sessions is told as ended.
pub(super) fn all_ended(stories: &[Story], backend: &Backend) -> bool {
    let ended = backend.ended();
    let mut known: HashSet<&str> = HashSet::new();
    known.extend(stories.iter().map(|story| &*story.session));
    known.into_iter().all(|session| ended.contains(session))
}

/// How long it took until those were told as ended who did not come back from the death of their
/// node.
pub(super) fn after_a_death(stories: &[Story], backend: &Backend) -> Vec<Duration> {
    let told = backend.stories();
    let of = |story: &Story| {
        let events = told.get(&story.session)?;
        let end = events.iter().find(|seen| seen.r#type == "session.ended")?;
        Some(end.at.saturating_duration_since(story.at))
    };
    stories.iter().filter(|story| story.left == Left::WithItsNode).filter_map(of).collect()
}
