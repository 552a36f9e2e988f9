//! Does the peer answer? A Ping asks for a Pong, our Close for the peer's Close, our FIN for the
//! peer's FIN. The peer's time runs from when its kernel has acknowledged the question, or, where
//! acknowledgements are unknown, from when the question left. After that nothing that the peer's
//! kernel acknowledges moves the deadline: a frozen peer's kernel acknowledges as well as any.

use std::time::{Duration, Instant};

use crate::config::defaults::READS_IN_SILENCE;
use crate::liveness::{Movement, Verdict};

/// A question that has left and was not answered yet.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Question {
    left: Instant,
    /// It is acknowledged when so many bytes are; `None` before the first look.
    end: Option<u64>,
    /// When it was acknowledged.
    acked: Option<Instant>,
    /// A peer whose window grows reads without a word, and has not come to the question yet: the
    /// deadline is moved to here at most.
    until: Instant,
}

impl Question {
    pub(crate) fn new(now: Instant) -> Self {
        Question { left: now, end: None, acked: None, until: now }
    }

    /// Judges the time to answer. `stalls`: how long the question itself may wait unacknowledged,
    /// where the peer's kernel answers window probes; `None` if another clock watches over that.
    pub(crate) fn judge(
        &mut self,
        now: Instant,
        length: Duration,
        stalls: Option<Duration>,
        movement: &Movement,
    ) -> Verdict {
        let Some(evidence) = movement.evidence() else {
            return verdict(now, self.left + length, length);
        };
        let length = length.max(4 * evidence.rto);
        if self.acked.is_none() {
            let end = *self.end.get_or_insert(evidence.acked + evidence.outstanding);
            if evidence.outstanding > 0 && evidence.acked < end {
                return self.unacknowledged(now, length, stalls, movement);
            }
            let acked = now.checked_sub(evidence.last_ack).unwrap_or(now).max(self.left);
            self.acked = Some(acked);
            self.until = acked + length;
        }
        let acked = self.acked.unwrap_or(self.left);
        if movement.window_grew() {
            self.until = self.until.max((now + length).min(acked + length + READS_IN_SILENCE));
        }
        verdict(now, self.until, length)
    }

    fn unacknowledged(
        &self,
        now: Instant,
        length: Duration,
        stalls: Option<Duration>,
        movement: &Movement,
    ) -> Verdict {
        let stall = movement.stall(self.left, now);
        if stall >= length && movement.is_silent(stall, now) {
            return Verdict::Silent;
        }
        match stalls {
            Some(most) if stall >= most.max(length) => Verdict::Stalled,
            _ => Verdict::Wait(now + length / 4),
        }
    }
}

/// Looks are close enough to see when the question is acknowledged and when the window grows.
fn verdict(now: Instant, until: Instant, length: Duration) -> Verdict {
    if until <= now { Verdict::Stalled } else { Verdict::Wait(until.min(now + length / 4)) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, reason = "a test needs a time to begin with")]

    use super::*;
    use crate::liveness::Evidence;

    const MILLI: Duration = Duration::from_millis(1);
    const LENGTH: u32 = 4000;

    /// Asks at time 0 with 4 s to answer; `kernel` gives acked, outstanding, milliseconds since the
    /// last segment, and the window. Gives when the time was up, in milliseconds.
    fn run(stalls: Option<u32>, kernel: impl Fn(u32) -> (u64, u64, u32, u32)) -> (u32, Verdict) {
        let start = Instant::now();
        let mut movement = Movement::new(start);
        movement.gives_evidence();
        let mut question = Question::new(start);
        let mut at = LENGTH / 4;
        while at < 200_000 {
            let now = start + at * MILLI;
            let (acked, outstanding, quiet, window) = kernel(at);
            let (last_ack, window) = (quiet * MILLI, Some(window));
            let (rto, round_trip, last_sent) = (200 * MILLI, MILLI, last_ack);
            movement.look(
                now,
                Evidence {
                    acked,
                    outstanding,
                    unsent: 0,
                    last_ack,
                    last_sent,
                    window,
                    rto,
                    round_trip,
                },
            );
            match question.judge(now, LENGTH * MILLI, stalls.map(|s| s * MILLI), &movement) {
                Verdict::Wait(next) => at = (next - start).as_millis() as u32,
                verdict => return (at, verdict),
            }
        }
        (at, Verdict::Done)
    }

    #[test]
    fn a_frozen_peer_is_seen_though_its_kernel_acknowledges_more_and_more() {
        let (at, verdict) = run(None, |at| (u64::from(at), 0, 0, 60_000 - at.min(50_000)));
        assert_eq!(verdict, Verdict::Stalled);
        assert!((LENGTH..=LENGTH * 5 / 4 + 1).contains(&at), "{at}");
    }

    #[test]
    fn a_peer_that_reads_in_silence_has_ten_seconds_more_in_all() {
        let (at, verdict) = run(None, |at| (1000, 0, 0, at));
        assert_eq!(verdict, Verdict::Stalled);
        let most = LENGTH + READS_IN_SILENCE.as_millis() as u32;
        assert!((most..=most + LENGTH / 2).contains(&at), "{at}");
    }

    #[test]
    fn a_question_behind_much_output_waits_until_it_is_acknowledged() {
        // 100 bytes a second move; the question ends at byte 3000.
        let (at, verdict) = run(Some(6000), |at| {
            let acked = u64::from(at / 10);
            (acked.min(3000), 3000u64.saturating_sub(acked), 0, 10)
        });
        assert_eq!(verdict, Verdict::Stalled);
        assert!((30_000 + LENGTH..=30_000 + LENGTH * 2).contains(&at), "{at}");
    }

    #[test]
    fn a_peer_that_is_gone_is_silent() {
        let (at, verdict) = run(None, |at| (1000, 2, at, 10));
        assert_eq!((at, verdict), (LENGTH, Verdict::Silent));
    }

    #[test]
    fn a_peer_with_a_closed_window_is_left_to_the_clock_over_output() {
        assert_eq!(run(None, |_| (1000, 2, 0, 0)).1, Verdict::Done);
        // At the end no other clock runs.
        let (at, verdict) = run(Some(6000), |_| (1000, 2, 0, 0));
        assert_eq!(verdict, Verdict::Stalled);
        assert!((6000..=8000).contains(&at), "{at}");
    }
}
