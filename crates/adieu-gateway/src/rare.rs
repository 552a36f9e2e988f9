//! Log lines that strangers bring about: one of a kind now and then, so that they fill no disk.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Between two lines of a kind.
const EVERY: Duration = Duration::from_secs(10);

/// Bytes of what a stranger wrote, in a log line and in an answer.
const MOST: usize = 200;

/// When a kind of line was last written.
#[derive(Debug, Default)]
pub(crate) struct Rare(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    last: Option<Instant>,
    left_out: u64,
}

impl Rare {
    /// None was written yet.
    #[cfg(unix)]
    pub(crate) const fn new() -> Self {
        Rare(Mutex::new(State { last: None, left_out: 0 }))
    }

    /// Whether a line is due; then how many were left out since the one before.
    pub(crate) fn due(&self) -> Option<u64> {
        self.due_at(Instant::now())
    }

    fn due_at(&self, now: Instant) -> Option<u64> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.last.is_some_and(|last| now.saturating_duration_since(last) < EVERY) {
            state.left_out += 1;
            return None;
        }
        state.last = Some(now);
        Some(std::mem::take(&mut state.left_out))
    }
}

/// What a stranger wrote, so that it can be shown: printable ASCII, and not much of it.
pub(crate) fn shown(text: &str) -> String {
    let mut shown = String::new();
    for part in text.chars().map(char::escape_default) {
        if shown.len() + part.len() > MOST {
            shown.push_str("...");
            break;
        }
        shown.extend(part);
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_due_again_after_a_while_and_says_how_many_were_left_out() {
        let (rare, now) = (Rare::default(), Instant::now());
        assert_eq!(rare.due_at(now), Some(0));
        assert_eq!(rare.due_at(now), None);
        assert_eq!(rare.due_at(now + EVERY / 2), None);
        assert_eq!(rare.due_at(now + EVERY), Some(2));
        assert_eq!(rare.due_at(now + EVERY * 2), Some(0));
    }

    #[test]
    fn what_a_stranger_wrote_is_escaped_and_cut() {
        assert_eq!(shown("https://a\u{1b}[2J\n\"é"), r#"https://a\u{1b}[2J\n\"\u{e9}"#);
        let long = shown(&"\u{1b}".repeat(1_000));
        assert!(long.len() <= MOST + 3 && long.ends_with("}..."), "{long}");
    }
}
