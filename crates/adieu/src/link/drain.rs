//! How one connection ends when its server stops: what had arrived is read and answered first.

use std::time::{Duration, Instant};

use adieu_proto::Close;

use crate::drain::Stop;
use crate::now;

/// What a handler has to answer what had arrived, from when all of it was read; and to make room
/// where reading is paused for it. One that waits for messages is done at once.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);

/// A handler that goes on taking messages may need longer than that for all of them, but no
/// longer than this from the start: an exit is waited for.
const ANSWERS_TIMEOUT: Duration = Duration::from_secs(10);

/// Bytes that are read where the system does not tell what had arrived, at most: about what a
/// socket's buffer holds. Reading stops before that when nothing is there.
pub(super) const UNKNOWN: usize = 1024 * 1024;

/// How far the drain of one connection is.
#[derive(Debug)]
pub(super) struct DrainState {
    step: Step,
    stop: Stop,
    /// Without progress until then the handler does not ask for what arrived.
    patient_until: Instant,
    /// With progress, until then.
    last: Instant,
    /// A stream that does not tell what arrived gave nothing when it was read last.
    looked: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// What the kernel had received when the server stopped is being read: so many bytes of it are
    /// still to be read, at most.
    Reading(usize),
    /// It was read; the handler answers.
    Answering,
    /// The Close is on its way, or the connection was ending already.
    Closing,
}

impl DrainState {
    /// The server stops, and so many bytes at most have arrived and were not read.
    pub(super) fn new(stop: Stop, unread: usize) -> Self {
        let now = now();
        let step = if unread == 0 { Step::Answering } else { Step::Reading(unread) };
        let (patient_until, last) = (now + ANSWER_TIMEOUT, now + ANSWERS_TIMEOUT);
        DrainState { step, stop, patient_until, last, looked: false }
    }

    /// The server stops, and the connection is ending already.
    pub(super) fn of_an_ending(stop: Stop) -> Self {
        DrainState { step: Step::Closing, ..Self::new(stop, 0) }
    }

    fn renew(&mut self) {
        self.patient_until = self.last.min(now() + ANSWER_TIMEOUT);
    }

    /// How many bytes may be read now.
    pub(super) fn may_read(&self) -> usize {
        match self.step {
            Step::Reading(left) => left,
            // What comes now came too late; the Close is queued first.
            Step::Answering => 0,
            Step::Closing => usize::MAX,
        }
    }

    pub(super) fn is_reading(&self) -> bool {
        matches!(self.step, Step::Reading(_))
    }

    /// Whether the handler answers what had arrived.
    pub(super) fn is_answering(&self) -> bool {
        self.step == Step::Answering
    }

    /// So much was read; nothing = all that was there.
    pub(super) fn was_read(&mut self, n: usize) {
        if let Step::Reading(left) = self.step {
            self.renew();
            let left = if n == 0 { 0 } else { left.saturating_sub(n) };
            self.step = if left == 0 { Step::Answering } else { Step::Reading(left) };
        }
    }

    /// A stream that does not tell what arrived gives nothing. The runtime hears later than the
    /// kernel of what came, so that is believed when the runtime has looked meanwhile. Whether it
    /// is to look.
    pub(super) fn gave_nothing(&mut self) -> bool {
        if std::mem::replace(&mut self.looked, true) {
            self.was_read(0);
            return false;
        }
        true
    }

    /// The handler has taken a message: it is at work.
    pub(super) fn was_taken(&mut self) {
        if self.step != Step::Closing {
            self.renew();
        }
    }

    /// Our Close, if it is time for it. `answered`: the handler has answered all that was read.
    /// `ending`: the peer has ended; the handler still answers what came before that.
    pub(super) fn close_when_due(&mut self, answered: bool, ending: bool) -> Option<Close> {
        let due = match self.step {
            Step::Closing => return None,
            Step::Answering => answered || ending || self.patient_until <= now(),
            Step::Reading(_) => ending || self.patient_until <= now(),
        };
        if !due {
            return None;
        }
        self.step = Step::Closing;
        Some(self.stop.close.clone())
    }

    /// Our Close at once.
    pub(super) fn close_now(&mut self) {
        self.step = Step::Closing;
    }

    /// Whether the time of all connections is up.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        self.stop.deadline.is_some_and(|at| at <= now)
    }

    /// When the driver has to look next.
    pub(super) fn timeout(&self) -> Option<Instant> {
        let answers = (self.step != Step::Closing).then_some(self.patient_until);
        answers.into_iter().chain(self.stop.deadline).min()
    }
}
