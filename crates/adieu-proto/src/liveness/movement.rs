//! Does the peer's kernel take our bytes? Judged by what it acknowledges, where the transport
//! gives evidence of that; otherwise by what the transport takes.

use std::time::{Duration, Instant};

use crate::liveness::Evidence;

/// A kernel that acknowledges nothing for so long while bytes are under way is not there, or
/// cannot be reached. One that is there and has no room answers window probes, each after twice
/// the time of the one before.
const SILENT_AFTER: Duration = Duration::from_millis(2_500);

/// How a clock may run out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Not yet: look again at this time.
    Wait(Instant),
    /// Nothing waits any more.
    Done,
    /// The peer's kernel answers, but our bytes do not move or the answer does not come.
    Stalled,
    /// The peer's kernel acknowledges nothing of what is under way.
    Silent,
}

/// When our bytes last moved.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Movement {
    /// Whether the transport gives evidence: known with the first look.
    has_evidence: bool,
    /// When our bytes last moved, or began to wait.
    moved: Instant,
    /// The last look. Few connections come to one, so it is allocated then.
    last: Option<Box<Look>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Look {
    at: Instant,
    evidence: Evidence,
    /// Whether the peer's window was larger than at the look before.
    window_grew: bool,
}

impl Movement {
    pub(crate) fn new(now: Instant) -> Self {
        Movement { has_evidence: false, moved: now, last: None }
    }

    /// From now on evidence is given before each time-out.
    pub(crate) fn gives_evidence(&mut self) {
        self.has_evidence = true;
    }

    pub(crate) fn has_evidence(&self) -> bool {
        self.has_evidence
    }

    /// Something begins to wait, or the transport has taken something.
    pub(crate) fn moves(&mut self, now: Instant) {
        self.moved = now;
    }

    /// What the transport knows now.
    pub(crate) fn look(&mut self, now: Instant, evidence: Evidence) {
        let before = self.last.as_deref().map(|look| look.evidence);
        if before.is_none_or(|before| evidence.acked > before.acked) {
            let moved = now.checked_sub(evidence.quiet()).unwrap_or(self.moved);
            self.moved = self.moved.max(moved);
        }
        let window_grew = before.is_some_and(|before| evidence.window_grew(&before));
        self.last = Some(Box::new(Look { at: now, evidence, window_grew }));
    }

    /// What the last look showed.
    pub(crate) fn evidence(&self) -> Option<&Evidence> {
        self.last.as_deref().filter(|_| self.has_evidence).map(|look| &look.evidence)
    }

    /// Whether the peer's window was larger at the last look than at the one before.
    pub(crate) fn window_grew(&self) -> bool {
        self.last.as_deref().is_some_and(|look| look.window_grew)
    }

    pub(crate) fn round_trip(&self) -> Option<Duration> {
        self.evidence().map(|last| last.round_trip).filter(|rtt| !rtt.is_zero())
    }

    /// How long nothing has moved that waits since `since` at the latest.
    pub(crate) fn stall(&self, since: Instant, now: Instant) -> Duration {
        now.saturating_duration_since(self.moved.max(since))
    }

    /// Whether the peer's kernel has acknowledged nothing for the most part of a stall, though
    /// bytes are under way.
    pub(crate) fn is_silent(&self, stall: Duration, now: Instant) -> bool {
        let Some(look) = self.last.as_deref().filter(|_| self.has_evidence) else { return false };
        let quiet = look.evidence.last_ack + now.saturating_duration_since(look.at);
        let long_enough = SILENT_AFTER.max(4 * look.evidence.rto);
        // Window probes are answered at intervals that double: one of the last half of the stall.
        look.evidence.outstanding > 0 && stall >= long_enough && quiet >= stall.mul_f32(0.75)
    }

    /// Judges a clock of this length over bytes that wait. `waits`: whether any wait in front of
    /// the transport. `at_end`: a silent peer is let go of as soon as that is sure.
    pub(crate) fn judge(
        &self,
        now: Instant,
        length: Duration,
        waits: bool,
        at_end: bool,
    ) -> Verdict {
        let stall = self.stall(self.moved, now);
        let Some(evidence) = self.evidence() else {
            if !waits {
                return Verdict::Done;
            }
            return if stall >= length { Verdict::Stalled } else { wait(now, length - stall) };
        };
        if !waits && evidence.outstanding == 0 {
            return Verdict::Done;
        }
        // A time-out below a few retransmissions would blame the peer for one lost segment.
        let length = length.max(4 * evidence.rto);
        let silent = self.is_silent(stall, now);
        if stall >= length || (silent && at_end) {
            return if silent { Verdict::Silent } else { Verdict::Stalled };
        }
        // Looks are close enough to know when the bytes moved last.
        wait(now, (length - stall).min(length / 4))
    }
}

/// Not yet. A clock that is switched off is never judged, so there is such a time; if the
/// arithmetic says otherwise, an early look does no harm.
fn wait(now: Instant, length: Duration) -> Verdict {
    Verdict::Wait(now.checked_add(length).unwrap_or(now + SILENT_AFTER))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, reason = "a test needs a time to begin with")]

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn evidence(acked: u64, outstanding: u64, last_ack: Duration) -> Evidence {
        let rto = Duration::from_millis(200);
        let (last_sent, round_trip) = (last_ack, SECOND / 1000);
        let (unsent, window) = (0, None);
        Evidence { acked, outstanding, unsent, last_ack, last_sent, window, rto, round_trip }
    }

    /// Lets a clock of 8 s run from time 0; `kernel` tells what the kernel knows at a time. Gives
    /// when it ran out for good, in milliseconds, and how.
    fn run(at_end: bool, kernel: impl Fn(Duration) -> Evidence) -> (u128, Verdict) {
        let start = Instant::now();
        let mut movement = Movement::new(start);
        movement.gives_evidence();
        let mut now = start + 2 * SECOND;
        while now - start < 1000 * SECOND {
            movement.look(now, kernel(now - start));
            match movement.judge(now, 8 * SECOND, true, at_end) {
                Verdict::Wait(at) => {
                    assert!(at > now && at <= now + 2 * SECOND);
                    now = at;
                }
                verdict => return ((now - start).as_millis(), verdict),
            }
        }
        (u128::MAX, Verdict::Done)
    }

    #[test]
    fn a_peer_that_does_not_read_is_stalled_though_its_kernel_answers_probes() {
        for at_end in [false, true] {
            // Probes are answered, each after twice the time of the one before.
            let probes = |at: Duration| {
                let mut answered = Duration::from_millis(200);
                while 2 * answered <= at {
                    answered *= 2;
                }
                evidence(1000, 5000, at - answered)
            };
            let (at, verdict) = run(at_end, probes);
            assert_eq!(verdict, Verdict::Stalled);
            assert!((8000..=12_000).contains(&at), "{at}");
        }
    }

    #[test]
    fn answered_window_probes_lengthen_no_clock() {
        // The window closed before the clock began; at each look a probe was answered just now.
        let probed = |at: Duration| Evidence {
            unsent: 4000,
            last_sent: at + SECOND,
            ..evidence(1000, 5000, SECOND / 10)
        };
        assert_eq!(run(true, probed), (8000, Verdict::Stalled));
    }

    #[test]
    fn a_vanished_peer_is_silent_and_at_the_end_that_is_seen_early() {
        assert_eq!(run(false, |at| evidence(1000, 5000, at)), (8000, Verdict::Silent));
        assert_eq!(run(true, |at| evidence(1000, 5000, at)), (4000, Verdict::Silent));
    }

    #[test]
    fn a_slow_reader_is_never_given_up() {
        // Five seconds pass between two acknowledgements.
        let kernel = |at: Duration| {
            let step = at.as_secs() / 5;
            evidence(step, 5000, at - Duration::from_secs(5 * step))
        };
        assert_eq!(run(false, kernel), (u128::MAX, Verdict::Done));
    }

    #[test]
    fn what_has_all_been_acknowledged_waits_for_nothing() {
        let now = Instant::now();
        let mut movement = Movement::new(now);
        movement.gives_evidence();
        movement.look(now + 100 * SECOND, evidence(1000, 0, SECOND));
        let at = now + 100 * SECOND;
        assert_eq!(movement.judge(at, SECOND, false, false), Verdict::Done);
    }

    #[test]
    fn without_evidence_the_clock_is_flat() {
        let now = Instant::now();
        let movement = Movement::new(now);
        let judge =
            |seconds: u32, waits| movement.judge(now + seconds * SECOND, 4 * SECOND, waits, false);
        assert_eq!(judge(3, true), Verdict::Wait(now + 4 * SECOND));
        assert_eq!(judge(4, true), Verdict::Stalled);
        assert_eq!(judge(4, false), Verdict::Done);
    }
}
