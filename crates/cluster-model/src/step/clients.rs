//! What clients and callers of the API do.

use super::{Class, Step, Steps};
use crate::sim::Sim;
use crate::state::*;
use crate::variant::Variant;

impl Steps<'_> {
    pub(super) fn of_client(&mut self, session: u8) {
        match self.state.clients[usize::from(session)].at {
            At::New => {
                for node in self.nodes_that_act() {
                    self.add(Class::Other, Step::Open { session, node }, |sim| {
                        sim.open(session, node.into());
                    });
                }
            }
            At::Away => {
                for node in self.nodes_that_act() {
                    self.paid(
                        |left| &mut left.resumes,
                        Step::Resume { session, node },
                        |sim| {
                            sim.resume(session, node.into());
                        },
                    );
                }
            }
            At::Waits(_) | At::Opens(_) => {
                self.paid(
                    |left| &mut left.abandons,
                    Step::Leave { session },
                    |sim| {
                        sim.disconnect(session);
                    },
                );
            }
            At::On(_) => {
                self.add(Class::Leaves, Step::Leave { session }, |sim| sim.disconnect(session));
                self.paid(
                    |left| &mut left.goodbyes,
                    Step::Goodbye { session },
                    |sim| {
                        sim.say_goodbye(session);
                    },
                );
                if session == 0 {
                    self.paid(
                        |left| &mut left.sends,
                        Step::Send { session },
                        |sim| {
                            sim.client(session).sent += 1;
                        },
                    );
                }
            }
            At::Over => {}
        }
    }

    fn nodes_that_act(&self) -> Vec<u8> {
        (0..self.scenario.nodes).filter(|node| self.state.acts(usize::from(*node))).collect()
    }

    pub(super) fn of_posts(&mut self) {
        let posts = self.scenario.budget.posts;
        let post = posts - self.state.left.posts;
        let row = self.state.engine.rows[0];
        let owner = row.and_then(|row| match row.x {
            X::Owned(owner) => Some(owner),
            _ => None,
        });
        if row.is_none() {
            return;
        }
        if let (Some(to), true) = (owner, self.is(Variant::ForwardedPost)) {
            self.paid(
                |left| &mut left.posts,
                Step::Forward { post },
                |sim| {
                    sim.send(Message::Forwarded { to, post });
                    sim.state.answered |= 1 << post;
                },
            );
            return;
        }
        let waits = self.state.replica.is_some() && !self.is(Variant::AcceptedBeforeReplicated);
        self.paid(
            |left| &mut left.posts,
            Step::Post { post },
            |sim| {
                sim.post(post);
                if waits {
                    sim.send(Message::Accepted { post });
                } else {
                    sim.answer(post);
                }
            },
        );
        for post in 0..post {
            self.paid(
                |left| &mut left.losses,
                Step::PostAgain { post },
                |sim| {
                    sim.post(post);
                },
            );
        }
    }

    /// 202 is said once the replica has the message.
    pub(super) fn accept(&mut self, at: usize, post: u8) {
        let has = |engine: &Engine| engine.rows[0].is_some_and(|row| row.posted & 1 << post != 0);
        if self.state.replica.as_ref().is_none_or(has) {
            self.protocol(Step::Accept { post }, |sim| {
                sim.take(at);
                sim.answer(post);
            });
        }
    }

    pub(super) fn take_forwarded(&mut self, at: usize, message: Message) {
        let Message::Forwarded { to, post } = message else { return };
        let node = &self.state.nodes[to.node()];
        let gone = !self.state.lives(to);
        if gone || node.mode == Mode::Runs {
            self.protocol(Step::TakeForwarded { message }, |sim| {
                sim.take(at);
                if !gone && sim.held(to.node(), 0).is_some() {
                    sim.post(post);
                }
            });
        }
    }
}

impl Sim<'_> {
    fn answer(&mut self, post: u8) {
        if self.state.clients[0].at != At::Over {
            self.state.answered |= 1 << post;
        }
    }
}
