//! The words of an ending: the same in the events that the backend hears, on the page and in its
//! JSON, and in the metrics.

use std::borrow::Cow;

use adieu_proto::{
    Cause, ClosingHandshake, End, Ending, LetGo, RefusedBy, Side, Timer, TransportKind, Truncation,
};
use serde::{Deserialize, Serialize};

/// A word of the library's report, where the set of words may grow.
pub type Word = Cow<'static, str>;

/// Gives the values of an enum as words.
macro_rules! words {
    ($(#[$of:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$of])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum $name { $($(#[$doc])* #[serde(rename = $word)] $variant,)+ }

        impl $name {
            /// As the backend is told it, and as metrics count it.
            #[must_use]
            pub fn word(self) -> &'static str {
                match self { $($name::$variant => $word,)+ }
            }
        }
    };
}

words! {
    /// Which side began an end, as far as that can be seen: a FIN or an RST without a word may come
    /// from the client or from anything on the way.
    Initiator {
        /// The client.
        Client = "client",
        /// The backend, through the API or in an answer.
        Backend = "backend",
        /// The gateway.
        Gateway = "gateway",
        /// The way between.
        Network = "network",
        /// It cannot be known.
        Unknown = "unknown",
    }
}

words! {
    /// By what it ended.
    Mechanism {
        /// A Close of WebSocket.
        CloseFrame = "close_frame",
        /// `goodbye` of adieu.v1.
        Goodbye = "goodbye",
        /// A FIN of TCP without a Close.
        Fin = "fin",
        /// An RST of TCP.
        Rst = "rst",
        /// Over HTTP/2: the stream was ended (END_STREAM) without a Close.
        EndStream = "end_stream",
        /// Over HTTP/2: the stream was reset (RST_STREAM). Chromium does that when its page is
        /// reloaded or closed.
        RstStream = "rst_stream",
        /// A Ping was not answered.
        PongTimeout = "pong_timeout",
        /// The client did not read.
        WriteTimeout = "write_timeout",
        /// The client's kernel acknowledged nothing.
        TcpTimeout = "tcp_timeout",
        /// The opening handshake failed or was refused: it never became a WebSocket.
        Handshake = "handshake",
        /// The client broke the protocol.
        ProtocolError = "protocol_error",
        /// The transport failed otherwise.
        TransportError = "transport_error",
        /// The gateway stopped.
        Drain = "drain",
        /// The gateway, or a task of it, was killed.
        Crash = "crash",
        /// The API.
        Api = "api",
        /// Another user took the tab.
        Resume = "resume",
        /// Something else.
        Unknown = "unknown",
    }
}

words! {
    /// Why a session is over.
    SessionCause {
        /// The client said `goodbye`.
        Goodbye = "goodbye",
        /// Close 1000, a 4xxx or an empty one.
        Left = "left",
        /// 1001 or 4001, and no return.
        Hidden = "hidden",
        /// The connection broke, and no return.
        Lost = "lost",
        /// The gateway stopped, and no return.
        Drained = "drained",
        /// The gateway was killed, and no return.
        GatewayDown = "gateway_down",
        /// The backend ended it.
        EndedByBackend = "ended_by_backend",
        /// The backend said that another user is in this tab now.
        Replaced = "replaced",
    }
}

words! {
    /// Why the gateway closed a connection, or let go of it: what it means is said in
    /// `adieu::Cause`.
    ClosedBecause {
        /// Its code asked for it: the session was ended, or goes on elsewhere.
        Application = "application",
        /// Its code was done with it.
        HandlerReturned = "handler_returned",
        /// Its code gave an error.
        HandlerFailed = "handler_failed",
        /// Its code panicked.
        Panicked = "panicked",
        /// Its code dropped it without a word.
        Dropped = "dropped",
        /// The client read more slowly than the group speaks that it was in.
        SlowConsumer = "slow_consumer",
        /// Binary data had to go to a version without any.
        NoBinary = "no_binary",
        /// It was above the limit of connections.
        TooManyConnections = "too_many_connections",
        /// All connections together were receiving too much.
        TooMuchReceived = "too_much_received",
    }
}

/// Why the gateway closed it. `None` if something else began the ending.
#[must_use]
pub fn closed_because(cause: &Cause) -> Option<ClosedBecause> {
    Some(match cause {
        Cause::Application => ClosedBecause::Application,
        Cause::HandlerReturned => ClosedBecause::HandlerReturned,
        Cause::HandlerFailed => ClosedBecause::HandlerFailed,
        Cause::Panicked => ClosedBecause::Panicked,
        Cause::Dropped => ClosedBecause::Dropped,
        Cause::SlowConsumer => ClosedBecause::SlowConsumer,
        Cause::NoBinary => ClosedBecause::NoBinary,
        Cause::TooManyConnections => ClosedBecause::TooManyConnections,
        Cause::TooMuchReceived => ClosedBecause::TooMuchReceived,
        _ => return None,
    })
}

/// Which side began it.
#[must_use]
pub fn initiator(cause: &Cause) -> Initiator {
    match cause {
        cause if closed_because(cause).is_some() => Initiator::Gateway,
        Cause::Peer | Cause::Violation(_) => Initiator::Client,
        Cause::Drain => Initiator::Gateway,
        Cause::Timeout(Timer::Pong) | Cause::Unreachable => Initiator::Network,
        Cause::Timeout(_) => Initiator::Gateway,
        Cause::Handshake(error) => match error.refused_by() {
            Some(RefusedBy::Protocol) => Initiator::Client,
            Some(_) => Initiator::Gateway,
            None => Initiator::Unknown,
        },
        _ => Initiator::Unknown,
    }
}

/// By what it ended.
#[must_use]
pub fn mechanism(ending: &Ending) -> Mechanism {
    let of_stream = ending.http2.is_some_and(|http2| http2.connection_end.is_none());
    match &ending.cause {
        Cause::Eof if of_stream => Mechanism::EndStream,
        Cause::Reset if of_stream => Mechanism::RstStream,
        Cause::Dropped | Cause::Panicked => Mechanism::Crash,
        cause if closed_because(cause).is_some() => Mechanism::CloseFrame,
        Cause::Peer => Mechanism::CloseFrame,
        Cause::Drain => Mechanism::Drain,
        Cause::Violation(_) => Mechanism::ProtocolError,
        Cause::Timeout(Timer::Ping | Timer::Pong) => Mechanism::PongTimeout,
        Cause::Timeout(_) => Mechanism::WriteTimeout,
        Cause::Unreachable => Mechanism::TcpTimeout,
        Cause::Eof => Mechanism::Fin,
        Cause::Reset => Mechanism::Rst,
        Cause::TransportFailed => Mechanism::TransportError,
        Cause::Handshake(_) => Mechanism::Handshake,
        _ => Mechanism::Unknown,
    }
}

/// What the cause says beside its word.
#[must_use]
pub fn detail(cause: &Cause) -> Option<String> {
    match cause {
        Cause::Violation(error) => Some(error.to_string()),
        Cause::Timeout(timer) => Some(timer.to_string()),
        Cause::Handshake(error) => Some(error.to_string()),
        _ => None,
    }
}

/// Which side's Close was the first.
#[must_use]
pub fn first_close(handshake: &ClosingHandshake) -> Option<&'static str> {
    Some(side(match handshake {
        ClosingHandshake::None => return None,
        ClosingHandshake::Sent { .. } | ClosingHandshake::SentThenReceived { .. } => Side::Local,
        ClosingHandshake::Received { .. } | ClosingHandshake::ReceivedThenSent { .. } => Side::Peer,
    }))
}

/// How the transport ended.
#[must_use]
pub fn transport(ending: &Ending) -> &'static str {
    let of_stream = ending.http2.is_some_and(|http2| http2.connection_end.is_none());
    match ending.transport.end {
        End::Finished if of_stream => "end_stream",
        End::Finished if ending.transport.kind == TransportKind::UpgradedHttp2 => "ended_or_reset",
        End::FinishedThenReset if of_stream => "end_stream_then_rst_stream",
        End::Reset if of_stream => "rst_stream",
        End::LetGo(LetGo::BothClosed) => "both_closed",
        End::Finished => "fin",
        End::FinishedThenReset => "fin_then_rst",
        End::Reset => "rst",
        End::Lost => "timed_out",
        End::LetGo(_) => "abandoned",
        _ => "unknown",
    }
}

/// A side of a connection.
#[must_use]
pub fn side(side: Side) -> &'static str {
    match side {
        Side::Local => Initiator::Gateway.word(),
        Side::Peer => Initiator::Client.word(),
    }
}

/// Where the client's bytes stopped.
#[must_use]
pub fn cut(truncation: Truncation) -> &'static str {
    match truncation {
        Truncation::BetweenMessages => "between_messages",
        Truncation::MidMessage => "mid_message",
        Truncation::MidFrame => "mid_frame",
    }
}
/// Why our side let go of a connection whose peer had not ended: the clock that ran out, or what
/// else. `None` if it did not.
#[must_use]
pub fn let_go(end: End) -> Option<&'static str> {
    let End::LetGo(why) = end else { return None };
    Some(match why {
        LetGo::Clock(clock) => timer(clock),
        LetGo::TaskDropped => "task_dropped",
        LetGo::RuntimeGone => "runtime_gone",
        LetGo::Forced => "forced",
        LetGo::Refused => "refused",
        LetGo::BothClosed => "both_closed",
        _ => "other",
    })
}

/// A clock.
#[must_use]
pub fn timer(timer: Timer) -> &'static str {
    match timer {
        Timer::Handshake => "handshake",
        Timer::Ping => "ping",
        Timer::Pong => "pong",
        Timer::Write => "write",
        Timer::Grace => "grace",
        Timer::Flush => "flush",
        Timer::Close => "close",
        Timer::Linger => "linger",
        Timer::Drain => "drain",
        _ => "other",
    }
}

/// The clocks that the settings had switched off.
#[must_use]
pub fn switched_off(ending: &Ending) -> Vec<&'static str> {
    ending.switched_off.iter().copied().map(timer).collect()
}

/// What carried the connection.
#[must_use]
pub fn transport_kind(kind: TransportKind) -> &'static str {
    match kind {
        TransportKind::Tcp => "tcp",
        TransportKind::Tls => "tls",
        TransportKind::Http2 => "http2",
        TransportKind::UpgradedHttp2 => "upgraded_http2",
        TransportKind::Stream => "stream",
        _ => "unknown",
    }
}

/// Which part refused the opening handshake. `None` if none did.
#[must_use]
pub fn refused_by(cause: &Cause) -> Option<&'static str> {
    let Cause::Handshake(error) = cause else { return None };
    Some(match error.refused_by()? {
        RefusedBy::Application => "application",
        RefusedBy::Panic => "panic",
        RefusedBy::Limit => "limit",
        RefusedBy::Drain => "drain",
        RefusedBy::Protocol => "protocol",
        RefusedBy::Server => "server",
        _ => "other",
    })
}

#[cfg(test)]
mod tests {
    use adieu_proto::HandshakeError;

    use super::*;

    #[test]
    fn only_what_happened_has_a_word() {
        assert_eq!(let_go(End::LetGo(LetGo::Clock(Timer::Linger))), Some("linger"));
        assert_eq!(let_go(End::LetGo(LetGo::Forced)), Some("forced"));
        assert_eq!(let_go(End::Lost), None);
        assert_eq!(refused_by(&Cause::Handshake(HandshakeError::Full)), Some("limit"));
        assert_eq!(refused_by(&Cause::Handshake(HandshakeError::TimedOut)), None);
        assert_eq!(refused_by(&Cause::Drain), None);
    }
}
