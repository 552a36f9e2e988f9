//! Liveness (RFC 6455 §5.5.2): a Ping after silence, and a deadline for any byte in answer.

use std::time::{Duration, Instant};

use crate::timer::{Timer, Timers};

/// Whether the peer owes us a sign of life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Heartbeat {
    /// The version has no Ping, or Pings are switched off.
    Off,
    /// Heard from; `since` is when.
    Quiet { since: Instant },
    /// A Ping is queued and has not left, so its deadline has not begun: it ends where so many
    /// bytes have left.
    Leaving { end: u64 },
    /// A Ping has left.
    Asked,
}

impl Heartbeat {
    pub(crate) fn start(interval: Option<Duration>, now: Instant, timers: &mut Timers) -> Self {
        match interval {
            None => Heartbeat::Off,
            Some(interval) => {
                timers.set(Timer::Ping, now + interval);
                Heartbeat::Quiet { since: now }
            }
        }
    }

    /// Any byte is life. The clock is not touched: [`ping_due`](Self::ping_due) looks at `since`.
    pub(crate) fn heard(&mut self, now: Instant, interval: Option<Duration>, timers: &mut Timers) {
        match self {
            Heartbeat::Off => {}
            Heartbeat::Quiet { since } => *since = now,
            Heartbeat::Leaving { .. } | Heartbeat::Asked => {
                timers.stop(Timer::Pong);
                *self = Heartbeat::start(interval, now, timers);
            }
        }
    }

    /// Nothing can be heard for now, for want of reading: the peer is not to blame. Pings go on,
    /// for a write may meet its RST.
    pub(crate) fn excuse(&mut self, now: Instant, interval: Option<Duration>, timers: &mut Timers) {
        if matches!(self, Heartbeat::Leaving { .. } | Heartbeat::Asked) {
            self.heard(now, interval, timers);
        }
    }

    /// The ping clock ran out: whether a Ping is due now, or the clock was set on.
    pub(crate) fn ping_due(
        &mut self,
        now: Instant,
        interval: Option<Duration>,
        timers: &mut Timers,
    ) -> bool {
        let (Heartbeat::Quiet { since }, Some(interval)) = (*self, interval) else {
            return false;
        };
        if since + interval > now {
            timers.set(Timer::Ping, since + interval);
            return false;
        }
        true
    }

    /// The Ping is queued, and `end` is where it ends in all that was ever queued.
    pub(crate) fn leaving(&mut self, end: u64) {
        *self = Heartbeat::Leaving { end };
    }

    /// So many bytes have ever left. With the Ping's last byte the peer's time begins, though
    /// there may be output behind it: true when that is now.
    pub(crate) fn left(&mut self, gone: u64) -> bool {
        let left = matches!(self, Heartbeat::Leaving { end } if *end <= gone);
        if left {
            *self = Heartbeat::Asked;
        }
        left
    }

    pub(crate) fn stop(&mut self, timers: &mut Timers) {
        timers.stop(Timer::Ping);
        timers.stop(Timer::Pong);
        *self = Heartbeat::Off;
    }
}
