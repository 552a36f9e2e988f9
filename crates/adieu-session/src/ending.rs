//! How connections and sessions end, in the one vocabulary that the backend, the page and the
//! metrics share. Made here of the report of the protocol, whose types stay free to change.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use adieu_proto::{Cause, Close, CloseCode, End, Ending, Side, Timer, Truncation};
use serde::{Deserialize, Serialize};

use super::machine::Why;
use super::time::Timestamp;
use super::wait::Departure;
use super::words;

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
        /// A Ping was not answered.
        PongTimeout = "pong_timeout",
        /// The client did not read.
        WriteTimeout = "write_timeout",
        /// The client's kernel acknowledged nothing.
        TcpTimeout = "tcp_timeout",
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

/// A Close as it was said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SaidClose {
    /// Its code; `null` for an empty one.
    pub code: Option<u16>,
    /// Its reason.
    pub reason: String,
}

/// How a connection ended. What was not seen is `null`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConnectionEnding {
    /// In English.
    pub sentence: String,
    /// Which side began it.
    pub initiator: Initiator,
    /// By what.
    pub mechanism: Mechanism,
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
}

impl ConnectionEnding {
    /// Of a report.
    #[must_use]
    pub fn of(ending: &Ending) -> Self {
        let handshake = &ending.closing_handshake;
        let said = handshake.received().or(handshake.sent());
        ConnectionEnding {
            sentence: ending.to_string(),
            initiator: initiator(ending),
            mechanism: mechanism(ending),
            code: said.and_then(Close::code).map(CloseCode::get),
            reason: said.map_or("", Close::reason).to_owned(),
            clean: ending.is_clean(),
            draining: ending.draining,
            refused_by: words::refused_by(&ending.cause).map(Word::Borrowed),
            received: handshake.received().map(said_close),
            sent: handshake.sent().map(said_close),
            transport: transport(ending.transport.end).into(),
            transport_kind: words::transport_kind(ending.transport.kind).into(),
            transport_ended_first: ending.transport.active_closer.map(|by| side(by).into()),
            let_go: words::let_go(ending.transport.end).map(Word::Borrowed),
            close_notify: ending.transport.close_notify,
            cut: cut(ending.truncation).into(),
            unsent_messages: ending.unsent.messages,
            unsent_bytes: ending.unsent.bytes,
            unacknowledged_bytes: ending.unsent.unacknowledged,
            detection_latency_ms: detection_latency(ending).map(ms),
            lasted_ms: ms(ending.lasted),
            switched_off: words::switched_off(ending).into_iter().map(Word::Borrowed).collect(),
            error: ending.error.as_ref().map(ToString::to_string),
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

/// Which side began it and by what, for counting.
#[must_use]
pub fn labels(ending: &Ending) -> (Initiator, Mechanism) {
    (initiator(ending), mechanism(ending))
}

fn initiator(ending: &Ending) -> Initiator {
    match &ending.cause {
        Cause::Peer | Cause::Violation(_) => Initiator::Client,
        cause if is_close_of_ours(cause) => Initiator::Gateway,
        Cause::Drain | Cause::Dropped | Cause::Panicked => Initiator::Gateway,
        Cause::Timeout(Timer::Pong) | Cause::Unreachable => Initiator::Network,
        Cause::Timeout(_) => Initiator::Gateway,
        _ => Initiator::Unknown,
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

fn mechanism(ending: &Ending) -> Mechanism {
    match &ending.cause {
        cause if is_close_of_ours(cause) => Mechanism::CloseFrame,
        Cause::Peer => Mechanism::CloseFrame,
        Cause::Drain => Mechanism::Drain,
        Cause::Dropped | Cause::Panicked => Mechanism::Crash,
        Cause::Violation(_) => Mechanism::ProtocolError,
        Cause::Timeout(Timer::Ping | Timer::Pong) => Mechanism::PongTimeout,
        Cause::Timeout(_) => Mechanism::WriteTimeout,
        Cause::Unreachable => Mechanism::TcpTimeout,
        Cause::Eof => Mechanism::Fin,
        Cause::Reset => Mechanism::Rst,
        Cause::TransportFailed => Mechanism::TransportError,
        _ => Mechanism::Unknown,
    }
}

fn said_close(close: &Close) -> SaidClose {
    SaidClose { code: close.code().map(CloseCode::get), reason: close.reason().to_owned() }
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
}
