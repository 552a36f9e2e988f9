//! Pings of the application (RFC 6455 §5.5.2) and how long it takes to the peer and back.

use std::fmt;
use std::time::Duration;

use adieu_proto::{UsageError, Version};
use tokio::time::timeout;

use crate::closed::{Closed, ConnectionId};
use crate::link::Link;

/// How long it takes to the peer and back. The two are measured at different places: a proxy in
/// between ends the transport and passes Pings on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RoundTrip {
    /// From the latest Ping of the application that was answered
    /// ([`Sender::ping`](crate::Sender::ping)) to its Pong: to the peer's WebSocket and back.
    /// `None` before the first.
    pub pong: Option<Duration>,
    /// The kernel's smoothed round-trip time of the transport (TCP_INFO), now, or as the report
    /// has it. `None` where that is unknown: not on Linux, or not TCP.
    pub transport: Option<Duration>,
}

/// Why a Ping has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PingError {
    /// The connection is closing or over; or the peer has ended it, and answers nothing any more.
    Closed(Closed),
    /// The hixie versions have no Ping.
    NoPing(Version),
    /// So many Pings wait for their Pong ([`MAX_PINGS`](crate::defaults::MAX_PINGS)) that another
    /// is not sent.
    TooMany(u64),
    /// No Pong came in [`Config::pong_timeout`](crate::Config::pong_timeout). The connection goes
    /// on: whether the peer is there at all is judged by any byte of it.
    Unanswered(Duration),
}

impl PingError {
    fn of(error: &UsageError, connection: ConnectionId) -> Self {
        match error {
            UsageError::NoPing(version) => PingError::NoPing(*version),
            UsageError::TooManyPings(n) => PingError::TooMany(*n),
            _ => PingError::Closed(Closed::new(connection)),
        }
    }
}

impl fmt::Display for PingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PingError::Closed(closed) => closed.fmt(f),
            PingError::NoPing(version) => UsageError::NoPing(*version).fmt(f),
            PingError::TooMany(n) => UsageError::TooManyPings(*n).fmt(f),
            PingError::Unanswered(length) => write!(f, "no Pong came within {length:?}"),
        }
    }
}

impl std::error::Error for PingError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            PingError::Closed(closed) => Some(closed),
            _ => None,
        }
    }
}

pub(super) async fn ping(link: &Link) -> Result<Duration, PingError> {
    let (answer, patience) = link.ping().map_err(|error| PingError::of(&error, link.id()))?;
    match timeout(patience, answer).await {
        Ok(Ok(took)) => Ok(took),
        Ok(Err(_)) => Err(PingError::Closed(Closed::new(link.id()))),
        Err(_) => Err(PingError::Unanswered(patience)),
    }
}
