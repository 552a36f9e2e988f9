//! The facts that the peer makes: what it says, and how its side ends.

use super::*;

impl Oracle {
    /// Bytes of the peer came before the walk began.
    pub(crate) fn received_before(&mut self, now: Instant) {
        self.last_received = Told(Some(now));
    }

    /// Whether the peer's data may still come.
    pub(super) fn is_readable(&self) -> bool {
        self.fin.is_none() && self.close_notify.is_none()
    }

    /// Whether the peer has ended: its Close was read, its close_notify, or its end.
    pub(crate) fn peer_has_ended(&self) -> bool {
        self.heard.is_some() || !self.is_readable() || self.broke_off.is_some()
    }

    /// Whether what the peer says reaches the application.
    pub(crate) fn delivers(&self) -> bool {
        !self.told_end
    }

    /// Bytes of the peer are life, whatever they say.
    pub(super) fn is_heard(&mut self, now: Instant) {
        self.heard_at = now;
        self.ping = Ping::None;
    }

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
            Input::Ping => self.asks_for_pong(),
            Input::Close => self.closes(Some(GO), now, steps),
            // hixie-75 has no closing handshake: FF 00 is an empty frame, skipped like any other.
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

    /// A Ping is answered until our Close has begun to leave, or nothing can leave.
    fn asks_for_pong(&mut self) {
        let may_leave = self.broken.is_none() && self.our_fin.is_none();
        if may_leave && self.outbox.takes_control() {
            let pong = Frame::Pong(PING.into());
            let len = self.len(&pong);
            self.outbox.answer(pong, len);
        }
    }

    /// What cannot be read ends the peer's words; what cannot be encrypted ends ours.
    pub(super) fn tls_failed(&mut self, now: Instant, steps: &mut Vec<Step>) {
        self.explain(BAD_RECORD);
        if self.opened.is_none() {
            let error = adieu_proto::TransportError::new(BAD_RECORD);
            self.refuse(HandshakeError::Tls(error), None, now);
        } else if self.heard.is_none() && !self.offended {
            self.offends(ProtocolError::UnreadableTls, None, now, steps);
        }
        self.follow(now, steps);
        self.breaks(now);
    }

    fn deliver(&self, text: String, steps: &mut Vec<Step>) {
        if self.delivers() {
            steps.push(Step::Message(text));
        }
    }

    fn closes(&mut self, said: Option<(u16, &str)>, now: Instant, steps: &mut Vec<Step>) {
        let said = said.map(|(code, reason)| (code, reason.to_owned()));
        let begins = self.began.is_none();
        self.heard = Some((said.clone(), now));
        // A frame that stopped in its middle has been finished before the Close.
        let in_message = self.stand.in_message && !self.stand.in_frame;
        self.stopped.get_or_insert(if in_message {
            Truncation::MidMessage
        } else {
            Truncation::BetweenMessages
        });
        self.begin(Cause::Peer, now, steps);
        if begins {
            steps.push(Step::CloseReceived(said));
        }
        self.peer_is_over(now);
    }

    fn offends(
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
        self.stopped.get_or_insert(Truncation::MidFrame);
        self.begin(Cause::Violation(error), now, steps);
        self.peer_is_over(now);
    }

    fn peer_is_over(&mut self, now: Instant) {
        if self.leaving.is_none() && self.broken.is_none() {
            self.last_words.get_or_insert(now);
        }
    }

    /// The peer's bytes stop here, if they have not stopped before.
    pub(super) fn stops_here(&mut self) {
        let here = match &self.stage {
            Stage::Opened if self.stand.in_frame => Truncation::MidFrame,
            Stage::Opened if self.stand.in_message => Truncation::MidMessage,
            Stage::Head { begun: true } | Stage::Nonce(_) => Truncation::MidFrame,
            Stage::Decision { early } if !early.is_empty() => Truncation::MidFrame,
            _ => Truncation::BetweenMessages,
        };
        self.stopped.get_or_insert(here);
    }

    pub(super) fn close_notify(&mut self, now: Instant, steps: &mut Vec<Step>) {
        self.stops_here();
        self.close_notify = Some(now);
        self.active_closer.get_or_insert(Side::Peer);
        if self.opened.is_some() {
            self.begin(Cause::Eof, now, steps);
            self.peer_is_over(now);
        } else {
            self.refuse(HandshakeError::Incomplete, None, now);
        }
    }

    pub(super) fn fin(&mut self, late_reset: bool, now: Instant, steps: &mut Vec<Step>) {
        self.stops_here();
        self.fin = Some(now);
        self.late_reset = late_reset;
        self.active_closer.get_or_insert(Side::Peer);
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

    /// The transport ends both directions at once.
    pub(super) fn breaks_off(&mut self, input: Input, now: Instant, steps: &mut Vec<Step>) {
        let (end, error, open, opening) = match input {
            Input::Reset => (End::Reset, None, Cause::Reset, HandshakeError::Reset),
            Input::Lost => {
                (End::Lost, Some(NO_ROUTE), Cause::Unreachable, HandshakeError::Unreachable)
            }
            _ => (End::Unknown, Some(TUNNEL), Cause::TransportFailed, HandshakeError::Failed),
        };
        if let Some(error) = error {
            self.explain(error);
        }
        if end == End::Reset {
            // What a lost transport would have done is not known.
            self.active_closer.get_or_insert(Side::Peer);
        }
        self.stops_here();
        self.broke_off = Some((end, now));
        let cause = if self.opened.is_some() { open } else { Cause::Handshake(opening) };
        self.begin(cause, now, steps);
        self.end(now, steps);
    }
}
