//! The account of a connection as the backend gets it: who began the end, by what, and what was
//! said and lost. Made here, at the boundary, so that the protocol's types stay free to change.

use std::time::Duration;

use adieu::{Cause, Close, CloseCode, Cut, End, Ending, Side, Timer};
use serde_json::{Value, json};

/// The JSON form of an account. What was not seen is `null`.
#[must_use]
pub fn account(ending: &Ending) -> Value {
    let said = ending.goodbye.received().or(ending.goodbye.sent());
    json!({
        "sentence": ending.to_string(),
        "initiator": initiator(ending),
        "mechanism": mechanism(ending),
        "code": said.and_then(Close::code).map(CloseCode::get),
        "reason": said.map_or("", Close::reason),
        "clean": ending.is_clean(),
        "received": ending.goodbye.received().map(close),
        "sent": ending.goodbye.sent().map(close),
        "transport": transport(ending.transport.end),
        "transportEndedFirst": side(ending.transport.first),
        "closeNotify": ending.transport.close_notify,
        "cut": cut(ending.cut),
        "unsentMessages": ending.unsent.messages,
        "unsentBytes": ending.unsent.bytes,
        "unacknowledgedBytes": ending.unsent.unacknowledged,
        "detectionLatencyMs": detection_latency(ending).map(ms),
        "lastedMs": ms(ending.lasted),
    })
}

/// How long the peer may have been gone before that was noticed: since its last byte, where it
/// ended by silence; nothing where its end was heard. `None` where we ended it: there was nothing
/// to notice.
#[must_use]
pub fn detection_latency(ending: &Ending) -> Option<Duration> {
    match ending.cause {
        Cause::Timeout(_) | Cause::Unreachable => {
            Some(ending.lasted.saturating_sub(ending.timeline.heard.unwrap_or_default()))
        }
        Cause::Peer | Cause::Violation(_) | Cause::Eof | Cause::Reset => Some(Duration::ZERO),
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
        Cause::Application | Cause::Drain | Cause::Dropped | Cause::Panicked => "gateway",
        Cause::Timeout(Timer::Pong) | Cause::Unreachable => "network",
        Cause::Timeout(_) => "gateway",
        _ => "unknown",
    }
}

/// By what it ended.
fn mechanism(ending: &Ending) -> &'static str {
    match &ending.cause {
        Cause::Peer | Cause::Application => "close_frame",
        Cause::Drain => "drain",
        Cause::Dropped | Cause::Panicked => "crash",
        Cause::Violation(_) => "protocol_error",
        Cause::Timeout(Timer::Ping | Timer::Pong) => "pong_timeout",
        Cause::Timeout(_) => "write_timeout",
        Cause::Unreachable => "tcp_timeout",
        Cause::Eof => "fin",
        Cause::Reset => "rst",
        _ => "unknown",
    }
}

fn close(close: &Close) -> Value {
    json!({ "code": close.code().map(CloseCode::get), "reason": close.reason() })
}

fn transport(end: End) -> &'static str {
    match end {
        End::Fin => "fin",
        End::FinThenReset => "fin_then_rst",
        End::Reset => "rst",
        End::TimedOut => "timed_out",
        _ => "abandoned",
    }
}

fn side(side: Side) -> &'static str {
    match side {
        Side::Local => "gateway",
        Side::Peer => "client",
    }
}

fn cut(cut: Cut) -> &'static str {
    match cut {
        Cut::BetweenMessages => "between_messages",
        Cut::MidMessage => "mid_message",
        Cut::MidFrame => "mid_frame",
    }
}

fn ms(length: Duration) -> u64 {
    u64::try_from(length.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use adieu::{Goodbye, Timeline, Transport, Unsent};

    use super::*;

    fn of(cause: Cause, goodbye: Goodbye) -> Value {
        let transport = Transport { end: End::Fin, first: Side::Peer, close_notify: None };
        let (cut, unsent) = (Cut::BetweenMessages, Unsent::default());
        let lasted = Duration::from_millis(1500);
        account(&Ending::from_parts(
            cause,
            goodbye,
            transport,
            cut,
            unsent,
            Timeline::default(),
            lasted,
        ))
    }

    #[test]
    fn who_began_it_and_by_what_is_said_where_it_was_seen() {
        let cases = [
            (Cause::Peer, "client", "close_frame"),
            (Cause::Drain, "gateway", "drain"),
            (Cause::Eof, "unknown", "fin"),
            (Cause::Reset, "unknown", "rst"),
            (Cause::Timeout(Timer::Pong), "network", "pong_timeout"),
            (Cause::Timeout(Timer::Write), "gateway", "write_timeout"),
        ];
        for (cause, initiator, mechanism) in cases {
            let account = of(cause.clone(), Goodbye::None);
            assert_eq!(account["initiator"], initiator, "{cause:?}");
            assert_eq!(account["mechanism"], mechanism, "{cause:?}");
            assert_eq!(account["code"], Value::Null, "{cause:?}");
        }
        let theirs = Close::new(4999, "bye").unwrap();
        let account = of(Cause::Peer, Goodbye::Received { theirs });
        assert_eq!((&account["code"], &account["reason"]), (&json!(4999), &json!("bye")));
        assert_eq!(
            (&account["lastedMs"], &account["detectionLatencyMs"]),
            (&json!(1500), &json!(0))
        );
    }

    #[test]
    fn after_an_ending_by_silence_it_is_said_how_long_the_silence_was() {
        let mut timeline = Timeline::default();
        timeline.heard = Some(Duration::from_secs(60));
        let transport = Transport { end: End::TimedOut, first: Side::Local, close_notify: None };
        let (cut, unsent) = (Cut::BetweenMessages, Unsent::default());
        let cause = Cause::Timeout(Timer::Pong);
        let lasted = Duration::from_secs(85);
        let ending =
            Ending::from_parts(cause, Goodbye::None, transport, cut, unsent, timeline, lasted);
        assert_eq!(account(&ending)["detectionLatencyMs"], 25_000);
        assert_eq!(of(Cause::Drain, Goodbye::None)["detectionLatencyMs"], Value::Null);
    }
}
