//! What becomes of a message, by itself and when something goes wrong.

use super::{Step, Steps};
use crate::sim::Sim;
use crate::state::*;
use crate::variant::Variant;

impl Steps<'_> {
    /// What becomes of a message by itself.
    pub(super) fn of_message(&mut self, at: usize) {
        let message = self.state.net[at];
        match message {
            Message::Start { from, session, stage, nonce } => match stage {
                Stage::Asked | Stage::Stray => self.execute(at, message),
                Stage::Answered(late) => self.hear(at, message, |sim| {
                    sim.hear_start(from, session, nonce, late);
                }),
            },
            Message::Claim(claim) => match claim.stage {
                Stage::Asked | Stage::Stray => self.execute_claim(at, &claim),
                Stage::Answered(claimed) => {
                    self.hear(at, message, |sim| sim.hear_claim(&claim, claimed));
                }
            },
            Message::Write(write) => match write.stage {
                Stage::Asked | Stage::Stray => self.execute(at, message),
                Stage::Answered(answer) => {
                    self.hear(at, message, |sim| sim.hear_write(&write, answer));
                }
            },
            Message::Release { .. } | Message::Left { .. } => self.execute(at, message),
            Message::Accepted { post } => self.accept(at, post),
            Message::Forwarded { .. } => self.take_forwarded(at, message),
            Message::Delivery { stage, .. } => self.of_event_in_flight(at, stage),
            Message::Nothing => {}
        }
    }

    fn hear(&mut self, at: usize, message: Message, change: impl FnOnce(&mut Sim<'_>)) {
        if message.owner().is_some_and(|owner| self.state.acts(owner.node())) {
            self.protocol(Step::Hear { message }, |sim| {
                sim.take(at);
                change(sim);
            });
        }
    }

    /// The engine executes a script, and the answer is on its way if somebody waits for it.
    fn execute(&mut self, at: usize, message: Message) {
        self.protocol(Step::Execute { message }, |sim| {
            let message = sim.take(at);
            match message {
                Message::Start { from, session, stage, nonce } => {
                    let is_there = sim.start(from, session, nonce);
                    if stage == Stage::Asked {
                        let stage = Stage::Answered(!is_there);
                        sim.send(Message::Start { from, session, stage, nonce });
                    }
                }
                Message::Write(write) => {
                    let answer = sim.write(&write);
                    if write.stage == Stage::Asked && write.is_of_owner() {
                        let stage = Stage::Answered(answer);
                        sim.send(Message::Write(Write { stage, ..write }));
                    }
                }
                Message::Release { from, session, epoch } => sim.release(from, session, epoch),
                Message::Left { id, .. } => sim.user_left(id),
                _ => {}
            }
        });
    }

    fn execute_claim(&mut self, at: usize, claim: &Claim) {
        let reads_first = self.is(Variant::ClaimReadsThenWrites);
        let row = self.state.engine.rows[usize::from(claim.session)];
        if let (true, None, Some(row)) = (reads_first, claim.read, row) {
            self.protocol(Step::ReadClaim { message: Message::Claim(*claim) }, |sim| {
                let read = Some(row.snapshot());
                sim.state.net[at] = Message::Claim(Claim { read, ..*claim });
            });
            return;
        }
        self.protocol(Step::Execute { message: Message::Claim(*claim) }, |sim| {
            sim.take(at);
            let claimed = match claim.read {
                Some(read) => sim.claim_as_read(claim, read),
                None => sim.claim(claim),
            };
            if claim.stage == Stage::Asked {
                let stage = Stage::Answered(claimed);
                sim.send(Message::Claim(Claim { stage, read: None, ..*claim }));
            }
        });
    }

    /// What becomes of a message when something goes wrong. (A request that is lost and repeated is
    /// the same as one that is late.)
    pub(super) fn of_lost_message(&mut self, at: usize) {
        let message = self.state.net[at];
        let is_request = match message {
            Message::Start { stage: Stage::Asked, .. } => true,
            Message::Start { stage: Stage::Answered(_), .. } => false,
            Message::Claim(claim) if claim.stage != Stage::Stray => claim.stage == Stage::Asked,
            Message::Write(write) if write.stage != Stage::Stray => write.stage == Stage::Asked,
            _ => return,
        };
        self.paid(|left| &mut left.losses, Step::GiveUp { message }, |sim| sim.give_up(at));
        if is_request {
            self.paid(
                |left| &mut left.duplicates,
                Step::RepeatEarly { message },
                |sim| {
                    sim.repeat_early(at);
                },
            );
            self.paid(
                |left| &mut left.duplicates,
                Step::GiveUpEarly { message },
                |sim| {
                    sim.give_up_early(at);
                },
            );
        } else {
            self.paid(|left| &mut left.losses, Step::Repeat { message }, |sim| sim.repeat(at));
        }
    }
}
