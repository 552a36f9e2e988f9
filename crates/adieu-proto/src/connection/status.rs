//! Where a connection stands, for its driver.

#[cfg(feature = "deflate")]
use super::rare::HasDeflate;
use crate::config::Config;
use crate::connection::Connection;
use crate::handshake::opening::Opening;
use crate::version::Version;

/// Where a connection stands at the moment.
#[derive(Clone, Copy, Debug)]
pub struct Status<'a>(&'a Connection);

impl<'a> Status<'a> {
    #[inline]
    pub(super) fn of(connection: &'a Connection) -> Self {
        Status(connection)
    }

    /// The version that is spoken, once the handshake is complete.
    #[must_use]
    pub fn version(&self) -> Version {
        self.0.machine.version()
    }

    /// The limits in force.
    #[must_use]
    #[inline]
    pub fn config(&self) -> &'a Config {
        &self.0.config
    }

    /// Bytes of output that have not left.
    #[must_use]
    #[inline]
    pub fn queued(&self) -> u64 {
        self.0.outgoing.unsent()
    }

    /// Bytes that have come of a message that is not whole yet.
    #[must_use]
    pub fn receiving(&self) -> usize {
        #[cfg(feature = "deflate")]
        let waits = self.0.rare.deflate().map_or(0, |deflate| deflate.held());
        #[cfg(not(feature = "deflate"))]
        let waits = 0;
        self.0.reader.held() + waits
    }

    /// Whether work waits for its turn, on a large message that is compressed: call
    /// [`Connection::go_on`] when the other connections of the thread have had theirs, and do not
    /// read on before that while [`holds_input`](Self::holds_input).
    #[cfg(feature = "deflate")]
    #[must_use]
    #[inline]
    pub fn has_work(&self) -> bool {
        self.0.rare.deflate().is_some_and(|deflate| deflate.is_busy())
    }

    /// Whether such work waits on messages that are sent: [`Connection::go_on_sending`].
    #[cfg(feature = "deflate")]
    #[must_use]
    pub fn has_work_to_send(&self) -> bool {
        self.0.rare.deflate().is_some_and(|deflate| deflate.has_jobs())
    }

    /// Whether bytes of the peer wait for a message that is being inflated. What is received
    /// meanwhile is kept behind them.
    #[cfg(feature = "deflate")]
    #[must_use]
    pub fn holds_input(&self) -> bool {
        self.0.rare.deflate().is_some_and(|deflate| deflate.holds_input())
    }

    /// Whether anything waits to be taken by the transport.
    #[must_use]
    #[inline]
    pub fn has_output(&self) -> bool {
        !self.0.outgoing.is_empty()
    }

    /// Whether a request waits to be decided on ([`Connection::decide`]).
    #[must_use]
    pub fn awaits_decision(&self) -> bool {
        matches!(self.0.opening.as_deref(), Some(Opening::PendingAccept { .. }))
    }

    /// Whether bytes behind a request that waits to be decided on are still kept: up to
    /// [`Config::max_head`] of them. More would refuse it, so do not read on.
    #[must_use]
    pub fn keeps_early_bytes(&self) -> bool {
        match self.0.opening.as_deref() {
            Some(Opening::PendingAccept { rest, .. }) => rest.len() < self.0.config.max_head,
            _ => false,
        }
    }

    /// Whether [`Connection::send`] may still succeed.
    #[must_use]
    #[inline]
    pub fn may_send(&self) -> bool {
        self.0.machine.may_send()
    }

    /// Whether received messages still reach the application. If not, whatever comes is read and
    /// dropped, so reading must not pause.
    #[must_use]
    #[inline]
    pub fn delivers(&self) -> bool {
        self.0.machine.delivers()
    }

    /// Whether the peer has ended: its Close was read, its close_notify, or its end.
    #[must_use]
    pub fn peer_has_ended(&self) -> bool {
        self.0.machine.peer_has_ended()
    }

    /// Whether one of our clocks has ended the connection: the peer has not.
    #[must_use]
    pub fn gave_up(&self) -> bool {
        self.0.machine.gave_up()
    }

    /// Whether [`Output::Finish`](crate::Output::Finish) follows as soon as what waits has left:
    /// both may leave in one segment.
    #[must_use]
    #[inline]
    pub fn fin_follows(&self) -> bool {
        self.0.machine.fin_follows()
    }

    /// When [`Connection::handle_timeout`] is due.
    #[must_use]
    #[inline]
    pub fn timeout(&self) -> Option<std::time::Instant> {
        self.0.timers.next()
    }
}
