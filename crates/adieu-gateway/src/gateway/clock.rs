//! Two clocks: one for how long something takes, one for what people read.

use std::time::{Duration, Instant, SystemTime};

use crate::session::Timestamp;
use crate::session::time::Skew;

/// The time of deadlines: counts on from when the process started, so that a step of the system's
/// clock (a suspended machine, a correction) ends no session early and makes none last longer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    started_at: Timestamp,
    started: Instant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Clock { started_at: Timestamp::from(SystemTime::now()), started: Instant::now() }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.started_at + self.started.elapsed()
    }

    /// What the system's clock shows: what people are told.
    pub(crate) fn wall() -> Timestamp {
        Timestamp::from(SystemTime::now())
    }

    /// How far the system's clock is ahead of this one, which shows `now`.
    pub(crate) fn skew(now: Timestamp) -> Skew {
        Skew::between(Self::wall(), now)
    }

    /// How long it is until then.
    pub(crate) fn until(&self, at: Timestamp) -> Duration {
        at.since(self.now())
    }
}
