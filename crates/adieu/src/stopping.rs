//! How one connection ends when its server stops: what had arrived is read and answered first.

use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use adieu_proto::{Cause, Close, HandshakeError};

use crate::now;
use crate::shared::State;

/// What a handler has to answer what had arrived, from when all of it was read; and to make room
/// where reading is paused for it. One that waits for messages is done at once.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);

/// A handler that goes on taking messages may need longer than that for all of them, but no
/// longer than this from the start: an exit is waited for.
const ANSWERS_TIMEOUT: Duration = Duration::from_secs(10);

/// Bytes that are read where the system does not tell what had arrived, at most: about what a
/// socket's buffer holds. Reading stops before that when nothing is there.
const UNTOLD: usize = 1024 * 1024;

/// Over TLS the bytes in the kernel are not those that the application gets: a few records may
/// have been taken from it and not been read.
const TLS_AHEAD: usize = 64 * 1024;

/// How far it is.
#[derive(Debug, Default)]
pub(crate) enum Stopping {
    /// The server goes on.
    #[default]
    No,
    /// What the kernel had received when the server stopped is being read.
    Reading {
        /// Bytes of it that are still to be read, at most.
        left: usize,
        patience: Patience,
        close: Box<Close>,
    },
    /// It was read; the handler answers.
    Answering { patience: Patience, close: Box<Close> },
    /// The Close is on its way.
    Closing,
}

/// How long the handler is waited for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// Without progress until then it does not ask for what arrived.
    until: Instant,
    /// With progress, until then.
    last: Instant,
}

impl Patience {
    fn new() -> Self {
        let now = now();
        Patience { until: now + ANSWER_TIMEOUT, last: now + ANSWERS_TIMEOUT }
    }

    fn renew(&mut self) {
        self.until = self.last.min(now() + ANSWER_TIMEOUT);
    }
}

impl Stopping {
    /// How many bytes may be read now.
    pub(crate) fn may_read(&self) -> usize {
        match self {
            Stopping::Reading { left, .. } => *left,
            // What comes now came too late; the Close is queued first.
            Stopping::Answering { .. } => 0,
            _ => usize::MAX,
        }
    }

    /// Whether the handler answers what had arrived.
    pub(crate) fn is_answering(&self) -> bool {
        matches!(self, Stopping::Answering { .. })
    }

    /// So much was read; nothing = all that was there.
    pub(crate) fn was_read(&mut self, n: usize) {
        if let Stopping::Reading { left, patience, close } = self {
            patience.renew();
            *left = left.saturating_sub(n);
            if n == 0 || *left == 0 {
                let close = std::mem::take(close);
                *self = Stopping::Answering { patience: *patience, close };
            }
        }
    }

    /// The handler has taken a message: it is at work.
    pub(crate) fn was_taken(&mut self) {
        if let Stopping::Reading { patience, .. } | Stopping::Answering { patience, .. } = self {
            patience.renew();
        }
    }
}

impl State {
    /// The server stops.
    pub(crate) fn drain(&mut self, close: &Close) {
        if !matches!(self.stopping, Stopping::No) {
            return;
        }
        if !self.connection.delivers() || self.socket_dropped {
            // A request is refused; what is ending already goes on with that.
            self.connection.refuse(now(), HandshakeError::Refused(503));
            self.stopping = Stopping::Closing;
            return self.wake_driver();
        }
        // One look: a peer that goes on sending cannot hold the drain open.
        let ahead = if self.io.is_tls() { TLS_AHEAD } else { 0 };
        let left = self.io.readable().map_or(UNTOLD, |bytes| bytes + ahead);
        let close = Box::new(close.clone());
        self.stopping = Stopping::Reading { left, patience: Patience::new(), close };
        if left == 0 {
            self.stopping.was_read(0);
        }
        if self.driving {
            // The driver goes on with that and writes at the end of its wake, in the middle of
            // which we are; what is still to be read it reads in its next one.
            return self.wakers.driver.iter().for_each(Waker::wake_by_ref);
        }
        self.borrow_buffers();
        self.go_on_stopping();
        // The Close leaves now, not when its driver has its turn among those of all others.
        self.write_what_waits(None);
        self.give_back_buffers();
        self.wake_driver();
    }

    /// The transport gives nothing now. The runtime hears later than the kernel of what came: it
    /// is there all the same, and will be read.
    pub(crate) fn nothing_read(&mut self) {
        let reading = matches!(self.stopping, Stopping::Reading { .. });
        if reading && self.io.readable().is_none_or(|bytes| bytes == 0) {
            self.stopping.was_read(0);
        }
    }

    /// Whether the handler has answered, or had its time: then the Close goes out.
    pub(crate) fn go_on_stopping(&mut self) {
        let is_waited_for = self.is_waited_for();
        let (patience, close, answered) = match &mut self.stopping {
            Stopping::Reading { patience, close, .. } => (patience, close, false),
            Stopping::Answering { patience, close } => (patience, close, is_waited_for),
            Stopping::No | Stopping::Closing => return,
        };
        // After the peer's goodbye the handler still answers what came before it.
        let ending = !self.connection.may_send();
        if answered || ending || patience.until <= now() {
            let close = std::mem::take(close);
            self.stopping = Stopping::Closing;
            self.close(*close, Cause::Drain);
        }
    }

    /// What can leave without waiting leaves; then we let go.
    pub(crate) fn hurry(&mut self, close: Close) {
        self.stopping = Stopping::Closing;
        self.close(close, Cause::Drain);
        // What the application has to hear waits for the driver; the Close cannot.
        self.write_what_waits(Some(&mut Context::from_waker(Waker::noop())));
        self.connection.abandon(now());
        self.wake_driver();
    }

    /// Writes before the driver has its turn. With `cx` the FIN may follow in the same segment.
    fn write_what_waits(&mut self, mut cx: Option<&mut Context<'_>>) {
        while self.connection.has_output() && self.write(cx.as_deref_mut()) == Poll::Ready(true) {}
    }

    /// When the driver has to look next.
    pub(crate) fn timeout(&self) -> Option<Instant> {
        let answered = match &self.stopping {
            Stopping::Reading { patience, .. } | Stopping::Answering { patience, .. } => {
                Some(patience.until)
            }
            Stopping::No | Stopping::Closing => None,
        };
        answered.into_iter().chain(self.connection.timeout()).min()
    }
}
