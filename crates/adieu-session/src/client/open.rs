//! A connection on which the session goes on: heartbeats, and what is to be acknowledged.

use std::time::Duration;

use super::limits::{ACK_COUNT, ACK_DELAY, ANSWER_LIMIT, LATE, SECOND_LOOK};
use crate::Timestamp;
use crate::command::earlier;

/// A connection on which the session goes on.
pub(super) struct Open {
    pub(super) since: Timestamp,
    /// Between heartbeats, and when the next one is due.
    beat: Option<(Duration, Timestamp)>,
    beats: bool,
    /// Until when something must have come.
    pub(super) answer_by: Option<Timestamp>,
    /// The highest number that has come, whether the application has it or not.
    pub(super) heard: u64,
    /// Messages that are to be acknowledged, and until when.
    pub(super) owed: u32,
    ack_by: Option<Timestamp>,
    acks: bool,
}

impl Open {
    /// Of which all up to `received` need not come again; `every`: between heartbeats, zero: none.
    pub(super) fn new(now: Timestamp, received: u64, every: Duration) -> Self {
        Open {
            since: now,
            beat: (!every.is_zero()).then(|| (every, now + every)),
            beats: false,
            answer_by: None,
            heard: received,
            owed: 0,
            ack_by: None,
            acks: false,
        }
    }

    /// When [`tick`](Self::tick) or an acknowledgement is due.
    pub(super) fn deadline(&self) -> Option<Timestamp> {
        let beat = self.beat.map(|(_, at)| at);
        earlier(beat, earlier(self.answer_by, self.ack_by))
    }

    /// Whether a heartbeat is to be said, once.
    pub(super) fn beats(&mut self) -> bool {
        std::mem::take(&mut self.beats)
    }

    /// Whether the connection is still good.
    pub(super) fn tick(&mut self, now: Timestamp, full: bool) -> bool {
        if let Some((every, at)) = self.beat.filter(|(_, at)| *at <= now) {
            // Not what a process has missed that stood still.
            self.beat = Some((every, (at + every).max(now)));
            self.beats = true;
            self.answer_by.get_or_insert(now + ANSWER_LIMIT);
        }
        if self.ack_by.is_some_and(|by| by <= now) {
            (self.acks, self.ack_by) = (true, None);
        }
        match self.answer_by {
            Some(by) if by <= now && full => self.answer_by = None,
            // The process stood still, and what came meanwhile was not read yet.
            Some(by) if by + LATE <= now => self.answer_by = Some(now + SECOND_LOOK),
            Some(by) if by <= now => return false,
            _ => {}
        }
        true
    }

    pub(super) fn owes(&mut self, now: Timestamp) {
        self.owed += 1;
        if !self.acks {
            self.ack_by.get_or_insert(now + ACK_DELAY);
        }
    }

    /// Whether an acknowledgement is to be said, once.
    pub(super) fn acknowledges(&mut self, leaving: bool) -> bool {
        let acknowledges = self.owed > 0 && (self.acks || self.owed >= ACK_COUNT || leaving);
        if acknowledges {
            (self.owed, self.ack_by, self.acks) = (0, None, false);
        }
        acknowledges
    }
}
