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
    /// Output has to leave at the end: so long without progress is too long.
    Flush,
    /// The peer has to answer our Close.
    Close,
    /// The peer has to end its direction after ours has ended, or, where the peer is a server, so
    /// that ours may (RFC 6455 §7.1.1).
    Linger,
    /// All connections of a server that stops have to be over: it is counted from the drain's
    /// start, and whatever makes progress is let go of all the same.
    Drain,
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
            Timer::Drain => "drain deadline",
        })
    }
}

/// When the timers that are set run out. Those that never run at the same time share a place:
/// one of silence, one of output while the connection is open, one of each step to its end.
#[derive(Clone, Debug, Default, Hash)]
pub(crate) struct Timers([Option<(Timer, Instant)>; 3]);

fn place(timer: Timer) -> usize {
    match timer {
        Timer::Ping | Timer::Pong => 0,
        Timer::Write => 1,
        _ => 2,
    }
}

impl Timers {
    /// Sets a timer, in the place of the one before it. `None` is never: the timer is off.
    pub(crate) fn set(&mut self, timer: Timer, at: Option<Instant>) {
        self.0[place(timer)] = at.map(|at| (timer, at));
    }

    /// Stops a timer; one that another has followed is stopped already.
    pub(crate) fn stop(&mut self, timer: Timer) {
        if self.is_set(timer) {
            self.0[place(timer)] = None;
        }
    }

    #[inline]
    pub(crate) fn is_set(&self, timer: Timer) -> bool {
        self.0[place(timer)].is_some_and(|(set, _)| set == timer)
    }

    pub(crate) fn stop_all(&mut self) {
        *self = Timers::default();
    }

    /// The earliest deadline.
    #[inline]
    pub(crate) fn next(&self) -> Option<Instant> {
        self.0.iter().flatten().map(|(_, at)| *at).min()
    }

    /// Takes a timer that has run out.
    pub(crate) fn expired(&mut self, now: Instant) -> Option<Timer> {
        let due = self.0.iter_mut().find(|set| set.is_some_and(|(_, at)| at <= now))?;
        due.take().map(|(timer, _)| timer)
    }
}
