//! The circuit breaker in front of the backend: what every event would find out for itself, that
//! nobody can be connected to, is found out once.
//!
//! ```text
//!            cannot connect               time is up
//!   Closed ─────────────────► Open ─────────────────► HalfOpen
//!     ▲                        ▲  ◄──────────────────  │
//!     │ enough answers         │    cannot connect     │ connected
//!     │                        │                       ▼
//!     └──────────────────── Recovering ◄───────────────┘
//! ```

use std::time::{Duration, Instant};

use super::options::{BACK_OFF, MAX_UNREACHABLE};

/// Requests at a time when the backend has just been reached again: one of each lane. Each answer
/// allows one more.
pub(super) const FIRST: usize = 2;

/// Whether requests may go to the backend.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Breaker {
    /// All that there are slots for.
    Closed,
    /// The backend cannot be reached: none until then.
    Open {
        until: Instant,
        /// How long it was waited, before chance: the next wait is twice as long.
        wait: Duration,
    },
    /// One request finds out whether the backend can be reached.
    HalfOpen { wait: Duration, probing: bool },
    /// The backend can be reached again: so many at a time, more with each answer.
    Recovering {
        allowed: usize,
        /// How long it is waited if it is gone again. Once it has answered, as long as the first
        /// time: the longer waits are for a backend that is away, not for a process that a message
        /// crashes and that is back at once.
        next: Duration,
    },
}

/// What the breaker hears.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Input {
    /// Time has passed.
    Tick,
    /// The gateway stops: what waits is tried at once.
    Hurry,
    /// A request goes out.
    Sent,
    /// No connection, for a request that was sent since the breaker last opened.
    Unreachable {
        /// From 0 to 1, by chance: gateways of one backend should not come together.
        draw: f64,
    },
    /// Connected, but there was no answer to a request that was sent since the breaker last opened.
    NoAnswer,
    /// The backend answered, whatever it said.
    Answered,
}

impl Breaker {
    /// What it is after something has happened. `slots` is how many requests there may be.
    pub(super) fn on(self, now: Instant, slots: usize, input: Input) -> Self {
        match (self, input) {
            (Breaker::Open { until, wait }, Input::Tick) if until <= now => {
                Breaker::HalfOpen { wait, probing: false }
            }
            (Breaker::Open { wait, .. }, Input::Hurry) => {
                Breaker::HalfOpen { wait, probing: false }
            }
            (Breaker::HalfOpen { wait, .. }, Input::Sent) => {
                Breaker::HalfOpen { wait, probing: true }
            }
            (Breaker::Closed, Input::Unreachable { draw }) => Self::open(now, BACK_OFF, draw),
            (Breaker::Recovering { next, .. }, Input::Unreachable { draw }) => {
                Self::open(now, next, draw)
            }
            (Breaker::HalfOpen { wait, .. }, Input::Unreachable { draw }) => {
                Self::open(now, longer(wait), draw)
            }
            (Breaker::Open { wait, .. } | Breaker::HalfOpen { wait, .. }, Input::NoAnswer) => {
                Breaker::Recovering { allowed: FIRST, next: longer(wait) }
            }
            (Breaker::Open { .. } | Breaker::HalfOpen { .. }, Input::Answered) => {
                Breaker::Recovering { allowed: FIRST, next: BACK_OFF }
            }
            (Breaker::Recovering { allowed, .. }, Input::Answered) if allowed + 1 >= slots => {
                Breaker::Closed
            }
            (Breaker::Recovering { allowed, .. }, Input::Answered) => {
                Breaker::Recovering { allowed: allowed + 1, next: BACK_OFF }
            }
            (
                Breaker::Closed
                | Breaker::Open { .. }
                | Breaker::HalfOpen { .. }
                | Breaker::Recovering { .. },
                Input::Tick
                | Input::Hurry
                | Input::Sent
                | Input::Unreachable { .. }
                | Input::NoAnswer
                | Input::Answered,
            ) => self,
        }
    }

    fn open(now: Instant, wait: Duration, draw: f64) -> Self {
        Breaker::Open { until: now + wait / 2 + (wait / 2).mul_f64(draw), wait }
    }

    /// When the backend is asked again; `None` if that needs no waiting.
    pub(super) fn until(self) -> Option<Instant> {
        match self {
            Breaker::Open { until, .. } => Some(until),
            Breaker::Closed | Breaker::HalfOpen { .. } | Breaker::Recovering { .. } => None,
        }
    }

    /// Whether the backend was reached when it was last tried.
    pub(super) fn reached(self) -> bool {
        matches!(self, Breaker::Closed | Breaker::Recovering { .. })
    }
}

/// The wait behind one of this length.
fn longer(wait: Duration) -> Duration {
    wait.saturating_mul(2).min(MAX_UNREACHABLE)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLOTS: usize = 4;
    const GONE: Input = Input::Unreachable { draw: 1.0 };

    #[test]
    fn a_backend_that_cannot_be_reached_is_asked_by_one_request_after_growing_waits() {
        let mut now = Instant::now();
        let mut breaker = Breaker::Closed.on(now, SLOTS, GONE);
        let mut waits = Vec::new();
        for _ in 0..10 {
            let until = breaker.until().unwrap();
            assert_eq!(breaker.on(until - Duration::from_nanos(1), SLOTS, Input::Tick), breaker);
            waits.push((until - now).as_millis());
            now = until;
            let half = breaker.on(now, SLOTS, Input::Tick).on(now, SLOTS, Input::Sent);
            assert!(matches!(half, Breaker::HalfOpen { probing: true, .. }), "{half:?}");
            breaker = half.on(now, SLOTS, GONE);
        }
        assert_eq!(waits, [250, 500, 1000, 2000, 4000, 8000, 16000, 30000, 30000, 30000]);
    }

    #[test]
    fn chance_takes_up_to_half_of_a_wait() {
        let now = Instant::now();
        let earliest = Input::Unreachable { draw: 0.0 };
        let open = Breaker::Closed.on(now, SLOTS, earliest);
        assert_eq!(open.until(), Some(now + BACK_OFF / 2));
    }

    #[test]
    fn when_the_probe_connects_more_follow_with_each_answer() {
        let now = Instant::now();
        let half = Breaker::HalfOpen { wait: BACK_OFF, probing: true };
        let mut breaker = half.on(now, SLOTS, Input::Answered);
        for allowed in FIRST..SLOTS - 1 {
            assert_eq!(breaker, Breaker::Recovering { allowed, next: BACK_OFF });
            // A hang is no reason for more, nor to wait.
            assert_eq!(breaker.on(now, SLOTS, Input::NoAnswer), breaker);
            breaker = breaker.on(now, SLOTS, Input::Answered);
        }
        assert_eq!(breaker.on(now, SLOTS, Input::Answered), Breaker::Closed);
    }

    #[test]
    fn a_backend_that_has_answered_and_is_gone_again_is_asked_as_soon_as_the_first_time() {
        let now = Instant::now();
        let long = Duration::from_secs(8);
        let half = Breaker::HalfOpen { wait: long, probing: true };
        let answered = half.on(now, SLOTS, Input::Answered);
        assert_eq!(answered.on(now, SLOTS, GONE).until(), Some(now + BACK_OFF));
        // One that dies of each request has not answered.
        let silent = half.on(now, SLOTS, Input::NoAnswer);
        assert_eq!(silent.on(now, SLOTS, GONE).until(), Some(now + 2 * long));
        let answered = silent.on(now, SLOTS, Input::Answered);
        assert_eq!(answered.on(now, SLOTS, GONE).until(), Some(now + BACK_OFF));
    }
}
