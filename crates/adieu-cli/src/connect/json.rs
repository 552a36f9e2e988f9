//! The ending as one line of JSON. The words are those of hooks, metrics and the live page, but for
//! the sides: `local` is this program, `peer` the server.

use std::time::Duration;

use adieu::{Cause, Close, CloseCode, ClosingHandshake, Compressed, Ending, Refusal, Side, Timer};
use adieu_session::words;
use serde_json::{Value, json};

use super::exit::Exit;
use super::report;

/// All that is known of how it went, as a line. What is not known is `null`.
pub(super) fn report(
    exit: Exit,
    error: Option<&str>,
    error_id: Option<&str>,
    refusal: Option<&Value>,
    ending: Option<&Ending>,
) -> String {
    let report = json!({
        "class": exit.word(),
        "exitCode": exit as u8,
        "error": error,
        "errorId": error_id,
        "refusal": refusal,
        "ending": ending.map(self::ending),
    });
    without_control(&report.to_string())
}

/// JSON lets DEL and C1 stand in a string (RFC 8259 §7); a terminal acts on them.
fn without_control(json: &str) -> String {
    let mut line = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            c if c.is_control() => line += &format!("\\u{:04x}", u32::from(c)),
            c => line.push(c),
        }
    }
    line
}

/// An answer that refused. Bytes that are no UTF-8 are replaced.
pub(super) fn refusal(refusal: &Refusal, secrets: bool) -> Value {
    let field = |(name, value): &(String, Vec<u8>)| {
        json!([name, String::from_utf8_lossy(&report::shown(name, value, secrets))])
    };
    json!({
        "status": refusal.status,
        "reason": refusal.reason,
        "headers": refusal.headers.iter().map(field).collect::<Vec<_>>(),
        "body": refusal.body_text(),
        "bodyIsWhole": refusal.body_is_whole,
    })
}

fn ending(ending: &Ending) -> Value {
    let handshake = &ending.closing_handshake;
    let (transport, timeline) = (&ending.transport, &ending.timeline);
    json!({
        "sentence": ending.to_string(),
        "id": ending.cause.id(),
        "clean": ending.is_clean(),
        "initiator": initiator(&ending.cause),
        "mechanism": words::mechanism(ending).word(),
        "detail": words::detail(&ending.cause),
        "received": handshake.received().map(said),
        "sent": handshake.sent().map(said),
        "firstClose": first_close(handshake).map(side),
        "transport": words::transport(ending),
        "transportKind": words::transport_kind(transport.kind),
        "transportEndedFirst": transport.active_closer.map(side),
        "letGo": words::let_go(transport.end),
        "closeNotify": transport.close_notify,
        "cut": words::cut(ending.truncation),
        "unsentMessages": ending.unsent.messages,
        "unsentBytes": ending.unsent.bytes,
        "unacknowledgedBytes": ending.unsent.unacknowledged,
        "timelineMs": {
            "opened": timeline.opened.map(ms),
            "lastReceived": timeline.last_received.map(ms),
            "closeSent": timeline.close_sent.map(ms),
            "closeReceived": timeline.close_received.map(ms),
            "closeNotify": timeline.close_notify.map(ms),
            "weEnded": timeline.fin_sent.map(ms),
            "peerEnded": timeline.peer_ended.map(ms),
        },
        "lastedMs": ms(ending.lasted),
        "roundTripMs": ending.round_trip.map(ms),
        "http2": ending.http2.map(adieu_session::ending::Http2::from),
        "compressed": ending.compressed.map(compressed),
        "switchedOff": words::switched_off(ending),
        "error": ending.error.as_ref().map(ToString::to_string),
    })
}

fn compressed(bytes: Compressed) -> Value {
    let Compressed { sent, sent_as, received, received_as } = bytes;
    json!({ "sent": sent, "sentAs": sent_as, "received": received, "receivedAs": received_as })
}

/// Which side began it, as far as a client can know.
pub(super) fn initiator(cause: &Cause) -> &'static str {
    match cause {
        Cause::Peer | Cause::Violation(_) => "peer",
        Cause::Timeout(Timer::Pong) | Cause::Unreachable => "network",
        Cause::Eof | Cause::Reset | Cause::TransportFailed => "unknown",
        Cause::Handshake(error) if error.refused_by().is_some() => "peer",
        Cause::Handshake(adieu::HandshakeError::TimedOut) => "local",
        Cause::Handshake(_) => "unknown",
        _ => "local",
    }
}

fn said(close: &Close) -> Value {
    json!({ "code": close.code().map(CloseCode::get), "reason": close.reason() })
}

fn first_close(handshake: &ClosingHandshake) -> Option<Side> {
    match handshake {
        ClosingHandshake::None => None,
        ClosingHandshake::Sent { .. } | ClosingHandshake::SentThenReceived { .. } => {
            Some(Side::Local)
        }
        ClosingHandshake::Received { .. } | ClosingHandshake::ReceivedThenSent { .. } => {
            Some(Side::Peer)
        }
    }
}

fn side(side: Side) -> &'static str {
    match side {
        Side::Local => "local",
        Side::Peer => "peer",
    }
}

/// Milliseconds with three digits behind the point.
fn ms(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}
