//! People: they come, talk, refresh, lose the network, leave, and some never come back.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use testkit::Random;

use super::town::Town;
use crate::world::{API_KEY, Page, try_request};

/// How a person left a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    /// By a Close that says so.
    Goodbye,
    /// Without a word, and never came back.
    Silently,
    /// Without a word, when the person's node was killed.
    WithItsNode,
    /// Was not there any more when the person came back.
    Lost,
}

/// What a person knows of a session that is over.
#[derive(Clone, Debug)]
pub(super) struct Story {
    pub(super) session: String,
    pub(super) said: Vec<String>,
    pub(super) acknowledged: usize,
    pub(super) received: Vec<String>,
    pub(super) left: Left,
    /// When the person went, or the node did.
    pub(super) at: Instant,
    pub(super) reason: Option<String>,
}

/// All that a person has to tell.
#[derive(Default)]
pub(super) struct Told {
    pub(super) stories: Vec<Story>,
    /// From the death of the person's node until the person was served again.
    pub(super) served_again: Vec<Duration>,
    pub(super) refreshes: usize,
    pub(super) cuts: usize,
}

/// When a connection that was lost now was lost because a node was killed: shortly before.
const BECAUSE_OF_A_KILL: Duration = Duration::from_millis(500);

struct Person {
    town: Town,
    random: Random,
    page: Page,
    /// It was in this session before.
    before: Option<String>,
    /// Its node was killed then.
    died: Option<Instant>,
    told: Told,
}

/// One person, until the town closes.
pub(super) async fn person(town: Town, number: usize, random: Random) -> Told {
    // Two people share a user, as two tabs do.
    let page = Page::of(&format!("user{}", number / 2));
    let mut person = Person { town, random, page, before: None, died: None, told: Told::default() };
    while !person.town.close.load(Ordering::Relaxed) {
        if person.comes().await {
            person.is_there().await;
        }
    }
    person.goes_for_good().await;
    person.told
}

impl Person {
    /// Connects, as often as it takes; whether it is there.
    async fn comes(&mut self) -> bool {
        let url = self.town.url.clone();
        let known = (self.page.said.clone(), self.page.acknowledged, self.page.received.clone());
        match self.page.try_connect(&url).await {
            Ok(connected) => {
                if let Some(before) = self.before.take().filter(|_| !connected.resumed) {
                    let (said, acknowledged, received) = known;
                    let (left, at) = (Left::Lost, Instant::now());
                    let (session, reason) = (before, connected.reason);
                    let story = Story { session, said, acknowledged, received, left, at, reason };
                    self.told.stories.push(story);
                }
                if let Some(died) = self.died.take() {
                    self.told.served_again.push(died.elapsed());
                }
                self.before = Some(self.page.session.clone());
                self.town.here.lock().unwrap().push(self.page.session.clone());
                true
            }
            Err(_) => {
                self.page.socket = None;
                // As a client does that was told nothing: soon, and not all at once.
                let wait = Duration::from_millis(100 + self.random.below(400));
                tokio::time::sleep(wait).await;
                false
            }
        }
    }

    /// Does what people do, until it goes or the connection does.
    async fn is_there(&mut self) {
        let lasts = Duration::from_millis(500 + self.random.below(8_000));
        let until = tokio::time::Instant::now() + lasts;
        loop {
            for _ in 0..self.random.below(3) {
                let text = format!("{} says {}", self.page.session, self.page.said.len());
                self.page.say(&text).await;
            }
            let pause = Duration::from_millis(200 + self.random.below(1_500));
            let rests = tokio::time::Instant::now() + pause;
            while let Ok(next) = tokio::time::timeout_at(rests.min(until), self.page.next()).await {
                match next {
                    Some(_) => {}
                    None => return self.was_cut(),
                }
            }
            self.page.acknowledge().await;
            if tokio::time::Instant::now() >= until || self.town.close.load(Ordering::Relaxed) {
                break;
            }
        }
        match self.random.below(20) {
            0 => {
                let at = Instant::now();
                self.page.close(1000).await;
                self.left(Left::Goodbye, at);
            }
            1 => {
                // Gone without a word: the kernel says so, or the node's Ping.
                let at = Instant::now();
                self.page.socket = None;
                self.left(Left::Silently, at);
            }
            2..=6 => {
                self.page.socket = None;
                self.told.cuts += 1;
            }
            _ => {
                self.page.hide().await;
                self.told.refreshes += 1;
            }
        }
    }

    /// The connection was lost.
    fn was_cut(&mut self) {
        self.page.socket = None;
        self.told.cuts += 1;
        let kills = self.town.kills.lock().unwrap();
        let died = kills.last().copied().filter(|at| at.elapsed() < BECAUSE_OF_A_KILL);
        drop(kills);
        if let Some(died) = died {
            if self.random.once_in(10) {
                return self.left(Left::WithItsNode, died);
            }
            self.died.get_or_insert(died);
        }
    }

    /// It never comes back to this session, and begins another one.
    fn left(&mut self, left: Left, at: Instant) {
        let Page { session, said, acknowledged, received, .. } = &self.page;
        self.told.stories.push(Story {
            session: session.clone(),
            said: said.clone(),
            acknowledged: *acknowledged,
            received: received.clone(),
            left,
            at,
            reason: None,
        });
        let query = self.page.query.clone();
        self.page = Page { query, ..Page::default() };
        (self.before, self.died) = (None, None);
    }

    /// The town closes: it waits for what it was sent, and says goodbye.
    async fn goes_for_good(&mut self) {
        if self.page.session.is_empty() {
            return;
        }
        while self.page.socket.is_none() && !self.comes().await {}
        loop {
            let posted =
                self.town.posted.lock().unwrap().get(&self.page.session).map_or(0, Vec::len);
            if self.page.received.len() >= posted && self.page.acknowledged >= self.page.said.len()
            {
                break;
            }
            if self.page.next().await.is_none() {
                self.page.socket = None;
                while !self.comes().await {}
            }
        }
        self.page.acknowledge().await;
        let at = Instant::now();
        self.page.close(1000).await;
        self.left(Left::Goodbye, at);
        if let Some(story) = self.told.stories.last_mut() {
            story.reason = Some("the end".into());
        }
    }
}

/// The backend sends messages to sessions, through any node, until the town closes.
pub(super) async fn back_office(town: Town, mut random: Random) -> usize {
    let mut taken = 0;
    let mut numbers: HashMap<String, usize> = HashMap::new();
    while !town.close.load(Ordering::Relaxed) {
        let session = {
            let mut here = town.here.lock().unwrap();
            // The last who came, and not all who ever did.
            let surplus = here.len().saturating_sub(2_000);
            here.drain(..surplus);
            let count = here.len() as u64;
            (count > 0).then(|| here[random.below(count) as usize].clone())
        };
        let Some(session) = session else {
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        let number = numbers.entry(session.clone()).or_default();
        let text = format!("to {session}: {number}");
        let path = format!("/api/sessions/{session}/messages");
        // What was not answered with 202 may have been taken or not.
        let key = format!("Authorization: Bearer {API_KEY}\r\nContent-Type: text/plain\r\n");
        if let Some((202, _)) = try_request(town.api, "POST", &path, &key, &text).await {
            *number += 1;
            taken += 1;
            town.posted.lock().unwrap().entry(session).or_default().push(text);
        }
        tokio::time::sleep(Duration::from_millis(random.below(10))).await;
    }
    taken
}
