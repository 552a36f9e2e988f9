//! How long to wait before the next try.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::limits::{BACKOFF_BASE, BACKOFF_FLOOR, BACKOFF_MAX, BACKOFF_SHARE, STABLE};
use crate::Timestamp;

/// Full jitter: clients that lost the same gateway do not come back in step. While the gateway
/// keeps the session the tries are close together; after that nothing is in a hurry any more, and a
/// gateway that is down is left alone more and more.
#[derive(Clone, Debug)]
pub struct Backoff {
    cap: Duration,
    /// When the last connection was lost, or the first try failed.
    lost_at: Option<Timestamp>,
}

impl Default for Backoff {
    fn default() -> Self {
        Backoff { cap: BACKOFF_BASE, lost_at: None }
    }
}

impl Backoff {
    /// A connection on which the session went on was lost, after so long.
    pub fn lost(&mut self, lasted: Duration) {
        self.lost_at = None;
        if lasted >= STABLE {
            self.cap = BACKOFF_BASE;
        }
    }

    /// Between what the next wait is; each call is a try. `window`: for how long the gateway keeps
    /// the session after it lost the connection.
    pub fn bounds(&mut self, now: Timestamp, window: Duration) -> RangeInclusive<Duration> {
        let lost_at = *self.lost_at.get_or_insert(now);
        let in_time = now.since(lost_at) < window;
        let limit = if in_time { window / BACKOFF_SHARE } else { BACKOFF_MAX };
        let cap = self.cap.min(limit);
        self.cap = cap * 2;
        BACKOFF_FLOOR..=cap.max(BACKOFF_FLOOR)
    }

    /// How long to wait, by chance.
    pub fn next(&mut self, now: Timestamp, window: Duration, chance: u64) -> Duration {
        let bounds = self.bounds(now, window);
        let width = (*bounds.end() - *bounds.start()).as_millis();
        // 0 to width, each as likely as the others.
        let part = ((width + 1) * u128::from(chance)) >> 64;
        *bounds.start() + Duration::from_millis(u64::try_from(part).unwrap_or_default())
    }
}
