//! What the state of the closing handshake means for the rest of the connection.

use super::machine::Machine;
use super::state::{Role, State};
use super::{End, LetGo};

impl Machine {
    /// Whether a Ping is still answered: our Close may wait behind much output.
    pub(crate) fn answers_pings(&self) -> bool {
        matches!(self.state, State::Open | State::Flushing { .. }) && !self.peer_has_ended()
    }

    /// Whether the peer has ended: its Close was read, its close_notify, or its end.
    pub(crate) fn peer_has_ended(&self) -> bool {
        let record = &self.record;
        // That our side let go is no end of the peer's.
        let ended = record.end.is_some_and(|end| !matches!(end, End::LetGo(_)));
        ended
            || record.closing_handshake.received().is_some()
            || record.timeline.close_notify.is_some()
    }

    /// Whether one of our clocks has ended the connection.
    pub(crate) fn gave_up(&self) -> bool {
        matches!(self.record.end, Some(End::LetGo(LetGo::Clock(_))))
    }

    /// Whether the connection below has ended the stream, as far as that is told.
    pub(crate) fn ended_by_connection(&self) -> bool {
        self.record.http2.is_some_and(|http2| http2.connection_end.is_some())
    }

    /// Whether our FIN follows the output that leaves at once.
    pub(crate) fn fin_follows(&self) -> bool {
        self.nothing_is_awaited() && !self.server_ends_first()
    }

    pub(super) fn nothing_is_awaited(&self) -> bool {
        let flushing = matches!(self.state, State::Flushing { .. });
        flushing && (self.state != State::Flushing { await_close: true } || self.peer_has_ended())
    }

    /// §7.1.1: of a client and a server that have exchanged Closes the server ends TCP first, so
    /// that the server's port, not the client's, is kept in TIME_WAIT.
    pub(super) fn server_ends_first(&self) -> bool {
        let record = &self.record;
        self.role == Role::Client
            && !self.multiplexed
            && record.closing_handshake.is_complete()
            && record.end.is_none()
            && !record.violated
    }

    /// Whether nothing more is awaited from the peer: it has said its last word, and its direction
    /// of the stream can be ended without harm to ours. A server alone may end it so (RFC 9113
    /// §8.1): the RST_STREAM of a client would be told as one.
    pub(super) fn ends_both_directions(&self) -> bool {
        let record = &self.record;
        let left = record.timeline.close_sent.is_some();
        let crossed = left && record.closing_handshake.is_complete() && !record.violated;
        self.role == Role::Server && self.multiplexed && crossed
    }
}
