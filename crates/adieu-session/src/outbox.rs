//! Messages to the client that it has not acknowledged, to be sent again after a resume.

use std::collections::VecDeque;
use std::time::Duration;

use super::time::Timestamp;
use super::token::Digest;
use super::wire::{Tag, Tail};

/// How much a session keeps for a client that does not acknowledge. Above any of these the oldest
/// is let go, and a resume that would need it says `lost` and begins anew: never a silent gap. The
/// newest is let go by its age alone: its sender was told that it is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutboxLimits {
    /// Messages.
    pub messages: usize,
    /// Bytes of payload.
    pub bytes: usize,
    /// Age of a message.
    pub age: Duration,
}

impl Default for OutboxLimits {
    /// 1,000 messages, 4 MiB, 5 minutes: more than a client misses that comes back in time. 1,000
    /// sessions that all use it up stay at 4 GiB.
    fn default() -> Self {
        OutboxLimits { messages: 1_000, bytes: 4 * 1024 * 1024, age: Duration::from_secs(300) }
    }
}

/// Why messages cannot be replayed, or an acknowledgement not be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unknown {
    /// Some of them are not kept any more.
    LetGo,
    /// It was never sent.
    Future {
        /// The highest that was.
        sent: u64,
    },
}

/// One direction of a session, towards the client. Messages count from 1.
///
/// ```
/// use adieu_session::outbox::{Kept, Outbox, OutboxLimits};
/// use adieu_session::wire::{Payload, Tag, Tail};
/// use adieu_session::Timestamp;
///
/// let mut outbox = Outbox::default();
/// let limits = OutboxLimits::default();
/// let message = |text: &str| {
///     let (at, tag) = (Timestamp(0), Tag::new([7; 6]));
///     Kept { at, tag, key: None, tail: Tail::of(&Payload::Text(text.into())) }
/// };
/// assert_eq!(outbox.push(message("a"), &limits), 1);
/// assert_eq!(outbox.push(message("b"), &limits), 2);
/// outbox.acknowledge(1).unwrap();
/// let again: Vec<_> = outbox.after(1).unwrap().collect();
/// assert_eq!(again, [(2, &message("b"))]);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outbox {
    /// The highest sequence id that was given out.
    sent: u64,
    /// The last of them, unacknowledged.
    kept: VecDeque<Kept>,
    /// The tag of the message before those.
    settled: Tag,
    bytes: usize,
}

/// A message that is kept until it is acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// When it was taken.
    pub at: Timestamp,
    /// Tells it from another of its number.
    pub tag: Tag,
    /// By which a second request for the same message is known.
    pub key: Option<Digest>,
    /// What is sent behind its number and its tag; shared where it is for many sessions.
    pub tail: Tail,
}

impl Kept {
    fn is_old(&self, now: Timestamp, age: Duration) -> bool {
        self.at + age <= now
    }
}

impl Outbox {
    /// As it was stored: the highest sequence id that was given out, and what is kept, in order.
    #[must_use]
    pub fn restore(sent: u64, settled: Tag, kept: impl IntoIterator<Item = Kept>) -> Self {
        let kept: VecDeque<_> = kept.into_iter().collect();
        // A row that was written before its messages counts fewer of them than there are.
        let sent = sent.max(kept.len() as u64);
        let bytes = kept.iter().map(|kept| kept.tail.bytes().len()).sum();
        Outbox { sent, kept, settled, bytes }
    }

    /// The highest sequence id that was given out; 0 = none.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// How many are not acknowledged, of those that are kept.
    #[must_use]
    pub fn unacknowledged(&self) -> usize {
        self.kept.len()
    }

    /// The keys of the messages that are kept.
    pub fn keys(&self) -> impl Iterator<Item = Digest> + '_ {
        self.kept.iter().filter_map(|kept| kept.key)
    }

    /// Bytes that are kept.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The tag of the message before those that are kept.
    #[must_use]
    pub fn settled_tag(&self) -> Tag {
        self.settled
    }

    /// Whether the message of this number has this tag, as far as that is still known.
    #[must_use]
    pub fn has(&self, n: u64, tag: Tag) -> bool {
        match n.checked_sub(self.settled()) {
            None => true,
            Some(0) => n == 0 || self.settled == tag,
            Some(nth) => {
                let nth = usize::try_from(nth - 1).unwrap_or(usize::MAX);
                self.kept.get(nth).is_some_and(|kept| kept.tag == tag)
            }
        }
    }

    /// All up to this one are acknowledged or let go.
    #[must_use]
    pub fn settled(&self) -> u64 {
        self.sent - self.kept.len() as u64
    }

    /// Takes a message; its sequence id. What is above the limits is let go.
    pub fn push(&mut self, message: Kept, limits: &OutboxLimits) -> u64 {
        let bytes = message.tail.bytes().len();
        let (go, _) = self.in_the_way_of(bytes, message.at, limits);
        (0..go).for_each(|_| self.pop());
        self.sent += 1;
        self.bytes += bytes;
        self.kept.push_back(message);
        self.sent
    }

    /// Bytes by which [`push`](Self::push) would make it larger.
    #[must_use]
    pub fn growth(&self, bytes: usize, now: Timestamp, limits: &OutboxLimits) -> usize {
        let (_, left) = self.in_the_way_of(bytes, now, limits);
        (left + bytes).saturating_sub(self.bytes)
    }

    /// How many messages have to go for one of so many bytes, and the bytes of the others.
    fn in_the_way_of(&self, bytes: usize, now: Timestamp, limits: &OutboxLimits) -> (usize, usize) {
        let (mut go, mut left) = (0, self.bytes);
        for oldest in &self.kept {
            let above = self.kept.len() - go + 1 > limits.messages || left + bytes > limits.bytes;
            if !above && !oldest.is_old(now, limits.age) {
                break;
            }
            (go, left) = (go + 1, left - oldest.tail.bytes().len());
        }
        (go, left)
    }

    /// Counts a message that is not kept: its client acknowledges none.
    pub fn count(&mut self) {
        self.sent += 1;
    }

    /// When [`let_go_of_old`](Self::let_go_of_old) is due; `None`: nothing is kept.
    #[must_use]
    pub fn deadline(&self, age: Duration) -> Option<Timestamp> {
        self.kept.front().map(|oldest| oldest.at + age)
    }

    /// Lets go of what is as old as this.
    pub fn let_go_of_old(&mut self, now: Timestamp, age: Duration) {
        while self.kept.front().is_some_and(|oldest| oldest.is_old(now, age)) {
            self.pop();
        }
    }

    /// The client has received all up to `n`. Again and older ones change nothing.
    ///
    /// # Errors
    /// [`Unknown::Future`] if it was never sent.
    pub fn acknowledge(&mut self, n: u64) -> Result<(), Unknown> {
        if n > self.sent {
            return Err(Unknown::Future { sent: self.sent });
        }
        while self.settled() < n {
            self.pop();
        }
        Ok(())
    }

    /// What a client lacks that has received all up to `n`: all of it, in order, with sequence ids.
    ///
    /// # Errors
    /// [`Unknown`]: it cannot be resumed without a gap.
    pub fn after(&self, n: u64) -> Result<impl Iterator<Item = (u64, &Kept)>, Unknown> {
        let settled = self.settled();
        if n > self.sent {
            return Err(Unknown::Future { sent: self.sent });
        }
        let Some(skip) = n.checked_sub(settled) else { return Err(Unknown::LetGo) };
        let kept = self.kept.iter().skip(usize::try_from(skip).unwrap_or(usize::MAX));
        Ok((n + 1..).zip(kept))
    }

    fn pop(&mut self) {
        if let Some(oldest) = self.kept.pop_front() {
            self.bytes -= oldest.tail.bytes().len();
            self.settled = oldest.tag;
        }
        if self.kept.is_empty() {
            // What a burst took must not stay for as long as the session.
            self.kept = VecDeque::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::wire::Payload;
    use super::*;

    const NOW: Timestamp = Timestamp(1_000_000);

    fn at(at: Timestamp, text: &str) -> Kept {
        let tag = Tag::new([text.len() as u8; 6]);
        Kept { at, tag, key: None, tail: Tail::of(&Payload::Text(text.into())) }
    }

    fn filled(count: usize, limits: &OutboxLimits) -> Outbox {
        let mut outbox = Outbox::default();
        for i in 0..count {
            outbox.push(at(NOW, &format!("message {i}")), limits);
        }
        outbox
    }

    fn ids(outbox: &Outbox, n: u64) -> Result<Vec<u64>, Unknown> {
        outbox.after(n).map(|all| all.map(|(id, _)| id).collect())
    }

    #[test]
    fn a_client_gets_all_that_it_lacks_or_nothing() {
        let mut outbox = filled(5, &OutboxLimits::default());
        assert_eq!(ids(&outbox, 0), Ok(vec![1, 2, 3, 4, 5]));
        outbox.acknowledge(3).unwrap();
        assert_eq!(ids(&outbox, 3), Ok(vec![4, 5]));
        assert_eq!(ids(&outbox, 4), Ok(vec![5]), "it had received one more than it said");
        assert_eq!(ids(&outbox, 5), Ok(vec![]));
        assert_eq!(ids(&outbox, 2), Err(Unknown::LetGo), "it said that it had the third");
        assert_eq!(ids(&outbox, 6), Err(Unknown::Future { sent: 5 }));
    }

    #[test]
    fn a_session_without_messages_is_resumed_too() {
        assert_eq!(ids(&Outbox::default(), 0), Ok(vec![]));
    }

    #[test]
    fn acknowledgements_are_cumulative_and_may_come_again() {
        let mut outbox = filled(4, &OutboxLimits::default());
        for n in [2, 1, 2, 0] {
            outbox.acknowledge(n).unwrap();
            assert_eq!((outbox.settled(), outbox.unacknowledged()), (2, 2), "after {n}");
        }
        assert_eq!(outbox.acknowledge(5), Err(Unknown::Future { sent: 4 }));
    }

    #[test]
    fn each_limit_lets_go_of_the_oldest() {
        let few = OutboxLimits { messages: 3, ..OutboxLimits::default() };
        assert_eq!(filled(10, &few).settled(), 7);
        let small =
            OutboxLimits { bytes: 2 * r#""text":"message 0"}"#.len(), ..OutboxLimits::default() };
        assert_eq!(filled(10, &small).settled(), 8);
        let short = OutboxLimits { age: Duration::from_secs(1), ..OutboxLimits::default() };
        let mut outbox = filled(10, &short);
        outbox.push(at(NOW + Duration::from_secs(2), "late"), &short);
        assert_eq!((outbox.settled(), outbox.sent()), (10, 11));
        assert_eq!(ids(&outbox, 9), Err(Unknown::LetGo));
    }

    #[test]
    fn what_is_as_old_as_the_limit_is_let_go_without_another_message_the_newest_too() {
        let limits = OutboxLimits::default();
        let mut outbox = filled(3, &limits);
        outbox.push(at(NOW + Duration::from_secs(1), "late"), &limits);
        let due = outbox.deadline(limits.age).unwrap();
        assert_eq!(due, NOW + limits.age);
        outbox.let_go_of_old(Timestamp(due.0 - 1), limits.age);
        assert_eq!((outbox.settled(), outbox.deadline(limits.age)), (0, Some(due)));
        outbox.let_go_of_old(due, limits.age);
        let last = due + Duration::from_secs(1);
        assert_eq!((outbox.settled(), outbox.deadline(limits.age)), (3, Some(last)));
        outbox.let_go_of_old(last, limits.age);
        assert_eq!((outbox.settled(), outbox.bytes()), (4, 0));
        assert_eq!((outbox.deadline(limits.age), outbox.kept.capacity()), (None, 0));
    }

    #[test]
    fn a_message_grows_an_outbox_by_what_is_left_after_its_own_trimming() {
        let bytes = |text: &str| at(NOW, text).tail.bytes().len();
        let limits = OutboxLimits { bytes: 3 * bytes("a message"), ..OutboxLimits::default() };
        let later = NOW + limits.age;
        let mut outbox = Outbox::default();
        for text in ["a message", "", "a message", "longer than one", "", "x", "much much longer"] {
            let grown = outbox.growth(bytes(text), NOW, &limits);
            let (before, mut old) = (outbox.bytes(), outbox.clone());
            outbox.push(at(NOW, text), &limits);
            assert_eq!(grown, outbox.bytes().saturating_sub(before), "{text}");
            let grown = old.growth(bytes(text), later, &limits);
            old.push(at(later, text), &limits);
            assert_eq!((grown, old.bytes()), (bytes(text).saturating_sub(before), bytes(text)));
        }
        let full = filled(3, &limits);
        assert_eq!(full.growth(bytes("a message"), NOW, &limits), 0, "it is at its own limit");
    }

    #[test]
    fn a_count_below_the_messages_that_are_there_is_not_believed() {
        let restored = Outbox::restore(1, Tag::default(), filled(3, &OutboxLimits::default()).kept);
        assert_eq!((restored.settled(), restored.sent()), (0, 3));
    }

    #[test]
    fn a_message_above_the_limit_is_kept_until_the_next() {
        let small = OutboxLimits { bytes: 4, ..OutboxLimits::default() };
        assert_eq!(ids(&filled(1, &small), 0), Ok(vec![1]));
        assert_eq!(filled(3, &small).settled(), 2);
    }

    #[test]
    fn a_number_that_was_given_out_twice_is_known_by_its_tag() {
        let mut outbox = Outbox::default();
        for text in ["a", "bb", "ccc"] {
            outbox.push(at(NOW, text), &OutboxLimits::default());
        }
        let tag = |n: u8| Tag::new([n; 6]);
        for acknowledged in 0..=3 {
            outbox.acknowledge(acknowledged).unwrap();
            for n in acknowledged.max(1)..=3 {
                assert!(outbox.has(n, tag(n as u8)), "{n} after {acknowledged}");
                assert!(!outbox.has(n, tag(9)), "{n} after {acknowledged}");
            }
        }
        assert!(outbox.has(1, tag(9)), "it is not known any more");
        assert!(!outbox.has(4, tag(4)), "it was never sent");
        assert!(Outbox::default().has(0, tag(9)), "nothing was sent");
    }

    #[test]
    fn what_was_stored_goes_on_where_it_was() {
        let outbox = filled(3, &OutboxLimits::default());
        let mut restored = Outbox::restore(3, Tag::default(), outbox.kept.clone());
        assert_eq!(restored, outbox);
        assert_eq!(restored.push(at(NOW, "next"), &OutboxLimits::default()), 4);
    }
}
