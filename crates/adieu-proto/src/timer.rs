//! The clocks of a connection: an enum and a table.

use std::fmt;
use std::time::Instant;

/// Every clock that can run out on a connection. Lengths are in [`Config`](crate::Config).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Timer {
    /// The opening handshake has to be complete.
    Handshake,
    /// Nothing was heard for a while: time to send a Ping.
    Ping,
    /// The Ping has to be answered (any byte counts).
    Pong,
    /// Output has to move while the connection is open.
    Write,
    /// The handler has to read to the end and say its last words after the peer ended.
    Grace,
    /// Output has to leave: so long without a byte taken by the transport is too long.
    Flush,
    /// The peer has to answer our Close.
    Close,
    /// The peer has to end its direction after ours has ended.
    Linger,
}

impl Timer {
    pub(crate) const ALL: [Timer; 8] = [
        Timer::Handshake,
        Timer::Ping,
        Timer::Pong,
        Timer::Write,
        Timer::Grace,
        Timer::Flush,
        Timer::Close,
        Timer::Linger,
    ];
}

impl fmt::Display for Timer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Timer::Handshake => "handshake deadline",
            Timer::Ping => "ping interval",
            Timer::Pong => "pong deadline",
            Timer::Grace => "handler's grace",
            Timer::Flush => "flush deadline",
            Timer::Write => "write deadline",
            Timer::Close => "close deadline",
            Timer::Linger => "linger deadline",
        })
    }
}

/// When each timer runs out, if it is set.
#[derive(Clone, Debug, Default, Hash)]
pub(crate) struct Timers([Option<Instant>; Timer::ALL.len()]);

impl Timers {
    pub(crate) fn set(&mut self, timer: Timer, at: Instant) {
        self.0[timer as usize] = Some(at);
    }

    pub(crate) fn stop(&mut self, timer: Timer) {
        self.0[timer as usize] = None;
    }

    pub(crate) fn is_set(&self, timer: Timer) -> bool {
        self.0[timer as usize].is_some()
    }

    pub(crate) fn stop_all(&mut self) {
        *self = Timers::default();
    }

    /// The earliest deadline.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.0.iter().flatten().min().copied()
    }

    /// Takes a timer that has run out.
    pub(crate) fn expired(&mut self, now: Instant) -> Option<Timer> {
        let timer =
            Timer::ALL.into_iter().find(|t| self.0[*t as usize].is_some_and(|at| at <= now))?;
        self.stop(timer);
        Some(timer)
    }
}
