//! How one connection ends when its server stops: what had arrived is read and answered first.

use std::task::Waker;
use std::time::{Duration, Instant};

use adieu_proto::{Cause, Close, HandshakeError};

use crate::now;
use crate::shared::State;

/// What a handler has to answer what had arrived, from when all of it was read; and to make room
/// where reading is paused for it. One that waits for messages is done at once.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);

/// How far it is.
#[derive(Debug, Default)]
pub(crate) enum Stopping {
    /// The server goes on.
    #[default]
    No,
    /// What the kernel had received when the server stopped is being read.
    Reading {
        /// Bytes of it that are still to be read; `None` = until nothing is there, where the
        /// system does not tell.
        left: Option<usize>,
        /// Without progress until then, the handler does not ask for it.
        until: Instant,
        close: Close,
    },
    /// It was read; the handler answers.
    Answering { until: Instant, close: Close },
    /// The Close is on its way.
    Closing,
}

impl Stopping {
    /// How many bytes may be read now.
    pub(crate) fn may_read(&self) -> usize {
        match self {
            Stopping::Reading { left: Some(left), .. } => *left,
            // What comes now came too late; the Close is queued first.
            Stopping::Answering { .. } => 0,
            _ => usize::MAX,
        }
    }

    /// So much was read; nothing = all that was there.
    pub(crate) fn was_read(&mut self, n: usize) {
        if let Stopping::Reading { left, until, close } = self {
            *until = now() + ANSWER_TIMEOUT;
            let left_now = left.map(|left| left.saturating_sub(n));
            if n == 0 || left_now == Some(0) {
                let close = std::mem::take(close);
                *self = Stopping::Answering { until: *until, close };
            } else {
                *left = left_now;
            }
        }
    }
}

impl State {
    /// The server stops.
    pub(crate) fn drain(&mut self, close: &Close) {
        if !matches!(self.stopping, Stopping::No) {
            return;
        }
        // Of the two only the one that fits the state does anything.
        self.connection.refuse(now(), HandshakeError::Refused(503));
        // One look: a peer that goes on sending cannot hold the drain open. Over TLS the bytes
        // in the kernel are not those that the application gets.
        let left = if self.io.is_tls() { None } else { self.io.readable() };
        let until = now() + ANSWER_TIMEOUT;
        self.stopping = Stopping::Reading { left, until, close: close.clone() };
        if left == Some(0) {
            self.stopping.was_read(0);
        }
        self.go_on_stopping();
        self.wake_driver();
    }

    /// Whether the handler has answered, or had its time: then the Close goes out.
    pub(crate) fn go_on_stopping(&mut self) {
        let (until, close, answered) = match &mut self.stopping {
            Stopping::Reading { until, close, .. } => (*until, close, false),
            Stopping::Answering { until, close } => {
                (*until, close, self.inbox.is_waited_for(&self.wakers))
            }
            Stopping::No | Stopping::Closing => return,
        };
        if answered || until <= now() {
            let close = std::mem::take(close);
            self.stopping = Stopping::Closing;
            self.close(close, Cause::Drain);
        }
    }

    /// What can leave without waiting leaves; then we let go.
    pub(crate) fn hurry(&mut self, close: Close) {
        self.stopping = Stopping::Closing;
        self.close(close, Cause::Drain);
        self.write_now();
        self.connection.abandon(now());
        self.wake_driver();
    }

    /// When the driver has to look next.
    pub(crate) fn timeout(&self) -> Option<Instant> {
        let answered = match &self.stopping {
            Stopping::Reading { until, .. } | Stopping::Answering { until, .. } => Some(*until),
            Stopping::No | Stopping::Closing => None,
        };
        answered.into_iter().chain(self.connection.timeout()).min()
    }
}

/// Whether the driver has to be told that the handler waits for a message.
pub(crate) fn is_watched(stopping: &Stopping, driver: Option<&Waker>, receiver: &Waker) -> bool {
    let answering = matches!(stopping, Stopping::Answering { .. });
    answering && !driver.is_some_and(|driver| driver.will_wake(receiver))
}
