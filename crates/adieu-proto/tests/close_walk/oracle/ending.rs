//! The report that the facts ask for.

use adieu_proto::TransportKind;

use super::*;

impl Oracle {
    /// When the ending began.
    pub(crate) fn began_at(&self) -> Option<Instant> {
        self.began.as_ref().map(|began| began.1)
    }

    /// What carries the connection. The report gives it as the driver told it.
    pub(crate) fn kind(&self) -> TransportKind {
        match self.transport {
            Transport::Holds => TransportKind::Stream,
            Transport::Multiplexed => TransportKind::Http2,
            _ => TransportKind::Tls,
        }
    }

    /// Whether the close_notify came, as the driver tells it in the end.
    pub(crate) fn notified(&self) -> bool {
        self.close_notify.is_some()
    }

    /// It is over.
    pub(super) fn end(&mut self, now: Instant, steps: &mut Vec<Step>) {
        self.over = true;
        steps.extend([Step::Disconnect, Step::Ended(self.account(now))]);
    }

    fn account(&self, now: Instant) -> Account {
        let end = self.how_it_ended();
        Account {
            cause: self.began.clone().expect("an end has a beginning").0,
            draining: self.draining.is_some(),
            closing_handshake: self.crossed(),
            kind: self.kind(),
            end,
            active_closer: self.active_closer,
            close_notify: Some(self.notified()),
            truncation: self.stopped.expect("the peer's bytes stopped somewhere"),
            unsent_messages: self.outbox.messages(),
            unsent_bytes: self.queued(),
            times: self.times(),
            lasted: now - self.started,
            error: self.error.map(str::to_owned),
            clean: self.finished_well(end)
                && self.our_close_left.is_some()
                && self.heard.is_some()
                && !self.offended
                && self.queued() == 0,
        }
    }

    /// An RST behind the FIN takes nothing of ours but a close_notify where our Close was answered
    /// and the peer's close_notify came: nobody has to wait for the other's (RFC 8446 §6.1).
    fn finished_well(&self, end: End) -> bool {
        let answered = self.spoke_first && self.notified();
        match end {
            End::Finished | End::LetGo(LetGo::BothClosed) => true,
            End::FinishedThenReset => answered,
            _ => false,
        }
    }

    /// What crossed, in the order in which our side saw it.
    fn crossed(&self) -> Vec<(Side, Said)> {
        let ours = self.our_close.clone().filter(|_| self.our_close_left.is_some());
        let theirs = self.heard.as_ref().map(|(said, _)| said.clone());
        let mut crossed: Vec<_> = ours.into_iter().map(|said| (Side::Local, said)).collect();
        let place = if self.spoke_first { crossed.len() } else { 0 };
        crossed.splice(place..place, theirs.map(|said| (Side::Peer, said)));
        crossed
    }

    fn how_it_ended(&self) -> End {
        let reset = self.late_reset || matches!(self.broke_off, Some((End::Reset, _)));
        match (self.fin, self.broke_off, self.let_go) {
            (Some(_), _, _) if reset => End::FinishedThenReset,
            (Some(_), _, _) => End::Finished,
            (None, Some((end, _)), _) => end,
            (None, None, why) => End::LetGo(why.expect("somebody let go")),
        }
    }

    fn times(&self) -> Times {
        let since = |at: Instant| at - self.started;
        Times {
            opened: self.opened.map(since),
            last_received: self.last_received.0.map(since),
            close_sent: self.our_close_left.map(since),
            close_received: self.heard.as_ref().map(|(_, at)| since(*at)),
            close_notify: self.close_notify.map(since),
            fin_sent: self.our_fin.map(since),
            peer_ended: self.fin.or(self.broke_off.map(|(_, at)| at)).map(since),
        }
    }
}
