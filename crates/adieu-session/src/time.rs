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
