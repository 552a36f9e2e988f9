//! What was seen in an attack, and what must hold of it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Write as _;
use std::sync::Arc;

use adieu_engine::{Node, Place, Queued};
use adieu_session::SessionId;
use adieu_session::event::{Data, EventType};
use adieu_session::wire::Tag;
use bytes::Bytes;

/// An event as the backend has got it the first time.
#[derive(Debug)]
struct Heard {
    r#type: EventType,
    sequence: Option<u64>,
    epoch: u32,
    text: Option<String>,
}

/// What was done how often.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Figures {
    pub(crate) begun: u64,
    pub(crate) resumed: u64,
    pub(crate) committed: u64,
    pub(crate) repeated: u64,
    pub(crate) fenced: u64,
    pub(crate) posted: u64,
    pub(crate) crashed: u64,
    pub(crate) told: u64,
    pub(crate) told_again: u64,
    pub(crate) released: u64,
}

impl Figures {
    /// In one line.
    pub(crate) fn line(&self) -> String {
        let mut line = String::new();
        let all = [
            (self.begun, "begun"),
            (self.resumed, "resumed"),
            (self.committed, "commits"),
            (self.repeated, "repeated"),
            (self.fenced, "fenced"),
            (self.posted, "messages posted"),
            (self.told, "events told"),
            (self.told_again, "told again"),
            (self.released, "released"),
            (self.crashed, "nodes died"),
        ];
        for (number, what) in all {
            let comma = if line.is_empty() { "" } else { ", " };
            // A string: writing to it cannot fail.
            let _ = write!(line, "{comma}{number} {what}");
        }
        line
    }
}

/// All of it.
#[derive(Debug, Default)]
pub(crate) struct Log {
    pub(crate) figures: Figures,
    /// What the backend heard, in its order, of each queue.
    heard: BTreeMap<Bytes, Vec<Heard>>,
    /// Where starts and ends stand, of each user and of its sessions: in one slot, so in one order.
    users: BTreeMap<Arc<str>, BTreeMap<Place, EventType>>,
    /// Sessions whose client is connected: where, and in which epoch. No node that lives loses
    /// such a session.
    here: HashMap<SessionId, (Node, u32)>,
    /// Sessions that clients have asked for and not waited for: that request may come at any time.
    loose: HashSet<SessionId>,
    /// Where each event stood.
    places: HashMap<String, Place>,
    /// Epochs that were given to an owner.
    epochs: HashSet<(SessionId, u32)>,
    /// The newest epoch of which a client was told that its session goes on.
    resumed: HashMap<SessionId, u32>,
    /// The last message of a client that was acknowledged to it.
    acknowledged: HashMap<SessionId, u64>,
    /// The tags of messages to a client, as the API was told.
    posted: HashMap<(SessionId, u64), Tag>,
    /// Tags of messages that a client has got.
    got: HashSet<(SessionId, Tag)>,
    /// What must not be.
    pub(crate) violations: Vec<String>,
}

impl Log {
    /// Something that must not be.
    pub(crate) fn violation(&mut self, what: impl Into<String>) {
        self.violations.push(what.into());
    }

    /// The engine has made somebody the owner of a session.
    pub(crate) fn granted(&mut self, id: SessionId, epoch: u32) {
        if !self.epochs.insert((id, epoch)) {
            self.violation(format!("{id} has two owners in epoch {epoch}"));
        }
    }

    /// The same, of a session whose deadline has passed.
    pub(crate) fn due(&mut self, id: SessionId, epoch: u32) {
        self.granted(id, epoch);
        let here = self.here.get(&id).filter(|_| !self.loose.contains(&id));
        // The answer may come late: the client is back since then.
        if let Some((node, _)) = here.copied().filter(|(_, since)| epoch > *since) {
            self.violation(format!("{id} is due, and its client is at {node}"));
        }
    }

    /// A node that lives is told that it does not own a session.
    pub(crate) fn fenced(&mut self, id: SessionId, me: Node, epoch: u32) {
        self.figures.fenced += 1;
        if self.here.get(&id) == Some(&(me, epoch)) && !self.loose.contains(&id) {
            self.violation(format!("{id} is at {me}, which is told that it is not"));
        }
    }

    /// A client is connected here from now on.
    pub(crate) fn is_here(&mut self, id: SessionId, node: Node, epoch: u32) {
        self.here.insert(id, (node, epoch));
    }

    /// A client is not connected any more.
    pub(crate) fn is_gone(&mut self, id: SessionId) {
        self.here.remove(&id);
    }

    /// A node is dead, and so are its connections.
    pub(crate) fn dies(&mut self, node: Node) {
        self.figures.crashed += 1;
        self.here.retain(|_, (at, _)| *at != node);
    }

    /// A client has asked for a session, and waits for no answer.
    pub(crate) fn is_loose(&mut self, id: SessionId) {
        self.loose.insert(id);
    }

    /// A client was told that its session goes on.
    pub(crate) fn resumed(&mut self, id: SessionId, epoch: u32) {
        let newest = self.resumed.entry(id).or_default();
        *newest = epoch.max(*newest);
    }

    /// A client was told that its messages up to this one are taken.
    pub(crate) fn acknowledged(&mut self, id: SessionId, up_to: u64) {
        let last = self.acknowledged.entry(id).or_default();
        *last = up_to.max(*last);
    }

    /// The API was told that a message waits under this number.
    pub(crate) fn posted(&mut self, id: SessionId, number: u64, tag: Tag) {
        self.figures.posted += 1;
        if self.posted.insert((id, number), tag).is_some_and(|other| other != tag) {
            self.violation(format!("{id} has two messages {number}"));
        }
    }

    /// A client has got a message.
    pub(crate) fn got(&mut self, id: SessionId, number: u64, tag: Tag) {
        if self.posted.get(&(id, number)).is_some_and(|posted| *posted != tag) {
            self.violation(format!("{id} got another message {number} than was posted"));
        }
        if !self.got.insert((id, tag)) {
            self.violation(format!("{id} got a message twice, the last time as {number}"));
        }
    }

    /// The backend was told an event.
    pub(crate) fn told(&mut self, queue: &Bytes, queued: &Queued) {
        self.figures.told += 1;
        if let Some(place) = self.places.insert(queued.id.clone(), queued.place) {
            self.figures.told_again += 1;
            if place != queued.place {
                let id = &queued.id;
                self.violation(format!("{id} was written at {place} and at {}", queued.place));
            }
            return;
        }
        let event = &queued.event;
        if let Some(user) = &event.user {
            let of_user = self.users.entry(user.clone()).or_default();
            of_user.insert(queued.place, event.r#type);
        }
        let text = match &event.data {
            Data::Text(text) => Some(text.clone()),
            _ => None,
        };
        let epoch = u32::try_from(event.time.0).unwrap_or_default();
        let heard = Heard { r#type: event.r#type, sequence: event.sequence, epoch, text };
        self.heard.entry(queue.clone()).or_default().push(heard);
    }

    /// Looks at all that was seen, when all is over.
    pub(crate) fn check(&mut self) {
        let mut found = Vec::new();
        let mut told: HashSet<SessionId> = HashSet::new();
        for (queue, heard) in &self.heard {
            match queue.split_first() {
                Some((b's', id)) => {
                    let id = SessionId::new(id.try_into().expect("the name of a session"));
                    told.insert(id);
                    self.check_session(id, heard, &mut found);
                }
                _ => check_user(queue, heard, &mut found),
            }
        }
        for (user, events) in &self.users {
            check_presence(user, events, &mut found);
        }
        let lost = self.epochs.iter().filter(|(id, _)| !told.contains(id));
        found.extend(lost.map(|(id, _)| format!("{id} was never told")));
        self.violations.extend(found);
    }

    fn check_session(&self, id: SessionId, heard: &[Heard], found: &mut Vec<String>) {
        let mut said = 0;
        let mut epoch = 0;
        for (number, event) in (1..).zip(heard) {
            if event.sequence != Some(number) {
                found.push(format!("{id}: event {:?} in the place of {number}", event.sequence));
            }
            if event.epoch < epoch {
                found.push(format!("{id}: event {number} is of epoch {}", event.epoch));
            }
            epoch = event.epoch;
            let first = event.r#type == EventType::SessionStarted;
            let last = event.r#type == EventType::SessionEnded;
            if first != (number == 1) || last != (number == heard.len() as u64) {
                let all = heard.len();
                found.push(format!("{id}: {} is event {number} of {all}", event.r#type));
            }
            if let Some(text) = &event.text {
                said += 1;
                if *text != said.to_string() {
                    found.push(format!("{id}: message {text} in the place of {said}"));
                }
            }
            let resumed = self.resumed.get(&id).copied().unwrap_or_default();
            if last && resumed > event.epoch {
                let ended = event.epoch;
                found.push(format!("{id} ended in epoch {ended} and went on in {resumed}"));
            }
        }
        let acknowledged = self.acknowledged.get(&id).copied().unwrap_or_default();
        if said < acknowledged {
            found.push(format!("{id}: told {said} messages of {acknowledged} acknowledged"));
        }
    }
}

fn check_user(queue: &Bytes, heard: &[Heard], found: &mut Vec<String>) {
    let user = String::from_utf8_lossy(queue);
    let types = [EventType::UserJoined, EventType::UserLeft];
    for (at, event) in heard.iter().enumerate() {
        if event.r#type != types[at % 2] {
            found.push(format!("{user}: {} is event {}", event.r#type, at + 1));
        }
    }
    if heard.len() % 2 == 1 {
        found.push(format!("{user} is gone and was never told so"));
    }
}

/// A user joins with the first session, and leaves after the last.
fn check_presence(user: &str, events: &BTreeMap<Place, EventType>, found: &mut Vec<String>) {
    let mut sessions = 0;
    for (place, r#type) in events {
        match r#type {
            EventType::SessionStarted => sessions += 1,
            EventType::SessionEnded => sessions -= 1,
            EventType::UserJoined if sessions != 1 => {
                found.push(format!("{user} joins with {sessions} sessions, at {place}"));
            }
            EventType::UserLeft if sessions != 0 => {
                found.push(format!("{user} leaves with {sessions} sessions, at {place}"));
            }
            _ => {}
        }
    }
}
