//! When a connection of HTTP/2 is looked at that nothing else happens to: the same on both sides.

use std::time::{Duration, Instant};

use adieu_proto::Timer;

use super::below::{Acked, Below};
use super::io::LINGER;
use super::settings::Settings;
use crate::now;

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    Nothing,
    /// The peer is silent: it is asked.
    Ping,
    /// The connection is not used: it is ended.
    GoAway,
    /// The peer has not answered, or has not ended.
    LetGo(Timer),
}

/// When a connection is looked at that nothing else happens to.
#[derive(Debug)]
pub(crate) struct Clock {
    ping_interval: Duration,
    ping_timeout: Duration,
    idle_timeout: Duration,
    /// When a PING went out that nothing has come after.
    asked: Option<Instant>,
    /// The server stops.
    stopping: bool,
    /// What the client's kernel had acknowledged when the client was asked.
    acked: Option<Acked>,
    /// Since when there is no stream, as far as was seen.
    idle: Option<Instant>,
    /// When it was ended for want of streams.
    ending: Option<Instant>,
    /// When it is looked whether there are streams.
    look: Instant,
}

/// How often it is looked whether a connection has streams; while the server stops more often, for
/// an exit is waited for.
const LOOK: Duration = Duration::from_secs(1);
const LOOK_STOPPING: Duration = Duration::from_millis(100);

/// While the server stops, a client is asked after so much silence. One that does not answer for so
/// long, and whose kernel acknowledges nothing meanwhile, is given up: as long as acknowledgements
/// of TCP are waited for. What was sent is in the client's kernel, which can read it later.
const STOP_PING_INTERVAL: Duration = Duration::from_millis(500);
const STOP_PING_TIMEOUT: Duration = Duration::from_millis(2_500);

impl Clock {
    pub(crate) fn new(settings: &Settings) -> Self {
        Clock {
            ping_interval: settings.ping_interval,
            ping_timeout: settings.ping_timeout,
            idle_timeout: settings.idle_timeout,
            asked: None,
            stopping: false,
            acked: None,
            idle: None,
            ending: None,
            look: now() + LOOK,
        }
    }

    /// The server stops: an exit is waited for, so that a client is asked soon whether it is there,
    /// and again and again.
    pub(super) fn stops(&mut self) {
        self.stopping = true;
        (self.asked, self.look) = (None, now());
        self.ping_interval = self.ping_interval.min(STOP_PING_INTERVAL);
        self.ping_timeout = self.ping_timeout.min(STOP_PING_TIMEOUT);
    }

    pub(crate) fn next(&self, below: &Below) -> Instant {
        let silent = match self.asked {
            Some(asked) => asked.checked_add(self.ping_timeout),
            None => below.heard().checked_add(self.ping_interval),
        };
        // While the server stops, it is looked at anyway.
        let silent = silent.filter(|_| !self.stopping);
        silent.map_or(self.look, |at| at.min(self.look))
    }

    pub(crate) fn passes(&mut self, below: &Below, has_streams: bool) -> Due {
        let now = now();
        let heard = below.heard();
        if self.asked.is_some_and(|asked| heard >= asked) {
            self.asked = None;
        }
        match self.asked {
            Some(asked) if asked.checked_add(self.ping_timeout).is_some_and(|at| now >= at) => {
                let acked = below.acked();
                let moves_on = self.acked.zip(acked).is_some_and(|(then, now)| then.moves_on(now));
                if !moves_on {
                    return Due::LetGo(Timer::Pong);
                }
                // The answer waits behind what the client still reads.
                (self.acked, self.asked) = (acked, Some(now));
            }
            // What the kernel has acknowledged is to be known before it is asked.
            None if self.stopping && below.acked().is_none() => {}
            None if heard.checked_add(self.ping_interval).is_some_and(|at| now >= at) => {
                (self.acked, self.asked) = (below.acked(), Some(now));
                return Due::Ping;
            }
            _ => {}
        }
        if now < self.look {
            return Due::Nothing;
        }
        self.look = now + if self.stopping { LOOK_STOPPING } else { LOOK };
        self.looks(now, has_streams)
    }

    fn looks(&mut self, now: Instant, has_streams: bool) -> Due {
        if has_streams {
            (self.idle, self.ending) = (None, None);
            return Due::Nothing;
        }
        let idle = *self.idle.get_or_insert(now);
        match self.ending {
            Some(ending) if now >= ending + LINGER => Due::LetGo(Timer::Linger),
            Some(_) => Due::Nothing,
            None if self.stopping => {
                self.ending = Some(now);
                Due::Nothing
            }
            None if now.saturating_duration_since(idle) >= self.idle_timeout => {
                self.ending = Some(now);
                Due::GoAway
            }
            None => Due::Nothing,
        }
    }
}
