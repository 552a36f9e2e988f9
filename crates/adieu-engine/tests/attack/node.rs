//! A node in an attack: it serves whoever comes, and dies often.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use adieu_engine::{Claimed, Committed, Engine, Node, Released, Snapshot, Taken};
use adieu_session::command::Purpose;
use adieu_session::fence::Refused;
use adieu_session::{Batch, Change, SessionId};
use bytes::Bytes;
use tokio::task::JoinSet;

use super::world::{Page, World};
use crate::common::{NOW, Owned, Random, claim, next_of};

/// What a node knows, and what is on its way.
pub(crate) struct Attacker {
    pub(super) world: Arc<World>,
    pub(super) engine: Engine,
    pub(super) random: Random,
    pub(super) me: Node,
    pub(super) held: HashMap<SessionId, Owned>,
    /// Whose pages came here last.
    guests: VecDeque<usize>,
    /// Sessions that it was given to end, and has not ended yet.
    pub(super) to_end: VecDeque<Owned>,
    /// Queues that it delivers.
    pub(super) queues: HashSet<Bytes>,
    /// Events that the backend has, and the engine does not know of it yet.
    pub(super) to_tell: VecDeque<Taken>,
    /// What its last audit did not know.
    pub(super) suspects: (HashSet<Released>, HashSet<Bytes>),
    /// What it has let go of, of which it may ask late.
    let_go: VecDeque<Released>,
    /// It is dead and does not know: so many steps more.
    dying: Option<u64>,
    /// Requests whose answers nobody hears.
    pub(super) unheard: JoinSet<()>,
}

/// What came of a write.
enum Wrote {
    Done,
    Refused(Refused),
    Unknown,
}

impl Attacker {
    pub(crate) fn new(world: Arc<World>, engine: Engine, random: Random) -> Self {
        let me = world.new_node();
        Attacker {
            world,
            engine,
            random,
            me,
            held: HashMap::new(),
            guests: VecDeque::new(),
            to_end: VecDeque::new(),
            queues: HashSet::new(),
            to_tell: VecDeque::new(),
            suspects: Default::default(),
            let_go: VecDeque::new(),
            dying: None,
            unheard: JoinSet::new(),
        }
    }

    /// Does so many things.
    pub(crate) async fn run(mut self, steps: u64) {
        for _ in 0..steps {
            self.step().await;
            while self.unheard.try_join_next().is_some() {}
        }
        self.world.dies(self.me);
        while self.unheard.join_next().await.is_some() {}
    }

    async fn step(&mut self) {
        if let Some(left) = &mut self.dying {
            match left.checked_sub(1) {
                Some(fewer) => *left = fewer,
                None => return self.forget(),
            }
            // What it has got it goes on with; it is given nothing new.
            return match self.random.below(4) {
                0 => self.end_one().await,
                1 => self.tell_one().await,
                _ => self.serve(true).await,
            };
        }
        match self.random.below(200) {
            0..=114 => self.serve(false).await,
            115..=135 => self.post().await,
            136..=145 => self.find_due().await,
            146..=157 => self.end_one().await,
            158..=175 => self.deliver().await,
            176..=185 => self.tell_one().await,
            186 | 187 => self.audit().await,
            188..=190 => self.orphan().await,
            191..=196 => self.repeat_late().await,
            197 => self.finish_one().await,
            198 if self.random.once_in(3) => {
                // Others know that it is dead before it does.
                self.world.dies(self.me);
                self.dying = Some(self.random.below(30));
            }
            _ => {}
        }
    }

    fn forget(&mut self) {
        self.held.clear();
        self.guests.clear();
        self.to_end.clear();
        self.queues.clear();
        self.to_tell.clear();
        self.suspects = Default::default();
        self.let_go.clear();
        self.dying = None;
        self.me = self.world.new_node();
    }

    pub(super) fn millis(&mut self, most: u64) -> Duration {
        Duration::from_millis(self.random.below(most))
    }

    /// Some client does something.
    async fn serve(&mut self, dying: bool) {
        let world = self.world.clone();
        // A page says several things before it moves on.
        let guest = if self.random.once_in(2) { None } else { self.guests.pop_front() };
        let anyone = self.random.below(world.seats.len() as u64) as usize;
        let at = guest.unwrap_or(anyone);
        let (user, seat) = &world.seats[at];
        let Ok(mut seat) = seat.try_lock() else { return };
        match seat.as_mut() {
            None if !dying => {
                let page = self.begin(user).await;
                *world.sessions[at].lock().expect("a session") = page.as_ref().map(|page| page.id);
                *seat = page;
            }
            Some(page) => {
                let is_here = page.at == Some(self.me) && self.held.contains_key(&page.id);
                let is_over = if is_here {
                    self.hear(page).await
                } else if !dying && guest.is_none() {
                    self.resume(page).await
                } else {
                    false
                };
                if is_over {
                    *seat = None;
                }
            }
            None => {}
        }
        if seat.as_ref().is_some_and(|page| page.at == Some(self.me)) {
            self.guests.push_back(at);
        }
    }

    /// A client has no session.
    async fn begin(&mut self, user: &str) -> Option<Page> {
        let mut owned = Owned::new(self.me, Some(user), &mut self.random);
        let salt = self.random.next();
        let changes = owned.beginning(salt);
        match self.write(&mut owned, changes, salt).await {
            Wrote::Done => {
                let (id, epoch) = (owned.id, owned.fence.epoch);
                self.world.log(|log| {
                    log.figures.begun += 1;
                    log.granted(id, epoch);
                    log.is_here(id, self.me, epoch);
                });
                let (received, tag, acknowledged) = (0, None, 0);
                self.held.insert(id, owned);
                Some(Page { id, generation: 1, received, tag, acknowledged, at: Some(self.me) })
            }
            Wrote::Refused(why) => {
                self.world.log(|log| log.violation(format!("a start is refused: {why:?}")));
                None
            }
            Wrote::Unknown => None,
        }
    }

    /// A client says something where its connection is. Whether it is gone for good.
    async fn hear(&mut self, page: &mut Page) -> bool {
        let id = page.id;
        let Some(mut owned) = self.held.remove(&id) else { return false };
        let salt = self.random.next();
        let what = self.random.below(40);
        if what < 8 {
            self.held.insert(id, owned);
            if let Ok((first, kept)) = self.engine.mail(id, page.received).await {
                self.world.log(|log| page.gets(first, &kept, log));
            }
            return false;
        }
        let mut changes = Vec::new();
        if page.received > 0 && self.random.once_in(3) {
            // Two acknowledgements in one turn are two changes.
            let (received, tag) = (page.received, page.tag.unwrap_or_default());
            for _ in 0..=self.random.below(2) {
                changes.push(owned.trim(received, tag));
            }
        }
        let goodbye = what == 39;
        if what < 32 {
            let text = (owned.counters.received + 1).to_string();
            changes.push(owned.says(&text, salt));
            changes.push(owned.count());
        } else if goodbye {
            let linger = if self.random.once_in(3) { self.millis(30) } else { Duration::ZERO };
            changes.extend(owned.end_after(linger, salt));
        } else {
            owned.detach(self.millis(400));
            changes.push(owned.put());
        }
        if what >= 32 {
            self.world.log(|log| log.is_gone(id));
        }
        match self.write(&mut owned, changes, salt).await {
            Wrote::Done if what < 32 => {
                page.acknowledged = owned.counters.received;
                self.world.log(|log| {
                    log.figures.committed += 1;
                    log.acknowledged(id, page.acknowledged);
                });
                self.held.insert(id, owned);
                false
            }
            Wrote::Done | Wrote::Refused(_) | Wrote::Unknown => {
                self.world.log(|log| log.is_gone(id));
                page.at = None;
                goodbye
            }
        }
    }

    /// A client is back, here. Whether its session is over.
    async fn resume(&mut self, page: &mut Page) -> bool {
        let id = page.id;
        page.at = None;
        self.world.log(|log| log.is_gone(id));
        if self.random.once_in(12) {
            let wait = self.millis(40);
            let _ = self.engine.hold(id, wait).await;
        }
        if self.random.once_in(6) {
            self.resume_for_nobody(page);
            return false;
        }
        let Ok(claimed) = claim(&self.engine, self.me, id, &page.resumption()).await else {
            return false;
        };
        match claimed {
            Claimed::Owner(snapshot, after) => {
                self.granted(&snapshot);
                let purpose = Purpose::Attach(page.received, after);
                let owned = Owned::given(self.me, *snapshot, purpose);
                let first = owned.counters.sent + 1 - owned.messages.len() as u64;
                self.world.log(|log| {
                    log.figures.resumed += 1;
                    log.resumed(id, owned.fence.epoch);
                    log.is_here(id, self.me, owned.fence.epoch);
                    log.acknowledged(id, owned.counters.received);
                    page.gets(first, &owned.messages, log);
                });
                page.generation = owned.row.session.generation();
                page.acknowledged = owned.counters.received;
                page.at = Some(self.me);
                // What it was given before that is not its own any more.
                self.to_end.retain(|owned| owned.id != id);
                self.held.insert(id, owned);
                false
            }
            Claimed::Ending(snapshot) => {
                self.granted(&snapshot);
                self.to_end.push_back(Owned::given(self.me, *snapshot, Purpose::Expire));
                true
            }
            Claimed::NotResumed(adieu_session::wire::NotResumed::Expired) => true,
            other => {
                let what = format!("{id}: {page:?} is told {other:?}");
                self.world.log(|log| log.violation(what));
                true
            }
        }
    }

    /// A client asks to be resumed and is gone before it hears anything. The node ends the
    /// connection then; or it is never told the answer.
    fn resume_for_nobody(&mut self, page: &Page) {
        let (engine, world, me) = (self.engine.clone(), self.world.clone(), self.me);
        let (id, resumption) = (page.id, page.resumption());
        world.log(|log| log.is_loose(id));
        let (salt, wait, hears) = (self.random.next(), self.millis(60), self.random.once_in(2));
        self.unheard.spawn(async move {
            let Ok(Claimed::Owner(snapshot, after)) = claim(&engine, me, id, &resumption).await
            else {
                return;
            };
            world.log(|log| log.granted(id, snapshot.epoch()));
            if hears {
                let purpose = Purpose::Attach(resumption.received, after);
                let mut owned = Owned::given(me, *snapshot, purpose);
                owned.detach(wait);
                let batch = owned.batch(vec![owned.put()], salt);
                let _ = engine.write(me, &batch, NOW).await;
            }
        });
    }

    /// The engine has made this node the owner.
    pub(super) fn granted(&self, snapshot: &Snapshot) {
        self.world.log(|log| log.granted(snapshot.id, snapshot.epoch()));
    }

    /// Makes changes of a session: once, twice, or without hearing of it.
    async fn write(&mut self, owned: &mut Owned, changes: Vec<Change>, salt: u64) -> Wrote {
        let (me, batch) = (owned.me, owned.batch(changes, salt));
        if self.random.once_in(4) {
            self.world.may_come_late(me, batch.clone(), &mut self.random);
        }
        if self.random.once_in(20) {
            let engine = self.engine.clone();
            self.unheard.spawn(async move {
                let _ = engine.write(me, &batch, NOW).await;
            });
            self.lets_go(Released(owned.id, owned.epoch()));
            return Wrote::Unknown;
        }
        let mut answer = self.engine.write(me, &batch, NOW).await;
        if self.random.once_in(4) {
            // The first answer was lost.
            self.world.log(|log| log.figures.repeated += 1);
            answer = self.engine.write(me, &batch, NOW).await;
        }
        self.answered(owned, &batch, answer)
    }

    fn answered(
        &mut self,
        owned: &mut Owned,
        batch: &Batch,
        answer: Result<Committed, adieu_engine::EngineError>,
    ) -> Wrote {
        let committed = match answer {
            Ok(committed) => committed,
            Err(error) => {
                self.world.log(|log| log.violation(format!("a write: {error}")));
                return Wrote::Unknown;
            }
        };
        let id = owned.id;
        if let Some((_, why)) = committed.refused.first() {
            let why = *why;
            self.world.log(|log| {
                log.fenced(id, owned.me, owned.fence.epoch);
                if why != Refused::Fenced {
                    log.violation(format!("{id}: a write of its owner is refused: {why:?}"));
                }
            });
            return Wrote::Refused(why);
        }
        let is_new = owned.fence.epoch == 0;
        owned.fence = next_of(batch);
        if !is_new && batch.iter().any(|change| matches!(change, Change::PutSession { .. })) {
            // It is away.
            self.lets_go(Released(id, owned.fence.epoch));
        }
        let mine = committed.told.iter().filter(|told| told.whose != adieu_engine::Whose::Other);
        self.queues.extend(mine.map(|told| told.stream.clone()));
        Wrote::Done
    }

    /// Ends a session that it was given.
    pub(super) async fn end_one(&mut self) {
        let Some(mut owned) = self.to_end.pop_front() else { return };
        let salt = self.random.next();
        let linger = if self.random.once_in(3) { self.millis(30) } else { Duration::ZERO };
        let changes = owned.end_after(linger, salt);
        self.write(&mut owned, changes, salt).await;
    }

    /// It thinks that a session is its own no more.
    pub(super) fn lets_go(&mut self, released: Released) {
        self.let_go.push_back(released);
        if self.let_go.len() > 32 {
            self.let_go.pop_front();
        }
    }

    /// A request of long ago arrives once more.
    async fn repeat_late(&mut self) {
        if self.random.once_in(4) {
            let Some((id, message)) = self.world.late_post(&mut self.random) else { return };
            self.post_again(id, &message).await;
        } else if !self.let_go.is_empty() && self.random.once_in(2) {
            let at = self.random.below(self.let_go.len() as u64) as usize;
            let window = self.millis(60);
            let _ = self.engine.release(self.me, self.let_go[at], window).await;
        } else if let Some((me, batch)) = self.world.late_write(&mut self.random) {
            let _ = self.engine.write(me, &batch, NOW).await;
        }
    }
}
