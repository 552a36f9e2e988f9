//! People who come and go while the backend fails, and what it was told of them in the end.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::world::{Backend, Gateway, Page};

/// How long a session waits for its page (`--wait-hidden`).
pub(super) const WAIT: Duration = Duration::from_millis(500);

/// How long the backend may take to be told all: beyond what is promised, so that a promise that is
/// not kept is seen in the figure.
pub(super) const PATIENCE: Duration = Duration::from_secs(300);

/// A session that was begun and left.
pub(super) struct Visit {
    session: String,
    spoke: bool,
    left: Instant,
}

/// Says something, if it does, and goes away for good, as a page does that is closed.
async fn leave(mut page: Page, spoke: bool) -> Visit {
    if spoke {
        page.say("good-bye").await;
        page.all_acknowledged().await;
    }
    page.hide().await;
    Visit { session: page.session, spoke, left: Instant::now() }
}

/// Each of them speaks and leaves, one after the other over this time.
pub(super) async fn leave_over(pages: Vec<Page>, time: Duration) -> Vec<Visit> {
    let (started, count) = (tokio::time::Instant::now(), pages.len() as u32);
    let mut visits = Vec::new();
    for (n, page) in pages.into_iter().enumerate() {
        visits.push(leave(page, true).await);
        tokio::time::sleep_until(started + time * (n as u32 + 1) / count).await;
    }
    visits
}

/// One person after the other comes, speaks and leaves, for so long.
pub(super) async fn visitors(gateway: &Gateway, time: Duration, every: Duration) -> Vec<Visit> {
    visitors_who(gateway, time, every, true).await
}

/// The same of people who speak, or do not.
pub(super) async fn visitors_who(
    gateway: &Gateway,
    time: Duration,
    every: Duration,
    speak: bool,
) -> Vec<Visit> {
    let until = Instant::now() + time;
    let mut visits = Vec::new();
    while Instant::now() < until {
        let mut page = Page::of(&format!("visitor-{speak}-{}", visits.len()));
        // A backend that has just died cannot say whether it may come: it comes again.
        while page.try_connect(&gateway.url()).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        visits.push(leave(page, speak).await);
        tokio::time::sleep(every).await;
    }
    visits
}

/// Says one message after the other and reads what comes, until it is told to stop.
pub(super) async fn talk(mut page: Page, stop: Arc<AtomicBool>) -> Page {
    while !stop.load(Ordering::Relaxed) {
        page.say("and another thing").await;
        page.all_acknowledged().await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    page
}

/// An event that the backend took.
#[derive(Clone)]
pub(super) struct Told {
    pub(super) id: String,
    pub(super) kind: String,
    pub(super) session: String,
    pub(super) sequence: Option<u64>,
    pub(super) at: Instant,
}

/// All that this backend took.
pub(super) fn told_to(backend: &Backend) -> Vec<Told> {
    let told = backend.all().into_iter().map(|seen| Told {
        id: seen.id,
        kind: seen.r#type,
        session: seen.session,
        sequence: seen.sequence,
        at: seen.at,
    });
    told.collect()
}

/// Waits until the end of each has been told, and the message of each that said one: an end may
/// overtake it.
pub(super) async fn all_ended(visits: &[Visit], told: impl Fn() -> Vec<Told>) {
    let started = Instant::now();
    loop {
        let told = told();
        let of_kind = |kind: &str| -> HashSet<&str> {
            let of_kind = told.iter().filter(|told| told.kind == kind);
            of_kind.map(|told| &*told.session).collect()
        };
        let (ended, spoke) = (of_kind("session.ended"), of_kind("message"));
        let is_told = |visit: &&Visit| {
            let session = &*visit.session;
            ended.contains(session) && (!visit.spoke || spoke.contains(session))
        };
        let missing = visits.len() - visits.iter().filter(is_told).count();
        if missing == 0 {
            return;
        }
        assert!(started.elapsed() < PATIENCE, "{missing} of {} are not told", visits.len());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// In which order the events of a session may be told.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Order {
    /// In theirs.
    InOrder,
    /// The end may overtake a message that was refused meanwhile: `--backend-patience`.
    OrOvertaking,
}

/// What the backend was told of these sessions.
pub(super) struct Verdict {
    sessions: usize,
    repeats: usize,
    /// Ends that came before a message that was refused.
    overtook: usize,
    /// Since its wait was over, or since the backend took events again.
    worst: Duration,
}

impl Verdict {
    /// Each has ended, and all of it was told, once by id.
    pub(super) fn of(
        visits: &[Visit],
        told: Vec<Told>,
        order: Order,
        from: impl Fn(Instant) -> Instant,
    ) -> Self {
        let all = told.len();
        let mut ids = HashSet::new();
        let once: Vec<_> = told.into_iter().filter(|told| ids.insert(told.id.clone())).collect();
        let mut stories = HashMap::<_, Vec<Told>>::new();
        for told in once.iter().filter(|told| told.sequence.is_some()) {
            stories.entry(&told.session).or_default().push(told.clone());
        }
        let (mut overtook, mut worst) = (0, Duration::ZERO);
        for Visit { session, spoke, left } in visits {
            let story = &stories[session];
            let kinds: Vec<_> = story.iter().map(|told| &*told.kind).collect();
            if order == Order::OrOvertaking && kinds[1..] == ["session.ended", "message"] {
                overtook += 1;
            } else if *spoke {
                assert_eq!(kinds, ["session.started", "message", "session.ended"], "{session}");
            } else {
                assert_eq!(kinds, ["session.started", "session.ended"], "{session}");
            }
            let end = story.iter().find(|told| told.kind == "session.ended").unwrap();
            worst = worst.max(end.at.saturating_duration_since(from(*left + WAIT)));
        }
        Verdict { sessions: visits.len(), repeats: all - once.len(), overtook, worst }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Verdict { sessions, repeats, overtook, .. } = self;
        write!(f, "{sessions} sessions told to have ended, each once by id and in order")?;
        if *overtook > 0 {
            write!(f, " but for {overtook} ends that overtook a message that was refused")?;
        }
        f.write_str("; ")?;
        write!(f, "{repeats} repeats with the same id; the latest {:.2?} after ", self.worst)
    }
}
