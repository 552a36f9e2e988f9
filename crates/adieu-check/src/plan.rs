//! How many of everything: the full numbers of `cases.json`, or small ones.

use std::time::Duration;

use super::cases::{Backlog, Cases};

/// Reconnects to a server that is not on this machine: enough to meet a limit, not an attack.
const POLITE: usize = 200;

/// The numbers of one run.
pub(crate) struct Plan {
    pub(crate) quick: bool,
    pub(crate) uploads: usize,
    pub(crate) backlog: Backlog,
    pub(crate) refreshes: usize,
    pub(crate) reconnects: usize,
    /// How long a peer that answers no Close is watched.
    pub(crate) mute: Duration,
    /// Clients of a shutdown in hundredths of the cases' number.
    pub(crate) percent: usize,
}

impl Plan {
    /// `clients` are those of a shutdown, where the user names a number.
    pub(crate) fn new(cases: &Cases, quick: bool, clients: Option<usize>, local: bool) -> Self {
        let full = cases.shutdown.idle.clients;
        let clients = clients.unwrap_or(if quick { full / 10 } else { full });
        let percent = (clients * 100).div_ceil(full).max(2);
        let few = |full: usize| if local { full } else { full.min(POLITE) };
        let part = |full: usize| if quick { (full / 10).max(1) } else { full };
        let mut backlog = cases.backlog;
        if quick {
            backlog.queued_bytes /= 4;
            backlog.clients /= 4;
        }
        Plan {
            quick,
            uploads: (cases.upload.clients * percent.min(100) / 100).max(1),
            backlog,
            refreshes: few(part(cases.refresh_race.times)),
            reconnects: few(if quick { 200 } else { cases.reconnects.times }),
            mute: Duration::from_secs(if quick { 15 } else { 35 }),
            percent,
        }
    }

    /// So many clients of a shutdown for a number of the cases.
    pub(crate) fn scaled(&self, full: usize) -> usize {
        (full * self.percent / 100).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_full_numbers_are_those_of_the_cases() {
        let cases = Cases::load();
        let plan = Plan::new(&cases, false, None, true);
        assert_eq!((plan.uploads, plan.refreshes, plan.reconnects), (200, 1_000, 10_000));
        assert_eq!([500, 450, 200, 50].map(|full| plan.scaled(full)), [500, 450, 200, 50]);
    }

    #[test]
    fn fewer_clients_keep_the_proportions() {
        let cases = Cases::load();
        let plan = Plan::new(&cases, true, Some(100), true);
        assert_eq!([500, 450, 200, 50].map(|full| plan.scaled(full)), [100, 90, 40, 10]);
        assert_eq!(Plan::new(&cases, false, None, false).reconnects, POLITE);
    }
}
