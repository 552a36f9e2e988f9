//! Time that can be written down.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// Milliseconds since 1970-01-01 UTC: deadlines outlive the process, a monotonic clock does not.
///
/// ```
/// use std::time::Duration;
/// use adieu_session::Timestamp;
/// assert_eq!(Timestamp(1_000) + Duration::from_secs(2), Timestamp(3_000));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub u64);

impl std::ops::Add<Duration> for Timestamp {
    type Output = Timestamp;

    fn add(self, length: Duration) -> Timestamp {
        Timestamp(self.0.saturating_add(u64::try_from(length.as_millis()).unwrap_or(u64::MAX)))
    }
}

impl From<SystemTime> for Timestamp {
    /// 0 for a time before 1970.
    fn from(time: SystemTime) -> Self {
        Timestamp(0) + time.duration_since(UNIX_EPOCH).unwrap_or_default()
    }
}

impl Timestamp {
    /// How long it is since an earlier one; nothing if that is later.
    #[must_use]
    pub fn since(self, earlier: Timestamp) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// How far the clock that people read is ahead of the one that deadlines are counted on. The latter
/// goes on evenly from when the process started; a suspended machine, or a clock that is set, moves
/// only the former.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Skew(i64);

impl Skew {
    /// Of two looks at the same moment.
    #[must_use]
    pub fn between(wall: Timestamp, now: Timestamp) -> Self {
        Skew(i64::try_from(i128::from(wall.0) - i128::from(now.0)).unwrap_or_default())
    }

    /// What people read at this time of the deadlines' clock.
    #[must_use]
    pub fn shown(self, at: Timestamp) -> Timestamp {
        Timestamp(at.0.saturating_add_signed(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_follows_the_clock_that_people_read() {
        let (now, hour) = (Timestamp(5_000_000), Duration::from_secs(3600));
        let suspended = Skew::between(now + hour, now);
        assert_eq!(suspended.shown(now), now + hour);
        let set_back = Skew::between(Timestamp(1_000), now);
        assert_eq!(set_back.shown(now), Timestamp(1_000));
        assert_eq!(set_back.shown(Timestamp(0)), Timestamp(0));
        assert_eq!(Skew::default().shown(now), now);
    }
}
