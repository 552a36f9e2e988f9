//! The story of one session, as small as a picture of it needs.

use std::collections::VecDeque;

use serde::Serialize;

use super::{LISTED_AT_LEAST, MOMENTS};
use crate::session::ending::{SessionCause, SessionEnding};
use crate::session::moment::{Moment, What};
use crate::session::{Departure, SessionId, Timestamp, View};

/// A session, and what happened to it.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Story {
    #[serde(flatten)]
    pub(super) about: About,
    moments: VecDeque<Told>,
}

/// Whose story it is.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct About {
    session_id: SessionId,
    user_id: Option<Box<str>>,
    /// Its client does not speak adieu.v1.
    plain: Option<bool>,
    started_at: Timestamp,
    /// What happened between its start and this is not known here.
    known_from: Option<Timestamp>,
    /// Connections that it has had.
    connections: u32,
}

/// Something that happened: of the ending its sentence alone. All of it is in `/endings`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "what", rename_all = "snake_case", rename_all_fields = "camelCase")]
pub(super) enum Told {
    /// Not kept: what a story is about says the same.
    Started {
        at: Timestamp,
    },
    Away {
        at: Timestamp,
        departure: Departure,
        until: Timestamp,
        /// Of the ending; not where the gateway was down.
        sentence: Option<Box<str>>,
    },
    Resumed {
        at: Timestamp,
        generation: u32,
        superseded: bool,
        replayed: usize,
    },
    Ended(Box<Over>),
}

/// The end of a session.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Over {
    at: Timestamp,
    cause: SessionCause,
    connections: u32,
    received: u64,
    sent: u64,
    unacknowledged: u64,
    /// Of the ending of its last connection, where that was not told when it went away.
    sentence: Option<Box<str>>,
}

impl Told {
    /// Why the session is over, if it is.
    pub(super) fn cause(&self) -> Option<SessionCause> {
        match self {
            Told::Ended(over) => Some(over.cause),
            Told::Started { .. } | Told::Away { .. } | Told::Resumed { .. } => None,
        }
    }

    fn at(&self) -> Timestamp {
        match self {
            Told::Started { at } | Told::Away { at, .. } | Told::Resumed { at, .. } => *at,
            Told::Ended(over) => over.at,
        }
    }
}

impl About {
    /// From its first moment, or from what is known of it otherwise.
    pub(super) fn of(moment: &Moment, view: impl FnOnce() -> Option<View>) -> Self {
        let (session_id, at) = (moment.session_id, moment.at);
        if let What::Started { user, plain } = &moment.what {
            let user_id = user.as_deref().map(Into::into);
            let (plain, started_at) = (Some(*plain), at);
            let (known_from, connections) = (None, 1);
            return About { session_id, user_id, plain, started_at, known_from, connections };
        }
        if let Some(view) = view() {
            let mut about = About::from_view(&view, at);
            // The shard has counted the connection that this moment tells of.
            let counted = u32::from(matches!(moment.what, What::Resumed { .. }));
            about.connections = about.connections.saturating_sub(counted);
            return about;
        }
        // It is over already, and its end will say who it was.
        About {
            session_id,
            user_id: None,
            plain: None,
            started_at: at,
            known_from: Some(at),
            connections: 0,
        }
    }

    /// What the end of the session says of it.
    fn complete(&mut self, ending: &SessionEnding) {
        self.user_id = ending.user_id.as_deref().map(Into::into);
        self.connections = ending.connections;
        self.started_at = ending.started_at;
    }

    fn from_view(view: &View, known_from: Timestamp) -> Self {
        About {
            session_id: view.session_id,
            user_id: view.user_id.as_deref().map(Into::into),
            plain: Some(view.plain),
            started_at: view.started_at,
            known_from: Some(known_from),
            connections: view.connections,
        }
    }
}

impl Story {
    pub(super) fn new(about: About) -> Self {
        Story { about, moments: VecDeque::new() }
    }

    /// Of a session that the store held.
    pub(super) fn restored(now: Timestamp, view: &View) -> Self {
        let mut story = Story::new(About::from_view(view, now));
        if let (Some(departure), Some(until)) = (view.departure, view.until) {
            story.moments.push_back(Told::Away { at: now, departure, until, sentence: None });
        }
        story
    }

    /// Keeps a moment, and gives it as it is told.
    pub(super) fn push(&mut self, moment: &Moment) -> Told {
        let told = self.told(moment);
        match &moment.what {
            What::Resumed { .. } => self.about.connections += 1,
            What::Ended { ending } => self.about.complete(ending),
            What::Started { .. } | What::Away { .. } => {}
        }
        if matches!(told, Told::Started { .. }) {
            return told;
        }
        if self.moments.len() == MOMENTS
            && let Some(oldest) = self.moments.pop_front()
        {
            self.about.known_from = Some(oldest.at());
        }
        self.moments.push_back(told.clone());
        told
    }

    fn told(&self, Moment { at, what, .. }: &Moment) -> Told {
        let at = *at;
        match what {
            What::Started { .. } => Told::Started { at },
            What::Away { departure, until, ending } => {
                let sentence = ending.as_deref().map(|ending| ending.sentence.as_str().into());
                Told::Away { at, departure: *departure, until: *until, sentence }
            }
            What::Resumed { generation, after, replayed } => Told::Resumed {
                at,
                generation: *generation,
                superseded: after.is_none(),
                replayed: *replayed,
            },
            What::Ended { ending } => Told::Ended(Box::new(self.over(at, ending))),
        }
    }

    fn over(&self, at: Timestamp, ending: &SessionEnding) -> Over {
        let was_away = matches!(self.moments.back(), Some(Told::Away { .. }));
        let last = ending.ending.as_deref().filter(|_| !was_away);
        Over {
            at,
            cause: ending.cause,
            connections: ending.connections,
            received: ending.received,
            sent: ending.sent,
            unacknowledged: ending.unacknowledged,
            sentence: last.map(|ending| ending.sentence.as_str().into()),
        }
    }

    /// With as many of its newest moments as there is room for, and at least one.
    pub(super) fn shortened(&self, room: &mut usize) -> Story {
        let kept = self.moments.len().min((*room).max(LISTED_AT_LEAST));
        *room = room.saturating_sub(kept);
        let skipped = self.moments.len() - kept;
        let mut about = self.about.clone();
        if skipped > 0 {
            about.known_from = Some(self.moments[skipped - 1].at());
        }
        Story { about, moments: self.moments.iter().skip(skipped).cloned().collect() }
    }
}
