//! One event that waits, and what becomes of it when it is refused.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::budget::Pool;
use super::event::{Kind, Lane};
use super::failure::{Failure, FailureKind};
use super::options::PARK_TRIES;
use super::options::{BACK_OFF, DeliveryOptions, FINAL_TRIES, MAX_BACK_OFF, NOTHING_TAKEN};
use crate::session::Timestamp;

/// The time, by both clocks: waits are monotonic, what is shown to people is not.
#[derive(Clone, Copy, Debug)]
pub(super) struct Now {
    pub(super) at: Instant,
    pub(super) wall: Timestamp,
}

/// An event that waits for the backend.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) sequence: u64,
    pub(super) event: Bytes,
    pub(super) kind: Kind,
    /// The dead letter that it is, if it is one that is tried again.
    pub(super) letter: Option<u64>,
    pub(super) came: Instant,
    /// How old it was when it came: the store had it.
    pub(super) age: Duration,
    /// Whose bytes it takes, of a message.
    pub(super) pool: Pool,
    /// If it was refused before.
    pub(super) trouble: Option<Box<Trouble>>,
}

/// What an event has been through.
#[derive(Debug)]
pub(super) struct Trouble {
    /// How often it was refused.
    pub(super) tries: u32,
    /// How often in a way that may be its own fault.
    counted: u32,
    /// How often with the answer that the event itself is wrong.
    finals: u32,
    pub(super) not_before: Instant,
    since: Instant,
    sent_at: Instant,
    refused_at: Instant,
    pub(super) first_failed_at: Timestamp,
    pub(super) last_tried_at: Timestamp,
    /// How many events the backend had taken by the first failure, and by the last.
    taken_at_first: u64,
    taken_at_last: u64,
    pub(super) error: String,
}

/// What becomes of an event that was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is tried again.
    Again {
        /// Whether the backend has taken nothing since it refused this event before: then it is
        /// tried again soon after the backend takes anything.
        hopeful: bool,
    },
    /// It is set aside.
    SetAside,
}

impl Pending {
    pub(super) fn lane(&self) -> Lane {
        self.kind.lane()
    }

    /// When it may be sent, for its own part.
    pub(super) fn not_before(&self) -> Instant {
        self.trouble.as_ref().map_or(self.came, |trouble| trouble.not_before)
    }

    /// It was sent and then refused. `taken` is how many events the backend has taken so far, `draw` is from 0 to
    /// 1, by chance.
    pub(super) fn refused(
        &mut self,
        (sent_at, now): (Instant, Now),
        failure: &Failure,
        taken: u64,
        draw: f64,
        options: &DeliveryOptions,
    ) -> Fate {
        let first = self.trouble.is_none();
        let trouble = self.trouble.get_or_insert_with(|| Box::new(Trouble::new(now, taken)));
        let hopeful = first || trouble.taken_at_last == taken;
        trouble.again(sent_at, now, failure, taken);
        trouble.not_before = now.at + back_off(trouble.tries - 1, draw);
        let age = now.at.duration_since(self.came) + self.age;
        let over = match self.kind.lane() {
            Lane::Lifecycle => trouble.tries >= PARK_TRIES && age >= options.park_after,
            Lane::Messages => trouble.is_hopeless(now.at, taken, options),
        };
        if over { Fate::SetAside } else { Fate::Again { hopeful } }
    }

    /// Tries it earlier than its back-off says.
    pub(super) fn bring_forward(&mut self, at: Instant) {
        if let Some(trouble) = &mut self.trouble {
            trouble.not_before = trouble.not_before.min(at);
        }
    }
}

impl Trouble {
    fn new(now: Now, taken: u64) -> Self {
        Trouble {
            tries: 0,
            counted: 0,
            finals: 0,
            not_before: now.at,
            since: now.at,
            sent_at: now.at,
            refused_at: now.at,
            first_failed_at: now.wall,
            last_tried_at: now.wall,
            taken_at_first: taken,
            taken_at_last: taken,
            error: String::new(),
        }
    }

    fn again(&mut self, sent_at: Instant, now: Now, failure: &Failure, taken: u64) {
        self.tries = self.tries.saturating_add(1);
        self.counted += u32::from(failure.kind != FailureKind::BadSignature);
        self.finals += u32::from(failure.kind == FailureKind::Final);
        self.last_tried_at = now.wall;
        self.sent_at = sent_at;
        self.refused_at = now.at;
        self.taken_at_last = taken;
        self.error.clone_from(&failure.why);
    }

    /// Whether it was refused at this time or later, by a backend that has not recovered meanwhile.
    pub(super) fn is_of(&self, time: Instant, recovered: Instant) -> bool {
        self.refused_at >= time && self.sent_at >= recovered
    }

    /// Whether a message is given up. While the backend takes nothing at all, it is more likely
    /// that the backend is unwell than that the message is wrong.
    fn is_hopeless(&self, now: Instant, taken: u64, options: &DeliveryOptions) -> bool {
        let (age, others_are_taken) = (now - self.since, taken > self.taken_at_first);
        if self.finals >= FINAL_TRIES {
            return others_are_taken || age >= options.dead_letter_age;
        }
        let tried = self.counted >= options.dead_letter_tries && age >= options.dead_letter_age;
        tried && (others_are_taken || age >= NOTHING_TAKEN)
    }
}

/// The wait after so many failures before: doubled with each, half of it by chance.
fn back_off(failures: u32, draw: f64) -> Duration {
    let wait = BACK_OFF.saturating_mul(1 << failures.min(16)).min(MAX_BACK_OFF);
    wait / 2 + (wait / 2).mul_f64(draw)
}
