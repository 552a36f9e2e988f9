//! Which address to try when (RFC 8305, "Happy Eyeballs"): a choice without a socket or a clock.

use std::collections::{HashSet, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// How long one attempt has before the next begins beside it (RFC 8305 §5, §8: 250 ms).
pub(super) const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// Addresses of one name that are tried at most. Names of real servers have a handful; each attempt
/// costs a socket until one has connected.
pub(super) const MOST_ADDRESSES: usize = 64;

/// The addresses that are still to be tried, and when the next may be.
#[derive(Debug)]
pub(super) struct Eyeballs {
    waiting: VecDeque<SocketAddr>,
    running: usize,
    /// When the next attempt begins, unless one fails before.
    next: Option<Instant>,
}

/// What to do now.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Begin an attempt.
    Start(SocketAddr),
    /// Wait for the attempts that run; until then at the latest, if there is another address.
    Wait(Option<Instant>),
    /// No address is left and no attempt runs.
    Exhausted,
}

impl Eyeballs {
    /// The addresses in the order of preference that the resolver gives (RFC 6724). The families
    /// take turns, that of the first address first (RFC 8305 §4).
    pub(super) fn new(addresses: impl IntoIterator<Item = SocketAddr>) -> Self {
        Eyeballs { waiting: interleave(addresses), running: 0, next: None }
    }

    /// The next step. Time may not go back.
    pub(super) fn step(&mut self, now: Instant) -> Step {
        if self.running > 0 && self.next.is_some_and(|next| now < next) {
            return Step::Wait(self.next.filter(|_| !self.waiting.is_empty()));
        }
        match self.waiting.pop_front() {
            Some(address) => {
                self.running += 1;
                self.next = Some(now + ATTEMPT_DELAY);
                Step::Start(address)
            }
            None if self.running > 0 => Step::Wait(None),
            None => Step::Exhausted,
        }
    }

    /// The addresses whose turn has not come.
    pub(super) fn left(&self) -> impl Iterator<Item = SocketAddr> {
        self.waiting.iter().copied()
    }

    /// An attempt has failed: the next begins at once.
    pub(super) fn failed(&mut self) {
        self.running = self.running.saturating_sub(1);
        self.next = None;
    }
}

fn interleave(addresses: impl IntoIterator<Item = SocketAddr>) -> VecDeque<SocketAddr> {
    let mut seen = HashSet::new();
    let unique = addresses.into_iter().filter(|address| seen.insert(*address));
    let mut unique = unique.peekable();
    let first = unique.peek().is_some_and(SocketAddr::is_ipv6);
    let (ours, others): (Vec<_>, Vec<_>) = unique.partition(|a| a.is_ipv6() == first);
    let mut others = others.into_iter();
    let mut turns = VecDeque::new();
    for address in ours {
        turns.push_back(address);
        turns.extend(others.next());
    }
    turns.extend(others);
    // Only now: a list of many of one family keeps its few of the other.
    turns.truncate(MOST_ADDRESSES);
    turns
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(list: &[&str]) -> Vec<SocketAddr> {
        list.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn families_take_turns_in_the_order_of_the_resolver() {
        let order = |list: &[&str]| interleave(addresses(list)).into_iter().collect::<Vec<_>>();
        let mixed = ["[::1]:1", "[::2]:1", "[::3]:1", "1.1.1.1:1", "2.2.2.2:1"];
        let turns = ["[::1]:1", "1.1.1.1:1", "[::2]:1", "2.2.2.2:1", "[::3]:1"];
        assert_eq!(order(&mixed), addresses(&turns));
        let four_first = ["1.1.1.1:1", "2.2.2.2:1", "3.3.3.3:1", "[::1]:1"];
        let turns = ["1.1.1.1:1", "[::1]:1", "2.2.2.2:1", "3.3.3.3:1"];
        assert_eq!(order(&four_first), addresses(&turns));
        assert_eq!(order(&["1.1.1.1:1", "1.1.1.1:1"]), addresses(&["1.1.1.1:1"]));
        assert_eq!(order(&[]), []);
        let many: Vec<_> = (0..500).map(|n| SocketAddr::from(([1, 1, 1, 1], n))).collect();
        assert_eq!(interleave(many).len(), MOST_ADDRESSES);
    }

    #[test]
    fn many_addresses_of_one_family_leave_room_for_the_other() {
        let six = (1..=200).map(|n| SocketAddr::from((std::net::Ipv6Addr::LOCALHOST, n)));
        let four = SocketAddr::from(([1, 1, 1, 1], 1));
        let order = interleave(six.chain([four]));
        assert_eq!((order.len(), order[1]), (MOST_ADDRESSES, four));
    }

    #[test]
    fn the_next_attempt_begins_after_250_ms_beside_the_first() {
        let list = addresses(&["[::1]:1", "1.1.1.1:1"]);
        let mut eyeballs = Eyeballs::new(list.clone());
        let start = Instant::now();
        let after = |ms| start + Duration::from_millis(ms);
        assert_eq!(eyeballs.step(start), Step::Start(list[0]));
        assert_eq!(eyeballs.step(start), Step::Wait(Some(after(250))));
        assert_eq!(eyeballs.step(after(249)), Step::Wait(Some(after(250))));
        assert_eq!(eyeballs.step(after(250)), Step::Start(list[1]));
        assert_eq!(eyeballs.step(after(250)), Step::Wait(None));
        assert_eq!(eyeballs.step(after(9999)), Step::Wait(None));
        eyeballs.failed();
        assert_eq!(eyeballs.step(after(9999)), Step::Wait(None));
        eyeballs.failed();
        assert_eq!(eyeballs.step(after(9999)), Step::Exhausted);
    }

    #[test]
    fn the_next_attempt_begins_at_once_behind_a_refusal() {
        let list = addresses(&["1.1.1.1:1", "2.2.2.2:1", "3.3.3.3:1"]);
        let mut eyeballs = Eyeballs::new(list.clone());
        let start = Instant::now();
        let after = |ms| start + Duration::from_millis(ms);
        assert_eq!(eyeballs.step(start), Step::Start(list[0]));
        eyeballs.failed();
        assert_eq!(eyeballs.step(after(1)), Step::Start(list[1]));
        assert_eq!(eyeballs.step(after(1)), Step::Wait(Some(after(251))));
        eyeballs.failed();
        assert_eq!(eyeballs.step(after(2)), Step::Start(list[2]));
        eyeballs.failed();
        assert_eq!(eyeballs.step(after(3)), Step::Exhausted);
    }
}
