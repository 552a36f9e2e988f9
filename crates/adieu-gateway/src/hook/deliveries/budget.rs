//! How much of what people said may wait for the backend: of a session, of a user, in all. What is
//! told of sessions and users is not counted here: it is never held back.

use std::collections::HashMap;
use std::sync::Arc;

use super::options::{
    ALL_BYTES, SESSION_BYTES, SESSION_MESSAGES, SESSION_RESERVE, SMALL_RESERVE, USER_BYTES,
};

/// Of which bytes a message takes its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pool {
    /// Those that all share.
    Main,
    /// Those that are kept for small messages.
    Reserve,
}

/// Room that is kept for a message whose event does not wait yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    pub(super) pool: Pool,
    pub(super) bytes: usize,
}

/// Why there is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    /// The session has its share.
    Session,
    /// Its user has, or all together have.
    Others,
}

/// What one session has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Share {
    messages: usize,
    main: usize,
    reserve: usize,
}

/// What all have.
#[derive(Debug, Default)]
pub(super) struct Budget {
    main: usize,
    reserve: usize,
    users: HashMap<Arc<str>, usize>,
}

impl Share {
    pub(super) fn is_empty(&self) -> bool {
        self.messages == 0
    }
}

impl Budget {
    /// Where there is room for a message. The first of a session, of a user and of all fits however
    /// large it is, so that none waits for ever.
    pub(super) fn room(
        &self,
        share: &Share,
        user: Option<&Arc<str>>,
        bytes: usize,
        small: bool,
    ) -> Result<Pool, Full> {
        let fits = |used: usize, limit: usize| used == 0 || used + bytes <= limit;
        if share.messages >= SESSION_MESSAGES || !fits(share.main, SESSION_BYTES) {
            return Err(Full::Session);
        }
        let of_user = user.and_then(|user| self.users.get(user)).copied().unwrap_or_default();
        if fits(of_user, USER_BYTES) && fits(self.main, ALL_BYTES) {
            return Ok(Pool::Main);
        }
        let reserve = share.reserve + bytes <= SESSION_RESERVE;
        if small && reserve && self.reserve + bytes <= SMALL_RESERVE {
            return Ok(Pool::Reserve);
        }
        Err(Full::Others)
    }

    /// A message has its room.
    pub(super) fn take(
        &mut self,
        share: &mut Share,
        user: Option<&Arc<str>>,
        pool: Pool,
        bytes: usize,
    ) {
        share.messages += 1;
        match pool {
            Pool::Reserve => {
                share.reserve += bytes;
                self.reserve += bytes;
            }
            Pool::Main => {
                share.main += bytes;
                self.main += bytes;
                if let Some(user) = user {
                    *self.users.entry(user.clone()).or_default() += bytes;
                }
            }
        }
    }

    /// A message does not need it any more. To be called with what it was taken with.
    pub(super) fn give_back(
        &mut self,
        share: &mut Share,
        user: Option<&Arc<str>>,
        pool: Pool,
        bytes: usize,
    ) {
        share.messages -= 1;
        match pool {
            Pool::Reserve => {
                share.reserve -= bytes;
                self.reserve -= bytes;
            }
            Pool::Main => {
                share.main -= bytes;
                self.main -= bytes;
                let Some(user) = user else { return };
                let Some(of_user) = self.users.get_mut(user) else { return };
                *of_user = of_user.saturating_sub(bytes);
                if *of_user == 0 {
                    self.users.remove(user);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1024 * 1024;

    #[test]
    fn one_session_has_an_eighth_and_one_user_a_quarter() {
        let (mut budget, anna) = (Budget::default(), Arc::<str>::from("anna"));
        let mut tabs = [Share::default(); 4];
        for tab in &mut tabs {
            while let Ok(pool) = budget.room(tab, Some(&anna), MIB, false) {
                budget.take(tab, Some(&anna), pool, MIB);
            }
        }
        assert_eq!(tabs.map(|tab| tab.main / MIB), [8, 8, 0, 0]);
        assert_eq!(budget.room(&tabs[0], Some(&anna), 1, true), Err(Full::Session));
        // Somebody else is not concerned, nor is what is small of the same person's other tab.
        assert_eq!(budget.room(&Share::default(), None, MIB, false), Ok(Pool::Main));
        assert_eq!(budget.room(&tabs[3], Some(&anna), MIB, false), Err(Full::Others));
        assert_eq!(budget.room(&tabs[3], Some(&anna), 100, true), Ok(Pool::Reserve));
    }

    #[test]
    fn small_messages_fit_while_large_ones_fill_everything() {
        let (mut budget, mut others) = (Budget::default(), [Share::default(); 9]);
        for other in &mut others {
            while let Ok(pool) = budget.room(other, None, MIB, false) {
                budget.take(other, None, pool, MIB);
            }
        }
        assert_eq!(budget.main, ALL_BYTES);
        let mut many = [Share::default(); 128];
        for one in &mut many {
            while let Ok(pool) = budget.room(one, None, 1024, true) {
                budget.take(one, None, pool, 1024);
            }
        }
        assert!(many.iter().all(|one| one.messages == 64), "each has as much as the others");
        assert_eq!(budget.room(&Share::default(), None, 1024, true), Err(Full::Others));
        // All of it comes back.
        for one in &mut many {
            while !one.is_empty() {
                budget.give_back(one, None, Pool::Reserve, 1024);
            }
        }
        assert_eq!((budget.main, budget.reserve), (ALL_BYTES, 0));
    }

    #[test]
    fn the_bytes_of_a_user_are_forgotten_with_the_last_of_them() {
        let (mut budget, anna) = (Budget::default(), Arc::<str>::from("anna"));
        let mut share = Share::default();
        budget.take(&mut share, Some(&anna), Pool::Main, 7);
        budget.give_back(&mut share, Some(&anna), Pool::Main, 7);
        assert!(budget.users.is_empty() && share.is_empty() && budget.main == 0);
    }

    #[test]
    fn a_message_larger_than_a_share_fits_where_nothing_waits() {
        let budget = Budget::default();
        assert_eq!(budget.room(&Share::default(), None, ALL_BYTES + 1, false), Ok(Pool::Main));
    }
}
