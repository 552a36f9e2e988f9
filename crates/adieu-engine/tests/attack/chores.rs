//! What a node in an attack does for sessions that are not its own.

use adieu_engine::{Audit, Finished, Place, Posted, Taken};
use adieu_session::command::{Outgoing, Purpose};
use adieu_session::fence::Refused;
use adieu_session::{Digest, SessionId, Slot};
use bytes::Bytes;

use super::node::Attacker;
use crate::common::{LIMITS, Owned, outgoing};

/// The slot of a queue.
fn slot_of(stream: &Bytes) -> Slot {
    match stream.split_first() {
        Some((b's', id)) => SessionId::new(id.try_into().expect("the name of a session")).slot(),
        Some((_, user)) => Slot::of_user(std::str::from_utf8(user).expect("a user")),
        None => unreachable!("no queue has no name"),
    }
}

impl Attacker {
    fn some_session(&mut self) -> Option<SessionId> {
        let at = self.random.below(self.world.sessions.len() as u64) as usize;
        *self.world.sessions[at].lock().expect("a session")
    }

    /// The backend posts a message.
    pub(super) async fn post(&mut self) {
        let Some(id) = self.some_session() else { return };
        let mut message = outgoing("hello", &mut self.random);
        if self.random.once_in(2) {
            let mut key = [0; 16];
            key[..8].copy_from_slice(&self.random.next().to_le_bytes());
            message.key = Some(Digest::from_bytes(key));
        }
        if self.random.once_in(20) {
            let (engine, me) = (self.engine.clone(), self.me);
            self.unheard.spawn(async move {
                let _ = engine.post(me, LIMITS, &[(id, &message)]).await;
            });
            return;
        }
        let posted = self.engine.post(self.me, LIMITS, &[(id, &message)]).await.remove(0);
        let Ok(Posted::Waits(number, _)) = posted else { return };
        self.world.log(|log| log.posted(id, number, message.tag));
        if message.key.is_some() {
            if self.random.once_in(3) {
                self.post_again(id, &message).await;
            }
            self.world.may_be_posted_again(id, message, &mut self.random);
        }
    }

    /// A message that was posted already.
    pub(super) async fn post_again(&mut self, id: SessionId, message: &Outgoing) {
        let posted = self.engine.post(self.me, LIMITS, &[(id, message)]).await.remove(0);
        if let Ok(Posted::Waits(number, _)) = posted {
            let what = format!("{id}: a message is posted again, as {number}");
            self.world.log(|log| log.violation(what));
        }
    }

    /// Sessions whose deadline has passed are this node's to end.
    pub(super) async fn find_due(&mut self) {
        let slots = self.world.slots.clone();
        let hidden = self.millis(60);
        for due in self.engine.sweep(self.me, &slots, 4, hidden).await {
            let due = match due {
                Ok(due) => due,
                Err(error) => {
                    self.world.log(|log| log.violation(format!("due: {error}")));
                    continue;
                }
            };
            for (stream, _, whose) in due.told {
                if whose != adieu_engine::Whose::Other {
                    self.queues.insert(stream);
                }
            }
            for snapshot in due.sessions {
                self.world.log(|log| log.due(snapshot.id, snapshot.epoch()));
                // Some it forgets at once.
                if !self.random.once_in(6) {
                    self.to_end.push_back(Owned::given(self.me, snapshot, Purpose::Expire));
                }
            }
        }
        for _ in 0..self.to_end.len() {
            if self.random.once_in(2) {
                self.end_one().await;
            }
        }
    }

    /// The backend ends a session.
    pub(super) async fn finish_one(&mut self) {
        let Some(id) = self.some_session() else { return };
        match self.engine.finish(self.me, id, "").await {
            Ok(Finished::Yours(snapshot)) => {
                self.granted(&snapshot);
                self.to_end.push_back(Owned::given(self.me, *snapshot, Purpose::Expire));
            }
            Ok(Finished::Owner) => {
                self.ends_own(id);
            }
            Ok(Finished::Asked | Finished::NoSession) => {}
            Err(error) => self.world.log(|log| log.violation(format!("finish: {error}"))),
        }
    }

    /// The backend has ended a session of this node's.
    fn ends_own(&mut self, id: SessionId) {
        self.world.log(|log| log.is_gone(id));
        let held = self.held.remove(&id);
        self.to_end.extend(held);
    }

    /// Tells the backend what waits in a queue.
    pub(super) async fn deliver(&mut self) {
        let slots = self.world.slots.clone();
        for found in self.engine.next(self.me, &slots, 2, 1).await {
            match found {
                Ok(found) => self.queues.extend(found.into_iter().map(|queue| queue.stream)),
                Err(error) => self.world.log(|log| log.violation(format!("next: {error}"))),
            }
        }
        let some: Vec<Bytes> = self.queues.iter().take(12).cloned().collect();
        for stream in some {
            self.deliver_some_of(stream).await;
        }
    }

    async fn deliver_some_of(&mut self, stream: Bytes) {
        let slot = slot_of(&stream);
        let (events, more_behind) = (Vec::new(), Some(Place::default()));
        let ask = Taken { stream: stream.clone(), slot, events, more_behind };
        let most = 1 + self.random.below(3) as usize;
        let Ok(events) = self.engine.taken(self.me, &[ask], most).await.remove(0) else { return };
        if events.is_empty() {
            self.queues.remove(&stream);
            return;
        }
        let mut taken = Taken { stream, slot, events: Vec::new(), more_behind: None };
        for queued in events {
            // A node that is slow has sent a part.
            if self.random.once_in(10) {
                break;
            }
            self.world.log(|log| log.told(&taken.stream, &queued));
            taken.events.push((queued.place, queued.id));
        }
        match self.random.below(8) {
            // Nobody hears that it is taken; or later; or twice.
            0 => {}
            1 => self.to_tell.push_back(taken),
            2 => {
                self.to_tell.push_back(taken.clone());
                let _ = self.engine.taken(self.me, &[taken], 1).await;
            }
            _ => {
                let _ = self.engine.taken(self.me, &[taken], 1).await;
            }
        }
    }

    /// Tells the engine what the backend has taken a while ago.
    pub(super) async fn tell_one(&mut self) {
        if let Some(taken) = self.to_tell.pop_front() {
            let _ = self.engine.taken(self.me, &[taken], 1).await;
        }
    }

    /// What dead nodes had is waited for. Sought again and again: a request of theirs may be late.
    pub(super) async fn orphan(&mut self) {
        let slots = self.world.slots.clone();
        let window = self.millis(300);
        let dead = self.world.dead();
        let newest = dead.iter().rev().take(3).copied();
        let any = self.random.below(dead.len().max(1) as u64) as usize;
        for dead in newest.chain(dead.get(any).copied()) {
            for found in self.engine.orphan(&slots, dead, 5, window).await {
                if let Err(error) = found {
                    self.world.log(|log| log.violation(format!("orphan: {error}")));
                }
            }
        }
    }

    /// Looks whether what it holds is its own, and whether it holds what is.
    pub(super) async fn audit(&mut self) {
        let empty = || Audit { sessions: Vec::new(), queues: Vec::new() };
        let slots = self.world.slots.clone();
        let mut audits: Vec<(Slot, Audit)> = slots.iter().map(|slot| (*slot, empty())).collect();
        for owned in self.held.values().chain(&self.to_end) {
            let sent = owned.counters.sent;
            audits[usize::from(owned.id.slot().number())].1.sessions.push((
                owned.id,
                owned.fence,
                sent,
            ));
        }
        for stream in &self.queues {
            audits[usize::from(slot_of(stream).number())].1.queues.push(stream.clone());
        }
        let before = std::mem::take(&mut self.suspects);
        for audited in self.engine.audit(self.me, &audits).await {
            let audited = match audited {
                Ok(audited) => audited,
                Err(error) => {
                    self.world.log(|log| log.violation(format!("audit: {error}")));
                    continue;
                }
            };
            for (id, why) in audited.refused {
                if let Some(owned) = self.held.remove(&id) {
                    self.world.log(|log| log.fenced(id, self.me, owned.fence.epoch));
                }
                self.to_end.retain(|owned| owned.id != id);
                if why == Refused::RolledBack {
                    let what = format!("{id}: the audit says {why:?}");
                    self.world.log(|log| log.violation(what));
                }
            }
            for (id, _) in audited.ends {
                self.ends_own(id);
            }
            for released in audited.unknown {
                if before.0.contains(&released) {
                    let window = self.millis(60);
                    let done = self.engine.release(self.me, released, window).await;
                    let count = u64::from(done == Ok(true));
                    self.world.log(|log| log.figures.released += count);
                } else {
                    self.suspects.0.insert(released);
                }
            }
            for stream in audited.queues {
                if before.1.contains(&stream) {
                    let slot = slot_of(&stream);
                    let _ = self.engine.give_back(self.me, slot, &[stream]).await;
                } else {
                    self.suspects.1.insert(stream);
                }
            }
        }
    }
}
