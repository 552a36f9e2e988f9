//! The messages of one connection that wait for the application.

use std::collections::VecDeque;

use adieu_proto::{Message, defaults};

use crate::buffers::Messages;

/// Messages of no more than this are handed over together, in one look at the inbox: what one read
/// brings. They do not count for the inbox from then on.
const TAKE_AT_ONCE: usize = 64 * 1024;

/// Messages that wait for the application.
#[derive(Default)]
pub(crate) struct Inbox {
    /// Lent while it holds anything.
    pub(crate) messages: Messages,
    cost: usize,
    /// No more will come.
    pub(crate) ended: bool,
}

/// What a message counts against [`Config::receive_queue`](crate::Config::receive_queue).
fn cost(message: &Message) -> usize {
    message.len() + defaults::RECEIVE_COST
}

impl Inbox {
    pub(crate) fn push(&mut self, message: Message) {
        self.receive(|messages| messages.push_back(message));
    }

    /// Lets `read` put messages behind those that are there. Whether it did.
    pub(crate) fn receive(&mut self, read: impl FnOnce(&mut VecDeque<Message>)) -> bool {
        let messages = self.messages.get_or_insert_default();
        let before = messages.len();
        read(messages);
        self.cost += messages.range(before..).map(cost).sum::<usize>();
        messages.len() > before
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.messages.as_ref().is_none_or(|messages| messages.is_empty())
    }

    fn pop(&mut self) -> Option<Message> {
        let message = self.messages.as_mut()?.pop_front()?;
        self.cost -= cost(&message);
        Some(message)
    }

    /// Gives the next message, and all that stand behind it into the empty `taken` if they are
    /// few.
    pub(crate) fn take(&mut self, taken: &mut Messages, limit: usize) -> Option<Message> {
        if self.cost > TAKE_AT_ONCE.min(limit / 4) {
            return self.pop();
        }
        std::mem::swap(&mut self.messages, taken);
        self.cost = 0;
        taken.as_mut()?.pop_front()
    }

    pub(crate) fn clear(&mut self) {
        self.messages = None;
        self.cost = 0;
    }

    /// An empty one never is, whatever the limit.
    pub(crate) fn is_full(&self, limit: usize) -> bool {
        self.cost > 0 && self.cost >= limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(lengths: &[usize]) -> Inbox {
        let mut inbox = Inbox::default();
        lengths.iter().for_each(|len| inbox.push(vec![0; *len].into()));
        inbox
    }

    #[test]
    fn a_few_messages_are_given_together_and_many_one_by_one() {
        let limit = 1024 * 1024;
        for (lengths, together) in [(&[1, 2, 3][..], true), (&[1, TAKE_AT_ONCE, 3], false)] {
            let (mut inbox, mut taken) = (filled(lengths), None);
            let first = inbox.take(&mut taken, limit).map(|message| message.len());
            assert_eq!(first, Some(1));
            assert_eq!(taken.map_or(0, |taken| taken.len()), if together { 2 } else { 0 });
            assert_eq!(inbox.is_empty(), together);
        }
    }

    #[test]
    fn what_is_in_hands_is_a_quarter_of_the_limit_at_most() {
        let (mut inbox, mut taken) = (filled(&[100; 10]), None);
        assert!(inbox.take(&mut taken, 1000).is_some());
        assert!(taken.is_none());
        assert!(inbox.is_full(1000), "nine messages of 164 B");
        while inbox.take(&mut taken, 1000).is_some() {}
        assert!(!inbox.is_full(1000));
    }
}
