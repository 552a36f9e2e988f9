//! What a connection does when its server stops: what had arrived is answered, then comes our
//! Close; or everything is let go of at once.

use std::task::Context;

use adieu_proto::{Cause, CloseRequest, Command, HandshakeError, LetGo, Scratch, TransportEvent};

use crate::drain::Stop;
use crate::link::drain::{DrainState, UNKNOWN};
use crate::link::state::State;
use crate::link::wakes::Wakes;
use crate::now;
use crate::transport::Transport;

impl State {
    /// The server stops.
    pub(super) fn drain(&mut self, stop: Stop, scratch: &mut Scratch, wakes: &mut Wakes) {
        if self.drain.is_some() {
            return;
        }
        self.connection.command(now(), Command::Drain, scratch);
        let status = self.connection.status();
        // Where the write side broke nothing is closing yet.
        let closing = !status.may_send() && !self.write_failed;
        if !status.delivers() || self.socket_dropped || closing {
            // A request is refused; a connection that is ending already goes on with that.
            self.refuse_draining(scratch);
            self.drain = Some(Box::new(DrainState::of_an_ending(stop)));
            return self.wake_driver(wakes);
        }
        // One look: a peer that goes on sending cannot hold the drain open.
        let unread = self.transport.unread().unwrap_or(UNKNOWN);
        self.drain = Some(Box::new(DrainState::new(stop, unread)));
        if self.polling {
            // The driver is in the middle of its poll: it goes on with this in its next one.
            return self.waiting.wake_driver(wakes);
        }
        self.go_on_draining(scratch);
        // The Close leaves now, not when its driver has its turn among those of all others.
        self.write_what_waits(None, scratch);
        self.wake_driver(wakes);
    }

    /// Whether the handler has answered, or had its time: then the Close goes out.
    #[inline]
    pub(super) fn go_on_draining(&mut self, scratch: &mut Scratch) {
        let is_read = self.inbox.is_empty() && !self.holds_input();
        let answered = is_read && self.waiting.asks_for_more();
        let ending = !self.connection.status().may_send();
        let due = self.drain.as_mut().and_then(|drain| drain.close_when_due(answered, ending));
        if let Some(close) = due {
            self.close(CloseRequest::of(Cause::Drain, close), scratch);
        }
    }

    /// What can leave without waiting leaves; then we let go.
    pub(super) fn force(&mut self, stop: Stop, scratch: &mut Scratch, wakes: &mut Wakes) {
        let close = stop.close.clone();
        self.connection.command(now(), Command::Drain, scratch);
        self.drain.get_or_insert_with(|| Box::new(DrainState::of_an_ending(stop))).close_now();
        self.refuse_draining(scratch);
        self.close(CloseRequest::of(Cause::Drain, close), scratch);
        // What the application has to hear waits for the driver; the Close cannot.
        let mut cx = Context::from_waker(std::task::Waker::noop());
        self.write_what_waits(Some(&mut cx), scratch);
        self.let_go(LetGo::Forced, scratch);
        self.wake_driver(wakes);
    }

    /// The server stops: a request that is not answered yet gets a 503. While the TLS handshake is
    /// under way nothing can be said, and it is not waited for.
    fn refuse_draining(&mut self, scratch: &mut Scratch) {
        self.refuse(HandshakeError::Draining, scratch);
        if self.transport.is_handshaking() {
            self.transport.give_up_tls();
            self.tell(TransportEvent::WriteFailed(None), scratch);
        }
    }
}
