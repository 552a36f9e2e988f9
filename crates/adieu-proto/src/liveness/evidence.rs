//! What a transport knows of bytes that left.

use std::time::Duration;

/// What the operating system knows of bytes that left (on Linux: TCP_INFO and SIOCOUTQ).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Evidence {
    /// Bytes that the peer's kernel has acknowledged, in all.
    pub acked: u64,
    /// Bytes that our kernel holds: not sent, or sent and not acknowledged.
    pub outstanding: u64,
    /// Since the peer's kernel last sent a segment: every segment acknowledges, a window probe's
    /// answer included.
    pub last_ack: Duration,
    /// Since our kernel last sent data, first or again. A window probe is no data: while the peer's
    /// window is closed, this tells since when.
    pub last_sent: Duration,
    /// Bytes that the peer's kernel has room for (its receive window); `None` where that is
    /// unknown.
    pub window: Option<u32>,
    /// The retransmission time-out that the round trip asks for, without back-off (RFC 6298).
    pub rto: Duration,
    /// Smoothed round-trip time; zero where none was measured.
    pub round_trip: Duration,
}

impl Evidence {
    /// Whether the peer has read since `before`, as far as its window tells.
    pub(crate) fn window_grew(&self, before: &Self) -> bool {
        match (before.window, self.window) {
            (Some(before), Some(now)) => now > before,
            _ => true,
        }
    }
}
