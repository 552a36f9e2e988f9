//! The facts that our side makes: what it wants, what leaves, which clocks run out.

use super::*;

impl Oracle {
    pub(super) fn wish(
        &mut self,
        cause: Cause,
        say: (u16, &str),
        now: Instant,
        steps: &mut Vec<Step>,
    ) {
        if self.opened.is_none() {
            if self.leaving.is_none() {
                self.refuse(HandshakeError::Abandoned, false, now);
            }
        } else if self.last_words.is_some() {
            self.answer(now);
        } else if self.leaving.is_none() {
            self.begin(cause, now, steps);
            if self.broken.is_none() {
                self.say_goodbye(say.0, say.1);
                self.awaits_close = true;
                self.leaving = Some(now);
            }
        }
    }

    pub(super) fn say_goodbye(&mut self, code: u16, reason: &str) {
        let said = match self.dialect {
            Dialect::Rfc6455 => (code != 0).then(|| (code, reason.to_owned())),
            Dialect::Hixie76 => None,
            Dialect::Hixie75 => return,
        };
        self.spoke_first = self.heard.is_none();
        self.farewell = Some(said.clone());
        self.queue(Frame::Close(said));
    }

    /// Our side has said its last words after the peer's end.
    pub(super) fn answer(&mut self, now: Instant) {
        if self.leaving.is_some() || self.broken.is_some() {
            return;
        }
        match self.began.clone() {
            Some((Cause::Peer, _)) => {
                let code = self.heard.as_ref().and_then(|(said, _)| said.as_ref()).map(|s| s.0);
                self.say_goodbye(code.unwrap_or(0), "");
            }
            // Each violation of the script is a protocol error (§7.4.1).
            Some((Cause::Violation(_), _)) => self.say_goodbye(1002, ""),
            _ => {}
        }
        self.leaving = Some(now);
    }

    pub(super) fn ran_out(&mut self, timer: Timer, now: Instant, steps: &mut Vec<Step>) {
        match timer {
            Timer::Handshake => {
                // Nothing was asked, so nothing is answered; so too when the 101 has gone out.
                let asked = match &self.stage {
                    Stage::Head { begun } => *begun && self.role == Role::Server,
                    stage => matches!(stage, Stage::Decision { .. }),
                };
                self.refuse(HandshakeError::TimedOut, asked, now);
            }
            Timer::Ping => {
                self.queue(Frame::Ping);
                self.ping = Ping::Waits(self.ever_queued);
            }
            Timer::Pong => {
                self.begin(Cause::Timeout(Timer::Pong), now, steps);
                self.say_goodbye(1011, "");
                self.leaving = Some(now);
            }
            Timer::Grace => self.answer(now),
            Timer::Close if self.drains() => {
                self.our_fin = Some(now);
                self.first.get_or_insert(Side::Local);
                steps.push(Step::Shutdown);
                self.lets_go(Timer::Close, now, steps);
            }
            Timer::Close => self.awaits_close = false,
            timer => self.lets_go(timer, now, steps),
        }
    }

    pub(super) fn lets_go(&mut self, timer: Timer, now: Instant, steps: &mut Vec<Step>) {
        self.let_go = Some(timer);
        let cause = match self.opened {
            Some(_) => Cause::Timeout(timer),
            None => Cause::Handshake(HandshakeError::TimedOut),
        };
        self.begin(cause, now, steps);
        self.cut_at(self.stops());
        self.end(now, steps);
    }

    /// Nothing can leave any more.
    pub(super) fn breaks(&mut self, now: Instant) {
        if self.broken.is_none() && self.our_fin.is_none() {
            self.broken = Some(now);
            if self.opened.is_none() {
                self.stage = Stage::Failed;
            }
        }
    }

    /// The driver is gone: what waits will not leave, what is awaited will not be read.
    pub(super) fn abandon(&mut self, now: Instant, steps: &mut Vec<Step>) {
        if !self.over && self.our_fin.is_none() && self.broken.is_none() && self.queued() > 0 {
            self.lets_go(Timer::Flush, now, steps);
        }
        if !self.over && self.our_fin.is_none() && self.broken.is_none() && self.drains() {
            self.ran_out(Timer::Close, now, steps);
        }
        self.awaits_close = false;
        self.follow(now, steps);
        if !self.over {
            self.lets_go(Timer::Linger, now, steps);
        }
    }

    pub(super) fn queue(&mut self, frame: Frame) {
        let mask = if self.role == Role::Client { 4 } else { 0 };
        let len = match &frame {
            Frame::Text(text) if self.dialect == Dialect::Rfc6455 => 2 + mask + text.len(),
            Frame::Text(text) => 1 + text.len() + 1,
            Frame::Close(_) if self.dialect != Dialect::Rfc6455 => 2,
            Frame::Close(None) | Frame::Ping => 2 + mask,
            Frame::Close(Some((_, reason))) => 2 + mask + 2 + reason.len(),
            Frame::Pong(payload) => 2 + mask + payload.len(),
            Frame::Head(_) | Frame::Challenge => unreachable!("{frame:?} is no frame"),
        };
        self.add(frame, len as u64);
    }

    /// The request of a client, in so many bytes.
    pub(crate) fn asks(&mut self, len: u64) {
        self.add(Frame::Head("GET /".to_owned()), len);
    }

    pub(super) fn add_head(&mut self, status: u16, len: u64) {
        self.add(Frame::Head(format!("HTTP/1.1 {status}")), len);
    }

    pub(super) fn add(&mut self, frame: Frame, len: u64) {
        self.queue.push_back((frame, len));
        self.ever_queued += len;
    }

    pub(super) fn leave(&mut self, most: u64, now: Instant, steps: &mut Vec<Step>) {
        let mut left = most.min(self.queued());
        if left > 0 {
            self.moved = Some(now);
        }
        self.ever_left += left;
        self.gone_of_front += std::mem::take(&mut left);
        while let Some((frame, len)) = self.queue.front().cloned() {
            if self.gone_of_front < len {
                break;
            }
            self.gone_of_front -= len;
            self.queue.pop_front();
            steps.push(Step::Sent(frame));
        }
        if let Ping::Waits(end) = self.ping
            && end <= self.ever_left
        {
            self.ping = Ping::Left(now);
        }
    }
}
