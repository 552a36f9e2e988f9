//! Words of an ending that its JSON forms for the page and for the backend share.

use adieu_proto::{Cause, End, Ending, LetGo, RefusedBy, Timer, TransportKind};

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
        TransportKind::Stream => "stream",
        _ => "unknown",
    }
}

/// Who refused the opening handshake. `None` if nobody did.
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
