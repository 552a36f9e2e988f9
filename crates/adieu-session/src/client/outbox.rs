//! Outgoing messages, kept until the gateway has acknowledged them.

use std::collections::VecDeque;
use std::fmt;

use adieu_proto::Message;

use super::limits::Limits;
use super::wire::{numbered, payload, tail};
use crate::wire::MAX_PAYLOAD;

/// Why a message is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendError {
    /// It is larger than a message may be.
    TooLarge {
        /// Its bytes.
        bytes: usize,
        /// How many it may have.
        most: usize,
    },
    /// Too much waits for the gateway's acknowledgement.
    Full {
        /// Messages that wait.
        messages: usize,
        /// Their bytes.
        bytes: usize,
    },
    /// The session is over, or is being left.
    Over,
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SendError::TooLarge { bytes, most } => {
                write!(f, "the message is too large: {bytes} bytes, {most} at most")
            }
            SendError::Full { messages, bytes } => write!(
                f,
                "too much is unacknowledged: {messages} messages, {bytes} bytes; send again later"
            ),
            SendError::Over => f.write_str("the session is over, or is being left"),
        }
    }
}

impl std::error::Error for SendError {}

/// A message that waits.
struct Entry {
    tail: String,
    size: usize,
}

pub(super) struct Outbox {
    limits: Limits,
    entries: VecDeque<Entry>,
    /// Messages at the front that have their number: they may have left.
    numbered: usize,
    /// Messages at the front that left on the present connection.
    sent: usize,
    /// The highest number that the gateway has acknowledged.
    acknowledged: u64,
    bytes: usize,
}

impl Outbox {
    pub(super) fn new(limits: Limits) -> Self {
        let entries = VecDeque::new();
        Outbox { limits, entries, numbered: 0, sent: 0, acknowledged: 0, bytes: 0 }
    }

    /// What an earlier process has left behind; up to the first that is no message.
    pub(super) fn restore(&mut self, acknowledged: u64, tails: &[String]) {
        let size = |tail: &String| Some((tail.clone(), payload(tail)?.len()));
        let entries = tails.iter().map_while(size).map(|(tail, size)| Entry { tail, size });
        self.entries = entries.collect();
        self.bytes = self.entries.iter().map(|entry| entry.size).sum();
        self.numbered = self.entries.len();
        self.acknowledged = acknowledged;
    }

    pub(super) fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn tails(&self) -> Vec<String> {
        self.entries.iter().map(|entry| entry.tail.clone()).collect()
    }

    pub(super) fn push(&mut self, message: &Message) -> Result<(), SendError> {
        let (bytes, waiting) = (message.len(), self.entries.len());
        let most = self.limits.unacknowledged_bytes.min(MAX_PAYLOAD);
        if bytes > most {
            return Err(SendError::TooLarge { bytes, most });
        }
        let too_many = waiting >= self.limits.unacknowledged_messages;
        if too_many || self.bytes + bytes > self.limits.unacknowledged_bytes {
            return Err(SendError::Full { messages: waiting, bytes: self.bytes });
        }
        self.entries.push_back(Entry { tail: tail(message), size: bytes });
        self.bytes += bytes;
        Ok(())
    }

    /// Whether it is an acknowledgement of something that was sent.
    pub(super) fn acknowledge(&mut self, id: u64) -> bool {
        let count = id.saturating_sub(self.acknowledged);
        let known = count <= self.sent as u64;
        if known {
            self.drop_first(count);
        }
        known
    }

    /// A connection begins; of the session the gateway has committed all up to `id`.
    pub(super) fn connected(&mut self, id: u64) {
        let count = id.saturating_sub(self.acknowledged);
        self.drop_first(count.min(self.numbered as u64));
        self.acknowledged = id;
        self.sent = 0;
    }

    /// The first that has not left on this connection. From here on it has its number.
    pub(super) fn next_unsent(&mut self) -> Option<String> {
        let entry = self.entries.get(self.sent)?;
        self.sent += 1;
        self.numbered = self.numbered.max(self.sent);
        Some(numbered(self.acknowledged + self.sent as u64, &entry.tail))
    }

    /// The session is over: takes out its messages, or only those that may have left.
    pub(super) fn take(&mut self, all: bool) -> Vec<Message> {
        let count = if all { self.entries.len() } else { self.numbered };
        let taken = self.entries.iter().take(count).filter_map(|entry| payload(&entry.tail));
        let taken = taken.collect();
        self.drop_first(count as u64);
        (self.acknowledged, self.numbered, self.sent) = (0, 0, 0);
        taken
    }

    fn drop_first(&mut self, count: u64) {
        let dropped = usize::try_from(count).unwrap_or(usize::MAX).min(self.entries.len());
        self.bytes -= self.entries.drain(..dropped).map(|entry| entry.size).sum::<usize>();
        self.acknowledged += count;
        self.numbered = self.numbered.saturating_sub(dropped);
        self.sent = self.sent.saturating_sub(dropped);
    }
}
