//! The timeline of one session, as small as a picture of it needs.

use std::collections::VecDeque;

use serde::Serialize;

use super::{ENTRIES, LISTED_AT_LEAST};
use crate::session::ending::{SessionCause, SessionEnding};
use crate::session::transition::{Transition, TransitionKind};
use crate::session::{Departure, SessionId, Timestamp, View};

/// A session, and what happened to it.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Timeline {
    #[serde(flatten)]
    pub(super) about: About,
    entries: VecDeque<TimelineEntry>,
}

/// Whose timeline it is.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct About {
    pub(super) session_id: SessionId,
    pub(super) user_id: Option<Box<str>>,
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
#[serde(tag = "kind", rename_all = "snake_case", rename_all_fields = "camelCase")]
pub(super) enum TimelineEntry {
    /// Not kept: what a timeline is about says the same.
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

impl TimelineEntry {
    /// Why the session is over, if it is.
    pub(super) fn cause(&self) -> Option<SessionCause> {
        match self {
            TimelineEntry::Ended(over) => Some(over.cause),
            TimelineEntry::Started { .. }
            | TimelineEntry::Away { .. }
            | TimelineEntry::Resumed { .. } => None,
        }
    }

    fn at(&self) -> Timestamp {
        match self {
            TimelineEntry::Started { at }
            | TimelineEntry::Away { at, .. }
            | TimelineEntry::Resumed { at, .. } => *at,
            TimelineEntry::Ended(over) => over.at,
        }
    }
}

impl About {
    /// From its first transition, or from what is known of it otherwise.
    pub(super) fn of(transition: &Transition, view: impl FnOnce() -> Option<View>) -> Self {
        let (session_id, at) = (transition.session_id, transition.at);
        if let TransitionKind::Started { user, plain } = &transition.kind {
            let user_id = user.as_deref().map(Into::into);
            let (plain, started_at) = (Some(*plain), at);
            let (known_from, connections) = (None, 1);
            return About { session_id, user_id, plain, started_at, known_from, connections };
        }
        if let Some(view) = view() {
            let mut about = About::from_view(&view, at);
            // The shard has counted the connection that this transition tells of.
            let counted = u32::from(matches!(transition.kind, TransitionKind::Resumed { .. }));
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

impl Timeline {
    pub(super) fn new(about: About) -> Self {
        Timeline { about, entries: VecDeque::new() }
    }

    /// Of a session that the store held.
    pub(super) fn restored(now: Timestamp, view: &View) -> Self {
        let mut timeline = Timeline::new(About::from_view(view, now));
        if let (Some(departure), Some(until)) = (view.departure, view.until) {
            timeline.entries.push_back(TimelineEntry::Away {
                at: now,
                departure,
                until,
                sentence: None,
            });
        }
        timeline
    }

    /// Keeps what happened, and gives it as an entry.
    pub(super) fn push(&mut self, transition: &Transition) -> TimelineEntry {
        let entry = self.entry(transition);
        match &transition.kind {
            TransitionKind::Resumed { .. } => self.about.connections += 1,
            TransitionKind::Ended { ending } => self.about.complete(ending),
            TransitionKind::Started { .. } | TransitionKind::Away { .. } => {}
        }
        if matches!(entry, TimelineEntry::Started { .. }) {
            return entry;
        }
        if self.entries.len() == ENTRIES
            && let Some(oldest) = self.entries.pop_front()
        {
            self.about.known_from = Some(oldest.at());
        }
        self.entries.push_back(entry.clone());
        entry
    }

    fn entry(&self, Transition { at, kind, .. }: &Transition) -> TimelineEntry {
        let at = *at;
        match kind {
            TransitionKind::Started { .. } => TimelineEntry::Started { at },
            TransitionKind::Away { departure, until, ending } => {
                let sentence = ending.as_deref().map(|ending| ending.sentence.as_str().into());
                TimelineEntry::Away { at, departure: *departure, until: *until, sentence }
            }
            TransitionKind::Resumed { generation, after, replayed } => TimelineEntry::Resumed {
                at,
                generation: *generation,
                superseded: after.is_none(),
                replayed: *replayed,
            },
            TransitionKind::Ended { ending } => {
                TimelineEntry::Ended(Box::new(self.over(at, ending)))
            }
        }
    }

    fn over(&self, at: Timestamp, ending: &SessionEnding) -> Over {
        let was_away = matches!(self.entries.back(), Some(TimelineEntry::Away { .. }));
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

    /// With as many of its newest entries as there is room for, and at least one.
    pub(super) fn shortened(&self, room: &mut usize) -> Timeline {
        let kept = self.entries.len().min((*room).max(LISTED_AT_LEAST));
        *room = room.saturating_sub(kept);
        let skipped = self.entries.len() - kept;
        let mut about = self.about.clone();
        if skipped > 0 {
            about.known_from = Some(self.entries[skipped - 1].at());
        }
        Timeline { about, entries: self.entries.iter().skip(skipped).cloned().collect() }
    }
}
