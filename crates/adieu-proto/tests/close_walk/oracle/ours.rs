//! The facts that our side makes: what it wants, what leaves.

use super::*;

impl Oracle {
    /// Bytes that have not left.
    pub(crate) fn queued(&self) -> u64 {
        self.outbox.waiting() + self.outbox.held()
    }

    /// Whether the transport can be given anything.
    pub(crate) fn has_output(&self) -> bool {
        !self.over && self.broken.is_none() && self.outbox.waiting() > 0
    }

    pub(crate) fn may_send(&self) -> bool {
        let open = self.stage == Stage::Opened && self.leaving.is_none();
        open && self.broken.is_none() && !self.over
    }

    /// Whether our FIN follows as soon as what waits has left.
    pub(crate) fn fin_follows(&self) -> bool {
        let leaves = self.leaving.is_some() && self.broken.is_none() && !self.over;
        let awaits = self.waits_for_close() || self.waits_for_server_fin();
        leaves && self.queued() > 0 && !awaits
    }

    pub(super) fn takes_when_told(&self) -> bool {
        self.transport == Transport::TakesWhenTold && self.broken.is_none()
    }

    /// Our side wants to end it.
    pub(super) fn close(
        &mut self,
        cause: Cause,
        say: (u16, &str),
        now: Instant,
        steps: &mut Vec<Step>,
    ) {
        if self.opened.is_none() {
            if self.leaving.is_none() {
                self.refuse(HandshakeError::Abandoned, None, now);
            }
        } else if self.last_words.is_some() {
            self.answer(now);
        } else if self.leaving.is_none() {
            let application = cause == Cause::Application;
            self.began.get_or_insert((cause, now));
            if self.broken.is_none() {
                self.say_close(say.0, say.1);
                self.awaits_close = true;
                self.leaving = Some(now);
            }
            // The application goes on reading until the peer's Close; nobody else does.
            if !application || self.broken.is_some() || !self.waits_for_close() {
                self.tell_end(steps);
            }
        }
    }

    pub(super) fn say_close(&mut self, code: u16, reason: &str) {
        let said = match self.dialect {
            Dialect::Rfc6455 => (code != 0).then(|| (code, reason.to_owned())),
            Dialect::Hixie76 => None,
            Dialect::Hixie75 => return,
        };
        self.spoke_first = self.heard.is_none();
        self.our_close = Some(said.clone());
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
                self.say_close(code.unwrap_or(0), "");
            }
            // Each violation of the script is a protocol error (§7.4.1).
            Some((Cause::Violation(_), _)) => self.say_close(1002, ""),
            // After the end of the peer's data nobody reads for a Close.
            _ => {}
        }
        self.leaving = Some(now);
    }

    /// Our side lets go of the connection, wherever it stands.
    pub(super) fn lets_go_at_once(&mut self, why: LetGo, now: Instant, steps: &mut Vec<Step>) {
        let cause = match why {
            _ if self.opened.is_none() => Cause::Handshake(HandshakeError::Abandoned),
            LetGo::TaskDropped | LetGo::RuntimeGone | LetGo::Refused => Cause::Dropped,
            _ => Cause::Drain,
        };
        self.begin(cause, now, steps);
        // What is awaited is not awaited any more.
        let sent = self.leaving.is_some() && self.queued() == 0;
        if sent && self.our_fin.or(self.broken).is_none() {
            self.our_fin_leaves(now, steps);
        }
        self.lets_go(why, now, steps);
    }

    pub(super) fn lets_go(&mut self, why: LetGo, now: Instant, steps: &mut Vec<Step>) {
        self.let_go = Some(why);
        let cause = match (self.opened, why) {
            (None, _) => Cause::Handshake(HandshakeError::TimedOut),
            (Some(_), LetGo::Clock(timer)) => Cause::Timeout(timer),
            (Some(_), _) => Cause::Dropped,
        };
        self.begin(cause, now, steps);
        self.active_closer.get_or_insert(Side::Local);
        self.stops_here();
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

    /// The first error of the transport explains the ending.
    pub(super) fn explain(&mut self, error: &'static str) {
        self.error.get_or_insert(error);
    }

    pub(super) fn queue(&mut self, frame: Frame) {
        let len = self.len(&frame);
        self.outbox.add(frame, len);
    }

    /// The length of a frame of ours.
    pub(super) fn len(&self, frame: &Frame) -> u64 {
        let header = if self.role == Role::Client { 2 + 4 } else { 2 };
        let len = match frame {
            Frame::Text(text) if self.dialect == Dialect::Rfc6455 => header + text.len(),
            Frame::Text(text) => 1 + text.len() + 1,
            Frame::Close(_) if self.dialect != Dialect::Rfc6455 => 2,
            Frame::Close(None) | Frame::Ping => header,
            Frame::Close(Some((_, reason))) => header + 2 + reason.len(),
            Frame::Pong(payload) => header + payload.len(),
            Frame::Head(_) | Frame::Challenge => unreachable!("{frame:?} is no frame"),
        };
        len as u64
    }

    /// The transport takes so much of what waits.
    pub(super) fn take(&mut self, most: u64, now: Instant, steps: &mut Vec<Step>) {
        if self.outbox.waiting() == 0 || most == 0 {
            return;
        }
        let holds = self.transport.holds();
        steps.extend(self.outbox.take(most, holds).into_iter().map(Step::Sent));
        self.moves(now);
        if !holds {
            self.has_left(now);
        }
    }

    /// What the transport holds leaves.
    pub(super) fn flush(&mut self, now: Instant) {
        self.outbox.flush();
        self.moves(now);
        self.has_left(now);
    }

    pub(super) fn is_blocked(&mut self, now: Instant) {
        self.outbox.blocked();
        if self.may_send() {
            self.blocked.get_or_insert(now);
        }
    }

    /// The clocks over output begin anew.
    fn moves(&mut self, now: Instant) {
        self.moved = Some(now);
        if self.queued() == 0 {
            self.blocked = None;
        } else if self.blocked.is_some() {
            self.blocked = Some(now);
        }
    }

    fn has_left(&mut self, now: Instant) {
        if self.ping == Ping::Waits && !self.outbox.has_ping() {
            self.ping = Ping::Left(now);
        }
    }
}
