//! The JSON forms of accounts: made here, at the boundary, so that the protocol's types stay free
//! to change.

use std::collections::BTreeMap;
use std::time::Duration;

use adieu::{Cause, Close, Cut, End, Goodbye, Side, Version};
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
    goodbye: GoodbyeJson,
    transport: TransportJson,
    cut: &'static str,
    unsent: UnsentJson,
    lasted_ms: f64,
    timeline: TimelineJson,
}

#[derive(Clone, Debug, Serialize)]
struct GoodbyeJson {
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
    end: &'static str,
    first: &'static str,
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
        let (end, then_reset) = end(ending.transport.end);
        Ending {
            sentence: ending.to_string(),
            opened: ending.opened(),
            cause,
            cause_detail,
            goodbye: GoodbyeJson {
                order: order(&ending.goodbye),
                received: ending.goodbye.received().map(close),
                sent: ending.goodbye.sent().map(close),
            },
            transport: TransportJson {
                end,
                first: side(ending.transport.first),
                then_reset,
                close_notify: ending.transport.close_notify,
            },
            cut: cut(ending.cut),
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
        Cause::Drain => ("drain", None),
        Cause::Dropped => ("dropped", None),
        Cause::Panicked => ("panicked", None),
        Cause::Peer => ("peer", None),
        Cause::Violation(error) => ("violation", Some(error.to_string())),
        Cause::Timeout(timer) => ("timeout", Some(timer.to_string())),
        Cause::Eof => ("eof", None),
        Cause::Reset => ("reset", None),
        Cause::Unreachable => ("timeout", Some("the operating system gave up".to_owned())),
        Cause::Handshake(error) => ("handshake", Some(error.to_string())),
        other => ("other", Some(format!("{other:?}"))),
    }
}

/// The word of [`cause`] alone.
pub(crate) fn cause_word(ending: &Ending) -> &'static str {
    ending.cause
}

fn order(goodbye: &Goodbye) -> &'static [&'static str] {
    match goodbye {
        Goodbye::None => &[],
        Goodbye::Sent { .. } => &["sent"],
        Goodbye::Received { .. } => &["received"],
        Goodbye::SentThenReceived { .. } => &["sent", "received"],
        Goodbye::ReceivedThenSent { .. } => &["received", "sent"],
    }
}

fn close(close: &Close) -> CloseJson {
    let code = close.code().map(adieu::CloseCode::get);
    CloseJson { code, reason: close.reason().to_owned() }
}

fn end(end: End) -> (&'static str, bool) {
    match end {
        End::Fin => ("fin", false),
        End::FinThenReset => ("fin", true),
        End::Reset => ("reset", false),
        End::TimedOut => ("timed_out", false),
        _ => ("abandoned", false),
    }
}

fn side(side: Side) -> &'static str {
    match side {
        Side::Local => "local",
        Side::Peer => "peer",
    }
}

fn cut(cut: Cut) -> &'static str {
    match cut {
        Cut::BetweenMessages => "between_messages",
        Cut::MidMessage => "mid_message",
        Cut::MidFrame => "mid_frame",
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
