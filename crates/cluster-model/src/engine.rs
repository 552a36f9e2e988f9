//! The scripts. Each is one step of the engine, with the contract of the protocol; what a variant
//! does in its place is named where it is done.

use crate::property::Property;
use crate::scenario::Telling;
use crate::sim::Sim;
use crate::state::*;
use crate::variant::Variant;

/// What the fence says of a write.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Apply,
    Repeated,
    Refuse(Answer),
}

impl Sim<'_> {
    /// Appends an event to a queue.
    fn emit(&mut self, queue: usize, told: Told, id: Nonce) {
        let event = Event { told, id };
        if self.scenario.telling == Telling::AtOnce {
            self.backend_hears(queue, event);
        } else {
            self.state.engine.queues[queue].push(event);
        }
    }

    /// start: the row, `session.started`, and `user.joined` if the user had no session. The same
    /// start once more changes nothing, also when the session has begun and ended meanwhile.
    /// Whether there is such a session.
    pub(crate) fn start(&mut self, from: Owner, session: u8, nonce: Nonce) -> bool {
        let remembers = !self.is(Variant::EndsForgotten);
        let over = self.state.engine.over & 1 << session != 0;
        if self.row(session).is_some() || over && remembers {
            return self.row(session).is_some();
        }
        self.state.engine.rows[usize::from(session)] = Some(Row {
            epoch: 1,
            nonce,
            generation: 0,
            confirmed: 0,
            taken: 0,
            acked: 0,
            outbox: Default::default(),
            posted: 0,
            x: X::Owned(from),
            given_to: Some(from),
        });
        self.emit(usize::from(session), Told::Started, nonce);
        if self.state.engine.user == 0 {
            self.emit(USER_QUEUE, Told::Joined, nonce);
        }
        self.state.engine.user |= 1 << session;
        true
    }

    /// claim, by who has the client's token. The answer has the snapshot.
    pub(crate) fn claim(&mut self, claim: &Claim) -> Claimed {
        let offers_acknowledgement = !self.is(Variant::AcknowledgementNotOffered);
        let compares_tag = !self.is(Variant::NumberWithoutTag);
        let tells = !self.is(Variant::LossNotTold);
        let nonce = self.fresh();
        let Some(row) = self.row(claim.session) else { return Claimed::Expired };
        let other_tag = row.tag(claim.received).is_some_and(|tag| tag != claim.tag);
        if claim.generation > row.generation
            || offers_acknowledgement && claim.acknowledged > row.taken
            || claim.received > row.tail()
            || compares_tag && other_tag
        {
            row.epoch += 1;
            row.nonce = nonce;
            row.x = X::Deadline;
            row.given_to = Some(claim.from);
            return Claimed::RolledBack { epoch: row.epoch, nonce };
        }
        if claim.generation < row.confirmed {
            return Claimed::Stale;
        }
        if claim.received < row.acked && tells {
            return Claimed::Lost;
        }
        row.trim(claim.received);
        row.confirmed = claim.generation;
        row.epoch += 1;
        row.generation += 1;
        row.nonce = claim.nonce;
        row.x = X::Owned(claim.from);
        row.given_to = Some(claim.from);
        Claimed::Ok { snapshot: row.snapshot(), late: false }
    }

    /// The second half of a claim that was read before (a variant).
    pub(crate) fn claim_as_read(&mut self, claim: &Claim, read: Snapshot) -> Claimed {
        let Some(row) = self.row(claim.session) else { return Claimed::Expired };
        row.epoch = read.epoch + 1;
        row.generation = read.generation + 1;
        row.taken = read.taken;
        row.nonce = claim.nonce;
        row.x = X::Owned(claim.from);
        row.given_to = Some(claim.from);
        Claimed::Ok { snapshot: row.snapshot(), late: false }
    }

    /// The fence, in front of each write of an owner.
    fn judge(&self, write: &Write) -> Verdict {
        let Some(row) = &self.state.engine.rows[usize::from(write.session)] else {
            return Verdict::Refuse(Answer::Fenced);
        };
        let is_commit = matches!(write.what, What::Commit { .. });
        let is_end = matches!(write.what, What::End(_));
        match self.scenario.variant {
            Variant::NoFence => return Verdict::Apply,
            Variant::CommitWithoutFence if is_commit => return Verdict::Apply,
            Variant::EndWithoutEpoch if is_end => return Verdict::Apply,
            Variant::EpochOnly if row.epoch == write.epoch => return Verdict::Apply,
            _ => {}
        }
        let knows_repeats = !self.is(Variant::NoIdempotence);
        if row.epoch != write.epoch {
            let fenced = row.epoch > write.epoch;
            Verdict::Refuse(if fenced { Answer::Fenced } else { Answer::RolledBack })
        } else if row.nonce == write.after {
            Verdict::Apply
        } else if row.nonce == write.next && knows_repeats {
            Verdict::Repeated
        } else {
            Verdict::Refuse(Answer::RolledBack)
        }
    }

    /// commit, detach and end: all changes or none.
    pub(crate) fn write(&mut self, write: &Write) -> Answer {
        match self.judge(write) {
            Verdict::Apply if self.acknowledges_what_was_lost(write) => return Answer::RolledBack,
            Verdict::Apply => self.apply(write),
            Verdict::Repeated => {}
            Verdict::Refuse(answer) => return answer,
        }
        Answer::Ok
    }

    /// Whether the client received another message with this number than the engine has: a post
    /// does not change the nonce, so that the fence does not see that one was lost.
    fn acknowledges_what_was_lost(&self, write: &Write) -> bool {
        let careless = [Variant::NumberWithoutTag, Variant::CommitWithoutTag];
        let compares = !careless.contains(&self.scenario.variant);
        let row = self.state.engine.rows[usize::from(write.session)];
        let (What::Commit { acked, tag, .. }, Some(row)) = (write.what, row) else { return false };
        let other_tag = row.tag(acked).is_some_and(|of| of != tag);
        compares && (acked > row.tail() || other_tag)
    }

    fn apply(&mut self, write: &Write) {
        let Some(row) = self.row(write.session) else { return };
        let not_its_own = row.given_to != Some(write.from);
        row.nonce = write.next;
        match write.what {
            What::Commit { taken, event, acked, confirmed, .. } => {
                row.taken = taken;
                row.trim(acked);
                row.confirmed = row.confirmed.max(confirmed);
                if not_its_own {
                    self.complain(Property::OneOwner, "a node commits in an epoch of another");
                }
                if event {
                    self.emit(usize::from(write.session), Told::Message(taken), write.next);
                }
            }
            What::Detach => row.x = X::Deadline,
            What::End(_) => self.end(write),
        }
    }

    /// end: `session.ended`, no row any more, and `user.left` if it was the last session.
    fn end(&mut self, write: &Write) {
        let session = usize::from(write.session);
        self.state.engine.rows[session] = None;
        self.state.engine.over |= 1 << session;
        self.emit(session, Told::Ended, write.next);
        self.state.engine.user &= !(1 << session);
        match self.state.engine.user {
            0 if self.is(Variant::PresenceOutsideTheScript) => {
                self.send(Message::Left { from: write.from, id: write.next });
            }
            0 => self.emit(USER_QUEUE, Told::Left, write.next),
            _ => {}
        }
    }

    /// The second script of an end whose first said that nobody is left (a variant).
    pub(crate) fn user_left(&mut self, id: Nonce) {
        self.emit(USER_QUEUE, Told::Left, id);
    }

    /// due: whoever asks may end a session whose deadline has passed. It removes nothing.
    pub(crate) fn due(&mut self, me: Owner, session: u8) {
        let pops = self.is(Variant::DeadlinePoppedFirst);
        let (nonce, next) = (self.fresh(), self.fresh());
        let Some(row) = self.row(session) else { return };
        row.epoch += 1;
        row.nonce = nonce;
        row.given_to = Some(me);
        if pops {
            row.x = X::Nothing;
        }
        let (epoch, after, what) = (row.epoch, nonce, What::End(Why::Gone));
        let stage = Stage::Asked;
        self.send(Message::Write(Write { from: me, session, what, stage, epoch, after, next }));
        self.time_has_passed(session);
    }

    /// Rule 4: by now answers to claims that are still on their way are too old to be used. The
    /// deadline that has passed was set behind them.
    fn time_has_passed(&mut self, of: u8) {
        for message in self.state.net.iter_mut() {
            match message {
                Message::Claim(Claim {
                    session,
                    stage: Stage::Answered(Claimed::Ok { late, .. }),
                    ..
                })
                | Message::Start { session, stage: Stage::Answered(late), .. }
                    if *session == of =>
                {
                    *late = true;
                }
                _ => {}
            }
        }
    }

    /// orphan for one session of a dead owner, and release: a deadline instead of an owner.
    pub(crate) fn disown(&mut self, session: u8) {
        let nonce = self.fresh();
        let Some(row) = self.row(session) else { return };
        row.epoch += 1;
        row.nonce = nonce;
        row.x = X::Deadline;
        row.given_to = None;
    }

    /// release: only if the session is still owned by the caller, in the epoch that it saw.
    pub(crate) fn release(&mut self, from: Owner, session: u8, epoch: u8) {
        let Some(row) = self.row(session) else { return };
        if row.x == X::Owned(from) && row.epoch == epoch {
            self.disown(session);
        }
    }

    /// post: appended whoever owns the session. Whether there is such a session.
    pub(crate) fn post(&mut self, post: u8) -> bool {
        let knows_repeats = !self.is(Variant::PostWithoutKey);
        let keeps = usize::from(self.scenario.keeps);
        let Some(row) = self.row(0) else { return false };
        if row.posted & 1 << post == 0 || !knows_repeats {
            if row.outbox.len() == keeps {
                row.trim(row.acked + 1);
            }
            row.outbox.push(post + 1);
            row.posted |= 1 << post;
        }
        true
    }

    /// ack: the head goes if it is that event.
    pub(crate) fn ack(&mut self, queue: u8, id: Nonce) {
        let pops = self.is(Variant::AckPopsTheHead);
        let events = &mut self.state.engine.queues[usize::from(queue)];
        if events.first().is_some_and(|head| pops || head.id == id) {
            events.remove(0);
        }
    }
}

impl Row {
    pub(crate) fn snapshot(&self) -> Snapshot {
        let Row { epoch, generation, taken, acked, .. } = *self;
        Snapshot { epoch, generation, taken, acked }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::initial;
    use crate::scenario::{Budget, Scenario};

    const WORLD: Scenario = Scenario::of("test", Budget::NONE);

    /// The first session is owned by A in epoch 1, with two messages to the client: tags 1 and 2.
    fn world() -> State {
        let mut state = initial::state(&WORLD);
        let row = state.engine.rows[0].as_mut().unwrap();
        row.outbox.push(1);
        row.outbox.push(2);
        state
    }

    fn claim() -> Claim {
        Claim {
            from: Owner::new(1, 0),
            session: 0,
            stage: Stage::Asked,
            waits: true,
            generation: 0,
            received: 0,
            tag: 0,
            acknowledged: 0,
            nonce: Nonce(9),
            read: None,
        }
    }

    fn claimed(state: &State, claim: &Claim) -> Claimed {
        Sim::new(&WORLD, state).claim(claim)
    }

    #[test]
    fn a_claim_makes_an_owner_of_a_new_epoch_and_trims_what_was_received() {
        let state = world();
        let mut sim = Sim::new(&WORLD, &state);
        let claimed = sim.claim(&Claim { received: 1, tag: 1, ..claim() });
        let snapshot = Snapshot { epoch: 2, generation: 1, taken: 0, acked: 1 };
        assert_eq!(claimed, Claimed::Ok { snapshot, late: false });
        let row = sim.row(0).unwrap();
        assert_eq!((row.x, row.nonce), (X::Owned(Owner::new(1, 0)), Nonce(9)));
        assert_eq!(&*row.outbox, &[2]);
    }

    #[test]
    fn a_claim_of_more_than_the_engine_has_is_rolled_back_and_hides_the_session() {
        let more = [
            Claim { generation: 1, ..claim() },
            Claim { acknowledged: 1, ..claim() },
            Claim { received: 3, tag: 3, ..claim() },
            Claim { received: 1, tag: 3, ..claim() },
        ];
        for claim in more {
            let state = world();
            let mut sim = Sim::new(&WORLD, &state);
            assert!(matches!(sim.claim(&claim), Claimed::RolledBack { epoch: 2, .. }), "{claim:?}");
            assert_eq!(sim.row(0).unwrap().x, X::Deadline);
        }
    }

    #[test]
    fn a_claim_with_an_old_token_or_behind_what_was_acknowledged_changes_nothing() {
        let mut state = world();
        let row = state.engine.rows[0].as_mut().unwrap();
        (row.generation, row.confirmed) = (2, 2);
        assert_eq!(claimed(&state, &claim()), Claimed::Stale);
        let row = state.engine.rows[0].as_mut().unwrap();
        row.trim(1);
        assert_eq!(claimed(&state, &Claim { generation: 2, ..claim() }), Claimed::Lost);
        state.engine.rows[0] = None;
        assert_eq!(claimed(&state, &claim()), Claimed::Expired);
    }

    #[test]
    fn the_fence_knows_a_repeat_another_owner_and_a_rollback() {
        let state = world();
        let write = |epoch, after, next| Write {
            from: Owner::new(0, 0),
            session: 0,
            what: What::Detach,
            stage: Stage::Asked,
            epoch,
            after: Nonce(after),
            next: Nonce(next),
        };
        let mut sim = Sim::new(&WORLD, &state);
        assert_eq!(sim.write(&write(1, 5, 6)), Answer::RolledBack);
        assert_eq!(sim.write(&write(2, 1, 6)), Answer::RolledBack);
        assert_eq!(sim.write(&write(1, 1, 6)), Answer::Ok);
        assert_eq!(sim.row(0).unwrap().x, X::Deadline);
        assert_eq!(sim.write(&write(1, 1, 6)), Answer::Ok);
        sim.due(Owner::new(1, 0), 0);
        assert_eq!(sim.write(&write(1, 6, 7)), Answer::Fenced);
    }
}
