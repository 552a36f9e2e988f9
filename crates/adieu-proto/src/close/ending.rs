//! [`Ending`]: the one report of how a connection ended. It holds what was seen, not what was
//! wished, and what could not be seen is in it as unknown.

use std::fmt;
use std::time::Duration;

use crate::close::{Close, Http2};
use crate::error::{HandshakeError, ProtocolError, TransportError};
use crate::timer::Timer;

/// How a connection ended: told exactly once, last, when the transport is over.
///
/// `Display` is one plain English sentence.
///
/// ```
/// # #[cfg(feature = "testing")]
/// # fn main() -> Result<(), adieu_proto::UsageError> {
/// use std::time::Duration;
/// use adieu_proto::*;
///
/// let mut ending = Ending::from_parts(
///     Cause::Peer,
///     ClosingHandshake::ReceivedThenSent {
///         theirs: Close::new(1001, "")?,
///         ours: Close::new(1001, "")?,
///     },
///     Transport {
///         kind: TransportKind::Tcp,
///         end: End::Finished,
///         active_closer: Some(Side::Peer),
///         close_notify: None,
///     },
///     Duration::from_millis(1500),
/// );
/// ending.timeline.opened = Some(Duration::ZERO);
/// assert!(ending.is_clean());
/// assert_eq!(
///     ending.to_string(),
///     "The peer sent Close 1001 (going away) and we answered with Close 1001 (going away); \
///      the peer ended TCP first, with a FIN; the connection lasted 1.5 s"
/// );
/// # Ok(())
/// # }
/// # #[cfg(not(feature = "testing"))]
/// # fn main() {}
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ending {
    /// What began it.
    pub cause: Cause,
    /// Whether our server was stopping by then, whatever began the ending.
    pub draining: bool,
    /// Which Close frames crossed, as said, in the order we saw them.
    pub closing_handshake: ClosingHandshake,
    /// How the transport ended.
    pub transport: Transport,
    /// Where the peer's bytes stopped.
    pub truncation: Truncation,
    /// What of ours never left.
    pub unsent: Unsent,
    /// When each step happened.
    pub timeline: Timeline,
    /// From accept (or connect) to the end of the transport.
    pub lasted: Duration,
    /// The round-trip time as the operating system last gave it. `None` = unknown.
    pub round_trip: Option<Duration>,
    /// The clocks that the settings had switched off: what they watch over was not watched.
    pub switched_off: Vec<Timer>,
    /// The error that explains the ending, where there was one: of the transport, or, after
    /// [`Cause::HandlerFailed`], what our handler returned.
    pub error: Option<TransportError>,
    /// The stream of HTTP/2 that carried the connection, where one did.
    pub http2: Option<Http2>,
    /// What was compressed, where that was agreed on.
    #[cfg(feature = "deflate")]
    pub compressed: Option<crate::Compressed>,
}

impl Ending {
    /// Builds a report from its main parts, to test what reads it; the other fields can be set.
    #[cfg(feature = "testing")]
    #[must_use]
    pub fn from_parts(
        cause: Cause,
        closing_handshake: ClosingHandshake,
        transport: Transport,
        lasted: Duration,
    ) -> Self {
        Ending { closing_handshake, transport, ..Ending::of(cause, lasted) }
    }

    /// A connection that an HTTP library had and that never opened: of its transport nothing is
    /// known. `error` is why; `source` is what the library said, where it explains that.
    #[must_use]
    pub fn never_opened(
        error: HandshakeError,
        lasted: Duration,
        source: Option<TransportError>,
    ) -> Self {
        Ending { error: source, ..Ending::of(Cause::Handshake(error), lasted) }
    }

    /// A report in which all but the cause is unknown, or did not happen.
    pub(crate) fn of(cause: Cause, lasted: Duration) -> Self {
        Ending {
            cause,
            draining: false,
            closing_handshake: ClosingHandshake::None,
            transport: Transport {
                kind: TransportKind::Unknown,
                end: End::Unknown,
                active_closer: None,
                close_notify: None,
            },
            truncation: Truncation::BetweenMessages,
            unsent: Unsent::default(),
            timeline: Timeline::default(),
            lasted,
            round_trip: None,
            switched_off: Vec::new(),
            error: None,
            http2: None,
            #[cfg(feature = "deflate")]
            compressed: None,
        }
    }

    /// Whether the opening handshake was completed.
    #[must_use]
    pub fn opened(&self) -> bool {
        self.timeline.opened.is_some()
    }

    /// Whether the connection ended cleanly. This is the one definition, for all that counts clean
    /// endings: a Close went each way (RFC 6455 §7.1.4) and the peer's keeps the rules of §5.5.1
    /// and §7.4, the peer finished its direction of the transport, and nothing of ours is known to
    /// be lost, neither unsent nor unacknowledged. An RST behind the FIN is a loss, but for one
    /// that answers our close_notify: for that nobody has to wait (RFC 8446 §6.1). Of a stream of
    /// HTTP/2 the peer's direction may stay open behind its Close: an RST_STREAM of ours with
    /// NO_ERROR ends it (RFC 9113 §8.1).
    #[must_use]
    pub fn is_clean(&self) -> bool {
        let lost = self.unsent.bytes > 0 || self.unsent.unacknowledged.is_some_and(|n| n > 0);
        let violated = matches!(self.cause, Cause::Violation(_)) || self.wrong_close();
        let finished = match self.transport.end {
            End::Finished => true,
            End::FinishedThenReset => self.resets_only_our_close_notify(),
            End::LetGo(LetGo::BothClosed) => true,
            _ => false,
        };
        self.closing_handshake.is_complete() && finished && !lost && !violated
    }

    /// Whether the peer had read all that we said before it ended TLS: its Close answered ours,
    /// which was our last word but for our close_notify.
    fn resets_only_our_close_notify(&self) -> bool {
        let answered = matches!(self.closing_handshake, ClosingHandshake::SentThenReceived { .. });
        answered && self.transport.close_notify == Some(true)
    }

    /// Whether the peer's Close has a code that must not be on the wire.
    fn wrong_close(&self) -> bool {
        let code = self.closing_handshake.received().and_then(Close::code);
        code.is_some_and(|code| !code.is_allowed_on_wire())
    }
}

/// What began the ending. The first cause counts; what follows from it does not change it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cause {
    /// Our application closed: `Socket::close` or `Sender::close`.
    Application,
    /// Our handler returned.
    HandlerReturned,
    /// Our handler returned an error: [`Ending::error`] has it.
    HandlerFailed,
    /// Our handler panicked.
    Panicked,
    /// Our application dropped the socket or its handler without a word.
    Dropped,
    /// A broadcast ended the connection, because its queue was full
    /// (a group's policy for slow consumers).
    SlowConsumer,
    /// Our application sent binary data to a peer whose version has none.
    NoBinary,
    /// A limit on the number of connections that could be judged only after the opening handshake.
    TooManyConnections,
    /// A limit on what is being received on all connections together.
    TooMuchReceived,
    /// Our server is stopping.
    Drain,
    /// The peer's Close came first.
    Peer,
    /// The peer broke the protocol.
    Violation(ProtocolError),
    /// One of our clocks ran out.
    Timeout(Timer),
    /// The peer finished its direction of the transport without a Close: a FIN of TCP, or a
    /// close_notify of TLS.
    Eof,
    /// The peer reset the transport without a Close.
    Reset,
    /// The peer's kernel acknowledged nothing any more: seen by us, or by the operating system
    /// (ETIMEDOUT, EHOSTUNREACH).
    Unreachable,
    /// The transport failed, and its error does not say how the peer ended:
    /// [`Ending::error`] has it.
    TransportFailed,
    /// No WebSocket was ever opened.
    Handshake(HandshakeError),
}

impl Cause {
    /// A short word for this kind of ending that stays the same in all versions, for searches and
    /// for programs; the FAQ of the documentation (`docs/faq/`) has a heading for each. Of a
    /// violation and of a handshake it is that of the error.
    ///
    /// ```
    /// use adieu_proto::{Cause, HandshakeError};
    /// assert_eq!(Cause::Peer.id(), "ending-peer-closed");
    /// assert_eq!(Cause::Handshake(HandshakeError::NotUpgrade).id(), "handshake-not-upgrade");
    /// ```
    #[must_use]
    pub fn id(&self) -> &'static str {
        match self {
            Cause::Application => "ending-application",
            Cause::HandlerReturned => "ending-handler-returned",
            Cause::HandlerFailed => "ending-handler-failed",
            Cause::Panicked => "ending-panicked",
            Cause::Dropped => "ending-dropped",
            Cause::SlowConsumer => "ending-slow-consumer",
            Cause::NoBinary => "ending-no-binary",
            Cause::TooManyConnections => "ending-too-many-connections",
            Cause::TooMuchReceived => "ending-too-much-received",
            Cause::Drain => "ending-drain",
            Cause::Peer => "ending-peer-closed",
            Cause::Violation(error) => error.id(),
            Cause::Timeout(Timer::Ping | Timer::Pong) => "ending-pong-timeout",
            Cause::Timeout(Timer::Write) => "ending-write-timeout",
            Cause::Timeout(_) => "ending-deadline",
            Cause::Eof => "ending-fin",
            Cause::Reset => "ending-rst",
            Cause::Unreachable => "ending-unreachable",
            Cause::TransportFailed => "ending-transport-failed",
            Cause::Handshake(error) => error.id(),
        }
    }
}

/// Which Close frames crossed, as they were said, in the order in which we saw them.
///
/// `ours` is there only if it left whole. hixie-76 knows the empty Close only; hixie-75 none.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ClosingHandshake {
    /// None, in either direction.
    None,
    /// Ours, and none came back.
    Sent {
        /// What we said.
        ours: Close,
    },
    /// The peer's, and ours never left.
    Received {
        /// What the peer said.
        theirs: Close,
    },
    /// Ours was decided before the peer's was read.
    SentThenReceived {
        /// What we said.
        ours: Close,
        /// What the peer said.
        theirs: Close,
    },
    /// The peer's came first.
    ReceivedThenSent {
        /// What the peer said.
        theirs: Close,
        /// What we said.
        ours: Close,
    },
}

impl ClosingHandshake {
    /// Our Close is decided. Only the first counts.
    pub(crate) fn send(&mut self, ours: Close) {
        *self = match std::mem::replace(self, ClosingHandshake::None) {
            ClosingHandshake::None => ClosingHandshake::Sent { ours },
            ClosingHandshake::Received { theirs } => {
                ClosingHandshake::ReceivedThenSent { theirs, ours }
            }
            before => before,
        };
    }

    /// The peer's Close is read. Only the first counts.
    pub(crate) fn receive(&mut self, theirs: Close) {
        *self = match std::mem::replace(self, ClosingHandshake::None) {
            ClosingHandshake::None => ClosingHandshake::Received { theirs },
            ClosingHandshake::Sent { ours } => ClosingHandshake::SentThenReceived { ours, theirs },
            before => before,
        };
    }

    /// The same without our Close, which never left.
    pub(crate) fn without_ours(self) -> Self {
        match self {
            ClosingHandshake::None | ClosingHandshake::Sent { .. } => ClosingHandshake::None,
            ClosingHandshake::Received { theirs }
            | ClosingHandshake::SentThenReceived { theirs, .. }
            | ClosingHandshake::ReceivedThenSent { theirs, .. } => {
                ClosingHandshake::Received { theirs }
            }
        }
    }

    /// What the peer said.
    #[must_use]
    pub fn received(&self) -> Option<&Close> {
        match self {
            ClosingHandshake::None | ClosingHandshake::Sent { .. } => None,
            ClosingHandshake::Received { theirs }
            | ClosingHandshake::SentThenReceived { theirs, .. }
            | ClosingHandshake::ReceivedThenSent { theirs, .. } => Some(theirs),
        }
    }

    /// What we said.
    #[must_use]
    pub fn sent(&self) -> Option<&Close> {
        match self {
            ClosingHandshake::None | ClosingHandshake::Received { .. } => None,
            ClosingHandshake::Sent { ours }
            | ClosingHandshake::SentThenReceived { ours, .. }
            | ClosingHandshake::ReceivedThenSent { ours, .. } => Some(ours),
        }
    }

    /// Whether a Close went each way (RFC 6455 §7.1.4).
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.received().is_some() && self.sent().is_some()
    }
}

/// How the transport ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Transport {
    /// What carried the connection, and with it what can be known of its end.
    pub kind: TransportKind,
    /// How the peer's direction ended.
    pub end: End,
    /// Whose direction ended first, over TLS by a close_notify as well; `None` where that is not
    /// known.
    pub active_closer: Option<Side>,
    /// Over TLS: whether the peer's close_notify came (RFC 8446 §6.1). Without it a FIN may be
    /// forged by anyone on the path. `None` where that is not known: without TLS, and over a
    /// stream whose TLS does not say.
    pub close_notify: Option<bool>,
}

/// What carries a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TransportKind {
    /// TCP: FIN, RST and acknowledgements are seen.
    Tcp,
    /// TLS of this crate over TCP: close_notify, and what TCP did after it, are seen as well.
    Tls,
    /// A stream of HTTP/2 (RFC 8441): END_STREAM, RST_STREAM and its code are seen, and how the
    /// connection below ended; [`Ending::http2`] has them.
    Http2,
    /// A stream of HTTP/2 that an HTTP library has given (hyper's `Upgraded`): the library tells an
    /// END_STREAM, and an RST_STREAM with CANCEL or NO_ERROR, as the same end. [`End::Finished`] is
    /// one of them.
    UpgradedHttp2,
    /// Another stream: its end is known as far as the stream tells it; what happened below, and
    /// what was acknowledged, is not.
    Stream,
    /// The connection was never seen: an HTTP library kept it.
    Unknown,
}

impl fmt::Display for TransportKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TransportKind::Tcp | TransportKind::Tls => "TCP",
            TransportKind::Http2 | TransportKind::UpgradedHttp2 | TransportKind::Stream => {
                "the stream"
            }
            TransportKind::Unknown => "the transport",
        })
    }
}

/// How the peer's direction of the transport ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum End {
    /// The peer finished it: a FIN of TCP, or the end of a stream.
    Finished,
    /// The peer finished it and reset it later: the peer was gone before it read the rest of what
    /// we sent.
    FinishedThenReset,
    /// The peer reset it: an RST of TCP (ECONNRESET).
    Reset,
    /// It was lost: the operating system gave up on the peer (ETIMEDOUT, EHOSTUNREACH and their
    /// like).
    Lost,
    /// The transport failed with an error that does not say how the peer ended, or was never seen.
    Unknown,
    /// It did not end: our side let go of the connection.
    LetGo(LetGo),
}

/// Why our side let go of a connection whose peer had not ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LetGo {
    /// This clock of ours ran out.
    Clock(Timer),
    /// The task that drove the connection was dropped.
    TaskDropped,
    /// The runtime that drove the connection shut down.
    RuntimeGone,
    /// Our application asked to let go of everything at once (a forced drain).
    Forced,
    /// The connection was refused without waiting for its request or its end.
    Refused,
    /// Both sides had said Close on a stream of HTTP/2 whose other direction the peer left open:
    /// nothing more could come, and we ended it with an RST_STREAM (NO_ERROR, RFC 9113 §8.1).
    BothClosed,
}

impl fmt::Display for LetGo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LetGo::Clock(timer) => write!(f, "when the {timer} ran out"),
            LetGo::TaskDropped => {
                f.write_str("when the task that drove the connection was dropped")
            }
            LetGo::RuntimeGone => f.write_str("when the runtime shut down"),
            LetGo::Forced => f.write_str("because our application forced the end"),
            LetGo::Refused => f.write_str("because it was refused without waiting for its request"),
            LetGo::BothClosed => f.write_str("because both sides had said Close"),
        }
    }
}

/// One of the two ends of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// Ours.
    Local,
    /// The peer's.
    Peer,
}

/// Where the peer's bytes stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Truncation {
    /// After a whole message, or before any.
    BetweenMessages,
    /// After a whole frame that was not the last of its message.
    MidMessage,
    /// Inside a frame. A violation counts as inside its frame.
    MidFrame,
}

/// What we had to send and could not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Unsent {
    /// Messages that `send` took and that did not leave whole.
    pub messages: u64,
    /// Bytes that never left, headers and control frames included.
    pub bytes: u64,
    /// Bytes that left and were never acknowledged by the peer's kernel. `None` = unknown.
    pub unacknowledged: Option<u64>,
}

/// When each step happened, counted from accept (or connect). `None` = it did not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Timeline {
    /// The opening handshake was complete.
    pub opened: Option<Duration>,
    /// The last bytes of the peer were read. After an ending by silence (a time-out) this is how
    /// long the peer may have been gone before that was noticed.
    pub last_received: Option<Duration>,
    /// Our Close had left.
    pub close_sent: Option<Duration>,
    /// The peer's Close was read.
    pub close_received: Option<Duration>,
    /// The peer's close_notify was read, where TLS is ours.
    pub close_notify: Option<Duration>,
    /// Our direction was shut down.
    pub fin_sent: Option<Duration>,
    /// The peer's direction ended, whatever way.
    pub peer_ended: Option<Duration>,
}

impl Timeline {
    /// Nothing has happened.
    pub(crate) const NONE: Self = Timeline {
        opened: None,
        last_received: None,
        close_sent: None,
        close_received: None,
        close_notify: None,
        fin_sent: None,
        peer_ended: None,
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Proxies and servers that close their socket behind close_notify and FIN, as squid does.
    #[test]
    fn an_rst_that_answers_our_close_notify_is_no_loss() {
        let close = Close::new(1000, "").unwrap();
        let (ours, theirs) = (close.clone(), close);
        let we_first = ClosingHandshake::SentThenReceived { ours, theirs };
        let (ours, theirs) = (Close::empty(), Close::empty());
        let they_first = ClosingHandshake::ReceivedThenSent { ours, theirs };
        let clean = |handshake: &ClosingHandshake, close_notify| {
            let mut ending = Ending::of(Cause::Application, Duration::ZERO);
            ending.closing_handshake = handshake.clone();
            ending.transport.end = End::FinishedThenReset;
            ending.transport.close_notify = close_notify;
            ending.is_clean()
        };
        assert!(clean(&we_first, Some(true)));
        assert!(!clean(&we_first, Some(false)), "the end of TLS may be forged");
        assert!(!clean(&we_first, None), "an RST of TCP answers what we said");
        assert!(!clean(&they_first, Some(true)), "our answer may be lost");
    }
}
