//! The JSON forms of reports: made here, at the boundary, so that the protocol's types stay free to
//! change.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::session::words;
use adieu::{Cause, Close, ClosingHandshake, End, Side, Transport, Truncation, Version};
use serde::Serialize;

/// What `GET /endings` gives, and what a page gets first.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Endings {
    pub(crate) open: Vec<Account>,
    pub(crate) ended: Vec<Account>,
    pub(crate) counts: BTreeMap<&'static str, u64>,
}

/// One connection.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Account {
    pub(crate) id: u64,
    pub(crate) tab: Option<String>,
    pub(crate) peer: String,
    pub(crate) browser: Option<String>,
    pub(crate) user_agent: Option<String>,
    pub(crate) version: Option<&'static str>,
    /// Milliseconds since 1970.
    pub(crate) opened_at: u64,
    pub(crate) ended_at: Option<u64>,
    pub(crate) messages_in: u64,
    pub(crate) messages_out: u64,
    pub(crate) ending: Option<Ending>,
}

/// How it ended.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Ending {
    sentence: String,
    opened: bool,
    cause: &'static str,
    cause_detail: Option<String>,
    /// Who refused it, where it was never opened.
    refused_by: Option<&'static str>,
    /// Whether the server was stopping by then.
    draining: bool,
    goodbye: ClosingHandshakeJson,
    transport: TransportJson,
    /// Why the server let go of it, where the peer never ended.
    let_go: Option<&'static str>,
    cut: &'static str,
    unsent: UnsentJson,
    lasted_ms: f64,
    timeline: TimelineJson,
    /// The clocks that the settings had switched off.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    switched_off: Vec<&'static str>,
    /// What the transport said of its failure.
    error: Option<String>,
}

#[derive(Clone, Debug, Serialize)]
struct ClosingHandshakeJson {
    order: &'static [&'static str],
    received: Option<CloseJson>,
    sent: Option<CloseJson>,
}

/// A Close frame; `code` is null in an empty one.
#[derive(Clone, Debug, Serialize)]
struct CloseJson {
    code: Option<u16>,
    reason: String,
}

#[derive(Clone, Debug, Serialize)]
struct TransportJson {
    kind: &'static str,
    end: &'static str,
    /// Whose direction ended first; null where that is not known.
    first: Option<&'static str>,
    then_reset: bool,
    close_notify: Option<bool>,
}

#[derive(Clone, Debug, Serialize)]
struct UnsentJson {
    messages: u64,
    bytes: u64,
    unacknowledged: Option<u64>,
}

/// Milliseconds since accept; null where it did not happen.
#[derive(Clone, Debug, Serialize)]
struct TimelineJson {
    opened: Option<f64>,
    close_sent: Option<f64>,
    close_received: Option<f64>,
    fin_sent: Option<f64>,
    peer_ended: Option<f64>,
    ended: f64,
}

impl From<&adieu::Ending> for Ending {
    fn from(ending: &adieu::Ending) -> Self {
        let (cause, cause_detail) = cause(&ending.cause);
        let timeline = &ending.timeline;
        Ending {
            sentence: ending.to_string(),
            opened: ending.opened(),
            cause,
            cause_detail,
            refused_by: words::refused_by(&ending.cause),
            draining: ending.draining,
            goodbye: closing_handshake(&ending.closing_handshake),
            transport: transport(&ending.transport),
            let_go: words::let_go(ending.transport.end),
            cut: cut(ending.truncation),
            unsent: UnsentJson {
                messages: ending.unsent.messages,
                bytes: ending.unsent.bytes,
                unacknowledged: ending.unsent.unacknowledged,
            },
            lasted_ms: ms(ending.lasted),
            timeline: TimelineJson {
                opened: timeline.opened.map(ms),
                close_sent: timeline.close_sent.map(ms),
                close_received: timeline.close_received.map(ms),
                fin_sent: timeline.fin_sent.map(ms),
                peer_ended: timeline.peer_ended.map(ms),
                ended: ms(ending.lasted),
            },
            switched_off: words::switched_off(ending),
            error: ending.error.as_ref().map(ToString::to_string),
        }
    }
}

fn ms(duration: Duration) -> f64 {
    // Microseconds are as exact as the clock; more digits would only look so.
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

/// The cause as one word, for filters and counts, and what more there is to say of it.
fn cause(cause: &Cause) -> (&'static str, Option<String>) {
    match cause {
        Cause::Application => ("application", None),
        Cause::HandlerReturned => ("handler_returned", None),
        Cause::HandlerFailed => ("handler_failed", None),
        Cause::SlowConsumer => ("slow_consumer", None),
        Cause::NoBinary => ("no_binary", None),
        Cause::TooManyConnections => ("too_many_connections", None),
        Cause::TooMuchReceived => ("too_much_received", None),
        Cause::Drain => ("drain", None),
        Cause::Dropped => ("dropped", None),
        Cause::Panicked => ("panicked", None),
        Cause::Peer => ("peer", None),
        Cause::Violation(error) => ("violation", Some(error.to_string())),
        Cause::Timeout(timer) => ("timeout", Some(timer.to_string())),
        Cause::Eof => ("eof", None),
        Cause::Reset => ("reset", None),
        Cause::Unreachable => ("timeout", Some("the operating system gave up".to_owned())),
        Cause::TransportFailed => ("transport_failed", None),
        Cause::Handshake(error) => ("handshake", Some(error.to_string())),
        other => ("other", Some(format!("{other:?}"))),
    }
}

/// The word of [`cause`] alone.
pub(crate) fn cause_word(ending: &Ending) -> &'static str {
    ending.cause
}

fn closing_handshake(crossed: &ClosingHandshake) -> ClosingHandshakeJson {
    ClosingHandshakeJson {
        order: order(crossed),
        received: crossed.received().map(close),
        sent: crossed.sent().map(close),
    }
}

fn order(crossed: &ClosingHandshake) -> &'static [&'static str] {
    match crossed {
        ClosingHandshake::None => &[],
        ClosingHandshake::Sent { .. } => &["sent"],
        ClosingHandshake::Received { .. } => &["received"],
        ClosingHandshake::SentThenReceived { .. } => &["sent", "received"],
        ClosingHandshake::ReceivedThenSent { .. } => &["received", "sent"],
    }
}

fn close(close: &Close) -> CloseJson {
    let code = close.code().map(adieu::CloseCode::get);
    CloseJson { code, reason: close.reason().to_owned() }
}

fn transport(transport: &Transport) -> TransportJson {
    let (end, then_reset) = end(transport.end);
    TransportJson {
        kind: words::transport_kind(transport.kind),
        end,
        first: transport.active_closer.map(side),
        then_reset,
        close_notify: transport.close_notify,
    }
}

fn end(end: End) -> (&'static str, bool) {
    match end {
        End::Finished => ("fin", false),
        End::FinishedThenReset => ("fin", true),
        End::Reset => ("reset", false),
        End::Lost => ("timed_out", false),
        End::LetGo(_) => ("abandoned", false),
        _ => ("unknown", false),
    }
}

fn side(side: Side) -> &'static str {
    match side {
        Side::Local => "local",
        Side::Peer => "peer",
    }
}

fn cut(truncation: Truncation) -> &'static str {
    match truncation {
        Truncation::BetweenMessages => "between_messages",
        Truncation::MidMessage => "mid_message",
        Truncation::MidFrame => "mid_frame",
    }
}

/// A version by a name that fits into a URL or a label.
pub(crate) fn version(version: Version) -> &'static str {
    match version {
        Version::Hixie75 => "hixie75",
        Version::Hixie76 => "hixie76",
        Version::Hybi07 => "hybi07",
        Version::Hybi08 => "hybi08",
        Version::Rfc6455 => "rfc6455",
    }
}

#[cfg(test)]
mod tests {
    use adieu::{LetGo, Timer, TransportKind};

    use super::*;

    fn of(cause: Cause, end: End, active_closer: Option<Side>) -> adieu::Ending {
        let transport =
            Transport { kind: TransportKind::Tls, end, active_closer, close_notify: None };
        let lasted = Duration::from_millis(1500);
        adieu::Ending::from_parts(cause, ClosingHandshake::None, transport, lasted)
    }

    #[test]
    fn what_was_not_seen_is_null_or_missing() {
        let ending = of(Cause::HandlerReturned, End::Finished, Some(Side::Peer));
        let json = serde_json::to_value(Ending::from(&ending)).unwrap();
        assert_eq!(json["cause"], "handler_returned");
        assert_eq!(json["transport"]["kind"], "tls");
        assert_eq!(json["transport"]["first"], "peer");
        for key in ["refused_by", "let_go", "error"] {
            assert!(json[key].is_null(), "{key}: {json}");
        }
        assert_eq!((&json["draining"], json.get("switched_off")), (&false.into(), None));
    }

    #[test]
    fn what_was_seen_is_said() {
        let mut ending = of(Cause::TransportFailed, End::LetGo(LetGo::Clock(Timer::Close)), None);
        ending.draining = true;
        ending.switched_off = vec![Timer::Ping, Timer::Pong];
        ending.error = Some(std::io::Error::other("the tunnel collapsed").into());
        let json = serde_json::to_value(Ending::from(&ending)).unwrap();
        assert_eq!(json["cause"], "transport_failed");
        assert_eq!(
            (&json["transport"]["end"], &json["let_go"]),
            (&"abandoned".into(), &"close".into())
        );
        assert!(json["transport"]["first"].is_null());
        assert_eq!(
            (&json["draining"], &json["error"]),
            (&true.into(), &"the tunnel collapsed".into())
        );
        assert_eq!(json["switched_off"], serde_json::json!(["ping", "pong"]));
    }

    #[test]
    fn who_refused_is_said() {
        let cause = Cause::Handshake(adieu::HandshakeError::Draining);
        let json = serde_json::to_value(Ending::from(&of(cause, End::Unknown, None))).unwrap();
        assert_eq!(
            (&json["refused_by"], &json["transport"]["end"]),
            (&"drain".into(), &"unknown".into())
        );
    }
}
