//! The session machine.
//!
//! ```text
//!                  Resume (a newer connection takes over)
//!                        ┌────────┐
//!            start ──► Attached ◄─┘
//!                        │   ▲
//!   Detach, wait > 0     │   │ Resume
//!                        ▼   │
//!                       Away (until a deadline)
//!                        │
//!     Expire, End,       ▼        Detach with no wait, End: from Attached too
//!                       Over
//! ```
//!
//! A session has one connection that counts: its newest. Each connection has a *generation*, and
//! what an older one still does or how late it ends changes nothing.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::time::Timestamp;
use super::wait::Departure;

/// Where a session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Its newest connection is open.
    Attached,
    /// Its connection ended; the person may come back.
    Away {
        /// What the end of the connection said.
        departure: Departure,
        /// When waiting is over.
        until: Timestamp,
    },
    /// It is over and announced.
    Over,
}

/// A session. It is written down as it is.
///
/// ```
/// use std::time::Duration;
/// use adieu_session::{Action, Departure, Input, Session, State, Timestamp};
///
/// let (session, _) = Session::start();
/// let wait = Duration::from_secs(8);
/// let lost = Input::Detach { generation: 1, departure: Departure::Hidden, wait };
/// let (session, _) = session.on(Timestamp(0), lost);
/// // A refresh: the page comes back with its token before the wait is over.
/// let (session, actions) = session.on(Timestamp(300), Input::Resume { presented: 1 });
/// assert_eq!((session.state(), session.generation()), (State::Attached, 2));
/// assert_eq!(actions, [Action::TellResumed]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Session {
    state: State,
    /// Of the newest connection; the first is 1.
    generation: u32,
    /// The client is known to hold the token of this generation; older ones are stale.
    confirmed: u32,
    /// The client is back on another connection and is being judged: until then its session is
    /// not over, however the connection that it has still got ends.
    held: Option<Timestamp>,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Input {
    /// A connection with a token of this generation, whose MAC is right.
    Resume {
        /// The token's generation.
        presented: u32,
    },
    /// On the connection of this generation the client used its new token's session: a message or
    /// an acknowledgement.
    Confirm {
        /// The connection's generation.
        generation: u32,
    },
    /// The connection of this generation ended.
    Detach {
        /// The connection's generation.
        generation: u32,
        /// What its end says.
        departure: Departure,
        /// How long to wait after that.
        wait: Duration,
    },
    /// The client said goodbye on the connection of this generation.
    Goodbye {
        /// The connection's generation.
        generation: u32,
    },
    /// The backend ends it.
    End,
    /// The backend says that another user is in this tab now: that user gets a session of its own.
    Replace,
    /// Time has passed.
    Expire,
    /// The client is back and is being judged: it is waited for until then at least.
    Hold {
        /// When that has to be decided.
        until: Timestamp,
    },
    /// The gateway was down and accepts again from now on: who was here or away has this long.
    Restarted {
        /// The fresh window.
        window: Duration,
    },
}

/// What to do about it, in order. What is told to the backend is told after it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Tell the backend `session.started`.
    TellStarted,
    /// Tell the backend `connection.lost`, if it asked for that.
    TellLost,
    /// Tell the backend `connection.resumed`, if it asked for that.
    TellResumed,
    /// Tell the backend `session.ended`: once, last.
    TellEnded(Why),
    /// Close the connection of this generation with 4002: a newer one has the session.
    Supersede(u32),
    /// Close the newest connection: the session is over.
    CloseNewest,
    /// The token is not taken.
    Refuse(Refusal),
}

/// Why a session is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// The client left for good: `goodbye`, or a Close that says so.
    Goodbye,
    /// The client did not come back in time.
    Expired(Departure),
    /// The backend ended it.
    Backend,
    /// Another user took the tab.
    Replaced,
}

/// Why a session is not resumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// Too late: it is over.
    Expired,
    /// A newer token of this session is known to be in use.
    Stale,
}

type Actions = Vec<Action>;

impl Session {
    /// A new session, whose first connection is open.
    #[must_use]
    pub fn start() -> (Self, Actions) {
        let session = Session { state: State::Attached, generation: 1, confirmed: 1, held: None };
        (session, vec![Action::TellStarted])
    }

    /// As a store has it.
    #[must_use]
    pub fn restored(state: State, generation: u32, confirmed: u32) -> Self {
        Session { state, generation, confirmed, held: None }
    }

    /// The generation of the oldest token that is taken.
    #[must_use]
    pub fn confirmed(&self) -> u32 {
        self.confirmed
    }

    /// Where it is.
    #[must_use]
    pub fn state(&self) -> State {
        self.state
    }

    /// The generation of its newest connection, and of the token that the client was given on it.
    #[must_use]
    pub fn generation(&self) -> u32 {
        self.generation
    }

    /// When [`Input::Expire`] is due.
    #[must_use]
    pub fn deadline(&self) -> Option<Timestamp> {
        match self.state {
            State::Away { until, .. } => Some(until),
            State::Attached | State::Over => None,
        }
    }

    /// The same, not waited for longer than until then.
    #[must_use]
    pub fn not_after(self, latest: Timestamp) -> Self {
        match self.state {
            State::Away { departure, until } if until > latest => {
                Session { state: State::Away { departure, until: latest }, ..self }
            }
            _ => self,
        }
    }

    /// The one transition function.
    #[must_use]
    pub fn on(self, now: Timestamp, input: Input) -> (Self, Actions) {
        match (self.state, input) {
            (State::Over, Input::Resume { .. }) => (self, vec![Action::Refuse(Refusal::Expired)]),
            (State::Over, _) => (self, Vec::new()),
            (_, Input::Resume { presented }) => self.resume(presented),
            (State::Attached, Input::Confirm { generation }) => self.confirm(generation),
            (State::Attached, Input::Detach { generation, departure, wait })
                if generation == self.generation =>
            {
                self.detach(now, departure, wait)
            }
            (State::Attached, Input::Goodbye { generation }) if generation == self.generation => {
                self.end(Why::Goodbye)
            }
            (_, Input::End) => self.end(Why::Backend),
            (_, Input::Replace) => self.end(Why::Replaced),
            (State::Away { departure, until }, Input::Expire) if until <= now => {
                self.end(Why::Expired(departure))
            }
            (State::Away { departure, until: before }, Input::Hold { until }) => {
                let state = State::Away { departure, until: before.max(until) };
                (Session { state, ..self }, Vec::new())
            }
            (State::Attached, Input::Hold { until }) => {
                (Session { held: self.held.max(Some(until)), ..self }, Vec::new())
            }
            (_, Input::Restarted { window }) => self.restarted(now + window),
            // What comes from an older connection, or too early.
            (_, Input::Confirm { .. } | Input::Detach { .. } | Input::Goodbye { .. })
            | (_, Input::Expire) => (self, Vec::new()),
        }
    }

    /// A client that holds a token holds none of those before it: they are stale from then on. One
    /// newer than we know is good: its MAC is right, and it is our store that lost its tail. Who
    /// comes after the deadline and before it was announced is back, and nothing is announced.
    fn resume(self, presented: u32) -> (Self, Actions) {
        if presented < self.confirmed {
            return (self, vec![Action::Refuse(Refusal::Stale)]);
        }
        let action = match self.state {
            State::Attached => Action::Supersede(self.generation),
            _ => Action::TellResumed,
        };
        let generation = self.generation.max(presented) + 1;
        let (state, confirmed) = (State::Attached, presented);
        (Session { state, generation, confirmed, held: None }, vec![action])
    }

    fn confirm(self, generation: u32) -> (Self, Actions) {
        let newest = generation == self.generation;
        let confirmed = if newest { generation } else { self.confirmed };
        (Session { confirmed, ..self }, Vec::new())
    }

    fn detach(self, now: Timestamp, departure: Departure, wait: Duration) -> (Self, Actions) {
        let until = self.held.unwrap_or(now).max(now + wait);
        if until == now {
            let why = match departure {
                Departure::Left => Why::Goodbye,
                departure => Why::Expired(departure),
            };
            let over = Session { state: State::Over, held: None, ..self };
            return (over, vec![Action::TellEnded(why)]);
        }
        let state = State::Away { departure, until };
        (Session { state, held: None, ..self }, vec![Action::TellLost])
    }

    fn end(self, why: Why) -> (Self, Actions) {
        let open = self.state == State::Attached;
        let close = open.then_some(Action::CloseNewest);
        let actions = close.into_iter().chain([Action::TellEnded(why)]).collect();
        (Session { state: State::Over, held: None, ..self }, actions)
    }

    /// A wait is never made shorter by it: a promise of the drain before may be longer. Who was
    /// away had been told so.
    fn restarted(self, fresh: Timestamp) -> (Self, Actions) {
        let (departure, until, actions) = match self.state {
            State::Away { departure, until } => (departure, until.max(fresh), Vec::new()),
            _ => (Departure::GatewayDown, fresh, vec![Action::TellLost]),
        };
        (Session { state: State::Away { departure, until }, held: None, ..self }, actions)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    /// A connection's generation, seen from the newest: it may be an old one that ends late.
    const AGES: [u32; 3] = [0, 1, 2];
    /// Inputs of a sequence.
    const DEPTH: usize = 8;

    /// What may happen next, whatever the state.
    fn alphabet(session: &Session) -> Vec<Input> {
        let mut all = vec![Input::End, Input::Replace, Input::Expire];
        all.push(Input::Restarted { window: 3 * SECOND });
        all.push(Input::Hold { until: Timestamp(2_500) });
        // A token that is newer than the store knows.
        all.push(Input::Resume { presented: session.generation + 1 });
        for age in AGES {
            let Some(generation) = session.generation.checked_sub(age).filter(|g| *g > 0) else {
                continue;
            };
            all.push(Input::Resume { presented: generation });
            all.push(Input::Confirm { generation });
            all.push(Input::Goodbye { generation });
            for (departure, wait) in [
                (Departure::Left, Duration::ZERO),
                (Departure::Left, SECOND),
                (Departure::Hidden, Duration::ZERO),
                (Departure::Hidden, SECOND),
                (Departure::Lost, 2 * SECOND),
            ] {
                all.push(Input::Detach { generation, departure, wait });
            }
        }
        all
    }

    /// A session as it will behave from `now` on: how many generations are long gone, and when it
    /// is makes no difference.
    fn relative(session: Session, now: Timestamp) -> Session {
        let gone = session.confirmed.saturating_sub(AGES.len() as u32);
        let state = match session.state {
            State::Away { departure, until } => {
                State::Away { departure, until: Timestamp(until.0.saturating_sub(now.0)) }
            }
            state => state,
        };
        let (generation, confirmed) = (session.generation - gone, session.confirmed - gone);
        let held = session.held.filter(|at| *at > now).map(|at| Timestamp(at.0 - now.0));
        Session { state, generation, confirmed, held }
    }

    /// Goes all ways from each state, once; counts the ways.
    #[derive(Default)]
    struct Walk {
        sequences: HashMap<(Session, usize), u64>,
        transitions: u64,
    }

    impl Walk {
        fn from(&mut self, session: Session, left: usize) -> u64 {
            if left == 0 {
                return 1;
            }
            if let Some(known) = self.sequences.get(&(session, left)) {
                return *known;
            }
            let mut sequences = 0;
            for input in alphabet(&session) {
                // Time goes on, or stands still.
                for now in [Timestamp(0), Timestamp(0) + SECOND] {
                    let (next, actions) = session.on(now, input);
                    check(session, now, input, next, &actions);
                    self.transitions += 1;
                    sequences += self.from(relative(next, now), left - 1);
                }
            }
            self.sequences.insert((session, left), sequences);
            sequences
        }
    }

    fn check(before: Session, now: Timestamp, input: Input, after: Session, actions: &[Action]) {
        let context = format!("{before:?} at {now:?}, {input:?} -> {after:?}, {actions:?}");
        assert!(after.generation >= before.generation, "generations only grow: {context}");
        assert!(after.confirmed >= before.confirmed, "what is confirmed stays so: {context}");
        assert!(after.confirmed <= after.generation, "{context}");
        assert!(!actions.contains(&Action::TellStarted), "it started before: {context}");
        let ended = actions.iter().filter(|a| matches!(a, Action::TellEnded(_))).count();
        let over = before.state != State::Over && after.state == State::Over;
        assert_eq!(ended, usize::from(over), "told once, when it is over: {context}");
        if before.state == State::Over {
            assert!(actions.iter().all(|a| matches!(a, Action::Refuse(_))), "last: {context}");
        }
        match input {
            // An older connection changes nothing, however it ends.
            Input::Detach { generation, .. } | Input::Goodbye { generation }
                if generation != before.generation =>
            {
                assert_eq!((after, actions.len()), (before, 0), "{context}");
            }
            Input::Expire => {
                let due = before.deadline().is_some_and(|until| until <= now);
                assert_eq!(ended == 1, due, "never early, and when it is due: {context}");
            }
            Input::Hold { .. } => {
                assert_eq!(actions.len(), 0, "{context}");
                assert!(after.deadline() >= before.deadline(), "never shorter: {context}");
                assert!(after.held >= before.held, "never shorter: {context}");
            }
            Input::Detach { .. } if before.held.is_some_and(|held| held > now) => {
                assert!(after.deadline() >= before.held, "it is being judged: {context}");
            }
            Input::Resume { presented } => {
                let taken = before.state != State::Over && presented >= before.confirmed;
                assert_eq!(after.state == State::Attached && after != before, taken, "{context}");
                if taken {
                    assert_eq!(after.generation, before.generation.max(presented) + 1);
                }
            }
            _ => {}
        }
        // Lost and resumed take turns: each is told when it happens, and never twice.
        let attached = |session: Session| session.state == State::Attached;
        let away = |session: Session| matches!(session.state, State::Away { .. });
        let lost = attached(before) && away(after);
        assert_eq!(actions.contains(&Action::TellLost), lost, "{context}");
        let resumed = away(before) && attached(after);
        assert_eq!(actions.contains(&Action::TellResumed), resumed, "{context}");
        for action in actions {
            if let Action::Supersede(generation) = action {
                let newest = (before.state, before.generation) == (State::Attached, *generation);
                assert!(newest && after.generation > *generation, "superseded once: {context}");
            }
        }
        let closed = actions.contains(&Action::CloseNewest);
        let open = before.state == State::Attached
            && matches!(input, Input::End | Input::Replace | Input::Goodbye { .. });
        assert!(!closed || open, "there is a connection to close: {context}");
    }

    #[test]
    fn every_sequence_ends_once_and_never_early() {
        let (session, actions) = Session::start();
        assert_eq!(actions, [Action::TellStarted]);
        let mut walk = Walk::default();
        let sequences = walk.from(session, DEPTH);
        let states: HashSet<_> = walk.sequences.keys().map(|(session, _)| *session).collect();
        let measured = format!(
            "{} transitions checked over {} states: {sequences} sequences of {DEPTH} inputs",
            walk.transitions,
            states.len()
        );
        testkit::figure("session machine", &measured);
        assert!(states.len() > 100, "{}", states.len());
    }

    #[test]
    fn a_page_that_was_refreshed_before_it_stored_its_new_token_comes_back_with_the_old() {
        let (session, _) = Session::start();
        let (session, _) = session.on(Timestamp(0), Input::Resume { presented: 1 });
        let (session, actions) = session.on(Timestamp(0), Input::Resume { presented: 1 });
        assert_eq!((session.generation(), actions), (3, vec![Action::Supersede(2)]));
        // Once it has used the newest, the old one is worth nothing.
        let (session, _) = session.on(Timestamp(0), Input::Confirm { generation: 3 });
        let (_, actions) = session.on(Timestamp(0), Input::Resume { presented: 2 });
        assert_eq!(actions, [Action::Refuse(Refusal::Stale)]);
    }

    #[test]
    fn a_session_whose_client_is_being_judged_is_not_over_when_its_older_connection_ends() {
        let (session, _) = Session::start();
        let (held, _) = session.on(Timestamp(0), Input::Hold { until: Timestamp(10_000) });
        for (departure, wait) in [(Departure::Left, Duration::ZERO), (Departure::Hidden, SECOND)] {
            let ended = Input::Detach { generation: 1, departure, wait };
            let (away, actions) = held.on(Timestamp(500), ended);
            assert_eq!(away.deadline(), Some(Timestamp(10_000)), "{departure:?}");
            assert_eq!(actions, [Action::TellLost]);
            let (back, _) = away.on(Timestamp(9_000), Input::Resume { presented: 1 });
            assert_eq!((back.state(), back.held), (State::Attached, None));
        }
    }

    #[test]
    fn a_restart_gives_everybody_a_fresh_window_and_takes_none_away() {
        let (session, _) = Session::start();
        let window = 60 * SECOND;
        let (down, _) = session.on(Timestamp(5_000), Input::Restarted { window });
        assert_eq!(down.deadline(), Some(Timestamp(65_000)));
        let promise =
            Input::Detach { generation: 1, departure: Departure::Drained, wait: 90 * SECOND };
        let (drained, _) = session.on(Timestamp(0), promise);
        let (drained, _) = drained.on(Timestamp(5_000), Input::Restarted { window });
        assert_eq!(drained.deadline(), Some(Timestamp(90_000)));
    }
}
