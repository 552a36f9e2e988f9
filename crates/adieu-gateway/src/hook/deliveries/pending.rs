//! One event that waits, and what becomes of it when it is refused.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::budget::Pool;
use super::event::{Kind, Lane};
use super::failure::{Failure, FailureKind};
use super::options::{
    BACK_OFF, DeliveryOptions, FINAL_TRIES, MAX_BACK_OFF, NOTHING_ELSE_TAKEN, NOTHING_TAKEN,
    PARK_TRIES,
};
use super::spell::Spell;
use crate::session::event::Event;
use crate::session::{Change, Timestamp};

/// The time, by both clocks: waits are monotonic, what is shown to people is not.
#[derive(Clone, Copy, Debug)]
pub(super) struct Now {
    pub(super) at: Instant,
    pub(super) wall: Timestamp,
}

/// How many events the backend has taken so far, of each lane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Taken(pub(super) [u64; 2]);

impl Taken {
    pub(super) fn of(self, lane: Lane) -> u64 {
        self.0[lane as usize]
    }
}

/// An event that waits for the backend.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) sequence: u64,
    pub(super) event: Arc<Event>,
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
    /// There was no answer at all, the last time.
    unanswered: bool,
    pub(super) not_before: Instant,
    since: Instant,
    sent_at: Instant,
    refused_at: Instant,
    pub(super) first_failed_at: Timestamp,
    pub(super) last_tried_at: Timestamp,
    /// What the backend had taken by the first failure, and by the last.
    taken_at_first: Taken,
    taken_at_last: Taken,
    pub(super) error: String,
}

/// When an event that was refused is tried again before its back-off is over. While the backend
/// took others of its kind and not this one, the fault is with the event, and there is no hope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hope {
    /// When the backend takes anything: since it refused this event before it has taken nothing.
    Anything,
    /// When the backend takes an event of this lane: it has taken others meanwhile.
    SameLane,
    /// There is none.
    Nothing,
}

/// When a request was sent, and what was known of the backend by then.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    pub(super) at: Instant,
    /// What it had taken.
    pub(super) taken: Taken,
    /// When the last request was sent that it had taken.
    pub(super) well_at: Instant,
}

/// What becomes of an event that was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is tried again.
    Again(Hope),
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

    /// It was sent and then refused. `draw` is from 0 to
    /// 1, by chance.
    pub(super) fn refused(
        &mut self,
        (sent, now): (Sent, Now),
        failure: &Failure,
        taken: Taken,
        draw: f64,
        options: &DeliveryOptions,
    ) -> Fate {
        let first = self.trouble.is_none();
        let trouble = self.trouble.get_or_insert_with(|| Box::new(Trouble::new(now, taken)));
        let lane = self.kind.lane();
        let hope = match trouble.taken_at_last {
            _ if first => Hope::Anything,
            before if before == taken => Hope::Anything,
            before if before.of(lane) == taken.of(lane) => Hope::SameLane,
            _ => Hope::Nothing,
        };
        trouble.again(sent.at, now, failure, taken);
        trouble.not_before = now.at + back_off(trouble.tries - 1, draw);
        let age = now.at.duration_since(self.came) + self.age;
        let over = match lane {
            Lane::Lifecycle => trouble.tries >= PARK_TRIES && age >= options.park_after,
            Lane::Messages => trouble.is_hopeless(now.at, sent, options),
        };
        if over { Fate::SetAside } else { Fate::Again(hope) }
    }

    /// What says in the store that it is taken.
    pub(super) fn written_off(&self, stream: &Bytes) -> Change {
        match self.letter {
            Some(id) => Change::DeleteDeadLetter { id },
            None => Change::DeleteEvent { stream: stream.clone(), sequence: self.sequence },
        }
    }

    /// Tries it earlier than its back-off says.
    pub(super) fn bring_forward(&mut self, at: Instant) {
        if let Some(trouble) = &mut self.trouble {
            trouble.not_before = trouble.not_before.min(at);
        }
    }
}

impl Trouble {
    fn new(now: Now, taken: Taken) -> Self {
        Trouble {
            tries: 0,
            counted: 0,
            finals: 0,
            unanswered: false,
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

    fn again(&mut self, sent_at: Instant, now: Now, failure: &Failure, taken: Taken) {
        self.tries = self.tries.saturating_add(1);
        self.counted += u32::from(failure.kind != FailureKind::BadSignature);
        self.finals += u32::from(failure.kind == FailureKind::Final);
        self.unanswered = matches!(failure.kind, FailureKind::NoAnswer | FailureKind::Died);
        self.last_tried_at = now.wall;
        self.sent_at = sent_at;
        self.refused_at = now.at;
        self.taken_at_last = taken;
        self.error.clone_from(&failure.why);
    }

    /// When a lifecycle event behind it may overtake it, that has been patient until this time.
    /// That there was no answer tells nothing of the backend now: it may have been well again for
    /// all of the wait. If it has taken nothing else either, the order is worth a longer wait.
    /// A gateway that stops has no time for that.
    pub(super) fn overtaken_at(&self, patient_until: Instant, stops: bool) -> Instant {
        if !stops && self.unanswered && self.taken_at_last == self.taken_at_first {
            patient_until.max(self.since + NOTHING_ELSE_TAKEN)
        } else {
            patient_until
        }
    }

    /// Whether it was refused at this time or later, by a backend that was not unwell as a whole.
    pub(super) fn is_of(&self, time: Instant, spell: Option<Spell>) -> bool {
        let excused = spell.is_some_and(|spell| spell.covers(self.sent_at));
        self.refused_at >= time && !excused
    }

    /// Whether a message is given up whose last request was this. While the backend takes no
    /// message at all, it is more likely that the backend is unwell than that the message is wrong.
    /// A request that was under way when the backend changed may be answered by the backend as it
    /// was: so the backend was well between two refusals only if it took what was sent after the
    /// first, and had done so before the second was sent.
    fn is_hopeless(&self, now: Instant, sent: Sent, options: &DeliveryOptions) -> bool {
        let age = now - self.since;
        if self.finals >= FINAL_TRIES {
            return sent.well_at > self.since || age >= options.dead_letter_age;
        }
        let taken = |taken: Taken| taken.of(Lane::Messages);
        let others_are_taken = taken(sent.taken) > taken(self.taken_at_first);
        let tried = self.counted >= options.dead_letter_tries && age >= options.dead_letter_age;
        tried && (others_are_taken || age >= NOTHING_TAKEN)
    }
}

/// The wait after so many failures before: doubled with each, half of it by chance.
fn back_off(failures: u32, draw: f64) -> Duration {
    let wait = BACK_OFF.saturating_mul(1 << failures.min(16)).min(MAX_BACK_OFF);
    wait / 2 + (wait / 2).mul_f64(draw)
}
