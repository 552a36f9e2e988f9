//! The messages of one connection that wait for the application.

use adieu_proto::{Message, Messages, Scratch, defaults};

/// Messages of no more than this are handed over together, in one look at the inbox: what one read
/// brings. They do not count for the inbox from then on.
const TAKE_AT_ONCE: usize = 64 * 1024;

/// Messages that wait for the application.
#[derive(Default)]
pub(super) struct Inbox {
    /// Lent by the scratch while it holds anything.
    messages: Messages,
    cost: usize,
    /// No more will come.
    pub(super) ended: bool,
}

/// What a message counts against [`Config::receive_queue`](crate::Config::receive_queue).
fn cost(message: &Message) -> usize {
    message.len() + defaults::RECEIVE_COST
}

impl Inbox {
    /// Takes the messages that were read.
    #[inline]
    pub(super) fn take_in(&mut self, read: &mut Messages) {
        let Some(new) = read.as_mut().filter(|new| !new.is_empty()) else { return };
        self.cost += new.iter().map(cost).sum::<usize>();
        match &mut self.messages {
            Some(own) if !own.is_empty() => own.append(new),
            own => std::mem::swap(own, read),
        }
    }

    /// What the messages in it count together.
    #[inline]
    pub(super) fn cost(&self) -> usize {
        self.cost
    }

    pub(super) fn is_empty(&self) -> bool {
        self.messages.as_ref().is_none_or(|messages| messages.is_empty())
    }

    fn pop(&mut self) -> Option<Message> {
        let message = self.messages.as_mut()?.pop_front()?;
        self.cost -= cost(&message);
        Some(message)
    }

    /// Gives the next message, and all that stand behind it into the empty `taken` if they are
    /// few.
    #[inline]
    pub(super) fn take(&mut self, taken: &mut Messages, limit: usize) -> Option<Message> {
        if self.cost > TAKE_AT_ONCE.min(limit / 4) {
            return self.pop();
        }
        std::mem::swap(&mut self.messages, taken);
        self.cost = 0;
        taken.as_mut()?.pop_front()
    }

    /// Gives up all messages: what they run when they are dropped is not ours, so they are to be
    /// dropped where no lock is held.
    pub(super) fn clear(&mut self) -> Messages {
        self.cost = 0;
        self.messages.take()
    }

    /// A handler has taken all: its empty buffer is used again.
    pub(super) fn give_back(&mut self, taken: &mut Messages) {
        if self.messages.is_none() {
            self.messages = taken.take();
        }
    }

    /// An idle inbox keeps no buffer.
    #[inline]
    pub(super) fn lend_back(&mut self, scratch: &mut Scratch) {
        if let Some(own) = self.messages.take_if(|messages| messages.is_empty()) {
            scratch.keep_messages(own);
        }
    }

    /// An empty one never is, whatever the limit.
    #[inline]
    pub(super) fn is_full(&self, limit: usize) -> bool {
        self.cost > 0 && self.cost >= limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(lengths: &[usize]) -> Inbox {
        let mut inbox = Inbox::default();
        for len in lengths {
            let message = Message::from(vec![0; *len]);
            inbox.take_in(&mut Some(Box::new([message].into())));
        }
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
