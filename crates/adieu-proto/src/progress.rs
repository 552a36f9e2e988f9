//! Whether our bytes still get through: judged by what the peer's kernel acknowledges, where the
//! operating system tells.

use std::time::{Duration, Instant};

use crate::config::defaults;
use crate::timer::{Timer, Timers};

/// What the operating system knows of bytes that left (on Linux: TCP_INFO and SIOCOUTQ).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Delivery {
    /// Bytes that the peer's kernel has acknowledged, in all.
    pub acked: u64,
    /// Bytes that the kernel holds: not sent, or sent and not acknowledged.
    pub outstanding: u64,
    /// Since the peer's kernel last acknowledged anything, a window probe included.
    pub last_heard: Duration,
    /// Bytes that the peer's kernel has room for; `None` where that is not told.
    pub room: Option<u32>,
    /// The retransmission time-out that the round trip asks for, without back-off.
    pub rto: Duration,
    /// Smoothed round-trip time.
    pub round_trip: Duration,
}

/// How a clock that watches over progress may run out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// There was progress, or its first measure is taken: the clock was set on.
    GoesOn,
    /// The peer's kernel answers, but our bytes, or its own words, do not come.
    Stalled,
    /// The peer's kernel acknowledges nothing of what is under way.
    Silent,
}

/// When our bytes last moved.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Progress {
    /// Whether the operating system tells.
    told: bool,
    /// The last sign of progress since the running clock was started.
    since: Instant,
    /// Bytes acknowledged when last looked, and since when that many; `None` before the first
    /// look of the running clock.
    acked: Option<(u64, Instant)>,
    /// Known from the first clock on that ran out: few connections come to that.
    last: Option<Box<Delivery>>,
}

impl Progress {
    pub(crate) fn new(now: Instant) -> Self {
        Progress { told: false, since: now, acked: None, last: None }
    }

    /// From now on the driver gives a [`Delivery`] before each time-out.
    pub(crate) fn is_told(&mut self) {
        self.told = true;
    }

    pub(crate) fn told(&self) -> bool {
        self.told
    }

    pub(crate) fn round_trip(&self) -> Option<Duration> {
        self.last.as_ref().map(|last| last.round_trip).filter(|rtt| !rtt.is_zero())
    }

    /// Starts a clock. Where the operating system tells, it first stops early to look where
    /// things stand.
    pub(crate) fn start(&mut self, timer: Timer, length: Duration, now: Instant, t: &mut Timers) {
        self.since = now;
        self.acked = None;
        t.set(timer, now + if self.told { length / 4 } else { length });
    }

    /// What the operating system knows now.
    pub(crate) fn look(&mut self, now: Instant, delivery: Delivery) {
        let heard = now.checked_sub(delivery.last_heard).unwrap_or(now);
        match &mut self.acked {
            // What was acknowledged before the first look is not known: the benefit of the doubt.
            None => {
                self.acked = Some((delivery.acked, heard.max(self.since)));
                self.since = self.since.max(heard);
            }
            Some((acked, at)) if delivery.acked > *acked => {
                (*acked, *at) = (delivery.acked, heard);
                self.since = self.since.max(heard);
            }
            // All is acknowledged and the peer makes room: it reads, for a while without a word.
            Some((_, at))
                if delivery.outstanding == 0 && made_room(self.last.as_deref(), delivery) =>
            {
                self.since = self.since.max(heard.min(*at + defaults::READS_IN_SILENCE));
            }
            Some(_) => {}
        }
        self.last = Some(Box::new(delivery));
    }

    /// The length of a clock that ran out: while bytes are under way it is not shorter than what
    /// is waited for the next of them to be acknowledged. A slow reader owes its answer when it
    /// has come to our Close.
    pub(crate) fn patience(&self, length: Duration, under_way: Duration) -> Duration {
        let waiting = self.told && self.last.as_ref().is_some_and(|last| last.outstanding > 0);
        if waiting { length.max(under_way) } else { length }
    }

    /// A clock ran out: whether it is for good.
    pub(crate) fn judge(
        &self,
        timer: Timer,
        length: Duration,
        now: Instant,
        timers: &mut Timers,
    ) -> Verdict {
        let Some(last) = self.last.as_ref().filter(|_| self.told) else { return Verdict::Stalled };
        // A time-out below a few retransmissions would blame the peer for one lost segment.
        let length = length.max(4 * last.rto);
        if self.since + length > now {
            timers.set(timer, self.since + length);
            return Verdict::GoesOn;
        }
        // A kernel that is there answers window probes; one that is gone does not.
        let quiet = last.last_heard >= length.mul_f32(0.75);
        if last.outstanding > 0 && quiet { Verdict::Silent } else { Verdict::Stalled }
    }
}

/// Whether what was heard since the last look may mean that the peer has read. One that goes on
/// sending is heard with each segment, and need not have read for that.
fn made_room(last: Option<&Delivery>, now: Delivery) -> bool {
    match (last.and_then(|last| last.room), now.room) {
        (Some(before), Some(room)) => room > before,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, reason = "a test needs a time to begin with")]

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn delivery(acked: u64, outstanding: u64, last_heard: Duration) -> Delivery {
        let rto = Duration::from_millis(200);
        Delivery { acked, outstanding, last_heard, room: None, rto, round_trip: SECOND / 1000 }
    }

    /// Lets a clock of 4 s run from time 0; `kernel` tells what the kernel knows at each second.
    /// Gives when it ran out for good, and how.
    fn run(kernel: impl Fn(u32) -> Delivery) -> (u32, Verdict) {
        let start = Instant::now();
        let (mut progress, mut timers) = (Progress::new(start), Timers::default());
        progress.is_told();
        progress.start(Timer::Flush, 4 * SECOND, start, &mut timers);
        for second in 1..1000 {
            let now = start + second * SECOND;
            if timers.expired(now).is_some() {
                progress.look(now, kernel(second));
                match progress.judge(Timer::Flush, 4 * SECOND, now, &mut timers) {
                    Verdict::GoesOn => {}
                    verdict => return (second, verdict),
                }
            }
        }
        (1000, Verdict::GoesOn)
    }

    #[test]
    fn a_frozen_peer_is_given_up_though_its_kernel_answers_probes() {
        let (at, verdict) = run(|_| delivery(1000, 5000, SECOND / 10));
        assert_eq!(verdict, Verdict::Stalled);
        assert!((4..=5).contains(&at), "{at}");
    }

    #[test]
    fn a_vanished_peer_is_told_from_a_frozen_one() {
        let (at, verdict) = run(|second| delivery(1000, 5000, second * SECOND));
        assert_eq!((at, verdict), (4, Verdict::Silent));
    }

    #[test]
    fn a_slow_reader_is_never_given_up() {
        let kernel = |second: u32| delivery(u64::from(second / 3), 5000, (second % 3) * SECOND);
        assert_eq!(run(kernel), (1000, Verdict::GoesOn));
    }

    #[test]
    fn a_short_clock_waits_for_bytes_under_way() {
        let now = Instant::now();
        let mut progress = Progress::new(now);
        progress.is_told();
        progress.look(now, delivery(1000, 1, SECOND));
        assert_eq!(progress.patience(2 * SECOND, 3 * SECOND), 3 * SECOND);
        assert_eq!(progress.patience(4 * SECOND, 3 * SECOND), 4 * SECOND);
        progress.look(now, delivery(1001, 0, SECOND));
        assert_eq!(progress.patience(2 * SECOND, 3 * SECOND), 2 * SECOND);
    }

    #[test]
    fn one_that_only_makes_room_is_given_up_in_the_end() {
        let heard = delivery(1000, 0, Duration::ZERO);
        let most = defaults::READS_IN_SILENCE.as_secs() as u32 + 4 + 2;
        // Whether its room is told or not.
        for (at, verdict) in
            [run(|_| heard), run(|second| Delivery { room: Some(1000 * second), ..heard })]
        {
            assert_eq!(verdict, Verdict::Stalled);
            assert!((8..=most).contains(&at), "{at}");
        }
    }

    #[test]
    fn one_that_only_sends_is_not_taken_for_one_that_reads() {
        let heard = delivery(1000, 0, Duration::ZERO);
        let (at, verdict) = run(|_| Delivery { room: Some(1000), ..heard });
        assert_eq!(verdict, Verdict::Stalled);
        // Until the first look it has the benefit of the doubt.
        assert!((4..=6).contains(&at), "{at}");
    }

    #[test]
    fn without_word_from_the_system_the_clock_is_flat() {
        let start = Instant::now();
        let (mut progress, mut timers) = (Progress::new(start), Timers::default());
        progress.start(Timer::Close, 4 * SECOND, start, &mut timers);
        assert_eq!(timers.next(), Some(start + 4 * SECOND));
        let now = start + 4 * SECOND;
        let verdict = progress.judge(Timer::Close, 4 * SECOND, now, &mut timers);
        assert_eq!(verdict, Verdict::Stalled);
    }
}
