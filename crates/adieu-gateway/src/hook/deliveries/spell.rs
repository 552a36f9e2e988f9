//! Times in which the backend took nothing.

use std::time::Instant;

use super::options::BACK_OFF;

/// A time in which the backend took nothing of what it was sent, and which is over: what it refused
/// then says nothing of the event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Spell {
    from: Instant,
    until: Instant,
}

/// Finds such times.
#[derive(Debug, Default)]
pub(super) struct Spells {
    /// When the first request was sent that failed since the backend last took an event.
    failing_since: Option<Instant>,
    last: Option<Spell>,
}

impl Spell {
    /// Whether a request of this time was sent within it.
    pub(super) fn covers(self, sent_at: Instant) -> bool {
        self.from <= sent_at && sent_at < self.until
    }
}

impl Spells {
    /// A request failed that says nothing of its event, and nothing was taken since it was sent.
    pub(super) fn failed(&mut self, sent_at: Instant) {
        self.failing_since = Some(self.failing_since.map_or(sent_at, |since| since.min(sent_at)));
    }

    /// The backend took an event. Where it takes some all the time, it also refuses some between
    /// two of them: that alone is no such time.
    pub(super) fn taken(&mut self, now: Instant) {
        let Some(from) = self.failing_since.take() else { return };
        if now >= from + BACK_OFF {
            self.last = Some(Spell { from, until: now });
        }
    }

    /// The last of them.
    pub(super) fn last(&self) -> Option<Spell> {
        self.last
    }
}
