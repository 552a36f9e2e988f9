//! What happened to the sessions, for people: the page draws it. In memory only and bounded, so
//! that it costs the same however many sessions there are; what it has forgotten is said to be
//! unknown, never made up.
//!
//! An idle session costs about 250 bytes here, and only if it is among the [`HERE`] that something
//! happened to last: the others cost nothing.

mod timeline;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use adieu::Utf8Bytes;
use serde::Serialize;
use tokio::sync::broadcast;

use super::clock::Clock;
use crate::session::shard::{Answer, Counts};
use crate::session::transition::Transition;
use crate::session::{SessionId, Timestamp, View};
use timeline::{About, Timeline, TimelineEntry};

/// Timelines of sessions that are here or away: as many as a page may want to look through, as many
/// as the API lists. Of more sessions those are kept that something happened to last.
pub(super) const HERE: usize = 1_000;

/// Timelines of sessions that are over: what a page may want to look back at.
const OVER: usize = 500;

/// Entries of one timeline: fifty refreshes, more than a picture can show.
const ENTRIES: usize = 100;

/// Entries in one list, the newest timelines' first: about 1.5 MB of JSON. Without it a thousand
/// pages that are refreshed all the time would make a list of 20 MB.
const LISTED: usize = 10_000;

/// Entries of a timeline that come after those: enough to say where a session is, and why.
const LISTED_AT_LEAST: usize = 1;

/// News that may wait for a slow page; one that misses some gets the whole list again.
const NEWS: usize = 256;

/// What happened to the sessions.
#[derive(Debug)]
pub struct Timelines {
    inner: Mutex<Inner>,
    news: broadcast::Sender<Utf8Bytes>,
}

#[derive(Debug, Default)]
struct Inner {
    /// Entries so far: what is newer than a list has a higher number.
    number: u64,
    /// Sessions that are here or away.
    here: HashMap<SessionId, Kept>,
    /// The same by the number of their last entry, so that the one that is forgotten is found.
    order: BTreeMap<u64, SessionId>,
    /// Newest first.
    over: VecDeque<Arc<Timeline>>,
    /// Why sessions were over, since the start.
    causes: BTreeMap<&'static str, u64>,
    counts: Counts,
}

/// A timeline, which a list may be reading.
#[derive(Debug)]
struct Kept {
    timeline: Arc<Timeline>,
    /// Of its last entry.
    number: u64,
}

/// All that is kept, as a page gets it first.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Sessions {
    /// The gateway's time: deadlines are told in it.
    now: Timestamp,
    /// Of the last entry in it.
    number: u64,
    counts: Counts,
    causes: BTreeMap<&'static str, u64>,
    here: Vec<Timeline>,
    over: Vec<Timeline>,
}

/// What pages are told as it happens.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct News<'a> {
    r#type: &'static str,
    number: u64,
    session: &'a About,
    entry: &'a TimelineEntry,
    counts: Counts,
    causes: &'a BTreeMap<&'static str, u64>,
}

impl Timelines {
    pub(super) fn new() -> Self {
        Timelines { inner: Mutex::default(), news: broadcast::Sender::new(NEWS) }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something happened to a session. `look` gives what its shard knows of a session whose
    /// timeline begins in the middle: it was restored from the store, or forgotten here.
    pub(super) fn record(
        &self,
        transition: &Transition,
        counts: Counts,
        look: impl FnOnce(SessionId) -> Answer,
    ) {
        let mut inner = self.inner();
        inner.number += 1;
        inner.counts = counts;
        let id = transition.session_id;
        let mut timeline = match inner.take(id) {
            Some(timeline) => timeline,
            None => Arc::new(Timeline::new(About::of(transition, || viewed(look(id))))),
        };
        let entry = Arc::make_mut(&mut timeline).push(transition);
        if let Some(cause) = entry.cause() {
            *inner.causes.entry(cause.word()).or_default() += 1;
        }
        self.tell(&inner, &timeline.about, &entry);
        if entry.cause().is_some() { inner.keep_over(timeline) } else { inner.keep(id, timeline) }
    }

    /// A session that the store held, of which no transition is told: it was away already.
    pub(super) fn restored(&self, now: Timestamp, view: &View, counts: Counts) {
        let mut inner = self.inner();
        inner.counts = counts;
        if !inner.here.contains_key(&view.session_id) {
            inner.number += 1;
            let timeline = Arc::new(Timeline::restored(now, view));
            inner.keep(view.session_id, timeline);
        }
    }

    fn tell(&self, inner: &Inner, session: &About, entry: &TimelineEntry) {
        // Without pages nobody listens.
        if self.news.receiver_count() == 0 {
            return;
        }
        let (number, counts, causes) = (inner.number, inner.counts, &inner.causes);
        let news = News { r#type: "entry", number, session, entry, counts, causes };
        if let Ok(text) = serde_json::to_string(&news) {
            let _ = self.news.send(text.into());
        }
    }

    /// The user of a session that something happened to lately, if its backend has named one.
    pub(super) fn user(&self, id: SessionId) -> Option<Box<str>> {
        let inner = self.inner();
        let here = inner.here.get(&id).map(|kept| &kept.timeline);
        let of_id = |timeline: &&Arc<Timeline>| timeline.about.session_id == id;
        here.or_else(|| inner.over.iter().find(of_id))?.about.user_id.clone()
    }

    /// What happens from now on: JSON texts. Subscribed to before [`list`](Self::list) is asked
    /// for, nothing is missed; what is in both has a number that the list has too.
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<Utf8Bytes> {
        self.news.subscribe()
    }

    /// All that is kept, newest first.
    #[must_use]
    pub fn list(&self) -> Sessions {
        let (here, over, mut sessions) = self.inner().list(Clock::wall());
        // Not under the lock: the engine does not wait for who reads.
        let mut room = LISTED;
        sessions.here = here.iter().map(|timeline| timeline.shortened(&mut room)).collect();
        sessions.over = over.iter().map(|timeline| timeline.shortened(&mut room)).collect();
        sessions
    }
}

fn viewed(answer: Answer) -> Option<View> {
    match answer {
        Answer::Sessions(mut views) => views.pop(),
        Answer::Counts(_) | Answer::Held(_) => None,
    }
}

impl Inner {
    fn take(&mut self, id: SessionId) -> Option<Arc<Timeline>> {
        let kept = self.here.remove(&id)?;
        self.order.remove(&kept.number);
        Some(kept.timeline)
    }

    fn keep(&mut self, id: SessionId, timeline: Arc<Timeline>) {
        let number = self.number;
        self.here.insert(id, Kept { timeline, number });
        self.order.insert(number, id);
        if self.here.len() > HERE
            && let Some((_, oldest)) = self.order.pop_first()
        {
            self.here.remove(&oldest);
        }
    }

    fn keep_over(&mut self, timeline: Arc<Timeline>) {
        self.over.truncate(OVER - 1);
        self.over.push_front(timeline);
    }

    fn list(&self, now: Timestamp) -> (Vec<Arc<Timeline>>, Vec<Arc<Timeline>>, Sessions) {
        let newest_first = self.order.values().rev();
        let here = newest_first.filter_map(|id| Some(self.here.get(id)?.timeline.clone()));
        let sessions = Sessions {
            now,
            number: self.number,
            counts: self.counts,
            causes: self.causes.clone(),
            here: Vec::new(),
            over: Vec::new(),
        };
        (here.collect(), self.over.iter().cloned().collect(), sessions)
    }
}

#[cfg(test)]
mod tests;
