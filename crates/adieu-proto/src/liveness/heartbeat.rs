//! Liveness (RFC 6455 §5.5.2): a Ping after silence, and a deadline for any byte in answer.

use std::time::{Duration, Instant};

use crate::timer::{Timer, Timers};

/// Whether the peer owes us a sign of life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Heartbeat {
    /// The version has no Ping, or Pings are switched off.
    Off,
    /// The peer was heard from; `since` is when.
    Quiet { since: Instant },
    /// A Ping waits to leave, so its deadline has not begun.
    Leaving,
    /// A Ping has left.
    Asked,
}

impl Heartbeat {
    pub(crate) fn start(interval: Option<Duration>, now: Instant, timers: &mut Timers) -> Self {
        match interval.and_then(|interval| now.checked_add(interval)) {
            None => Heartbeat::Off,
            Some(at) => {
                timers.set(Timer::Ping, Some(at));
                Heartbeat::Quiet { since: now }
            }
        }
    }

    /// Any byte is life. The clock is not touched: [`ping_due`](Self::ping_due) looks at `since`.
    #[inline]
    pub(crate) fn heard(&mut self, now: Instant, interval: Option<Duration>, timers: &mut Timers) {
        match self {
            Heartbeat::Off => {}
            Heartbeat::Quiet { since } => *since = now,
            Heartbeat::Leaving | Heartbeat::Asked => {
                timers.stop(Timer::Pong);
                *self = Heartbeat::start(interval, now, timers);
            }
        }
    }

    /// Nothing can be heard for now, for want of reading: the peer is not to blame. Pings go on,
    /// for a write may meet its RST.
    pub(crate) fn excuse(&mut self, now: Instant, interval: Option<Duration>, timers: &mut Timers) {
        if matches!(self, Heartbeat::Leaving | Heartbeat::Asked) {
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
        let due = since.checked_add(interval);
        if due.is_none_or(|due| due > now) {
            timers.set(Timer::Ping, due);
            return false;
        }
        *self = Heartbeat::Leaving;
        true
    }

    /// Whether a Ping waits to leave.
    #[inline]
    pub(crate) fn is_leaving(&self) -> bool {
        matches!(self, Heartbeat::Leaving)
    }

    /// Whether a Ping has left and was not answered.
    #[inline]
    pub(crate) fn is_asked(&self) -> bool {
        matches!(self, Heartbeat::Asked)
    }

    /// The Ping has left: with its last byte the peer's time begins.
    pub(crate) fn left(&mut self) {
        *self = Heartbeat::Asked;
    }

    pub(crate) fn stop(&mut self, timers: &mut Timers) {
        timers.stop(Timer::Ping);
        timers.stop(Timer::Pong);
        *self = Heartbeat::Off;
    }
}
