use std::collections::VecDeque;

use adieu::CloseCode;
use serde_json::json;

use super::super::wire::{Payload, SUPERSEDED};
use super::tell::session_stream as stream;
use super::*;

const NOW: Timestamp = Timestamp(1_700_000_000_000);

fn key() -> Key {
    Key::new(&[7; 32])
}

fn id(n: u8) -> SessionId {
    SessionId::new([n; 16])
}

fn text(text: &str) -> Payload {
    Payload::Text(text.into())
}

/// What a step sends.
fn said(step: &Step) -> Vec<&str> {
    let text = |effect| match effect {
        &Effect::Send(_, Message::Text(ref text)) => Some(text.as_str()),
        _ => None,
    };
    step.effects.iter().filter_map(text).collect()
}

fn newcomer(user: &str, origin: &str) -> Newcomer {
    let (user, origin) = (Some(user.into()), Some(origin.into()));
    Newcomer { user, origin, ..Newcomer::default() }
}

/// The events that are no user's.
fn of_session(step: &Step) -> Vec<Event> {
    let event = |change: &Change| match change {
        Change::PutEvent { stream, event, .. } if stream.starts_with(b"s") => {
            Some(serde_json::from_slice(event).unwrap())
        }
        _ => None,
    };
    step.changes.iter().filter_map(event).collect()
}

/// The types of the events of users.
fn of_users(step: &Step) -> Vec<EventType> {
    let event = |change: &Change| match change {
        Change::PutEvent { stream, event, .. } if stream.starts_with(b"u") => {
            let event: Event = serde_json::from_slice(event).unwrap();
            Some(event.r#type)
        }
        _ => None,
    };
    step.changes.iter().filter_map(event).collect()
}

/// The token in a `connected`.
fn token(step: &Step) -> String {
    let said = said(step);
    let json: Value = serde_json::from_str(said.first().expect("a connected")).unwrap();
    json["reconnectionToken"].as_str().expect("a connected").to_owned()
}

fn events(step: &Step) -> Vec<(EventType, u64)> {
    of_session(step).iter().map(|event| (event.r#type, event.sequence.unwrap())).collect()
}

/// What is to be done, apart from what is for people and for the backend.
fn done(step: &Step) -> Vec<&Effect> {
    let told = |effect: &&Effect| !matches!(effect, Effect::Moment(_) | Effect::Deliver { .. });
    step.effects.iter().filter(told).collect()
}

fn started(hub: &mut Hub) -> (Handle, String) {
    let (handle, step) = hub.start(NOW, id(1), newcomer("anna", "https://a"));
    assert_eq!(events(&step), [(EventType::SessionStarted, 1)]);
    (handle, token(&step))
}

fn hear(hub: &mut Hub, handle: Handle, said: &str) -> Step {
    hub.hear(NOW, handle, &Message::from(said))
}

fn resume(hub: &mut Hub, token: &str, received: u64) -> Result<(Handle, Step), NotResumed> {
    hub.resume(NOW, &Resume { token: token.into(), received }, Some("https://a"))
}

#[test]
fn a_refresh_is_no_event_and_nothing_is_lost() {
    let mut hub = Hub::new(key(), Settings::default());
    let (first, token) = started(&mut hub);
    hub.send(NOW, id(1), &text("a")).unwrap();
    let gone = hub.ended(NOW, first, Departure::Hidden, Value::Null);
    assert_eq!(events(&gone), []);
    // What is sent meanwhile waits.
    let step = hub.send(NOW, id(1), &text("b")).unwrap();
    assert_eq!(done(&step), Vec::<&Effect>::new());
    let (second, step) = resume(&mut hub, &token, 0).unwrap();
    assert_eq!((second.generation, events(&step)), (2, vec![]));
    assert_eq!(
        said(&step)[1..],
        [
            r#"{"type":"message","sequenceId":1,"text":"a"}"#,
            r#"{"type":"message","sequenceId":2,"text":"b"}"#
        ]
    );
    assert_eq!(hub.deadline(), None, "nobody is waited for");
}

#[test]
fn who_does_not_come_back_is_announced_once_with_the_account() {
    let mut hub = Hub::new(key(), Settings::default());
    let (first, token) = started(&mut hub);
    hub.send(NOW, id(1), &text("never read")).unwrap();
    hub.ended(NOW, first, Departure::Hidden, json!({ "sentence": "went" }));
    let due = hub.deadline().unwrap();
    assert_eq!(due, NOW + Duration::from_secs(8));
    assert_eq!(hub.expire(Timestamp(due.0 - 1)), Step::default(), "never early");
    let step = hub.expire(due);
    assert_eq!(events(&step), [(EventType::SessionEnded, 2)]);
    assert_eq!(of_users(&step), [EventType::UserLeft]);
    let Data::Json(data) = &of_session(&step)[0].data else { panic!("{step:?}") };
    assert_eq!(data["cause"], "hidden");
    assert_eq!(data["userId"], "anna");
    assert_eq!(data["unacknowledged"], 1);
    assert_eq!(data["ending"]["sentence"], "went");
    assert_eq!((hub.len(), hub.deadline()), (0, None));
    assert_eq!(resume(&mut hub, &token, 0).unwrap_err(), NotResumed::Expired);
}

#[test]
fn a_newer_connection_takes_over_and_the_older_ones_words_and_end_count_for_nothing() {
    let mut hub = Hub::new(key(), Settings::default());
    let (first, token) = started(&mut hub);
    let (second, step) = resume(&mut hub, &token, 0).unwrap();
    let Effect::Close(closed, close) = done(&step)[0] else { panic!("{step:?}") };
    assert_eq!((*closed, close.code().map(CloseCode::get)), (first, Some(SUPERSEDED)));
    for late in [
        hear(&mut hub, first, r#"{"type":"message","sequenceId":1,"text":"late"}"#),
        hear(&mut hub, first, r#"{"type":"goodbye"}"#),
        hub.ended(NOW, first, Departure::Left, Value::Null),
    ] {
        assert_eq!(late, Step::default());
    }
    let step = hear(&mut hub, second, r#"{"type":"message","sequenceId":1,"text":"here"}"#);
    assert_eq!(events(&step), [(EventType::Message, 2)]);
}

#[test]
fn a_refusal_says_why_and_touches_nothing() {
    let mut hub = Hub::new(key(), Settings::default());
    let (handle, token) = started(&mut hub);
    let (other, other_token) = {
        let (handle, step) = hub.start(NOW, id(2), Newcomer::default());
        (handle, self::token(&step))
    };
    let foreign = Token { session: id(1), generation: 1 }.sign(&Key::new(&[8; 32]));
    let refused = |hub: &mut Hub, token: &str, received, origin: Option<&str>| {
        hub.resume(NOW, &Resume { token: token.into(), received }, origin).unwrap_err()
    };
    let own = Some("https://a");
    assert_eq!(refused(&mut hub, &foreign, 0, own), NotResumed::Invalid);
    assert_eq!(refused(&mut hub, "", 0, own), NotResumed::Invalid);
    assert_eq!(refused(&mut hub, &token, 0, Some("https://b")), NotResumed::Origin);
    assert_eq!(refused(&mut hub, &token, 5, own), NotResumed::Lost, "what was never sent");
    assert!(hub.newest(handle).is_some() && hub.newest(other).is_some());
    // Used up twice: the first token is stale.
    let (_, step) = resume(&mut hub, &token, 0).unwrap();
    let newer = self::token(&step);
    resume(&mut hub, &newer, 0).unwrap();
    assert_eq!(refused(&mut hub, &token, 0, own), NotResumed::Stale);
    assert!(hub.resume(NOW, &Resume { token: other_token, received: 0 }, None).is_ok());
}

#[test]
fn what_a_client_says_wrong_closes_its_connection_alone() {
    let mut hub = Hub::new(key(), Settings::default());
    let (handle, _) = started(&mut hub);
    for (wrong, code) in [
        ("no json", 1007),
        (r#"{"type":"message","sequenceId":1}"#, 1007),
        (r#"{"type":"message","sequenceId":3,"text":"a"}"#, 1008),
        (r#"{"type":"sequenceAck","sequenceId":1}"#, 1008),
    ] {
        let step = hear(&mut hub, handle, wrong);
        let [Effect::Close(closed, close)] = done(&step)[..] else { panic!("{step:?}") };
        assert_eq!((*closed, close.code().map(CloseCode::get)), (handle, Some(code)), "{wrong}");
        assert!(!close.reason().is_empty());
    }
    assert!(hub.newest(handle).is_some(), "the session goes on");
}

#[test]
fn goodbye_and_the_backend_end_it_at_once() {
    let mut hub = Hub::new(key(), Settings::default());
    let (handle, _) = started(&mut hub);
    let step = hear(&mut hub, handle, r#"{"type":"goodbye"}"#);
    assert_eq!(events(&step), [(EventType::SessionEnded, 2)]);
    assert!(step.effects.contains(&Effect::Close(handle, CloseCode::NORMAL.into())));
    let (handle, _) = started(&mut hub);
    let own = Close::new(4321, "banned").unwrap();
    let step = hub.end(NOW, id(1), Some(own.clone())).unwrap();
    assert!(step.effects.contains(&Effect::Close(handle, own)));
    assert_eq!(hub.end(NOW, id(1), None), Err(NoSession));
    assert_eq!(hub.send(NOW, id(1), &text("a")), Err(NoSession));
}

#[test]
fn a_client_that_was_told_when_to_come_back_is_waited_for_until_then_and_some_more() {
    let mut hub = Hub::new(key(), Settings::default());
    let (handle, token) = started(&mut hub);
    let step = hub.closing(NOW, id(1), Duration::from_secs(7));
    assert_eq!(said(&step), [r#"{"type":"closing","retryAfter":7000}"#]);
    // It may be gone before our Close is: the promise counts.
    for departure in [Departure::Drained, Departure::Hidden, Departure::Lost] {
        let mut hub =
            Hub { sessions: hub.sessions.clone(), ..Hub::new(key(), Settings::default()) };
        let later = NOW + Duration::from_secs(1);
        hub.ended(later, handle, departure, Value::Null);
        assert_eq!(hub.deadline(), Some(NOW + Duration::from_secs(7 + 15)), "{departure:?}");
    }
    let (_, _) = resume(&mut hub, &token, 0).unwrap();
    assert_eq!(hub.deadline(), None);
}

#[test]
fn a_page_that_owes_an_acknowledgement_and_is_silent_gets_nothing_more_until_it_speaks() {
    let mut hub = Hub::new(key(), Settings::default());
    let (handle, _) = started(&mut hub);
    let send = |hub: &mut Hub, seconds: u64| {
        let step = hub.send(NOW + Duration::from_secs(seconds), id(1), &text("x")).unwrap();
        said(&step).len()
    };
    assert_eq!(send(&mut hub, 0), 1);
    assert_eq!(send(&mut hub, 60), 1, "three heartbeats");
    assert_eq!(send(&mut hub, 61), 0, "it is kept");
    let later = NOW + Duration::from_secs(3_000);
    let ack = Message::from(r#"{"type":"sequenceAck","sequenceId":2}"#);
    let step = hub.hear(later, handle, &ack);
    assert_eq!(said(&step), [r#"{"type":"message","sequenceId":3,"text":"x"}"#]);
    // One that owes nothing may be silent for as long as it likes.
    hub.hear(later, handle, &Message::from(r#"{"type":"sequenceAck","sequenceId":3}"#));
    assert_eq!(send(&mut hub, 9_000), 1);
}

#[test]
fn a_client_for_which_more_waits_than_is_kept_is_closed_and_never_sent_a_gap() {
    let outbox = OutboxLimits { messages: 2, ..OutboxLimits::default() };
    let mut hub = Hub::new(key(), Settings { outbox, ..Settings::default() });
    let (handle, token) = started(&mut hub);
    hub.send(NOW, id(1), &text("1")).unwrap();
    // Silent: the others are kept, and then let go.
    let late = NOW + Duration::from_secs(100);
    for n in 2..6 {
        let step = hub.send(late, id(1), &text(&n.to_string())).unwrap();
        assert_eq!(said(&step), [] as [&str; 0]);
    }
    let step = hub.hear(late, handle, &Message::from(r#"{"type":"sequenceAck","sequenceId":1}"#));
    let [Effect::Close(closed, close)] = done(&step)[..] else { panic!("{step:?}") };
    assert_eq!((*closed, close.code().map(CloseCode::get)), (handle, Some(1008)));
    assert_eq!(resume(&mut hub, &token, 1).unwrap_err(), NotResumed::Lost);
}

#[test]
fn a_client_without_the_subprotocol_cannot_come_back() {
    let mut hub = Hub::new(key(), Settings::default());
    let newcomer = || Newcomer { plain: true, ..newcomer("anna", "https://a") };
    let (handle, step) = hub.start(NOW, id(1), newcomer());
    assert_eq!(said(&step), [] as [&str; 0], "no connected");
    let step = hub.hear(NOW, handle, &Message::from(vec![1, 2, 3]));
    assert_eq!(of_session(&step)[0].data, Data::Binary("AQID".into()));
    let step = hub.send(NOW, id(1), &text("as it is")).unwrap();
    assert_eq!(said(&step), ["as it is"]);
    let step = hub.ended(NOW, handle, Departure::Lost, Value::Null);
    assert_eq!(events(&step).last().unwrap().0, EventType::SessionEnded);
    assert!(hub.is_empty());
    // Nor after a restart, nor is it told to.
    let (_, step) = hub.start(NOW, id(1), newcomer());
    let mut contents = Contents::default();
    step.changes.into_iter().for_each(|change| contents.apply(change));
    assert_eq!(hub.closing(NOW, id(1), Duration::from_secs(1)), Step::default());
    let (hub, step) = Hub::restore(key(), Settings::default(), &contents, NOW).unwrap();
    assert_eq!(events(&step), [(EventType::SessionEnded, 2)]);
    assert!(hub.is_empty());
}

#[test]
fn a_user_joins_with_the_first_session_and_leaves_with_the_last() {
    let mut hub = Hub::new(key(), Settings::default());
    let mut start = |n| hub.start(NOW, id(n), newcomer("anna", "https://a"));
    let (one, step) = start(1);
    assert_eq!(of_users(&step), [EventType::UserJoined]);
    let (two, step) = start(2);
    assert_eq!(of_users(&step), []);
    assert_eq!(hub.of_user("anna").count(), 2);
    let step = hub.ended(NOW, one, Departure::Left, Value::Null);
    assert_eq!(of_users(&step), []);
    let step = hub.ended(NOW, two, Departure::Hidden, Value::Null);
    assert_eq!(of_users(&step), [], "the same grace");
    let step = hub.expire(NOW + Duration::from_secs(8));
    assert_eq!(of_users(&step), [EventType::UserLeft]);
    assert_eq!(hub.of_user("anna").count(), 0);
}

#[test]
fn without_a_backend_nothing_is_kept_for_one() {
    let mut hub = Hub::new(key(), Settings { tell: false, ..Settings::default() });
    let (handle, step) = hub.start(NOW, id(1), newcomer("anna", "https://a"));
    assert!(events(&step).is_empty() && of_users(&step).is_empty());
    let step = hear(&mut hub, handle, r#"{"type":"message","sequenceId":1,"text":"a"}"#);
    assert_eq!(said(&step), [r#"{"type":"sequenceAck","sequenceId":1}"#]);
    assert!(events(&step).is_empty());
}

/// A page and its way to the hub, which breaks.
#[derive(Default)]
struct Page {
    token: Option<String>,
    handle: Option<Handle>,
    /// It has read its `connected`: before that it says nothing.
    open: bool,
    /// On their way to it.
    coming: VecDeque<String>,
    received: Vec<String>,
    said: Vec<String>,
    /// Its highest sequence id that the hub has acknowledged.
    acknowledged: usize,
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
            hub: Hub::new(key(), Settings::default()),
            contents: Contents::default(),
            now: NOW,
            pages: (0..3).map(|_| Page::default()).collect(),
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
    fn perform(&mut self, step: Step) {
        step.changes.into_iter().for_each(|change| self.contents.apply(change));
        if self.below(40) == 0 {
            return self.crash();
        }
        for effect in step.effects {
            if let Effect::Send(handle, json) = effect
                && let Some(page) = self.pages.iter_mut().find(|page| page.handle == Some(handle))
            {
                page.coming.push_back(json.as_text().unwrap().to_owned());
            }
        }
    }

    fn crash(&mut self) {
        let (hub, step) =
            Hub::restore(key(), Settings::default(), &self.contents, self.now).unwrap();
        self.hub = hub;
        self.late.clear();
        for page in &mut self.pages {
            page.handle = None;
            page.open = false;
            page.coming.clear();
        }
        step.changes.into_iter().for_each(|change| self.contents.apply(change));
    }

    fn connect(&mut self, n: usize) {
        let page = &mut self.pages[n];
        // The old connection may still be open as far as the hub knows.
        self.late.extend(page.handle.take());
        page.open = false;
        page.coming.clear();
        let received = page.received.len() as u64;
        let (handle, step) = match page.token.clone() {
            Some(token) => {
                let resume = Resume { token, received };
                self.hub.resume(self.now, &resume, None).expect("nobody is away for long")
            }
            None if self.contents.sessions.contains_key(&id(n as u8)) => {
                // It died before it had its token: here its session would be left to expire.
                let generation = self.hub.sessions[&id(n as u8)].row.session.generation();
                let token = Token { session: id(n as u8), generation }.sign(&key());
                self.hub.resume(self.now, &Resume { token, received }, None).expect("it is there")
            }
            None => self.hub.start(self.now, id(n as u8), Newcomer::default()),
        };
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
        let step = self.hub.ended(self.now, handle, Departure::Lost, Value::Null);
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
        let step = self.hub.hear(self.now, handle, &Message::from(json));
        assert!(!step.effects.iter().any(|e| matches!(e, Effect::Close(..))), "{step:?}");
        self.perform(step);
    }

    fn send(&mut self, n: usize) {
        let message = format!("backend to {n}, {}", self.sent[n].len());
        if let Ok(step) = self.hub.send(self.now, id(n as u8), &text(&message)) {
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
                if let Some(handle) = page.handle
                    && self.chance.is_multiple_of(3)
                {
                    let ack = json!({ "type": "sequenceAck", "sequenceId": due }).to_string();
                    let step = self.hub.hear(self.now, handle, &Message::from(ack));
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
        let stream = stream(id(n as u8));
        let of = (stream.clone(), 0)..=(stream, u64::MAX);
        let read = |(_, event): (_, &Bytes)| serde_json::from_slice(event).unwrap();
        self.contents.events.range(of).map(read).collect()
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
