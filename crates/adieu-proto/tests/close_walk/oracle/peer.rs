//! The facts that the peer makes: what it says, and how its side ends.

use super::*;

impl Oracle {
    /// Where the peer stands in its own stream, whether we listen or not.
    pub(super) fn moves_on(&mut self, input: Input) {
        if self.stand.in_frame {
            self.stand = Stand::default();
        }
        match input {
            Input::Data => self.stand.in_message = false,
            Input::Fragment => self.stand.in_message = true,
            Input::Partial => self.stand.in_frame = true,
            _ => {}
        }
    }

    /// Bytes of the peer on an open connection.
    pub(super) fn peer_says(&mut self, input: Input, now: Instant, steps: &mut Vec<Step>) {
        if self.heard.is_some() || self.offended {
            return;
        }
        if self.stand.in_frame {
            let text = std::mem::take(&mut self.unfinished) + HALVES.0 + HALVES.1;
            self.deliver(text, steps);
        }
        match input {
            Input::Data => {
                let text = std::mem::take(&mut self.unfinished) + DATA;
                self.deliver(text, steps);
            }
            Input::Fragment => self.unfinished += FRAGMENT,
            Input::Ping if self.may_send() => self.queue(Frame::Pong(PING.into())),
            Input::Close => self.closes(Some(GO), now, steps),
            // hixie-75 has no goodbye: FF 00 is a frame of length nought, skipped like any other.
            Input::EmptyClose if self.dialect != Dialect::Hixie75 => self.closes(None, now, steps),
            Input::BadClose => {
                let error = ProtocolError::CloseCode(CloseCode::new(BAD.0));
                self.offends(error, Some(BAD), now, steps);
            }
            Input::Violation => {
                let error = match self.dialect {
                    Dialect::Rfc6455 => ProtocolError::ReservedBits(4),
                    _ => ProtocolError::HixieLength,
                };
                self.offends(error, None, now, steps);
            }
            _ => {}
        }
    }

    /// What cannot be read ends the peer's words; what cannot be encrypted ends ours.
    pub(super) fn tls_failed(&mut self, now: Instant, steps: &mut Vec<Step>) {
        if self.opened.is_none() {
            self.refuse(HandshakeError::Tls, false, now);
        } else if self.heard.is_none() && !self.offended {
            self.offends(ProtocolError::UnreadableTls, None, now, steps);
        }
        self.follow(now, steps);
        self.breaks(now);
    }

    pub(super) fn deliver(&self, text: String, steps: &mut Vec<Step>) {
        if !self.told_end {
            steps.push(Step::Message(text));
        }
    }

    pub(super) fn closes(
        &mut self,
        said: Option<(u16, &str)>,
        now: Instant,
        steps: &mut Vec<Step>,
    ) {
        let said = said.map(|(code, reason)| (code, reason.to_owned()));
        let begins = self.began.is_none();
        self.heard = Some((said.clone(), now));
        // It stood between frames: a frame that was cut has been finished before the Close.
        let in_message = self.stand.in_message && !self.stand.in_frame;
        self.cut_at(if in_message { Cut::MidMessage } else { Cut::BetweenMessages });
        self.begin(Cause::Peer, now, steps);
        if begins {
            steps.push(Step::Closing(said));
        }
        self.peer_is_over(now);
    }

    pub(super) fn offends(
        &mut self,
        error: ProtocolError,
        said: Option<(u16, &str)>,
        now: Instant,
        steps: &mut Vec<Step>,
    ) {
        if let Some((code, reason)) = said {
            self.heard = Some((Some((code, reason.to_owned())), now));
        }
        self.offended = true;
        self.cut_at(Cut::MidFrame);
        self.begin(Cause::Violation(error), now, steps);
        self.peer_is_over(now);
    }

    pub(super) fn peer_is_over(&mut self, now: Instant) {
        if self.leaving.is_none() && self.broken.is_none() {
            self.last_words.get_or_insert(now);
        }
    }

    /// Where the peer's bytes stop if they stop now.
    pub(super) fn stops(&self) -> Cut {
        match &self.stage {
            Stage::Opened if self.stand.in_frame => Cut::MidFrame,
            Stage::Opened if self.stand.in_message => Cut::MidMessage,
            Stage::Head { begun: true } | Stage::Nonce(_) => Cut::MidFrame,
            Stage::Decision { early } if !early.is_empty() => Cut::MidFrame,
            _ => Cut::BetweenMessages,
        }
    }

    pub(super) fn fin(&mut self, late_reset: bool, now: Instant, steps: &mut Vec<Step>) {
        self.cut_at(self.stops());
        self.fin = Some(now);
        self.late_reset = late_reset;
        self.first.get_or_insert(Side::Peer);
        if self.opened.is_some() {
            self.begin(Cause::Eof, now, steps);
            self.peer_is_over(now);
        } else {
            // Nobody is left to answer.
            let refused = self.leaving.is_some();
            self.begin(Cause::Handshake(HandshakeError::Incomplete), now, steps);
            if !refused {
                self.end(now, steps);
            }
        }
    }

    pub(super) fn gone(&mut self, end: End, now: Instant, steps: &mut Vec<Step>) {
        self.cut_at(self.stops());
        self.gone = Some((end, now));
        self.first.get_or_insert(Side::Peer);
        let cause = match (self.opened, end) {
            (Some(_), End::Reset) => Cause::Reset,
            (Some(_), _) => Cause::Unreachable,
            (None, End::Reset) => Cause::Handshake(HandshakeError::Reset),
            (None, _) => Cause::Handshake(HandshakeError::TimedOut),
        };
        self.begin(cause, now, steps);
        self.end(now, steps);
    }
}
