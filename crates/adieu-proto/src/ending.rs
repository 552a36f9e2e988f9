//! [`Ending`]: the one account of how a connection ended. It holds what was seen, not what was
//! wished.

use std::time::Duration;

use crate::code::Close;
use crate::error::{HandshakeError, ProtocolError};
use crate::timer::Timer;

/// How a connection ended: told exactly once, last, when the transport is over.
///
/// `Display` is one plain English sentence.
///
/// ```
/// use std::time::Duration;
/// use adieu_proto::*;
///
/// # fn main() -> Result<(), UsageError> {
/// let mut timeline = Timeline::default();
/// timeline.opened = Some(Duration::ZERO);
/// let ending = Ending::from_parts(
///     Cause::Peer,
///     Goodbye::ReceivedThenSent { theirs: Close::new(1001, "")?, ours: Close::new(1001, "")? },
///     Transport { end: End::Fin, first: Side::Peer, close_notify: None },
///     Cut::BetweenMessages,
///     Unsent::default(),
///     timeline,
///     Duration::from_millis(1500),
/// );
/// assert!(ending.is_clean());
/// assert_eq!(
///     ending.to_string(),
///     "The peer said goodbye with 1001 (going away) and we answered with 1001 (going away); \
///      the peer ended TCP first, with a FIN, after 1.5 s."
/// );
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ending {
    /// What began it.
    pub cause: Cause,
    /// Which Close frames crossed, as said, in the order we saw them.
    pub goodbye: Goodbye,
    /// How TCP ended.
    pub transport: Transport,
    /// Where the peer's bytes stopped.
    pub cut: Cut,
    /// What of ours never left.
    pub unsent: Unsent,
    /// When each step happened.
    pub timeline: Timeline,
    /// From accept (or connect) to the end of the transport.
    pub lasted: Duration,
    /// The round-trip time as the operating system last gave it. `None` = unknown.
    pub round_trip: Option<Duration>,
}

impl Ending {
    /// Builds an account from its parts, to test what reads it.
    #[must_use]
    pub fn from_parts(
        cause: Cause,
        goodbye: Goodbye,
        transport: Transport,
        cut: Cut,
        unsent: Unsent,
        timeline: Timeline,
        lasted: Duration,
    ) -> Self {
        let round_trip = None;
        Ending { cause, goodbye, transport, cut, unsent, timeline, lasted, round_trip }
    }

    /// Whether the opening handshake was completed.
    #[must_use]
    pub fn opened(&self) -> bool {
        self.timeline.opened.is_some()
    }

    /// Whether both sides said goodbye and TCP ended with the peer's FIN ("clean" in the words
    /// of RFC 6455 §7.1.4, and nothing lost).
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.goodbye.is_complete() && self.transport.end == End::Fin && self.unsent.bytes == 0
    }
}

/// What began the ending. The first cause counts; what follows from it does not change it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cause {
    /// Our application closed, or its handler returned.
    Application,
    /// Our server is stopping.
    Drain,
    /// Our application dropped the socket or its handler without a word.
    Dropped,
    /// Our handler panicked.
    Panicked,
    /// The peer's Close came first.
    Peer,
    /// The peer broke the protocol.
    Violation(ProtocolError),
    /// One of our clocks ran out.
    Timeout(Timer),
    /// The peer ended TCP with a FIN and no Close.
    Eof,
    /// The peer reset TCP with no Close.
    Reset,
    /// The peer's kernel acknowledged nothing any more: seen by us, or by the operating system
    /// (ETIMEDOUT, EHOSTUNREACH).
    Unreachable,
    /// No WebSocket was ever opened.
    Handshake(HandshakeError),
}

/// Which Close frames crossed, as they were said, in the order in which we saw them.
///
/// `ours` is there only if it left whole. hixie-76 knows the empty Close only; hixie-75 none.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Goodbye {
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

impl Goodbye {
    /// Our Close is decided. Only the first counts.
    pub(crate) fn say(&mut self, ours: Close) {
        *self = match std::mem::replace(self, Goodbye::None) {
            Goodbye::None => Goodbye::Sent { ours },
            Goodbye::Received { theirs } => Goodbye::ReceivedThenSent { theirs, ours },
            said => said,
        };
    }

    /// The peer's Close is read. Only the first counts.
    pub(crate) fn hear(&mut self, theirs: Close) {
        *self = match std::mem::replace(self, Goodbye::None) {
            Goodbye::None => Goodbye::Received { theirs },
            Goodbye::Sent { ours } => Goodbye::SentThenReceived { ours, theirs },
            said => said,
        };
    }

    /// The same without our Close, which never left.
    pub(crate) fn unsaid(self) -> Self {
        match self {
            Goodbye::None | Goodbye::Sent { .. } => Goodbye::None,
            Goodbye::Received { theirs }
            | Goodbye::SentThenReceived { theirs, .. }
            | Goodbye::ReceivedThenSent { theirs, .. } => Goodbye::Received { theirs },
        }
    }

    /// What the peer said.
    #[must_use]
    pub fn received(&self) -> Option<&Close> {
        match self {
            Goodbye::None | Goodbye::Sent { .. } => None,
            Goodbye::Received { theirs }
            | Goodbye::SentThenReceived { theirs, .. }
            | Goodbye::ReceivedThenSent { theirs, .. } => Some(theirs),
        }
    }

    /// What we said.
    #[must_use]
    pub fn sent(&self) -> Option<&Close> {
        match self {
            Goodbye::None | Goodbye::Received { .. } => None,
            Goodbye::Sent { ours }
            | Goodbye::SentThenReceived { ours, .. }
            | Goodbye::ReceivedThenSent { ours, .. } => Some(ours),
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
    /// How the peer's direction ended.
    pub end: End,
    /// Whose direction ended first.
    pub first: Side,
    /// Over TLS: whether the peer's `close_notify` came before its end (RFC 8446 §6.1). Without
    /// it a FIN may be forged by anyone on the path. `None` without TLS.
    pub close_notify: Option<bool>,
}

/// How the peer's direction of the transport ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum End {
    /// A FIN.
    Fin,
    /// A FIN, and later an RST: the peer was gone before it read the rest of what we sent.
    FinThenReset,
    /// An RST.
    Reset,
    /// The operating system gave up on the peer.
    TimedOut,
    /// Nothing: our clock ran out and we let go.
    Abandoned(Timer),
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
pub enum Cut {
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
    pub heard: Option<Duration>,
    /// Our Close had left.
    pub close_sent: Option<Duration>,
    /// The peer's Close was read.
    pub close_received: Option<Duration>,
    /// Our direction was shut down.
    pub fin_sent: Option<Duration>,
    /// The peer's direction ended, by FIN or RST.
    pub peer_ended: Option<Duration>,
}

impl Timeline {
    /// Nothing has happened.
    pub(crate) const NONE: Self = Timeline {
        opened: None,
        heard: None,
        close_sent: None,
        close_received: None,
        fin_sent: None,
        peer_ended: None,
    };
}
