//! Leases, deadlines, the lives of nodes, the replica.

use super::{Class, Step, Steps};
use crate::state::*;
use crate::variant::Variant;

impl Steps<'_> {
    /// Leases and deadlines.
    pub(super) fn of_time(&mut self, session: u8) {
        let Some(row) = self.state.engine.rows[usize::from(session)] else { return };
        match row.x {
            X::Owned(owner) if self.state.engine.dead & 1 << owner.0 != 0 => {
                let once = self.is(Variant::OrphansSoughtOnce);
                if self.someone_runs() && !once {
                    self.protocol(Step::Orphan { session, owner }, |sim| sim.disown(session));
                }
            }
            X::Deadline => self.of_deadline(session, &row),
            X::Owned(_) | X::Nothing => {}
        }
    }

    /// A deadline that is set outlasts the audit: no node that runs still believes that it has the
    /// client. (It is longer than L, and each node looks at what it holds each L.)
    fn of_deadline(&mut self, session: u8, row: &Row) {
        let hasty = [
            Variant::LeaseByNodeClock,
            Variant::NoAuditOfConnections,
            Variant::DeadlineBeforeAudit,
        ];
        let outlasts = !hasty.contains(&self.scenario.variant);
        let believes = |node: &Node| {
            let held = node.held[usize::from(session)];
            node.mode == Mode::Runs && held.is_some_and(|held| held.link == Link::Open)
        };
        if outlasts && self.state.nodes.iter().any(believes) {
            return;
        }
        let works = |message: &Message| match message {
            Message::Write(Write {
                session: of, what: What::End(_), epoch, stage, from, ..
            }) => {
                *of == session
                    && *epoch == row.epoch
                    && *stage == Stage::Asked
                    && self.state.nodes[from.node()].mode != Mode::Paused
            }
            _ => false,
        };
        let at_work = self.state.net.iter().any(works);
        for node in 0..self.scenario.nodes {
            if self.state.nodes[usize::from(node)].mode != Mode::Runs {
                continue;
            }
            let me = self.state.owner(node.into());
            let step = Step::Due { session, node };
            if at_work {
                self.paid(|left| &mut left.slow_holds, step, |sim| sim.due(me, session));
            } else {
                self.protocol(step, |sim| sim.due(me, session));
            }
        }
    }

    /// The lives of a node, and leases.
    pub(super) fn of_lives(&mut self, node: u8) {
        let at = usize::from(node);
        let mode = self.state.nodes[at].mode;
        let others = self.state.nodes.iter().enumerate();
        let may_fail =
            others.filter(|(other, _)| *other != at).any(|(_, life)| life.mode == Mode::Runs);
        if mode != Mode::Crashed && may_fail {
            let requests = self.state.requests(at).count() as u8;
            for arrives in 0..1 << requests {
                let step = Step::Crash { node, arrives, of: requests };
                self.paid(|left| &mut left.crashes, step, |sim| sim.crash(at, arrives));
            }
        }
        match mode {
            Mode::Runs if may_fail => {
                self.paid(
                    |left| &mut left.pauses,
                    Step::Pause { node },
                    |sim| {
                        sim.state.nodes[at].mode = Mode::Paused;
                    },
                );
            }
            Mode::Paused => self.add(Class::Other, Step::Wake { node }, |sim| {
                sim.state.nodes[at].mode = Mode::Woken;
            }),
            Mode::Woken => {
                let requests = self.state.requests(at).count() as u8;
                for arrives in 0..1 << requests {
                    self.protocol(Step::Lapse { node, arrives, of: requests }, |sim| {
                        sim.begin_anew(at, arrives);
                    });
                }
            }
            Mode::Runs | Mode::Crashed => {}
        }
        self.of_leases(at);
    }

    /// A lease lapses while its node cannot renew it. The engine's clock judges that.
    fn of_leases(&mut self, node: usize) {
        for incarnation in 0..=self.state.nodes[node].incarnation {
            let owner = Owner::new(node, incarnation);
            let renews = self.state.lives(owner) && self.state.nodes[node].mode == Mode::Runs;
            let mut others = self.state.nodes.iter().enumerate();
            let judged = others.any(|(other, life)| other != node && life.mode == Mode::Runs);
            let misjudged = self.is(Variant::LeaseByNodeClock) && judged;
            let lapsed = !renews || misjudged;
            let dead = self.state.engine.dead & 1 << owner.0 != 0;
            if lapsed && !dead && self.someone_runs() {
                self.protocol(Step::Reap { owner }, |sim| sim.state.engine.dead |= 1 << owner.0);
            }
            let swept = self.state.swept & 1 << owner.0 != 0;
            if dead && !swept && self.is(Variant::OrphansSoughtOnce) && self.someone_runs() {
                self.protocol(Step::SweepOnce { owner }, |sim| {
                    sim.state.swept |= 1 << owner.0;
                    for session in 0..SESSIONS as u8 {
                        if sim.row(session).is_some_and(|row| row.x == X::Owned(owner)) {
                            sim.disown(session);
                        }
                    }
                });
            }
        }
    }

    pub(super) fn of_replica(&mut self) {
        let Some(replica) = self.state.replica else { return };
        if replica != self.state.engine {
            self.protocol(Step::Replicate, |sim| sim.state.replica = Some(sim.state.engine));
        }
        self.paid(|left| &mut left.failovers, Step::FailOver, |sim| sim.fail_over());
    }
}
