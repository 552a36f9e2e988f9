//! What waits for the application, in order.

use std::collections::VecDeque;

use adieu_proto::Message;

use super::event::Event;
use super::limits::{INBOX_BYTES, INBOX_EVENTS};
use crate::wire::Tag;

/// Which message it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Number {
    /// Counts the sessions of this client: their messages are numbered anew.
    pub(super) session: u32,
    pub(super) id: u64,
    pub(super) tag: Option<Tag>,
}

#[derive(Default)]
pub(super) struct Inbox {
    events: VecDeque<(Event, Option<Number>)>,
    /// Of the messages.
    bytes: usize,
}

impl Inbox {
    pub(super) fn is_full(&self) -> bool {
        self.events.len() >= INBOX_EVENTS || self.bytes >= INBOX_BYTES
    }

    pub(super) fn message(&mut self, number: Number, message: Message) {
        self.bytes += message.len();
        self.events.push_back((Event::Message(message), Some(number)));
    }

    /// An application that does not look hears of the last interruption only: their number has no
    /// limit, what waits has.
    pub(super) fn event(&mut self, event: Event) {
        let last = self.events.back().map(|(event, _)| event);
        match (&event, last) {
            (Event::Interrupted { .. }, Some(Event::Interrupted { .. }))
            | (Event::NotKept { .. }, Some(Event::NotKept { .. })) => {
                self.events.pop_back();
            }
            (Event::Resumed { .. }, Some(Event::Interrupted { .. })) => {
                let before = self.events.len().checked_sub(2).and_then(|at| self.events.get(at));
                if matches!(before, Some((Event::Resumed { .. }, _))) {
                    self.events.truncate(self.events.len() - 2);
                }
            }
            _ => {}
        }
        self.events.push_back((event, None));
    }

    /// Which message is next, if what comes next is one.
    pub(super) fn next_number(&self) -> Option<Number> {
        self.events.front()?.1
    }

    pub(super) fn has_more(&self) -> bool {
        !self.events.is_empty()
    }

    pub(super) fn pop(&mut self) -> Option<(Event, Option<Number>)> {
        let next = self.events.pop_front()?;
        if let Event::Message(message) = &next.0 {
            self.bytes -= message.len();
        }
        Some(next)
    }

    /// The gateway sends these again.
    pub(super) fn forget_messages_of(&mut self, session: u32) {
        let bytes = &mut self.bytes;
        self.events.retain(|(event, number)| match (event, number) {
            (Event::Message(message), Some(number)) if number.session == session => {
                *bytes -= message.len();
                false
            }
            _ => true,
        });
    }
}
