//! Limits and time-outs. Each default is a constant with its unit and its reason.

use std::time::Duration;

use crate::timer::Timer;
use crate::version::VersionSet;

/// The defaults, each with its reason.
pub mod defaults {
    use std::time::Duration;

    /// Bytes of a request or response head, first line and fields. Browsers send under 2 KiB;
    /// 16 KiB leaves room for cookies and is what HTTP servers commonly allow. A bigger one is
    /// answered 431 (RFC 6585 §5).
    pub const MAX_HEAD: usize = 16 * 1024;
    /// Fields in a head. Browsers send about 15; more than this is answered 431.
    pub const MAX_FIELDS: usize = 100;
    /// Bytes of the body that is kept of an answer that refuses a client's request: sentences and
    /// small pages are whole, and what a hostile server sends without end costs no more.
    pub const MAX_REFUSAL_BODY: usize = 64 * 1024;
    /// Bytes of one message, fragments' charges included. More is a Close 1009.
    pub const MAX_MESSAGE: u64 = 16 * 1024 * 1024;
    /// Bytes that each fragment after the first costs beside its payload, so that endless empty
    /// fragments reach the limit, while 65,536 fragments of 64 bytes pass (Autobahn 9.3.1).
    pub const FRAGMENT_COST: u64 = 32;
    /// Bytes of output that may wait before `send` waits. One large message may exceed it.
    pub const SEND_QUEUE: usize = 1024 * 1024;
    /// Bytes of received messages that may wait for the handler before reading pauses.
    pub const RECEIVE_QUEUE: usize = 1024 * 1024;
    /// Bytes that are read before the handler first asks for a message: no limit but that of the
    /// queue, for a handler that asks at once.
    pub const RECEIVE_UNASKED: usize = usize::MAX;
    /// Bytes that each waiting message costs beside its payload: bounds a flood of empty ones.
    pub const RECEIVE_COST: usize = 64;
    /// Bytes of Pongs up to which each Ping gets its own, unless the transport is blocked; beyond
    /// it only the newest Ping is answered, which RFC 6455 §5.5.3 allows, so that a flood of Pings
    /// costs nothing.
    pub const PONG_QUEUE: usize = 16 * 1024;
    /// Bytes that a reserved place in the output counts until its message is queued, so that those
    /// who reserve do not all find the same room: with the default queue 64 may have reserved.
    pub const RESERVE_COST: u64 = 16 * 1024;
    /// Pings of the application that may wait for their Pong. A Pong answers also the Pings before
    /// it, so more would tell nothing new; a peer that answers none cannot make them pile up.
    pub const MAX_PINGS: u64 = 16;
    /// From accept to an open WebSocket, absolute: bytes that dribble in do not extend it.
    pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
    /// Silence after which a Ping is sent. With the pong deadline and a coarse clock a vanished
    /// peer is noticed within 30 s.
    pub const PING_INTERVAL: Duration = Duration::from_secs(15);
    /// From when the Ping was acknowledged (where acknowledgements are unknown: from when it left)
    /// to any byte of the peer.
    pub const PONG_TIMEOUT: Duration = Duration::from_secs(10);
    /// How long the handler may go on sending after the peer ended, unless it saw the end first.
    /// Long enough for last words, short beside a browser's patience (WebKit: 5 s).
    pub const GRACE: Duration = Duration::from_secs(1);
    /// While open: output that waits, in front of the transport or in it, and does not move for so
    /// long. By then a reader that is there has read something; with it a stuck peer is noticed
    /// within 30 s.
    pub const WRITE_TIMEOUT: Duration = Duration::from_secs(20);
    /// At the end, where the operating system tells of acknowledged bytes: output that does not
    /// move for so long will not leave any more. A peer that reads 16 KiB each second through a
    /// receive buffer of 64 KiB shows gaps of 8 s: on the same machine its kernel opens the window
    /// only when all of the buffer is free. At the same pace in steps of 52 KiB the gaps are 9.7 s,
    /// and the peer is given up: an exit is waited for, and `docker stop` kills after 10 s. A peer
    /// whose kernel acknowledges nothing at all is let go of after 2.5 s. Never less than four
    /// retransmission time-outs.
    pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(9);
    /// The same where only the transport's taking is seen, in gaps as large as its buffer.
    pub const FLUSH_TIMEOUT: Duration = Duration::from_secs(10);
    /// By how much the pong deadline, and those of the peer's Close and FIN, are moved in all while
    /// the peer's window grows: that peer reads without a word, and has not come to our question
    /// yet. As long as a browser's page may keep its script busy.
    pub const READS_IN_SILENCE: Duration = Duration::from_secs(10);
    /// From our Close to the peer's. Firefox answers only when the page's script yields.
    pub const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);
    /// From our Close to the peer's when our server stops: an exit is waited for.
    pub const DRAIN_CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
    /// From our FIN to the peer's. Chromium sends its own within 2 s at the latest. As a client
    /// also from the closing handshake to the server's FIN.
    pub const LINGER: Duration = Duration::from_secs(2);
    /// The clocks of the handshake, of the flush and of the drain run no longer than this, whatever
    /// the settings say, unless [`Config::allow_endless_waits`](super::Config::allow_endless_waits)
    /// is set: without them a stranger could keep a connection for ever.
    pub const LONGEST_WAIT: Duration = Duration::from_secs(3600);
    /// A wait of this length or longer is the same as none: a century. Clocks cannot be set to much
    /// later times.
    pub const ENDLESS: Duration = Duration::from_secs(3_153_600_000);
}

/// Whether a clock of this length is switched off.
#[must_use]
pub fn is_endless(length: Duration) -> bool {
    length >= defaults::ENDLESS
}

/// Limits and time-outs of a connection.
///
/// A century or more ([`defaults::ENDLESS`], say `Duration::MAX`) switches a clock off; the
/// [`Ending`](crate::Ending) says so. The clocks of the handshake, the flush and the drain cannot
/// be switched off
/// ([`allow_endless_waits`](Self::allow_endless_waits)).
///
/// ```
/// let config = adieu_proto::Config { max_message: 64 << 20, ..Default::default() };
/// assert_eq!(config.max_head, 16 * 1024);
/// ```
#[derive(Clone, Debug)]
pub struct Config {
    /// Versions that are accepted (server only).
    pub versions: VersionSet,
    /// Bytes of a head: [`defaults::MAX_HEAD`].
    pub max_head: usize,
    /// Bytes of a message: [`defaults::MAX_MESSAGE`].
    pub max_message: u64,
    /// Bytes of waiting output before `send` waits: [`defaults::SEND_QUEUE`].
    pub send_queue: usize,
    /// Bytes of waiting input before reading pauses: [`defaults::RECEIVE_QUEUE`]. A quarter of it
    /// more may be in the hands of `recv`, 64 KiB at most.
    pub receive_queue: usize,
    /// Bytes that are read of an open connection before its handler first asks for a message;
    /// reading pauses then, and the rest stays in the kernel: [`defaults::RECEIVE_UNASKED`]. For a
    /// handler that finds out first whether the peer is welcome. What an HTTP library had read
    /// behind the request does not count.
    pub receive_unasked: usize,
    /// Time to open: [`defaults::HANDSHAKE_TIMEOUT`].
    pub handshake_timeout: Duration,
    /// Silence before a Ping, `None` for no Pings: [`defaults::PING_INTERVAL`].
    pub ping_interval: Option<Duration>,
    /// Time to answer a Ping: [`defaults::PONG_TIMEOUT`].
    pub pong_timeout: Duration,
    /// Time for last words after the peer ended: [`defaults::GRACE`].
    pub grace: Duration,
    /// Time without progress of output while open: [`defaults::WRITE_TIMEOUT`].
    pub write_timeout: Duration,
    /// Time without an acknowledged byte at the end: [`defaults::DRAIN_TIMEOUT`].
    pub drain_timeout: Duration,
    /// The same where the operating system does not tell: [`defaults::FLUSH_TIMEOUT`].
    pub flush_timeout: Duration,
    /// Time for the peer to answer our Close: [`defaults::CLOSE_TIMEOUT`].
    pub close_timeout: Duration,
    /// The same when our server stops: [`defaults::DRAIN_CLOSE_TIMEOUT`].
    pub drain_close_timeout: Duration,
    /// Time for the peer's FIN after ours: [`defaults::LINGER`].
    pub linger: Duration,
    /// Whether `handshake_timeout`, `flush_timeout`, `drain_timeout` and `drain_close_timeout` may
    /// be longer than [`defaults::LONGEST_WAIT`], or `Duration::MAX`: then a peer that never
    /// finishes its request, or never reads, keeps its connection and what waits for it for ever.
    pub allow_endless_waits: bool,
    /// Compression of messages; `None`, the default, for none. As a server it is agreed on with
    /// clients that offer it, as a client it is offered. The driver has to call
    /// [`Connection::go_on`](crate::Connection::go_on) then.
    #[cfg(feature = "deflate")]
    pub deflate: Option<crate::Deflate>,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            versions: VersionSet::default(),
            max_head: defaults::MAX_HEAD,
            max_message: defaults::MAX_MESSAGE,
            send_queue: defaults::SEND_QUEUE,
            receive_queue: defaults::RECEIVE_QUEUE,
            receive_unasked: defaults::RECEIVE_UNASKED,
            handshake_timeout: defaults::HANDSHAKE_TIMEOUT,
            ping_interval: Some(defaults::PING_INTERVAL),
            pong_timeout: defaults::PONG_TIMEOUT,
            grace: defaults::GRACE,
            write_timeout: defaults::WRITE_TIMEOUT,
            drain_timeout: defaults::DRAIN_TIMEOUT,
            flush_timeout: defaults::FLUSH_TIMEOUT,
            close_timeout: defaults::CLOSE_TIMEOUT,
            drain_close_timeout: defaults::DRAIN_CLOSE_TIMEOUT,
            linger: defaults::LINGER,
            allow_endless_waits: false,
            #[cfg(feature = "deflate")]
            deflate: None,
        }
    }
}

impl Config {
    /// How long the opening handshake may take, bounded as all clocks are; `None` where that is
    /// switched off. For a driver whose client has to connect first.
    #[must_use]
    pub fn handshake_deadline(&self) -> Option<Duration> {
        let length = self.length(Timer::Handshake, false, false);
        (length != Duration::MAX).then_some(length)
    }

    /// How long a clock runs. [`Timer::Flush`] has another length where the transport gives
    /// evidence of acknowledged bytes, and [`Timer::Close`] while the server stops.
    pub(crate) fn length(&self, timer: Timer, has_evidence: bool, draining: bool) -> Duration {
        let length = match timer {
            Timer::Handshake => self.bounded(self.handshake_timeout),
            Timer::Ping => self.pings_every().unwrap_or(Duration::MAX),
            Timer::Pong => self.pong_timeout,
            Timer::Grace => self.grace,
            Timer::Write => self.write_timeout,
            Timer::Flush if has_evidence => self.bounded(self.drain_timeout),
            Timer::Flush => self.bounded(self.flush_timeout),
            Timer::Close if draining => self.bounded(self.drain_close_timeout),
            Timer::Close => self.close_timeout,
            Timer::Linger => self.linger,
            // It belongs to the server that stops, not to one connection.
            Timer::Drain => Duration::MAX,
        };
        if is_endless(length) { Duration::MAX } else { length }
    }

    /// The time between Pings, unless they are switched off.
    pub(crate) fn pings_every(&self) -> Option<Duration> {
        self.ping_interval.filter(|length| !is_endless(*length))
    }

    fn bounded(&self, length: Duration) -> Duration {
        if self.allow_endless_waits { length } else { length.min(defaults::LONGEST_WAIT) }
    }

    /// The clocks that are switched off. `pings`: whether the version has a Ping.
    pub(crate) fn switched_off(&self, pings: bool) -> Vec<Timer> {
        let off = is_endless;
        let endless = |length: Duration| off(length) && self.allow_endless_waits;
        let ping = self.ping_interval.unwrap_or(Duration::MAX);
        let all = [
            (Timer::Handshake, endless(self.handshake_timeout)),
            (Timer::Ping, pings && off(ping)),
            (Timer::Pong, pings && off(self.pong_timeout)),
            (Timer::Write, off(self.write_timeout)),
            (Timer::Grace, off(self.grace)),
            (Timer::Flush, endless(self.flush_timeout) || endless(self.drain_timeout)),
            (Timer::Close, off(self.close_timeout) || endless(self.drain_close_timeout)),
            (Timer::Linger, off(self.linger)),
        ];
        if all.iter().all(|(_, off)| !off) {
            return Vec::new();
        }
        all.into_iter().filter(|(_, off)| *off).map(|(timer, _)| timer).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clocks_that_bound_a_stranger_cannot_be_switched_off_by_accident() {
        let max = Duration::MAX;
        let config = Config {
            handshake_timeout: max,
            flush_timeout: max,
            drain_timeout: max,
            drain_close_timeout: max,
            ..Config::default()
        };
        for timer in [Timer::Handshake, Timer::Flush] {
            assert_eq!(config.length(timer, false, true), defaults::LONGEST_WAIT, "{timer}");
        }
        assert!(config.switched_off(true).is_empty());
        let config = Config { allow_endless_waits: true, ..config };
        let off = [Timer::Handshake, Timer::Flush, Timer::Close];
        assert_eq!(config.switched_off(true), off);
    }

    #[test]
    fn a_clock_that_is_switched_off_is_named() {
        let config =
            Config { ping_interval: None, write_timeout: Duration::MAX, ..Config::default() };
        assert_eq!(config.switched_off(true), [Timer::Ping, Timer::Write]);
        assert_eq!(config.switched_off(false), [Timer::Write]);
    }
}
