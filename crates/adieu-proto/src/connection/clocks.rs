//! The clocks of a connection: when each starts, and what it means that one ran out. Clocks over
//! output ask whether bytes move, clocks over answers whether the peer answers: see `liveness`.

use std::time::Instant;

use super::Connection;
use crate::close::{Input, State};
use crate::error::HandshakeError;
use crate::liveness::{Question, Verdict};
use crate::scratch::Scratch;
use crate::timer::Timer;

impl Connection {
    fn length(&self, timer: Timer) -> std::time::Duration {
        let draining = self.machine.is_draining();
        self.config.length(timer, self.movement.has_evidence(), draining)
    }

    /// Starts a clock. Where there is evidence, a clock over output or over an answer stops early
    /// to look where things stand.
    pub(super) fn start(&mut self, timer: Timer, now: Instant) {
        match timer {
            // What waits at the end has waited before.
            Timer::Flush if self.timers.is_set(Timer::Write) => {}
            Timer::Write | Timer::Flush => self.movement.moves(now),
            // Without evidence the time to answer is flat, and nothing has to be kept.
            Timer::Pong | Timer::Close | Timer::Linger if self.movement.has_evidence() => {
                self.question = Some(Box::new(Question::new(now)));
            }
            _ => {}
        }
        let length = self.length(timer);
        let at = now.checked_add(length);
        let looks = self.movement.has_evidence() && timer != Timer::Grace;
        self.timers.set(timer, at.map(|at| if looks { now + length / 4 } else { at }));
    }

    /// The peer was heard.
    #[inline]
    pub(super) fn is_heard(&mut self, now: Instant) {
        if self.heartbeat.is_asked() {
            self.question = None;
        }
        self.heartbeat.heard(now, self.config.ping_interval, &mut self.timers);
    }

    /// The peer cannot be heard, because nothing is read.
    pub(super) fn is_excused(&mut self, now: Instant) {
        self.heartbeat.excuse(now, self.config.ping_interval, &mut self.timers);
    }

    /// The transport took bytes.
    #[inline]
    pub(super) fn transmitted(
        &mut self,
        now: Instant,
        n: usize,
        held: bool,
        scratch: &mut Scratch,
    ) {
        self.outgoing.advance(n, held, scratch);
        if self.movement.has_evidence() {
            // What the transport took is not what the peer's kernel took: from here on that is
            // looked at.
            if !self.timers.is_set(Timer::Write) && self.machine.may_send() {
                self.start(Timer::Write, now);
            }
        } else {
            self.moves_without_evidence(now, n as u64);
        }
        if !held {
            self.all_taken_has_left(now, scratch);
        }
    }

    pub(super) fn moves_without_evidence(&mut self, now: Instant, n: u64) {
        if self.outgoing.unsent() == 0 {
            self.timers.stop(Timer::Write);
        } else if n > 0 {
            for timer in [Timer::Write, Timer::Flush] {
                if self.timers.is_set(timer) {
                    self.start(timer, now);
                }
            }
        }
    }

    /// What the transport took has left it.
    #[inline]
    pub(super) fn all_taken_has_left(&mut self, now: Instant, scratch: &mut Scratch) {
        if self.heartbeat.is_leaving() && !self.outgoing.holds_ping() {
            self.heartbeat.left();
            self.start(Timer::Pong, now);
        }
        if !self.machine.may_send() {
            self.tell_when_flushed(now, scratch);
        }
    }

    /// The transport takes nothing for now. Its time to take something runs, once.
    pub(super) fn blocked(&mut self, now: Instant) {
        self.outgoing.blocked();
        if self.machine.may_send() && !self.timers.is_set(Timer::Write) {
            self.start(Timer::Write, now);
        }
    }

    /// A clock ran out, or stopped to look.
    pub(super) fn expired(&mut self, now: Instant, timer: Timer, scratch: &mut Scratch) {
        match timer {
            Timer::Ping => self.ping_when_due(now, scratch),
            Timer::Handshake => {
                self.fail_opening(now, HandshakeError::TimedOut, scratch);
                // A client's caller waits: what is left of the ending has no time beyond this.
                self.advance(now, Input::Timer(timer), scratch);
            }
            Timer::Grace | Timer::Drain => self.advance(now, Input::Timer(timer), scratch),
            Timer::Write | Timer::Flush => {
                let flushing = matches!(self.machine.state(), State::Flushing { .. });
                let waits = flushing || self.outgoing.unsent() > 0;
                let length = self.length(timer);
                let verdict = self.movement.judge(now, length, waits, flushing);
                self.judged(now, timer, verdict, scratch);
            }
            Timer::Pong | Timer::Close | Timer::Linger => {
                let length = self.length(timer);
                // While the connection is open the write clock watches over bytes that do not move.
                let stalls = (timer != Timer::Pong).then_some(self.length(Timer::Flush));
                let verdict = match &mut self.question {
                    Some(question) => question.judge(now, length, stalls, &self.movement),
                    None => Verdict::Stalled,
                };
                self.judged(now, timer, verdict, scratch);
            }
        }
    }

    fn judged(&mut self, now: Instant, timer: Timer, verdict: Verdict, scratch: &mut Scratch) {
        match verdict {
            Verdict::Wait(at) => self.timers.set(timer, Some(at)),
            Verdict::Done => {}
            Verdict::Stalled => self.advance(now, Input::Timer(timer), scratch),
            Verdict::Silent => self.advance(now, Input::Silent(timer), scratch),
        }
    }

    fn ping_when_due(&mut self, now: Instant, scratch: &mut Scratch) {
        let interval = self.config.ping_interval;
        if self.heartbeat.ping_due(now, interval, &mut self.timers) {
            let mask = self.mask();
            self.outgoing.ping(mask, scratch);
            if let Some(rare) = &mut self.rare {
                rare.pings.heartbeat();
            }
        }
    }
}
