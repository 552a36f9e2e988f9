//! The report of a connection as the backend gets it: who began the end, by what, and what was
//! said and lost. Made here, at the boundary, so that the protocol's types stay free to change.

use std::time::Duration;

use adieu_proto::{Cause, Close, CloseCode, End, Ending, Side, Timer, Truncation};
use serde_json::{Value, json};

use super::words;

/// The JSON form of a report. What was not seen is `null`.
#[must_use]
pub fn account(ending: &Ending) -> Value {
    let said = ending.closing_handshake.received().or(ending.closing_handshake.sent());
    json!({
        "sentence": ending.to_string(),
        "initiator": initiator(ending),
        "mechanism": mechanism(ending),
        "code": said.and_then(Close::code).map(CloseCode::get),
        "reason": said.map_or("", Close::reason),
        "clean": ending.is_clean(),
        "draining": ending.draining,
        "refusedBy": words::refused_by(&ending.cause),
        "received": ending.closing_handshake.received().map(close),
        "sent": ending.closing_handshake.sent().map(close),
        "transport": transport(ending.transport.end),
        "transportKind": words::transport_kind(ending.transport.kind),
        "transportEndedFirst": ending.transport.active_closer.map(side),
        "letGo": words::let_go(ending.transport.end),
        "closeNotify": ending.transport.close_notify,
        "cut": cut(ending.truncation),
        "unsentMessages": ending.unsent.messages,
        "unsentBytes": ending.unsent.bytes,
        "unacknowledgedBytes": ending.unsent.unacknowledged,
        "detectionLatencyMs": detection_latency(ending).map(ms),
        "lastedMs": ms(ending.lasted),
        "switchedOff": words::switched_off(ending),
        "error": ending.error.as_ref().map(ToString::to_string),
    })
}

/// How long the peer may have been gone before that was noticed: since its last byte, where it
/// ended by silence; nothing where its end was heard. `None` where we ended it: there was nothing
/// to notice.
#[must_use]
pub fn detection_latency(ending: &Ending) -> Option<Duration> {
    match ending.cause {
        Cause::Timeout(_) | Cause::Unreachable => {
            Some(ending.lasted.saturating_sub(ending.timeline.last_received.unwrap_or_default()))
        }
        Cause::Peer | Cause::Violation(_) | Cause::Eof | Cause::Reset | Cause::TransportFailed => {
            Some(Duration::ZERO)
        }
        _ => None,
    }
}

/// Who began it and by what, for counting.
#[must_use]
pub fn labels(ending: &Ending) -> (&'static str, &'static str) {
    (initiator(ending), mechanism(ending))
}

/// Who began it, as far as that can be seen: a FIN or an RST without a word may come from the
/// client or from anything on the way.
fn initiator(ending: &Ending) -> &'static str {
    match &ending.cause {
        Cause::Peer | Cause::Violation(_) => "client",
        cause if is_close_of_ours(cause) => "gateway",
        Cause::Drain | Cause::Dropped | Cause::Panicked => "gateway",
        Cause::Timeout(Timer::Pong) | Cause::Unreachable => "network",
        Cause::Timeout(_) => "gateway",
        _ => "unknown",
    }
}

/// Whether the gateway decided to close it, for whatever reason.
fn is_close_of_ours(cause: &Cause) -> bool {
    matches!(
        cause,
        Cause::Application
            | Cause::HandlerReturned
            | Cause::HandlerFailed
            | Cause::SlowConsumer
            | Cause::NoBinary
            | Cause::TooManyConnections
            | Cause::TooMuchReceived
    )
}

/// By what it ended.
fn mechanism(ending: &Ending) -> &'static str {
    match &ending.cause {
        cause if is_close_of_ours(cause) => "close_frame",
        Cause::Peer => "close_frame",
        Cause::Drain => "drain",
        Cause::Dropped | Cause::Panicked => "crash",
        Cause::Violation(_) => "protocol_error",
        Cause::Timeout(Timer::Ping | Timer::Pong) => "pong_timeout",
        Cause::Timeout(_) => "write_timeout",
        Cause::Unreachable => "tcp_timeout",
        Cause::Eof => "fin",
        Cause::Reset => "rst",
        Cause::TransportFailed => "transport_error",
        _ => "unknown",
    }
}

fn close(close: &Close) -> Value {
    json!({ "code": close.code().map(CloseCode::get), "reason": close.reason() })
}

fn transport(end: End) -> &'static str {
    match end {
        End::Finished => "fin",
        End::FinishedThenReset => "fin_then_rst",
        End::Reset => "rst",
        End::Lost => "timed_out",
        End::LetGo(_) => "abandoned",
        _ => "unknown",
    }
}

fn side(side: Side) -> &'static str {
    match side {
        Side::Local => "gateway",
        Side::Peer => "client",
    }
}

fn cut(truncation: Truncation) -> &'static str {
    match truncation {
        Truncation::BetweenMessages => "between_messages",
        Truncation::MidMessage => "mid_message",
        Truncation::MidFrame => "mid_frame",
    }
}

fn ms(length: Duration) -> u64 {
    u64::try_from(length.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use adieu_proto::{ClosingHandshake, LetGo, Transport, TransportKind};

    use super::*;

    fn report(cause: Cause, end: End, closing_handshake: ClosingHandshake) -> Ending {
        let transport = Transport {
            kind: TransportKind::Tcp,
            end,
            active_closer: Some(Side::Peer),
            close_notify: None,
        };
        let lasted = Duration::from_millis(1500);
        Ending::from_parts(cause, closing_handshake, transport, lasted)
    }

    fn of(cause: Cause, closing_handshake: ClosingHandshake) -> Value {
        account(&report(cause, End::Finished, closing_handshake))
    }

    #[test]
    fn who_began_it_and_by_what_is_said_where_it_was_seen() {
        let cases = [
            (Cause::Peer, "client", "close_frame"),
            (Cause::Application, "gateway", "close_frame"),
            (Cause::HandlerReturned, "gateway", "close_frame"),
            (Cause::HandlerFailed, "gateway", "close_frame"),
            (Cause::Drain, "gateway", "drain"),
            (Cause::Eof, "unknown", "fin"),
            (Cause::Reset, "unknown", "rst"),
            (Cause::TransportFailed, "unknown", "transport_error"),
            (Cause::Timeout(Timer::Pong), "network", "pong_timeout"),
            (Cause::Timeout(Timer::Write), "gateway", "write_timeout"),
        ];
        for (cause, initiator, mechanism) in cases {
            let account = of(cause.clone(), ClosingHandshake::None);
            assert_eq!(account["initiator"], initiator, "{cause:?}");
            assert_eq!(account["mechanism"], mechanism, "{cause:?}");
            assert_eq!(account["code"], Value::Null, "{cause:?}");
        }
        let theirs = Close::new(4999, "bye").unwrap();
        let account = of(Cause::Peer, ClosingHandshake::Received { theirs });
        assert_eq!((&account["code"], &account["reason"]), (&json!(4999), &json!("bye")));
        assert_eq!(
            (&account["lastedMs"], &account["detectionLatencyMs"]),
            (&json!(1500), &json!(0))
        );
    }

    #[test]
    fn after_an_ending_by_silence_it_is_said_how_long_the_silence_was() {
        let cause = Cause::Timeout(Timer::Pong);
        let mut ending = report(cause, End::Lost, ClosingHandshake::None);
        ending.timeline.last_received = Some(Duration::from_secs(60));
        ending.lasted = Duration::from_secs(85);
        assert_eq!(account(&ending)["detectionLatencyMs"], 25_000);
        assert_eq!(of(Cause::Drain, ClosingHandshake::None)["detectionLatencyMs"], Value::Null);
    }

    #[test]
    fn why_we_let_go_is_said_and_what_was_not_watched() {
        let end = End::LetGo(LetGo::Clock(Timer::Drain));
        let mut ending = report(Cause::Peer, end, ClosingHandshake::None);
        (ending.draining, ending.switched_off) = (true, vec![Timer::Pong]);
        ending.transport.active_closer = None;
        let account = account(&ending);
        assert_eq!(
            (&account["transport"], &account["letGo"]),
            (&json!("abandoned"), &json!("drain"))
        );
        assert_eq!(account["draining"], true);
        assert_eq!(account["switchedOff"], json!(["pong"]));
        assert_eq!(account["transportEndedFirst"], Value::Null);
    }
}
