//! Pages, a hub and a store in a world in which things break by a seed.

use std::collections::VecDeque;

use serde_json::json;

use super::super::super::event::session_stream as stream;
use super::super::super::token::Digest;
use super::super::super::wire::Tag;
use super::*;

/// A page and its way to the hub, which breaks.
#[derive(Default)]
struct Page {
    token: Option<String>,
    /// What it offers until it has a token.
    first: Digest,
    /// The tag of the last message that it has received.
    tag: Option<Tag>,
    handle: Option<Handle>,
    session: Option<SessionId>,
    /// It has read its `connected`: before that it says nothing.
    open: bool,
    /// On their way to it.
    coming: VecDeque<String>,
    received: Vec<String>,
    said: Vec<String>,
    /// Its highest sequence id that the hub has acknowledged.
    acknowledged: usize,
}

fn page(n: u8) -> Page {
    Page { first: key().credentials(&[n]), ..Page::default() }
}

/// A hub, its store, pages, and a seeded chance that things break.
struct World {
    hub: Hub,
    contents: Contents,
    now: Timestamp,
    pages: Vec<Page>,
    /// What the backend sent to each.
    sent: Vec<Vec<String>>,
    chance: u64,
    /// Connections whose end the hub hears later.
    late: Vec<Handle>,
}

impl World {
    fn new(seed: u64) -> Self {
        World {
            hub: Hub::new(Settings::default()),
            contents: Contents::default(),
            now: NOW,
            pages: (0..3).map(page).collect(),
            sent: vec![Vec::new(); 3],
            chance: seed * 2 + 1,
            late: Vec::new(),
        }
    }

    /// A number below `n` (xorshift).
    fn below(&mut self, n: u64) -> u64 {
        self.chance ^= self.chance << 13;
        self.chance ^= self.chance >> 7;
        self.chance ^= self.chance << 17;
        self.chance % n
    }

    /// Commits and performs a step; now and then the process dies in between.
    fn perform(&mut self, step: Transaction) {
        keep(&mut self.contents, step.changes);
        if self.below(40) == 0 {
            return self.crash();
        }
        for effect in step.effects {
            if let Effect::Send(handle, json) | Effect::SendSecret(handle, json) = effect
                && let Some(page) = self.pages.iter_mut().find(|page| page.handle == Some(handle))
            {
                page.coming.push_back(json.as_text().unwrap().to_owned());
            }
        }
    }

    fn crash(&mut self) {
        let (hub, step) = Hub::restore(Settings::default(), &self.contents, self.now);
        self.hub = hub;
        self.late.clear();
        for page in &mut self.pages {
            page.handle = None;
            page.open = false;
            page.coming.clear();
        }
        keep(&mut self.contents, step.changes);
    }

    fn connect(&mut self, n: usize) {
        let page = &mut self.pages[n];
        // The old connection may still be open as far as the hub knows.
        self.late.extend(page.handle.take());
        page.open = false;
        page.coming.clear();
        let (first, received) = (page.first, page.received.len() as u64);
        let (handle, step) = match page.token.clone() {
            Some(token) => {
                let (tag, acknowledged) = (page.tag, page.acknowledged as u64);
                let resumption = Resumption { received, tag, acknowledged, ..Default::default() };
                let resumed = self.hub.resume(self.now, &token, resumption);
                resumed.expect("nobody is away for long")
            }
            // The page may have died before it had heard of its session: it is found by its nonce.
            None => {
                let guest = Guest { first: Some(first), ..Guest::default() };
                let id = numbered(self.below(1 << 30) as usize);
                self.hub.start(self.now, id, guest)
            }
        };
        let page = &mut self.pages[n];
        assert!(page.session.is_none_or(|id| id == handle.session), "one session for each page");
        page.session = Some(handle.session);
        self.pages[n].handle = Some(handle);
        self.perform(step);
    }

    fn cut(&mut self, n: usize) {
        let Some(handle) = self.pages[n].handle.take() else { return };
        self.pages[n].open = false;
        self.pages[n].coming.clear();
        self.late.push(handle);
    }

    fn hear_of_an_end(&mut self) {
        if self.late.is_empty() {
            return;
        }
        let at = self.below(self.late.len() as u64) as usize;
        let handle = self.late.swap_remove(at);
        let step = self.hub.ended(self.now, handle, Departure::Lost, &ending());
        self.perform(step);
    }

    fn say(&mut self, n: usize) {
        let page = &mut self.pages[n];
        page.said.push(format!("page {n}, {}", page.said.len()));
        self.say_again(n, self.pages[n].said.len() - 1);
    }

    fn say_again(&mut self, n: usize, at: usize) {
        let page = &self.pages[n];
        let Some(handle) = page.handle.filter(|_| page.open) else { return };
        let json =
            json!({ "type": "message", "sequenceId": at + 1, "text": page.said[at] }).to_string();
        let step = self.hub.hear(self.now, handle, FromClient::read(&json));
        assert!(!step.effects.iter().any(|e| matches!(e, Effect::Close(..))), "{step:?}");
        self.perform(step);
    }

    fn send(&mut self, n: usize) {
        let message = format!("backend to {n}, {}", self.sent[n].len());
        let Some(id) = self.pages[n].session else { return };
        if let Ok(step) = self.hub.send(self.now, id, &message) {
            self.sent[n].push(message);
            self.perform(step);
        }
    }

    /// The page reads what came first.
    fn read(&mut self, n: usize) {
        let page = &mut self.pages[n];
        let Some(json) = page.coming.pop_front() else { return };
        let json: Value = serde_json::from_str(&json).unwrap();
        match json["type"].as_str().unwrap() {
            "connected" => {
                page.open = true;
                page.token = json["reconnectionToken"].as_str().map(str::to_owned);
                page.acknowledged = json["sequenceAck"].as_u64().unwrap() as usize;
                for at in page.acknowledged..page.said.len() {
                    self.say_again(n, at);
                }
            }
            "message" => {
                let due = page.received.len() as u64 + 1;
                assert_eq!(json["sequenceId"].as_u64(), Some(due), "no gap, nothing twice");
                page.received.push(json["text"].as_str().unwrap().to_owned());
                page.tag = Tag::read(json["tag"].as_str().unwrap());
                if let Some(handle) = page.handle
                    && self.chance % 3 == 0
                {
                    let ack = json!({ "type": "sequenceAck", "sequenceId": due }).to_string();
                    let step = self.hub.hear(self.now, handle, FromClient::read(&ack));
                    self.perform(step);
                }
            }
            "sequenceAck" => {
                let n = json["sequenceId"].as_u64().unwrap() as usize;
                page.acknowledged = page.acknowledged.max(n);
            }
            other => panic!("{other}"),
        }
    }

    fn anything(&mut self) {
        let n = self.below(3) as usize;
        self.now = self.now + Duration::from_millis(self.below(20));
        match self.below(13) {
            0 => self.cut(n),
            1 | 2 => self.connect(n),
            3 => self.hear_of_an_end(),
            4 | 5 => self.say(n),
            6 | 7 => self.send(n),
            // Once more: it is not sure whether it has said that.
            8 if !self.pages[n].said.is_empty() => {
                let at = self.below(self.pages[n].said.len() as u64) as usize;
                self.say_again(n, at);
            }
            _ => self.read(n),
        }
        let step = self.hub.expire(self.now);
        assert_eq!(events(&step), [], "nobody is away for that long");
    }

    /// Until nothing is on its way.
    fn settle(&mut self) {
        for _ in 0..10_000 {
            for n in 0..3 {
                if self.pages[n].handle.is_none() {
                    self.connect(n);
                }
                self.read(n);
            }
            let quiet = |page: &Page| {
                page.open && page.coming.is_empty() && page.acknowledged == page.said.len()
            };
            if self.pages.iter().all(quiet) {
                return;
            }
        }
        panic!("it does not settle");
    }

    fn events_of(&self, n: usize) -> Vec<Event> {
        let stream = stream(self.pages[n].session.expect("it has connected"));
        let of = (stream.clone(), 0)..=(stream, u64::MAX);
        self.contents.events.range(of).map(|(_, event)| Event::clone(event)).collect()
    }

    fn check(&self) {
        for (n, page) in self.pages.iter().enumerate() {
            assert_eq!(page.received, self.sent[n], "to page {n}");
            let events = self.events_of(n);
            assert!(events.iter().map(|event| event.sequence.unwrap()).eq(1..=events.len() as u64));
            assert_eq!(events[0].r#type, EventType::SessionStarted);
            let text = |event: &Event| match &event.data {
                Data::Text(text) => text.clone(),
                other => panic!("{other:?}"),
            };
            let said: Vec<_> = events[1..].iter().map(text).collect();
            assert_eq!(said, page.said, "from page {n}, and nothing was told otherwise");
        }
    }
}

#[test]
#[allow(clippy::disallowed_macros, reason = "a test shows its seed")]
fn whatever_breaks_both_sides_lists_agree_at_the_end() {
    let seeds = if cfg!(debug_assertions) { 0..300 } else { 0..5_000 };
    for seed in seeds {
        println!("seed {seed}");
        let mut world = World::new(seed);
        (0..300).for_each(|_| world.anything());
        world.settle();
        world.check();
        // All leave: each is announced once, last.
        for n in 0..3 {
            world.cut(n);
        }
        while !world.late.is_empty() {
            world.hear_of_an_end();
        }
        let step = world.hub.expire(world.now + Duration::from_secs(3600));
        world.perform(step);
        for n in 0..3 {
            let ends = |event: &Event| event.r#type == EventType::SessionEnded;
            let events = world.events_of(n);
            assert_eq!(events.iter().filter(|event| ends(event)).count(), 1);
            assert!(events.last().is_some_and(ends));
        }
        assert!(world.contents.sessions.is_empty() && world.contents.messages.is_empty());
    }
}
