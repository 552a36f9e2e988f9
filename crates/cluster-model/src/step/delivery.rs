//! Events on their way to the backend.

use super::{Step, Steps};
use crate::scenario::Telling;
use crate::sim::Sim;
use crate::state::*;
use crate::variant::Variant;

impl Steps<'_> {
    /// Whether the replica has an event, so that it may leave.
    fn may_leave(&self, queue: u8, event: Event) -> bool {
        let has = |replica: &Engine| replica.queues[usize::from(queue)].contains(&event);
        self.state.replica.as_ref().is_none_or(has) || self.is(Variant::ToldBeforeReplicated)
    }

    pub(super) fn of_delivery(&mut self, node: u8) {
        for queue in 0..=SESSIONS as u8 {
            let Some(&event) = self.state.engine.queues[usize::from(queue)].first() else {
                continue;
            };
            if self.may_leave(queue, event) {
                match self.scenario.telling {
                    Telling::AtOnce => {}
                    Telling::OneStep if node == 0 => self.tell(queue, event),
                    Telling::OneStep => {}
                    Telling::Http => self.next(queue, node, event),
                }
            }
        }
    }

    fn tell(&mut self, queue: u8, event: Event) {
        self.protocol(Step::Tell { queue, event }, |sim| {
            sim.ack(queue, event.id);
            sim.backend_hears(queue.into(), event);
        });
    }

    /// next: the head of a queue, hidden from others for as long as its hold lasts.
    fn next(&mut self, queue: u8, node: u8, event: Event) {
        if self.state.nodes[usize::from(node)].mode != Mode::Runs {
            return;
        }
        let senders = self.state.net.iter().filter_map(|message| match message {
            Message::Delivery { from, queue: of, .. } if *of == queue => Some(*from),
            _ => None,
        });
        let (mut mine, mut hidden) = (false, false);
        for sender in senders {
            mine |= sender.node() == usize::from(node);
            hidden |=
                self.state.lives(sender) && self.state.nodes[sender.node()].mode != Mode::Paused;
        }
        let (from, stage) = (self.state.owner(node.into()), Delivery::Sent);
        let send = |sim: &mut Sim<'_>| sim.send(Message::Delivery { from, queue, event, stage });
        let step = Step::Next { queue, node, event };
        match (mine, hidden) {
            (true, _) => {}
            (false, true) => self.paid(|left| &mut left.slow_holds, step, send),
            (false, false) => self.protocol(step, send),
        }
    }

    pub(super) fn of_event_in_flight(&mut self, at: usize, stage: Delivery) {
        let message = self.state.net[at];
        let Message::Delivery { from, queue, event, .. } = message else { return };
        let acts = self.state.lives(from) && self.state.acts(from.node());
        let step = Step::Arrive { message };
        match stage {
            Delivery::Sent => self.protocol(step, |sim| {
                sim.take(at);
                sim.backend_hears(queue.into(), event);
                if sim.state.lives(from) {
                    let stage = if acts { Delivery::Acked } else { Delivery::Heard };
                    sim.send(Message::Delivery { from, queue, event, stage });
                }
            }),
            Delivery::Heard if acts => self.protocol(step, |sim| {
                let stage = Delivery::Acked;
                sim.state.net[at] = Message::Delivery { from, queue, event, stage };
            }),
            Delivery::Heard => {}
            Delivery::Acked => self.protocol(step, |sim| {
                sim.take(at);
                sim.ack(queue, event.id);
            }),
        }
    }
}
