//! The words of the close machine: its states, its inputs and its actions.

use std::time::Duration;

use crate::close::{Close, CloseRequest, LetGo, PeerEnd, Truncation};
use crate::error::{HandshakeError, ProtocolError};
use crate::timer::Timer;
use crate::version::Version;

/// Which end of the connection is ours (RFC 6455 §4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Role {
    Server,
    Client,
}

/// What a version can say in a closing handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum CloseCapability {
    /// Code and reason (RFC 6455, hybi-07, hybi-08).
    CodeAndReason,
    /// `FF 00` and nothing else (hixie-76).
    Bare,
    /// No closing handshake at all (hixie-75).
    None,
}

impl CloseCapability {
    pub(crate) fn of(version: Version) -> Self {
        match version {
            Version::Hixie75 => CloseCapability::None,
            Version::Hixie76 => CloseCapability::Bare,
            _ => CloseCapability::CodeAndReason,
        }
    }
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Input {
    /// The opening handshake is complete.
    Opened,
    /// The opening handshake failed; the refusal, if there is one, is queued.
    Refused(HandshakeError),
    /// Our side wants to end it.
    Close(CloseRequest),
    /// The application has read everything up to the end, or is gone.
    EndSeen,
    /// Our server is stopping.
    Draining,
    /// A Close frame of the peer.
    PeerClose(Close),
    /// The peer broke the protocol; `said` is what its Close said if that was the offence.
    Violation { error: ProtocolError, said: Option<Close> },
    /// The peer's close_notify of TLS: no more data will come, TCP goes on.
    CloseNotify,
    /// The peer's direction of the transport ended, after all its bytes.
    PeerEnded(PeerEnd),
    /// All queued output has left.
    Flushed,
    /// Nothing can leave any more. Says nothing about why.
    WriteFailed,
    /// A clock ran out.
    Timer(Timer),
    /// A clock ran out, and the peer's kernel acknowledges nothing.
    Silent(Timer),
    /// Our side lets go of the connection at once.
    LetGo(LetGo),
}

/// What to do about it, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Tell the application early that the peer's Close was read.
    TellClose(Close),
    /// Queue our Close behind all output. Nothing may be queued after it.
    QueueClose(Close),
    /// Drop the output: it cannot leave.
    DiscardOutput,
    /// Finish our direction (all output has left).
    Finish,
    /// Let go of the transport, then tell the ending.
    Disconnect,
    /// Start a clock.
    Start(Timer),
    /// Stop a clock.
    Stop(Timer),
}

/// When an input came: since accept, and where the peer's bytes stood.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Context {
    /// Time since accept.
    pub(crate) at: Duration,
    /// Where the peer's bytes stood.
    pub(crate) truncation: Truncation,
}

/// Where a connection is on its way to the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum State {
    /// The opening handshake is under way.
    Connecting,
    /// Both sides may send.
    Open,
    /// The peer has ended; the handler may still read what arrived and say its last words.
    HalfClosed,
    /// Output leaves, our Close last. The peer's Close is awaited after it, or not.
    Flushing { await_close: bool },
    /// Our Close has left, the peer's has not come.
    AwaitingClose,
    /// As a client: both Closes have crossed, and the server ends TCP first (§7.1.1).
    AwaitingServerFin,
    /// Our FIN has left (or nothing can leave); the peer's has not come.
    AwaitingFin,
    /// It is over and reported.
    Ended,
}
