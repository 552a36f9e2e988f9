//! Which clocks run, and what follows when one runs out.

use super::*;

/// The longest that an ending may take once it began, if nothing more happens. A client may wait
/// for the server's FIN before its own and after it.
pub(crate) const LONGEST: Duration = Duration::from_secs(
    defaults::GRACE.as_secs()
        + defaults::FLUSH_TIMEOUT.as_secs()
        + defaults::CLOSE_TIMEOUT.as_secs()
        + 2 * defaults::LINGER.as_secs(),
);

impl Oracle {
    /// The clock that runs out next, if any runs, and when.
    pub(crate) fn deadline(&self) -> Option<(Timer, Instant)> {
        let clocks =
            [self.deadline_of_step(), self.deadline_of_output(), self.deadline_of_caller()];
        clocks.into_iter().flatten().min_by_key(|(_, at)| *at)
    }

    /// Whether a clock over silence runs: it may wake the connection early to be set on.
    pub(crate) fn has_ping_clock(&self) -> bool {
        self.deadline_of_step().is_some_and(|(timer, _)| timer == Timer::Ping)
    }

    /// While the connection is open: what waits has to move.
    fn deadline_of_output(&self) -> Option<(Timer, Instant)> {
        let since = self.blocked.filter(|_| self.may_send())?;
        Some((Timer::Write, since + defaults::WRITE_TIMEOUT))
    }

    /// As a client that has not opened: the caller waits for the end, and no longer than this.
    fn deadline_of_caller(&self) -> Option<(Timer, Instant)> {
        let waits = self.role == Role::Client && self.opened.is_none() && !self.over;
        waits.then(|| (Timer::Handshake, self.started + defaults::HANDSHAKE_TIMEOUT))
    }

    /// The one clock over what has to happen next.
    fn deadline_of_step(&self) -> Option<(Timer, Instant)> {
        if self.over {
            return None;
        }
        if let Some(since) = self.our_fin.or(self.broken) {
            return Some((Timer::Linger, since + defaults::LINGER));
        }
        if let Some(since) = self.leaving {
            return self.deadline_of_leaving(since);
        }
        if let Some(since) = self.last_words {
            return Some((Timer::Grace, since + defaults::GRACE));
        }
        match (&self.stage, self.ping) {
            (Stage::Opened, _) if self.dialect != Dialect::Rfc6455 => None,
            (Stage::Opened, Ping::None) => {
                Some((Timer::Ping, self.heard_at + defaults::PING_INTERVAL))
            }
            (Stage::Opened, Ping::Left(at)) => Some((Timer::Pong, at + defaults::PONG_TIMEOUT)),
            (Stage::Opened, Ping::Waits) => None,
            _ => Some((Timer::Handshake, self.started + defaults::HANDSHAKE_TIMEOUT)),
        }
    }

    fn deadline_of_leaving(&self, since: Instant) -> Option<(Timer, Instant)> {
        if self.queued() > 0 {
            let since = self.moved.map_or(since, |moved| moved.max(since));
            return Some((Timer::Flush, since + defaults::FLUSH_TIMEOUT));
        }
        if let Some(since) = self.server_fin_since {
            return Some((Timer::Linger, since + defaults::LINGER));
        }
        let left = self.our_close_left?;
        Some(match self.draining {
            // An exit is waited for.
            Some(at) => (Timer::Close, left.max(at) + defaults::DRAIN_CLOSE_TIMEOUT),
            None => (Timer::Close, left + defaults::CLOSE_TIMEOUT),
        })
    }

    pub(super) fn ran_out(&mut self, timer: Timer, now: Instant, steps: &mut Vec<Step>) {
        if timer == Timer::Close {
            self.tell_end(steps);
        }
        match timer {
            Timer::Handshake if self.role == Role::Client => {
                self.refuse(HandshakeError::TimedOut, None, now);
                if self.broken.is_none() && self.our_fin.is_none() && self.queued() == 0 {
                    self.our_fin_leaves(now, steps);
                }
                self.lets_go(LetGo::Clock(timer), now, steps);
            }
            Timer::Handshake => {
                // Nothing was asked, so nothing is answered; so too when the 101 has gone out.
                let asked = match &self.stage {
                    Stage::Head { begun } => *begun,
                    stage => matches!(stage, Stage::Decision { .. }),
                };
                match asked {
                    true => self.refuse_politely(HandshakeError::TimedOut, now),
                    false => self.refuse(HandshakeError::TimedOut, None, now),
                }
            }
            Timer::Ping => {
                // A Ping that waits already asks for this one too.
                if !self.outbox.has_waiting_ping() {
                    self.queue(Frame::Ping);
                }
                self.ping = Ping::Waits;
            }
            Timer::Pong => self.gives_up(timer, 1011, now, steps),
            Timer::Write if self.last_words.is_none() => self.gives_up(timer, 1008, now, steps),
            Timer::Write | Timer::Grace => self.answer(now),
            Timer::Close if self.draining.is_some() => {
                self.our_fin_leaves(now, steps);
                self.lets_go(LetGo::Clock(timer), now, steps);
            }
            Timer::Close => self.awaits_close = false,
            Timer::Linger if self.our_fin.or(self.broken).is_none() => {
                self.awaits_server_fin = false;
            }
            timer => self.lets_go(LetGo::Clock(timer), now, steps),
        }
    }

    /// The peer is there and does not do its part: our Close leaves, and none is awaited.
    fn gives_up(&mut self, timer: Timer, code: u16, now: Instant, steps: &mut Vec<Step>) {
        self.begin(Cause::Timeout(timer), now, steps);
        self.say_close(code, "");
        self.leaving = Some(now);
    }
}
