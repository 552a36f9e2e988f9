//! How connections and sessions end, in the one vocabulary that the backend, the page and the
//! metrics share. Made here of the report of the protocol, whose types stay free to change.

use std::sync::Arc;
use std::time::Duration;

use adieu_proto::{Cause, Close, CloseCode, Ending, Http2ErrorCode};
use serde::{Deserialize, Serialize};

use super::machine::Why;
use super::time::Timestamp;
use super::wait::Departure;
use super::words;
pub use super::words::{ClosedBecause, Initiator, Mechanism, SessionCause, Word};

/// A Close as it was said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SaidClose {
    /// Its code; `null` for an empty one.
    pub code: Option<u16>,
    /// Its reason.
    pub reason: String,
}

/// Payload bytes of the messages that were compressed, before and after. Messages that were sent as
/// they are do not count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Compressed {
    /// Bytes for the client.
    pub sent: u64,
    /// What they were compressed to.
    pub sent_as: u64,
    /// Bytes of the client.
    pub received: u64,
    /// What they were compressed to.
    pub received_as: u64,
}

/// The stream of HTTP/2 (RFC 9113) that carried a connection (RFC 8441). The codes are their names
/// in RFC 9113 §7.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Http2 {
    /// The number of the HTTP/2 connection in this process: those with the same number may have
    /// ended together.
    pub connection: u64,
    /// The stream's identifier.
    pub stream: u32,
    /// The code of the peer's RST_STREAM.
    pub reset: Option<Word>,
    /// The code of the peer's GOAWAY.
    pub goaway: Option<Word>,
    /// Whether the stream ended because its connection did.
    pub by_connection: bool,
}

impl From<adieu_proto::Http2> for Http2 {
    fn from(http2: adieu_proto::Http2) -> Self {
        let name = |code: Http2ErrorCode| match code.name() {
            Some(name) => Word::Borrowed(name),
            None => Word::Owned(format!("{:#x}", code.0)),
        };
        Http2 {
            connection: http2.connection,
            stream: http2.stream,
            reset: http2.reset.map(name),
            goaway: http2.goaway.map(name),
            by_connection: http2.connection_end.is_some(),
        }
    }
}

/// How a connection ended: what `session.ended` and `connection.lost` say of it, and `/endings`
/// and the page. What was not seen is `null`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConnectionEnding {
    /// In English.
    pub sentence: String,
    /// The short word for this kind of ending that stays the same ([`Cause::id`]). Empty in what a
    /// version without it has stored.
    #[serde(default)]
    pub id: Word,
    /// Which side began it.
    pub initiator: Initiator,
    /// By what.
    pub mechanism: Mechanism,
    /// What more there is to say of that: the rule that was broken, the clock that ran out, what
    /// was wrong with the opening handshake.
    pub detail: Option<String>,
    /// Why the gateway closed it, where the gateway did.
    pub closed_because: Option<ClosedBecause>,
    /// Of the client's Close, or else of ours.
    pub code: Option<u16>,
    /// Its reason.
    pub reason: String,
    /// Whether both sides said Close, and the transport ended behind it.
    pub clean: bool,
    /// Whether the gateway was stopping by then.
    pub draining: bool,
    /// Which part refused the opening handshake.
    pub refused_by: Option<Word>,
    /// The client's Close.
    pub received: Option<SaidClose>,
    /// Ours.
    pub sent: Option<SaidClose>,
    /// Which side's Close was the first, where there was one.
    pub first_close: Option<Word>,
    /// How the transport ended.
    pub transport: Word,
    /// What the transport was.
    pub transport_kind: Word,
    /// Which side ended it first.
    pub transport_ended_first: Option<Word>,
    /// Why our side let go of a connection that the client never ended.
    pub let_go: Option<Word>,
    /// Whether TLS ended with a close_notify.
    pub close_notify: Option<bool>,
    /// Where the client's bytes stopped, if not between two messages.
    pub cut: Word,
    /// Messages of ours that did not leave.
    pub unsent_messages: u64,
    /// Their bytes.
    pub unsent_bytes: u64,
    /// Bytes that left and that the client's kernel had not acknowledged.
    pub unacknowledged_bytes: Option<u64>,
    /// How long the client had been silent before its end was noticed.
    pub detection_latency_ms: Option<u64>,
    /// How long the connection was open.
    pub lasted_ms: u64,
    /// Clocks that the settings had switched off.
    pub switched_off: Vec<Word>,
    /// What the transport said of its failure.
    pub error: Option<String>,
    /// What was compressed, where that was agreed on.
    #[serde(default)]
    pub compressed: Option<Compressed>,
    /// The stream of HTTP/2, where the connection was one.
    #[serde(default)]
    pub http2: Option<Http2>,
}

impl ConnectionEnding {
    /// Of a report.
    #[must_use]
    pub fn of(ending: &Ending) -> Self {
        let handshake = &ending.closing_handshake;
        let said = handshake.received().or(handshake.sent());
        ConnectionEnding {
            sentence: ending.to_string(),
            id: ending.cause.id().into(),
            initiator: words::initiator(&ending.cause),
            mechanism: words::mechanism(ending),
            detail: words::detail(&ending.cause),
            closed_because: words::closed_because(&ending.cause),
            code: said.and_then(Close::code).map(CloseCode::get),
            reason: said.map_or("", Close::reason).to_owned(),
            clean: ending.is_clean(),
            draining: ending.draining,
            refused_by: words::refused_by(&ending.cause).map(Word::Borrowed),
            received: handshake.received().map(said_close),
            sent: handshake.sent().map(said_close),
            first_close: words::first_close(handshake).map(Word::Borrowed),
            transport: words::transport(ending).into(),
            transport_kind: words::transport_kind(ending.transport.kind).into(),
            transport_ended_first: ending.transport.active_closer.map(|by| words::side(by).into()),
            let_go: words::let_go(ending.transport.end).map(Word::Borrowed),
            close_notify: ending.transport.close_notify,
            cut: words::cut(ending.truncation).into(),
            unsent_messages: ending.unsent.messages,
            unsent_bytes: ending.unsent.bytes,
            unacknowledged_bytes: ending.unsent.unacknowledged,
            detection_latency_ms: detection_latency(ending).map(ms),
            lasted_ms: ms(ending.lasted),
            switched_off: words::switched_off(ending).into_iter().map(Word::Borrowed).collect(),
            error: ending.error.as_ref().map(ToString::to_string),
            compressed: compressed(ending),
            http2: ending.http2.map(Http2::from),
        }
    }
}

/// How a session ended: what `session.ended` says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionEnding {
    /// Why it is over.
    pub cause: SessionCause,
    /// Which side began that.
    pub initiator: Initiator,
    /// By what.
    pub mechanism: Mechanism,
    /// As whom the backend knows the person.
    pub user_id: Option<Arc<str>>,
    /// Connections that it has had.
    pub connections: u32,
    /// When it began.
    pub started_at: Timestamp,
    /// How long it lasted.
    pub lasted_ms: u64,
    /// Messages of the client that were taken.
    pub received: u64,
    /// Messages that were sent to the client.
    pub sent: u64,
    /// Of those: not acknowledged.
    pub unacknowledged: u64,
    /// How its last connection ended; `null` where that was not over yet, or was never seen to end.
    pub ending: Option<Arc<ConnectionEnding>>,
}

/// Why a session is over, which side began that, and by what. The ending of its last connection
/// says the latter two, where there is one.
pub(crate) fn cause(
    why: Why,
    ending: Option<&ConnectionEnding>,
) -> (SessionCause, Initiator, Mechanism) {
    let seen = |cause| match ending {
        Some(ending) => (cause, ending.initiator, ending.mechanism),
        None => (cause, Initiator::Unknown, Mechanism::Unknown),
    };
    match why {
        Why::Goodbye if ending.is_none() => {
            (SessionCause::Goodbye, Initiator::Client, Mechanism::Goodbye)
        }
        Why::Backend => (SessionCause::EndedByBackend, Initiator::Backend, Mechanism::Api),
        Why::Replaced => (SessionCause::Replaced, Initiator::Backend, Mechanism::Resume),
        Why::Expired(Departure::GatewayDown) => {
            (SessionCause::GatewayDown, Initiator::Gateway, Mechanism::Crash)
        }
        Why::Goodbye | Why::Expired(Departure::Left) => seen(SessionCause::Left),
        Why::Expired(Departure::Hidden) => seen(SessionCause::Hidden),
        Why::Expired(Departure::Lost) => seen(SessionCause::Lost),
        Why::Expired(Departure::Drained) => seen(SessionCause::Drained),
    }
}

/// How long the peer may have been gone before that was noticed: since its last byte, where it
/// ended by silence; nothing where its end was heard. `None` where we ended it: there was nothing
/// to notice.
fn detection_latency(ending: &Ending) -> Option<Duration> {
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

/// What was compressed; without the feature `deflate` nothing is.
fn compressed(ending: &Ending) -> Option<Compressed> {
    #[cfg(feature = "deflate")]
    let compressed = ending.compressed.map(|it| Compressed {
        sent: it.sent,
        sent_as: it.sent_as,
        received: it.received,
        received_as: it.received_as,
    });
    #[cfg(not(feature = "deflate"))]
    let compressed = {
        let _ = ending;
        None
    };
    compressed
}

fn said_close(close: &Close) -> SaidClose {
    SaidClose { code: close.code().map(CloseCode::get), reason: close.reason().to_owned() }
}

fn ms(length: Duration) -> u64 {
    u64::try_from(length.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use adieu_proto::{ClosingHandshake, End, LetGo, Side, Timer, Transport, TransportKind};

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

    fn of(cause: Cause, closing_handshake: ClosingHandshake) -> ConnectionEnding {
        ConnectionEnding::of(&report(cause, End::Finished, closing_handshake))
    }

    #[test]
    fn which_side_began_it_and_by_what_is_said_where_it_was_seen() {
        let cases = [
            (Cause::Peer, Initiator::Client, Mechanism::CloseFrame),
            (Cause::Application, Initiator::Gateway, Mechanism::CloseFrame),
            (Cause::HandlerReturned, Initiator::Gateway, Mechanism::CloseFrame),
            (Cause::HandlerFailed, Initiator::Gateway, Mechanism::CloseFrame),
            (Cause::Drain, Initiator::Gateway, Mechanism::Drain),
            (Cause::Eof, Initiator::Unknown, Mechanism::Fin),
            (Cause::Reset, Initiator::Unknown, Mechanism::Rst),
            (Cause::TransportFailed, Initiator::Unknown, Mechanism::TransportError),
            (Cause::Timeout(Timer::Pong), Initiator::Network, Mechanism::PongTimeout),
            (Cause::Timeout(Timer::Write), Initiator::Gateway, Mechanism::WriteTimeout),
        ];
        for (cause, initiator, mechanism) in cases {
            let ending = of(cause.clone(), ClosingHandshake::None);
            assert_eq!((ending.initiator, ending.mechanism), (initiator, mechanism), "{cause:?}");
            assert_eq!(ending.code, None, "{cause:?}");
        }
        let theirs = Close::new(4999, "bye").unwrap();
        let ending = of(Cause::Peer, ClosingHandshake::Received { theirs });
        assert_eq!((ending.code, &*ending.reason), (Some(4999), "bye"));
        assert_eq!(ending.first_close.as_deref(), Some("client"));
        assert_eq!((ending.lasted_ms, ending.detection_latency_ms), (1500, Some(0)));
    }

    #[test]
    fn after_an_ending_by_silence_it_is_said_how_long_the_silence_was() {
        let cause = Cause::Timeout(Timer::Pong);
        let mut ending = report(cause, End::Lost, ClosingHandshake::None);
        ending.timeline.last_received = Some(Duration::from_secs(60));
        ending.lasted = Duration::from_secs(85);
        assert_eq!(ConnectionEnding::of(&ending).detection_latency_ms, Some(25_000));
        assert_eq!(of(Cause::Drain, ClosingHandshake::None).detection_latency_ms, None);
    }

    #[test]
    fn why_we_let_go_is_said_and_what_was_not_watched() {
        let end = End::LetGo(LetGo::Clock(Timer::Drain));
        let mut ending = report(Cause::Peer, end, ClosingHandshake::None);
        (ending.draining, ending.switched_off) = (true, vec![Timer::Pong]);
        ending.transport.active_closer = None;
        let ending = ConnectionEnding::of(&ending);
        assert_eq!((&*ending.transport, ending.let_go.as_deref()), ("abandoned", Some("drain")));
        assert!(ending.draining);
        assert_eq!(ending.switched_off, ["pong"]);
        assert_eq!(ending.transport_ended_first, None);
    }

    #[test]
    fn an_ending_is_written_as_documented_and_read_as_it_was_written() {
        let theirs = Close::new(1001, "").unwrap();
        let ending = of(Cause::Peer, ClosingHandshake::Received { theirs });
        let json = serde_json::to_value(&ending).unwrap();
        for (name, value) in [
            ("initiator", serde_json::json!("client")),
            ("mechanism", serde_json::json!("close_frame")),
            ("received", serde_json::json!({ "code": 1001, "reason": "" })),
            ("transportEndedFirst", serde_json::json!("client")),
            ("unacknowledgedBytes", serde_json::json!(ending.unacknowledged_bytes)),
        ] {
            assert_eq!(json[name], value, "{name}");
        }
        assert_eq!(serde_json::from_value::<ConnectionEnding>(json).unwrap(), ending);
    }

    #[cfg(feature = "deflate")]
    #[test]
    fn what_was_compressed_is_told_where_compression_was_agreed_on() {
        let mut report = report(Cause::Peer, End::Finished, ClosingHandshake::None);
        assert_eq!(ConnectionEnding::of(&report).compressed, None);
        report.compressed = Some(adieu_proto::Compressed {
            sent: 1000,
            sent_as: 250,
            received: 600,
            received_as: 300,
        });
        let json = serde_json::to_value(ConnectionEnding::of(&report)).unwrap();
        let told = serde_json::json!({
            "sent": 1000, "sentAs": 250, "received": 600, "receivedAs": 300
        });
        assert_eq!(json["compressed"], told);
    }
}
