//! What can be looked at.

use serde::Serialize;

use super::super::aggregate::{Aggregate, View};
use super::super::command::Query;
use super::super::fence::Fence;
use super::super::token::SessionId;
use super::Shard;

/// How many there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Sessions whose connection is open.
    pub attached: usize,
    /// Sessions that may come back.
    pub away: usize,
    /// Users with a session.
    pub users: usize,
    /// Bytes that are kept for clients, until these acknowledge them.
    #[serde(skip)]
    pub kept: usize,
}

impl std::ops::Add for Counts {
    type Output = Counts;

    fn add(self, other: Counts) -> Counts {
        Counts {
            attached: self.attached + other.attached,
            away: self.away + other.away,
            users: self.users + other.users,
            kept: self.kept + other.kept,
        }
    }
}

/// What is seen.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// Sessions.
    Sessions(Vec<View>),
    /// How many there are.
    Counts(Counts),
    /// Sessions whose connection is here.
    Held(Vec<(SessionId, Fence, u64)>),
}

impl Shard {
    /// Sessions that are here or away.
    #[must_use]
    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    /// How many there are.
    #[must_use]
    pub fn counts(&self) -> Counts {
        // A session that is away is waited for, and all that is waited for is in the list.
        let away = self.deadlines.len();
        let attached = self.sessions.len() - away;
        Counts { attached, away, users: self.users.len(), kept: self.kept }
    }

    /// Looks, and changes nothing.
    #[must_use]
    pub fn query(&self, query: &Query) -> Answer {
        let view = |session: &Aggregate| session.view(self.skew);
        Answer::Sessions(match query {
            Query::Counts => return Answer::Counts(self.counts()),
            Query::Held => return Answer::Held(self.held().collect()),
            Query::Session(id) => {
                self.sessions.get(id).map(|session| view(session)).into_iter().collect()
            }
            Query::User(user) => {
                let ids = self.users.of(user);
                ids.iter().filter_map(|id| Some(view(self.sessions.get(id)?))).collect()
            }
            Query::Sessions(after, most) => self.after(*after).take(*most).map(view).collect(),
        })
    }
}
