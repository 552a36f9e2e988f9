//! Pings of the application (RFC 6455 §5.5.2, §5.5.3). Each has its number as payload; those of the
//! heartbeat have none, so that the two cannot be taken for each other.

use crate::config::defaults::MAX_PINGS;

/// Which Pings of the application are under way.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Pings {
    /// The number of the latest, counted from 1.
    last: u64,
    /// Up to this number they are answered.
    answered: u64,
    /// How many stood before the heartbeat's Ping that was queued last: its Pong answers them too.
    before_heartbeat: u64,
}

impl Pings {
    /// The number of a new Ping, unless too many wait for their Pong.
    pub(crate) fn next(&mut self) -> Option<u64> {
        if self.last - self.answered >= MAX_PINGS {
            return None;
        }
        self.last += 1;
        Some(self.last)
    }

    /// The heartbeat's Ping is queued.
    pub(crate) fn heartbeat(&mut self) {
        self.before_heartbeat = self.last;
    }

    /// A Pong came: up to which number it answers, if that is news. A peer may answer only the
    /// newest of several Pings (§5.5.3), and may send a Pong that nobody asked for.
    pub(crate) fn pong(&mut self, payload: &[u8]) -> Option<u64> {
        let number = match <[u8; 8]>::try_from(payload) {
            Ok(number) => u64::from_be_bytes(number),
            Err(_) if payload.is_empty() => std::mem::take(&mut self.before_heartbeat),
            Err(_) => return None,
        };
        if number <= self.answered || number > self.last {
            return None;
        }
        self.answered = number;
        Some(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pong(pings: &mut Pings, number: u64) -> Option<u64> {
        pings.pong(&number.to_be_bytes())
    }

    #[test]
    fn a_pong_answers_the_pings_before_its_own_too() {
        let mut pings = Pings::default();
        assert_eq!([pings.next(), pings.next(), pings.next()], [Some(1), Some(2), Some(3)]);
        assert_eq!(pong(&mut pings, 2), Some(2));
        assert_eq!((pong(&mut pings, 1), pong(&mut pings, 2)), (None, None), "no news");
        assert_eq!(pong(&mut pings, 3), Some(3));
    }

    #[test]
    fn a_pong_that_nobody_asked_for_answers_nothing() {
        let mut pings = Pings::default();
        assert_eq!((pong(&mut pings, 1), pings.pong(b"")), (None, None));
        pings.next();
        assert_eq!((pings.pong(b""), pings.pong(b"own"), pong(&mut pings, 2)), (None, None, None));
        assert_eq!(pong(&mut pings, 1), Some(1));
    }

    #[test]
    fn the_heartbeats_pong_answers_what_stood_before_its_ping() {
        let mut pings = Pings::default();
        pings.next();
        pings.heartbeat();
        pings.next();
        assert_eq!(pings.pong(b""), Some(1));
        assert_eq!(pings.pong(b""), None, "one Pong for one Ping");
        assert_eq!(pong(&mut pings, 2), Some(2));
    }

    #[test]
    fn the_pings_under_way_are_bounded() {
        let mut pings = Pings::default();
        assert_eq!(std::iter::from_fn(|| pings.next()).count() as u64, MAX_PINGS);
        pong(&mut pings, 1);
        assert_eq!((pings.next(), pings.next()), (Some(MAX_PINGS + 1), None));
    }
}
