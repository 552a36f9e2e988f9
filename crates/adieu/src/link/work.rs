//! The work on large messages that are compressed: a piece in each poll of the driver.

#[cfg(feature = "deflate")]
use adieu_proto::Scratch;

use super::state::State;

impl State {
    /// Whether what was read waits for a large message that is being inflated.
    pub(super) fn holds_input(&self) -> bool {
        #[cfg(feature = "deflate")]
        return self.connection.status().holds_input();
        #[cfg(not(feature = "deflate"))]
        false
    }

    /// Whether there is work on large messages that are compressed. A few bytes of the peer may
    /// become many messages: they wait while the application is behind.
    #[cfg(feature = "deflate")]
    pub(super) fn has_work(&self) -> bool {
        let status = self.connection.status();
        if self.is_behind() { status.has_work_to_send() } else { status.has_work() }
    }

    /// Does a piece of it. The other tasks of the thread have had their turn.
    #[cfg(feature = "deflate")]
    pub(super) fn work(&mut self, scratch: &mut Scratch) {
        if self.is_behind() {
            self.connection.go_on_sending(scratch);
        } else if self.has_work() {
            self.connection.go_on(self.polled, scratch);
            self.inbox.take_in(&mut scratch.messages);
        }
    }
}
