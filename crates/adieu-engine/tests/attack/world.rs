//! What the nodes of an attack share: the people, the dead, what may come late.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use adieu_engine::Node;
use adieu_session::command::{Outgoing, Resumption};
use adieu_session::fence::Fence;
use adieu_session::outbox::Kept;
use adieu_session::wire::Tag;
use adieu_session::{Batch, Change, SessionId, Slot};

use super::log::Log;
use crate::common::Random;

/// How many slots there are sessions in: few, so that nodes meet.
const SLOTS: u16 = 16;

/// So much is remembered to come late, of each kind.
const LATE: usize = 128;

/// What comes later than this does not count: the engine remembers ends for a minute.
const TOO_LATE: Duration = Duration::from_secs(30);

/// What may come late, and since when.
type Late<T> = Mutex<Vec<(Instant, T)>>;

/// A page, as it knows itself.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    pub(crate) id: SessionId,
    pub(crate) generation: u32,
    /// The last message that it has got, and its tag.
    pub(crate) received: u64,
    pub(crate) tag: Option<Tag>,
    /// The last of its own that was acknowledged to it.
    pub(crate) acknowledged: u64,
    /// Where it thinks that its connection is.
    pub(crate) at: Option<Node>,
}

impl Page {
    /// What it shows when it comes back.
    pub(crate) fn resumption(&self) -> Resumption {
        Resumption {
            generation: self.generation,
            received: self.received,
            tag: self.tag,
            acknowledged: self.acknowledged,
            ..Resumption::default()
        }
    }

    /// It gets messages, the first of which has this number.
    pub(crate) fn gets(&mut self, first: u64, messages: &[Kept], log: &mut Log) {
        if !messages.is_empty() && first != self.received + 1 {
            let (id, last) = (self.id, self.received);
            log.violation(format!("{id} gets message {first} behind {last}"));
        }
        for (number, kept) in (first..).zip(messages) {
            log.got(self.id, number, kept.tag);
            (self.received, self.tag) = (number, Some(kept.tag));
        }
    }
}

/// All that the nodes share.
pub(crate) struct World {
    /// The pages, and whose they are: two of each user.
    pub(crate) seats: Vec<(String, tokio::sync::Mutex<Option<Page>>)>,
    /// Their sessions, for the backend that posts.
    pub(crate) sessions: Vec<Mutex<Option<SessionId>>>,
    pub(crate) slots: Vec<Slot>,
    pub(crate) log: Mutex<Log>,
    dead: Mutex<Vec<Node>>,
    starts: Late<(Node, Batch)>,
    writes: Late<(Node, Batch)>,
    posts: Late<(SessionId, Outgoing)>,
    nodes: AtomicU64,
}

impl World {
    /// So many people; the users are those whose slots are few.
    pub(crate) fn new(seats: usize) -> Self {
        let users = (0..).map(|number| format!("user-{number}"));
        let mut users = users.filter(|user| Slot::of_user(user).number() < SLOTS);
        let users: Vec<String> = users.by_ref().take(seats.div_ceil(2)).collect();
        let seat = |at: usize| (users[at / 2].clone(), tokio::sync::Mutex::new(None));
        World {
            seats: (0..seats).map(seat).collect(),
            sessions: (0..seats).map(|_| Mutex::new(None)).collect(),
            slots: (0..SLOTS).map(Slot::new).collect(),
            log: Mutex::default(),
            dead: Mutex::default(),
            starts: Mutex::default(),
            writes: Mutex::default(),
            posts: Mutex::default(),
            nodes: AtomicU64::new(1),
        }
    }

    /// A life of a node that there was not before.
    pub(crate) fn new_node(&self) -> Node {
        // As large as real ones are.
        Node((1 << 52) + self.nodes.fetch_add(1, Ordering::Relaxed))
    }

    /// The log, to write one thing into it.
    pub(crate) fn log<T>(&self, write: impl FnOnce(&mut Log) -> T) -> T {
        write(&mut self.log.lock().expect("the log"))
    }

    /// A node is dead for ever.
    pub(crate) fn dies(&self, node: Node) {
        self.log(|log| log.dies(node));
        self.dead.lock().expect("the dead").push(node);
    }

    /// Nodes that are dead.
    pub(crate) fn dead(&self) -> Vec<Node> {
        self.dead.lock().expect("the dead").clone()
    }

    /// A write that may come once more.
    pub(crate) fn may_come_late(&self, me: Node, batch: Batch, random: &mut Random) {
        let begins = batch.iter().any(|change| match change {
            Change::Write { after, .. } => *after == Fence::default(),
            _ => false,
        });
        keep(if begins { &self.starts } else { &self.writes }, (me, batch), random);
    }

    /// A write that comes once more.
    pub(crate) fn late_write(&self, random: &mut Random) -> Option<(Node, Batch)> {
        any(if random.once_in(2) { &self.starts } else { &self.writes }, random)
    }

    /// A message that has a key, and may be posted once more.
    pub(crate) fn may_be_posted_again(
        &self,
        id: SessionId,
        message: Outgoing,
        random: &mut Random,
    ) {
        keep(&self.posts, (id, message), random);
    }

    /// A message that is posted once more.
    pub(crate) fn late_post(&self, random: &mut Random) -> Option<(SessionId, Outgoing)> {
        any(&self.posts, random)
    }
}

fn keep<T>(all: &Late<T>, one: T, random: &mut Random) {
    let mut all = all.lock().expect("what may come late");
    if all.len() < LATE {
        all.push((Instant::now(), one));
    } else {
        let at = random.below(LATE as u64) as usize;
        all[at] = (Instant::now(), one);
    }
}

fn any<T: Clone>(all: &Late<T>, random: &mut Random) -> Option<T> {
    let mut all = all.lock().expect("what may come late");
    all.retain(|(since, _)| since.elapsed() < TOO_LATE);
    if all.is_empty() { None } else { Some(all[random.below(all.len() as u64) as usize].1.clone()) }
}
