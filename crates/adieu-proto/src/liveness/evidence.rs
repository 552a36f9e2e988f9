//! What a transport knows of bytes that left.

use std::time::Duration;

/// What the operating system knows of bytes that left (on Linux: TCP_INFO and SIOCOUTQ).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Evidence {
    /// Bytes that the peer's kernel has acknowledged, in all.
    pub acked: u64,
    /// Bytes that our kernel holds: not sent, or sent and not acknowledged.
    pub outstanding: u64,
    /// Those of them that our kernel has not sent yet: the peer's window, or the network, holds
    /// them back. Zero where that is unknown.
    pub unsent: u64,
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
    /// Since the peer's kernel last took something, at least.
    pub(crate) fn quiet(&self) -> Duration {
        if self.unsent > 0 {
            // An acknowledgement that makes room has more sent at once. Those that came later
            // answer window probes, or what was under way: the latter within a round trip, which
            // is shorter than the retransmission time-out.
            return self.last_ack.max(self.last_sent.saturating_sub(self.rto));
        }
        // The acknowledgement came with the peer's last segment at the latest, and what waits now
        // began to wait when our kernel sent it at the latest.
        self.last_ack.min(self.last_sent)
    }

    /// Whether the peer has read since `before`, as far as its window tells.
    pub(crate) fn window_grew(&self, before: &Self) -> bool {
        match (before.window, self.window) {
            (Some(before), Some(now)) => now > before,
            _ => true,
        }
    }
}
